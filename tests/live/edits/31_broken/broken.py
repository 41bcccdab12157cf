"""Is broken from the start."""

from bot import command


@command("broken")
async def broken(ctx):
    return "mended"


1 / 0  # noqa: B018
