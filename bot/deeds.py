"""What a call has done to the store, written down with the doing, so that doing it again changes nothing.

A worker may end in the middle of a call; the next one is handed the line again and runs the call again. Each change
that a call makes to a store is a numbered step: the change, its number and what was there before are one transaction of
SQLite. Run again, the call finds its steps done: it reads what it read the first time and writes nothing, up to where
it had come; then it goes on for real. At its end its answers are written down as well: a line that comes again after
that is answered from there, and nothing runs. Once a line is finished its steps are forgotten.

Names: a *deed* is one call of one handler for one line, under the boot of the keeper that numbers the lines. Without a
keeper that outlives this process there are none. The rows are `storage.py`'s, who begins and ends a deed is `calls.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bot.storage import Backend

Row = tuple[str, str, str, str]  # plugin, name of the store, part, key
FORGET_AT = 64  # finished deeds that are forgotten in one go

current: ContextVar[Deed | None] = ContextVar("deed", default=None)


class Deed:
    """One call that may have been made before. Used by one call, from whatever thread that runs in.

    Attributes:
        steps: how many this run has taken.
    """

    __slots__ = ("_before", "_book", "answered", "handler", "line", "said", "steps")

    def __init__(self, book: Book, line: str, handler: str) -> None:
        self._book, self.line, self.handler = book, line, handler
        self.steps = 0
        self.said: list[tuple[str, str]] = []  # network and line, in the order of k
        self._before: list[tuple[Row, str | None]] = []  # what an earlier run did: each row, and what it held
        self.answered: list[tuple[str, str]] | None = None  # what an earlier run had said in the end

    def recall(self) -> None:
        """Find out what an earlier run has done."""
        self._before = self._book.steps(self.line, self.handler)
        self.answered = self._book.answers(self.line, self.handler)

    def seen(self, row: Row, now: Callable[[], str | None]) -> str | None:
        """Return what the call finds in a row: what it found the first time, as far as it had come."""
        for other, before in self._before[self.steps :]:
            if other == row:
                return before
        return now()

    def touched(self) -> dict[Row, str | None]:
        """Return the rows that an earlier run changed and this one has not come to, as they were before."""
        found: dict[Row, str | None] = {}
        for row, before in self._before[self.steps :]:
            found.setdefault(row, before)
        return found

    def step(self, row: Row, before: Callable[[], str | None], change: Callable[[], str | None]) -> str | None:
        """Make a change, once; return what `change` gave, which is written down as well.

        Args:
            before: reads the row.
            change: makes the change; in one transaction with the note of it.
        """
        number, self.steps = self.steps, self.steps + 1
        if number < len(self._before):
            return self._book.result(self.line, self.handler, number)
        return self._book.note(self.line, self.handler, number, row, before, change)

    def end(self) -> None:
        """The call has ended: what it said is its answer for good, if it changed anything."""
        if self.steps:
            self._book.answer(self.line, self.handler, self.said)


class Book:
    """The deeds of all calls, in the store's file. One writer: the worker.

    Args:
        backend: the open file.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._boot = ""
        self._noted: set[str] = set()  # lines with deeds
        self._finished: list[str] = []

    def open(self, boot: str) -> None:
        """Begin to keep book for the lines of one keeper; those of others will never come again."""
        self._boot = boot
        for table in ("deeds", "answers"):
            self._backend.tell(f"DELETE FROM {table} WHERE boot <> ?", boot)
        self._noted = {line for (line,) in self._backend.ask("SELECT DISTINCT line FROM deeds")}

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
        """The line is done: its deeds may be forgotten, some time."""
        if line in self._noted:
            self._noted.discard(line)
            self._finished.append(line)
            if len(self._finished) >= FORGET_AT:
                self.forget()

    def forget(self) -> None:
        """Forget what is finished."""
        lines, self._finished = self._finished, []
        marks = ",".join("?" * len(lines))
        if lines:
            with self._backend.transaction():
                for table in ("deeds", "answers"):
                    self._backend.tell(f"DELETE FROM {table} WHERE line IN ({marks})", *lines)

    # -- for the deeds

    def steps(self, line: str, handler: str) -> list[tuple[Row, str | None]]:
        found = self._backend.ask(
            "SELECT plugin, name, part, key, before FROM deeds WHERE line=? AND handler=? ORDER BY step", line, handler
        )
        return [((plugin, name, part, key), before) for plugin, name, part, key, before in found]

    def answers(self, line: str, handler: str) -> list[tuple[str, str]] | None:
        found = self._backend.ask("SELECT texts FROM answers WHERE line=? AND handler=?", line, handler)
        return [(network, text) for network, text in json.loads(found[0][0])] if found else None

    def result(self, line: str, handler: str, step: int) -> str | None:
        found = self._backend.ask("SELECT result FROM deeds WHERE line=? AND handler=? AND step=?", line, handler, step)
        return None if not found or found[0][0] is None else str(found[0][0])

    def note(
        self,
        line: str,
        handler: str,
        step: int,
        row: Row,
        before: Callable[[], str | None],
        change: Callable[[], str | None],
    ) -> str | None:
        self._noted.add(line)
        with self._backend.transaction():
            was, result = before(), change()
            self._backend.tell(
                "INSERT INTO deeds VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                *(self._boot, line, handler, step, *row, was, result),
            )
        return result

    def answer(self, line: str, handler: str, said: Iterable[Any]) -> None:
        self._backend.tell(
            "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?)", self._boot, line, handler, json.dumps(list(said))
        )
