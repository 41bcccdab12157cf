"""One of five that share a module."""

from bot import command

from ._common import V


@command("p5")
async def p5(ctx):
    """Tell the shared value."""
    return f"p5 V{V}"
