"""Many durations to the few figures of a table, and the table.

Medians and 99th percentiles by the nearest rank, so that every figure is one that was measured.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


def percentile(values: Iterable[float], percent: float) -> float:
    """Return the smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def median(values: Iterable[float]) -> float:
    return percentile(values, 50)


@dataclass(slots=True)
class Table:
    """One measurement as it is printed; cells are text, the first column is a name."""

    title: str
    columns: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)

    def __str__(self) -> str:
        rows = [[self.title, *self.columns], *map(list, self.rows)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        rows.insert(1, ["-" * width for width in widths])
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        )

    def markdown(self) -> str:
        """The same, to be pasted into a page."""
        rows = [[self.title, *self.columns], ["---", *("---:" for _ in self.columns)], *map(list, self.rows)]
        return "\n".join(f"| {' | '.join(cell.strip().replace('|', '&#124;') for cell in row)} |" for row in rows)


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:.2f}"


def ratio(one: float, other: float) -> str:
    return f"{one / other:.2f}"
