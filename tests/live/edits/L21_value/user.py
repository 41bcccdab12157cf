"""Has the value of another plugin."""

from bot import command

from .source import VALUE


@command("used")
async def used(ctx):
    return VALUE
