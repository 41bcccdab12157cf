"""Old generations are cycles of functions and modules; this collects them in one go, in a quiet moment after a commit.

A collection of the young alone would move what is live into the oldest generation and put off the full one for ever:
12 kB stayed behind with each reload. A full one takes about 6 ms, since the bot's own imports are frozen at the start.
What is left after it is looked for by `leaks.py`.

Borrowed private name: `typing._cleanups`, the functions that empty typing's caches, which keep up to 128 old classes
each (`Optional[C]`). Without it those stay until they are pushed out (`tests/live/test_tidy.py` holds it).
"""

from __future__ import annotations

import asyncio
import gc
import typing
from collections.abc import Callable


def collect() -> None:
    """Collect all old code that nothing holds."""
    for clean in getattr(typing, "_cleanups", ()):
        clean()
    gc.collect()


class Tidy:
    """Collects once for all that ended within a few seconds.

    Args:
        seconds: gives how long to wait for a quiet moment.
        look: is called after a collection; returns in how many seconds to collect again, if at all.
    """

    def __init__(self, seconds: Callable[[], float], look: Callable[[], float | None] = lambda: None) -> None:
        self._seconds, self._look = seconds, look
        self._timer: asyncio.TimerHandle | None = None

    def soon(self) -> None:
        """A generation has ended."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._seconds(), self._collect)

    def stop(self) -> None:
        """Collect nothing more: the bot is ending."""
        if self._timer is not None:
            self._timer.cancel()

    def _collect(self) -> None:
        self._timer = None
        collect()
        again = self._look()
        if again is not None:
            self._timer = asyncio.get_running_loop().call_later(again, self._collect)
