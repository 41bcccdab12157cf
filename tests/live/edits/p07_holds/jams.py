"""Holds the whole process while others ask."""

import threading

from bot import command


@command("jams")
async def jams(ctx):
    """Never come back."""
    threading.Event().wait()
