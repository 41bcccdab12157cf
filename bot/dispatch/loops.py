"""Whether who answers us is a machine: the guard against two bots that answer each other for ever.

What tells is the gap between our last word to somebody and their next line that wakes us, over and over:

    fast     8 gaps in a row below a quarter of a second: nobody reads and types so fast
    steady   30 in a row that differ by less than a quarter of a second: two bots that both keep a pace
    bot      4 in a row of an author whom the network calls a bot, each below 5 s

A line that came before we had answered the one before begins a new row: so does who pastes ten commands, or asks on
without waiting. What ends a loop is that one side is silent for a moment, so the silence is short; should it ever hit a
person, they wait for a quarter of a minute. Pure: `now` is an argument, seconds of a clock. Lost with the worker; then
a loop is found once more. Which lines count (`!more` never does) is `bot/manners.py`'s.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Final

SILENT_SECONDS: Final = 15.0
REMEMBERED: Final = 1_000  # authors, by place; the one heard of longest ago is forgotten

FAST, FAST_SECONDS = 8, 0.25
STEADY, STEADY_SECONDS = 30, 0.25
BOT, BOT_SECONDS = 4, 5.0
LONGEST_SECONDS: Final = 30.0  # a longer gap is no answer


class _Row:
    """An author in a place: when we last answered them, the gaps after that, and how long they get no answer."""

    __slots__ = ("gaps", "silent_until", "spoke_at")

    def __init__(self) -> None:
        self.gaps: deque[float] = deque(maxlen=STEADY)
        self.spoke_at: float | None = None
        self.silent_until = float("-inf")

    def is_machine(self, bot: bool) -> bool:
        gaps = list(self.gaps)
        return (
            (len(gaps) >= FAST and max(gaps[-FAST:]) < FAST_SECONDS)
            or (len(gaps) >= STEADY and max(gaps) - min(gaps) < STEADY_SECONDS)
            or (bot and len(gaps) >= BOT and max(gaps[-BOT:]) < BOT_SECONDS)
        )


class Loops:
    """The authors of all places. Keys are whatever tells an author in a place from others."""

    def __init__(self) -> None:
        self._rows: OrderedDict[Hashable, _Row] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def spoke(self, key: Hashable, now: float) -> None:
        """We have answered a line of theirs."""
        row = self._rows.setdefault(key, _Row())
        self._rows.move_to_end(key)
        row.spoke_at = now
        while len(self._rows) > REMEMBERED:
            self._rows.popitem(last=False)

    def heard(self, key: Hashable, now: float, *, bot: bool = False) -> float:
        """A line of theirs came that wakes a handler.

        Returns:
            For how many seconds from now they are not to be answered; 0.0: answer.
        """
        row = self._rows.get(key)
        if row is None or now < row.silent_until:
            return 0.0 if row is None else row.silent_until - now
        gap, row.spoke_at = None if row.spoke_at is None else now - row.spoke_at, None
        if gap is None or not 0 <= gap < LONGEST_SECONDS:
            row.gaps.clear()
            return 0.0
        row.gaps.append(gap)
        if not row.is_machine(bot):
            return 0.0
        row.gaps.clear()
        row.silent_until = now + SILENT_SECONDS
        return SILENT_SECONDS
