"""All rules of all plugins, tried on a line in one pass; the only import of re2.

A thousand `re.search` cost 2.5 ms a line, `re2.Set` 1 us (both grow with the line, only the first with the rules). So
each pattern is weakened to one that RE2 takes (`sieve.py`), the set says which may match, and Python's `re` confirms:
the answer is that of `re.search` for every pattern, with its groups and its Unicode. Patterns that only RE2 can search
in linear time are mostly rejected before Python sees the line. Without re2, which has no wheel for some platforms,
every pattern is searched by `re`, with the same answers.

Building a set of a thousand takes 10 ms and its first lines are slow: build off the loop and `warm` it before the
commit; a reload that touches no rule keeps the old one. Which rule belongs to whom is the table's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from bot.dispatch.sieve import CannotWeaken, weakened

try:
    import re2
except ImportError:  # pragma: no cover - the tests set it to None
    re2 = None

MAX_MEMORY_BYTES: Final = 64 << 20  # at RE2's default of 8 MiB a set of 3,000 empties its cache all the time
_MOST: Final = (100, 1)  # counts of {m,n} to try, see `weakened`


def compile_pattern(pattern: str | re.Pattern[str]) -> re.Pattern[str]:
    """Compile the pattern of a rule.

    Raises:
        ValueError: it is no regular expression; says why and at which character.
    """
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError, TypeError) as error:
        raise ValueError(f"`{str(pattern)[:80]}` is no regular expression: {error}") from error
    if not isinstance(compiled.pattern, str):
        raise ValueError(f"`{pattern!r}` is a pattern for bytes, and lines are text")
    return compiled


class RuleSet:
    """Patterns in order, ready to be searched; never changes.

    Raises:
        ValueError: one of them is no regular expression.
    """

    def __init__(self, patterns: Sequence[str | re.Pattern[str]]) -> None:
        self.patterns = tuple(compile_pattern(pattern) for pattern in patterns)
        # Index in the set -> index of the pattern; the set ends with one more that always matches.
        self._sieved: list[int] = []
        self._set = self._built() if re2 is not None and self.patterns else None
        sieved = set(self._sieved) if self._set is not None else set()
        self._unsieved = [index for index in range(len(self.patterns)) if index not in sieved]

    def __len__(self) -> int:
        return len(self.patterns)

    def match(self, text: str) -> list[int]:
        """Which patterns match somewhere in the line, in their order."""
        return [index for index, _ in self.found(text)]

    def found(self, text: str) -> list[tuple[int, re.Match[str]]]:
        """The same, each with its first match."""
        return [
            (index, match)
            for index in self._candidates(text)
            if (match := self.patterns[index].search(text)) is not None
        ]

    def search(self, index: int, text: str) -> re.Match[str] | None:
        """The first match of one pattern."""
        return self.patterns[index].search(text)

    def warm(self, texts: Iterable[str]) -> None:
        """Run lines through the set, the channel's last 500 say, so that the first ones after a commit are fast."""
        for text in texts:
            self._candidates(text)

    def _candidates(self, text: str) -> Iterable[int]:
        if self._set is None:
            return range(len(self.patterns))
        try:
            passed: list[int] | None = self._set.Match(text.encode()) if "\n" not in text else None
        except UnicodeEncodeError:  # half of a surrogate pair: never from the wire
            passed = None
        # RE2 tells that it ran out of memory by matching nothing, and one pattern always matches.
        if not passed:
            return range(len(self.patterns))
        if len(passed) == 1:
            return self._unsieved
        end = len(self._sieved)
        return sorted([self._sieved[index] for index in passed if index != end] + self._unsieved)

    def _built(self) -> Any:
        options = re2.Options()
        options.max_mem = MAX_MEMORY_BYTES
        options.log_errors = False
        made = re2.Set.SearchSet(options)
        for index, pattern in enumerate(self.patterns):
            if _added(made, pattern):
                self._sieved.append(index)
        made.Add("")
        try:
            made.Compile()
        except re2.error:
            return None  # too large together: `re` does it all
        return made


def _added(into: Any, pattern: re.Pattern[str]) -> bool:
    for most in _MOST:
        try:
            into.Add(weakened(pattern, most))
        except CannotWeaken:
            return False
        except re2.error:
            continue
        return True
    return False
