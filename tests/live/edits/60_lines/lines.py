"""Says five lines, one after the other."""

import asyncio

from bot import command


@command("lines")
async def lines(ctx):
    """Say them."""
    for number in range(5):
        yield f"lines 1: {number}"
        await asyncio.sleep(0.3)
