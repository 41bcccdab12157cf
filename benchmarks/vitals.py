"""What a process has, from outside: memory, threads, descriptors, children; and the trend of a row of samples.

Linux only: everything is read from /proc.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


@dataclass(frozen=True, slots=True)
class Vitals:
    """A process and its children at one moment.

    Attributes:
        rss: KiB of the process alone, pages that it shares included.
        anonymous: KiB of it and its children, without files; each page that they share counts in part. Unlike the whole
            PSS it doesn't change when an unrelated Python begins or ends, which shares the libraries.
        threads, descriptors: of the process alone.
        children: how many processes there are below it.
    """

    rss: float
    anonymous: float
    threads: int
    descriptors: int
    children: int

    @classmethod
    def of(cls, pid: int) -> Vitals:
        """Read them.

        Raises:
            OSError: there is no such process.
        """
        proc = Path(f"/proc/{pid}")
        below = list(family(pid))
        return cls(
            rss=int((proc / "statm").read_text().split()[1]) * PAGE_KIB,
            anonymous=sum(pss(each, "Pss_Anon") for each in below),
            threads=len(list((proc / "task").iterdir())),
            descriptors=len(list((proc / "fd").iterdir())),
            children=len(below) - 1,
        )


def family(pid: int) -> Iterator[int]:
    """Give a process and all that are below it."""
    yield pid
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
    except OSError:
        return
    for task in tasks:  # a child belongs to the thread that started it
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from family(int(child))


def pss(pid: int, which: str = "Pss") -> int:
    """Return the KiB that a process has for itself, and its part of what it shares; 0 if it is gone.

    Args:
        which: a row of /proc/PID/smaps_rollup.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(f"{which}:")), 0)


def slope(samples: Sequence[tuple[float, float]]) -> float:
    """Return the rise for one unit of x, by Theil and Sen: the median over all pairs, which no spike can bend."""
    rises = sorted(
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for i, earlier in enumerate(samples)
        for later in samples[i + 1 :]
        if later[0] > earlier[0]
    )
    if not rises:
        return 0.0
    middle = len(rises) // 2
    return rises[middle] if len(rises) % 2 else (rises[middle - 1] + rises[middle]) / 2
