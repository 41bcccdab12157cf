"""The server of the chaos benchmark (the bot's embedded one, in this process), the bot, and the one who asks.

Here is also who kills: nobody in the bot's own processes does, but for the commands that are made to.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from benchmarks.rig import Broken, process
from benchmarks.vitals import family
from bot.server import Client, Server

CHANNELS = tuple(f"#c{number}" for number in range(5))
BOT = "neverquit"
START_SECONDS = 60.0
PATIENCE_SECONDS = 30.0
PING_SECONDS = 0.1  # from one PING to the next
LOOK_SECONDS = 0.002  # how often it is looked whether a command waits to be killed

CONFIG = f"""\
nick: {BOT}
networks:
  chaos:
    host: 127.0.0.1
    port: {{port}}
    tls: false
    flood: false
    channels: [{", ".join(f'"{channel}"' for channel in CHANNELS)}]
plugins: {{{{directories: [plugins]}}}}
timeouts: {{{{silence_seconds: {{silence}}}}}}
"""

_SAID = re.compile(rf":{BOT}!\S+ (?:PRIVMSG|NOTICE) (\S+) :(.*)")
_MOVED = re.compile(rf":{BOT}!\S+ (?:QUIT|PART|NICK|JOIN)\b")


class Stage:
    """See the module's head.

    Attributes:
        pid: the keeper's.
        on_answer: called with the channel and the text of each line that the bot says.
        moved: lines by which the bot left, came again or changed its name; none may be.
        pings: seconds from PING to PONG.
    """

    def __init__(self, folder: Path, pid: int, server: Server, usr: Client) -> None:
        self.folder, self.pid, self._server, self._usr = folder, pid, server, usr
        self.on_answer: Callable[[str, str], None] = lambda channel, text: None
        self.moved: list[str] = []
        self.pings: list[float] = []
        usr.on_line = self._hear

    def _hear(self, line: str) -> None:
        if said := _SAID.match(line):
            self.on_answer(said[1], said[2])
        elif _MOVED.match(line):
            self.moved.append(line)

    def say(self, channel: str, text: str) -> None:
        self._usr.privmsg(channel, text)

    def worker(self) -> int | None:
        """Return the worker's process, if there is one now."""
        for pid in family(self.pid):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text() == "nq:worker\n":
                    return pid
        return None

    def send(self, number: signal.Signals) -> bool:
        """Send the worker a signal; tell whether there was one."""
        worker = self.worker()
        if worker is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, number)
                return True
        return False

    async def forced(self) -> None:
        """Wait until a command wants its worker killed, and do that."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not (marks := list(self.folder.glob("die-*"))):  # noqa: ASYNC110  # a file of another process
                await asyncio.sleep(LOOK_SECONDS)
        marks[0].unlink()
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(marks[0].name.removeprefix("die-")), signal.SIGKILL)

    async def ping(self) -> None:
        """Have the server ask with PING, all the time."""
        while True:
            began = time.perf_counter()
            await self._server.barrier(BOT, PATIENCE_SECONDS)
            self.pings.append(time.perf_counter() - began)
            await asyncio.sleep(PING_SECONDS)

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")


@contextlib.asynccontextmanager
async def opened(folder: Path, files: Mapping[str, str], silence_seconds: float) -> AsyncIterator[Stage]:
    """Start the bot with these plugins for the length of a block, and end it by SIGTERM.

    Raises:
        Broken: it did not join, or did not end well.
    """
    (folder / "plugins").mkdir(parents=True)
    for name, text in files.items():
        (folder / "plugins" / f"{name}.py").write_text(text, encoding="utf-8")
    server = Server(network="chaos")
    await server.start()
    try:
        usr = await Client.connect("127.0.0.1", server.port, "usr")
        usr.send(f"JOIN {','.join(CHANNELS)}")
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(port=server.port, silence=silence_seconds))
        with process(["-m", "bot", "run", "--config", str(config)], folder / "log", folder=folder) as child:
            try:
                await usr.expect(
                    lambda line: f":{BOT}!" in line and line.endswith(f" JOIN {CHANNELS[-1]}"), START_SECONDS
                )
            except TimeoutError:
                words = (folder / "log").read_text(errors="replace")[-2000:]
                raise Broken(f"the bot did not join; {words}") from None
            yield Stage(folder, child.pid, server, usr)
            if child.poll() is not None:
                raise Broken(f"the bot has ended with {child.returncode}")
        if child.returncode != 0:
            raise Broken(f"the bot did not end well on SIGTERM: {child.returncode}")
    finally:
        await server.stop()
