"""One of five that share a module."""

from bot import command

from ._common import V


@command("p2")
async def p2(ctx):
    """Tell the shared value."""
    return f"p2 V{V}"
