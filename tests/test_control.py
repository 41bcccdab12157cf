"""bot/control.py: the bot's end of `neverquit ctl`, and the lock on its state."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from bot import __version__, control
from bot.chat import NO_KEEPER
from bot.control import LOCK, MOST_CLIENTS, Control, alone
from bot.ctl import MOST_BYTES, SOCKET, ask
from bot.errors import NeverquitError
from bot.testing import Bot

ROOT = Path(__file__).parents[1]
HELLO = """
from bot import command
@command("{0}")
async def {0}(ctx):
    return "{1}"
"""


class Door:
    """A control of a running bot, and clients of it."""

    def __init__(self, bot: Bot, folder: Path) -> None:
        self.bot, self.folder = bot, folder
        self.control = Control(bot.app, folder)

    async def ask(self, do: str, *names: str) -> tuple[list[str], list[str]]:
        return await asyncio.to_thread(ask, self.folder, do, *names)

    async def raw(self, line: bytes) -> Any:
        """Send bytes, and return the first answer that is no sign of life."""
        reader, writer = await asyncio.open_unix_connection(self.folder / SOCKET)
        try:
            writer.write(line)
            while (answer := await asyncio.wait_for(reader.readline(), 20)) == b"\n":
                pass
            return json.loads(answer) if answer else None
        except ConnectionResetError:
            return None
        finally:
            writer.close()


@pytest_asyncio.fixture
async def door(bot: Bot, tmp_path: Path) -> AsyncIterator[Door]:
    door = Door(bot, tmp_path)
    await door.control.start()
    yield door
    await door.control.stop()


# --- what can be asked for


async def test_a_reload_is_answered_with_the_report_line_when_it_is_done(door: Door) -> None:
    await door.bot.write("hello", HELLO.format("hello", "one"))
    (door.bot.plugins / "hello.py").write_text(HELLO.format("hello", "two"))
    (line,), err = await door.ask("reload", "hello")
    assert re.fullmatch(r"hello g1 -> g2 \(\w{7} -> \w{7}\): ~hello, \d+ ms", line) and err == []
    assert "two" in await door.bot.say("!hello")


async def test_its_report_goes_to_the_channel_too_and_its_cause_names_the_user(door: Door) -> None:
    causes: list[str] = []
    await door.bot.write("hello", HELLO.format("hello", "one"))
    door.bot.app.reloader.on_commit.append(lambda commit: causes.append(commit.cause))
    heard = await door.bot.heard(door.ask("reload", "hello"))
    assert [line.partition(" (")[0] for line in heard] == ["hello g1 -> g2"]
    (cause,) = causes
    assert cause.startswith(f"ctl by uid {os.geteuid()}")


async def test_what_failed_is_told_apart_and_completely(door: Door) -> None:
    for number in range(6):
        await door.bot.write(f"p{number}", HELLO.format(f"p{number}", "one"))
    (door.bot.plugins / "p3.py").write_text("x = (\n")
    for name in ("", "all"):
        out, err = await door.ask("reload", name)
        assert [line.split()[0] for line in out] == ["p0", "p1", "p2", "p4", "p5"]
        assert err == ["p3 stays g1: p3.py:1: SyntaxError: '(' was never closed; the old version goes on answering"]


async def test_nothing_that_a_terminal_obeys_is_in_an_answer(door: Door) -> None:
    (door.bot.plugins / "hello.py").write_text("raise ValueError('\\x1b[2J')\n")
    out, (why,) = await door.ask("load", "hello")
    assert out == [] and "ValueError: \\x1b[2J" in why


async def test_reloading_all_of_nothing_is_no_failure(door: Door) -> None:
    assert await door.ask("reload") == (["there is no plugin to reload"], [])


async def test_unload_and_load(door: Door) -> None:
    await door.bot.write("hello", HELLO.format("hello", "one"))
    assert await door.ask("unload", "hello") == (["hello unloaded"], [])
    assert await door.ask("unload", "hello") == ([], ["hello is not loaded"])
    out, err = await door.ask("reload", "hello")
    assert out == [] and err[0].startswith("hello: nothing to reload; it is off")
    (line,), err = await door.ask("load", "hello")
    assert line.startswith("hello loaded g2 ") and err == []


async def test_what_is_disabled_is_not_loaded_behind_the_back_of_who_disabled_it(door: Door) -> None:
    await door.bot.write("hello", HELLO.format("hello", "one"))
    await door.bot.say("!disable hello")
    out, err = await door.ask("load", "hello")
    assert out == [] and err[0].startswith("hello is disabled; !enable hello loads it")


@pytest.mark.parametrize("do", ["reload", "load", "unload"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("helo", "no such plugin: helo; did you mean hello?"),
        ("../../etc/passwd", "no such plugin: ../../etc/passwd"),
        ("x" * 100, f"no such plugin: {'x' * 64}"),
        ("\x1b[2J", "no such plugin: \\x1b[2J"),
    ],
)
async def test_an_unknown_plugin_is_told_with_the_nearest(door: Door, do: str, name: str, said: str) -> None:
    await door.bot.write("hello", HELLO.format("hello", "one"))
    assert await door.ask(do, name) == ([], [said])


async def test_rollback_goes_back_to_a_version_and_pins_it(door: Door) -> None:
    for text in ("one", "two"):
        await door.bot.write("hello", HELLO.format("hello", text))
    out, err = await door.ask("rollback", "hello")
    assert err == [] and any(line.startswith("hello g2 -> g3 ") for line in out)
    assert "one" in await door.bot.say("!hello")
    (line,), _ = await door.ask("plugins")
    assert line.startswith("hello g3 ") and line.endswith(", pinned until its file changes")
    assert (await door.ask("rollback", "hello", "9"))[1][0] == "hello: there is no good version to go back to"
    assert await door.ask("rollback", "helo") == ([], ["no such plugin: helo; did you mean hello?"])
    await door.ask("unload", "hello")
    assert await door.ask("rollback", "hello") == ([], ["hello is off; load it, or !enable hello, first"])


async def test_plugins_lists_generations_and_what_is_off(door: Door) -> None:
    await door.bot.write("hello", HELLO.format("hello", "one"))
    await door.bot.write("other", HELLO.format("other", "one"))
    await door.ask("unload", "other")
    (hello, other), err = await door.ask("plugins")
    assert re.fullmatch(r"hello g1 \w{7}, age \d+ s, 0 in flight", hello) and other == "other off" and err == []


async def test_status_tells_of_networks_queues_and_plugins(door: Door) -> None:
    await door.bot.write("hello", HELLO.format("hello", "one"))
    (head, network, lines, plugins), err = await door.ask("status")
    assert re.fullmatch(rf"neverquit {re.escape(__version__)}, process {os.getpid()}, up \d+ s", head) and err == []
    assert re.fullmatch(r"demo: up as neverquit, 1 of 1 channels, connected for \d+ s", network)
    assert re.fullmatch(r"lines to send: \d+, in work: \d+, lost: 0", lines)
    assert plugins == "plugins: 1 live, 0 off, 0 failed, 1 commits"


async def test_plugins_and_status_tell_what_failed(door: Door) -> None:
    await door.bot.write("hello", HELLO.format("hello", "one"))
    for name in ("hello", "other"):
        await door.bot.write(name, "def (")
    (hello, other), _ = await door.ask("plugins")
    assert hello.endswith(", the file can't be loaded") and other == "other failed"
    assert (await door.ask("status"))[0][-1] == "plugins: 1 live, 0 off, 2 failed, 1 commits"


async def test_restart_in_one_process_says_how_it_is_done_by_hand(door: Door) -> None:
    out, (why,) = await door.ask("restart")
    assert out == [] and why == f"{NO_KEEPER}" and "end it (SIGTERM) and run it again" in why


async def test_who_took_over_from_none_has_nothing_to_tell(door: Door) -> None:
    out, (why,) = await door.ask("restarted")
    assert out == [] and "another has begun" in why


# --- who asks, and how


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"status\n",
        b"[]\n",
        b"5\n",
        b'{"do": 5}\n',
        b'{"do": "reload", "name": []}\n',
        b"[" * 4000 + b"\n",
        b"\xff\n",
    ],
)
async def test_nonsense_is_answered_and_does_no_harm(door: Door, line: bytes) -> None:
    answer = await door.raw(line)
    assert answer["out"] == [] and answer["err"][0].startswith("that is no request")
    assert (await door.ask("status"))[1] == []


async def test_what_it_does_not_know_is_answered_with_what_it_knows(door: Door) -> None:
    answer = await door.raw(b'{"do": "fly\\u001b"}\n')
    assert answer["err"] == [
        "this bot can't fly\\x1b; it knows reload, load, unload, rollback, plugins, status, restart"
    ]


async def test_a_request_has_an_end(door: Door) -> None:
    answer = await door.raw(b"x" * (MOST_BYTES + 1000))
    assert answer["err"] == [f"that is no request: a line of JSON has at most {MOST_BYTES} bytes"]


async def test_one_connection_may_ask_again_and_again(door: Door) -> None:
    reader, writer = await asyncio.open_unix_connection(door.folder / SOCKET)
    for _ in range(3):
        writer.write(b'{"do": "plugins"}\n')
        assert json.loads(await reader.readline()) == {"out": [], "err": []}
    writer.close()


async def test_many_are_answered_at_once_each_with_its_own(door: Door) -> None:
    names = [f"p{number}" for number in range(12)]
    for name in names:
        await door.bot.write(name, HELLO.format(name, "one"))
    answers = await asyncio.gather(*(door.ask("reload", name) for name in names))
    assert [out[0].partition(" (")[0] for out, _ in answers] == [f"{name} g1 -> g2" for name in names]


async def test_too_many_at_once_are_told_so(door: Door) -> None:
    waiting = [await asyncio.open_unix_connection(door.folder / SOCKET) for _ in range(MOST_CLIENTS)]
    for reader, writer in waiting:  # so that it has them all
        writer.write(b"{}\n")
        await reader.readline()
    assert await door.ask("status") == ([], [f"{MOST_CLIENTS} others are speaking to this bot; try again later"])
    for _, writer in waiting:
        writer.close()


WAITING = """
from bot import command, setup
@setup
async def wait(ctx):
    import gate
    gate.reached.set()
    await gate.opened.wait()
