"""Asks there, which asks here."""

from bot import command

from . import there


@command("here")
async def here(ctx):
    """Ask there."""
    return await there.there(ctx)


@command("plainly")
def plainly(ctx):
    """The same without a loop."""
    return there.back(ctx)


@command("aloud")
async def aloud(ctx):
    """Say a command."""
    return "!aloud"
