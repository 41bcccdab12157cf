"""One of two plugins that import each other."""

from bot import command

from . import pong

WORD = "ping 1"


@command("ping")
async def ping(ctx):
    return f"{WORD}, {pong.WORD}"
