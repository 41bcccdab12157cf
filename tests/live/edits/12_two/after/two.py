"""Two commands, then one."""

from bot import command


@command("one")
async def one(ctx):
    return "one"
