r"""Weaken a Python pattern to one that RE2 takes and that matches wherever Python's does, or more.

RE2 finds in one pass which of a thousand patterns may match a line, but it lacks look-around and back-references, and
its `\w \d \s \b` know ASCII alone, which would lose matches in silence. So it gets no translation but a sieve: what
can't be said exactly is made wider, and Python's `re` has the last word on the few patterns that pass. Wider means:

    look-around             nothing           (?<!x)foo(?=bar)  ->  foo
    back-reference          any text          (.)\1             ->  ..*
    \w \d \s, [^...]        every character above ASCII, besides those of ASCII meant
    \b                      nothing, unless an ASCII word character stands next to it; there RE2's own is wide enough
    {m,n} above `most`      {most,}
    (?i)                    all that RE2 or Python takes for the same letter

Holds for text without a line feed, which a line from IRC never has; then `^ $ \A \Z` are the two ends in every mode.
The parse tree is Python's own, so spellings need no care. Its module is private: see `BORROWED` and the fallback.

Syntax of RE2: https://github.com/google/re2/wiki/Syntax
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final

# Private names of the standard library; without them no pattern is sieved, and all still works.
BORROWED: Final = ("re._parser.parse", "re._constants.MAXREPEAT")
try:
    from re import _constants, _parser  # type: ignore[attr-defined]
except ImportError:  # pragma: no cover - no Python known lacks them
    _parser = _constants = None

_ASCII: Final = range(128)
_ABOVE: Final = (128, 0x10FFFF)
_WORD: Final = frozenset(code for code in _ASCII if chr(code).isalnum() or chr(code) == "_")
_SPACE: Final = frozenset(map(ord, "\t\n\v\f\r "))
_DIGIT: Final = frozenset(map(ord, "0123456789"))
_EITHER: Final = frozenset(range(0x1C, 0x20))  # space in Unicode, none under (?a): they pass as both
_CATEGORIES: Final = {
    "CATEGORY_DIGIT": _DIGIT,
    "CATEGORY_NOT_DIGIT": frozenset(_ASCII) - _DIGIT,
    "CATEGORY_SPACE": _SPACE | _EITHER,
    "CATEGORY_NOT_SPACE": frozenset(_ASCII) - _SPACE,
    "CATEGORY_WORD": _WORD,
    "CATEGORY_NOT_WORD": frozenset(_ASCII) - _WORD,
}
# Under (?i) Python takes these for ASCII letters: ı İ and i, the Kelvin sign and k, ſ and s.
_CASED_ABOVE: Final = frozenset(map(ord, "iIkKsS"))
_TURKISH: Final = "iIıİ"


class CannotWeaken(Exception):
    """The pattern holds something that this file has no row for; it is searched by `re` on every line."""


@lru_cache(maxsize=4096)  # a reload that edits one rule of a thousand weakens one
def weakened(pattern: re.Pattern[str], most: int = 100) -> str:
    """The pattern for RE2.

    Args:
        most: the largest count in `{m,n}` that is kept; RE2 refuses large ones and products of them.

    Raises:
        CannotWeaken: it can't be had.
    """
    if _parser is None:
        raise CannotWeaken("this Python does not show how it parses patterns")
    try:
        tree = _parser.parse(pattern.pattern, pattern.flags)
        return _Sieve(most).sequence(list(tree), pattern.flags)
    except RecursionError as error:
        raise CannotWeaken("it is nested too deeply") from error


class _Sieve:
    """One pattern on its way; each method is named for the opcode in Python's parse tree and gives RE2's text."""

    def __init__(self, most: int) -> None:
        self.most = most

    def sequence(self, nodes: Sequence[tuple[Any, Any]], flags: int) -> str:
        parts = []
        for index, (code, value) in enumerate(nodes):
            if str(code) == "AT" and str(value) == "AT_BOUNDARY":
                beside = [("last", nodes[index - 1 : index]), ("first", nodes[index + 1 : index + 2])]
                parts.append(r"\b" if any(_ascii_word(side, end, flags) for end, side in beside) else "")
                continue
            step = getattr(self, str(code).lower(), None)
            if step is None:
                raise CannotWeaken(f"`{code}` is new")
            parts.append(step(value, flags))
        return "".join(parts)

    def group(self, nodes: Iterable[tuple[Any, Any]], flags: int) -> str:
        return f"(?:{self.sequence(list(nodes), flags)})"

    def literal(self, code: int, flags: int) -> str:
        return _class([(code, code)]) if not flags & re.IGNORECASE else f"(?i:{_class(_same_letter(code))})"

    def not_literal(self, code: int, flags: int) -> str:
        return _class([*_runs(set(_ASCII) - {code}), _ABOVE])

    def any(self, _: None, flags: int) -> str:
        return "(?s:.)" if flags & re.DOTALL else r"[^\n]"

    def in_(self, items: Sequence[tuple[Any, Any]], flags: int) -> str:
        ascii_part, above, negated = _members(items)
        if negated:
            either = _EITHER if above else frozenset()
            return _class([*_runs((set(_ASCII) - ascii_part) | either), _ABOVE])
        if flags & re.IGNORECASE:
            above = [_ABOVE] if above or ascii_part & _CASED_ABOVE else []
            return f"(?i:{_class([*_runs(ascii_part), *above])})"
        return _class([*_runs(ascii_part), *above])

    def branch(self, value: tuple[None, Sequence[Any]], flags: int) -> str:
        return f"(?:{'|'.join(self.sequence(list(nodes), flags) for nodes in value[1])})"

    def subpattern(self, value: tuple[Any, int, int, Any], flags: int) -> str:
        _, added, removed, nodes = value
        return self.group(nodes, (flags | added) & ~removed)

    def atomic_group(self, nodes: Any, flags: int) -> str:
        return self.group(nodes, flags)

    def max_repeat(self, value: tuple[int, Any, Any], flags: int) -> str:
        low, high, nodes = value
        low = min(int(low), self.most)
        bound = "" if high == _constants.MAXREPEAT or high > self.most else str(int(high))
        inner = self.group(nodes, flags)
        # RE2 dislikes an empty thing repeated, and a repetition of it is itself.
        return inner if inner == "(?:)" else f"{inner}{{{low},{bound}}}"

    min_repeat = possessive_repeat = max_repeat

    def at(self, where: Any, flags: int) -> str:
        return {
            "AT_BEGINNING": r"\A",
            "AT_BEGINNING_STRING": r"\A",
            "AT_END": r"\z",
            "AT_END_STRING": r"\z",
        }.get(str(where), "")

    def assert_(self, _: Any, flags: int) -> str:
        return ""

    assert_not = assert_

    def groupref(self, _: Any, flags: int) -> str:
        return "(?s:.*)"

    def groupref_exists(self, value: tuple[int, Any, Any], flags: int) -> str:
        return f"(?:{self.sequence(list(value[1]), flags)}|{self.sequence(list(value[2] or ()), flags)})"


# Opcodes that are words of Python.
setattr(_Sieve, "in", _Sieve.in_)
setattr(_Sieve, "assert", _Sieve.assert_)


def _members(items: Sequence[tuple[Any, Any]]) -> tuple[set[int], list[tuple[int, int]], bool]:
    """A class as its ASCII members, the ranges above ASCII that hold the rest, and whether it is negated."""
    ascii_part: set[int] = set()
    above: list[tuple[int, int]] = []
    negated = False
    for code, value in items:
        if str(code) == "NEGATE":
            negated = True
        elif str(code) == "CATEGORY":
            if str(value) not in _CATEGORIES:
                raise CannotWeaken(f"`{value}` is new")
            ascii_part |= _CATEGORIES[str(value)]
            above.append(_ABOVE)
        else:
            low, high = value if str(code) == "RANGE" else (value, value)
            ascii_part |= set(range(low, min(high, 127) + 1))
            if high > 127:
                above.append((max(low, 128), high))
    return ascii_part, above, negated


def _ascii_word(nodes: Sequence[tuple[Any, Any]], end: str, flags: int) -> bool:
    """Does what these nodes match surely begin (or end, says `end`) with an ASCII letter, digit or `_`?"""
    if not nodes:
        return False
    code, value = nodes[0 if end == "first" else -1]
    cased = _CASED_ABOVE if flags & re.IGNORECASE else frozenset[int]()
    match str(code):
        case "LITERAL":
            return value in _WORD - cased
        case "IN":
            ascii_part, above, negated = _members(value)
            return not negated and not above and ascii_part <= _WORD - cased
        case "BRANCH":
            return all(_ascii_word(list(branch), end, flags) for branch in value[1])
        case "SUBPATTERN":
            return _ascii_word(list(value[3]), end, (flags | value[1]) & ~value[2])
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return value[0] > 0 and _ascii_word(list(value[2]), end, flags)
    return False


def _same_letter(code: int) -> list[tuple[int, int]]:
    """What Python may take for this character under (?i), besides what RE2 takes for it."""
    letter = chr(code)
    near = {letter, letter.lower(), letter.upper(), letter.title()} | set(_TURKISH if letter in _TURKISH else "")
    near |= {other for each in near for other in (each.lower(), each.upper())}
    return [(ord(each), ord(each)) for each in sorted(near) if len(each) == 1]


def _runs(codes: set[int]) -> list[tuple[int, int]]:
    """A set of numbers as ranges."""
    runs: list[tuple[int, int]] = []
    for code in sorted(codes):
        if runs and runs[-1][1] == code - 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    return runs


def _class(runs: Sequence[tuple[int, int]]) -> str:
    if len(runs) == 1 and runs[0][0] == runs[0][1] and runs[0][0] in _WORD:
        return chr(runs[0][0])
    return "[" + "".join(rf"\x{{{low:x}}}-\x{{{high:x}}}" for low, high in runs) + "]"
