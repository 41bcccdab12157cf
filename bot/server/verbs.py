"""The table of what a client may say: `@verb("JOIN")` enters a function `(me, *parameters)` into `VERBS`.

The signature tells how many parameters the verb needs and takes; a mistake is answered by raising `Refused`. The
functions stand in the files by subject (`registering`, `sasl`, `channels`, `modes`, `talking`, `asking`); `peer` looks
them up and calls them. What few clients say is imported when the first one does (`RARE`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import CO_VARARGS
from types import FunctionType
from typing import NamedTuple

from bot.server.lines import MAX_BODY, MAX_TARGETS


class Refused(Exception):
    """The verb can't be done: the numeric to answer, and its parameters; the words are in `ERRORS`."""


class Verb(NamedTuple):
    run: Callable[..., None]
    needs: int  # parameters
    takes: int
    split: tuple[int, ...]  # the parameters that are comma lists: one call for each item, side by side
    early: bool  # allowed before registration
    missing: tuple[str, ...]  # the answer to too few parameters


VERBS: dict[str, Verb] = {}
RARE = {"BATCH": "multiline", "CHATHISTORY": "history", "MONITOR": "monitor"}  # verbs and their modules


def find(command: str) -> Verb | None:
    """The row of a verb; None: there is no such verb."""
    if command in RARE and command not in VERBS:
        import_module(f"bot.server.{RARE[command]}")
    return VERBS.get(command)


def verb(
    *names: str, split: tuple[int, ...] = (), early: bool = False, missing: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter a function into `VERBS`; its signature says how many parameters the verb needs and takes."""

    def enter(run: Callable[..., None]) -> Callable[..., None]:
        assert isinstance(run, FunctionType)
        code = run.__code__  # a tenth of the time of `inspect.signature`, which every start would pay
        named = code.co_argcount - 1
        takes = MAX_BODY if code.co_flags & CO_VARARGS else named
        needs = named - len(run.__defaults__ or ())
        for name in names:
            VERBS[name] = Verb(run, needs, takes, split, early, (missing,) if missing else ("461", name))
        return run

    return enter


def spread(params: tuple[str, ...], split: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
    """The parameters, once for each item of the comma lists at `split`; a list that is too short ends in empty ones."""
    lists = [params[place].split(",")[:MAX_TARGETS] for place in split if place < len(params)]
    if not lists:
        yield params
    for items in itertools.zip_longest(*lists, fillvalue=""):
        if items[0]:
            yield tuple(items[split.index(n)] if n in split else param for n, param in enumerate(params))
