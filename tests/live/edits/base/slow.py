"""Takes its time."""

import asyncio

from bot import command


@command("slow")
async def slow(ctx, seconds: float):
    """Answer after some seconds."""
    if seconds:
        await asyncio.sleep(seconds)
    return "slow 1 done"