@command("hello")
async def hello(ctx):
    return "two"
"""


class Gate(types.ModuleType):
    """A module that a plugin's `setup` waits in."""

    def __init__(self) -> None:
        super().__init__("gate")
        self.reached, self.opened = asyncio.Event(), asyncio.Event()


@pytest_asyncio.fixture
async def gate(door: Door, monkeypatch: pytest.MonkeyPatch) -> Gate:
    gate = Gate()
    monkeypatch.setitem(sys.modules, "gate", gate)
    (door.bot.plugins / "hello.py").write_text(WAITING)
    return gate


async def test_while_it_is_at_work_it_gives_signs_of_life(
    door: Door, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "BEAT_SECONDS", 0.01)
    reader, writer = await asyncio.open_unix_connection(door.folder / SOCKET)
    writer.write(b'{"do": "load", "name": "hello"}\n')
    assert [await reader.readline() for _ in range(3)] == [b"\n"] * 3
    gate.opened.set()
    while (line := await reader.readline()) == b"\n":
        pass
    assert json.loads(line)["out"][0].startswith("hello loaded g1")
    writer.close()


async def test_what_was_asked_for_goes_on_when_the_client_has_gone(door: Door, gate: Gate) -> None:
    live = asyncio.Event()
    door.bot.app.reloader.on_commit.append(lambda commit: live.set())
    _, writer = await asyncio.open_unix_connection(door.folder / SOCKET)
    writer.write(b'{"do": "load", "name": "hello"}\n')
    await gate.reached.wait()
    writer.transport.abort()
    gate.opened.set()
    await asyncio.wait_for(live.wait(), 20)
    assert "two" in await door.bot.say("!hello")


