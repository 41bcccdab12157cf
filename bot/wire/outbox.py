"""Paced lines on the worker's side, until the keeper has room: credits, waiting in order, a bound.

The keeper never stops reading its link, so it must never be given more than it can hold: each paced line costs a
credit, and `room` frames bring credits back. What finds no credit waits here, the oldest is dropped beyond the limit.
Pure but for the futures it hands out; it is used on the loop's thread only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Generator

from bot.wire.link import Frame

log = logging.getLogger(__name__)

LIMIT_LINES = 2000


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
        # A `done` waits too when its line's answers do: it must follow them. The first item is always a `say`.
        self._waiting: deque[tuple[Frame, asyncio.Future[bool] | None]] = deque()
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
        return future

    def done(self, frame: Frame) -> None:
        """Send a frame that must not overtake the lines said before it."""
        if self._waiting:
            self._waiting.append((frame, None))
        else:
            self._send(frame)

    def room(self, lines: int) -> None:
        """Credits came back (or, below 0, are taken by what the keeper still holds from the worker before)."""
        self.credit += lines
        while self._waiting and self.credit > 0:
            frame, future = self._waiting.popleft()
            self._lines -= 1
            self.credit -= 1
            self._send(frame)
            if future is not None and not future.done():
                future.set_result(True)
            self._let_dones_pass()

    async def drained(self) -> None:
        """Wait until no line waits for room."""
        if self._waiting:
            if self._drained is None:
                self._drained = asyncio.get_running_loop().create_future()
            # Shielded: one author who stops waiting must not wake, or cancel, the others.
            await asyncio.shield(self._drained)

    def clear(self) -> None:
        """Drop all that waits: the connection has ended for good."""
        for frame, future in self._waiting:
            if future is None:
                self._send(frame)
            elif not future.done():
                future.set_result(False)
        self._waiting.clear()
        self._lines = 0
        self._let_dones_pass()

    def _drop_oldest(self) -> None:
        _, future = self._waiting.popleft()
        self._lines -= 1
        self.dropped += 1
        if future is not None and not future.done():
            future.set_result(False)
        if self.dropped.bit_count() == 1:  # told at 1, 2, 4, 8, ... lines
            log.warning("%s: more is said than may be sent: %d of the oldest lines dropped", self._name, self.dropped)
        self._let_dones_pass()

    def _let_dones_pass(self) -> None:
        while self._waiting and self._waiting[0][1] is None:
            self._send(self._waiting.popleft()[0])
        if not self._waiting and self._drained is not None:
            self._drained.set_result(None)
            self._drained = None
