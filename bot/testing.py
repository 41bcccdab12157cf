"""The test kit, for plugin authors and for the bot's own tests: a pytest plugin that comes with the package.

    async def test_roll(bot):                       # a real bot on a real IRC server, both in this process
        await bot.load("plugins/dice.py")
        assert await bot.say("!roll 1d1") == ["1d1: 1"]

    pytest plugins/                                 # runs the examples of every @command

`bot.add_network("other")` brings it onto a second network. `bot.write(name, source)` writes and reloads plugin source,
`bot.clock.advance("10m")` lets time pass for jobs and limits, `bot.say` returns all that was answered once every
handler has ended. `ScriptedServer` is a peer that says byte for byte what a test wants. Fakes stand only at the edge:
the clock, and the far end of the socket.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import heapq
import inspect
import itertools
import re
import shutil
import tempfile
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bot.api.durations import parse_duration
from bot.app import App
from bot.config import Admin, Config
from bot.demo import BOT, NETWORK, PASSWORD, YOU, answered, demo_config
from bot.errors import MalformedLine
from bot.live.report import Report
from bot.protocol.message import Message
from bot.server import Client, Server
from bot.storage import Backend

CHANNEL = "#demo"


class FakeClock:
    """A clock that stands still until `advance`: wall time, monotonic time and timers of one loop.

    `dispatch.scheduler.Clock` for the scheduler; calling it gives monotonic seconds, as `time.monotonic` does.
    """

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self._wall, self._monotonic = now, 1000.0
        self._timers: list[tuple[float, int, _FakeTimer]] = []
        self._count = itertools.count()

    def __call__(self) -> float:
        return self._monotonic

    def time(self) -> float:
        """Seconds since 1970."""
        return self._wall

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return self._monotonic

    def call_at(self, when: float, callback: Callable[[], object]) -> _FakeTimer:
        """Run `callback` when monotonic time reaches `when`."""
        timer = _FakeTimer(callback)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        return timer

    async def advance(self, time: float | str) -> None:
        """Let time pass, running what falls due at its moment."""
        end = self._monotonic + parse_duration(time)
        while self._timers and self._timers[0][0] <= end:
            when, _, timer = heapq.heappop(self._timers)
            self._step(max(0.0, when - self._monotonic))
            if not timer.cancelled:
                timer.callback()
                await asyncio.sleep(0)
        self._step(end - self._monotonic)
        await asyncio.sleep(0)

    def _step(self, seconds: float) -> None:
        self._wall += seconds
        self._monotonic += seconds


class _FakeTimer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback, self.cancelled = callback, False

    def cancel(self) -> None:
        """Let it not run."""
        self.cancelled = True


class Bot:
    """A running bot and the people around it; made by the fixture `bot`, or with `running_bot`.

    Attributes:
        app: the bot itself.
        network: the name of the network that is spoken on here.
        server: the IRC server of that.
        plugins: the folder that its plugins lie in; empty at first.
        clock: time for jobs and limits; `await bot.clock.advance("1h")`.
        you: the client that speaks as `you`, who is an admin.
    """

    def __init__(
        self, app: App, server: Server, you: Client, plugins: Path, clock: FakeClock, network: str = NETWORK
    ) -> None:
        self.app, self.server, self.you, self.plugins, self.clock = app, server, you, plugins, clock
        self.network = network
        self._others: dict[str, Client] = {}
        self._elsewhere: list[Bot] = []

    async def write(self, name: str, source: str) -> Report:
        """Write plugin source as a person would save it, and take it live; `name` may be a path such as `pkg/part`."""
        path = self.plugins / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return await self.reload()

    async def load(self, path: str | Path) -> Report:
        """Copy a plugin file or package into the bot's folder and take it live."""
        path = Path(path)
        if path.is_dir():
            shutil.copytree(path, self.plugins / path.name, dirs_exist_ok=True)
        else:
            shutil.copy(path, self.plugins / path.name)
        return await self.reload(path.stem)

    async def remove(self, name: str) -> Report:
        """Delete a plugin's file and take that live."""
        (self.plugins / f"{name}.py").unlink()
        return await self.reload(name)

    async def reload(self, name: str = "") -> Report:
        """Take all that has changed on disk live at once; a named plugin also when nothing changed."""
        return await self.app.reloader.settle({name} if name else ())

    async def say(self, text: str, nick: str = YOU, to: str = CHANNEL) -> list[str]:
        """Say a line and return what the bot answers to it, wherever that nick can read it.

        Args:
            nick: who says it; `you` is an admin, anyone else joins when first named and is nobody special.
            to: a channel, or the bot's nick for a private word.
        """
        client = await self.person(nick)
        with _listening(client) as heard:
            client.privmsg(to, text)
            await self.quiet(client)
        return _texts(heard)

    async def quiet(self, client: Client | None = None) -> None:
        """Wait until the bot has handled everything said so far, and its output has arrived."""
        await answered(self.app, self.server, client or self.you, self.network)

    async def heard(self, action: Awaitable[Any] | Callable[[], Any], nick: str = YOU) -> list[str]:
        """Return what the bot says because of `action`: something to await, or a function, plain or async.

        As in `await bot.heard(bot.clock.advance("10m"))`.
        """
        client = await self.person(nick)
        with _listening(client) as heard:
            result = action() if callable(action) else action
            if inspect.isawaitable(result):
                await result
            await self.app.idle()
            await self.quiet(client)
        return _texts(heard)

    async def person(self, nick: str) -> Client:
        """Return the client that speaks as `nick`; it joins the channel when first asked for."""
        if nick == YOU:
            return self.you
        if nick not in self._others:
            client = await Client.connect("127.0.0.1", self.server.port, nick, caps="message-tags")
            client.send(f"JOIN {CHANNEL}")
            await client.expect(" 366 ")
            self._others[nick] = client
            await self.quiet(client)
        return self._others[nick]

    async def add_network(self, name: str, **settings: Any) -> Bot:
        """Bring the bot onto one more network, with a server of its own, and `you` in `#demo` there, too.

        Args:
            name: the network's, as in `ctx.to("other/#demo")`.
            settings: keys of the network, as values of `bot.config`: `prefix=("?",)`, `disabled=("karma",)`. Unless
                `admins` are among them, `you` is one.

        Returns:
            The same bot, seen from there: `say`, `heard`, `person`, `quiet`, `you` and `server` are that network's.
        """
        config, server = self.app.config, await _server(name)
        wanted: dict[str, Any] = {"admins": (Admin(account=YOU, network=name),), **settings}
        network = replace(config.networks[NETWORK], name=name, port=server.port, **wanted)
        there = Bot(self.app, server, await _you(server), self.plugins, self.clock, name)
        self._elsewhere.append(there)
        await self.app.apply(replace(config, networks={**config.networks, name: network}))
        await there.arrived()
        return there

    async def arrived(self) -> None:
        """Wait until the bot is in the channel."""
        await self.you.expect(lambda line: line.startswith(f":{BOT}!") and " JOIN " in line, timeout=30)
        await self.quiet()

    async def leave(self) -> None:
        """Let everybody but the bot and `you` go."""
        for client in [client for bot in (self, *self._elsewhere) for client in bot._others.values()]:
            with contextlib.suppress(OSError, TimeoutError):
                await client.close()

    async def end(self) -> None:
        """End the servers; the bot is gone."""
        for bot in (self, *self._elsewhere):
            with contextlib.suppress(OSError, TimeoutError):
                await bot.you.close()
            await bot.server.stop()