async def test_who_waits_while_the_bot_ends_is_told(door: Door, gate: Gate) -> None:
    asking = asyncio.create_task(door.ask("load", "hello"))
    await gate.reached.wait()
    await door.bot.app.reloader.close()
    assert await asking == ([], ["the bot is about to end"])
    assert await door.ask("reload") == ([], ["the bot is about to end"])


async def test_a_stranger_is_not_answered(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "user_at", lambda end: 4711)
    assert await door.raw(b'{"do": "status"}\n') is None


# --- the socket


async def test_the_socket_is_for_its_user_alone_and_goes_with_the_bot(door: Door) -> None:
    path = door.folder / SOCKET
    assert path.is_socket() and path.stat().st_mode & 0o777 == 0o600
    await door.control.stop()
    assert not path.exists()
    with pytest.raises(NeverquitError, match="no bot is running"):
        await door.ask("status")


@pytest.mark.parametrize("what", ["socket", "file", "link"])
async def test_what_a_killed_bot_left_behind_is_replaced(bot: Bot, tmp_path: Path, what: str) -> None:
    path = tmp_path / SOCKET
    if what == "socket":
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(str(path))
    elif what == "file":
        path.write_text("")
    else:
        path.symlink_to("/nowhere")
    door = Door(bot, tmp_path)
    await door.control.start()
    assert (await door.ask("status"))[1] == []
    await door.control.stop()


