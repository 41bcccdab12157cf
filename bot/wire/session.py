"""One connection to one IRC server, as the keeper sees it: bytes to lines, PONG, keep-alive, deadlines.

A part of the keeper (standard library only). It lives from the moment the socket is ready until it is closed; what
came and what is to be sent, the order and the pace, are `keeper`'s. PONG and the keep-alive are answered right here,
so that no queue, no credit and no worker can ever be in their way.

RFC 1459 section 2.3 (lines), 4.6.2 and 4.6.3 (PING and PONG, the same text back).
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections.abc import Iterable
from typing import Any, Protocol, cast

log = logging.getLogger(__name__)

MAX_LINE_BYTES = 16 * 1024  # 8,191 of tags (IRCv3 message-tags) and 512, and as much again for a longer LINELEN
MAX_UNREAD_BYTES = 1024 * 1024  # written but not read by the server: more than any burst of ours
MAYBE_TLS = "if it is a port for TLS (the usual one is 6697), write tls: true"
_ALERT = b"\x15\x03"  # what a server of TLS answers to plain text begins so: RFC 8446 sections 5.1 and 6

WRITE_SECONDS = 60.0  # a server that reads nothing for so long is gone, whatever it still says

_PING = re.compile(rb"(?:@[^ ]* +)?(?::[^ ]* +)?PING(?: +(.*))?", re.IGNORECASE | re.DOTALL)


class Owner(Protocol):
    """What a session tells the keeper."""

    def clock(self) -> float: ...
    def wake(self, at: float) -> None: ...
    def connected(self, session: Session) -> None: ...
    def arrived(self, session: Session, line: bytes) -> None: ...
    def arrived_all(self) -> None: ...
    def writable(self, session: Session) -> None: ...
    def disconnected(self, session: Session, reason: str) -> None: ...


class Lines:
    """Bytes to lines, in bounded memory: a line over MAX_LINE_BYTES is dropped up to its end, and counted."""

    def __init__(self) -> None:
        self.dropped = 0
        self._rest = bytearray()
        self._dropping = False

    def feed(self, data: bytes) -> Iterable[bytes]:
        """The lines that `data` completes, without CR LF, empty ones left out. LF alone ends a line too."""
        *ended, rest = data.split(b"\n")
        for part in ended:
            line = bytes(self._rest) + part if self._rest else part
            self._rest.clear()
            if self._dropping or len(line) > MAX_LINE_BYTES:
                self.dropped += not self._dropping
                self._dropping = False
            elif line := line.rstrip(b"\r"):
                yield line
        self._rest += rest
        if len(self._rest) > MAX_LINE_BYTES:
            self.dropped += not self._dropping
            self._dropping = True
        if self._dropping:
            self._rest.clear()


class Session(asyncio.Protocol):
    """One connection. asyncio closes it when a callback raises, so each line has a guard of its own.

    Args:
        owner: the keeper.
        name: the network's.
        settings: of the `open` frame: `idle_seconds`, `pong_seconds`, and `tls` with its `fingerprints`.
        dial: the attempt that made it.
    """

    def __init__(self, owner: Owner, name: str, settings: dict[str, Any], dial: asyncio.Task[None] | None) -> None:
        self.owner, self.name, self.settings, self.dial = owner, name, settings, dial
        self.transport: asyncio.Transport
        self.lines = Lines()
        self.reason = ""  # why we are ending it ourselves
        self.first = b""  # of what the server has sent
        self.heard_at = self.owner.clock()
        self.pinged_at: float | None = None
        self.paused_at: float | None = None
        self.quit_by: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        pins = [pin.replace(":", "").lower() for pin in (self.settings["tls"] or {}).get("fingerprints") or ()]
        if pins:
            shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
            if (found := hashlib.sha256(shown).hexdigest()) not in pins:
                self.end(f"the server's certificate has the fingerprint {found}, which is not the one expected")
                return
        self.owner.connected(self)

    def data_received(self, data: bytes) -> None:
        self.heard_at, self.pinged_at = self.owner.clock(), None
        self.first = self.first or data[:2]
        if self.first == _ALERT and self.settings["tls"] is None:
            self.end(f"the server speaks TLS; {MAYBE_TLS}")
            return
        for line in self.lines.feed(data):
            try:
                if ping := _PING.fullmatch(line):
                    self.pong(ping[1])
                else:
                    self.owner.arrived(self, line)
            except Exception:
                log.exception("a line from %s was lost", self.name)
        self.owner.arrived_all()

    def connection_lost(self, exc: Exception | None) -> None:
        words = "the server closed the connection" if exc is None else getattr(exc, "strerror", None) or str(exc)
        if not self.first and self.settings["tls"] is None:
            words = f"{words} without a word; {MAYBE_TLS}"
        self.owner.disconnected(self, self.reason or words)

    def pause_writing(self) -> None:
        self.paused_at = self.owner.clock()
        self.owner.wake(self.paused_at + WRITE_SECONDS)

    def resume_writing(self) -> None:
        self.paused_at = None
        self.owner.writable(self)

    def pong(self, token: bytes | None) -> None:
        """Answer with the very text that came; a PING without any has no answer."""
        if token:
            self.write(b"PONG " + token.translate(None, b"\r\0"))

    def write(self, line: bytes) -> None:
        """Give a line to the socket. A server that does not read is cut off before it fills our memory."""
        if not self.transport.is_closing():
            self.transport.write(line + b"\r\n")
            if self.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
                self.end("the server does not read what is sent to it")

    def end(self, reason: str) -> None:
        """Cut the connection now; `connection_lost` follows."""
        self.reason = self.reason or reason
        self.transport.abort()

    def check(self, now: float) -> float:
        """Do what is due at `now` and say when to look again: keep-alive, write deadline, end of QUIT's grace."""
        idle, patience = self.settings["idle_seconds"], self.settings["pong_seconds"]
        if self.quit_by is not None:
            if now < self.quit_by:
                return self.quit_by
            self.end("")
        elif self.paused_at is not None and now >= self.paused_at + WRITE_SECONDS:
            self.end(f"the server has read nothing for {WRITE_SECONDS:g} s")
        elif self.pinged_at is not None:
            if now < self.pinged_at + patience:
                return float(self.pinged_at + patience)
            self.end(f"no answer to our PING within {patience:g} s")
        elif now < self.heard_at + idle:
            return float(min(self.heard_at + idle, (self.paused_at or now) + WRITE_SECONDS))
        else:
            self.pinged_at = now
            self.write(b"PING :keeper")
            return float(now + patience)
        return float("inf")
