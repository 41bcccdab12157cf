"""One socket of the server: bytes to lines, lines to bytes, both bounded.

`Link` is the callback side of asyncio's transport. What a line means is left to `peer.py`, which inherits from it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import re
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.protocol.message import decode
from bot.server.faults import Moment
from bot.server.lines import ERRORS, MAX_TAGS, NO_TAGS, TAG_CAPS, TAG_ESCAPES, cut

if TYPE_CHECKING:
    from bot.server.server import Server

_log = logging.getLogger(__name__)

_LINE_END = re.compile(rb"[\r\n]+")


class Logged(NamedTuple):
    """One line that passed; `direction` is `in` (the client said it) or `out` (the client was told it)."""

    nick: str  # `*` before the client has one
    direction: str
    line: str


class Link(asyncio.Protocol):
    """One socket: splits what comes in, bounds what goes out."""

    def __init__(self, server: Server) -> None:
        self.server, self.nick, self.host = server, "", "localhost"
        self.transport: asyncio.Transport | None = None
        self.caps: set[str] = set()
        self.gone = self.registered = False
        self.muted = False  # by a fault: nothing more is said to it
        self._rest, self._skip = b"", False  # the line that has not ended; whether its beginning was dropped
        self._pieces: deque[bytes] = deque()  # what waits to be written, where a fault wants small segments
        self._garbage = 0  # how many lines of it were said

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        server, faults = self.server, self.server.faults
        address = str((transport.get_extra_info("peername") or ("localhost",))[0])
        # `::1` would end the middle parameters
        self.host = faults.cloak or (f"0{address}" if address.startswith(":") else address)
        server.links.add(self)
        server.arrivals.append(server.now())
        self.suffer("accepted")
        if faults.refusals:
            for line in faults.refusals.popleft():
                self.send(line)
            self.leave("", quiet=True)
        elif len(server.links) > server.max_clients:
            self.leave("Too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave("Connection closed" if exc is None else "Connection reset by peer", abrupt=True)
        self.server.unlink(self)

    @property
    def secure(self) -> bool:
        return self.transport is not None and self.transport.get_extra_info("ssl_object") is not None

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the client's certificate, in hexadecimal; empty without one."""
        tls = self.transport.get_extra_info("ssl_object") if self.transport else None
        certificate = tls.getpeercert(binary_form=True) if tls else None
        return hashlib.sha256(certificate).hexdigest() if certificate else ""

    def suffer(self, moment: Moment) -> None:
        """Let the faults begin that are to begin now."""
        self.muted |= self.server.faults.silent == moment
        if self.server.faults.deaf == moment and self.transport:
            self.transport.pause_reading()

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = _LINE_END.split(self._rest + data)
        limit = MAX_TAGS + self.server.max_body
        for line in lines:
            skipped, self._skip = self._skip, False
            if skipped or len(line) > limit:
                self.reply("417")
            elif line and not self.gone:
                try:
                    self.line_received(line.replace(b"\0", b""))
                except Exception as error:  # a fault of this server; the client must not pay for it
                    _log.exception("%s sent %r", self.nick or "*", line)
                    self.server.crashes.append(f"{line!r}: {error!r}")
        if len(self._rest) > limit:
            self._rest, self._skip = b"", True

    def line_received(self, line: bytes) -> None:
        raise NotImplementedError

    def send(self, body: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        """Queue one line, cut to size; of the tags only those that this client asked for."""
        if self.gone or self.transport is None or self.muted:
            return
        wanted = [
            f"{name}={value.translate(TAG_ESCAPES)}" if value else name
            for name, value in tags.items()
            if TAG_CAPS.get(name, "message-tags") in self.caps
        ]
        head = f"@{';'.join(wanted)} " if wanted else ""
        raw = body.encode("utf-8", "replace")
        if len(raw) > self.server.max_body:
            self.server.overlong.append(body)
            raw = cut(raw, self.server.max_body)
        self.send_bytes(head.encode("utf-8", "replace") + raw)

    def send_bytes(self, line: bytes, end: bytes = b"\r\n") -> None:
        """Queue one line as it is; a client that does not read is dropped."""
        if self.gone or self.transport is None or self.muted:
            return
        self._write(line + end)
        self.server.note(self.nick, "out", decode(line))
        if self.registered and (garbage := self.server.faults.garbage):
            self._write(garbage[self._garbage % len(garbage)] + b"\r\n")
            self._garbage += 1
        if self.transport.get_write_buffer_size() > self.server.max_sendq:
            # Not at once: the caller may be walking through the members of a channel.
            asyncio.get_running_loop().call_soon(self.leave, "Max SendQ exceeded", True)

    def _write(self, raw: bytes) -> None:
        assert self.transport
        size = self.server.faults.segment
        if not size and not self._pieces:
            return self.transport.write(raw)
        waiting = bool(self._pieces)
        self._pieces.extend(raw[at : at + (size or len(raw))] for at in range(0, len(raw), size or len(raw)))
        return None if waiting else self._write_piece()

    def _write_piece(self) -> None:
        if self._pieces and self.transport and not self.gone:
            self.transport.write(self._pieces.popleft())
            asyncio.get_running_loop().call_soon(self._write_piece)

    def reply(self, numeric: str, *params: str, text: str | None = None) -> None:
        """Send a numeric; without `text`, with the words that `ERRORS` has for it."""
        words = ERRORS.get(numeric) if text is None else text
        if numeric not in self.server.faults.unsaid:
            self.server.relay([self], self.server.name, numeric, self.nick or "*", *params, text=words)

    def leave(self, reason: str, abrupt: bool = False, quiet: bool = False) -> None:
        """Close the socket, after an ERROR line unless `quiet`; `abrupt`: at once, and what is unsent is lost."""
        if self.transport is None or self.gone:
            return
        if not abrupt and not quiet:
            self.send(f"ERROR :Closing link: {self.host} ({reason})")
        self.gone = True
        if not abrupt and self._pieces:
            self.transport.write(b"".join(self._pieces))
        self._pieces.clear()
        close = self.transport.abort if abrupt else self.transport.close
        close()
