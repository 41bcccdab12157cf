"""The plugins of the chaos benchmark. Every answer is `WORD NUMBER ...`, so the ledger knows what was answered."""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """A command.

    Attributes:
        answers: how many lines each call answers; with more than one, the second word after the number counts them.
        ordered: an `async def` that says its answer before it suspends: answered in the order of asking.
        counted: its third word counts its calls, in the store.
    """

    name: str
    answers: int = 1
    ordered: bool = False
    counted: bool = False


WORDS = (
    Word("echo", ordered=True),
    Word("add", ordered=True, counted=True),
    Word("plain"),
    Word("slow"),
    Word("parts", answers=3),
    Word("fresh"),
)
#: Asked once for each death that is forced: its worker is killed when it has written, said, and not ended yet.
LAST = Word("last", ordered=True, counted=True)

STEADY = '''"""What is asked all the time; never changed."""

import asyncio
import os
import random
from pathlib import Path

from bot import command, store

counts = store("counts")


@command("echo")
async def echo(ctx, number: int):
    """Answer at once."""
    return f"echo {number}"


@command("add")
async def add(ctx, number: int):
    """Write, and answer at once."""
    return f"add {number} {counts.add('add')}"


@command("plain")
def plain(ctx, number: int):
    """Answer from off the loop."""
    return f"plain {number}"


@command("slow")
async def slow(ctx, number: int):
    """Answer after a while."""
    await asyncio.sleep(random.random() * 0.05)
    return f"slow {number}"


@command("parts")
async def parts(ctx, number: int):
    """Answer in three lines."""
    for part in (1, 2, 3):
        yield f"parts {number} {part}"
        await asyncio.sleep(random.random() * 0.02)


@command("last")
async def last(ctx, number: int):
    """Write, say, and wait to be killed, the first time."""
    await ctx.say(f"last {number} {counts.add('last')}")
    mark = Path(f"armed-{number}")
    if mark.exists():
        mark.rename(f"die-{os.getpid()}")
        await asyncio.sleep(5)


@command("totals")
async def totals(ctx):
    """Tell what the store has counted."""
    return f"totals {counts.get('add', 0)} {counts.get('last', 0)}"
'''

FRESH = '''"""What is saved all the time."""

from bot import command

VERSION = {version}


@command("fresh")
async def fresh(ctx, number: int):
    """Tell the version."""
    return f"fresh {{number}} {{VERSION}}"
'''

_POISONS = (
    "os._exit(3)",
    "await asyncio.sleep(0.05)\n    os._exit(3)",
    "ctypes.string_at(0)",
)
_HANG = 're.match(r"(a+)+$", "a" * 64 + "b")'

_ONE = '''"""Ends its worker, in one way or another."""

import asyncio
import ctypes
import os
import re

from bot import command


@command("{name}")
async def end(ctx):
    """Never answer."""
    {what}
    return "{name} lives"
'''


def poison(number: int) -> tuple[str, str]:
    """Return the name of a plugin, which is its command, and its source."""
    return f"poison{number}", _ONE.format(name=f"poison{number}", what=_POISONS[number % len(_POISONS)])


def hang(number: int) -> tuple[str, str]:
    """The same, but it holds the interpreter for longer than anybody waits."""
    return f"hang{number}", _ONE.format(name=f"hang{number}", what=_HANG)
