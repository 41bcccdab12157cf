"""Paced lines on the worker's side, until the keeper has room: credits, fair turns, a bound.

The keeper never stops reading its link, so it must never be given more than it can hold: each paced line costs a
credit, and `room` frames bring credits back. What finds no credit waits here. As in the keeper, lines belong to flows,
the targets that they are said to, which take turns; within a flow the order holds.

One flow must not have all credits, or everybody else would wait until its lines have left. So a flow may have as many
lines under way as credits are left: one alone takes half of the window, two end up with a third each, and who says a
first word finds room at once, or with the next line that leaves, however much the others have to say.

Pure but for the futures it hands out; it is used on the loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, OrderedDict, deque
from collections.abc import Awaitable, Callable, Generator
from typing import NamedTuple

from bot.wire.link import Frame

log = logging.getLogger(__name__)

#: For all flows together. Beyond it the longest flow loses its oldest line, so who says little loses nothing.
LIMIT_LINES = 4000


class _Answered(Awaitable[bool]):
    """An awaitable that is ready, made once: what nearly every line that is said gives back."""

    def __init__(self, value: bool) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, bool]:
        return self._value
        yield


SENT, NOT_SENT = _Answered(True), _Answered(False)


class Waiting(NamedTuple):
    """A line without credit, and when it was said."""

    frame: Frame
    left: asyncio.Future[bool]
    at: float


class Outbox:
    """One network's paced lines.

    Args:
        send: hands a frame to the link.
        credit: how many lines may leave now.
        name: the network's, for the log.
        clock: for the age of what waits.

    Attributes:
        under_way: lines of each flow that the keeper has and has not told to have left.
        dropped: lines that were too many.
    """

    def __init__(
        self, send: Callable[[Frame], None], credit: int, name: str, clock: Callable[[], float] = lambda: 0.0
    ) -> None:
        self.credit = credit
        self.under_way = Counter[str]()
        self.dropped = 0
        self._send, self._name, self._clock = send, name, clock
        self._flows: OrderedDict[str, deque[Waiting]] = OrderedDict()  # the one whose turn it is first
        self._causes: Counter[str] = Counter()
        self._after: dict[str, list[Callable[[], object]]] = {}  # what waits for the last line of a cause
        self._lines = 0
        self._told = set[str]()  # flows that lose lines
        self._drained: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return self._lines

    def say(self, frame: Frame) -> Awaitable[bool]:
        """Send a line, now or when there is room. Awaiting gives True when it left, False when it was dropped."""
        flow = frame.fields[4]
        if flow not in self._flows and self._may(flow):
            self._hand_over(flow, frame)
            return SENT
        if self._lines >= LIMIT_LINES:
            self._drop_oldest()
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._flows.setdefault(flow, deque()).append(Waiting(frame, future, self._clock()))
        self._lines += 1
        self._causes[_cause(frame)] += 1
        return future

    def holds(self, cause: str) -> bool:
        """Tell whether a line of this cause waits here."""
        return cause in self._causes

    def then(self, cause: str, action: Callable[[], object]) -> None:
        """Call something once no line of this cause waits here any more."""
        if cause in self._causes:
            self._after.setdefault(cause, []).append(action)
        else:
            action()

    def room(self, flow: str, lines: int) -> None:
        """Lines of a flow have left (or, below 0, the keeper still holds some from the worker before)."""
        self.credit += lines
        self.under_way[flow] -= lines
        if self.under_way[flow] <= 0:
            del self.under_way[flow]
        passed_over = 0
        while self.credit > 0 and passed_over < len(self._flows):
            flow = next(iter(self._flows))
            if self._may(flow):
                passed_over = 0
                waiting = self._take(flow)
                self._hand_over(flow, waiting.frame)
                self._settle(waiting, True)
            else:
                passed_over += 1
            if flow in self._flows:
                self._flows.move_to_end(flow)

    async def drained(self) -> None:
        """Wait until no line waits for room."""
        if self._lines:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            # Shielded: one author who stops waiting must not wake, or cancel, the others.
            await asyncio.shield(self._drained)

    def change(self, change: Callable[[Frame], Frame]) -> None:
        """Change the lines that wait here."""
        for lines in self._flows.values():
            for at, waiting in enumerate(lines):
                lines[at] = waiting._replace(frame=change(waiting.frame))

    def drop(self, which: Callable[[Frame, float], bool]) -> int:
        """Drop the lines of which this is true, given when each was said; return how many."""
        before = self._lines
        for flow in list(self._flows):
            lines = self._flows[flow]
            for _ in range(len(lines)):
                waiting = self._take(flow)
                if which(waiting.frame, waiting.at):
                    self._settle(waiting, False)
                else:
                    self._put_back(flow, waiting)
        return before - self._lines

    def clear(self) -> None:
        """Drop all that waits: the connection has ended for good."""
        self.drop(lambda frame, at: True)

    # -- turns

    def _may(self, flow: str) -> bool:
        return self.under_way[flow] < self.credit

    def _hand_over(self, flow: str, frame: Frame) -> None:
        self.credit -= 1
        self.under_way[flow] += 1
        self._send(frame)

    def _drop_oldest(self) -> None:
        flow = max(self._flows, key=lambda flow: len(self._flows[flow]))
        self.dropped += 1
        self._settle(self._take(flow), False)
        if flow not in self._told:  # once, until all that waits for it has left
            self._told.add(flow)
            log.warning("%s: more is said to %s than may be sent: the oldest lines are dropped", self._name, flow)

    def _take(self, flow: str) -> Waiting:
        """Take the first line of a flow."""
        lines = self._flows[flow]
        waiting = lines.popleft()
        self._lines -= 1
        if not lines:
            del self._flows[flow]
        return waiting

    def _put_back(self, flow: str, waiting: Waiting) -> None:
        self._flows.setdefault(flow, deque()).append(waiting)
        self._lines += 1

    def _settle(self, waiting: Waiting, left: bool) -> None:
        """A line waits no more: tell who awaits it, and who waits for the last of its cause."""
        if not waiting.left.done():
            waiting.left.set_result(left)
        cause = _cause(waiting.frame)
        self._causes[cause] -= 1
        if not self._causes[cause]:
            del self._causes[cause]
            for action in self._after.pop(cause, ()):
                action()
        if not self._lines:
            self._told.clear()
            if self._drained is not None:
                self._drained.set_result(None)
                self._drained = None


def _cause(frame: Frame) -> str:
    return frame.fields[1].rpartition("/")[0]
