"""Says bye."""

from bot import command


@command("bye")
async def bye(ctx):
    return "bye 1"
