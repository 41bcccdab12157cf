"""Two commands, then one."""

from bot import command


@command("one")
async def one(ctx):
    return "one"


@command("other")
async def other(ctx):
    return "other"
