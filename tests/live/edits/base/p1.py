"""One of five that share a module."""

from bot import command

from ._common import V


@command("p1")
async def p1(ctx):
    """Tell the shared value."""
    return f"p1 V{V}"
