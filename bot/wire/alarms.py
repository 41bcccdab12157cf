"""What is to be done later, by name, by one clock: the only timer of a connection.

Setting an alarm again moves it. With a clock that is stepped by hand, `tick` after each step runs what is due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarms:
    """Named alarms over one timer of the loop.

    Args:
        clock: seconds, never backwards.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._set: dict[str, tuple[float, Callable[[], None]]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def after(self, seconds: float, name: str, action: Callable[[], None]) -> None:
        """Run `action` once, `seconds` from now, in place of what stood under this name."""
        at = self._clock() + seconds
        self._set[name] = (at, action)
        if at < self._timer_at:
            self._wind(at)

    def cancel(self, *names: str) -> None:
        """Forget these alarms; without names, all."""
        for name in names or tuple(self._set):
            self._set.pop(name, None)
        if not self._set:
            self._wind(float("inf"))

    def next_at(self, name: str) -> float | None:
        """When this alarm goes off, or None when it isn't set."""
        found = self._set.get(name)
        return found[0] if found else None

    def tick(self) -> None:
        """Run what is due, the earliest first."""
        now = self._clock()
        try:
            for name, (at, action) in sorted(self._set.items(), key=lambda item: item[1][0]):
                # An action before this one may have moved or cancelled it.
                if at <= now and self._set.get(name) == (at, action):
                    del self._set[name]
                    action()
        finally:
            self._wind(min((at for at, _ in self._set.values()), default=float("inf")))

    def _wind(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._timer_at = at
        if at != float("inf"):
            self._timer = asyncio.get_running_loop().call_later(max(0.0, at - self._clock()), self.tick)
