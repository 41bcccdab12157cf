"""Who was asked what, and what came of it: every command answered exactly once, versions never back.

Pure: it is told what is asked, written and heard, and when. Calls that overlap may be answered in any order where the
bot promises none; so a version may be older than the newest one heard, but never older than what had been heard when
its command was asked.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.faults import Faults
from benchmarks.soak.plugins import WORDS, Word


@dataclass(slots=True)
class Asked:
    """One command that is not answered yet."""

    word: Word
    at: float
    floor: int  # the newest version of its source that was heard when it was asked
    due: int  # answers
    said: int = 0  # the version of its first answer


class Ledger(Faults):
    """The book of a soak.

    Attributes:
        asked, answered: commands so far.
        seconds: from question to answer, of each command that doesn't pause on purpose.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.answered = 0
        self.seconds: list[float] = []
        self._open: dict[int, Asked] = {}
        self._good: dict[str, set[int]] = {word.source: {1} for word in WORDS}
        self._heard: dict[str, int] = {word.source: 0 for word in WORDS}
        self._last: dict[str, tuple[int, int]] = {}  # word -> the number and the version of its last answer
        self._counts: dict[str, int] = {}

    def wrote(self, source: str, version: int) -> None:
        """A good version was written; from now on it may answer."""
        self._good[source].add(version)

    def ask(self, now: float) -> str:
        """Return the next command to be said, with its number."""
        word = WORDS[self.asked % len(WORDS)]
        self.asked += 1
        self._open[self.asked] = Asked(word, now, self._heard[word.source], word.answers)
        return f"!{word.name} {self.asked}"

    def hear(self, text: str, now: float) -> None:
        """Take a line that the bot said."""
        try:
            name, number, version, *rest = text.split()
            asked, at = self._open.get(int(number)), int(number)
            self._hear(asked, name, at, int(version), [int(each) for each in rest], now)
        except ValueError:
            self.fault("said something else", text)

    def _hear(self, asked: Asked | None, name: str, number: int, version: int, rest: list[int], now: float) -> None:
        what = f"{name} {number} {version}"
        if asked is None:
            known = number <= self.asked
            self.fault("answered twice" if known else "answered what nobody asked", what)
            return
        word = asked.word
        if name != word.name:
            self.fault("answered by another command", f"{what} for {word.name}")
        if version not in self._good[word.source]:
            self.fault("answered by a version that is broken or was never written", what)
        if version < asked.floor:
            self.fault("a version went back", f"{what}, after {asked.floor} had been heard")
        if word.ordered:
            last_number, last_version = self._last.get(name, (0, 0))
            if number < last_number or version < last_version:
                self.fault("out of order", f"{what} after number {last_number} of version {last_version}")
            self._last[name] = number, version
        if word.counted:
            count = self._counts[name] = self._counts.get(name, 0) + 1
            if rest != [count]:
                self.fault("kept state was lost", f"{what} counted {rest}, not {count}")
                self._counts[name] = rest[0] if rest else count
        if asked.said not in (0, version):
            self.fault("one call answered by two versions", f"{what} and {asked.said}")
        self._heard[word.source] = max(self._heard[word.source], version)
        asked.said = version
        asked.due -= 1
        if asked.due == 0:
            del self._open[number]
            self.answered += 1
            if not word.pauses:
                self.seconds.append(now - asked.at)

    @property
    def open(self) -> int:
        """How many commands still wait for an answer."""
        return len(self._open)

    def heard(self, source: str) -> int:
        """Return the newest version that was heard."""
        return self._heard[source]

    def close(self) -> None:
        """Nothing more will come: what is open now was never answered."""
        for number, asked in self._open.items():
            self.fault("never answered", f"{asked.word.name} {number}")
        self._open.clear()
