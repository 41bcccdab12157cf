"""Whether an author and we answer each other like two machines: the guard against loops of bots.

Looked at are rows of exchanges: a line of theirs wakes a handler, it answers, and their next line follows. A row is

    a mirror   if what we say would wake the handlers that say it, were it said by them: two bots of one kind
    uninvited  if none of their lines is a command: rules and listeners answered it

and it is a loop if it is

    quick      a mirror, 4 exchanges in a row, each of their lines within half a second of our words: no person reads
               and types so
    steady     a mirror or uninvited, 30 in a row that last 20 s, in gaps that differ by less than a quarter of a
               second: two bots that both keep a pace

Commands are what we are for: whoever gives them as fast as a script, to get answers that wake nothing, gets them all.
A line that came before the one before was answered begins a new row: so does who pastes ten. (Who says that it is a bot
wakes no commands or rules anyway, see `table`.) What ends a loop is that
one side is silent for a moment, so the silence is short. Pure: `now` is an argument, seconds of a clock. Lost with the
worker; then a loop is found once more. Whose lines count is `bot/manners.py`'s.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Final, NamedTuple

SILENT_SECONDS: Final = 15.0
REMEMBERED: Final = 1_000  # authors, by place; the one heard of longest ago is forgotten
TEXTS: Final = 4  # of one answer

QUICK, QUICK_SECONDS = 4, 0.5
STEADY, STEADY_SECONDS, STEADY_SPREAD = 30, 20.0, 0.25
LONGEST_SECONDS: Final = 30.0  # a longer gap is no answer

#: Tells which handlers (by key) a text would wake.
Wakes = Callable[[str], set[str]]


class _Exchange(NamedTuple):
    gap: float
    invited: bool  # their line was a command
    answer: dict[str, str]  # text -> the handler that said it


class _Row:
    """An author in a place: what we have said to their last line, the exchanges before, how long they get no answer."""

    __slots__ = ("answer", "exchanges", "silent_until", "spoke_at")

    def __init__(self) -> None:
        self.exchanges: deque[_Exchange] = deque(maxlen=STEADY)
        self.answer: dict[str, str] = {}
        self.spoke_at = 0.0
        self.silent_until = float("-inf")

    def is_loop(self, wakes: Wakes) -> bool:
        quick = list(self.exchanges)[-QUICK:]
        if len(quick) == QUICK and max(each.gap for each in quick) < QUICK_SECONDS and _is_mirror(quick, wakes):
            return True
        gaps = [each.gap for each in self.exchanges]
        if len(gaps) < STEADY or max(gaps) - min(gaps) >= STEADY_SPREAD or sum(gaps) < STEADY_SECONDS:
            return False
        return not any(each.invited for each in self.exchanges) or _is_mirror(quick, wakes)


def _is_mirror(exchanges: list[_Exchange], wakes: Wakes) -> bool:
    speakers = {handler for each in exchanges for handler in each.answer.values()}
    return all(any(wakes(text) & speakers for text in each.answer) for each in exchanges)


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
        row.exchanges.append(_Exchange(gap, invited, answer))
        if not row.is_loop(wakes):
            return 0.0
        row.exchanges.clear()
        row.silent_until = now + SILENT_SECONDS
        return SILENT_SECONDS
