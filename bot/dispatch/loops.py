"""Whether an author and we answer each other like two machines: the guard against loops of bots.

Looked at are rows of exchanges: a line of theirs wakes a handler, it answers, and their next line follows. A row is

    a mirror   if what we say would wake the handlers that say it, were it said by them: two bots of one kind
    uninvited  if none of their lines is a command: rules and listeners answered it

and it is a loop if it is

    quick      each of their lines within half a second of our words: no person reads and types so. 4 in a row of a
               mirror, 50 uninvited
    steady     30 in a row of either that last 20 s, in gaps that differ by less than a quarter of a second: two bots
               that both keep a pace

Commands are what we are for: whoever gives them as fast as a script, to get answers that wake nothing, gets them all.
A line that came before the one before was answered begins a new row: so does who pastes ten. (Who says that it is a bot
wakes no commands or rules anyway, see `table`.) What ends a loop is that one side is silent for a moment, so silences
are short. Pure: `now` is an argument, seconds of a clock. Lost with the worker; then a loop is found once more. Whose
lines count is `bot/manners.py`'s.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

SILENT_SECONDS: Final = 15.0
REMEMBERED: Final = 1_000  # authors, by place; the one heard of longest ago is forgotten
TEXTS: Final = 4  # of one answer

QUICK, UNINVITED, QUICK_SECONDS = 4, 50, 0.5
STEADY, STEADY_SECONDS, STEADY_SPREAD = 30, 20.0, 0.25
LONGEST_SECONDS: Final = 30.0  # a longer gap is no answer

#: Tells which handlers (by key) a text would wake.
Wakes = Callable[[str], set[str]]


class _Exchange(NamedTuple):
    gap: float
    invited: bool  # their line was a command
    speakers: set[str]  # handlers that had answered the line before
    woken: set[str]  # handlers that the answer would wake


class _Row:
    """An author in a place: what we have said to their last line, the exchanges before, how long they get no answer."""

    __slots__ = ("answer", "exchanges", "silent_until", "spoke_at")

    def __init__(self) -> None:
        self.exchanges: deque[_Exchange] = deque(maxlen=UNINVITED)
        self.answer: dict[str, str] = {}
        self.spoke_at = 0.0
        self.silent_until = float("-inf")

    def is_loop(self) -> bool:
        rows = list(self.exchanges)
        last = rows[-QUICK:]
        if len(last) == QUICK and _is_quick(last) and _is_mirror(last):
            return True
        if len(rows) == UNINVITED and _is_quick(rows) and _is_uninvited(rows):
            return True
        last = rows[-STEADY:]
        return len(last) == STEADY and _is_steady(last) and (_is_uninvited(last) or _is_mirror(last))


def _is_quick(rows: list[_Exchange]) -> bool:
    return max(each.gap for each in rows) < QUICK_SECONDS


def _is_steady(rows: list[_Exchange]) -> bool:
    gaps = [each.gap for each in rows]
    return max(gaps) - min(gaps) < STEADY_SPREAD and sum(gaps) >= STEADY_SECONDS


def _is_uninvited(rows: list[_Exchange]) -> bool:
    return not any(each.invited for each in rows)


def _is_mirror(rows: list[_Exchange]) -> bool:
    speakers = {handler for each in rows for handler in each.speakers}
    return all(each.woken & speakers for each in rows)


class Loops:
    """The authors of all places. Keys are whatever tells an author in a place from others."""

    def __init__(self) -> None:
        self._rows: OrderedDict[Hashable, _Row] = OrderedDict()

    def __len__(self) -> int:
        return len(self._rows)

    def spoke(self, key: Hashable, now: float, handler: str, text: str) -> None:
        """A handler has answered a line of theirs."""
        row = self._rows.setdefault(key, _Row())
        self._rows.move_to_end(key)
        row.spoke_at = now
        if len(row.answer) < TEXTS:
            row.answer[text] = handler
        while len(self._rows) > REMEMBERED:
            self._rows.popitem(last=False)

    def heard(self, key: Hashable, now: float, *, invited: bool, wakes: Wakes) -> float:
        """A line of theirs came that wakes a handler.

        Args:
            invited: it is a command.

        Returns:
            For how many seconds from now they are not to be answered; 0.0: answer.
        """
        row = self._rows.get(key)
        if row is None or now < row.silent_until:
            return 0.0 if row is None else row.silent_until - now
        gap, answer = now - row.spoke_at, row.answer
        row.answer = {}
        if not answer or not 0 <= gap < LONGEST_SECONDS:
            row.exchanges.clear()
            return 0.0
        woken = {handler for text in answer for handler in wakes(text)}
        row.exchanges.append(_Exchange(gap, invited, set(answer.values()), woken))
        if not row.is_loop():
            return 0.0
        row.exchanges.clear()
        row.silent_until = now + SILENT_SECONDS
        return SILENT_SECONDS
