"""Its teardown does what the case writes there."""

from bot import command, teardown


@teardown
async def last(ctx):
    ctx.log.info("teardown of end 1")


@command("end")
async def end(ctx):
    """Answer."""
    return "end 1"
