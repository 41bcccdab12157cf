"""What must not be, written down while a benchmark runs: by kind, counted, with a few of each to look at."""

from __future__ import annotations

from collections import Counter

SHOWN = 5  # of each kind


class Faults:
    """All that went wrong in one run."""

    def __init__(self) -> None:
        self._shown: dict[str, list[str]] = {}
        self._numbers = Counter[str]()

    def fault(self, kind: str, what: str) -> None:
        """Write down something that must not be."""
        self._numbers[kind] += 1
        shown = self._shown.setdefault(kind, [])
        if len(shown) < SHOWN:
            shown.append(what)

    def faults(self) -> list[str]:
        """Return what was wrong, a line for each kind; empty if nothing was."""
        return [f"{kind}: {self._numbers[kind]} times: {'; '.join(shown)}" for kind, shown in self._shown.items()]
