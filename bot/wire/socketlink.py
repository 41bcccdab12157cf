"""The link between two processes: one end of a socketpair, its bytes cut into frames.

A part of the keeper (standard library only), and used by the worker as well. Each worker gets a socketpair of its own
by inheritance: no path, no permission bits, no stale worker. An end that was closed delivers nothing more, although
more may be readable: what a dead worker had not been heard to say is unsaid, and its successor says it again.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from typing import cast

from bot.wire.link import Frame, LinkError, decode, encode

log = logging.getLogger(__name__)

#: Written but not read by the other side. Beyond it `full` asks for patience; lines wait as entries, not here.
FULL_BYTES = 4 * 1024 * 1024

#: No frame is longer: what one worker hands over to the next (`handover.py`) is two thirds of that at most.
MOST_BYTES = 256 * 1024 * 1024


class SocketEnd(asyncio.Protocol):
    """One end of a link between processes. Made by `over`; used on one loop's thread.

    Attributes:
        full: the other side is behind in reading; `on_room` is called when it has caught up.
    """

    def __init__(self) -> None:
        self.on_close: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None
        self.full = False
        self.closed = False
        self._on_frame: Callable[[Frame], None] | None = None
        self._early: deque[Frame] = deque()
        self._rest = bytearray()
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def over(cls, half: socket.socket) -> SocketEnd:
        """Take over one half of a connected socketpair."""
        half.setblocking(False)
        _, end = await asyncio.get_running_loop().create_connection(cls, sock=half)
        return end

    @property
    def on_frame(self) -> Callable[[Frame], None] | None:
        """Who takes the frames; those that come before there is anyone are kept."""
        return self._on_frame

    @on_frame.setter
    def on_frame(self, callback: Callable[[Frame], None] | None) -> None:
        self._on_frame = callback
        while self._early and self._on_frame is not None and not self.closed:
            self._on_frame(self._early.popleft())

    def send(self, frame: Frame) -> None:
        """Hand a frame over; it leaves by itself, and never if the other side is gone."""
        raw = encode(frame)
        if self._transport is not None and not self.closed:
            self._transport.write(raw)

    def close(self) -> None:
        """End the link: what was sent still leaves, nothing more is delivered."""
        if not self.closed:
            self.closed = True
            if self._transport is not None:
                self._transport.close()

    def abort(self) -> None:
        """End the link now: the other side is dead, or must be."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=FULL_BYTES)

    def data_received(self, data: bytes) -> None:
        *ended, rest = data.split(b"\n")
        for part in ended:
            if self.closed:
                return
            raw = bytes(self._rest) + part if self._rest else part
            self._rest.clear()
            try:
                frame = decode(raw)
                if self._on_frame is None:
                    self._early.append(frame)
                else:
                    self._on_frame(frame)
            except LinkError:
                log.exception("what came over the link is no frame; it is left out")
            except Exception:  # asyncio would close the link for it, and a worker would seem to have died
                log.exception("a frame could not be taken")
        self._rest += rest
        if len(self._rest) > MOST_BYTES and self._transport is not None:
            log.error("a frame on the link never ends; the link is closed")
            self._rest.clear()
            self._transport.abort()

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False
        if self.on_room is not None:
            self.on_room()

    def connection_lost(self, exc: Exception | None) -> None:
        told, self.closed = self.closed, True
        if not told and self.on_close is not None:
            self.on_close()
