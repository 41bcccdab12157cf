"""A whole bot with one plugin, on a scripted server that offers what a test wants it to."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripted import Peer, ScriptedServer, until

from bot.app import App
from bot.config import Config
from bot.demo import demo_config
from bot.protocol.message import Message
from bot.storage import Backend
from bot.testing import FakeClock

LABELLED = ("message-tags", "batch", "labeled-response", "echo-message")


class Stage:
    """The bot `neverquit` in #demo of the network `demo`.

    Attributes:
        peer: the server's end of its connection.
        clock: for limits, jobs and all that waits.
    """

    def __init__(self, app: App, peer: Peer, clock: FakeClock) -> None:
        self.app, self.peer, self.clock = app, peer, clock

    def ask(self, text: str, tags: str = "", target: str = "#demo") -> None:
        """Let bob say something."""
        self.peer.send(f"{f'@{tags} ' if tags else ''}:bob!b@h PRIVMSG {target} :{text}")

    async def line(self, beginning: str = "") -> Message:
        """The next line of the bot whose text begins like this."""
        while True:
            message = Message.parse(await self.peer.line())
            if message.param(1).startswith(beginning):
                return message

    async def said(self, text: str = "", tags: str = "") -> list[Message]:
        """What the bot says to a line, or has said so far, once all calls have ended."""
        if text:
            self.ask(text, tags)
        lines = await self.peer.barrier()
        for _ in range(2):  # what waits for its turn on the loop, then what it has caused
            await self.app.idle()
            lines += await self.peer.barrier()
        return [Message.parse(line) for line in lines]


@asynccontextmanager
async def stage(
    folder: Path, source: str, *caps: str, after: tuple[str, ...] = (), config: Config | None = None, **network: Any
) -> AsyncIterator[Stage]:
    """Run a bot with one plugin file.

    Args:
        caps: what the server offers.
        after: what it says behind 001.
        network: settings of the network.
    """
    (folder / "said.py").write_text(textwrap.dedent(source))
    async with ScriptedServer() as server:
        made = demo_config(server.port, folder, config)
        net = replace(made.networks["demo"], sasl=None, **network)
        made = replace(made, networks={"demo": net}, reload=replace(made.reload, report_to=None, watch=False))
        clock = FakeClock()
        app = App(made, backend=Backend.memory(), clock=clock, job_clock=clock)
        running = asyncio.get_running_loop().create_task(app.run())
        try:
            peer = await server.accept()
            await peer.until("CAP LS")
            peer.send(f"CAP * LS :{' '.join(caps)}")
            if caps:
                await peer.until("CAP REQ")
                peer.send(f"CAP * ACK :{' '.join(cap.partition('=')[0] for cap in caps)}")
            await peer.until("CAP END")
            peer.send(":irc.test 001 neverquit :Welcome", *after, ":neverquit!n@h JOIN #demo")
            connection = app.networks["demo"].connection
            await until(lambda: connection.roster.channel("#demo"))
            made_stage = Stage(app, peer, clock)
            await made_stage.said()
            yield made_stage
        finally:
            app.stop("the test has ended")
            await asyncio.gather(running, _farewell(peer), return_exceptions=True)


async def _farewell(peer: Peer) -> None:
    await peer.until("QUIT")
    await peer.close()


def answer_to(message: Message, answer: str) -> str:
    """A line of the server as the labelled answer to a line of the bot."""
    return f"@label={message.tags['label']} {answer}"
