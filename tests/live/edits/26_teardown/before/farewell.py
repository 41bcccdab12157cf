"""Fails as it goes."""

from bot import command, teardown


@command("farewell")
async def farewell(ctx):
    return "farewell 1"


@teardown
async def leave(ctx):
    raise LookupError("no way out")
