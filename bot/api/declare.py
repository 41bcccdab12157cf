"""The decorators: each marks a function with what it is for, and does nothing else.

A mark is a frozen value in the list `function.__neverquit__`; the function itself is returned unchanged, so it can
still be called, tested and wrapped. Who reads the marks: `live/declared.py`, once a module has been executed. A mistake
in a declaration (an empty command name, a regular expression that is none) is raised here, at the line of the
decorator.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from bot.api.durations import parse_duration
from bot.api.events import FIELDS

F = TypeVar("F", bound=Callable[..., Any])

MARK = "__neverquit__"

# Every function declared while one module is being executed, in order. Two with one name show up here and nowhere
# else, since the second replaces the first in the module's namespace.
ledger: ContextVar[list[Callable[..., Any]] | None] = ContextVar("ledger", default=None)

# 32 characters: longer ones can't be typed in a channel by anyone, nor can what is not printable. The dot belongs to
# `!plugin.command`.
_NAME = re.compile(r"[^\s.]{1,32}")

EVENTS = frozenset(FIELDS) - {"numeric"}


@dataclass(frozen=True, slots=True)
class Command:
    """A command of chatters: `!name rest of the line`."""

    name: str
    aliases: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]  # (what is said, what is answered); "..." in an answer matches any text
    admin: bool
    limit: str | None  # "3/10s": how often one user may; None: as often as they like


@dataclass(frozen=True, slots=True)
class Rule:
    """A regular expression, searched in channel lines that ran no command."""

    pattern: str


@dataclass(frozen=True, slots=True)
class On:
    """An event of IRC by name, or a numeric by its three digits."""

    event: str


@dataclass(frozen=True, slots=True)
class Every:
    """A periodic job: `seconds` between two runs, or a cron line in local time. Exactly one of both is set."""

    seconds: float | None
    cron: str | None


@dataclass(frozen=True, slots=True)
class Job:
    """A function that `ctx.schedule` may run later, also after a restart, found again by its name."""


@dataclass(frozen=True, slots=True)
class Hook:
    """A step in the plugin's own life: `setup`, `start` or `teardown`."""

    kind: str


Declaration = Command | Rule | On | Every | Job | Hook


def declarations(function: object) -> tuple[Declaration, ...]:
    """Return the marks on a function in the order in which they were written, top decorator last."""
    return tuple(getattr(function, MARK, ()))


def _mark(function: F, declaration: Declaration) -> F:
    if not callable(function):
        raise TypeError(f"a decorator of bot stands on {function!r}, which is not a function")
    # A fresh list: a wrapper made by functools.wraps shares the dictionary of what it wraps.
    setattr(function, MARK, [*getattr(function, MARK, ()), declaration])
    seen = ledger.get()
    if seen is not None and function not in seen:
        seen.append(function)
    return function


def command(
    *names: str,
    examples: Iterable[tuple[str, str]] = (),
    admin: bool = False,
    limit: str | None = None,
) -> Callable[[F], F]:
    """Answer `!name`. The first name is the command's, the others are aliases; with none it is the function's name.

    Args:
        examples: pairs (line, answer) that run as tests; `...` in an answer matches any text.
        admin: only admins may use it; others are told so.
        limit: how often one user may, `"3/10s"`; None for no limit.

    Raises:
        ValueError: a name that nobody could type.
    """
    if len(names) == 1 and callable(names[0]):
        return command()(names[0])  # @command without parentheses
    for name in names:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or not name.isprintable():
            shown = name if len(repr(name)) < 100 else f"{name[:32]}..."
            raise ValueError(
                f"{shown!r} can't be a command: use 1 to 32 visible characters without white space or a dot"
            )
    if limit is not None and not re.fullmatch(r"\d+/\S+", limit):
        raise ValueError(f"limit={limit!r} is no limit; write a count and a time, such as '3/10s'")
    pairs = []
    for example in examples:
        if not (isinstance(example, tuple | list) and len(example) == 2 and all(isinstance(x, str) for x in example)):
            raise ValueError(f"an example is a pair of texts (line, answer), not {example!r}")
        pairs.append((example[0], example[1]))

    def mark(function: F) -> F:
        own = names or (function.__name__,)
        return _mark(function, Command(own[0].lower(), tuple(n.lower() for n in own[1:]), tuple(pairs), admin, limit))

    return mark


def rule(pattern: str) -> Callable[[F], F]:
    """Run the function on each channel line in which `pattern` is found; the groups become its arguments.

    Raises:
        ValueError: not a regular expression; the text says what is wrong where.
    """
    try:
        re.compile(pattern)
    except (re.error, TypeError, RecursionError) as error:
        raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
    return lambda function: _mark(function, Rule(pattern))


def on(event: str | int) -> Callable[[F], F]:
    """Run the function on an event, or on a numeric (`353` or `"353"`).

    Raises:
        ValueError: no such event.
    """
    name = f"{event:03d}" if isinstance(event, int) else str(event).lower()
    if name not in EVENTS and not re.fullmatch(r"\d{3}", name):
        raise ValueError(f"there is no event {event!r}; there are {', '.join(sorted(EVENTS))}, and the numerics")
    return lambda function: _mark(function, On(name))


def every(interval: float | str | None = None, *, cron: str | None = None) -> Callable[[F], F]:
    """Run the function again and again: `@every("5m")`, `@every(300)` or `@every(cron="0 9 * * 1-5")` in local time.

    Raises:
        ValueError: neither or both were given, or an interval that is none. A bad cron line is found by the loader.
    """
    if (interval is None) == (cron is None):
        raise ValueError("every() takes an interval or cron=, one of both")
    if cron is not None:
        return lambda function: _mark(function, Every(None, cron))
    assert interval is not None
    seconds = parse_duration(interval)
    if seconds < 0.05:
        raise ValueError(f"every({interval!r}) is more often than 20 times a second")
    return lambda function: _mark(function, Every(seconds, None))


@overload
def job(function: F) -> F: ...
@overload
def job() -> Callable[[F], F]: ...
def job(function: F | None = None) -> F | Callable[[F], F]:
    """Let `ctx.schedule` run this function later, also after a restart of the bot."""
    return _mark(function, Job()) if function is not None else lambda f: _mark(f, Job())


@overload
def setup(function: F) -> F: ...
@overload
def setup() -> Callable[[F], F]: ...
def setup(function: F | None = None) -> F | Callable[[F], F]:
    """Run this before the new version goes live, beside the old one; if it raises, the old one stays."""
    return _mark(function, Hook("setup")) if function is not None else lambda f: _mark(f, Hook("setup"))


@overload
def start(function: F) -> F: ...
@overload
def start() -> Callable[[F], F]: ...
def start(function: F | None = None) -> F | Callable[[F], F]:
    """Run this once the old version has let go: open here what can exist only once, such as a port."""
    return _mark(function, Hook("start")) if function is not None else lambda f: _mark(f, Hook("start"))


@overload
def teardown(function: F) -> F: ...
@overload
def teardown() -> Callable[[F], F]: ...
def teardown(function: F | None = None) -> F | Callable[[F], F]:
    """Run this when a version goes: replaced, removed, or at the end of the bot."""
    return _mark(function, Hook("teardown")) if function is not None else lambda f: _mark(f, Hook("teardown"))
