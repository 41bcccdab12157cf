"""What a call has done to the store, written down with the doing, so that doing it again changes nothing.

A worker may end in the middle of a call; the next one is handed the line again and runs the call again. Each change
that a call makes to a store is a numbered step: the change, its number and what was there before are one transaction of
SQLite. Run again, the call finds its steps done: of a row it reads what it read the first time, and to a row it writes
nothing, up to where it had come with that row; then it goes on for real. At its end its answers are written down as
well: a line that comes again after that is answered from there, and nothing runs. Once the keeper has heard that a line
is finished, its steps are forgotten.

By row and not in one sequence, since a call may do things side by side and come to them in another order. A transaction
for each step and not one for the call, since calls take turns on one connection and read what others have written.

Names: a *deed* is one call of one handler for one line, under the boot of the keeper that numbers the lines. Without a
keeper that outlives this process there are none. The rows are `storage.py`'s, who begins and ends a deed is `calls.py`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any, NamedTuple, Protocol

from bot.errors import StoreError

log = logging.getLogger(__name__)

FORGET_AT = 64  # finished deeds that are forgotten in one go

Cell = tuple[int, str]  # the place of a row in its table, and its JSON
Before = Callable[[], dict[str, "Cell | None"]]


class Row(NamedTuple):
    """One row of a store, or with no key all rows of a part."""

    plugin: str
    store: str
    part: str
    key: str | None


class Step(NamedTuple):
    """One change that an earlier run has made.

    Attributes:
        before: what was there, by key; None where there was nothing.
        result: what the change gave.
    """

    row: Row
    before: dict[str, Cell | None]
    result: str | None


class Rows(Protocol):
    """The open file."""

    def ask(self, sql: str, *values: object) -> list[Any]: ...
    def tell(self, sql: str, *values: object) -> tuple[int, int]: ...
    def transaction(self) -> AbstractContextManager[Any]: ...


current: ContextVar[Deed | None] = ContextVar("deed", default=None)


class Deed:
    """One call that may have been made before. Used by one call, from whatever threads that runs in."""

    __slots__ = ("_before", "_book", "_changed", "_left", "_over", "answered", "handler", "line", "said")

    def __init__(self, book: Book, line: str, handler: str) -> None:
        self._book, self.line, self.handler = book, line, handler
        self.said: list[tuple[str, str]] = []  # network and line, in the order of k
        self.answered: list[tuple[str, str]] | None = None  # what an earlier run had said in the end
        self._left: list[Step] = []  # what an earlier run did and this one has not come to
        self._before = 0  # how many steps there are in the book
        self._changed = self._over = False

    def recall(self) -> None:
        """Find out what an earlier run has done."""
        self._left = self._book.steps(self.line, self.handler)
        self._before = len(self._left)
        self.answered = self._book.answers(self.line, self.handler)

    def seen(self, row: Row, now: Callable[[], str | None]) -> str | None:
        """Return what the call finds in a row: what it found the first time, as far as it had come."""
        for step in self._left:
            if row.key in step.before and step.row[:3] == row[:3]:
                cell = step.before[row.key]
                return cell[1] if cell is not None else None
        return now()

    def touched(self, plugin: str, store: str, part: str) -> dict[str, Cell | None]:
        """Return the rows that an earlier run changed and this one has not come to, as they were before."""
        found: dict[str, Cell | None] = {}
        for step in self._left:
            if step.row[:3] == (plugin, store, part):
                found = {**step.before, **found}
        return found

    def step(self, row: Row, before: Before, change: Callable[[], str | None]) -> str | None:
        """Make a change, once; return what `change` gave, which is written down as well.

        Args:
            before: reads what is there.
            change: makes the change; in one transaction with the note of it.
        """
        if self._over:  # a task that the call has left behind; the line is finished
            return change()
        self._changed = True
        for place, step in enumerate(self._left):
            if step.row == row:
                del self._left[place]
                return step.result
        return self._book.note(self, row, before, change)

    def next_number(self) -> int:
        """Return the number of a new step; for the book, under its lock."""
        self._before += 1
        return self._before - 1

    def end(self) -> None:
        """The call has ended: what it said is its answer for good, if it changed anything."""
        self._over = True
        if self._changed:
            self._book.answer(self.line, self.handler, self.said)


class Book:
    """The deeds of all calls, in the store's file. One writer: the worker.

    Args:
        rows: the open file.

    Attributes:
        when_heard: has something called when the keeper has read all that was said so far.
    """

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self.when_heard: Callable[[Callable[[], object]], object] = lambda action: action()
        self._boot = ""
        self._others = True  # notes for other keepers' lines may be there still
        self._noted: set[str] = set()  # lines with deeds
        self._before: set[str] = set()  # of these, those that a worker before has noted
        self._finished: list[str] = []

    def open(self, boot: str) -> None:
        """Begin to keep book for the lines of one keeper; those of others will never come again."""
        self._boot = boot
        self._noted = {line for (line,) in self._rows.ask("SELECT DISTINCT line FROM deeds WHERE boot=?", boot)}
        self._before = set(self._noted)
        try:
            with self._rows.transaction():
                self._void()
            self._others = False
        except StoreError as error:
            log.warning("notes of an earlier run of the bot are left for later: %s", error)

    def _void(self) -> None:
        for table in ("deeds", "answers"):
            self._rows.tell(f"DELETE FROM {table} WHERE boot <> ?", self._boot)

    def begin(self, line: str, handler: str, again: bool) -> Deed | None:
        """Return the deed of a call, None where no book is kept.

        Args:
            again: the line was handed to a worker before.
        """
        if not self._boot:
            return None
        deed = Deed(self, line, handler)
        if again and line in self._noted:
            deed.recall()
        return deed

    def finished(self, line: str) -> None:
        """The keeper is told that a line is done: once it has heard that, its deeds may be forgotten."""
        if line in self._noted:
            self._noted.discard(line)
            self._finished.append(line)
            if len(self._finished) >= FORGET_AT:
                lines, self._finished = self._finished, []
                self.when_heard(lambda: self._forget(lines))

    def unfinished(self, lines: Collection[str]) -> None:
        """Workers before have left these lines unfinished, and no others: what is noted for others may be forgotten."""
        finished = sorted((self._before & self._noted).difference(lines))
        self._before.clear()
        self._noted.difference_update(finished)
        for start in range(0, len(finished), FORGET_AT):
            self._forget(finished[start : start + FORGET_AT])

    def _forget(self, lines: list[str]) -> None:
        marks = ",".join("?" * len(lines))
        try:
            with self._rows.transaction():
                for table in ("deeds", "answers"):
                    self._rows.tell(f"DELETE FROM {table} WHERE line IN ({marks})", *lines)
        except StoreError as error:
            log.warning("notes of %d finished lines are left for the next worker to forget: %s", len(lines), error)

    # -- for the deeds

    def steps(self, line: str, handler: str) -> list[Step]:
        found = self._rows.ask(
            "SELECT plugin, name, part, key, before, result FROM deeds WHERE boot=? AND line=? AND handler=? "
            "ORDER BY step",
            *(self._boot, line, handler),
        )
        return [Step(Row(*row), _cells(json.loads(before)), result) for *row, before, result in found]

    def answers(self, line: str, handler: str) -> list[tuple[str, str]] | None:
        found = self._rows.ask(
            "SELECT texts FROM answers WHERE boot=? AND line=? AND handler=?", self._boot, line, handler
        )
        return [(network, text) for network, text in json.loads(found[0][0])] if found else None

    def note(
        self,
        deed: Deed,
        row: Row,
        before: Before,
        change: Callable[[], str | None],
    ) -> str | None:
        with self._rows.transaction():
            if self._others:
                self._void()  # their lines have the same numbers
            self._noted.add(deed.line)
            was, result = before(), change()
            self._rows.tell(
                "INSERT INTO deeds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(self._boot, deed.line, deed.handler, deed.next_number(), *row, json.dumps(was), result),
            )
        self._others = False
        return result

    def answer(self, line: str, handler: str, said: Iterable[Any]) -> None:
        self._rows.tell(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", self._boot, line, handler, json.dumps(list(said))
        )


def _cells(before: dict[str, Any]) -> dict[str, Cell | None]:
    return {key: (int(cell[0]), str(cell[1])) if cell is not None else None for key, cell in before.items()}
