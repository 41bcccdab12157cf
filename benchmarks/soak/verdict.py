"""The two runs of a soak, what is measured meanwhile, and the judgement.

The first run asks and saves at full rate and looks at the process from outside: the ledger, and the trend of memory,
threads, tasks and descriptors. The second, short one has Python write down every allocation (tracemalloc, which makes
the bot several times slower): what a reload leaves behind there shows to the byte, long before memory does.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Table, median, milliseconds, percentile
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.saves import Saves
from benchmarks.soak.stage import PATIENCE_SECONDS, Stage, opened
from benchmarks.vitals import Vitals, slope

COMMANDS_A_SECOND = 200
RELOADS_A_MINUTE = 1000
TURN = 6  # reloads until each kind had its turn
CALM_SECONDS = 4.0  # after the last call: old generations are collected some 3 s after they ended
GROWTH_MIB = 2.0  # of memory, over the whole run, after its first fifth
# A reload. A generation that stays behind is 14,000; of one kind of reload in six that leaves its own, 2,300. Some 100
# are always there: tracemalloc itself keeps the file name of all code that ever ran, and here each version has its own.
# In a short run some 300 more are the last lines and errors that the bot keeps, up to a limit which it hasn't reached.
TRACED_BYTES = 800.0
SELDOM = 10  # a place that has fewer blocks more than one in so many reloads leaks none
# A `def` command that took over 20 ms, as any may on a busy machine, has a thread of the pool from then on.
MORE_THREADS = 2
SLOW_RELOAD_SECONDS = 0.3  # and never less than this for each reload
SLOWDOWN = 3  # a run may take so many times as long as it should on a machine that is slow


@dataclass(slots=True)
class Sample:
    at: float  # seconds since the run began
    reloads: int
    vitals: Vitals
    tasks: int


@dataclass(slots=True)
class Verdict:
    """What came of a soak: tables to print, and what was wrong."""

    tables: list[Table] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def soak(scratch: Path, minutes: float, traced_reloads: int) -> Verdict:
    """Run both runs.

    Raises:
        Broken: the bot did not start, ended, or says nothing any more.
    """
    verdict = Verdict()
    asyncio.run(_loaded(scratch / "soak", minutes, verdict))
    if traced_reloads:
        asyncio.run(_traced(scratch / "traced", traced_reloads, verdict))
    return verdict


class Run:
    """The load on one stage: commands at a steady rate while reloads pass."""

    def __init__(self, stage: Stage, rate: float) -> None:
        self.stage, self.rate = stage, rate
        self.ledger = Ledger()
        self.saves = Saves(stage, self.ledger)
        self.samples: list[Sample] = []
        self.began = time.perf_counter()
        self.asking_seconds = 0.0  # how long it was asked, in all
        self._heard = asyncio.Event()
        stage.on_answer = self._hear

    def _hear(self, text: str) -> None:
        self.ledger.hear(text, time.perf_counter())
        self._heard.set()

    async def reloads(self, count: int, per_second: float, sample_seconds: float = 0.0) -> None:
        """Let so many reloads pass, asking meanwhile, and wait until all is answered."""
        began = time.perf_counter()
        asking = asyncio.create_task(self._ask())
        sampling = asyncio.create_task(self._sample(sample_seconds)) if sample_seconds else None
        try:
            async with asyncio.timeout(count * max(SLOWDOWN / per_second, SLOW_RELOAD_SECONDS) + PATIENCE_SECONDS):
                await self.saves.run(count, per_second)
        except TimeoutError:
            self.ledger.fault("too slow", f"{self.saves.count} reloads so far")
        self.asking_seconds += time.perf_counter() - began
        for task in (asking, sampling):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self.ledger.open:
                    self._heard.clear()
                    await self._heard.wait()
        except TimeoutError:
            pass
        self.ledger.close()

    async def _ask(self) -> None:
        due = time.perf_counter()
        while True:
            self.stage.say(self.ledger.ask(time.perf_counter()))
            due += 1 / self.rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def _sample(self, seconds: float) -> None:
        while True:
            await asyncio.sleep(seconds)
            self.samples.append(await self.sample())

    async def sample(self) -> Sample:
        tasks = await self.stage.tasks()
        return Sample(time.perf_counter() - self.began, self.saves.count, Vitals.of(self.stage.pid), tasks)

    async def calm(self) -> Sample:
        """Wait until what ended is gone, and count what there is when nothing happens."""
        await asyncio.sleep(CALM_SECONDS)
        return await self.sample()


async def _loaded(folder: Path, minutes: float, verdict: Verdict) -> None:
    count = max(2 * TURN, round(minutes * RELOADS_A_MINUTE / TURN) * TURN)
    async with opened(folder) as stage:
        run = Run(stage, COMMANDS_A_SECOND)
        await run.reloads(2 * TURN, RELOADS_A_MINUTE / 60)  # what is made once: threads, caches, the first trial
        before = await run.calm()
        await run.reloads(count, RELOADS_A_MINUTE / 60, sample_seconds=min(5.0, minutes * 60 / 20))
        after = await run.calm()
        faults = run.ledger.faults() + _flat(before, after) + _answering(run)
        faults += [f"the bot moved: {line}" for line in stage.moved[:3]]
        faults += [f"an error in its log: {line}" for line in stage.errors()[:3]]
        table, growing = _memory(run.samples, count)
        verdict.faults += faults + growing
        verdict.tables += [_load(run), table, _counts(before, run.samples, after)]
        if run.saves.others:
            verdict.tables.append(_others(run.saves.others))


def _answering(run: Run) -> list[str]:
    newest = run.saves.newest()
    heard = {source: run.ledger.heard(source) for source in newest}
    return [] if heard == newest else [f"the last versions did not answer: {newest} were saved, {heard} heard"]


def _load(run: Run) -> Table:
    ledger, saves = run.ledger, run.saves
    table = Table("load", ("number", "a second", "p50 ms", "p99 ms", "worst ms"))

    def row(name: str, number: int, seconds: list[float]) -> None:
        figures = (percentile(seconds, 50), percentile(seconds, 99), max(seconds)) if seconds else (0.0, 0.0, 0.0)
        table.rows.append((name, f"{number:,}", f"{number / run.asking_seconds:.1f}", *map(milliseconds, figures)))

    row("commands answered", ledger.answered, ledger.seconds)
    row("reloads", saves.count, saves.seconds)
    for kind, number in saves.done.items():
        row(f"  {kind}", number, saves.times[kind])
    return table


def _memory(samples: list[Sample], reloads: int) -> tuple[Table, list[str]]:
    table = Table("memory", ("first MB", "last MB", "trend, bytes a reload", "over the run, MB"))
    later = samples[len(samples) // 5 :]
    faults = []
    for name, kib in (
        ("the bot (RSS)", [each.vitals.rss for each in later]),
        ("with its children (anonymous PSS)", [each.vitals.anonymous for each in later]),
    ):
        rise = slope([(each.reloads, value) for each, value in zip(later, kib, strict=True)])
        mib = rise * reloads / 1024
        cells = (f"{kib[0] / 1024:.1f}", f"{kib[-1] / 1024:.1f}", f"{rise * 1024:.0f}", f"{mib:.2f}")
        table.rows.append((name, *cells))
        if mib > GROWTH_MIB:
            faults.append(f"memory grows: {name}, {rise * 1024:.0f} bytes with each reload, {mib:.1f} MB in this run")
    return table, faults


def _flat(before: Sample, after: Sample) -> list[str]:
    return [
        f"{name} grew from {first} to {last}"
        for name, first, last in _pairs(before, after)
        if last > first + MORE_THREADS * (name == "threads")
    ]


def _pairs(before: Sample, after: Sample) -> Iterable[tuple[str, int, int]]:
    yield "threads", before.vitals.threads, after.vitals.threads
    yield "descriptors", before.vitals.descriptors, after.vitals.descriptors
    yield "tasks", before.tasks, after.tasks
    yield "child processes", before.vitals.children, after.vitals.children


def _counts(before: Sample, samples: list[Sample], after: Sample) -> Table:
    table = Table("what the bot has", ("at rest before", "median under load", "most", "at rest after"))
    under_load = [list(_pairs(each, each)) for each in samples]
    for place, (name, first, last) in enumerate(_pairs(before, after)):
        values = [each[place][1] for each in under_load] or [first]
        table.rows.append((name, str(first), f"{median(values):.0f}", str(max(values)), str(last)))
    return table


def _others(lines: list[str]) -> Table:
    table = Table(f"lines of the report that tell of no reload: {len(lines)}, the first of them", ())
    table.rows += [(line,) for line in lines[:5]]
    return table


async def _traced(folder: Path, reloads: int, verdict: Verdict) -> None:
    reloads = max(TURN, reloads // TURN * TURN)
    async with opened(folder, {"PYTHONTRACEMALLOC": "1"}) as stage:
        run = Run(stage, COMMANDS_A_SECOND / 10)
        await run.reloads(10 * TURN, 1000)
        await run.calm()
        paths = [folder / "before.trace", folder / "after.trace"]
        await stage.tell(f"!snapshot {paths[0]}")
        await run.reloads(reloads, 1000)
        await run.calm()
        await stage.tell(f"!snapshot {paths[1]}")
        verdict.faults += [f"while traced: {fault}" for fault in run.ledger.faults()]
    before, after = (tracemalloc.Snapshot.load(str(path)) for path in paths)
    changes = after.compare_to(before, "lineno")
    # What a reload leaves is blocks, one at least in a few reloads. Where hardly a block is more or less, a table was
    # made anew at another size: the interpreter's own of interned strings is a megabyte, once in a long while.
    left = sum(change.size_diff for change in changes if abs(change.count_diff) >= reloads / SELDOM)
    a_reload = left / reloads
    table = Table(f"left behind by {reloads} reloads (tracemalloc)", ("bytes a reload", "blocks"))
    every = sum(change.size_diff for change in changes) / reloads
    table.rows.append(("in all", f"{every:.0f}", f"{sum(change.count_diff for change in changes):+}"))
    table.rows.append((f"where blocks grow, one in {SELDOM} reloads or more", f"{a_reload:.0f}", ""))
    for change in changes[:8]:
        frame = change.traceback[0]
        where = "/".join(Path(frame.filename).parts[-3:])
        table.rows.append((f"  {where}:{frame.lineno}", f"{change.size_diff / reloads:.0f}", f"{change.count_diff:+}"))
    verdict.tables.append(table)
    if a_reload > TRACED_BYTES:
        verdict.faults.append(f"a reload leaves {a_reload:.0f} bytes behind; {TRACED_BYTES:.0f} are let pass")
