"""Imports one of two shared modules that import each other."""

from bot import command

from ._left import both


@command("circle")
async def circle(ctx):
    return both()
