"""A worker that is killed at the worst moments, and C13 of the reliability catalogue: real processes, with TLS, too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from program import MODES, PATIENCE_SECONDS, Program

from bot.protocol.message import Message
from bot.server import Client, Server
from bot.wire.bare import bare

BOT, TALK = "neverquit", "#t"
CERTIFICATES = Path(__file__).parents[1] / "certificates"

MORTAL = '''"""Each command ends its own worker at some moment, the first time that it comes there."""

import asyncio
import os
import signal
from pathlib import Path

from bot import command, job, store

points, names = store("points"), store("names")


def die(where):
    mark = Path(where)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)


@command("wrote")
async def wrote(ctx):
    """Between the write and the reply."""
    count = points.add("wrote")
    die("wrote")
    return f"wrote {count}"


@command("plain")
def plain(ctx):
    """The same off the loop."""
    count = points.add("plain")
    die("plain")
    return f"plain {count}"


@command("said")
async def said(ctx):
    """Between the reply and the end of the line, and once more."""
    await ctx.say(f"said {points.add('said')}")
    await asyncio.sleep(0.05)
    die("said")
    await ctx.say(f"said {points.add('said')}")
    await asyncio.sleep(0.05)
    die("said again")


@command("three")
async def three(ctx):
    """In the middle of three writes to two stores."""
    count = points.add("three")
    with names.edit("all", list) as all:
        all.append(count)
    die("three")
    names["last"] = f"three {count}"
    return f"{names['last']} of {list(names['all'])}"


@command("remind")
async def remind(ctx):
    """Between the storing of a job and the reply."""
    ctx.schedule(0.2, due)
    die("remind")
    return "stored"


@job
async def due(ctx):
    """In the middle of a job."""
    await ctx.say(f"due {points.add('due')}")
    await asyncio.sleep(0.05)
    die("due")
    await ctx.say("and done")


@command("pid")
async def pid(ctx):
    """Tell the process."""
    return f"pid {os.getpid()}"


@command("members")
async def members(ctx):
    """Tell who is here, as the roster knows."""
    return f"members {' '.join(sorted(ctx.network.roster.channel(ctx.channel).members))}"
'''

GATED = '''"""Its setup waits at a pipe."""

import asyncio
from pathlib import Path

from bot import command, setup


@setup
async def wait(ctx):
    await asyncio.to_thread(Path("gate").read_bytes)


@command("hello")
async def hello(ctx):
    return "hello 2"
'''

HELLO = GATED[: GATED.index("@setup")] + GATED[GATED.index("@command") :].replace("hello 2", "hello 1")


class Scene:
    """A bot, its server, and who speaks with it."""

    def __init__(self, folder: Path, program: Program, server: Server, usr: Client) -> None:
        self.folder, self.program, self.server, self.usr = folder, program, server, usr
        self.heard: asyncio.Queue[str] = asyncio.Queue()
        usr.on_line = self._hear

    def _hear(self, line: str) -> None:
        message = Message.parse(line)
        if message.command == "PRIVMSG" and message.source and message.source.nick == BOT:
            self.heard.put_nowait(message.param(1))

    async def joined(self, since: int = 0) -> None:
        def joins(nick: str, direction: str, line: str) -> bool:
            return (nick, direction) == (BOT, "in") and line.startswith("JOIN ") and line.endswith(TALK)

        await self.program.during(self.server.wait_for(joins, since=since, timeout=PATIENCE_SECONDS))

    async def next(self) -> str:
        return await asyncio.wait_for(self.program.during(self.heard.get()), PATIENCE_SECONDS)

    async def ask(self, text: str) -> str:
        self.usr.privmsg(TALK, text)
        return await self.next()

    async def worker(self) -> int:
        return int((await self.ask("!pid")).split()[1])

    def connections(self) -> int:
        return sum(line == f"NICK {BOT}" for _, direction, line in self.server.log if direction == "in")

    async def quiet(self) -> None:
        """Nothing more is said than what was read."""
        await self.worker()
        assert self.heard.empty()


@contextlib.asynccontextmanager
async def scene(folder: Path, mode: str, *, tls: bool = False, **files: str) -> AsyncIterator[Scene]:
    (folder / "plugins").mkdir()
    for name, text in {"mortal": MORTAL, **files}.items():
        (folder / "plugins" / f"{name}.py").write_text(text)
    theirs = ours = None
    if tls:
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(CERTIFICATES / "server.pem")
        ours = ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))
    server = Server(network="test", tls=theirs)
    await server.start()
    network: dict[str, Any] = {"host": "localhost", "port": server.port, "flood": False, "channels": [TALK]}
    network["tls"] = {"ca_file": str(CERTIFICATES / "authority.pem")} if tls else False
    network["reconnect"] = {"minimum_seconds": 1, "maximum_seconds": 2}
    settings = {
        "nick": BOT,
        "networks": {"test": network},
        "plugins": {"directories": ["plugins"]},
        "state_dir": "state",
    }
    program = Program(folder, settings, MODES[mode])
    usr = await Client.connect("localhost", server.port, "usr", tls=ours)
    usr.send(f"JOIN {TALK}")
    await usr.expect(" 366 ")
    await program.start()
    one = Scene(folder, program, server, usr)
    try:
        await one.joined()
        yield one
    except BaseException:
        print(json.dumps(program.log[-40:], indent=1))
        raise
    finally:
        code = await program.stop()
        await usr.close()
        await server.stop()
    assert code == 0


@pytest.fixture(params=["plain", "tls"])
async def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    async with scene(tmp_path, "two", tls=request.param == "tls") as one:
        yield one
        await one.quiet()
        assert one.connections() == 1 and not [
            line for nick, _, line in one.server.log if nick == BOT and line.startswith("QUIT")
        ]


async def test_a_worker_killed_at_the_worst_moment_of_a_call_is_not_noticed(mortal: Scene) -> None:
    first = await mortal.worker()
    assert await mortal.ask("!wrote") == "wrote 1"
    assert await mortal.worker() != first
    assert await mortal.ask("!plain") == "plain 1"
    assert [await mortal.ask("!said"), await mortal.next()] == ["said 1", "said 2"]
    assert await mortal.ask("!three") == "three 1 of [1]"
    assert [await mortal.ask(f"!{word}") for word in ("wrote", "plain", "three")] == [
        "wrote 2",
        "plain 2",
        "three 2 of [1, 2]",
    ]


async def test_a_job_is_stored_once_and_runs_once_whenever_the_worker_is_killed(mortal: Scene) -> None:
    assert await mortal.ask("!remind") == "stored"
    assert [await mortal.next(), await mortal.next()] == ["due 1", "and done"]


async def test_who_came_and_went_without_a_worker_is_known(mortal: Scene) -> None:
    assert await mortal.ask("!members") == f"members {BOT} usr"
    tls = mortal.server.tls and ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))
    guest = await Client.connect("localhost", mortal.server.port, "guest", tls=tls or None)
    await mortal.server.wait_for(lambda nick, _, line: nick == BOT and " 315 " in line, since=0)  # end of WHO
    assert await mortal.ask("!members") == f"members {BOT} usr"  # it has read that
    questions = [line for nick, direction, line in mortal.server.log if (nick, direction) == (BOT, "in")]
    os.kill(await mortal.worker(), signal.SIGKILL)
    guest.send(f"JOIN {TALK}")
    await guest.expect(" 366 ")
    assert await mortal.ask("!members") == f"members guest {BOT} usr"
    asked = [line for nick, direction, line in mortal.server.log if (nick, direction) == (BOT, "in")]
    more = [bare(line.encode()).decode().split()[0] for line in asked[len(questions) :]]
    assert set(more) <= {"PRIVMSG", "PONG"}, "it asked the server again"
    await guest.close()


async def test_lines_that_come_while_there_is_no_worker_are_answered_in_order(mortal: Scene) -> None:
    os.kill(await mortal.worker(), signal.SIGKILL)
    for _ in range(20):
        mortal.usr.privmsg(TALK, "!wrote")
    (mortal.folder / "wrote").touch()
    assert [await mortal.next() for _ in range(20)] == [f"wrote {number}" for number in range(1, 21)]


# -- C13


class Gate:
    """Where the `setup` of GATED waits."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gate"
        os.mkfifo(self._path)

    async def reached(self) -> None:
        self._end = await asyncio.to_thread(os.open, self._path, os.O_WRONLY)

    def open(self) -> None:
        os.close(self._end)


