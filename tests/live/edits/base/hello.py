"""Says hello."""

from bot import command


@command("hello")
async def hello(ctx):
    """Say hello."""
    return "hello 1"
