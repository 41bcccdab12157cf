"""Starts something of each kind at each load, and ends nothing."""

import asyncio
import logging
import subprocess
import threading

from bot import command, setup


processes = []


async def forever():
    await asyncio.Event().wait()


def again():
    asyncio.get_running_loop().call_later(0.01, again)


@setup
async def begin(ctx):
    asyncio.create_task(forever())
    ctx.spawn(forever())
    again()
    threading.Timer(600, again).start()
    logging.getLogger("starts").addHandler(logging.NullHandler())
    subprocess.Popen(["sleep", "600"])
    processes.append(await asyncio.create_subprocess_exec("sleep", "600"))


@command("handlers")
async def handlers(ctx):
    """Count the logging handlers."""
    return str(len(logging.getLogger("starts").handlers))
