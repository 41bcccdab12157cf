"""Log lines for a person at a terminal, as `neverquit run` writes them there: short times, marks and colours.

    12:03:04 ✓ weather g4 -> g5 (1a2b3c4 -> 5d6e7f8): ~weather, 9 ms
    12:03:09 ✗ weather stays g5: weather.py:12: SyntaxError: expected ':'; the old version goes on answering
                12 | def weather(ctx)
                   |                 ^

Each entry of a report stands on lines of its own, and a refused file shows the line at fault. Everything else is a log
record like any other. No colours with NO_COLOR (https://no-color.org) or TERM=dumb. What is cleaned and what is written
where stays with `bot/logs.py`; a file or a pipe gets its plain lines, never these.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import textwrap
import time
import unicodedata
from collections.abc import Iterator, Mapping
from typing import TextIO

from bot.live.outcome import Failed
from bot.live.report import Entry, Report
from bot.logs import clean, fields_of, trace_of

MOST_ENTRIES = 8  # of one report; a checkout of 50 files should leave what was there before in sight
_REMEMBERED = 32  # faults whose report has not come yet; it may never, if the next save mends them
_INDENT = " " * 11  # up to where the text begins, after time and mark
_MARKS = {"good": "✓", "bad": "✗", "warning": "!", "info": "·"}
_PLAIN_MARKS = {"good": "+", "bad": "x", "warning": "!", "info": "-"}
_COLOURS = {"good": "32", "bad": "31", "warning": "33", "dim": "2"}


class Terminal:
    """Makes lines for one terminal.

    Args:
        stream: the terminal, which is asked for its width and encoding.
        environment: where NO_COLOR and TERM are looked up.
    """

    def __init__(self, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._colours = not environment.get("NO_COLOR") and environment.get("TERM", "dumb") != "dumb"
        try:
            "".join(_MARKS.values()).encode(stream.encoding or "ascii")
            self._marks = _MARKS
        except (UnicodeEncodeError, LookupError):
            self._marks = _PLAIN_MARKS
        self._faults: dict[str, tuple[int, str, int]] = {}  # by the error's text: line number, line, column from 1 or 0

    def failed(self, failed: Failed) -> None:
        """Remember the line of source at fault until the report comes: the file may have changed by then."""
        error = failed.error
        sources = (source for unit in failed.units.values() for source in unit.sources.values())
        content = next((source.content for source in sources if source.shown == error.path), b"")
        try:
            line = importlib.util.decode_source(content).splitlines()[error.line - 1] if error.line else ""
        except (SyntaxError, ValueError, IndexError):  # that may well be the fault
            return
        if line.strip():
            self._faults[clean(str(error))] = error.line, line, error.column
        while len(self._faults) > _REMEMBERED:
            del self._faults[next(iter(self._faults))]

    def line(self, record: logging.LogRecord) -> str:
        """Return a record as it is shown: one line or more, without a newline at the end."""
        when = self._paint("dim", time.strftime("%H:%M:%S", time.localtime(record.created)))
        if isinstance(record.msg, Report):
            return "\n".join(f"{when} {each}" for each in self._report(record.msg))
        grade = "bad" if record.levelno >= logging.ERROR else "info"
        grade = "warning" if record.levelno == logging.WARNING else grade
        where = " ".join(map(clean, (record.name, *fields_of(record).values()))) + ":"
        first, *rest = self._wrapped(f"{where} {clean(record.getMessage())}")
        if first.startswith(where):
            first = self._paint("dim", where) + self._paint(grade, first.removeprefix(where))
        lines = [f"{when} {self._paint(grade, self._marks[grade])} {first}"]
        lines += [_INDENT + self._paint(grade, each) for each in rest]
        return "\n".join(lines + [_INDENT + self._paint("dim", each) for each in trace_of(record)])

    def _report(self, report: Report) -> Iterator[str]:
        ordered = sorted(report.entries, key=lambda entry: entry.ok)
        for entry in ordered[:MOST_ENTRIES]:
            yield self._entry(entry)
        if len(ordered) > MOST_ENTRIES:
            yield self._paint("dim", f"{self._marks['info']} +{len(ordered) - MOST_ENTRIES} more")

    def _entry(self, entry: Entry) -> str:
        grade, text = "good" if entry.ok else "bad", clean(entry.text)
        first, *rest = self._wrapped(text)
        lines = [self._paint(grade, f"{self._marks[grade]} {first}")]
        lines += [_INDENT + self._paint(grade, each) for each in rest]
        why = None if entry.ok else next((why for why in self._faults if why in text), None)
        if why is not None:
            lines += self._source(*self._faults.pop(why))
        return "\n".join(lines)

    def _source(self, number: int, line: str, column: int) -> Iterator[str]:
        before = line[: max(column - 1, 0)].expandtabs()
        shown = line.expandtabs().rstrip()
        margin = f"{number:>4} | "
        room = self._room() - len(margin)
        start = max(0, min(len(before) - room // 2, len(shown) - room))  # where the fault is in sight
        yield _INDENT + self._paint("dim", margin) + clean(shown[start : start + room])
        if column:
            gap = " " * sum(map(_cells, before[start:]))
            yield _INDENT + self._paint("dim", "| ".rjust(len(margin))) + gap + self._paint("bad", "^")

    def _wrapped(self, text: str) -> list[str]:
        return textwrap.wrap(text, self._room(), break_on_hyphens=False) or [""]

    def _room(self) -> int:
        """Columns beside the indentation."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):  # not a terminal any more
            columns = 80
        return max(columns - len(_INDENT), 20)

    def _paint(self, colour: str, text: str) -> str:
        code = _COLOURS.get(colour)
        return f"\x1b[{code}m{text}\x1b[0m" if self._colours and code else text


def _cells(character: str) -> int:
    """Return how many columns a character takes."""
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1
