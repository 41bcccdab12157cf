"""What is not finished: every line from the server, and work that a worker began under a name of its own.

A part of the keeper (standard library only, no clock, no sockets). An entry leaves when it is done; one that is only
`seen` stays for the state of the next worker until a checkpoint covers it. An effect is known by (cause, handler, k)
and accepted once. Which entries the present worker has been handed is noted, since a new one gets them all again, in
the order of their numbers. A line is numbered when a worker may have it; until then it is one of the `arrivals`.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable

from bot.wire.arrivals import Arrivals

log = logging.getLogger(__name__)

MAX_HELD_BYTES = 64 * 1024 * 1024  # lines that no worker has finished
ENTRY_BYTES = 260  # what an entry costs beside its text: object, key, slots; measured
SPARSE_LINES = 4096  # a dict that once held more than that, and now an eighth, is made anew: it never shrinks by itself


class Entry:
    """One of them.

    Attributes:
        delivered: some worker has had it. `handed`: the present one has.
        seen: its handlers have ended; it is kept for the state alone.
        deaths: own faults of workers that had it in hand.
    """

    __slots__ = ("accepted", "deaths", "delivered", "handed", "net", "seen", "text")

    def __init__(self, net: str, text: bytes, delivered: bool) -> None:
        self.net, self.text, self.delivered, self.handed = net, text, delivered, delivered
        self.seen = False
        self.deaths = 0
        # (network, handler, flow) -> the next k. What one call says to two targets may leave in any order. None before
        # the first: most lines have no effect, and an empty dict costs as much as the rest.
        self.accepted: dict[tuple[str, str, str], int] | None = None

    @property
    def flag(self) -> str:
        """As `line` frames have it: 0 new, 1 delivered before and unfinished, 2 for the state only."""
        return "2" if self.seen else "1" if self.delivered else "0"


class Entries:
    """All of them, in the order of their numbers, which is the order of delivery.

    Attributes:
        arrivals: lines that have no number yet.
        last: the number of the newest line that has one.
        lost: lines dropped because MAX_HELD_BYTES was reached.
        on_lost: called for each that was dropped for that, with its network, its number or "", and whether the state of
            the connection depends on it: the present worker has not had it, or it was kept for the next one.
        unfinished: by network, those that are neither done nor seen; `handed`: of these, what the present worker has.
    """

    def __init__(self) -> None:
        self.arrivals = Arrivals()
        self.last = 0
        self.lost = 0
        self.on_lost: Callable[[str, str, bool], object] = lambda net, number, matters: None
        self.unfinished: Counter[str] = Counter()
        self.handed: Counter[str] = Counter()
        self._all: dict[str, Entry] = {}
        self._most = 0  # it held, since it was made anew
        # Not handed to the present worker, in order; those that were removed meanwhile are passed over.
        self._waiting: deque[str] = deque()
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._all) + len(self.arrivals)

    def __contains__(self, number: str) -> bool:
        return number in self._all

    def get(self, number: str) -> Entry | None:
        """Return an entry, if it is still there."""
        return self._all.get(number)

    def arrive(self, net: str, text: bytes) -> None:
        """Keep a line until there is a worker who may have it."""
        self.arrivals.add(net, text)
        self.unfinished[net] += 1
        self._bound()

    def number(self, ready: Callable[[str], bool]) -> str | None:
        """Make the next line an entry, of those networks that are ready; return its number, or None: there is none.

        Nothing is dropped for it: who takes a connection over has been told already that nothing is missing.
        """
        arrived = self.arrivals.next(ready)
        return None if arrived is None else self._number(*arrived)

    def number_all(self, net: str) -> None:
        """Make all lines of a network entries: those that come now are of another connection."""
        while self.arrivals.of(net):
            self._number(net, self.arrivals.take(net))
        self._bound()

    def _number(self, net: str, text: bytes) -> str:
        self.last += 1
        self.unfinished[net] -= 1
        self._remember(number := str(self.last), net, text, False)
        return number

    def add(self, number: str, net: str, text: bytes, *, begun: bool = False) -> None:
        """Remember one; what a worker has `begun` itself it need not be handed."""
        self._remember(number, net, text, begun)
        self._bound()

    def _remember(self, number: str, net: str, text: bytes, begun: bool) -> None:
        self._all[number] = Entry(net, text, begun)
        if begun:
            self.handed[net] += 1
        else:
            self._waiting.append(number)
        self.unfinished[net] += 1
        self._held_bytes += len(text) + ENTRY_BYTES
        self._most = max(self._most, len(self._all))

    def _bound(self) -> None:
        """Drop what is too much: the oldest entries, or the oldest lines of the network that has the most."""
        while self._held_bytes + self.arrivals.held_bytes > MAX_HELD_BYTES:
            if self.arrivals.held_bytes > self._held_bytes:
                self.arrivals.take(net := self.arrivals.longest())
                self.unfinished[net] -= 1
                number, matters = "", True
            else:
                number, entry = next(iter(self._all.items()))
                self.remove(number)
                net, matters = entry.net, entry.seen or not entry.handed
            self.lost += 1
            self.on_lost(net, number, matters)
            if self.lost.bit_count() == 1:  # told at 1, 2, 4, 8, ... lines
                log.error("the worker is too slow or gone: %d of the oldest lines dropped so far", self.lost)

    def remove(self, number: str) -> None:
        """Forget one, if it is there."""
        entry = self._all.pop(number, None)
        if entry is not None:
            self._held_bytes -= len(entry.text) + ENTRY_BYTES
            self._finish(entry)
            if self._most > SPARSE_LINES and len(self._all) < self._most // 8:
                self._all, self._most = dict(self._all), len(self._all)

    def _finish(self, entry: Entry) -> None:
        if not entry.seen:
            self.unfinished[entry.net] -= 1
            self.handed[entry.net] -= entry.handed

    def see(self, number: str) -> bool:
        """Keep one for the state alone; tell whether that is news."""
        entry = self._all.get(number)
        if entry is None or entry.seen:
            return False
        self._finish(entry)
        entry.seen = True
        entry.accepted = None
        return True

    def saved(self, upto: int) -> None:
        """A checkpoint covers the numbers up to this one: forget what was kept for the state."""
        for number in [number for number, entry in self._all.items() if entry.seen]:
            if number.isdecimal() and int(number) <= upto:
                self.remove(number)

    def void(self, net: str) -> None:
        """Forget what was kept for the state of a network: its connection is gone, and the state with it."""
        for number in [number for number, entry in self._all.items() if entry.seen and entry.net == net]:
            self.remove(number)

    def is_new(self, net: str, cause: str, handler: str, k: int, flow: str = "-") -> bool:
        """Accept an effect, or tell that it was accepted before; what has no entry is always new."""
        entry = self._all.get(cause)
        if entry is None or entry.seen:
            return True
        accepted = entry.accepted = {} if entry.accepted is None else entry.accepted
        if k < accepted.get((net, handler, flow), 0):
            return False
        accepted[net, handler, flow] = k + 1
        return True

    # -- the present worker

    def another(self) -> None:
        """Another worker has come: it has been handed nothing."""
        for entry in self._all.values():
            entry.handed = False
        self.handed.clear()
        self._waiting = deque(self._all)

    def next(self) -> str | None:
        """The first that the present worker has not been handed."""
        while self._waiting:
            entry = self._all.get(self._waiting[0])
            if entry is not None and not entry.handed:
                return self._waiting[0]
            self._waiting.popleft()
        return None

    def hand(self, number: str) -> tuple[Entry, str]:
        """Note that the first of those is handed over; return it with its flag."""
        assert number == self._waiting[0]
        self._waiting.popleft()
        entry = self._all[number]
        flag = entry.flag
        self.handed[entry.net] += not (entry.handed or entry.seen)
        entry.delivered = entry.handed = True
        return entry, flag

    def in_hand(self) -> list[str]:
        """The numbers that the present worker has been handed and has not finished."""
        return [number for number, entry in self._all.items() if entry.handed and not entry.seen]
