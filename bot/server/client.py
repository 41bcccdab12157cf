"""`Client`: the other end, for tests and for the demo's prompt."""

from __future__ import annotations

import asyncio
import base64
import re
import ssl
from collections.abc import Callable

from bot.protocol.message import decode, safe
from bot.server.lines import MAX_LOG


class Client:
    """A small IRC client for tests and the demo's prompt: it registers, answers PING and keeps what it hears."""

    def __init__(self, nick: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.nick, self._reader, self._writer = nick, reader, writer
        self.lines: list[str] = []  # raw, as heard; the oldest go when there are many
        self.on_line: Callable[[str], None] | None = None
        self._next = 0  # where `expect` goes on
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        nick: str,
        tls: ssl.SSLContext | None = None,
        account: str | None = None,
        password: str | None = None,
        caps: str = "",
    ) -> Client:
        """Connect and register, with SASL PLAIN if there is an account; `caps` as in CAP REQ.

        Raises:
            ConnectionRefusedError: the server does not want it; the text is its line.
        """
        client = cls(nick, *await asyncio.open_connection(host, port, ssl=tls))
        plain = base64.b64encode(f"\0{account}\0{password}".encode()).decode()
        lines = [f"CAP REQ :{caps}{' sasl' * bool(account)}"] if caps or account else []
        lines += ["AUTHENTICATE PLAIN", f"AUTHENTICATE {plain}"] if account else []
        for line in [*lines, f"NICK {nick}", f"USER {nick} 0 * :{nick}", "CAP END"]:
            client.send(line)
        answer = await client.expect(re.compile(r" (001|43[1-7]|46[45]|90[24-7]|CAP \S+ NAK) |^ERROR ").search)
        if " 001 " not in answer:
            await client.close()
            raise ConnectionRefusedError(answer)
        return client

    def send(self, line: str) -> None:
        self._writer.write(safe(line).encode("utf-8", "surrogateescape") + b"\r\n")

    def privmsg(self, target: str, text: str) -> None:
        self.send(f"PRIVMSG {target} :{text}")

    async def expect(self, wanted: str | Callable[[str], object], timeout: float = 10) -> str:
        """The next line, after the one expected before, that holds this text or for which this is true.

        Raises:
            TimeoutError: none came. ConnectionError: the server closed the connection first.
        """
        fits = (lambda line: wanted in line) if isinstance(wanted, str) else wanted
        try:
            async with asyncio.timeout(timeout):
                while True:
                    while self._next < len(self.lines):
                        self._next += 1
                        if fits(self.lines[self._next - 1]):
                            return self.lines[self._next - 1]
                    if self._reading.done():
                        raise ConnectionResetError(f"{self.nick}: closed; the last line: {self.lines[-1:]}")
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            last = "\n  ".join(self.lines[-10:])
            raise TimeoutError(f"{self.nick} heard no {wanted!r} within {timeout} s; the last:\n  {last}") from None

    async def close(self) -> None:
        """Say QUIT and wait until the server has closed."""
        if not self._reading.done():
            self.send("QUIT")
        await self._reading
        self._writer.close()

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                text = decode(line.rstrip(b"\r\n"))
                if text.startswith("PING "):
                    self.send(f"PONG {text[5:]}")
                self.lines.append(text)
                if len(self.lines) > MAX_LOG:
                    del self.lines[0]
                    self._next = max(0, self._next - 1)
                self._more.set()
                if self.on_line:
                    self.on_line(text)
        except (OSError, ValueError):  # reset, or a line without end
            pass
        finally:
            self._more.set()