@pytest.fixture(params=[("single", True), ("two", False), ("two", True)], ids=["single-tls", "two", "two-tls"])
async def reloading(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Scene]:
    mode, tls = request.param
    async with scene(tmp_path, mode, tls=tls, hello=HELLO) as one:
        yield one


async def test_c13_the_connection_is_lost_while_a_reload_is_under_way(reloading: Scene) -> None:
    gate = Gate(reloading.folder)
    assert await reloading.ask("!hello") == "hello 1"
    (reloading.folder / "plugins" / "hello.py").write_text(GATED)
    await gate.reached()
    since = reloading.server.mark()
    reloading.server.kill(BOT)
    await reloading.joined(since)
    assert await reloading.ask("!hello") == "hello 1", "the reload is still under way"
    gate.open()
    await reloading.program.logged(r"hello g1 -> g2")
    assert await reloading.ask("!hello") == "hello 2"


async def test_c13_a_file_is_saved_while_the_connection_is_lost(reloading: Scene) -> None:
    since = reloading.server.mark()
    reloading.server.kill(BOT)
    (reloading.folder / "plugins" / "hello.py").write_text(HELLO.replace("hello 1", "hello 2"))
    await reloading.program.logged(r"hello g1 -> g2")
    await reloading.joined(since)
    assert await reloading.ask("!hello") == "hello 2"
