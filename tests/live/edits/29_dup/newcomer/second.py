"""Wants a command that is taken, and one that is not."""

from bot import command


@command("extra")
async def extra(ctx):
    return "extra"


@command("dup")
async def dup(ctx):
    return "second"
