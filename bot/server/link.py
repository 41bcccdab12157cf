"""One socket of the server: bytes to lines, lines to bytes, both bounded.

`Link` is the callback side of asyncio's transport. What a line means is left to `peer.py`, which inherits from it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from bot.protocol.message import decode
from bot.server.lines import ERRORS, MAX_BODY, MAX_TAGS, NO_TAGS, TAG_CAPS, TAG_ESCAPES, cut

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
        self.gone = False
        self._rest, self._skip = b"", False  # the line that has not ended; whether its beginning was dropped

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        address = str((transport.get_extra_info("peername") or ("localhost",))[0])
        self.host = f"0{address}" if address.startswith(":") else address  # `::1` would end the middle parameters
        self.server.links.add(self)
        if len(self.server.links) > self.server.max_clients:
            self.leave("Too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave("Connection closed" if exc is None else "Connection reset by peer", abrupt=True)
        self.server.unlink(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = _LINE_END.split(self._rest + data)
        for line in lines:
            skipped, self._skip = self._skip, False
            if skipped or len(line) > MAX_TAGS + MAX_BODY:
                self.reply("417")
            elif line and not self.gone:
                try:
                    self.line_received(line.replace(b"\0", b""))
                except Exception as error:  # a fault of this server; the client must not pay for it
                    _log.exception("%s sent %r", self.nick or "*", line)
                    self.server.crashes.append(f"{line!r}: {error!r}")
        if len(self._rest) > MAX_TAGS + MAX_BODY:
            self._rest, self._skip = b"", True

    def line_received(self, line: bytes) -> None:
        raise NotImplementedError

    def send(self, body: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        """Queue one line, cut to size; of the tags only those that this client asked for."""
        wanted = [
            f"{name}={value.translate(TAG_ESCAPES)}" if value else name
            for name, value in tags.items()
            if TAG_CAPS.get(name, "message-tags") in self.caps
        ]
        head = f"@{';'.join(wanted)} " if wanted else ""
        self.send_bytes(head.encode("utf-8", "replace") + cut(body.encode("utf-8", "replace"), MAX_BODY))

    def send_bytes(self, line: bytes) -> None:
        """Queue one line as it is; a client that does not read is dropped."""
        if self.gone or self.transport is None:
            return
        self.transport.write(line + b"\r\n")
        self.server.note(self.nick, "out", decode(line))
        if self.transport.get_write_buffer_size() > self.server.max_sendq:
            # Not at once: the caller may be walking through the members of a channel.
            asyncio.get_running_loop().call_soon(self.leave, "Max SendQ exceeded", True)

    def reply(self, numeric: str, *params: str, text: str | None = None) -> None:
        """Send a numeric; without `text`, with the words that `ERRORS` has for it."""
        words = ERRORS.get(numeric) if text is None else text
        self.server.relay([self], self.server.name, numeric, self.nick or "*", *params, text=words)

    def leave(self, reason: str, abrupt: bool = False) -> None:
        """Close the socket, after an ERROR line unless `abrupt`."""
        if self.transport is None or self.gone:
            return
        if not abrupt:
            self.send(f"ERROR :Closing link: {self.host} ({reason})")
        self.gone = True
        close = self.transport.abort if abrupt else self.transport.close
        close()