async def _server(network: str) -> Server:
    server = Server(name="irc.test", network=network, accounts={YOU: PASSWORD, BOT: PASSWORD})
    await server.start()
    return server


async def _you(server: Server) -> Client:
    you = await Client.connect("127.0.0.1", server.port, YOU, account=YOU, password=PASSWORD, caps="message-tags")
    you.send(f"JOIN {CHANNEL}")
    await you.expect(" 366 ")
    return you


@contextlib.contextmanager
def _listening(client: Client) -> Iterator[list[str]]:
    # Not `client.lines`, which forgets: a test may say more than it holds.
    heard: list[str] = []
    before, client.on_line = client.on_line, heard.append
    try:
        yield heard
    finally:
        client.on_line = before


def _texts(lines: Iterable[str]) -> list[str]:
    found = []
    for line in lines:
        try:
            message = Message.parse(line)
        except MalformedLine:  # `Faults.garbage`
            continue
        if message.command in ("PRIVMSG", "NOTICE") and message.source and message.source.nick == BOT:
            found.append(message.param(1))
    return found


@contextlib.asynccontextmanager
async def running_bot(
    plugins: Path | None = None, *, config: Config | None = None, watch: bool = False, state: Path | None = None
) -> AsyncIterator[Bot]:
    """Run a bot on an embedded server, with `you` in `#demo`.

    Args:
        plugins: its plugin folder; a fresh one by default.
        config: settings to begin with; the network is always the embedded server.
        watch: whether saved files go live by themselves; else `bot.write` and `bot.reload` take them.
        state: folder of the store; by default it is in memory.
    """
    with tempfile.TemporaryDirectory(prefix="neverquit-test-") as scratch:
        folder = plugins or Path(scratch, "plugins")
        folder.mkdir(exist_ok=True)
        server = await _server(NETWORK)
        base = demo_config(server.port, folder, config)
        settings = replace(base, reload=replace(base.reload, watch=watch), state_dir=str(state or scratch))
        clock = FakeClock()
        backend = Backend.open(state) if state else Backend.memory()
        app = App(settings, backend=backend, clock=clock, job_clock=clock)
        you = await _you(server)
        running = asyncio.get_running_loop().create_task(app.run())
        bot = Bot(app, server, you, folder, clock)
        try:
            await bot.arrived()
            yield bot
        finally:
            await bot.leave()
            app.stop("the test has ended")
            await running
            await bot.end()


