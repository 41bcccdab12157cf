"""Ticks as well."""

from bot import every


@every(1)
async def tick(ctx):
    ctx.to("#job").say("tock")
