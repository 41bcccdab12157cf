"""The bot as people run it, on an embedded IRC server, for tests about its two processes: signals, deaths, orphans.

    async with pair(folder, plugins={"talk": TALK}) as bot:
        bot.says("!hello")
        await bot.answers("hi")

All that the bot says and logs is kept. It answers PING while the test asks for that (`PingPong`). Whoever it has
started must be gone when it has ended; each test is asked that at its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import signal
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nursery

from bot.server import Client, Server

ROOT = Path(__file__).parents[1]
SOON = 20.0  # seconds until a test gives up; the machine may be busy
CHANNEL = "#a"
CERTIFICATES = Path(__file__).parent / "certificates"

MODES = {"two": (), "single": ("--single",)}

TALK = """
from bot import command
@command("hello")
async def hello(ctx, what: str = ""): return f"hello {what}"
@command("sync")
def sync(ctx, what: str = ""): return f"sync {what}"
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", **more}


def alive(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def descendants(pid: int) -> set[int]:
    """All processes below one, proc(5)."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
    found, todo = set[int](), {pid}
    while todo:
        todo = {child for child, parent in parents.items() if parent in todo} - found
        found |= todo
    return found


class Pair:
    """One run of the bot, and `you`, who sit in its channel."""

    def __init__(self, folder: Path, server: Server, you: Client, settings: Mapping[str, Any]) -> None:
        self.folder, self.server, self.you = folder, server, you
        (folder / "config.yaml").write_text(json.dumps(settings))  # JSON is YAML, without its surprises
        (folder / "config.yaml").chmod(0o600)
        self.log: list[str] = []
        self.said: list[str] = []  # by the bot, in the channel
        self._more = asyncio.Event()
        self._read = 0
        self.started: set[int] = set()  # all processes seen below it
        you.on_line = self._heard

    async def start(self, *arguments: str, through: Sequence[str] = (), **variables: str) -> None:
        self.process: asyncio.subprocess.Process | nursery.Born
        if through:
            self.process = await self._through(*through, sys.executable, "-m", "bot", "run", *arguments, **variables)
        else:
            self.process = await nursery.start(["run", *arguments], self.folder, environment(**variables))
        self._reading = asyncio.create_task(self._log())

    async def _through(self, *command: str, **variables: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=self.folder,
            env=environment(**variables),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    def _heard(self, line: str) -> None:
        if line.startswith(":neverquit!") and f" PRIVMSG {CHANNEL} :" in line:
            self.said.append(line.partition(f" PRIVMSG {CHANNEL} :")[2])
        self._more.set()

    async def _log(self) -> None:
        assert self.process.stdout is not None
        async for raw in self.process.stdout:
            self.log.append(raw.decode("utf-8", "replace").rstrip())
            self._more.set()
        self._more.set()

    # -- what a test does

    def says(self, *texts: str) -> None:
        for text in texts:
            self.you.privmsg(CHANNEL, text)

    async def until(self, true: Callable[[], object], what: str) -> None:
        """Wait until something that is said, logged or asked of the system is so."""
        try:
            async with asyncio.timeout(SOON):
                while not true():
                    self._more.clear()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._more.wait(), 0.05)
        except TimeoutError:
            log = "\n".join(self.log[-40:])
            raise AssertionError(f"{what} did not come; said: {self.said[-20:]}; log:\n{log}") from None

    async def answers(self, *texts: str) -> None:
        """Wait until the bot has said each of these; nothing is forgotten, so a text may have come before."""
        for text in texts:
            await self.until(lambda text=text: text in self.said, f"the answer {text!r}")  # type: ignore[misc]

    async def tells(self, part: str) -> None:
        """Wait until the bot has said a line with this in it."""
        await self.until(lambda: any(part in line for line in self.said), f"a line with {part!r}")

    async def logs(self, part: str, count: int = 1) -> None:
        await self.until(lambda: sum(part in line for line in self.log) >= count, f"{count} log lines with {part!r}")

    @property
    def worker(self) -> int:
        """The process id of the worker, 0 while there is none."""
        return self.called("worker")

    def called(self, role: str) -> int:
        """The process id of the one that is shown as `nq:ROLE`, 0 while there is none."""
        for pid in self.family():
            with contextlib.suppress(OSError):
                if alive(pid) and Path(f"/proc/{pid}/comm").read_text() == f"nq:{role}\n":
                    return pid
        return 0

    def family(self) -> set[int]:
        """The processes below the one that was started; also notes them."""
        found = descendants(self.process.pid)
        self.started |= found
        return found

    async def another(self, than: int) -> int:
        """Wait for a worker other than this one, and return its process id."""
        await self.until(lambda: self.worker not in (0, than), "another worker")
        return self.worker

    def kill(self, pid: int, number: int = signal.SIGKILL) -> None:
        self.family()
        os.kill(pid, number)

    def connections(self) -> int:
        """How often the bot has registered."""
        return sum(line.startswith("USER neverquit ") for nick, way, line in self.server.log if way == "in")

    # -- its end

    async def ended(self) -> int:
        """Its exit code; all that it has started must end with it."""
        async with asyncio.timeout(SOON):
            code = await self.process.wait()
        await self.until(lambda: not any(map(alive, self.started)), "the end of all that it has started")
        await asyncio.wait({self._reading}, timeout=SOON)
        return code

    async def ends(self, number: signal.Signals = signal.SIGTERM, pid: int = 0, within: float = 5.0) -> None:
        """Send a signal (to the process that was started); all ends with code 0 in time, and QUIT is said."""
        self.family()
        began = asyncio.get_running_loop().time()
        os.kill(pid or self.process.pid, number)
        assert await self.ended() == 0, "\n".join(self.log[-30:])
        assert asyncio.get_running_loop().time() - began < within + 1.0  # one for a busy machine

    async def kill_all(self) -> None:
        self.family()
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        for pid in self.started:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._reading.cancel()


def settings(port: int, **more: Any) -> dict[str, Any]:
    network = {"host": "127.0.0.1", "port": port, "tls": False, "channels": [CHANNEL], "flood": False}
    return {
        "networks": {"here": {**network, **more.pop("network", {})}},
        "admins": [{"hostmask": "you!*@127.0.0.1"}],
        "reload": {"report_to": CHANNEL},
        "timeouts": {"silence_seconds": 1, **more.pop("timeouts", {})},
        "log": {"level": "debug"},
        "reserve": False,  # it costs each test a start more; those that are about deaths have it
        **more,
    }


@contextlib.asynccontextmanager
async def pair(
    folder: Path, *arguments: str, plugins: Mapping[str, str], start: bool = True, tls: bool = False, **more: Any
) -> AsyncIterator[Pair]:
    """The bot with these plugins, joined; ended by force if the test has not ended it."""
    theirs = ours = None
    if tls:
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(CERTIFICATES / "server.pem")
        authority = str(CERTIFICATES / "authority.pem")
        ours = ssl.create_default_context(cafile=authority)
        more["network"] = {"host": "localhost", "tls": {"ca_file": authority}, **more.get("network", {})}
    (folder / "plugins").mkdir()
    for name, source in plugins.items():
        (folder / "plugins" / f"{name}.py").write_text(source)
    server = Server(tls=theirs)
    await server.start()
    you = await Client.connect("localhost" if tls else "127.0.0.1", server.port, "you", tls=ours)
    you.send(f"JOIN {CHANNEL}")
    await you.expect(" 366 ")
    made = Pair(folder, server, you, settings(server.port, **more))
    try:
        if start:
            await made.start(*arguments)
            await joined(made)
        yield made
    finally:
        if hasattr(made, "process"):
            await made.kill_all()
        with contextlib.suppress(OSError, TimeoutError):
            await you.close()
        await server.stop()


#: The bot as people run it: a second worker waits.
with_reserve = functools.partial(pair, reserve=True)


async def joined(bot: Pair, times: int = 1) -> None:
    """Wait until it has joined the channel."""

    def count() -> bool:
        return (
            sum(way == "in" and nick == "neverquit" and line.startswith("JOIN ") for nick, way, line in bot.server.log)
            >= times
        )

    await bot.until(count, "its JOIN")
