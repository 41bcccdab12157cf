"""Which line ended the worker: an innocent one is never skipped, a guilty one after two deaths, seldom three.

A part of the keeper (standard library only; pure, `now` is an argument). After a death that was the worker's own
fault, the lines that it had in hand are suspects. The next worker gets them one at a time, everything else withheld:
the next one when the last is done, or when it has taken its time and the worker is still alive. A line that had been in
hand at an earlier death, and is alone in hand at this one, is guilty. Where it is known which line held a silent worker
(`bot/atwork.py`), that one is guilty at once, and no other becomes a suspect. It takes a third death if a line of many
seconds was in hand beside the guilty one, or if that bites late. What was tried instead, and whom that blamed:
docs/architecture.md, «Blame».
"""

from __future__ import annotations

from collections.abc import Callable, Collection

PATIENCE_SECONDS = 1.0  # how long a suspect is alone if it is not done
LONG_PATIENCE_SECONDS = 30.0  # the same, when that was not enough to tell: as long as a handler may take by default
ALIVE_SECONDS = 0.2  # a frame so long after a line was handed over shows that it did not end the worker at once


class Blame:
    """The suspects, and the one of them that is on trial.

    Args:
        deaths: reads and counts how many deaths a line was in hand at: called with its number, +1 and returns it.
    """

    def __init__(self, deaths: Callable[[str], int]) -> None:
        self._deaths = deaths
        self._suspects: dict[str, None] = {}
        self._alone: str | None = None
        self._since = 0.0
        self._heard_after = False
        self._listening = True
        self._patience = PATIENCE_SECONDS

    @property
    def careful(self) -> bool:
        """Whether lines are handed over one at a time."""
        return bool(self._suspects) or self._alone is not None

    def died(self, in_hand: Collection[str], *, strikes: int = 2, known: str | None = None) -> str | None:
        """The worker ended by its own fault with these lines in hand; return the guilty one, if that is certain.

        Args:
            strikes: at so many deaths a line must have been in hand, at the last one alone.
            known: the one of them that was seen to hold the worker.
        """
        if known is not None:  # this death says nothing of the others
            if self._alone != known:
                self.interrupted()
            self._suspects.pop(known, None)
            self._alone, self._listening = None, False
            return known
        counts = {number: self._deaths(number) for number in in_hand}
        guilty = next((number for number, count in counts.items() if len(counts) == 1 and count >= strikes), None)
        # Two deaths without a verdict: a line that takes its time was in hand beside the guilty, or that bites late.
        undecided = guilty is None and max(counts.values(), default=0) > 1
        self._patience = LONG_PATIENCE_SECONDS if undecided else PATIENCE_SECONDS
        self._suspects = {number: None for number in (*in_hand, *self._suspects) if number != guilty}
        self._alone, self._listening = None, False
        return guilty

    def interrupted(self) -> None:
        """The worker was ended from outside: whoever was alone has shown nothing, and is tried again."""
        if self._alone is not None:
            self._suspects = {self._alone: None, **self._suspects}
        self._alone, self._listening = None, False

    def listening(self, now: float) -> None:
        """The new worker takes lines from here on: what it was handed has been read now, and not when it started."""
        self._since, self._heard_after, self._listening = now, False, True

    def over(self, now: float) -> bool:
        """Whether lines may be handed over as ever: no suspect waits, and the last one has taken its time."""
        return not self._suspects and self.may_go(now)

    def is_suspect(self, number: str) -> bool:
        """Whether it waits for its turn."""
        return number in self._suspects

    def may_go(self, now: float) -> bool:
        """Whether the next suspect may be handed over."""
        if self._alone is not None and self._listening and self._heard_after and now >= self._since + self._patience:
            self._alone = None
        return self._alone is None

    def handed(self, number: str, now: float) -> None:
        """A suspect has been handed over."""
        self._suspects.pop(number, None)
        self._alone, self._since, self._heard_after = number, now, False

    def heard(self, now: float) -> None:
        """The worker has sent something."""
        if now >= self._since + ALIVE_SECONDS:
            self._heard_after = True

    def finished(self, number: str) -> None:
        """A line is done, or gone."""
        self._suspects.pop(number, None)
        if number == self._alone:
            self._alone = None

    def look_at(self, now: float) -> float | None:
        """When `may_go` may have another answer, None if only a frame can change it."""
        return None if self._alone is None else max(self._since + self._patience, now + 0.05)
