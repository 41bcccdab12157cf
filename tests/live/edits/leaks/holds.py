"""Leaves its code where nobody sees it."""

import asyncio

from bot import command


def hold():
    return "held"


asyncio.held = hold


@command("held")
async def held(ctx):
    """Answer."""
    return "held 1"
