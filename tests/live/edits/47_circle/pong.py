"""One of two plugins that import each other."""

from bot import command

from . import ping

WORD = "pong 1"


@command("pong")
async def pong(ctx):
    return f"{WORD}, {ping.WORD}"
