"""The program with clocks inside: `BENCH_CLOCKS=FILE python -m benchmarks.reload.clocks run ...`.

The bot's own code holds no clocks. They are put around its stages here, in this process only, and write one line per
moment: its name and the monotonic clock, which all processes of the machine share. Beside them a timer of one
millisecond runs in the bot's loop and writes down how late it came, into `FILE.late`: as long as the loop stood still.
What is measured with clocks is used for the tables that need them and for nothing else.
"""

from __future__ import annotations

import asyncio
import functools
import importlib
import inspect
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TICK_SECONDS = 0.001

# What is clocked, by the name of the moment: `name>` is written on entry, `name<` at the end. Where the bot had another
# name for it once, or may have, all are given and the first that is there is taken; none: the moment is missing from
# the table, which says so.
CLOCKED = {
    "event": ("bot.live.changes:Inotify._read", "bot.live.watcher:_Forward.on_any_event"),
    "mark": ("bot.live.watcher:Watcher.mark",),
    "foresee": ("bot.live.reload:Reloader.foresee",),
    "compile": ("bot.live.trial:Trial.compile", "bot.live.plan:Planner.compile"),
    "prove": ("bot.live.trial:Trial.prove",),
    "settle": ("bot.live.reload:Reloader.settle",),
    "plan": ("bot.live.plan:Planner.plan",),
    "build": ("bot.live.attempt:Attempt.build",),
    "prepare": ("bot.live.attempt:Attempt.prepare",),
    "table": ("bot.live.commit:Live.table_of",),
    "commit": ("bot.live.commit:Live.commit",),
}


def clocked(function: Callable[..., Any], name: str, write: Callable[[str], None]) -> Callable[..., Any]:
    """Wrap a function, or a coroutine function, in two moments."""
    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def waiting(*args: Any, **kwargs: Any) -> Any:
            write(name + ">")
            try:
                return await function(*args, **kwargs)
            finally:
                write(name + "<")

        return waiting

    @functools.wraps(function)
    def plain(*args: Any, **kwargs: Any) -> Any:
        write(name + ">")
        try:
            return function(*args, **kwargs)
        finally:
            write(name + "<")

    return plain


def install(path: Path) -> None:
    """Put the clocks in."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ours = os.getpid()

    def write(name: str) -> None:
        if os.getpid() == ours:  # not in a child that was forked
            os.write(file, f"{name} {time.perf_counter():.6f}\n".encode())

    for name, places in CLOCKED.items():
        if not any(_put(place, name, write) for place in places):
            print(f"no clock around {name}: the bot has none of {', '.join(places)}", file=sys.stderr)
    watch_the_loop(path.with_name(path.name + ".late"))


def _put(place: str, name: str, write: Callable[[str], None]) -> bool:
    module_name, _, inside = place.partition(":")
    *path, function = inside.split(".")
    try:
        holder: Any = functools.reduce(getattr, path, importlib.import_module(module_name))
        setattr(holder, function, clocked(getattr(holder, function), name, write))
    except (ImportError, AttributeError):
        return False
    return True


def watch_the_loop(path: Path) -> None:
    """Have each event loop of this process write down when its timer came, and how late, where that is over 0.1 ms."""
    run_forever = asyncio.BaseEventLoop.run_forever
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    ours = os.getpid()

    def ticking(loop: asyncio.BaseEventLoop) -> None:
        def tick(due: float) -> None:
            now = loop.time()
            if now - due > TICK_SECONDS / 10 and os.getpid() == ours:
                os.write(file, f"{time.perf_counter():.6f} {now - due:.6f}\n".encode())
            loop.call_at(now + TICK_SECONDS, tick, now + TICK_SECONDS)

        loop.call_soon(tick, loop.time())
        run_forever(loop)

    asyncio.BaseEventLoop.run_forever = ticking  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    install(Path(os.environ["BENCH_CLOCKS"]))
    from bot.__main__ import main

    sys.exit(main())
