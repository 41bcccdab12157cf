"""Ticks once a second."""

from bot import every


@every(1)
async def tick(ctx):
    ctx.to("#job").say("tick 1")
