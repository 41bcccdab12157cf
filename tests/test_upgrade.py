"""bot/handover.py, bot/standby.py and bot/wire/upgrade.py: one worker takes another's place, in real processes.

The bot runs from a copy of the package in a temporary folder, which the tests change under it; the server and the
people on it are in the test's own process.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import pytest_asyncio

import bot
from bot.server import Server

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="two processes need a Unix"),
]

PACKAGE = Path(bot.__file__).parent
ADMIN, USER = "boss!b@staff.test", "usr!u@home.test"
COUNT = """
import dataclasses, os
from bot import command, keep, store, setup, start, teardown, job, every
seen = keep("seen", list)
total = store("total")

@dataclasses.dataclass
class Town:
    name: str

towns = keep("towns", dict)

@command("count")
async def count(ctx, text: str):
    seen.append(text)
    total.add("n", 1)
    return f"{text} is {len(seen)} of {total['n']}"

@command("town")
async def town(ctx):
    towns["x"] = Town("Paris")
    return "kept"

@command("pid")
async def pid(ctx):
    return f"pid {os.getpid()}"
"""


class Program:
    """A bot in two processes, and the server it is on."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        self.code, self.plugins, self.state = folder / "code", folder / "plugins", folder / "state"
        self.config = folder / "config.yaml"
        shutil.copytree(PACKAGE, self.code / "bot")  # with its bytecode
        self.plugins.mkdir()
        self.log = folder / "log"

    def configure(self, **changes: object) -> None:
        network = {"host": "127.0.0.1", "port": self.server.port, "tls": False, "flood": False, "channels": ["#t"]}
        config = {
            "networks": {"t": network},
            "admins": [{"hostmask": ADMIN}],
            "plugins": {"directories": [str(self.plugins)]},
            "state_dir": str(self.state),
            "log": {"level": "debug"},
            "reserve": False,  # a second worker for each costs more than the tests
        }
        self.config.write_text(json.dumps(config | changes))
        self.config.chmod(0o600)

    async def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bot", "run", "--config", str(self.config)),
                cwd=self.folder,
                env=environment | {"PYTHONPATH": str(self.code)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await self.server.wait_for(lambda nick, way, line: way == "in" and "JOIN #t" in line, timeout=30)
        await self.heard("!version", like="neverquit .*")

    async def stop(self) -> int:
        if self.process.returncode is None:
            self.process.terminate()
        try:
            return await asyncio.wait_for(self.process.wait(), 20)
        except TimeoutError:
            self.process.kill()
            raise

    def told(self) -> str:
        return self.log.read_text(errors="replace")[-6000:]

    # -- what is said

    def say(self, text: str, source: str = USER) -> None:
        self.server.send_raw("neverquit", f":{source} PRIVMSG #t :{text}")

    async def line(self, like: str, since: int, within: float = 40) -> str:
        """The first line that the bot says in the channel and that matches."""
        pattern = re.compile(rf"PRIVMSG #t :?({like})")
        try:
            found = await self.server.wait_for(
                lambda nick, way, line: nick == "neverquit" and way == "in" and bool(pattern.search(line)),
                since=since,
                timeout=within,
            )
        except Exception as error:
            raise AssertionError(f"nothing like {like!r} was said\n{self.told()}") from error
        text = getattr(found, "line", found)
        match = pattern.search(str(text))
        assert match is not None
        return match[1]

    async def heard(self, text: str, *, like: str = ".*", source: str = USER) -> str:
        """Say something, and return what the bot says after it."""
        since = self.server.mark()
        self.say(text, source)
        return await self.line(like, since)

    def answers(self) -> list[str]:
        """All that the bot has said in the channel."""
        found = [each.line for each in self.server.log if each.nick == "neverquit" and each.direction == "in"]
        return [line.partition("PRIVMSG #t :")[2] for line in found if "PRIVMSG #t :" in line]

    def verbs(self) -> list[str]:
        found = [each.line for each in self.server.log if each.nick == "neverquit" and each.direction == "in"]
        return [line.split(" ")[0] for line in found]

    # -- what is done

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something outside of this process."""
        async with asyncio.timeout(40):
            while not condition():  # noqa: ASYNC110  # nobody tells of it
                await asyncio.sleep(0.05)

    async def load(self, name: str, source: str) -> None:
        (self.plugins / f"{name}.py").write_text(source)
        await self.heard(f"!reload {name}", like=rf"{name} (?:loaded )?g.*", source=ADMIN)

    async def ctl(self, *words: str) -> tuple[list[str], list[str]]:
        """As `neverquit ctl`: what went well, and what did not."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "ctl", *words, "--config", str(self.config)),
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(PACKAGE.parent)},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 90)
        return out.decode().splitlines(), err.decode().splitlines()

    async def worker(self) -> int:
        return int((await self.heard("!pid", like=r"pid \d+"))[4:])

    def children(self) -> list[int]:
        """The workers that serve or are about to: children of the keeper, but for one in reserve."""
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split() if "--reserve" not in self.command_of(int(pid))]

    def alive(self, pid: int) -> bool:
        return Path(f"/proc/{pid}").exists()

    def command_of(self, pid: int) -> list[str]:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")

    async def edit(self, file: str, old: str, new: str) -> None:
        path = self.code / "bot" / file
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))


