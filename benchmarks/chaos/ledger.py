"""Who was asked what, and what came of it: every command answered exactly once, in order where that is promised.

Pure: it is told what is asked and heard, where and when.
"""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.chaos.plugins import Word
from benchmarks.faults import Faults


@dataclass(slots=True)
class Asked:
    """One command that is not answered in full."""

    word: Word
    channel: str
    at: float
    said: int = 0


class Ledger(Faults):
    """The book of a run.

    Attributes:
        asked, answered: commands so far.
        newest: the newest version that `fresh` told.
        gaps: seconds from each death to the first answer to a command that was asked after it; from a hang to the first
            answer after the silence.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = self.answered = self.newest = 0
        self.gaps: list[float] = []
        self._open: dict[int, Asked] = {}
        self._last: dict[str, int] = {}  # channel -> the number of its last answer that has an order
        self._counts: dict[str, list[int]] = {}
        self._died_at: float | None = None
        self._silence = 0.0

    def ask(self, word: Word, channel: str, now: float) -> str:
        """Return what to say."""
        self.asked += 1
        self._open[self.asked] = Asked(word, channel, now)
        return f"!{word.name} {self.asked}"

    def died(self, now: float, silence: float = 0.0) -> None:
        """The worker was ended, or hangs and says nothing for so long."""
        if self._died_at is None:
            self._died_at, self._silence = now, silence

    def hear(self, channel: str, text: str, now: float) -> None:
        """Take a line that the bot said."""
        name, _, rest = text.partition(" ")
        words = rest.split()
        if not words or not all(word.isdecimal() for word in words):
            self.fault("said something else", text)
            return
        number, more = int(words[0]), [int(word) for word in words[1:]]
        asked = self._open.get(number)
        if asked is None or (name, channel) != (asked.word.name, asked.channel):
            self.fault("answered twice, or what nobody asked", f"{text} in {channel}")
            return
        asked.said += 1
        self._check(asked, number, more, text)
        died = self._died_at
        if died is not None and (now > died + self._silence if self._silence else asked.at > died):
            self.gaps.append(now - died)
            self._died_at = None
        if asked.said == asked.word.answers:
            del self._open[number]
            self.answered += 1

    def _check(self, asked: Asked, number: int, more: list[int], text: str) -> None:
        word = asked.word
        if word.answers > 1 and more != [asked.said]:
            self.fault("a part is missing, doubled or out of order", f"{text}, not {asked.said}")
        if word.ordered:
            before = self._last.get(asked.channel, 0)
            if number < before:
                self.fault("out of order", f"{text} after {before} in {asked.channel}")
            self._last[asked.channel] = number
        if word.counted:
            self._counts.setdefault(word.name, []).extend(more)
        if word.name == "fresh":
            self.newest = max(self.newest, *more)

    @property
    def open(self) -> int:
        """How many commands wait for an answer."""
        return len(self._open)

    @property
    def waiting(self) -> bool:
        """Whether nothing was heard since the last death."""
        return self._died_at is not None

    def close(self, totals: dict[str, int]) -> None:
        """Nothing more will come.

        Args:
            totals: what the stores have counted, by command.
        """
        for number, asked in self._open.items():
            self.fault("never answered in full", f"{asked.word.name} {number}")
        for name, total in totals.items():
            if sorted(self._counts.get(name, [])) != list(range(1, total + 1)):
                self.fault("a store counts something else than was answered", f"{name}: {total}")
