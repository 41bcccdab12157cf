"""Fails."""

from bot import command


@command("oops")
async def oops(ctx):
    """Fail."""
    raise RuntimeError("oops 1")
