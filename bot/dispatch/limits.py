"""How often one user may run one command: `@command(..., limit="3/10s")`.

A sliding window per handler and user: in no stretch of ten seconds are there more than three runs, which is what the
text says; a bucket that refills would let six pass. No clock of its own, `now` is an argument. Memory is bounded: of
10,000 users the one longest unseen is forgotten, which can only be kind to them. Who counts as one user (an account,
else ident and host) and what a refusal says is the pipeline's.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Final

from bot.api.durations import parse_duration

REMEMBERED: Final = 10_000  # windows, some 700 bytes each
MOST: Final = 1_000  # runs in a window: each is remembered


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `count` runs in any `seconds`."""

    count: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read `3/10s`, `1/m`, `100/1h30m`.

        Raises:
            ValueError: it is no limit; the text is a sentence.
        """
        count, slash, per = (part.strip() for part in str(text).partition("/"))
        if not (slash and per and count.isascii() and count.isdigit()):
            raise ValueError(f"`{text}` is no limit; write it as 3/10s: how many times in how long")
        if not 0 < len(count) < 8 or not 0 < int(count) <= MOST:
            raise ValueError(f"`{text}` is no limit; the number of times goes from 1 to {MOST}")
        return cls(int(count), parse_duration(per if per[0].isdigit() else f"1{per}"))


class Limits:
    """The windows of all handlers and users.

    Args:
        remembered: how many windows are kept.
    """

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        # By handler and user, the one seen last at the end: when each run of the window was, the newest last.
        self._windows: OrderedDict[tuple[Hashable, Hashable], deque[float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def taken(self, now: float) -> list[tuple[Hashable, Hashable, list[float]]]:
        """Return all windows: handler, user, and how many seconds ago each run was."""
        return [(handler, user, [now - run for run in runs]) for (handler, user), runs in self._windows.items() if runs]

    def go_on(self, taken: Iterable[tuple[Hashable, Hashable, list[float]]], now: float) -> None:
        """Begin with the windows of another; see `taken`."""
        for handler, user, ages in taken:
            self._windows[handler, user] = deque(now - age for age in ages)

    def allow(self, handler: Hashable, user: Hashable, limit: Limit, now: float) -> float:
        """Take one run, if there is one to take.

        Args:
            handler: survives reloads if the window should, `weather.forecast`.
            now: seconds on any clock; one that steps back neither gives nor takes.

        Returns:
            0.0 and the run is taken, or the seconds until it would be allowed; asking costs nothing.
        """
        key = (handler, user)
        runs = self._windows.setdefault(key, deque())
        self._windows.move_to_end(key)
        while len(self._windows) > self._remembered:
            self._windows.popitem(last=False)
        if runs and (step := runs[-1] - now) > 0:
            runs = self._windows[key] = deque(run - step for run in runs)
        while runs and now >= runs[0] + limit.seconds:
            runs.popleft()
        if len(runs) >= limit.count:
            return runs[-limit.count] + limit.seconds - now
        runs.append(now)
        return 0.0
