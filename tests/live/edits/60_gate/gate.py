"""Calls that end, or go one line further, when they are told to, whatever version is live by then."""

import asyncio

from bot import command, keep

closed = keep("closed", list)
VERSION = 1


async def opened():
    closed.append(gate := asyncio.Event())
    await gate.wait()


@command("lines")
async def lines(ctx):
    for number in range(1, 6):
        if number > 1:
            await opened()
        yield f"line {number} V{VERSION}"


@command("wait")
async def wait(ctx):
    await opened()
    return f"waited V{VERSION}"


@command("open")
async def open_(ctx):
    while closed:
        closed.pop().set()
    return f"opened V{VERSION}"
