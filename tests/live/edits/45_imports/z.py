"""Imports the shared module in one of four ways."""

from bot import command

from plugins._shared import *


@command("z")
async def z(ctx):
    return fn()
