"""Imports the shared module in one of four ways."""

from bot import command

import plugins._shared


@command("y")
async def y(ctx):
    return plugins._shared.fn()
