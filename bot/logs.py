"""Logging: one record is one line on standard error, with where it belongs, without secrets, and never a flood.

`setup` hangs one handler on the root logger; everybody else uses the standard library's `logging.getLogger(__name__)`.
`context` says which network, channel and plugin the code inside works for; tasks and threads that are started inside
inherit it as contextvars do. `redact` makes a text unprintable here for good. A record may hold what strangers sent, so
all that is not printable is escaped: a nick can neither begin a line of its own nor colour the terminal.

Each record costs the same however many secrets and fields there are, within one regular expression; nothing is queued,
so that the last line before a crash is there, and a fork needs no thread. (The keeper, which must never wait for who
reads them, gives it a stream that queues: `wire/spool.py`.) The standard library only.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextvars import ContextVar, Token
from typing import Any, Literal, Protocol, TextIO

SAME_PER_MINUTE = 10  # enough to see a pattern, and a page of terminal
PLUGINS_SAME_PER_MINUTE = 1000  # of what a plugin says that is no warning: more is a loop, and fills a disk
_SHORTEST = 4  # a shorter secret stands in half of all lines by chance
_CHATTY = ("irc", "asyncio", "watchdog")  # their debug lines say each event and each byte again

Fields = Mapping[str, str]
_fields: ContextVar[Fields] = ContextVar("log fields")
_secrets: set[str] = set()
_pattern: re.Pattern[str] | None = None
_handler: _LineHandler | None = None


class Stream(Protocol):
    """Where lines go: a file, or whatever can take text."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> object: ...


class Revealing(Protocol):
    """A secret that shows itself on request, `bot.config.Secret`."""

    def reveal(self) -> str: ...


def setup(
    level: str = "info",
    format: Literal["text", "json"] = "text",
    stream: Stream | None = None,
    line: Callable[[logging.LogRecord], str] | None = None,
) -> None:
    """Log everything from `level` up to `stream` (standard error), in place of what an earlier call set up.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        format: `text`, a line for people with tracebacks below it, or `json`, one object a line.
        line: makes the lines instead; it cleans what it takes from a record, and may raise.
    """
    global _handler
    root = logging.getLogger()
    if _handler:
        root.removeHandler(_handler)
        _handler.close()
    own = None if stream else _own_standard_error()
    _handler = _LineHandler(stream or own or sys.stderr, line or (_as_json if format == "json" else _as_text))
    _handler.own = own
    root.addHandler(_handler)
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.INFO))


def _own_standard_error() -> TextIO | None:
    """Standard error on a descriptor of our own: a plugin that closes or replaces `sys.stderr` must not silence us."""
    if sys.stderr is sys.__stderr__ and sys.stderr is not None:
        try:
            return os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8", errors="backslashreplace")
        except (OSError, ValueError):
            pass
    return None


class context:
    """`with context(network="libera", plugin="karma"):` adds these fields to every record made inside."""

    __slots__ = ("_added", "_token")

    def __init__(self, network: str | None = None, channel: str | None = None, plugin: str | None = None) -> None:
        fields = {"network": network, "channel": channel, "plugin": plugin}
        self._added = {name: value for name, value in fields.items() if value is not None}
        self._token: Token[Fields] | None = None

    def __enter__(self) -> None:
        self._token = _fields.set({**_fields.get({}), **self._added})

    def __exit__(self, *_error: object) -> None:
        if self._token:
            try:
                _fields.reset(self._token)
            except ValueError:  # a generator closed by another task: the context it was entered in is gone
                pass


def redact(*secrets: str | Revealing) -> None:
    """Never write these texts: `***` stands for them, as they are, as `repr` has them, and inside of base64.

    Texts of fewer than 4 characters are passed over.
    """
    global _pattern
    for secret in secrets:
        text = secret if isinstance(secret, str) else secret.reveal()
        if len(text) >= _SHORTEST:
            _secrets.update((text, repr(text)[1:-1], json.dumps(text)[1:-1], *_in_base64(text)))
    if _secrets:
        _pattern = re.compile("|".join(re.escape(text) for text in sorted(_secrets, key=len, reverse=True)))