@pytest.mark.parametrize("mode", [0o777, 0o722])
async def test_in_a_folder_that_all_may_write_into_there_is_no_control_but_a_bot(
    bot: Bot, tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    os.chmod(tmp_path, mode)  # noqa: PTH101  # as a shell does it
    door = Door(bot, tmp_path)
    await door.control.start()
    assert "neverquit ctl can't reach this bot" in caplog.text and "chmod o-w" in caplog.text
    assert not (tmp_path / SOCKET).exists()
    await door.control.stop()


async def test_a_folder_in_the_way_costs_the_control_and_not_the_bot(
    bot: Bot, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / SOCKET).mkdir()
    await Control(bot.app, tmp_path).start()
    assert "neverquit ctl can't reach this bot" in caplog.text


async def test_a_state_dir_may_have_a_long_name(bot: Bot, tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 120)
    folder.mkdir()
    door = Door(bot, folder)
    await door.control.start()
    assert (await door.ask("status"))[1] == []
    await door.control.stop()


# --- the lock

HOLDER = """
import os, sys
from pathlib import Path
from bot.control import alone
with alone(Path(sys.argv[1])):
    if sys.argv[2:] and os.fork() == 0:
        os.close(1)
        sys.stdin.read()
        os._exit(0)
    print("held", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held(folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the lock."""
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdin is not None and other.stdout is not None
    assert other.stdout.readline() == "held\n"
    try:
        yield other
    finally:
        other.stdin.close()
        other.stdout.close()
        other.wait()


def test_a_second_bot_on_one_state_is_refused_in_words(tmp_path: Path) -> None:
    with held(tmp_path) as other, pytest.raises(NeverquitError) as caught, alone(tmp_path):
        pass
    assert re.search(rf"another neverquit runs on this state_dir \(process {other.pid}\)", str(caught.value))
    with alone(tmp_path):
        assert (tmp_path / LOCK).read_text() == f"{os.getpid()}\n"


@pytest.mark.parametrize("arguments", [(), ("fork",)], ids=["alone", "with a child that lives on"])
def test_a_killed_bot_holds_nothing(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    with held(tmp_path, *arguments) as other:
        other.send_signal(signal.SIGKILL)
        other.wait()
        with alone(tmp_path):
            pass


def test_the_folder_is_made_and_one_that_can_not_be_made_is_told(tmp_path: Path) -> None:
    with alone(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(NeverquitError, match="the state folder can't be used"), alone(tmp_path / "file" / "b"):
        pass


def test_where_nothing_can_be_locked_it_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    import fcntl

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", refuse)
    with alone(tmp_path), caplog.at_level(logging.WARNING):
        assert "can't be locked (No locks available)" in caplog.text
