"""Holds the thread that it runs on."""

import socket
import threading
import time

from bot import command

ours, theirs = socket.socketpair()
lock = threading.Lock()


@command("block")
def block(ctx, how):
    """Never come back, by oneself."""
    match how:
        case "sleep":
            time.sleep(60)
        case "socket":
            ours.recv(1)
        case "lock":
            lock.acquire()
            lock.acquire()
        case "spin":
            while True:
                pass


@command("await")
async def wait(ctx):
    """The same without holding anything."""
    import asyncio

    await asyncio.Event().wait()
