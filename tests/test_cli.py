"""bot/cli.py: the program as a process: exit codes, messages and signals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import nursery
import pytest

from bot import cli, config, ctl
from bot.errors import NeverquitError
from bot.server import Client, Server

ROOT = Path(__file__).parents[1]
CERTIFICATES = Path(__file__).parent / "certificates"
Process = asyncio.subprocess.Process | nursery.Born
SOON = 20.0  # seconds until a test gives up; the machine may be busy


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200"}


def neverquit(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run the program to its end: exit code, standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SOON,
    )
    assert "Traceback" not in done.stderr + done.stdout
    return done.returncode, done.stdout, done.stderr


def configured(folder: Path, port: int, more: str = "") -> Path:
    path = folder / "config.yaml"
    text = f'networks:\n  here: {{host: 127.0.0.1, port: {port}, tls: false, channels: ["#a"], flood: false}}\n'
    path.write_text(text + more)
    (folder / "plugins").mkdir(exist_ok=True)
    return path


def dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


# --- without a connection


def test_the_version_is_one_line(tmp_path: Path) -> None:
    code, out, err = neverquit(tmp_path, "--version")
    assert (code, err) == (0, "") and out.startswith("neverquit 0.")


def test_run_without_a_configuration_says_what_to_do(tmp_path: Path) -> None:
    code, out, err = neverquit(tmp_path, "run")
    assert (code, out) == (78, "")
    assert "there is no config.yaml here" in err and "neverquit init" in err and "neverquit demo" in err


def test_a_configuration_that_is_named_and_missing_is_told(tmp_path: Path) -> None:
    code, out, err = neverquit(tmp_path, "run", "--config", "other.yaml")
    assert (code, out) == (78, "") and "other.yaml" in err


def test_a_bad_configuration_is_told_with_every_place(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("nick: no\nnetworks:\n  x: {hots: a, port: many}\n")
    code, out, err = neverquit(tmp_path, "run")
    assert (code, out) == (78, "")
    assert "config.yaml:1:7: nick: " in err and "config.yaml:3:" in err and "hots" in err and "port" in err


def test_a_configuration_without_networks_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("networks: {}\n")
    code, _, err = neverquit(tmp_path, "run")
    assert code == 78 and "nobody to connect to" in err


@pytest.mark.parametrize("arguments", [["fly"], ["run", "--fast"], ["new"], ["config", "burn"], ["check", "nowhere"]])
def test_what_it_does_not_know_is_a_mistake_of_use(tmp_path: Path, arguments: list[str]) -> None:
    code, out, err = neverquit(tmp_path, *arguments)
    assert (code, out) == (2, "") and err


def test_run_once_against_a_dead_port_cannot_connect(tmp_path: Path) -> None:
    configured(tmp_path, dead_port())
    code, out, err = neverquit(tmp_path, "run", "--once")
    assert (code, out) == (69, "") and "neverquit: cannot connect: here: " in err


def test_init_writes_a_configuration_that_is_checked_but_dials_nobody(tmp_path: Path) -> None:
    code, out, _ = neverquit(tmp_path, "init")
    assert code == 0 and "plugins/: empty, for plugins of your own; `neverquit new hello` begins one\n" in out
    assert "come with the bot (choose, dice, karma, remind, seen), write" in out
    assert (tmp_path / "config.yaml").stat().st_mode & 0o077 == 0
    lacks = "config.yaml: good, but it names no network yet: run would have nobody to connect to\n"
    assert neverquit(tmp_path, "config", "check") == (0, lacks, "")
    assert neverquit(tmp_path, "run")[0] == 78
    code, _, err = neverquit(tmp_path, "init")
    assert code == 1 and "is there already; nothing was changed" in err


def test_config_check_and_show(tmp_path: Path) -> None:
    # as `init` says how the bundled plugins are had
    configured(
        tmp_path, 6667, "    # nothing\nnick: tester\nplugins: {directories: [plugins, bundled], disabled: [karma]}\n"
    )
    assert neverquit(tmp_path, "config", "check") == (0, "config.yaml: good\n", "")
    code, out, _ = neverquit(tmp_path, "config", "show")
    assert code == 0 and "nick: tester" in out


def test_config_check_tells_names_that_are_no_plugin(tmp_path: Path) -> None:
    configured(tmp_path, 6667, "plugins: {disabled: [karm, remind]}\n")
    (tmp_path / "plugins" / "remind.py").write_text("")
    (tmp_path / "plugins" / "karma.py").write_text("")
    note = "config.yaml: plugins.disabled: there is no plugin karm; did you mean karma?\n"
    assert neverquit(tmp_path, "config", "check") == (0, "config.yaml: good\n" + note, "")


def test_config_schema_is_json(tmp_path: Path) -> None:
    code, out, _ = neverquit(tmp_path, "config", "schema")
    assert code == 0 and out.startswith("{")


def test_new_writes_a_plugin_that_passes_the_check(tmp_path: Path) -> None:
    code, out, _ = neverquit(tmp_path, "new", "hello")
    assert code == 0 and "plugins/hello.py: say !hello in a channel" in out
    assert neverquit(tmp_path, "check") == (0, "", "")
    assert neverquit(tmp_path, "new", "hello")[0] == 1


@pytest.mark.parametrize("name", ["../evil", "a-b", "1a", "_x", "a.b", ""])
def test_new_refuses_what_can_be_no_plugin(tmp_path: Path, name: str) -> None:
    code, _, err = neverquit(tmp_path, "new", name)
    assert code == 2 and "can't be a plugin" in err and not (tmp_path / "plugins").exists()


def test_check_prints_places_and_fails(tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text("x = 1\nif x\n")
    assert neverquit(tmp_path, "check", "bad.py") == (1, "bad.py:2:5: SyntaxError: expected ':'\n", "")


# --- C14: SIGTERM and SIGINT, QUIT and exit 0 within 5 s, and SIGHUP, a reload, whatever it is doing

BUSY = """
import asyncio, time
from bot import command
@command("async")
async def slow(ctx):
    ctx.say("busy")
    await asyncio.Event().wait()
