"""Has a task in the background."""

import asyncio

from bot import command, setup


async def beat(log):
    log.info("beat begins")
    try:
        await asyncio.Event().wait()
    finally:
        log.info("beat ends")


@setup
async def prepare(ctx):
    ctx.spawn(beat(ctx.log))


@command("beating")
async def beating(ctx):
    """Count the tasks, of any version."""
    return str(sum(task.get_coro().__qualname__ == "beat" or "beat" in task.get_name() for task in asyncio.all_tasks()))
