"""Saves a plugin and asks for it every millisecond until its new version answers.

The time of a save runs from the return of the writer's last system call to the arrival of the first new answer. Both
are read in this process, which is neither the bot's nor the relay's. No version is ever written twice.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from benchmarks import sources
from benchmarks.rig import Answer, Asker, Broken

POLL_SECONDS = 0.001
PAUSES_SECONDS = (0.02, 0.04)  # between two saves, uniformly: no rhythm that a timer of the bot could fall in with
WARM_UP = 3  # saves that are not counted

versions = count(1)  # of all plugins of a run


@dataclass(frozen=True, slots=True)
class Save:
    """The moments of one save: its writing began and ended, its answer came; and the longest that anyone waited."""

    began: float
    written: float
    answered: float
    worst: float

    @property
    def seconds(self) -> float:
        return self.answered - self.written


class Saver:
    """Saves the plugins of one folder, in no order."""

    def __init__(self, folder: Path, who: Asker, lines: int = sources.LINES) -> None:
        self._folder, self._asker, self._lines = folder, who, lines
        self._names = sorted(path.stem for path in folder.glob("p*.py"))
        self._said: dict[str, bytes] = {}
        self._random = random.Random(1)

    def save(self, way: Callable[[Path, str], None]) -> Save:
        """Save one plugin, ask for it until its new version answers.

        Raises:
            Broken: it never did, or something else answered than the version before it or the new one.
        """
        name, version = self._random.choice(self._names), next(versions)
        source, new = sources.plugin(name, version, self._lines), sources.said(version).encode()
        if name not in self._said:
            self._said[name] = self._asker.ask(f"!{name}")
        began = time.perf_counter()
        way(self._folder / f"{name}.py", source)
        written = time.perf_counter()
        answers = self._asker.poll(f"!{name}", lambda answer: answer.text == new, POLL_SECONDS)
        answered = in_order(answers, self._said[name], new)
        self._said[name] = new
        return Save(began, written, answered, max(answer.came - answer.asked for answer in answers))

    def pause(self) -> None:
        time.sleep(self._random.uniform(*PAUSES_SECONDS))

    def saves(self, way: Callable[[Path, str], None], times: int) -> list[Save]:
        """Save so many `times` with pauses, after a few that are not counted."""
        found = []
        for _ in range(WARM_UP + times):
            self.pause()
            found.append(self.save(way))
        return found[WARM_UP:]


def in_order(answers: list[Answer], old: bytes, new: bytes) -> float:
    """Return when the first new answer came.

    Raises:
        Broken: one was neither old nor new, or an old one came after it.
    """
    texts = [answer.text for answer in answers]
    first = texts.index(new)
    if set(texts[:first]) - {old} or set(texts[first:]) - {new}:
        raise Broken(f"between {old!r} and {new!r} this was answered: {texts}")
    return answers[first].came
