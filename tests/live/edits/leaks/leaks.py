"""Leaves something of each kind behind."""

import asyncio
import socket
import threading

from bot import command, setup

free = threading.Event()
LEAK = True


def wait():
    free.wait(60)


async def stubborn():
    while not free.is_set():
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            pass


async def greet(reader, writer):
    pass


@setup
async def begin(ctx):
    if LEAK:
        threading.Thread(target=wait, name="feed", daemon=True).start()
        ctx.spawn(stubborn(), name="mule")
        ctx.spawn(listen())


async def listen():
    await asyncio.start_server(greet, "127.0.0.1", 0)


@command("free")
async def free_them(ctx):
    """End all that still goes on, of any version."""
    for each in threading.enumerate():
        if each.name == "feed":
            each._target.__globals__["free"].set()
    return "free"