def clean(text: str) -> str:
    """Text without secrets, on one line, with nothing that a terminal obeys."""
    if _pattern:
        text = _pattern.sub("***", text)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escape(c) for c in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def _in_base64(text: str) -> list[str]:
    """What each base64 text contains that has this one inside (SASL PLAIN, HTTP Basic), at its three offsets."""
    found = []
    for offset in range(3):
        raw = b"\0" * offset + text.encode("utf-8", "surrogatepass")
        whole = base64.b64encode(raw[: len(raw) // 3 * 3]).decode("ascii")[4 if offset else 0 :]
        if len(whole) >= 2 * _SHORTEST:
            found.append(whole)
    return found


def fields_of(record: logging.LogRecord) -> Fields:
    """The fields of the place where the record was made."""
    fields: Fields = record.__dict__.setdefault("fields", _fields.get({}))
    return fields


def trace_of(record: logging.LogRecord) -> list[str]:
    """The lines of a record's traceback and stack, cleaned."""
    text = ""
    if record.exc_info and record.exc_info[0]:
        remote = getattr(record.exc_info[1], "remote_trace", None)  # of another process: it says what was raised itself
        text = remote if isinstance(remote, str) else logging.Formatter().formatException(record.exc_info)
    return [clean(line) for line in f"{text}\n{record.stack_info or ''}".split("\n") if line.strip()]


def _as_text(record: logging.LogRecord) -> str:
    when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(record.created))
    where = "".join(f" {clean(value)}" for value in fields_of(record).values())
    head = f"{when}.{int(record.msecs):03d} {record.levelname.lower():<7} {clean(record.name)}{where}: "
    return "\n    ".join([head + clean(record.getMessage()), *trace_of(record)])


def _as_json(record: logging.LogRecord) -> str:
    when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    entry: dict[str, Any] = {
        "time": f"{when}.{int(record.msecs):03d}Z",
        "level": record.levelname.lower(),
        "logger": clean(record.name),
        **{name: clean(value) for name, value in fields_of(record).items()},
        "message": clean(record.getMessage()),
    }
    if trace := trace_of(record):
        entry["trace"] = "\n".join(trace)
    return json.dumps(entry)


class Burst:
    """Counts records that are the same; after `limit` in `seconds` it holds them back and says how many at the end.

    Bounded: of more than `most` kinds at once, the oldest is told early. Keeps texts, never a record: its traceback
    would keep the frames, and with them the old code of a plugin that was reloaded since.
    """

    def __init__(self, limit: int = SAME_PER_MINUTE, seconds: float = 60.0, most: int = 500) -> None:
        self.limit, self.seconds, self.most = limit, seconds, most
        self._kinds: OrderedDict[object, tuple[float, int, dict[str, Any]]] = OrderedDict()

    def admit(self, record: logging.LogRecord, now: float) -> bool:
        """Whether to write this one. Call `ended` first."""
        kind = _kind(record)
        since, count, about = self._kinds.get(kind) or (now, 0, _about(record))
        self._kinds[kind] = (since, count + 1, about)
        return count < self.limit

    def ended(self, now: float) -> list[logging.LogRecord]:
        """A line to write for each kind of which some were held back and whose time is over at `now`."""
        over = []
        while self._kinds:
            since, count, about = next(iter(self._kinds.values()))
            if now < since + self.seconds and len(self._kinds) <= self.most:
                break
            self._kinds.popitem(last=False)
            if count > self.limit:
                text = f"... {count - self.limit} more like this: {about['msg']}"
                over.append(logging.makeLogRecord({**about, "msg": text}))
        return over


def _kind(record: logging.LogRecord) -> object:
    """What makes two records the same: the place in the code, the text before its arguments, the error, the fields."""
    error = record.exc_info[0] if record.exc_info else None
    name = f"{error.__module__}.{error.__qualname__}" if error else ""
    return record.pathname, record.lineno, record.levelno, str(record.msg), name, tuple(fields_of(record).values())


def _about(record: logging.LogRecord) -> dict[str, Any]:
    """What a later line says about this record; without arguments, or it might keep them alive."""
    kept = ("name", "levelno", "levelname", "fields")
    return {**{name: record.__dict__[name] for name in kept}, "msg": record.getMessage()}


class _LineHandler(logging.StreamHandler[Stream]):
    """Writes lines; folds bursts of warnings and errors, and of plugins; says nothing when writing itself fails."""

    own: TextIO | None = None  # what `setup` opened, closed with the handler

    def __init__(self, stream: Stream, line: Any) -> None:
        super().__init__(stream)
        self.line, self.burst, self.chatter = line, Burst(), Burst(PLUGINS_SAME_PER_MINUTE)

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        grave = record.levelno >= logging.WARNING
        try:
            ended = self.burst.ended(now) + self.chatter.ended(now)
            if grave or record.name.startswith("plugins."):
                admitted = (self.burst if grave else self.chatter).admit(record, now)
            else:
                admitted = True
        except Exception:  # a message that can't be made; `write` says so
            ended, admitted = [], True
        for line in ended:
            self.write(line)
        if admitted:
            self.write(record)

    def write(self, record: logging.LogRecord) -> None:
        try:
            try:
                line = self.line(record)
            except Exception as error:  # arguments that don't fit, a __str__ that raises: say where, not what
                where = f"{record.pathname}:{record.lineno}"
                line = clean(f"a log record from {where} can't be written: {type(error).__name__}")
            self.stream.write(line + "\n")
            self.stream.flush()
        except (OSError, ValueError):  # nobody reads standard error any more; that ends no bot
            pass

    def close(self) -> None:
        """Say what is held back; the logging module calls this when the program ends."""
        for line in self.burst.ended(float("inf")) + self.chatter.ended(float("inf")):
            self.write(line)
        super().close()
        if self.own is not None:
            try:
                self.own.close()
            except OSError:
                pass
