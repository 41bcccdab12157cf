"""One of five that share a module."""

from bot import command

from ._common import V


@command("p3")
async def p3(ctx):
    """Tell the shared value."""
    return f"p3 V{V}"
