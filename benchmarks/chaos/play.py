"""The three runs: deaths from outside under load, commands that end the worker, and hangs."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import sources
from benchmarks.chaos import plugins
from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.plugins import LAST, WORDS, Word
from benchmarks.chaos.stage import CHANNELS, PATIENCE_SECONDS, Stage, opened

COMMANDS_A_SECOND = 200
DEATH_SECONDS = 3.0  # from one death to the next: 200 in ten minutes
SAVE_SECONDS = 1.5
PLUGINS = 100  # loaded in all, so that the start of a worker is that of a real bot
PING_LIMIT_SECONDS = 1.0
SILENCE_SECONDS = 1.0
HANG_LIMIT_SECONDS = SILENCE_SECONDS + 1.0
SETTLE_SECONDS = 120.0  # for the backlog of a run with many faults


@dataclass(slots=True)
class Run:
    """What came of one.

    Attributes:
        seconds: how long it was asked.
    """

    name: str
    ledger: Ledger
    deaths: int
    seconds: float
    pings: Sequence[float]
    saves: int = 0
    faults: list[str] = field(default_factory=list)


class Load:
    """Commands at a steady rate, in all channels."""

    def __init__(self, stage: Stage, words: Sequence[Word] = WORDS) -> None:
        self.stage, self.ledger, self._words = stage, Ledger(), words
        self._totals: asyncio.Future[list[int]] | None = None
        self.heard = asyncio.Event()
        stage.on_answer = self._hear

    def _hear(self, channel: str, text: str) -> None:
        if text.startswith("totals ") and self._totals is not None:
            self._totals.set_result([int(each) for each in text.split()[1:]])
            return
        self.ledger.hear(channel, text, time.perf_counter())
        self.heard.set()

    def ask(self, word: Word | None = None) -> int:
        """Ask the next command, or this one; return its number."""
        ledger = self.ledger
        word = word or self._words[ledger.asked % len(self._words)]
        channel = CHANNELS[ledger.asked // len(self._words) % len(CHANNELS)]
        self.stage.say(channel, ledger.ask(word, channel, time.perf_counter()))
        return ledger.asked

    async def run(self) -> None:
        due = time.perf_counter()
        while True:
            self.ask()
            due += 1 / COMMANDS_A_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))

    async def answered(self) -> None:
        """Wait for the first answer to something that was asked after the last death."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.ledger.waiting:
                self.heard.clear()
                await self.heard.wait()

    async def settle(self) -> None:
        """Wait until all is answered, or for long enough, and close the book."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                while self.ledger.open:
                    self.heard.clear()
                    await self.heard.wait()
        self._totals = asyncio.get_running_loop().create_future()
        self.stage.say(CHANNELS[0], "!totals")
        async with asyncio.timeout(PATIENCE_SECONDS):
            added, last = await self._totals
        self.ledger.close({"add": added, "last": last})


@contextlib.asynccontextmanager
async def _loaded(
    scratch: Path, name: str, files: dict[str, str], silence: float = 5.0
) -> AsyncIterator[tuple[Load, Run]]:
    """Play on a bot with these plugins and enough others; the run's fields are filled at the end of the block."""
    files = {"steady": plugins.STEADY, "fresh": plugins.FRESH.format(version=0), **files}
    more = {f"other{number}": sources.plugin(f"other{number}", "1") for number in range(PLUGINS - len(files))}
    async with opened(scratch / name, {**more, **files}, silence) as stage:
        load = Load(stage)
        tasks = [asyncio.create_task(load.run()), asyncio.create_task(stage.ping())]
        run = Run(name, load.ledger, 0, time.perf_counter(), stage.pings)
        await asyncio.sleep(1.0)
        try:
            yield load, run
        finally:
            run.seconds = time.perf_counter() - run.seconds
            tasks[0].cancel()
            await asyncio.gather(tasks[0], return_exceptions=True)
        await load.settle()
        tasks[1].cancel()
        (pinged,) = await asyncio.gather(tasks[1], return_exceptions=True)
        if not isinstance(pinged, asyncio.CancelledError):
            run.faults.append(f"PING was not answered: {pinged!r}")
        run.faults += run.ledger.faults() + [f"the bot moved: {line}" for line in stage.moved[:3]]
        if run.pings and max(run.pings) > PING_LIMIT_SECONDS:
            run.faults.append(f"PONG came after {max(run.pings):.2f} s")


async def deaths(scratch: Path, minutes: float) -> Run:
    """Kill the worker from outside, every second time between a handler's effect and its end; save meanwhile."""
    async with _loaded(scratch, "deaths", {}) as (load, run):
        saving = asyncio.create_task(_save(load.stage, run))
        for number in range(max(2, round(minutes * 60 / DEATH_SECONDS))):
            until = time.perf_counter() + DEATH_SECONDS
            await asyncio.sleep(random.uniform(0.02, DEATH_SECONDS / 3))
            if number % 2:
                await _force(load)
            else:
                load.stage.send(signal.SIGKILL)
            load.ledger.died(time.perf_counter())
            run.deaths += 1
            await load.answered()
            await asyncio.sleep(max(0.0, until - time.perf_counter()))
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        await asyncio.sleep(1.0)
    if load.ledger.newest != run.saves:
        run.faults.append(f"the last of {run.saves} saves did not answer, but {load.ledger.newest}")
    return run


async def _force(load: Load) -> None:
    """Ask what writes, says, and then waits to be killed."""
    (load.stage.folder / f"armed-{load.ledger.asked + 1}").touch()
    load.ask(LAST)
    await load.stage.forced()


async def _save(stage: Stage, run: Run) -> None:
    while True:
        await asyncio.sleep(SAVE_SECONDS)
        run.saves += 1
        (stage.folder / "plugins" / "fresh.py").write_text(plugins.FRESH.format(version=run.saves))


async def poison(scratch: Path, count: int) -> Run:
    """Commands that end the worker, each of a plugin of its own, one among two hundred that don't."""
    named = dict(plugins.poison(number) for number in range(count))
    async with _loaded(scratch, "poison", named) as (load, run):
        for name in named:
            before = load.stage.worker()
            load.stage.say(CHANNELS[0], f"!{name}")
            load.ledger.died(time.perf_counter())
            await load.answered()
            run.deaths += load.stage.worker() != before
            await asyncio.sleep(1.0)
    return run


async def hangs(scratch: Path, count: int) -> Run:
    """Stop the worker from outside, or have it look for something in a regular expression for years, in turn."""
    named = dict(plugins.hang(number) for number in range(count // 2))
    async with _loaded(scratch, "hangs", named, SILENCE_SECONDS) as (load, run):
        for number in range(count):
            if number % 2:
                load.stage.send(signal.SIGSTOP)
            else:
                load.stage.say(CHANNELS[0], f"!hang{number // 2}")
            load.ledger.died(time.perf_counter(), SILENCE_SECONDS)
            await load.answered()
            run.deaths += 1
            await asyncio.sleep(1.0)
    late = [gap for gap in run.ledger.gaps if gap > HANG_LIMIT_SECONDS]
    if late:
        run.faults.append(f"{len(late)} hangs took longer than {HANG_LIMIT_SECONDS:g} s, up to {max(late):.1f} s")
    return run