@pytest_asyncio.fixture
async def program(tmp_path: Path) -> AsyncIterator[Program]:
    server = Server()
    await server.start()
    program = Program(tmp_path, server)
    program.configure()
    (program.plugins / "count.py").write_text(COUNT)
    await program.start()
    yield program
    with contextlib.suppress(ProcessLookupError):
        assert await program.stop() == 0, program.told()
    await server.stop()


async def test_the_code_on_disk_takes_over_without_a_word_to_the_network(program: Program) -> None:
    """A changed built-in command answers; nobody has seen a QUIT or JOIN; kept and stored values go on."""
    await program.edit("__init__.py", '__version__ = "', '__version__ = "9.9.9+')
    await program.edit("chat.py", '"there is nothing more to tell"', '"that was all, says the new one"')
    before = await program.worker()
    assert await program.heard("!count a", like="a is .*") == "a is 1 of 1"
    since, verbs = program.server.mark(), program.verbs()
    assert (await program.heard("!restart", source=ADMIN)).startswith("restarting: ")
    text = await program.line("restarted: .*", since)
    version = re.escape(bot.__version__)
    assert re.fullmatch(
        rf"restarted: neverquit {version} -> 9\.9\.9\+{version}, pause \d\.\d s, state of 1 plugin handed over", text
    )
    assert await program.heard("!more") == "that was all, says the new one"
    assert await program.heard("!count b", like="b is .*") == "b is 2 of 2"
    assert await program.worker() != before
    new = program.verbs()[len(verbs) :]
    assert "QUIT" not in new and "JOIN" not in new and "NICK" not in new, program.told()


async def test_every_command_under_load_is_answered_once_and_in_order(program: Program) -> None:
    since, count = program.server.mark(), 0
    program.say("!restart", ADMIN)
    task = asyncio.create_task(program.line("restarted: .*", since))
    while not task.done():
        count += 1
        program.say(f"!count n{count}")
        await asyncio.sleep(0.005)
    await task
    await program.line(f"n{count} is .*", since)
    told = [answer for answer in program.answers() if re.match(r"n\d+ is ", answer)]
    assert told == [f"n{number} is {number} of {number}" for number in range(1, count + 1)], program.told()


async def test_ctl_restart_waits_for_what_came_of_it(program: Program) -> None:
    before = await program.worker()
    out, err = await program.ctl("restart")
    assert err == [] and len(out) == 1 and out[0].startswith("restarted: neverquit "), program.told()
    assert await program.worker() != before


# --- a successor that fails: the asker is told why, and the one that runs goes on


