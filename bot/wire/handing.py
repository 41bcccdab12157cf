"""Which line the worker is handed, and when: all in order, at once; one at a time after a death by its own fault.

A part of the keeper (standard library only). A worker that comes late to many lines is not given them all in one go:
what their handlers say at the same moment would be more than its queue holds, and be dropped. So it has MAX_IN_HAND
unfinished lines of each network at most, unless nothing is finished for a while (handlers that wait for something), or
the network's pace is what keeps them open (that queue is bounded by design). Lines are numbered when they are handed
over, the networks in turn, so that one with many lines, or with handlers that hang, keeps no other waiting.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from bot.wire.blame import Blame
from bot.wire.entries import Entries
from bot.wire.link import LinkEnd

MAX_IN_HAND = 500  # with 8 lines of answer each that is what a worker's queue holds
STUCK_SECONDS = 1.0  # nothing was finished for so long: so many more
MORE = 100


class Handing:
    """What the present worker is handed.

    Args:
        send: hands an entry over: its network, number, flag and text.
        live: called when the backlog has been handed over.
        slow: tells whether a network's pace, not its worker, keeps lines open.
        wake: has `hand_over` called at a moment.

    Attributes:
        reading: the worker has said `open`: it takes what it is handed.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        send: Callable[[str, str, str, bytes], object],
        live: Callable[[], object],
        slow: Callable[[str], bool],
        wake: Callable[[float], object],
    ) -> None:
        self.entries = Entries()
        self.blame = Blame(self._deaths)
        self.reading = False
        self._clock, self._send, self._live, self._slow, self._wake = clock, send, live, slow, wake
        self._link: LinkEnd | None = None
        self._holding = self._is_live = self._waits = False
        self._more: Counter[str] = Counter()  # by network, than MAX_IN_HAND
        self._finished_at: dict[str, float] = {}  # by network; when a line was finished, or enough were in hand

    def begin(self, link: LinkEnd) -> None:
        """Another worker has come: it has been handed nothing."""
        self._link = link
        self._holding = self._is_live = self.reading = self._waits = False
        self._more.clear()
        self._finished_at.clear()
        self.entries.another()
        self.hand_over()

    def end(self) -> None:
        """The worker is served no more."""
        self._link = None

    def hold(self) -> None:
        """Hand nothing more to the present worker."""
        self._holding = True

    def died(self, *, own_fault: bool, strikes: int = 2, known: str | None = None) -> tuple[str, str, bytes] | None:
        """The worker has ended; return (network, number, line) of what is skipped for it. See `Keeper.died`."""
        if not own_fault or not self.reading:  # by no line: it may have read none of them
            self.blame.interrupted()
            return None
        guilty = self.blame.died(self.entries.in_hand(), strikes=strikes, known=known)
        entry = self.entries.get(guilty) if guilty is not None else None
        if guilty is None or entry is None:
            return None
        if guilty.isdecimal():
            self.entries.see(guilty)  # no handler gets it any more, but the next worker's state may need it
        else:
            self.entries.remove(guilty)
        return entry.net, guilty, entry.text

    def _deaths(self, number: str) -> int:
        entry = self.entries.get(number)
        if entry is None:
            return 0
        entry.deaths += 1
        return entry.deaths

    def hand_over(self) -> None:
        """Give the worker all that it may have now, in order."""
        link, now = self._link, self._clock()
        if link is None or self._holding:
            return
        careful, self._waits = not self.blame.over(now), False
        while True:
            number = self.entries.next()
            entry = self.entries.get(number) if number is not None else None
            if link.full:
                return
            if entry is None or not entry.seen:  # what is for the state alone ends nobody, and says nothing
                if careful:
                    if not self.blame.may_go(now):
                        break
                    careful = not self.blame.over(now)
                if entry is not None and self._has_enough(entry.net, now):
                    return
            if number is None:
                number = self.entries.number(lambda net: not self._has_enough(net, now))
            if number is None:
                if self.entries.arrivals:
                    return
                break
            if careful and not (entry is not None and entry.seen):
                self.blame.handed(number, now)
            self._hand(number)
        if careful:
            if (at := self.blame.look_at(now)) is not None:
                self._wake(at)
        elif not self._is_live:
            self._is_live = True
            self._live()

    def _has_enough(self, net: str, now: float) -> bool:
        in_hand = self.entries.handed[net]
        if in_hand < MAX_IN_HAND:
            self._more.pop(net, None)
            return False
        if self._slow(net):
            return False
        since = self._finished_at.setdefault(net, now)
        if now >= since + STUCK_SECONDS:
            self._more[net] += MORE
            since = self._finished_at[net] = now
        if in_hand < MAX_IN_HAND + self._more[net]:
            return False
        self._waits = True
        self._wake(since + STUCK_SECONDS)
        return True

    def _hand(self, number: str) -> None:
        entry, flag = self.entries.hand(number)
        self._send(entry.net, number, flag, entry.text)

    def finished(self, number: str, net: str) -> None:
        """A line is done, or kept for the state alone."""
        self._finished_at[net] = self._clock()
        if self.blame.careful:
            self.blame.finished(number)
            self.hand_over()
        elif self._waits:
            self.hand_over()

    def tick(self) -> None:
        """Look whether more may be handed over by now."""
        if self._waits or self.blame.careful:
            self.hand_over()
