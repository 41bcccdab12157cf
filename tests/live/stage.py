"""One case of the reload catalogue on stage: a running bot on a real server, people who ask it, and a process that
writes its plugin files.

The bot begins with `edits/base`; a case changes files with `edit`, `write` or `do` and says what must be seen: the next
line of the report (`report`, `refused`) and what is answered (`ask`, `order`). Nothing that the bot says may be left
over, so a second report or a reply too many fails the case by itself. What every case must hold (I1 to I4, I7, I8, and
that it is one process all along) is checked by `verify`, at the end. A case marked `both_modes` runs in each of
`program.MODES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from crowd import Crowd, Pinger, end
from program import MODES, PATIENCE_SECONDS, Program, Writer

from bot.protocol.message import Message
from bot.server import Client, Server

BOT, TALK, REPORTS, TICKS = "neverquit", "#t", "#ops", "#job"
EDITS = Path(__file__).parent / "edits"
BASE_ANSWERS = ["!hello", "!slow 0", "!p1", "!p2", "!p3", "!p4", "!p5"]  # `!count` counts, `!oops` fails
BARRIER = """import os

from bot import command


@command("barrier")
async def barrier(ctx):
    return f"barrier, process {os.getpid()}"
"""

both_modes = pytest.mark.parametrize("mode", list(MODES))

_STEP = re.compile(r"(\w+) g(\d+) -> g(\d+) \(")
_LOADED = re.compile(r"(\w+) loaded g(\d+) \(")
_STAYS = re.compile(r"(\w+) stays g(\d+)")
_UNLOADED = re.compile(r"(\w+) unloaded")
_HIDDEN = re.compile(r"; \+(\d+) more$")


class Ear:
    """What was heard of the bot in one place, in order, each line with when; read line by line."""

    def __init__(self, place: str, program: Program) -> None:
        self.place, self.lines, self.times = place, list[str](), list[float]()
        self._program = program
        self._read = 0
        self._more = asyncio.Event()

    def hear(self, text: str) -> None:
        self.lines.append(text)
        self.times.append(asyncio.get_running_loop().time())
        self._more.set()

    async def next(self, why: str = "") -> str:
        """Return the next line that was not read yet."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while self._read == len(self.lines):
                    self._more.clear()
                    await self._program.during(self._more.wait())
        except TimeoutError:
            raise AssertionError(f"{self.place}: nothing more was heard{why}; the last: {self.lines[-5:]}") from None
        self._read += 1
        return self.lines[self._read - 1]

    @property
    def unread(self) -> int:
        return len(self.lines) - self._read

    def rest(self) -> list[str]:
        """Return what was not read, and count it as read."""
        read, self._read = self._read, len(self.lines)
        return self.lines[read:]