async def stays(program: Program, why: str) -> None:
    """Ask for a restart that must fail, and see that nothing has changed."""
    before = await program.worker()
    since = program.server.mark()
    program.say("!restart", ADMIN)
    text = await program.line("not restarted.*|restarted: .*", since)
    assert re.fullmatch(f"not restarted, everything goes on as it was: {why}", text), (text, program.told())
    assert await program.worker() == before
    out, err = await program.ctl("restart")  # and once more: nothing is under way any more
    assert out == [] and len(err) == 1 and re.search(why, err[0])
    assert program.children() == [before]


async def test_code_that_does_not_even_compile(program: Program) -> None:
    await program.edit("worker.py", "class Worker:", "class Worker")
    await stays(program, "it ended with exit code 1 while it started; the log says more")


async def test_code_that_raises_when_it_is_imported(program: Program) -> None:
    await program.edit("app.py", "class App(", "raise RuntimeError('not like this')\nclass App(")
    await stays(program, "RuntimeError: not like this")


async def test_a_successor_that_is_killed(program: Program) -> None:
    await program.edit("app.py", "class App(", "import os\nos.kill(os.getpid(), 9)\nclass App(")
    await stays(program, r"it was ended by signal 9 \(SIGKILL\) while it started; the log says more")


async def test_a_successor_that_hangs(program: Program) -> None:
    """The keeper's patience is cut short for this test: that part of it is not what a restart replaces."""
    await program.stop()
    await program.edit("wire/upgrade.py", "PREPARE_SECONDS = 120.0", "PREPARE_SECONDS = 1.5")
    await program.start()
    await program.edit("app.py", "class App(", "import time\ntime.sleep(600)\nclass App(")
    await stays(program, "it was not ready within 1.5 s")


async def test_a_bad_configuration(program: Program) -> None:
    program.configure(nick=7)
    await stays(program, r".*config\.yaml:\d+:\d+: nick: .*")


async def test_another_state_dir(program: Program) -> None:
    """The keeper holds the lock of the one that is in use."""
    program.configure(state_dir=str(program.folder / "elsewhere"))
    before = await program.worker()
    since = program.server.mark()
    program.say("!restart", ADMIN)
    assert "state_dir has another place now" in await program.line("not restarted.*", since)
    assert await program.worker() == before


async def test_a_plugin_that_is_live_and_would_not_load(program: Program) -> None:
    await program.edit("__init__.py", '    "teardown": "bot.api.declare",\n', "")
    await stays(
        program, r"a plugin that is live would not load: count: count\.py:3: ImportError: .*; mend or unload it"
    )


async def test_an_interpreter_that_is_not_there(program: Program) -> None:
    before = await program.worker()
    out, err = await program.ctl("restart", "--python", "/nowhere/python")
    assert out == [] and "it can't be started: No such file or directory" in err[0]
    assert await program.worker() == before


async def test_another_interpreter(program: Program) -> None:
    """It finds the bot among its own packages; the workers after it are of the same one."""
    (program.code / "python").symlink_to(sys.executable)
    if not (Path(sys.prefix) / "pyvenv.cfg").exists():
        pytest.skip("no virtual environment to link into")
    shutil.copy(Path(sys.prefix) / "pyvenv.cfg", program.folder)
    (program.folder / "bin").mkdir()
    python = program.folder / "bin" / "python"
    python.symlink_to(sys.executable)
    (program.folder / "lib").symlink_to(Path(sys.prefix) / "lib")
    out, err = await program.ctl("restart", "--python", str(python))
    assert err == [] and out[0].startswith("restarted: "), program.told()
    pid = await program.worker()
    assert program.command_of(pid)[0] == str(python)


async def test_settings_never_get_into_classes_of_other_code(program: Program) -> None:
    """The code was updated: a worker of before reads no file any more, one that comes later reads it again."""
    before = await program.worker()
    old, new = "silence_seconds: float", 'new_seconds: float = option(9.0, "New.")'
    await program.edit("config.py", old, f"{new}\n    {old}")
    os.kill(program.process.pid, signal.SIGHUP)
    await program.until(lambda: "the bot's own code has changed on disk" in program.told())
    os.kill(before, signal.SIGKILL)
    assert await program.worker() != before
    assert f"other code has read the settings; {program.config} is read again" in program.told()
    os.kill(program.process.pid, signal.SIGHUP)
    await program.until(lambda: "configuration read again" in program.told())


