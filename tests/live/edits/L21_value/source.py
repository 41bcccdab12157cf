"""Has a value."""

from bot import command

VALUE = ["old"]


@command("value")
async def value(ctx):
    return VALUE