class Stage:
    """See the module's head.

    Attributes:
        generations: of every live plugin, as the report lines tell; `verify` compares it with `!version`.
        talk, reports, ticks: what was heard in the channels.
        left_behind: what the case leaves behind on purpose, by what the census counts: {"threads": 1}; under
            "old" the beginning of the names of code that stays: {"old": "plugins.holds."}.
        process: the id of the process that answers, from the first answer to the last. A case that restarts it on
            purpose sets it to 0, and the next that answers is the one.
    """

    def __init__(self, folder: Path, program: Program, writer: Writer, server: Server, watched: bool) -> None:
        self.folder, self.program, self.writer, self.server = folder, program, writer, server
        self.talk, self.reports, self.ticks = (Ear(place, program) for place in (TALK, REPORTS, TICKS))
        self.generations: dict[str, int] = {}
        self.process = 0
        self._hidden = 0  # commits that a report only counted: `+2 more`
        self.tasks = list[asyncio.Task[None]]()
        self._claimed: set[int] = set()  # places of records of the log that the case expects
        self._answers: list[str] = []
        self._watched = watched
        self.left_behind: dict[str, Any] = {}
        self._counted: Counter[int] = Counter()

    async def open(self, people: dict[str, Client]) -> None:
        """Let the people in, and begin to ask."""
        self._people = people
        people["usr"].on_line = self._hear
        people["adm"].on_line = self._hear_in_private
        self.generations = dict.fromkeys(await self._plugins(), 1)
        self._answers = await self.ask(*BASE_ANSWERS)
        while (counted := await self._census())["coming"]:
            pass
        self._counted_first = counted
        self.crowd = Crowd(people["crowd"], BOT)
        self._pinger = Pinger(self.server, BOT)
        self.tasks += (self.crowd.task, self._pinger.task)

    async def restart(self, *, kill: bool, **files: str) -> None:
        """End the bot, by SIGKILL or SIGTERM, and start it again; what held so far is checked first.

        Args:
            files: plugin files, without `.py`, that are written while it is down.
        """
        await self.crowd.stop()
        await self._pinger.stop()
        self._check_counter()
        self._check_connection()
        self.counter_begins_anew()
        await (self.program.kill() if kill else self.program.stop())
        for name, text in files.items():
            await self.write(f"{name}.py", text)
        self.server.log.clear()
        self.process = 0
        await self.program.start()
        await self.program.during(self.server.wait_for(_last_join, since=0, timeout=PATIENCE_SECONDS))
        await self.open(self._people)

    def _hear(self, line: str) -> None:
        message = Message.parse(line)
        if message.command in ("PRIVMSG", "NOTICE") and message.source and message.source.nick == BOT:
            ears = {ear.place: ear for ear in (self.talk, self.reports, self.ticks)}
            ears.get(message.param(0), self.talk).hear(message.param(1))

    def _hear_in_private(self, line: str) -> None:
        if Message.parse(line).param(0) == "adm":
            self._hear(line)

    # -- what is done to the files

    async def do(self, *steps: tuple[Any, ...]) -> None:
        """Have steps of `writer.py` done at once."""
        await self.writer.do(*steps)

    async def write(self, name: str, text: str) -> None:
        """Write a plugin file in place."""
        await self.do(("write", f"plugins/{name}", text))

    def read(self, name: str) -> str:
        return (self.folder / "plugins" / name).read_text()

    def edited(self, name: str, old: str, new: str) -> str:
        """Return a plugin file with one thing changed in it."""
        text = self.read(name)
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        return text.replace(old, new)

    async def edit(self, name: str, old: str, new: str) -> None:
        """Change one thing in a plugin file, in place."""
        await self.write(name, self.edited(name, old, new))

    async def put(self, folder: str) -> None:
        """Copy the files of `edits/FOLDER` over, all at once."""
        await self.do(*(("write", f"plugins/{name}", text) for name, text in files_of(folder).items()))

    # -- what is said and heard

    async def ask(self, *questions: str) -> list[str]:
        """Say lines in the channel, in one packet, and return all that plugins (not built-in commands) answer."""
        source = ":usr!usr@home.example"
        lines = [f"{source} PRIVMSG {TALK} :{question}" for question in (*questions, "!barrier")]
        self.server.send_raw(BOT, "\r\n".join(lines))
        answers = []
        while not (answer := await self.talk.next(f" after {questions}")).startswith("barrier, process "):
            answers.append(answer)
        process = int(answer.rpartition(" ")[2])
        self.process = self.process or process
        assert process == self.process, f"another process answers: {process}, not {self.process}"
        return answers

    async def order(self, text: str, by: str = "adm", to: str = TALK) -> str:
        """Say a line with one answer, a built-in command as a rule, and return it."""
        self._people[by].privmsg(to, text)
        return await self.talk.next(f" after {text}")

    async def report(self, pattern: str) -> str:
        """The next line of the report must be this one; keep the generations that it tells."""
        line = await self.reports.next(f", not {pattern!r}")
        assert re.fullmatch(pattern, line), f"report {line!r}\nfits not {pattern!r}"
        self._note(line)
        return line

    async def refused(self, pattern: str) -> str:
        """A change is reported as refused; everybody answers as at the beginning, in the generation before it (I3)."""
        before = dict(self.generations)
        line = await self.report(pattern)
        assert self.generations == before, line
        assert await self.ask(*BASE_ANSWERS) == self._answers
        await self.check_versions()
        return line

    async def trace(self, source_line: str) -> str:
        """The log has a traceback, one more than asked for so far, that shows this line of source (I8)."""
        pattern = rf"(?s)Traceback \(most.*\n *{re.escape(source_line)}\n"
        known = sum(re.search(pattern, self.program.log[place]) is not None for place in self._claimed)
        place = (await self.program.logged(pattern, known + 1))[-1]
        self._claimed.add(place)
        return self.program.log[place]

    def _note(self, line: str) -> None:
        for name, before, after in _STEP.findall(line):
            assert (int(before), int(after)) == (self.generations[name], self.generations[name] + 1), line
            self.generations[name] = int(after)
        for name, number in _LOADED.findall(line):
            assert name not in self.generations, line
            self.generations[name] = int(number)
        for name in _UNLOADED.findall(line):
            del self.generations[name]
        for name, number in _STAYS.findall(line):
            assert self.generations[name] == int(number), line
        if " -> g" in line or " loaded g" in line:  # else it counts more of what is no commit
            self._hidden += sum(map(int, _HIDDEN.findall(line)))

    # -- what every case must hold

    async def verify(self) -> None:
        """Check the invariants, at the end of a case."""
        await self.check_process()
        await self.nothing_happens()
        await self.crowd.stop()
        await self._check_trace()
        await self.check_versions()
        await self._check_census()
        await self._pinger.stop()
        for ear in (self.talk, self.reports):
            assert (rest := ear.rest()) == [], f"the bot said in {ear.place} what the case did not expect: {rest}"
        self._check_counter()
        self._check_connection()
        await self.do()  # I7: it finds the plugin folder as it left it
        wrong = [self.program.log[place] for place in self.program.errors() if place not in self._claimed]
        assert not wrong, "errors in the log that the case did not expect:\n" + "\n".join(wrong)

    async def check_process(self) -> None:
        """The process that answered at first answers still, and the program has not ended (that fails any wait)."""
        await self.ask()

    async def nothing_happens(self) -> None:
        """Nothing more comes of what was done so far: that a file of our own is gone is told after all of it.

        A deletion is told after the grace, behind the deletions before it and what they make room for; a failure that
        still waits (50 ms) is told before any other report.
        """
        if not self._watched:
            return
        await self.do(("delete", "plugins/barrier.py"))
        await self.report("barrier unloaded")
        await self.write("barrier.py", BARRIER)
        await self.report(r"barrier loaded g\d+ .*")

    async def catch_up(self, name: str) -> None:
        """Read the reports of all commits of a plugin so far, when nobody can know how many they are."""
        answer = await self.order(f"!version {name}", "usr")
        while self.generations[name] < int(answer.split()[1].removeprefix("g")):
            await self.report(rf"{name} g\d+ -> g\d+ .*")

    async def count_anew(self) -> None:
        """Take the generations from `!version`: the reports only counted some of the plugins that went or came."""
        self.generations = {}
        for name in await self._plugins():
            answer = await self.order(f"!version {name}", "usr")
            self.generations[name] = int(answer.split()[1].removeprefix("g"))
        self._hidden = 0

    async def _plugins(self) -> list[str]:
        answer = await self.order("!plugins", "usr")
        return answer.removeprefix("plugins: ").partition(";")[0].split(", ")

    async def check_versions(self) -> None:
        """`!version` tells the generations that the reports told (I4)."""
        live = await self._plugins()
        assert sorted(live) == sorted(self.generations)
        for name in live:
            self._people["usr"].privmsg(TALK, f"!version {name}")
        answers = [await self.talk.next() for _ in live]
        told = {(words := answer.split())[0]: int(words[1].removeprefix("g")) for answer in answers}
        ahead = {name: told[name] - self.generations[name] for name in live}
        assert min(ahead.values()) >= 0 and sum(ahead.values()) == self._hidden, f"{told} but {self.generations}"

    async def _check_trace(self) -> None:
        """What fails is told in one neutral line, and the log has the source that ran (I8)."""
        (answer,) = await self.ask("!oops")
        assert re.fullmatch(r"oops failed \(error [0-9a-f]{4}\)", answer), answer
        line = next(each.strip() for each in self.read("oops.py").splitlines() if "raise" in each)
        assert answer[-5:-1] in await self.trace(line)
        said = [*self.talk.lines, *self.reports.lines, *self.ticks.lines, *self.crowd.heard]
        assert not [each for each in said if "Traceback" in each or 'File "' in each], "I8: a traceback was said"

    async def _census(self) -> dict[str, Any]:
        counted = json.loads(await self.order("!census", "usr"))
        assert isinstance(counted, dict)
        return counted

    async def _check_census(self) -> None:
        """No code of an older generation is alive (I5), and there is no more of anything than at first (I6).

        Asked until it is so: the last generation may still be ending.
        """
        more: dict[str, Any] = {"none": True}
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while more:
                    counted = await self._census()
                    more = {
                        name: counted[name]
                        for name, first in self._counted_first.items()
                        if name not in ("old", "coming") and counted[name] > first + self.left_behind.get(name, 0)
                    }
                    stays = self.left_behind.get("old")
                    if old := [name for name in counted["old"] if stays is None or not name.startswith(stays)]:
                        more["old"] = old
        except TimeoutError:
            await self.order("!inventory", "usr")
            raise AssertionError(f"I5, I6: {more} are left, at first there were {self._counted_first}") from None

    def counter_begins_anew(self) -> None:
        """Kept state was lost on purpose: `!count` told 1, 2, 3 ... up to here, and the next is 1 again."""
        self._check_counter()
        self._counted = Counter(self._counts())

    def _check_counter(self) -> None:
        """The kept counter went up by one with each question, whoever asked: none lost, none twice (I2)."""
        counts = sorted((Counter(self._counts()) - self._counted).elements())
        assert counts == list(range(1, len(counts) + 1)), f"I2: {counts}"

    def _counts(self) -> list[int]:
        said = (*self.talk.lines, *self.crowd.heard)
        return [int(each.split()[1]) for each in said if re.match(r"count \d", each)]

    def _check_connection(self) -> None:
        """One connection all along, and the bot never moved (I1)."""
        arrivals = 0
        for nick, direction, line in self.server.log:
            message = Message.parse(line)
            if direction == "out" and (message.source is None or message.source.nick != BOT):
                continue
            arrivals += message.command == "NICK" and nick == "*" and message.param(0) == BOT
            moved = message.command in ("QUIT", "PART", "NICK") and (nick == BOT or direction == "out")
            assert not moved, f"I1: {line}"
        assert arrivals <= 1, "I1: the bot came twice"
        assert self.server.crashes == []


