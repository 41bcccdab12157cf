"""Imports the shared module in one of four ways."""

from bot import command

from . import _shared as h


@command("x")
async def x(ctx):
    return h.fn()