@command("sleep")
def sleep(ctx):
    ctx.say("busy")
    time.sleep(60)
@command("spin")
def spin(ctx):
    ctx.say("busy")
    while True: pass
@command("stubborn")
async def stubborn(ctx):
    ctx.say("busy")
    while True:
        try: await asyncio.Event().wait()
        except asyncio.CancelledError: pass
"""


@pytest.fixture(params=[(), ("--single",)], ids=["two processes", "single"])
def mode(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The two ways to run it, as arguments."""
    found: tuple[str, ...] = request.param
    return found


@asynccontextmanager
async def running(
    folder: Path, port: int, *mode: str, more: str = "", tls: bool = False, path: str = "", through: Sequence[str] = ()
) -> AsyncIterator[Process]:
    config = configured(folder, port, more)
    if tls:
        authority = CERTIFICATES / "authority.pem"
        config.write_text(config.read_text().replace("tls: false", f'tls: {{ca_file: "{authority}"}}'))
    process: Process
    if through or path:
        process = await asyncio.create_subprocess_exec(
            *(*through, sys.executable, "-m", "bot", "run", *mode),
            cwd=folder,
            env={**environment(), "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), path)))},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
    else:
        process = await nursery.start(["run", *mode], folder, environment())
    assert process.stdout is not None
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.stdout.read()
        await process.wait()


async def ends(process: Process, number: signal.Signals) -> None:
    """Send a signal; the process exits with 0 within 5 s."""
    began = time.monotonic()
    process.send_signal(number)
    assert await asyncio.wait_for(process.wait(), SOON) == 0
    assert time.monotonic() - began < 5.0 + 1.0  # one for a busy machine


async def up(process: Process, folder: Path) -> None:
    """Wait until the bot answers `ctl`: it is dialling by then."""
    async with asyncio.timeout(SOON):
        while True:
            try:
                await asyncio.to_thread(ctl.ask, folder / "state", "status")
                return
            except NeverquitError:
                assert process.returncode is None
                await asyncio.sleep(0.01)


def secured() -> ssl.SSLContext:
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(CERTIFICATES / "server.pem")
    return theirs


async def heard(process: Process, text: bytes) -> None:
    """Wait until the program has said this."""
    assert process.stdout is not None
    async with asyncio.timeout(SOON):
        while text not in await process.stdout.readline():
            assert process.returncode is None


async def hung_up(process: Process) -> None:
    """Send SIGHUP, which changes nothing but the configuration and the plugins."""
    process.send_signal(signal.SIGHUP)
    await heard(process, b"configuration read again")


SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])


@SIGNALS
async def test_c14_it_ends_while_it_waits_to_connect_again(
    tmp_path: Path, mode: tuple[str, ...], number: signal.Signals
) -> None:
    async with running(tmp_path, dead_port(), *mode) as process:
        await heard(process, b"trying again")
        await ends(process, number)


