"""A unit's sources as code that can be executed anywhere: compiled, and marshalled.

Marshalled, since the compiling is done in a trial process (`trialchild.py`) and the executing in the bot, whose event
loop never compiles: 0.04 ms instead of 1.5 for 150 lines. Nothing is written to disk: two saves of equal size within a
second would be taken for one. What a unit imports and how its state is named is read from the syntax tree.
"""

from __future__ import annotations

import ast
import contextlib
import marshal
import re
from collections.abc import Mapping
from dataclasses import dataclass

from bot.errors import PluginError
from bot.live.discover import PACKAGE, Source, Unit
from bot.live.graph import imported_units
from bot.live.statename import State, state_of

ATTEMPTS = 3

# A source without any of this imports no unit and tells nothing of its state. Most are so, and their syntax tree, which
# costs twice what the code does, need not be made. Letters beyond ASCII are normalised into names, a coding may hide
# anything.
_TOLD_BY_TREE = re.compile(rb"plugins|STATE_(?:NAME|VERSION)|from[\s\\]*\.|coding[:=]|[^\x00-\x7f]")


@dataclass(frozen=True, slots=True)
class Compiled:
    """A unit's code, or why there is none."""

    unit: Unit
    codes: Mapping[str, bytes]  # by module name
    imports: frozenset[str]  # units
    state_name: str
    error: PluginError | None = None
    state_version: int = 1


def file_name(source: Source, unit: Unit) -> str:
    """Return the file name in tracebacks of this version of a source."""
    return f"{source.path}@{unit.digest[:7]}"


def compile_unit(unit: Unit) -> Compiled:
    """Compile a unit's sources. Never raises: what is wrong is in `error`."""
    codes: dict[str, bytes] = {}
    imports: set[str] = set()
    told, error = State(unit.name), PluginError(unit.name, *_split_fault(unit.fault)) if unit.fault else None
    for source in unit.sources.values():
        text: bytes | ast.Module = source.content
        try:
            if _TOLD_BY_TREE.search(source.content):
                text = _tree(source.content, file_name(source, unit))
                imports |= imported_units(text, source)
                if source.module == f"{PACKAGE}.{unit.name}":
                    told = state_of(text, unit, source)
            code = compile(text, file_name(source, unit), "exec", dont_inherit=True)
            codes[source.module] = marshal.dumps(code)
        except PluginError as problem:
            error = error or problem
        except SyntaxError as problem:
            why = f"{type(problem).__name__}: {problem.msg}"
            line = problem.lineno or _line_of_fault(source.content)
            error = error or PluginError(unit.name, source.shown, line, why, problem.offset or 0)
        except (ValueError, RecursionError, MemoryError, OverflowError, SystemError) as problem:
            why = f"{type(problem).__name__}: {problem}".rstrip(": ")
            error = error or PluginError(unit.name, source.shown, 0, why)
    return Compiled(unit, codes, frozenset(imports), told.name, error, told.version)


def _tree(content: bytes, name: str) -> ast.Module:
    # Python 3.11 loses count, and says so, when another tree is made while it makes one: by a thread, or by a traceback
    # that is written into the log in the middle, since that is parsed for its carets (python/cpython#106905).
    for _ in range(ATTEMPTS):
        with contextlib.suppress(SystemError):
            return ast.parse(content, name)
    return ast.parse(content, name)


def _line_of_fault(content: bytes) -> int:
    """Where a source is wrong as a whole, Python names no line: it is that of the first NUL byte, else of its coding,
    which stands in one of the first two (language reference, 2.1.4)."""
    if (place := content.find(b"\0")) >= 0:
        return content.count(b"\n", 0, place) + 1
    return next((number for number, line in enumerate(content.split(b"\n", 2)[:2], 1) if b"coding" in line), 0)


def _split_fault(fault: str) -> tuple[str, int, str]:
    path, _, text = fault.partition(": ")
    return path, 0, text
