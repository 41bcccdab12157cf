"""Waits, until it is told to go on."""

import asyncio

from bot import command, keep

gates = keep("gates", list)


@command("wait")
async def wait(ctx):
    """Wait."""
    gates.append(gate := asyncio.Event())
    await gate.wait()
    return "waited 1"


@command("go")
async def go(ctx):
    """Have all that wait go on."""
    for gate in gates:
        gate.set()
    gates.clear()
    return "gone"