# --- things that happen at a bad time


async def test_two_that_ask_at_once(program: Program) -> None:
    """The second hears of the first, who asked; one restart is made."""
    since = program.server.mark()
    program.say("!restart", ADMIN)
    program.say("!restart", ADMIN)
    assert "a restart is under way already, asked for by boss" in await program.line("a restart is.*", since)
    await program.line("restarted: .*", since)
    await program.worker()
    assert len([each for each in program.answers() if each.startswith("restarted: ")]) == 1


async def test_somebody_who_is_no_admin(program: Program) -> None:
    before = await program.worker()
    assert await program.heard("!restart") == "restart: admins only"
    assert await program.worker() == before


FATAL = """
import os
from bot import {hook}
@{hook}
def fatal(ctx):
    if os.path.exists({flag!r}):
        os.remove({flag!r})
        {deed}
"""


async def test_the_worker_that_leaves_dies_before_it_has_handed_over(program: Program) -> None:
    """The successor goes on from the checkpoint, without the kept values; the network sees nothing of it."""
    now = program.folder / "now"
    await program.load("last", FATAL.format(hook="teardown", flag=str(now), deed="os.kill(os.getpid(), 9)"))
    now.touch()
    verbs = len(program.verbs())
    before = await program.worker()
    program.say("!restart", ADMIN)
    await program.line("restarting.*", 0)
    await program.until(lambda: before not in program.children())
    assert await program.heard("!count a", like="a is .*") == "a is 1 of 1"
    assert not {"QUIT", "JOIN", "NICK"} & set(program.verbs()[verbs:])
    await program.until(lambda: "ended without handing its kept values over" in program.told())


async def test_the_successor_dies_while_it_takes_over(program: Program) -> None:
    """Another worker comes and has what was handed over."""
    await program.heard("!count a", like="a is .*")
    once = program.folder / "once"
    await program.load("first", FATAL.format(hook="start", flag=str(once), deed="os._exit(3)"))
    once.touch()
    verbs, since = len(program.verbs()), program.server.mark()
    program.say("!restart", ADMIN)
    program.say("!count b")
    assert "state of 1 plugin handed over" in await program.line("restarted: .*", since)
    assert not once.exists()
    assert await program.heard("!count c", like="c is .*") == "c is 3 of 3"
    assert "b is 2 of 2" in program.answers()
    assert not {"QUIT", "JOIN", "NICK"} & set(program.verbs()[verbs:])


SLOW = """
import asyncio
from pathlib import Path
from bot import command
@command("slow")
async def slow(ctx):
    await ctx.say("it begins")
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    return "it ends"
"""


async def test_a_long_call_ends_before_the_worker_leaves_and_others_are_served_meanwhile(program: Program) -> None:
    await program.load("slow", SLOW)
    since = program.server.mark()
    assert await program.heard("!slow", like="it begins") == "it begins"
    program.say("!restart", ADMIN)
    await program.until(lambda: "ready to take over" in program.told())
    assert await program.heard("!count a", like="a is .*") == "a is 1 of 1"
    assert "it ends" not in program.answers()
    (program.folder / "go").touch()
    await program.line("restarted: .*", since)
    assert program.answers().count("it begins") == program.answers().count("it ends") == 1


async def test_a_call_that_does_not_end_is_made_again_by_the_next_worker(program: Program) -> None:
    await program.stop()
    program.configure(timeouts={"grace_seconds": 0.5})
    (program.plugins / "slow.py").write_text(SLOW)
    await program.start()
    since = program.server.mark()
    await program.heard("!slow", like="it begins")
    program.say("!restart", ADMIN)
    await program.line("restarted: .*", since)
    assert "it ends" not in program.answers()
    (program.folder / "go").touch()
    await program.line("it ends", since)
    assert program.answers().count("it begins") == program.answers().count("it ends") == 1
    assert not any("cut short" in answer for answer in program.answers())


