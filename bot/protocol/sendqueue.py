"""The order and pace in which lines leave for one IRC server: what is urgent first, the rest fairly, over one bucket.

Pure: no socket, no clock (`now` is an argument, seconds of a clock that should be monotonic). It knows nothing of IRC;
the keeper owns one per network and writes what `pop` gives. Standard library only, because the keeper imports it.

Urgent lines (registration, JOIN, KICK) leave before all others. All others belong to a flow, the target that they are
said to. Flows take turns, a line each, so that a long answer in one channel delays nobody elsewhere by more than a
line; within a flow the order holds.

Servers count lines in much this way (RFC 2813 section 5.8: a penalty per line against a clock that runs ahead). So
urgent lines spend tokens too, but never the last: the first answer after some JOINs is not late. What they need beyond
that is a debt of a few lines, paid back before chatter gets tokens again; a hundred KICKs wait as well, or they would
end the connection. Until a flow is released they are free: they are the steps of a registration, which servers ask for.

Lines that belong together are one item here, parted by CR: they leave at once, what they cost beyond the tokens that
are there keeps back the chatter after them. An item parted by LF leaves line by line.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from typing import NamedTuple

#: A bucket refilled by floating point may hold 0.99999 tokens at the very moment that `next_at` named: a clock that has
#: run for years counts in steps of a tenth of a microsecond.
_WHOLE = 1 - 1e-4

#: Urgent lines that may leave at once when no tokens are left: as many as RFC 2813 lets a client be ahead, 10 s of 2 s.
URGENT_LINES = 5


class Waiting(NamedTuple):
    """A line in a flow.

    Attributes:
        at: when it was pushed.
        lasting: it may wait for another connection; others are of the present one only.
    """

    line: bytes
    at: float
    lasting: bool


class SendQueue:
    """Lines that wait to be sent to one server. At first every flow is held, until `go` or `free`.

    Args:
        burst: lines that may leave at once after a silence; 0 or less: no pacing at all.
        per_second: lines per second after that; above 0 when `burst` is.
    """

    __slots__ = ("_burst", "_debt", "_filled_at", "_flows", "_free", "_paced", "_per_second", "_tokens", "_urgent")

    def __init__(self, burst: float, per_second: float) -> None:
        self._urgent: deque[bytes] = deque()
        self._flows: OrderedDict[str, deque[Waiting]] = OrderedDict()  # the one whose turn it is first
        self._paced = 0
        self._free: set[str] | None = set()  # the flows that are not held; None: none is
        self._filled_at: float | None = None
        self._tokens = self._burst = self._per_second = self._debt = 0.0
        self.pace(burst, per_second)

    def pace(self, burst: float, per_second: float) -> None:
        """Change the limits; what waits keeps its place. A queue that was not paced so far starts with a full burst.

        Raises:
            ValueError: a bucket that would never fill again.
        """
        if burst > 0 and per_second <= 0:
            raise ValueError(f"a burst of {burst} lines needs a rate above 0, not {per_second}")
        before = self._burst
        # A bucket that holds less than one line would never open.
        self._burst = max(burst, 1.0) if burst > 0 else 0.0
        self._per_second = per_second
        self._tokens = min(self._tokens, self._burst) if before else self._burst

    # -- in

    def push(self, line: bytes, flow: str | None, now: float = 0.0, *, lasting: bool = True) -> None:
        """Put a line at the end of its flow; None: it is urgent."""
        if flow is None:
            self._urgent.append(line)
        else:
            self._flows.setdefault(flow, deque()).append(Waiting(line, now, lasting))
            self._paced += 1

    # -- out

    def hold(self) -> None:
        """Let no flow go on: the connection has ended, or is about to, and what is urgent was for that one.

        The next one has a bucket of its own.
        """
        self._urgent.clear()
        self._free, self._tokens, self._debt = set(), self._burst, 0.0

    def free(self, flow: str) -> None:
        """Let this flow go on, others may be held; with the first, all that is for this connection alone, too."""
        if self._free is not None:
            self._free.add(flow)

    def go(self) -> None:
        """Let all flows go on."""
        self._free = None

    def pop(self, now: float, *, paced: bool = True) -> tuple[bytes, str | None] | None:
        """Take the line that may leave at `now`, with its flow (None: urgent, or not the end of an item), or None.

        Args:
            paced: False takes urgent lines only (the server does not read at the moment).
        """
        self._refill(now)
        if self._urgent and self._may_hurry():
            self._hurry()
            return self._urgent.popleft(), None
        flow = self._next() if paced and not self._urgent else None
        if flow is None or (self._burst and self._tokens < _WHOLE):
            return None
        lines = self._flows[flow]
        line, more, rest = lines[0].line.partition(b"\n")
        # Of lines that belong together the first and the last are their frame, and say nothing.
        self._tokens = max(0.0, self._tokens - 1) - (max(0, line.count(b"\r") - 2) if self._burst else 0)
        if more:
            lines[0] = lines[0]._replace(line=rest)
            self._flows.move_to_end(flow)
            return line, None
        lines.popleft()
        self._paced -= 1
        if lines:
            self._flows.move_to_end(flow)
        else:
            del self._flows[flow]
        return line, flow

    def next_at(self, now: float) -> float | None:
        """When `pop` will give a line: `now`, a later moment, or None when nothing waits that is not held."""
        self._refill(now)
        if self._urgent:
            missing = 0.0 if self._may_hurry() else self._debt + 1 - URGENT_LINES
        elif self._next() is None:
            return None
        else:
            missing = 0.0 if not self._burst or self._tokens >= _WHOLE else self._debt + 1 - self._tokens
        return now + missing / self._per_second if missing > 0 else now

    def spare(self, now: float) -> bool:
        """Take a token for a line that matters little: only when nothing waits, and never the last one."""
        self._refill(now)
        if len(self) or self._free is not None:
            return False
        if self._burst:
            if self._tokens < 2:
                return False
            self._tokens -= 1
        return True

    def change(self, change: Callable[[bytes], bytes]) -> None:
        """Change the items in flows; what becomes of one may have other lines, never none."""
        for lines in self._flows.values():
            for at, waiting in enumerate(lines):
                lines[at] = waiting._replace(line=change(waiting.line))

    def drop(self, which: Callable[[str, Waiting], bool]) -> Counter[str]:
        """Throw away the lines in flows of which this is true; return how many, by flow."""
        dropped: Counter[str] = Counter()
        for flow, lines in list(self._flows.items()):
            kept = deque(each for each in lines if not which(flow, each))
            if len(kept) < len(lines):
                dropped[flow] = len(lines) - len(kept)
                self._flows[flow] = kept
            if not kept:
                del self._flows[flow]
        self._paced -= dropped.total()
        return dropped

    def clear(self) -> None:
        """Throw away all that waits."""
        self._urgent.clear()
        self._flows.clear()
        self._paced = 0

    # -- how things stand

    @property
    def paced(self) -> int:
        """How many lines wait that are not urgent."""
        return self._paced

    @property
    def flows(self) -> dict[str, int]:
        """How many of these wait in each flow."""
        return {flow: len(lines) for flow, lines in self._flows.items()}

    def __len__(self) -> int:
        return len(self._urgent) + self._paced

    # -- turns and tokens

    def _next(self) -> str | None:
        """The flow whose turn it is."""
        free = self._free
        for flow, lines in self._flows.items():
            if free is None or flow in free or (free and not lines[0].lasting):
                return flow
        return None

    def _may_hurry(self) -> bool:
        return not self._burst or self._free == set() or self._tokens >= 2 or self._debt < URGENT_LINES - _WHOLE

    def _hurry(self) -> None:
        """Spend what an urgent line costs."""
        if self._burst and self._free != set():
            if self._tokens >= 2:
                self._tokens -= 1
            else:
                self._debt += 1

    def _refill(self, now: float) -> None:
        # A clock that steps backwards gives nothing and costs nothing: time counts on from where it is now.
        if self._filled_at is not None and now > self._filled_at:
            gained = (now - self._filled_at) * self._per_second
            paid = min(self._debt, gained)
            self._debt -= paid
            self._tokens = min(self._burst, self._tokens + gained - paid)
        self._filled_at = now
