"""Imports the shared module through another."""

from bot import command

from ._more import V


@command("far")
async def far(ctx):
    return f"V{V}"
