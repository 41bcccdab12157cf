"""Holds the whole process."""

import time

from bot import command


@command("asleep")
async def asleep(ctx):
    """Never come back."""
    time.sleep(60)