@SIGNALS
async def test_c14_it_ends_while_it_registers_over_tls(
    tmp_path: Path, mode: tuple[str, ...], number: signal.Signals
) -> None:
    came = asyncio.Event()
    done = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        came.set()
        await done.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0, ssl=secured())
    async with running(tmp_path, server.sockets[0].getsockname()[1], *mode, tls=True) as process:
        await asyncio.wait_for(came.wait(), SOON)
        await ends(process, number)
    done.set()
    server.close()


@SIGNALS
@pytest.mark.parametrize("tls", [False, True], ids=["connecting", "in the TLS handshake"])
async def test_c14_it_ends_while_a_server_says_nothing(
    tmp_path: Path, mode: tuple[str, ...], number: signal.Signals, tls: bool
) -> None:
    """A listener whose queue is full takes no connection; one that answers nothing has TLS wait."""
    with socket.socket() as listener, contextlib.ExitStack() as others:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1 if tls else 0)
        port = listener.getsockname()[1]
        for _ in range(0 if tls else 4):
            other = others.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(("127.0.0.1", port))
        async with running(tmp_path, port, *mode, tls=tls) as process:
            await up(process, tmp_path)
            if number == signal.SIGINT:
                await hung_up(process)
            await ends(process, number)


@SIGNALS
async def test_c14_it_ends_while_a_name_is_looked_up(
    tmp_path: Path, mode: tuple[str, ...], number: signal.Signals
) -> None:
    """A name server that never answers: the thread that waits for it must not hold up the end."""
    (tmp_path / "site").mkdir()
    slow = "import socket, time\nsocket.getaddrinfo = lambda *a, **k: time.sleep(60)\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(slow)
    async with running(tmp_path, 6667, *mode, path=str(tmp_path / "site")) as process:
        await up(process, tmp_path)
        if number == signal.SIGINT:
            await hung_up(process)
        await ends(process, number)


@asynccontextmanager
async def in_channel(
    folder: Path, *mode: str, through: Sequence[str] = (), tls: bool = False
) -> AsyncIterator[tuple[Process, Server, Client]]:
    """The program, started `through` a command, on an embedded server, in #a with `you`."""
    (folder / "plugins").mkdir()
    (folder / "plugins" / "busy.py").write_text(BUSY)
    server = Server(tls=secured() if tls else None)
    await server.start()
    ours = ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem")) if tls else None
    you = await Client.connect("127.0.0.1", server.port, "you", tls=ours)
    you.send("JOIN #a")
    await you.expect(" 366 ")
    try:
        async with running(folder, server.port, *mode, through=through, tls=tls) as process:
            await you.expect(lambda line: line.startswith(":neverquit!") and " JOIN " in line, timeout=SOON)
            yield process, server, you
    finally:
        await you.close()
        await server.stop()


@SIGNALS
async def test_c14_it_ends_with_quit_while_idle_over_tls(
    tmp_path: Path, mode: tuple[str, ...], number: signal.Signals
) -> None:
    async with in_channel(tmp_path, *mode, tls=True) as (process, _, you):
        await ends(process, number)
        assert ":neverquit!" in await you.expect(" QUIT ")


@pytest.mark.parametrize(
    ("what", "number"),
    [("async", signal.SIGTERM), ("sleep", signal.SIGINT), ("spin", signal.SIGTERM), ("stubborn", signal.SIGINT)],
)
async def test_c14_it_ends_with_quit_while_a_handler_runs(
    tmp_path: Path, mode: tuple[str, ...], what: str, number: signal.Signals
) -> None:
    async with in_channel(tmp_path, *mode) as (process, _, you):
        you.privmsg("#a", f"!{what}")
        await you.expect(":busy", timeout=SOON)
        await ends(process, number)
        await you.expect(" QUIT ")


async def test_it_runs_and_reloads_with_its_standard_streams_closed(tmp_path: Path, mode: tuple[str, ...]) -> None:
    closed = ("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh")
    async with in_channel(tmp_path, *mode, through=closed) as (process, _, you):
        plugin = "from bot import command\nprint('nowhere')\n@command('hello')\ndef hello(ctx): return 'hello there'\n"
        (tmp_path / "plugins" / "hello.py").write_text(plugin)
        answer = ""
        async with asyncio.timeout(SOON):
            while ":hello there" not in answer:
                you.privmsg("#a", "!hello")
                you.privmsg("#a", "!version")
                answer = await you.expect(lambda line: ":hello there" in line or ":neverquit 0." in line, timeout=SOON)
        await ends(process, signal.SIGTERM)


async def test_c14_it_ends_with_quit_when_asked_twice(tmp_path: Path, mode: tuple[str, ...]) -> None:
    async with in_channel(tmp_path, *mode) as (process, _, _you):
        process.send_signal(signal.SIGTERM)
        await ends(process, signal.SIGINT)