# -- pytest


try:
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def bot() -> AsyncIterator[Bot]:
        """A running bot without plugins, and the people around it."""
        async with running_bot() as running:
            yield running

except ImportError:  # only the fixture needs it
    pass


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect the examples of plugin files: what lies in a folder named `plugins` and imports `bot`."""
    if (
        file_path.suffix == ".py"
        and "plugins" in file_path.parent.parts
        and not file_path.name.startswith(("_", "test_"))
        and _imports_bot(file_path)
    ):
        return PluginFile.from_parent(parent, path=file_path)
    return None


def _imports_bot(path: Path) -> bool:
    """Tell whether it may be a plugin of ours; folders of that name are in many projects. Not by parsing: a plugin
    that can't be parsed is to fail, others are none of our business."""
    try:
        return re.search(rb"^\s*(from|import)\s+bot\b", path.read_bytes(), re.MULTILINE) is not None
    except OSError:
        return False


class PluginFile(pytest.File):
    """One plugin file with examples."""

    def collect(self) -> Iterable[pytest.Item]:
        """Read the examples from the source, without importing it: only a bot may do that."""
        try:
            examples = read_examples(self.path.read_bytes())
        except (SyntaxError, ValueError) as error:
            # An item that fails by loading it, as an error here would end the whole run.
            examples = [("can be read", "", getattr(error, "lineno", None) or 1)]
        for said, answer, line in examples:
            yield Example.from_parent(self, name=said, answer=answer, line=line)


class Example(pytest.Item):
    """One example: what is said, and what must be answered."""

    def __init__(self, *, answer: str, line: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.answer, self.line = answer, line

    def runtest(self) -> None:
        """Run a bot with this plugin alone, and ask it."""
        asyncio.run(self._ask())

    async def _ask(self) -> None:
        async with running_bot() as bot:
            for shared in self.path.parent.glob("_*.py"):
                await bot.load(shared)
            report = await bot.load(self.path)
            assert report.ok, str(report)
            answers = await bot.say(self.name)
        assert fits(self.answer, "\n".join(answers)), f"{self.name}: {answers!r} instead of {self.answer!r}"

    def reportinfo(self) -> tuple[Path, int, str]:
        """Say where the example stands."""
        return self.path, self.line - 1, f"example {self.name}"


def read_examples(source: bytes) -> list[tuple[str, str, int]]:
    """Return (what is said, what is answered, line) for each example in a plugin's source."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "command":
            for keyword in node.keywords:
                if keyword.arg == "examples":
                    try:
                        pairs = ast.literal_eval(keyword.value)
                    except ValueError:
                        continue  # computed ones can't be read without running the file
                    found += [(said, answer, keyword.value.lineno) for said, answer in pairs]
    return found


def fits(pattern: str, text: str) -> bool:
    """Tell whether a text is what an example promises; `...` stands for any text."""
    head, *parts = pattern.split("...")
    if not parts:
        return text == pattern
    if not text.startswith(head) or not text.endswith(parts[-1]):
        return False
    at = len(head)
    for part in parts[:-1]:
        found = text.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return at <= len(text) - len(parts[-1])
