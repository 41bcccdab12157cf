"""Forks, and comes back in the child as well."""

import os
import warnings

from bot import command

warnings.filterwarnings("ignore", category=DeprecationWarning)


@command("fork")
async def fork(ctx):
    """Fork on the loop."""
    return "parent" if os.fork() else "child"


@command("apart")
def apart(ctx):
    """Fork in a thread."""
    if os.fork():
        return "parent"
    ctx.say("child")
    return "child"


@command("children")
async def children(ctx):
    """Tell whether a child waits to be buried."""
    try:
        waiting = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        waiting = None
    return "none" if waiting is None else "some"
