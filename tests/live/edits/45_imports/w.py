"""Imports the shared module in one of four ways."""

from bot import command

from ._shared import fn


@command("w")
async def w(ctx):
    return fn()
