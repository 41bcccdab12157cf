"""The long run: lines by the million on one bot, connection after connection; then what grew, and the judgement."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
import re
import subprocess
import sys
import time
from collections import OrderedDict, deque
from dataclasses import dataclass
from pathlib import Path
from random import Random

from benchmarks.figures import Table
from benchmarks.fuzz import grammar
from benchmarks.fuzz.stage import SASL, Stage, opened
from benchmarks.vitals import Vitals

LINES_AT_A_TIME = 50
CONNECTION = 6  # one in so many rounds begins with a new connection
WARM = 0.2  # of the run: what is made once, and caches that have a bound
GROWTH_MIB = 4.0  # of memory after that
GROWTH_OBJECTS = 3000  # containers, or things in them: far below one for each hundred lines
CONTAINERS = (dict, list, set, deque, OrderedDict)


@dataclass(slots=True)
class Size:
    """How much there is when no connection is."""

    lines: int
    rss: float  # KiB
    objects: int
    things: int  # in containers

    @classmethod
    def of(cls, lines: int) -> Size:
        gc.collect()
        objects = gc.get_objects()
        things = sum(len(each) for each in objects if type(each) in CONTAINERS)
        return cls(lines, Vitals.of(os.getpid()).rss, len(objects), things)


async def play(stage: Stage, random: Random, lines: int) -> None:
    """Feed so many lines: registrations that go well or ill, then anything, in pieces of any size."""
    end = stage.lines + lines
    while stage.lines < end:
        if not stage.open or random.randrange(CONNECTION if stage.up else 2) == 0:
            await stage.fresh(random.choice((None, SASL)))
            if random.randrange(3):
                await stage.register()
            else:
                await stage.register(lambda raw: grammar.hostile(random, raw))
        else:
            data = grammar.stream(random, min(LINES_AT_A_TIME, max(1, end - stage.lines)))
            await stage.feed(grammar.segments(random, data))
        if random.randrange(8) == 0:
            await stage.pass_time(random.uniform(0, 20))


def fuzz(scratch: Path, lines: int, seed: int, faults: list[str]) -> list[Table]:
    """Run it; what must not be goes to `faults`."""
    return asyncio.run(_fuzz(scratch / "fuzz", lines, seed, faults))


def guided(scratch: Path, inputs: int, seed: int, faults: list[str]) -> Table:
    """Let the fuzzer that watches the coverage choose so many inputs, where there is one for this Python."""
    table = Table("chosen by coverage", ("number",))
    if importlib.util.find_spec("atheris") is None:
        table.rows.append(("skipped: atheris is not installed (it has wheels for x86-64 Linux, Python up to 3.13)", ""))
        return table
    corpus = scratch / "corpus"
    corpus.mkdir()
    command = [sys.executable, "-m", "benchmarks.fuzz.guided", f"-runs={inputs}", f"-seed={seed}", "-max_len=4096"]
    command += [f"-artifact_prefix={scratch}/", "-timeout=30", "-rss_limit_mb=1024", str(corpus)]
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    told = ended.stdout.decode(errors="replace")
    if ended.returncode:
        shown = "; ".join(f"{path.name}: {path.read_bytes()!r}" for path in sorted(scratch.glob("crash-*")))
        faults.append(f"chosen by coverage, seed {seed}: {told[-3000:]}\n{shown}")
    progress = re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)", told)
    first, last = (progress[0], progress[-1]) if progress else (("?",) * 3, ("?",) * 3)
    done = re.findall(r"Done (\d+) runs in (\d+)", told)
    table.rows += [
        ("inputs", done[-1][0] if done else "?"),
        ("seconds", done[-1][1] if done else "?"),
        ("branches reached by the first input, and in the end", f"{first[0]}, {last[0]}"),
        ("inputs that reached something new", last[2]),
    ]
    return table


async def _fuzz(folder: Path, lines: int, seed: int, faults: list[str]) -> list[Table]:
    random, began, sizes = Random(seed), time.perf_counter(), []
    async with opened(folder) as stage:
        for _ in range(10):
            await play(stage, random, lines // 10)
            await stage.lose()
            stage.forget()
            faults += [f"left of a connection that is gone: {what}" for what in stage.left()]
            sizes.append(Size.of(stage.lines))
        seconds = time.perf_counter() - began
    faults += stage.faults.faults()
    warm, last = sizes[int(len(sizes) * WARM)], sizes[-1]
    if (mib := (last.rss - warm.rss) / 1024) > GROWTH_MIB:
        faults.append(f"memory grew by {mib:.1f} MB in {last.lines - warm.lines:,} lines")
    for name, more in (("objects", last.objects - warm.objects), ("things in them", last.things - warm.things)):
        if more > GROWTH_OBJECTS:
            faults.append(f"{name}: {more:,} more after {last.lines - warm.lines:,} lines")
    table = Table("fuzz", ("number",))
    table.rows += [
        ("lines in", f"{stage.lines:,}"),
        ("lines a second", f"{stage.lines / seconds:,.0f}"),
        ("connections", f"{stage.connections:,}"),
        ("lines of the bot, each with its reason", f"{stage.answers:,}"),
        ("of them answers to commands and rules", f"{stage.spoken:,}"),
        ("exceptions that reached the guard of a line", str(stage.watch.exceptions)),
        ("slowest segment, ms of processor time", f"{stage.slowest[0] * 1e3:.1f}"),
        ("seed", str(seed)),
    ]
    growth = Table("when nothing is connected", ("lines", "MB (RSS)", "objects", "things in them"))
    for name, size in (("warm", warm), ("at the end", last)):
        row = (name, f"{size.lines:,}", f"{size.rss / 1024:.1f}", f"{size.objects:,}", f"{size.things:,}")
        growth.rows.append(row)
    return [table, growth]