async def test_c14_a_hang_up_reads_configuration_and_plugins_again(tmp_path: Path, mode: tuple[str, ...]) -> None:
    async with in_channel(tmp_path, *mode) as (process, _, you):
        (tmp_path / "config.yaml").write_text((tmp_path / "config.yaml").read_text().replace('["#a"]', '["#a", "#b"]'))
        you.send("JOIN #b")
        await you.expect(" 366 ")
        process.send_signal(signal.SIGHUP)
        await you.expect(
            lambda line: line.startswith(":neverquit!") and " JOIN " in line and "#b" in line, timeout=SOON
        )
        (tmp_path / "config.yaml").write_text("networks: 5")
        process.send_signal(signal.SIGHUP)
        you.privmsg("#a", "!version")
        await you.expect(":neverquit 0.", timeout=SOON)
        await ends(process, signal.SIGTERM)


async def test_c14_a_hang_up_takes_all_plugins_anew(tmp_path: Path, mode: tuple[str, ...]) -> None:
    async with in_channel(tmp_path, *mode) as (process, _, you):
        process.send_signal(signal.SIGHUP)
        await heard(process, b"configuration read again; busy g1 -> g2 (")
        you.privmsg("#a", "!version busy")
        await you.expect(":busy g2 ", timeout=SOON)
        await ends(process, signal.SIGTERM)


async def test_c14_a_hang_up_ends_it_neither_while_it_waits_nor_while_it_registers(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    came = asyncio.Event()
    done = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        came.set()
        await done.wait()
        writer.close()

    port = dead_port()
    async with running(tmp_path, port, *mode) as process:
        await heard(process, b"trying again")
        await hung_up(process)
        server = await asyncio.start_server(silent, "127.0.0.1", port)
        await asyncio.wait_for(came.wait(), SOON)
        await hung_up(process)
        await ends(process, signal.SIGTERM)
    done.set()
    server.close()


@pytest.mark.parametrize("what", ["async", "spin"])
async def test_c14_a_hang_up_is_heard_while_a_handler_runs(tmp_path: Path, mode: tuple[str, ...], what: str) -> None:
    async with in_channel(tmp_path, *mode) as (process, _, you):
        you.privmsg("#a", f"!{what}")
        await you.expect(":busy", timeout=SOON)
        process.send_signal(signal.SIGHUP)
        await heard(process, b"configuration read again; busy g1 -> g2 (")
        await ends(process, signal.SIGTERM)


# --- one bot for one state


async def test_a_second_bot_on_the_same_state_is_refused(tmp_path: Path) -> None:
    async with in_channel(tmp_path) as (process, _, _you):
        code, out, err = await asyncio.to_thread(neverquit, tmp_path, "run")
        assert (code, out) == (1, "") and f"(process {process.pid}); end it first" in err
        process.kill()
        await process.wait()
    async with running(tmp_path, dead_port()) as process:
        await heard(process, b"trying again")
        assert (await asyncio.to_thread(neverquit, tmp_path, "ctl", "status"))[0] == 0
        await ends(process, signal.SIGTERM)
    code, _, err = await asyncio.to_thread(neverquit, tmp_path, "ctl", "status")
    assert code == 1 and "no bot is running" in err


async def test_once_ends_when_the_connection_is_lost(tmp_path: Path) -> None:
    server = Server()
    await server.start()
    configured(tmp_path, server.port)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "bot", "run", "--once"),
        cwd=tmp_path,
        env=environment(),
        stderr=asyncio.subprocess.PIPE,
    )
    await server.wait_for(lambda nick, way, line: way == "in" and line == "JOIN #a", since=0, timeout=SOON)
    server.kill("neverquit")
    _, err = await asyncio.wait_for(process.communicate(), SOON)
    await server.stop()
    assert process.returncode == 1 and b"here: the connection was lost" in err


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")
def test_no_password_goes_to_a_disk_on_its_way_to_the_keeper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = list[str]()

    def become(_python: str, command: list[str]) -> None:
        given.append(str(Path(f"/proc/self/fd/{command[-1]}").readlink()))
        raise OSError(1, "not here")

    monkeypatch.setattr(os, "execv", become)
    monkeypatch.setattr("bot.wire.process.hear_later", lambda: None)
    path = tmp_path / "config.yaml"
    path.write_text(f"state_dir: {tmp_path}\nnetworks: {{net: {{host: h, nick: n, password: hunter2}}}}\n")
    with pytest.raises(SystemExit):
        cli._become_the_keeper(config.load(path), path, once=False)
    assert [place.split(":")[0] for place in given] == ["/memfd"]
