"""A plugin of several files."""

from bot import command

from . import words


@command("parts")
async def parts(ctx):
    return f"parts 1 {words.WORD}"
