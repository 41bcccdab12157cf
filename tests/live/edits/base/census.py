"""Counts what there is in the bot's process, once all that can be collected is."""

import asyncio
import gc
import json
import os
import sys
import threading
import types
from pathlib import Path

from bot import command
from bot.live.tidy import collect

POOLS = ("handlers", "builder", "asyncio_")  # threads that the bot keeps for the next call


def old_code():
    """Name the functions of plugins whose module is not the live one."""
    for each in gc.get_objects():
        if type(each) is types.FunctionType:
            space = each.__globals__
            name = str(space.get("__name__"))
            if name.startswith("plugins.") and vars(sys.modules.get(name, sys)) is not space:
                yield f"{name}.{each.__qualname__}"


def descriptors():
    """Name what is open, but for this listing itself."""
    for path in Path("/proc/self/fd").iterdir():
        try:
            yield os.readlink(path)
        except OSError:
            pass


@command("census")
async def census(ctx):
    """Tell how much there is of what a reload must not add to, and whether the bot is about to open more itself."""
    collect()
    threads = [thread.name for thread in threading.enumerate() if not thread.name.startswith(POOLS)]
    tasks = [task.get_name() for task in asyncio.all_tasks()]
    counts = {"threads": len(threads), "tasks": len(tasks), "descriptors": len(list(descriptors()))}
    coming = "trial spare" in tasks or ("watcher" in tasks) != ctx._services.config.reload.watch
    return json.dumps({**counts, "old": sorted({*old_code()})[:8], "coming": coming})


@command("inventory")
async def inventory(ctx):
    """Name what the census counts."""
    threads = sorted(thread.name for thread in threading.enumerate())
    tasks = sorted(f"{task.get_name()} {task.get_coro().__qualname__}" for task in asyncio.all_tasks())
    ctx.log.info("threads %s; tasks %s; descriptors %s", threads, tasks, sorted(descriptors()))
    return "it is in the log"


@command("hasten")
async def hasten(ctx, seconds: float):
    """Have what is left of a generation told so soon after its end."""
    from dataclasses import replace

    reloader = ctx._services.reloader
    reloader.patience = replace(reloader.patience, collect=seconds, leak=seconds)
    return "hastened"