def files_of(folder: str) -> dict[str, str]:
    """Return the files of `edits/FOLDER` by their path in it."""
    root = EDITS / folder
    found = {path.relative_to(root): path for path in sorted(root.rglob("*.py"))}
    return {str(name): path.read_text() for name, path in found.items()}


def _last_join(nick: str, direction: str, line: str) -> bool:
    return (nick, direction) == (BOT, "in") and line.startswith("JOIN ") and line.endswith(TICKS)


def config(port: int, options: dict[str, Any], timeouts: Mapping[str, float] | None = None) -> dict[str, Any]:
    """A configuration on which only file events count: the safety sweep would hide that one was missed."""
    return {
        "nick": BOT,
        "admins": [{"account": "alice"}],
        "networks": {
            "test": {
                "host": "127.0.0.1",
                "port": port,
                "tls": False,
                "flood": False,
                "channels": [TALK, REPORTS, TICKS],
            }
        },
        "plugins": {"directories": ["plugins"]},
        "reload": {"report_to": REPORTS, "sweep_seconds": 60, **options},
        "timeouts": dict(timeouts or {}),
        "state_dir": "state",
        "reserve": False,  # a start more for each case; `test_reserve.py` and `test_poison.py` are about it
        "log": {"level": "info"},
    }


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    mode: str = "single",
    before: str = "",
    more: Mapping[str, str] | None = None,
    linked: str = "",
    through: Sequence[str] = (),
    timeouts: Mapping[str, float] | None = None,
    **options: Any,
) -> AsyncIterator[Stage]:
    """Start a bot with `edits/base`, and `edits/BEFORE` over it; end it by SIGTERM.

    Args:
        mode: one of `program.MODES`.
        more: plugin files besides, by name.
        linked: the plugin folder is a symbolic link to this one.
        through: a command that runs the command it is given, the bot's.
        timeouts, options: keys of `timeouts` and `reload` in the configuration.
    """
    files = files_of("base") | {"barrier.py": BARRIER} | (files_of(before) if before else {}) | dict(more or {})
    if linked:
        (folder / linked).mkdir(parents=True)
        (folder / "plugins").symlink_to(linked)
    for name, text in files.items():
        path = folder / "plugins" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    server = Server(network="test", accounts={"alice": "secret"})
    await server.start()
    program, writer = Program(folder, config(server.port, options, timeouts), MODES[mode], through), Writer(folder)
    await asyncio.gather(program.start(), writer.start())
    people = {nick: await Client.connect("127.0.0.1", server.port, nick) for nick in ("usr", "crowd")}
    people["adm"] = await Client.connect("127.0.0.1", server.port, "adm", account="alice", password="secret")
    stage = Stage(folder, program, writer, server, options.get("watch", True))
    try:
        for channel in (TALK, REPORTS, TICKS):
            people["usr"].send(f"JOIN {channel}")
        people["adm"].send(f"JOIN {TALK}")
        people["usr"].on_line = stage._hear  # a start's reports come as soon as the bot is in
        await program.during(server.wait_for(_last_join, since=0, timeout=PATIENCE_SECONDS))
        await stage.open(people)
        yield stage
    finally:
        for task in stage.tasks:
            await end(task)
        await writer.stop()
        code = await program.stop()
        for client in people.values():
            await client.close()
        await server.stop()
    assert code == 0, f"SIGTERM gave exit code {code}"
