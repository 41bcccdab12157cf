"""A connection between a real keeper and a scripted server, worker after worker, over either kind of link."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from random import Random
from typing import Any

from scripted import PATIENCE_SECONDS, FakeClock, Peer, ScriptedServer, turns, until

from bot.config import Network, Reconnect
from bot.protocol.message import Message
from bot.protocol.roster import Applied
from bot.protocol.sts import Policies
from bot.wire.connection import Connection
from bot.wire.keeper import Keeper
from bot.wire.link import LinkEnd, MemoryLink
from bot.wire.opening import Limits
from bot.wire.reactor import Reactor
from bot.wire.socketlink import SocketEnd

LINKS = ("memory", "sockets")


async def ends(kind: str) -> tuple[LinkEnd, LinkEnd]:
    """The keeper's and the worker's end of a new link."""
    if kind == "memory":
        link = MemoryLink()
        return link.keeper, link.worker
    one, other = socket.socketpair()
    return await SocketEnd.over(one), await SocketEnd.over(other)


class Told:
    """The listener: answers `!echo` lines, and finishes each line at once unless told otherwise."""

    def __init__(self) -> None:
        self.lines = list[Message]()
        self.events = list[str]()
        self.finish = True
        self.unfinished = list[str]()
        self.flags = list[int]()
        self.applied = list[Applied]()
        self.react: Callable[[Connection, str, Message], object] = self.echo
        self.news = asyncio.Event()

    def echo(self, connection: Connection, number: str, message: Message) -> None:
        if message.param(-1).startswith("!echo "):
            connection.say(Message("PRIVMSG", (message.param(0), message.param(-1)[6:])), cause=number, handler="echo")

    def up(self, connection: Connection, taken_over: bool) -> None:
        self.events.append("taken over" if taken_over else "up")
        self.news.set()

    def down(self, connection: Connection, reason: str) -> None:
        self.events.append(f"down: {reason}")
        self.news.set()

    def happened(self, name: str, connection: Connection, channel: str | None = None, **fields: Any) -> None:
        self.events.append(f"{name} {channel} {' '.join(fields['nicks'])} {' '.join(fields['servers'])}".strip())
        self.news.set()

    def line(self, connection: Connection, number: str, flag: int, message: Message, applied: Applied) -> None:
        self.lines.append(message)
        self.flags.append(flag)
        self.applied.append(applied)
        self.react(connection, number, message)
        if self.finish:
            connection.done(number)
        else:
            self.unfinished.append(number)

    async def event(self, beginning: str) -> str:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (found := [event for event in self.events if event.startswith(beginning)]):
                self.news.clear()
                await self.news.wait()
        return found[-1]


class Bench:
    """One connection `n`, from its supervision to the socket of a server.

    Attributes:
        connection, reactor, told: of the present worker.
    """

    def __init__(self, server: ScriptedServer, kind: str, **settings: Any) -> None:
        self.server, self.clock, self._kind = server, FakeClock(), kind
        self._limits, self._once = settings.pop("limits", Limits()), settings.pop("once", False)
        self._kept = settings.pop("kept", False)
        self._policies: Policies | None = settings.pop("policies", None)
        defaults: dict[str, Any] = {"port": server.port, "tls": None, "flood": None, "reconnect": Reconnect(2, 300)}
        self.network = Network("n", settings.pop("host", "127.0.0.1"), **defaults | settings)
        self.keeper = Keeper(clock=self.clock)

    async def work(self, *, kept: bool = False) -> None:
        """Let a worker begin; the one before is dead."""
        ours, its = await ends(self._kind)
        self.keeper.attach(ours)
        self.link, self.told = its, Told()
        self.reactor = Reactor(its, kept=kept, policies=self._policies)
        self.connection = self.connect("n", self.network)
        self.reactor.listen()

    def connect(self, name: str, network: Network) -> Connection:
        """A connection of the present worker."""
        return Connection(
            name, network, self.reactor, self.told,
            clock=self.clock, random=Random(1), limits=self._limits, once=self._once, wall=self.wall,
        )  # fmt: skip

    def wall(self) -> float:
        """Seconds since the epoch."""
        return self.clock.now + 1_700_000_000

    async def restart(self, policies: Policies) -> None:
        """Begin anew, as another run of the program with what the first has left on the disk."""
        await self.kill()
        self.keeper, self._policies = Keeper(clock=self.clock), policies
        await self.work()
        self.connection.start()

    async def kill(self) -> None:
        """SIGKILL: what the worker has said and the keeper has not read is unsaid."""
        ours = self.keeper._link
        if ours is None:
            return
        self.keeper.detach(ours)
        (ours.abort if isinstance(ours, SocketEnd) else ours.close)()
        self.link.close()
        self.connection.alarms.cancel()
        await turns()

    async def succeed(self) -> None:
        """Kill the worker if there is one; the next begins, and has all that was left."""
        await self.kill()
        await self.work(kept=True)
        self.connection.start()
        await self.until(lambda: self.reactor.live)
        await self.crossed()

    async def up(self, *after: str) -> Peer:
        self.connection.start()
        return await self.again(*after)

    async def again(self, *after: str) -> Peer:
        """Let the next connection register."""
        peer = await self.server.accept()
        await peer.register(self.network.nick, *after)
        await self.until(lambda: self.connection.registered)
        return peer

    async def crossed(self) -> None:
        """Wait until the worker has read what the keeper has sent, and the keeper what the worker said to that."""
        for _ in range(2):
            heard = asyncio.get_running_loop().create_future()
            self.reactor.when_heard(lambda heard=heard: heard.set_result(None))  # type: ignore[misc]
            async with asyncio.timeout(PATIENCE_SECONDS):
                await heard

    async def said(self, peer: Peer) -> list[str]:
        """All that the bot says in answer to what it was sent so far.

        The keeper answers PING before the connection has seen the lines before it, so it is asked twice.
        """
        lines = await peer.barrier()
        await self.crossed()
        return lines + await peer.barrier()

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.keeper.tick()
        self.connection.alarms.tick()
        await self.crossed()

    async def lost(self, peer: Peer) -> None:
        """End the connection from the server's side and wait until the connection knows."""
        await peer.close()
        await self.until(lambda: self.connection.alarms.next_at("dial") is not None)

    async def until(self, true: Callable[[], object]) -> None:
        await until(true)

    def waits(self) -> float:
        """Seconds to the next dial."""
        at = self.connection.alarms.next_at("dial")
        assert at is not None
        return at - self.clock.now

    async def end(self) -> None:
        stopping = asyncio.ensure_future(self.connection.stop("end of the test"))
        await turns()
        await self.pass_time(10)
        await stopping
        await self.server.__aexit__()
        await self.keeper.closed()
        self.link.close()
