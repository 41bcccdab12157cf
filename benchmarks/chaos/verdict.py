"""All runs of the chaos benchmark, as tables and as what was wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from benchmarks.chaos import play
from benchmarks.chaos.play import Run
from benchmarks.figures import Table, median, milliseconds, percentile

POISONS = 50  # among 10,000 commands
HANGS = 20


def chaos(scratch: Path, minutes: float, faults: list[str]) -> Iterator[Table]:
    """Run them; shorter ones have fewer faults of each kind.

    Args:
        minutes: of the run with deaths from outside.
        faults: what was wrong is put there.

    Raises:
        Broken: the bot did not start, or ended.
    """
    part = min(1.0, minutes / 10)
    runs = (
        lambda: play.deaths(scratch, minutes),
        lambda: play.poison(scratch, max(3, round(POISONS * part))),
        lambda: play.hangs(scratch, max(2, round(HANGS * part))),
    )
    for run in runs:
        found = asyncio.run(run())
        faults += [f"{found.name}: {fault}" for fault in found.faults]
        yield _table(found)


def _table(run: Run) -> Table:
    ledger = run.ledger
    columns = ("number", "median ms", "p99 ms", "worst ms")
    table = Table(f"chaos: {run.name}, {run.seconds:.0f} s", columns)

    def row(name: str, number: int, seconds: list[float]) -> None:
        figures = (median(seconds), percentile(seconds, 99), max(seconds)) if seconds else ()
        table.rows.append((name, f"{number:,}", *(map(milliseconds, figures) if figures else ("", "", ""))))

    row("commands asked", ledger.asked, [])
    row("commands answered", ledger.answered, [])
    row("deaths, and from each to the next answer", run.deaths, ledger.gaps)
    row("PING to PONG", len(run.pings), list(run.pings))
    if run.saves:
        row("saves of a plugin", run.saves, [])
    return table
