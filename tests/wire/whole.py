"""The whole bot, an App with plugins in files, on scripted servers: for cases in which everything must go on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from scripted import PATIENCE_SECONDS, Peer, ScriptedServer

from bot.app import App
from bot.config import Channel, Config, Network, Plugins, Reconnect, Reload
from bot.storage import Backend

ECHO = """
from bot import command

@command("echo")
async def echo(ctx, text: str):
    return f"{ctx.network.name}: {text}"
"""

QUESTIONS = ("MODE #c", "WHO #c", "MONITOR ", "ISON ")  # what a bot asks by itself


class Whole:
    """A bot, and the server of each of its networks.

    Attributes:
        app: the bot.
        plugins: the folder of its plugins.
        peers: by network, its connection as the server sees it; those that were let in.
    """

    def __init__(self, app: App, plugins: Path, servers: Mapping[str, ScriptedServer]) -> None:
        self.app, self.plugins, self.servers = app, plugins, servers
        self.peers: dict[str, Peer] = {}

    async def let_in(self, name: str = "n") -> Peer:
        """Let the next connection of a network register and join `#c`."""
        peer = self.peers[name] = await self.servers[name].accept()
        nick = self.app.config.networks[name].nick
        await peer.register(nick)
        await peer.until("JOIN #c")
        peer.send(f":{nick}!bot@host JOIN #c", f":irc.test 366 {nick} #c :End")
        await peer.barrier()
        return peer

    async def alive(self, name: str = "n", connections: int = 1) -> list[str]:
        """The same connection, PING answered, a command answered; return what else was said, asking apart."""
        peer = self.peers[name]
        said = await peer.barrier()
        peer.send(":you!u@h PRIVMSG #c :!echo alive")
        said += await peer.until(f"PRIVMSG #c :{name}: alive")
        assert self.servers[name].connections == connections
        return [line for line in said[:-1] if not line.startswith(QUESTIONS)]

    async def line(self, name: str = "n") -> str:
        """The next line of a network that is no question about the channel."""
        while (line := await self.peers[name].line()).startswith(QUESTIONS):
            pass
        return line

    async def write(self, name: str, source: str) -> None:
        """Save a plugin, and take it live."""
        (self.plugins / f"{name}.py").write_text(source, encoding="utf-8")
        report = await self.app.reloader.settle()
        assert report.ok, str(report)


@contextlib.asynccontextmanager
async def whole(
    folder: Path, plugins: Mapping[str, str] = {"echo": ECHO}, networks: Mapping[str, Mapping[str, Any]] | None = None
) -> AsyncIterator[Whole]:
    """Run a bot for the length of a block; nobody is let in yet.

    Args:
        folder: an empty one.
        plugins: name -> source.
        networks: name -> settings that differ; by default one, `n`.
    """
    async with contextlib.AsyncExitStack() as stack:
        wanted = networks if networks is not None else {"n": {}}
        servers = {name: await stack.enter_async_context(ScriptedServer()) for name in wanted}
        (folder / "plugins").mkdir()
        for name, source in plugins.items():
            (folder / "plugins" / f"{name}.py").write_text(source, encoding="utf-8")
        settings = {name: _network(name, {"port": servers[name].port, **more}) for name, more in wanted.items()}
        config = Config(
            networks=settings,
            plugins=Plugins(directories=(str(folder / "plugins"),)),
            reload=Reload(watch=False),
            state_dir=str(folder / "state"),
        )
        app = App(config, backend=Backend.memory())
        running = asyncio.ensure_future(app.run())
        try:
            await app.ready.wait()
            yield Whole(app, folder / "plugins", servers)
        finally:
            app.stop("the test has ended")
            for server in servers.values():
                for peer in server.peers:  # rather than to let the bot wait for an answer to its QUIT
                    await peer.close()
            async with asyncio.timeout(PATIENCE_SECONDS):
                await running


def _network(name: str, settings: Mapping[str, Any]) -> Network:
    defaults: dict[str, Any] = {
        "host": "127.0.0.1", "tls": None, "flood": None, "channels": (Channel("#c"),), "reconnect": Reconnect(0, 0.1),
    }  # fmt: skip
    return Network(name, **defaults | dict(settings))
