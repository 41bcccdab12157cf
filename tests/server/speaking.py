"""Speaking with the embedded server, over loopback and by a made-up transport."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable

from bot.server import Client, Peer, Server

Join = Callable[..., Awaitable[Client]]
_tokens = itertools.count()


async def ask(client: Client, *lines: str) -> list[str]:
    """Say these lines; all that the client heard since it was asked before, until the server had handled them."""
    heard: list[str] = []
    token = f"end-{next(_tokens)}"
    for line in (*lines, f"PING {token}"):
        client.send(line)
    while token not in (line := await client.expect("")):
        heard.append(line)
    return [line for line in heard if not line.startswith("PING ")]


async def raw(server: Server, *lines: str) -> list[str]:
    """What a bare connection hears that says these lines and then nothing more until PONG or the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write("".join(f"{line}\r\n" for line in (*lines, "PING sentinel")).encode())
    heard = []
    async with asyncio.timeout(10):
        while (line := (await reader.readline()).decode().rstrip("\r\n")) and "sentinel" not in line:
            heard.append(line)
    writer.close()
    return heard


def numerics(lines: list[str]) -> list[str]:
    return [line.split(" ")[1] for line in lines]


class Pipe(asyncio.Transport):
    """A transport that keeps what is written; `waiting` is what it says of its buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.waiting = 0
        self.ended = ""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def get_write_buffer_size(self) -> int:
        return self.waiting

    def close(self) -> None:
        self.ended = "close"

    def abort(self) -> None:
        self.ended = "abort"


def piped(server: Server, nick: str, caps: str = "") -> tuple[Peer, Pipe]:
    peer, pipe = Peer(server), Pipe()
    peer.connection_made(pipe)
    peer.data_received(f"CAP LS 302\r\nCAP REQ :message-tags server-time sasl {caps}\r\nNICK {nick}\r\n".encode())
    peer.data_received(b"USER u 0 * :r\r\nCAP END\r\nJOIN #a\r\n")
    return peer, pipe
