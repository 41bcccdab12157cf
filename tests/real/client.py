"""A small IRC client for the tests: connect, register, speak, and wait for what must arrive.

It is written apart from the bot on purpose, so that a mistake in the bot's reading of the protocol isn't made twice:
it imports nothing of `bot`. It answers PING by itself and keeps every line it received, in order, in `lines`; a failed
wait shows the last of them. One reading task writes `lines`, everybody else reads.

Follows https://modern.ircdocs.horse/ and https://ircv3.net/specs/extensions/capability-negotiation.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

DEADLINE_SECONDS = 30.0  # for one line that must come; generous, since it only costs where a test fails


@dataclass(frozen=True)
class Line:
    """One line from the server, taken apart. `text` is the last parameter, `nick` the source's nick or server name."""

    raw: str
    tags: dict[str, str] = field(compare=False)
    source: str
    command: str
    params: tuple[str, ...]

    @classmethod
    def parse(cls, raw: str) -> Line:
        rest, tags, source = raw, "", ""
        if rest.startswith("@"):
            tags, _, rest = rest[1:].partition(" ")
        rest = rest.lstrip(" ")
        if rest.startswith(":"):
            source, _, rest = rest[1:].partition(" ")
        middle, colon, trailing = rest.lstrip(" ").partition(" :")
        command, *params = middle.split()
        pairs = (tag.partition("=") for tag in tags.split(";") if tag)
        return cls(
            raw=raw,
            tags={key: value for key, _, value in pairs},
            source=source,
            command=command.upper(),
            params=(*params, trailing) if colon else tuple(params),
        )

    @property
    def nick(self) -> str:
        return self.source.partition("!")[0]

    @property
    def text(self) -> str:
        return self.params[-1] if self.params else ""


