"""Paced lines on the worker's side, until the keeper has room: credits, waiting in order, a bound.

The keeper never stops reading its link, so it must never be given more than it can hold: each paced line costs a
credit, and `room` frames bring credits back. What finds no credit waits here, the oldest is dropped beyond the limit.
Pure but for the futures it hands out; it is used on the loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Generator

from bot.wire.link import Frame

log = logging.getLogger(__name__)

LIMIT_LINES = 4000


class _Answered(Awaitable[bool]):
    """An awaitable that is ready, made once: what nearly every line that is said gives back."""

    def __init__(self, value: bool) -> None:
        self._value = value

    def __await__(self) -> Generator[None, None, bool]:
        return self._value
        yield


SENT, NOT_SENT = _Answered(True), _Answered(False)


class Outbox:
    """One network's paced lines.

    Args:
        send: hands a frame to the link.
        credit: how many lines may leave now.
        name: the network's, for the log.
    """

    def __init__(self, send: Callable[[Frame], None], credit: int, name: str) -> None:
        self.credit = credit
        self.dropped = 0
        self._send, self._name = send, name
        # What must not overtake lines (the `done` of what caused them) waits among them. The first is always a line.
        self._waiting: deque[tuple[Frame, asyncio.Future[bool]] | Callable[[], object]] = deque()
        self._causes: Counter[str] = Counter()
        self._lines = 0
        self._drained: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return self._lines

    def say(self, frame: Frame) -> Awaitable[bool]:
        """Send a line, now or when there is room. Awaiting gives True when it left, False when it was dropped."""
        if self.credit > 0 and not self._waiting:
            self.credit -= 1
            self._send(frame)
            return SENT
        if self._lines >= LIMIT_LINES:
            self._drop_oldest()
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((frame, future))
        self._lines += 1
        self._causes[_cause(frame)] += 1
        return future

    def holds(self, cause: str) -> bool:
        """Tell whether a line of this cause waits here."""
        return cause in self._causes

    def then(self, action: Callable[[], object]) -> None:
        """Call something once what waits now has left."""
        if self._waiting:
            self._waiting.append(action)
        else:
            action()

    def room(self, lines: int) -> None:
        """Credits came back (or, below 0, are taken by what the keeper still holds from the worker before)."""
        self.credit += lines
        while self._waiting and self.credit > 0:
            self.credit -= 1
            frame, future = self._first()
            self._send(frame)
            if not future.done():
                future.set_result(True)
            self._let_others_pass()

    async def drained(self) -> None:
        """Wait until no line waits for room."""
        if self._waiting:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            # Shielded: one author who stops waiting must not wake, or cancel, the others.
            await asyncio.shield(self._drained)

    def clear(self) -> None:
        """Drop all that waits: the connection has ended for good."""
        while self._waiting:
            self._drop()

    def _drop_oldest(self) -> None:
        self.dropped += 1
        self._drop()
        if self.dropped.bit_count() == 1:  # told at 1, 2, 4, 8, ... lines
            log.warning("%s: more is said than may be sent: %d of the oldest lines dropped", self._name, self.dropped)

    def _drop(self) -> None:
        _, future = self._first()
        if not future.done():
            future.set_result(False)
        self._let_others_pass()

    def _first(self) -> tuple[Frame, asyncio.Future[bool]]:
        """Take the first line."""
        first = self._waiting.popleft()
        assert isinstance(first, tuple)
        self._lines -= 1
        cause = _cause(first[0])
        self._causes[cause] -= 1
        if not self._causes[cause]:
            del self._causes[cause]
        return first

    def _let_others_pass(self) -> None:
        while self._waiting and not isinstance(first := self._waiting[0], tuple):
            self._waiting.popleft()
            first()
        if not self._waiting and self._drained is not None:
            self._drained.set_result(None)
            self._drained = None


def _cause(frame: Frame) -> str:
    return frame.fields[1].rpartition("/")[0]
