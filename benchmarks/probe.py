"""The program with clocks around the stages of a reload: `BENCH_PROBE=FILE python -m benchmarks.probe run ...`.

The bot's own code holds no clocks. They are put around it here, in this process only, and write one line per moment:
its name and the monotonic clock, which all processes of the machine share. What is measured with clocks is used for the
table of where the time goes and for nothing else.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What is clocked: (module, class or "", function, name of the stage). Each writes `name>` on entry and `name<` at its
# end. A name that is gone from the bot fails here, at once and by name.
STAGES = (
    ("bot.live.watcher", "_Forward", "on_any_event", "event"),
    ("bot.live.reload", "Reloader", "foresee", "foresee"),
    ("bot.live.reload", "Reloader", "settle", "settle"),
    ("bot.live.discover", "Discovery", "sweep", "sweep"),
    ("bot.live.plan", "", "compile_unit", "compile"),
    ("bot.live.loader", "Build", "run", "build"),
    ("bot.live.reload", "", "build", "table"),
    ("bot.live.reload", "Reloader", "_commit", "commit"),
)


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

    def write(name: str) -> None:
        os.write(file, f"{name} {time.perf_counter():.6f}\n".encode())

    for module_name, class_name, function_name, stage in STAGES:
        __import__(module_name)
        place = sys.modules[module_name]
        if class_name:
            place = getattr(place, class_name)
        setattr(place, function_name, clocked(getattr(place, function_name), stage, write))


if __name__ == "__main__":
    install(Path(os.environ["BENCH_PROBE"]))
    from bot.__main__ import main

    sys.exit(main())