class Client:
    """One connection to a server; made by `connect`, or by hand where a test wants the raw line before registration."""

    def __init__(self, nick: str) -> None:
        self.nick = nick
        self.lines: list[Line] = []
        self.account: str | None = None
        self._read_up_to = 0  # `expect` looks at lines from here on
        self._arrived = asyncio.Event()
        self._closed = False
        self._pings = 0

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        nick: str,
        *,
        tls: ssl.SSLContext | None = None,
        account: str | None = None,
        password: str = "",
        caps: tuple[str, ...] = (),
    ) -> Client:
        """Connect and register; with `account`, by SASL PLAIN. Returns when the server has said 001 and end of MOTD.

        Raises:
            AssertionError: the server refused, or was silent for DEADLINE_SECONDS.
        """
        client = cls(nick)
        await client.open(host, port, tls)
        if account:
            caps = (*caps, "sasl")
        if caps:
            client.send("CAP LS 302")
        client.send(f"NICK {nick}", f"USER {nick} 0 * :{nick} of the tests")
        if caps:
            client.send(f"CAP REQ :{' '.join(caps)}")
            await client.expect(lambda line: line.command == "CAP" and line.params[1] == "ACK")
        if account:
            await client._identify(account, password)
        if caps:
            client.send("CAP END")
        await client.numeric("001")
        await client.numeric("376", "422")
        return client

    async def open(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> None:
        """Open the socket and start reading; says nothing yet."""
        reader, self._writer = await asyncio.open_connection(host, port, ssl=tls)
        self._reading = asyncio.create_task(self._read(reader), name=f"read for {self.nick}")

    def send(self, *lines: str) -> None:
        for line in lines:
            assert not set(line) & set("\r\n\0"), f"not one line: {line!r}"
            self._writer.write(line.encode() + b"\r\n")

    def say(self, target: str, text: str) -> None:
        self.send(f"PRIVMSG {target} :{text}")

    async def join(self, channel: str) -> None:
        self.send(f"JOIN {channel}")
        await self.numeric("366")

    async def expect(
        self, wanted: Callable[[Line], bool], *, within: float = DEADLINE_SECONDS, what: str = "that line"
    ) -> Line:
        """The first line from here on which `wanted` holds. What came before it is passed over (and stays in `lines`).

        Raises:
            AssertionError: no such line within the deadline, or the connection ended; tells the last lines seen.
        """
        try:
            async with asyncio.timeout(within):
                while True:
                    while self._read_up_to < len(self.lines):
                        line = self.lines[self._read_up_to]
                        self._read_up_to += 1
                        if wanted(line):
                            return line
                    if self._closed:
                        raise AssertionError(f"{self.nick}: the connection ended before {what}\n{self.tail()}")
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise AssertionError(f"{self.nick}: {what} did not come in {within} s\n{self.tail()}") from None

    async def numeric(self, *numbers: str) -> Line:
        return await self.expect(lambda line: line.command in numbers, what=" or ".join(numbers))

    async def heard(
        self, pattern: str, *, by: str = "neverquit", to: str = "", within: float = DEADLINE_SECONDS
    ) -> re.Match[str]:
        """The next PRIVMSG or NOTICE of `by` (to `to`, if given) whose whole text matches `pattern`."""
        found: list[re.Match[str]] = []

        def wanted(line: Line) -> bool:
            if line.command not in ("PRIVMSG", "NOTICE") or line.nick != by or to not in ("", line.params[0]):
                return False
            found.extend(re.finditer(rf"\A(?:{pattern})\Z", line.text))
            return bool(found)

        await self.expect(wanted, within=within, what=f"a text of {by} like {pattern!r}")
        return found[0]

    async def ask(self, target: str, question: str, pattern: str, *, by: str = "neverquit") -> re.Match[str]:
        """Say `question` and wait for the answer, in the same channel or, asked in private, to us."""
        self.say(target, question)
        return await self.heard(pattern, by=by, to=target if target.startswith("#") else self.nick)

    async def sees(self, nick: str, channel: str) -> None:
        """Returns when `nick` is in `channel`, where we are: at once if NAMES lists it, else with its JOIN."""
        self.send(f"NAMES {channel}")

        def wanted(line: Line) -> bool:
            listed = {name.lstrip("~&@%+").partition("!")[0] for name in line.text.split()}
            return (line.command == "353" and nick in listed) or (line.command == "JOIN" and line.nick == nick)

        await self.expect(wanted, what=f"{nick} in {channel}")

    async def barrier(self) -> None:
        """Returns when all that the server had for us before now has arrived (it answers PING in order)."""
        self._pings += 1
        token = f"barrier-{self._pings}"
        self.send(f"PING {token}")
        await self.expect(lambda line: line.command == "PONG" and line.text == token, what=f"PONG {token}")

    async def whois(self, nick: str) -> dict[str, Line]:
        """All numerics that the server tells about `nick`, by number; 317 holds the sign-on time, 330 the account."""
        begin = self.mark()
        self.send(f"WHOIS {nick} {nick}")  # twice, so that the server it is on answers, which knows the idle time
        await self.numeric("318")
        return {line.command: line for line in self.lines[begin : self._read_up_to]}

    def mark(self) -> int:
        """A place in `lines`, for `since`."""
        return len(self.lines)

    def since(self, mark: int, *commands: str) -> list[Line]:
        """The lines received since `mark`, of the given commands."""
        return [line for line in self.lines[mark:] if not commands or line.command in commands]

    def tail(self, count: int = 25) -> str:
        return "\n".join(f"  {line.raw}" for line in self.lines[-count:])

    async def close(self) -> None:
        """Say QUIT, wait until the server has let go, end the reading task."""
        self.send("QUIT :done")
        try:
            async with asyncio.timeout(5):
                await self._reading
        except TimeoutError:
            pass  # a server that keeps the socket is not what a test of the bot is about
        await self._let_go()

    async def over(self) -> None:
        """Returns when the server has closed the connection, after a QUIT or an ERROR."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            await self._reading
        await self._let_go()

    async def _let_go(self) -> None:
        """Close the socket, and wait for that: the loop may end before it would come to it."""
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _identify(self, account: str, password: str) -> None:
        self.send("AUTHENTICATE PLAIN")
        await self.expect(lambda line: line.command == "AUTHENTICATE", what="AUTHENTICATE +")
        token = base64.b64encode(f"{account}\0{account}\0{password}".encode()).decode()
        self.send(f"AUTHENTICATE {token}")  # short passwords: far from the 400 bytes that would need a second line
        answer = await self.numeric("903", "904", "905", "906", "908")
        assert answer.command == "903", f"SASL refused: {answer.raw}"
        self.account = account

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while raw := await reader.readline():
                line = Line.parse(raw.decode(errors="replace").rstrip("\r\n"))
                if line.command == "PING":
                    self.send(f"PONG :{line.text}")
                self.lines.append(line)
                self._arrived.set()
        except (ConnectionError, ssl.SSLError):
            pass  # the same as an end of file to a test
        finally:
            self._closed = True
            self._arrived.set()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
