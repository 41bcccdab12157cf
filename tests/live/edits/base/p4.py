"""One of five that share a module."""

from bot import command

from ._common import V


@command("p4")
async def p4(ctx):
    """Tell the shared value."""
    return f"p4 V{V}"
