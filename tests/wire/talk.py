"""The whole bot on a scripted server, in one process: what people and servers say, and byte for byte what it sends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

from scripted import Peer, ScriptedServer, until

from bot.app import App
from bot.config import Config, Network, Plugins, Reconnect, Reload
from bot.storage import Backend
from bot.testing import FakeClock
from bot.wire.connection import Connection

HEAD = "from bot import command, rule, on\n"


class Talk:
    """One bot on one network `n`.

    Attributes:
        peer: its present connection, as the server sees it.
    """

    def __init__(self, app: App, server: ScriptedServer, clock: FakeClock) -> None:
        self.app, self.server, self.clock = app, server, clock
        self.peer: Peer

    @property
    def connection(self) -> Connection:
        return self.app.networks["n"].connection

    async def up(self, *after: str, caps: str = "") -> Peer:
        """Let the next connection register, with these capabilities, and say `after`."""
        self.peer = await self.server.accept()
        await self.peer.until("CAP LS")
        self.peer.send(f"CAP * LS :{caps}")
        if caps:
            (*_, asked) = await self.peer.until("CAP REQ")
            self.peer.send(f"CAP * ACK {asked.removeprefix('CAP REQ ')}")
        await self.peer.until("CAP END")
        self.peer.send(f":irc.test 001 {self.connection.settings.nick} :Welcome", *after)
        await until(lambda: self.connection.registered)
        return self.peer

    async def lines(self) -> list[str]:
        """All that the bot has sent by now, when every handler has ended; but for the keep-alive."""
        lines = await self.peer.barrier()
        for _ in range(2):
            crossed = asyncio.get_running_loop().create_future()
            self.app.reactor.when_heard(lambda crossed=crossed: crossed.set_result(None))  # type: ignore[misc]
            await crossed
            await self.app.idle()
        return [line for line in lines + await self.peer.barrier() if line != "PING :keeper"]

    async def answers(self, *lines: str) -> list[str]:
        """What it sends because of these lines of the server."""
        self.peer.send(*lines)
        return await self.lines()

    async def said(self, text: str, who: str = "bob!b@home", to: str = "#a", tags: str = "") -> list[str]:
        """What it sends because of a word."""
        return await self.answers(f"{f'@{tags} ' if tags else ''}:{who} PRIVMSG {to} :{text}")

    async def pass_time(self, seconds: float) -> None:
        """For jobs, limits, the keeper and the connection; what that sends is in the next `lines`."""
        await self.clock.advance(seconds)
        self.app.keeper.tick()
        self.connection.alarms.tick()

    async def lose(self) -> None:
        """Cut the connection, and wait until the bot knows."""
        self.peer.abort()
        await until(lambda: not self.connection.connected)


@contextlib.asynccontextmanager
async def talking(folder: Path, source: str = "", *, reply_lines: int = 1000, **network: Any) -> AsyncIterator[Talk]:
    """A bot with one plugin `p`; its first connection is waiting to be let in."""
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "p.py").write_text(HEAD + source)
    async with ScriptedServer() as server:
        defaults = {"port": server.port, "tls": None, "flood": None, "reconnect": Reconnect(2, 300)}
        config = Config(
            networks={"n": Network("n", "127.0.0.1", **defaults | network)},
            plugins=Plugins(directories=(str(plugins),)),
            reload=Reload(watch=False),
            reply_lines=reply_lines,
            state_dir=str(folder / "state"),
        )
        clock = FakeClock()
        app = App(config, backend=Backend.memory(), clock=clock, job_clock=clock, choice=Random(1))
        running = asyncio.create_task(app.run())
        talk = Talk(app, server, clock)
        try:
            await app.ready.wait()
            yield talk
        finally:
            app.stop("the test has ended")
            for peer in server.peers:
                await peer.close()
            await running
