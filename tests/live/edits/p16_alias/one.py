"""Is there first."""

from bot import command


@command("one", "shared")
async def one(ctx):
    """Answer."""
    return "one"
