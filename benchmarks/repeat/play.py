"""One case on its bot: its folder, and the one who asks while files are being written."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import sources
from benchmarks.reload.saver import in_order, versions
from benchmarks.rig import PATIENCE_SECONDS, Asker, Broken
from benchmarks.sources import Way

POLL_SECONDS = 0.005
PLUGINS = 5
NAME = "p000"


class Play:
    """One case on its bot: its folder, and the one who asks."""

    def __init__(self, home: Path, who: Asker) -> None:
        self.home, self.who = home, who
        self.folder = home / "plugins"
        self.old = sources.said(0).encode()
        self.round = 0

    def save(self, way: Way, name: str = NAME) -> float:
        """Write a new version in this way, asking meanwhile; return the seconds from its end to the first answer."""
        version = next(versions)
        return self.becomes(version, lambda: way(self.folder / f"{name}.py", sources.plugin(name, version)))

    def becomes(self, version: int, act: Callable[[], object]) -> float:
        """Do something by which p000 becomes this version, asking meanwhile.

        Raises:
            Broken: something else answered, or nothing.
        """
        new, ended, failed = sources.said(version).encode(), list[float](), list[BaseException]()

        def acting() -> None:
            try:
                act()
            except BaseException as error:
                failed.append(error)
            ended.append(time.perf_counter())

        thread = threading.Thread(target=acting)
        thread.start()
        try:
            answers = self.who.poll(f"!{NAME}", lambda answer: bool(failed) or answer.text == new, POLL_SECONDS)
        finally:
            thread.join()
        if failed:
            raise failed[0]
        live = in_order(answers, self.old, new)
        self.old = new
        return max(0.0, live - ended[0])

    def reported(self, pattern: str, count: int = 1) -> None:
        """Wait until so many entries of reports since the last such wait hold a pattern."""
        deadline = time.perf_counter() + PATIENCE_SECONDS
        while sum(len(re.findall(pattern, line)) for line in self.who.reports) < count:
            self.who.line()
            if time.perf_counter() > deadline:
                raise Broken(f"no report of {pattern!r}; the last: {self.who.reports[-3:]}")
