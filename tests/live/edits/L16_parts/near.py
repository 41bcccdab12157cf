"""Imports the shared module itself."""

from bot import command

from . import _words


@command("near")
async def near(ctx):
    return f"V{_words.V}"
