"""Says when it ends."""

from bot import command, teardown


@command("farewell")
async def farewell(ctx):
    return "still here"


@teardown
async def leave(ctx):
    ctx.log.info("farewell ends")
