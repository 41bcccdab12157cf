"""The reloads of a soak, in turn, each followed to its outcome.

One that must succeed ends when its generation was told; the next begins then, or when it is due. One that must fail is
told late on purpose (the bot waits in case the next write mends it), so the next do not wait for it.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

from benchmarks.soak import plugins
from benchmarks.soak.ledger import Ledger
from benchmarks.soak.stage import PATIENCE_SECONDS, Stage

_STEP = re.compile(r"(\w+) g(\d+) -> g(\d+) \(")
_STAYS = re.compile(r"(\w+) stays g(\d+)")
_HIDDEN = re.compile(r"; \+\d+ more$")


class Saves:
    """Saves, and waits for what must come of it.

    Attributes:
        done: reloads by kind.
        times: seconds of those that went live, by kind, from the last byte to the report's arrival.
        others: report lines that tell of no outcome, notices of any kind.
    """

    def __init__(self, stage: Stage, ledger: Ledger) -> None:
        self._stage, self._ledger = stage, ledger
        self._folder = stage.folder / "plugins"
        self.done = Counter[str]()
        self.times: defaultdict[str, list[float]] = defaultdict(list)
        self.others: list[str] = []
        self._generations = Counter[str]({"solo": 1, "weak": 1, "one": 1, "two": 1, "bundle": 1})
        self._versions = Counter[str]({word.source: 1 for word in plugins.WORDS})
        self._refusals = 0
        self._more = asyncio.Event()
        self._turn: Iterator[tuple[str, Callable[[], object], tuple[str, ...]]] = cycle(
            (
                ("good", lambda: self._good("solo", "solo.py", plugins.SOLO), ("solo",)),
                ("broken", self._broken, ()),
                ("shared", lambda: self._good("common", "_common.py", plugins.COMMON), ("one", "two")),
                ("package", lambda: self._good("bundle", "bundle/inner.py", plugins.INNER, beside=True), ("bundle",)),
                ("good", lambda: self._good("weak", "weak.py", plugins.WEAK, beside=True), ("weak",)),
                ("by command", lambda: stage.order("!reload solo"), ("solo",)),
            )
        )
        self._faults = cycle(plugins.FAULTS)
        stage.on_report = self._hear

    @property
    def seconds(self) -> list[float]:
        return [each for times in self.times.values() for each in times]

    @property
    def count(self) -> int:
        return sum(self.done.values())

    async def run(self, count: int, per_second: float) -> None:
        """Do so many reloads, no more than so many a second."""
        due = time.perf_counter()
        for _ in range(count):
            kind, save, outcome = next(self._turn)
            wanted = {name: self._generations[name] + 1 for name in outcome}
            if kind == "good" and outcome == ("weak",):
                await self._until(lambda: self._refusals == self.done["broken"], "the refusal was told")
            save()
            began = time.perf_counter()
            if wanted and await self._until(
                lambda wanted=wanted: all(self._generations[name] >= each for name, each in wanted.items()),  # type: ignore[misc]
                f"{kind}: {wanted} went live",
            ):
                self.times[kind].append(time.perf_counter() - began)
            self.done[kind] += 1
            due = max(due + 1 / per_second, time.perf_counter() - 1)  # what was late may be made up for, for a second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        await self._until(lambda: self._refusals == self.done["broken"], "the last refusal was told")

    def _hear(self, text: str) -> None:
        steps = _STEP.findall(text)
        for name, before, after in steps:
            if int(after) <= self._generations[name]:
                continue  # told to the admin who asked as well as to the channel
            if (int(before), int(after)) != (self._generations[name], self._generations[name] + 1):
                self._ledger.fault("generations skipped", text)
            self._generations[name] = int(after)
        stays = _STAYS.findall(text)
        for name, generation in stays:
            if name != "weak" or int(generation) != self._generations[name]:
                self._ledger.fault("refused what was good", text)
            else:
                self._refusals += 1
        if _HIDDEN.search(text):
            self._ledger.fault("reports ran together", text)
        if not steps and not stays:
            self.others.append(text)
        self._more.set()

    async def _until(self, true: Callable[[], bool], what: str) -> bool:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not true():
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            self._ledger.fault("no outcome", what)
            return False
        return True

    def _good(self, source: str, name: str, text: str, beside: bool = False) -> None:
        self._versions[source] += 1
        self._ledger.wrote(source, self._versions[source])
        self._write(name, text.format(version=self._versions[source]), beside)

    def _broken(self) -> None:
        self._versions["weak"] += 1
        self._write("weak.py", plugins.WEAK.format(version=self._versions["weak"]) + next(self._faults), False)

    def _write(self, name: str, text: str, beside: bool) -> None:
        """Save in place, or into a file beside it which then takes its name."""
        path: Path = self._folder / name
        if not beside:
            path.write_text(text, encoding="utf-8")
            return
        other = path.with_name(f".{path.name}.{os.getpid()}")
        other.write_text(text, encoding="utf-8")
        other.replace(path)

    def newest(self) -> dict[str, int]:
        """Return the newest good version of each source; they are what must answer at the end of a turn."""
        return dict(self._versions)
