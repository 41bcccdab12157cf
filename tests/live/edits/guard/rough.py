"""Treats the loop and the process as its own."""

import asyncio
import sys

from bot import UserError, command


@command("cancel")
async def cancel(ctx):
    """Cancel everything."""
    for task in asyncio.all_tasks():
        if task is not asyncio.current_task():
            task.cancel()
    return "cancelled"


@command("stop")
async def stop(ctx):
    """Stop the loop."""
    asyncio.get_running_loop().stop()


@command("close")
async def close(ctx):
    """Close the loop."""
    asyncio.get_running_loop().close()


@command("factory")
async def factory(ctx):
    """Make tasks otherwise."""
    asyncio.get_running_loop().set_task_factory(None)


@command("handler")
async def handler(ctx):
    """Handle the loop's exceptions."""
    asyncio.get_running_loop().set_exception_handler(print)


@command("exit")
async def exit(ctx):
    """Exit in a callback."""
    asyncio.get_running_loop().call_soon(sys.exit)
    return "exits"


@command("limit")
async def limit(ctx):
    """Run out of a time that it set itself."""
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        return "timed out"


@command("silence")
async def silence(ctx):
    """Take standard output and error away."""
    sys.stdout.close()
    sys.stderr = None
    return "silence"


class Unsayable(UserError):
    def __str__(self):
        raise ValueError("unsayable")


@command("unsayable")
async def unsayable(ctx):
    """Fail without words."""
    raise Unsayable
