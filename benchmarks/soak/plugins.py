"""The plugin files of the soak, each in as many versions as wanted, and the commands that they answer.

Every answer is `WORD ID VERSION ...`, so the ledger knows which code gave it. A broken version sets its number before
its fault: should half of one ever be live, its number would be heard.
"""

from __future__ import annotations

from typing import NamedTuple


class Word(NamedTuple):
    """A command.

    Attributes:
        source: what its version is counted by: the plugin, or the shared module that it speaks of.
        ordered: an `async def` that never suspends: answered in the order of asking.
        answers: how many lines each call answers.
        pauses: it waits before its last answer, on purpose.
        counted: its third number counts its calls, in kept state.
    """

    name: str
    source: str
    ordered: bool
    answers: int = 1
    pauses: bool = False
    counted: bool = False


WORDS = (
    Word("solo", "solo", ordered=True, counted=True),
    Word("off", "solo", ordered=False),
    Word("weak", "weak", ordered=True),
    Word("one", "common", ordered=True),
    Word("two", "common", ordered=False),
    Word("later", "solo", ordered=False, pauses=True),
    Word("bundle", "bundle", ordered=True),
    Word("parts", "solo", ordered=False, answers=2, pauses=True),
)

SOLO = '''"""The plugin that is saved and reloaded the most."""

import asyncio

from bot import Context, command, keep

VERSION = {version}
calls = keep("calls", dict)


@command("solo")
async def solo(ctx: Context, number: int):
    """Answer at once, and count."""
    calls["solo"] = calls.get("solo", 0) + 1
    return f"solo {{number}} {{VERSION}} {{calls['solo']}}"


@command("off")
def off(ctx: Context, number: int):
    """Answer from off the loop."""
    return f"off {{number}} {{VERSION}}"


@command("later")
async def later(ctx: Context, number: int):
    """Answer when the next version may be live already."""
    await asyncio.sleep(0.1)
    return f"later {{number}} {{VERSION}}"


@command("parts")
async def parts(ctx: Context, number: int):
    """Answer in two lines, with a pause between them."""
    yield f"parts {{number}} {{VERSION}}"
    await asyncio.sleep(0.05)
    yield f"parts {{number}} {{VERSION}}"
'''

WEAK = '''"""The plugin that is broken in turn."""

from bot import Context, command, setup

VERSION = {version}


@command("weak")
async def weak(ctx: Context, number: int):
    """Answer at once."""
    return f"weak {{number}} {{VERSION}}"
'''

# What is put after a good version; each fails at another place.
FAULTS = (
    "\n\ndef half(:\n",
    "\n\n1 / 0\n",
    "\n\nimport no_such_package_anywhere\n",
    '\n\n@setup\nasync def fails(ctx):\n    raise RuntimeError("as wanted")\n',
    "\n\nraise SystemExit(3)\n",
    '\n\n@command("reload")\nasync def taken(ctx):\n    """Built in."""\n',
)

COMMON = '''"""What `one` and `two` share."""

VERSION = {version}


def answer(word: str, number: int) -> str:
    return f"{{word}} {{number}} {{VERSION}}"
'''

ONE = '''"""A user of the shared module, on the loop."""

from bot import Context, command

from ._common import answer


@command("one")
async def one(ctx: Context, number: int):
    """Answer at once."""
    return answer("one", number)
'''

TWO = '''"""A user of the shared module, off the loop."""

from bot import Context, command

from . import _common


@command("two")
def two(ctx: Context, number: int):
    """Answer from off the loop."""
    return _common.answer("two", number)
'''

BUNDLE = '''"""A package; its two files must be of one load."""

from bot import Context, command

from . import inner
from .inner import VERSION


@command("bundle")
async def bundle(ctx: Context, number: int):
    """Answer at once."""
    assert inner.VERSION == VERSION == inner.version()
    return f"bundle {number} {VERSION}"
'''

INNER = '''"""The part of the package that is saved."""

VERSION = {version}


def version() -> int:
    return VERSION
'''

CENSUS = '''"""What only the process itself can count; never changed while the soak runs."""

import asyncio
import gc
import tracemalloc

from bot import Context, command


@command("census", admin=True)
async def census(ctx: Context):
    """Count the tasks."""
    return f"census {len(asyncio.all_tasks())}"


@command("snapshot", admin=True)
async def snapshot(ctx: Context, path: str):
    """Write down all memory that Python has handed out."""
    for _ in range(3):
        gc.collect()
    tracemalloc.take_snapshot().dump(path)
    return "snapshot taken"
'''


def first() -> dict[str, str]:
    """Return the files that the bot starts with, by their path in the plugin folder; all at version 1."""
    return {
        "solo.py": SOLO.format(version=1),
        "weak.py": WEAK.format(version=1),
        "_common.py": COMMON.format(version=1),
        "one.py": ONE,
        "two.py": TWO,
        "bundle/__init__.py": BUNDLE,
        "bundle/inner.py": INNER.format(version=1),
        "census.py": CENSUS,
    }