async def test_a_successor_that_dies_while_it_waits_for_its_turn(program: Program) -> None:
    await program.load("slow", SLOW)
    before, since = await program.worker(), program.server.mark()
    await program.heard("!slow", like="it begins")
    program.say("!restart", ADMIN)
    await program.until(lambda: "ready to take over" in program.told())
    (successor,) = set(program.children()) - {before}
    os.kill(successor, signal.SIGKILL)
    told = await program.line("not restarted.*", since)
    assert told.endswith("it was ended by signal 9 (SIGKILL) before it took over")
    (program.folder / "go").touch()
    await program.line("it ends", since)
    assert await program.worker() == before


async def test_a_bot_that_is_told_to_end_meanwhile(program: Program) -> None:
    since = program.server.mark()
    program.say("!restart", ADMIN)
    await program.line("restarting.*", since)
    await program.until(lambda: len(program.children()) == 2)
    children = program.children()
    assert await program.stop() == 0
    assert not any(program.alive(pid) for pid in children)


# --- what goes on, and what does not


async def test_a_value_of_a_class_of_the_plugin_is_left_behind_and_named(program: Program) -> None:
    await program.heard("!town", like="kept")
    since = program.server.mark()
    program.say("!restart", ADMIN)
    text = await program.line("restarted: .*", since)
    assert text.endswith("handed over; not handed over: count keeps towns, which holds an object of the class Town")


async def test_what_was_unloaded_stays_so_and_generations_go_on(program: Program) -> None:
    await program.load("other", SLOW.replace("slow", "other"))
    await program.heard("!unload other", like="other unloaded.*", source=ADMIN)
    assert (await program.heard("!version count")).startswith("count g1 ")
    since = program.server.mark()
    program.say("!restart", ADMIN)
    await program.line("restarted: .*", since)
    assert await program.heard("!plugins") == "plugins: count; off: other"
    assert (await program.heard("!version count")).startswith("count g2 ")


PORT = """
import asyncio
from bot import start
@start
async def listen(ctx):
    async def hello(reader, writer):
        writer.close()
    ctx.enter(await asyncio.start_server(hello, "127.0.0.1", {}))
"""


async def test_what_can_exist_only_once_is_let_go_of_before_it_is_opened_again(program: Program) -> None:
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await program.load("port", PORT.format(port))
    since = program.server.mark()
    program.say("!restart", ADMIN)
    await program.line("restarted: .*", since)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    assert await program.heard("!plugins") == "plugins: count, port"


async def test_a_network_that_the_new_configuration_has_not_is_left(program: Program) -> None:
    other = Server()
    await other.start()
    place = {"host": "127.0.0.1", "tls": False, "flood": False, "channels": ["#t"]}
    here = place | {"port": program.server.port}
    program.configure(networks={"t": here, "other": place | {"port": other.port}}, admins=[])
    await program.ctl("restart")
    await other.wait_for(lambda nick, way, line: way == "in" and "JOIN #t" in line, since=0, timeout=30)
    mark = other.mark()
    program.configure(networks={"t": here})
    assert (await program.ctl("restart"))[1] == []
    await other.wait_for(lambda nick, way, line: way == "in" and line.startswith("QUIT"), since=mark, timeout=20)
    assert await program.heard("!count a", like="a is .*") == "a is 1 of 1"
    await other.stop()


async def test_one_restart_after_the_other(program: Program) -> None:
    """Each is told of by the worker that it brought, and what is kept goes through all of them."""
    pids = {await program.worker()}
    for number in range(1, 4):
        assert await program.heard(f"!count a{number}", like=f"a{number} is .*") == f"a{number} is {number} of {number}"
        out, err = await program.ctl("restart")
        assert err == [] and "state of 1 plugin handed over" in out[0]
        pids.add(await program.worker())
    assert len(pids) == 4 and len(program.children()) == 1
