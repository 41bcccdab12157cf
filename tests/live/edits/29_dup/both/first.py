"""Was there first."""

from bot import command


@command("dup")
async def dup(ctx):
    return "first"
