"""What the tests of the wire fake, which is only the edge: a byte-exact server, a clock, a worker's end of the link."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bot.wire.link import Frame, LinkEnd

CERTIFICATES = Path(__file__).parent.parent / "certificates"
PATIENCE_SECONDS = 10  # how long any wait of a test may last; none gets near it unless something is broken


class FakeClock:
    """Seconds that pass when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


class Peer:
    """One client, as the server sees it. `received` holds every byte it ever sent."""

    _tokens = itertools.count(1)

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.received = b""
        self._reader, self._writer = reader, writer

    def send(self, *lines: str | bytes) -> None:
        """Send lines, CR LF added."""
        for line in lines:
            self.send_bytes((line.encode() if isinstance(line, str) else line) + b"\r\n")

    def send_bytes(self, data: bytes) -> None:
        self._writer.write(data)

    async def drained(self) -> None:
        """Wait until the client has taken most of what was sent."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._writer.drain()

    def stop_reading(self) -> None:
        """Take nothing more from the client, for the rest of the connection, and let the system take little."""
        self._writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._writer.transport.pause_reading()  # type: ignore[attr-defined]  # StreamWriter has both ways

    async def line(self) -> str:
        """The next line, without CR LF; an empty one is the end."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            raw = await self._reader.readline()
        self.received += raw
        return raw.removesuffix(b"\n").removesuffix(b"\r").decode()

    async def until(self, *beginnings: str) -> list[str]:
        """All lines up to the first that begins like this, that one included."""
        lines = []
        while True:
            lines.append(await self.line())
            if lines[-1].startswith(beginnings):
                return lines
            assert lines[-1] or not self._reader.at_eof(), f"the connection ended after {lines}"

    async def barrier(self) -> list[str]:
        """Ask with PING; all lines that came before the answer. What was sent to the bot before has arrived there."""
        token = f"barrier-{next(self._tokens)}"
        self.send(f"PING :{token}")
        return (await self.until(f"PONG :{token}"))[:-1]

    async def register(self, nick: str = "neverquit", *after: str) -> list[str]:
        """Let the client in, without any capability, and say `after`. Returns the lines that it sent until then."""
        lines = await self.until("CAP LS")
        self.send("CAP * LS :")
        lines += await self.until("CAP END")
        self.send(f":irc.test 001 {nick} :Welcome", *after)
        return lines

    async def rest(self) -> bytes:
        """All bytes up to the client's end of the connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            with contextlib.suppress(ConnectionError):
                self.received += await self._reader.read()
        return self.received

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """End the connection with a reset."""
        self._writer.transport.abort()


class ScriptedServer:
    """Listens on a free port of the loopback; each connection is taken by `accept` and then does as the test says."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.tls = tls
        self.peers: list[Peer] = []
        self.connections = 0
        self._waiting: asyncio.Queue[Peer] = asyncio.Queue()

    async def __aenter__(self) -> ScriptedServer:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self.tls, limit=2**24)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for peer in self.peers:
            await peer.close()
        await self._server.wait_closed()

    async def accept(self) -> Peer:
        """The next client."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await self._waiting.get()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        self.connections += 1
        self.peers.append(peer)
        self._waiting.put_nowait(peer)


def server_tls(certificate: str = "server", **options: Any) -> ssl.SSLContext:
    """A server's TLS with one of the certificates of the tests."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / f"{certificate}.pem")
    if options.get("ask_client"):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(CERTIFICATES / "authority.pem")
    return context


class Worker:
    """A worker's end of the link that only writes down what it is told."""

    def __init__(self, end: LinkEnd) -> None:
        self.frames: list[Frame] = []
        self._end = end
        self._news = asyncio.Event()
        self._read = 0
        end.on_frame = self._frame

    def send(self, verb: str, *fields: object, payload: bytes = b"") -> None:
        self._end.send(Frame(verb, tuple(str(field) for field in fields), payload))

    def open(self, net: str, port: int, **settings: Any) -> None:
        """Tell the keeper to dial, with time-outs that never matter and no pacing unless said."""
        defaults = {"host": "127.0.0.1", "port": port, "tls": None, "burst": 0, "per_second": 0}
        limits = {"connect_seconds": 30, "idle_seconds": 600, "pong_seconds": 600}
        self.send("open", net, payload=json.dumps(defaults | limits | settings).encode())

    def say(self, net: str, key: str, k: int, text: str, lane: int = 1, flow: str = "#a") -> None:
        self.send("say", net, key, k, lane, flow, payload=text.encode())

    async def next(self, verb: str, suits: Callable[[Frame], bool] = lambda _: True) -> Frame:
        """The next frame of this verb that was not read yet; those before it are passed over."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                while self._read < len(self.frames):
                    frame = self.frames[self._read]
                    self._read += 1
                    if frame.verb == verb and suits(frame):
                        return frame
                self._news.clear()
                await self._news.wait()

    def payloads(self, verb: str) -> list[bytes]:
        return [frame.payload for frame in self.frames if frame.verb == verb]

    def _frame(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._news.set()


async def turns(count: int = 4) -> None:
    """Let the loop turn: a frame crosses the link in one turn, its answer comes back in the next."""
    for _ in range(count):
        await asyncio.sleep(0)


async def until(true: Callable[[], object]) -> None:
    """Let the loop turn until something is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not true():
            await turns(1)
