"""Its setup can fail half-way."""

import asyncio
import threading

from bot import command, every, setup

FAILS = False


async def forever(log):
    log.info("half 1 begins")
    await asyncio.Event().wait()


@setup
async def prepare(ctx):
    ctx.spawn(forever(ctx.log))
    ctx.thread(threading.Event().wait, 0.1)
    ctx.schedule(0.01, tick)
    threading.Timer(600, print).start()
    asyncio.get_running_loop().call_later(600, tick)
    if FAILS:
        raise LookupError("half-way")


@every(1)
async def tick(ctx):
    ctx.to("#job").say("half 1")


@command("half")
async def half(ctx):
    """Answer."""
    return "half 1"
