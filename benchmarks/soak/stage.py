"""The soak's server, its bot, and the two who sit in the channel: one who asks all the time, and an admin.

The server is the bot's own embedded one (`bot/server/`), in this process; the bot is a process as people start it,
and plugin files are written from here, so never by the process that loads them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shlex
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

from benchmarks.rig import Broken, process
from benchmarks.soak import plugins
from bot.server import Client, Server

TALK, REPORTS, BOT = "#t", "#ops", "neverquit"
PATIENCE_SECONDS = 20.0
START_SECONDS = 60.0  # with each allocation traced, on a machine that has other things to do

CONFIG = f"""\
nick: {BOT}
admins: [{{{{account: alice}}}}]
networks:
  soak:
    host: 127.0.0.1
    port: {{port}}
    tls: false
    flood: false
    channels: ["{TALK}", "{REPORTS}"]
plugins: {{{{directories: [plugins]}}}}
reload: {{{{report_to: "{REPORTS}"}}}}
"""

_SAID = re.compile(rf":{BOT}!\S+ (?:PRIVMSG|NOTICE) (\S+) :(.*)")
_MOVED = re.compile(rf":{BOT}!\S+ (?:QUIT|PART|NICK|JOIN)\b")
_ERROR = re.compile(r"^\S+ \S+ (error|critical) ", re.MULTILINE)


class Stage:
    """See the module's head.

    Attributes:
        pid: the bot's.
        on_answer: called with each line the bot says in the channel.
        on_report: called with each line that tells an admin of a reload.
        moved: lines by which the bot left, came again or changed its name; none may be.
    """

    def __init__(self, folder: Path, pid: int, usr: Client, adm: Client) -> None:
        self.folder, self.pid = folder, pid
        self._usr, self._adm = usr, adm
        self.on_answer: Callable[[str], None] = lambda text: None
        self.on_report: Callable[[str], None] = lambda text: None
        self.moved: list[str] = []
        self._told: asyncio.Queue[str] = asyncio.Queue()
        usr.on_line = self._hear
        adm.on_line = self._hear_in_private

    def _hear(self, line: str) -> None:
        if said := _SAID.match(line):
            if said[1] == TALK:
                self.on_answer(said[2])
            elif said[1] == REPORTS:
                self.on_report(said[2])
        elif _MOVED.match(line):
            self.moved.append(line)

    def _hear_in_private(self, line: str) -> None:
        if (said := _SAID.match(line)) and said[1] == "adm":
            if said[2].startswith(("census ", "snapshot ")):
                self._told.put_nowait(said[2])
            else:
                self.on_report(said[2])

    def say(self, text: str) -> None:
        """Say something in the channel."""
        self._usr.privmsg(TALK, text)

    def order(self, text: str) -> None:
        """Have the admin say something to the bot alone."""
        self._adm.privmsg(BOT, text)

    async def tell(self, text: str) -> str:
        """Have the admin ask the census, and return its answer."""
        self.order(text)
        try:
            return await asyncio.wait_for(self._told.get(), PATIENCE_SECONDS * 3)
        except TimeoutError:
            raise Broken(f"no answer to {text}; {self.log()[-1500:]}") from None

    async def tasks(self) -> int:
        """Return how many asyncio tasks the bot has."""
        return int((await self.tell("!census")).split()[1])

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def errors(self) -> list[str]:
        """Return the lines of the bot's log that are errors."""
        return [line for line in self.log().splitlines() if _ERROR.match(line)]


@contextlib.asynccontextmanager
async def opened(folder: Path, environment: Mapping[str, str] | None = None) -> AsyncIterator[Stage]:
    """Start the bot with the soak's plugins for the length of a block, and end it by SIGTERM.

    Raises:
        Broken: it did not join, or did not end well.
    """
    for name, text in plugins.first().items():
        path = folder / "plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    server = Server(network="soak", accounts={"alice": "secret"})
    await server.start()
    try:
        usr = await Client.connect("127.0.0.1", server.port, "usr")
        adm = await Client.connect("127.0.0.1", server.port, "adm", account="alice", password="secret")
        usr.send(f"JOIN {TALK},{REPORTS}")
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(port=server.port))
        with process(["-m", "bot", "run", "--config", str(config)], folder / "log", environment=environment) as child:
            try:
                await usr.expect(lambda line: f":{BOT}!" in line and line.endswith(f" JOIN {REPORTS}"), START_SECONDS)
            except TimeoutError:
                words = (folder / "log").read_text(errors="replace")[-2000:]
                raise Broken(f"{shlex.join(map(str, child.args))} did not join; {words}") from None  # type: ignore[arg-type]
            stage = Stage(folder, child.pid, usr, adm)
            yield stage
            if child.poll() is not None:
                raise Broken(f"the bot has ended with {child.returncode}: {stage.log()[-2000:]}")
        if child.returncode != 0:
            raise Broken(f"the bot did not end well on SIGTERM: {child.returncode}")
    finally:
        await server.stop()
