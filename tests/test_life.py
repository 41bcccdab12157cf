"""The life of the two processes: signals to either, ends of either, starts that fail, and nobody who stays behind.

Each test ends in `Pair.ends` or `Pair.ended`, which hold that whatever the bot has started is gone with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import re
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pair import MODES, ROOT, SOON, TALK, Pair, alive, descendants, environment, joined, pair

STOPPING = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])

# A process of the bot that ends as soon as it begins, where a file says so: put into its path as `sitecustomize`.
ENDING = """
import os, sys
if "neverquit-worker" in sys.orig_argv and os.path.exists("end"):
    print("the reason", file=sys.stderr)
    os._exit(int(open("end").read()))
"""


@pytest.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Pair]:
    async with pair(tmp_path, plugins={"talk": TALK}) as made:
        yield made


# --- the end of either is the end of both


@STOPPING
async def test_a_signal_to_the_worker_ends_both_with_quit(bot: Pair, number: signal.Signals) -> None:
    await bot.ends(number, bot.worker)
    assert "QUIT :neverquit: shutting down" in [line for nick, way, line in bot.server.log if way == "in"]


@STOPPING
async def test_a_signal_to_a_worker_whose_loop_is_held_ends_both(tmp_path: Path, number: signal.Signals) -> None:
    busy = 'import time\nfrom bot import command\n@command("busy")\nasync def busy(ctx):\n'
    busy += '    ctx.say("busy")\n    time.sleep(0.1)\n    end = time.monotonic() + 60\n'
    busy += "    while time.monotonic() < end: time.sleep(0.01)\n"
    async with pair(tmp_path, plugins={"busy": busy}, timeouts={"silence_seconds": 30}) as bot:
        bot.says("!busy")
        await bot.answers("busy")
        await bot.ends(number, bot.worker)


@pytest.mark.parametrize("mode", MODES)
async def test_o11_quit_overtakes_a_hundred_lines_and_the_end_does_not_wait_for_them(tmp_path: Path, mode: str) -> None:
    many = 'from bot import command\n@command("many")\nasync def many(ctx): return map(str, range(101))\n'
    network = {"flood": {"burst": 1, "per_second": 0.01}}
    async with pair(tmp_path, *MODES[mode], plugins={"many": many}, network=network, reply_lines=200) as bot:
        bot.says("!many")
        await bot.until(lambda: any("PRIVMSG" in line for nick, way, line in bot.server.log if way == "in"), "a line")
        mark, began = len(bot.server.log), asyncio.get_running_loop().time()
        ending = asyncio.ensure_future(bot.ends())

        def sent() -> list[str]:
            return [line for nick, way, line in list(bot.server.log)[mark:] if (nick, way) == ("neverquit", "in")]

        await bot.until(lambda: any(line.startswith("QUIT ") for line in sent()), "QUIT")
        assert asyncio.get_running_loop().time() - began < 1.0 + 1.0  # one for a busy machine
        await ending
        assert sent()[-1] == "QUIT :neverquit: shutting down"
        assert not any("PRIVMSG" in line for line in sent())


async def test_the_end_of_the_keeper_ends_all(bot: Pair) -> None:
    bot.kill(bot.process.pid)
    assert await bot.ended() == -signal.SIGKILL


async def test_after_a_keeper_that_was_killed_the_next_start_works(bot: Pair, tmp_path: Path) -> None:
    bot.kill(bot.process.pid)
    await bot.ended()
    assert (tmp_path / "state" / "control.sock").exists(), "it left things behind"
    await bot.start()
    await joined(bot, times=2)
    bot.says("!hello")
    await bot.answers("hello ")
    await bot.ends()


@STOPPING
async def test_it_ends_while_a_worker_starts(tmp_path: Path, number: signal.Signals) -> None:
    setup = "import time\nfrom bot import setup\n@setup\ndef begin(ctx): time.sleep(60)\n"
    async with pair(tmp_path, plugins={"slow": setup}, start=False, timeouts={"setup_seconds": 60}) as bot:
        await bot.start()
        await bot.until(lambda: bot.worker, "a worker")
        await bot.ends(number)


async def test_it_ends_while_the_next_worker_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ENDING)
    async with pair(tmp_path, plugins={"talk": TALK}, start=False) as bot:
        await bot.start(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path / 'site'}")
        await joined(bot)
        (tmp_path / "end").write_text("1")
        bot.kill(bot.worker)
        await bot.logs("the next one starts in 2 s")
        bot.server.send_raw("neverquit", "PING :still there")
        await bot.server.wait_for(lambda nick, way, line: line == "PONG :still there", since=0, timeout=SOON)
        await bot.ends()


async def test_what_plugins_have_started_ends_with_their_worker(tmp_path: Path) -> None:
    started = """
import subprocess, sys
from bot import command
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
@command("start")
def start(ctx):
    child = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    child.stdout.readline()
    return f"started {child.pid}"
"""
    async with pair(tmp_path, plugins={"start": started}) as bot:
        bot.says("!start")
        await bot.tells("started ")
        (child,) = (int(line.split()[1]) for line in bot.said if line.startswith("started "))
        worker = bot.worker
        bot.kill(worker)
        await bot.another(worker)
        await bot.until(lambda: not alive(child), "its end")
        await bot.ends()


# --- the terminal


async def in_terminal(bot: Pair) -> int:
    """Start it as a person would, in a terminal of its own; return the terminal's other end."""
    ours, its = pty.openpty()
    code = "import os, sys; os.setsid(); os.open(os.ttyname(0), os.O_RDWR); os.execv(sys.executable, sys.argv[1:])"
    bot.process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, sys.executable, "-m", "bot", "run"),
        cwd=bot.folder,
        env=environment(),
        stdin=its,
        stdout=asyncio.subprocess.PIPE,
        stderr=its,
    )
    bot._reading = asyncio.create_task(bot._log())
    os.close(its)
    return ours


async def test_closing_the_terminal_says_quit_and_ends_both(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={"talk": TALK}, start=False) as bot:
        terminal = await in_terminal(bot)
        await joined(bot)
        bot.family()
        os.close(terminal)
        assert await bot.ended() == 0
        assert "QUIT :neverquit: shutting down" in [line for nick, way, line in bot.server.log if way == "in"]


async def test_control_c_at_the_terminal_says_quit_and_ends_both(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={"talk": TALK}, start=False) as bot:
        terminal = await in_terminal(bot)
        await joined(bot)
        bot.family()
        shown = b""
        os.set_blocking(terminal, False)
        with contextlib.suppress(BlockingIOError):
            shown = os.read(terminal, 65536)
        assert "✓".encode() in shown and b"talk loaded g1" in shown, "reports look as ever"
        os.write(terminal, b"\x03")
        assert await bot.ended() == 0
        os.close(terminal)


async def test_a_hang_up_from_elsewhere_is_no_end_of_the_terminal(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={"talk": TALK}, start=False) as bot:
        terminal = await in_terminal(bot)
        await joined(bot)
        bot.kill(bot.process.pid, signal.SIGHUP)
        await bot.tells("configuration read again; talk g1 -> g2")
        await bot.ends()
        os.close(terminal)


# --- SIGHUP


@pytest.mark.parametrize("whom", ["keeper", "worker"])
async def test_a_hang_up_to_either_reads_configuration_and_plugins_again(bot: Pair, whom: str) -> None:
    path = bot.folder / "config.yaml"
    path.write_text(path.read_text().replace('["#a"]', '["#a", "#b"]'))
    bot.kill(bot.process.pid if whom == "keeper" else bot.worker, signal.SIGHUP)
    await bot.tells("configuration read again; talk g1 -> g2")
    await bot.server.wait_for(lambda nick, way, line: way == "in" and line == "JOIN #b", since=0, timeout=SOON)
    worker = bot.worker
    bot.kill(worker)
    await bot.another(worker)  # which has the new settings, too
    bot.says("!hello")
    await bot.answers("hello ")
    assert not any(line.startswith("PART") for nick, way, line in bot.server.log)
    path.write_text("networks: 5")
    bot.kill(bot.process.pid, signal.SIGHUP)
    await bot.tells("the configuration stays as it was: ")
    await bot.ends()


async def test_a_worker_that_has_read_the_configuration_again_has_not_imported_what_reads_it(bot: Pair) -> None:
    what = 'import sys\nfrom bot import command\n@command("what")\ndef what(ctx):\n'
    what += '    return "has " + " ".join(sorted({"yaml", "pydantic"} & set(sys.modules)))\n'
    (bot.folder / "plugins" / "what.py").write_text(what)
    bot.kill(bot.process.pid, signal.SIGHUP)
    await bot.tells("configuration read again")
    bot.says("!what")
    await bot.tells("has")
    assert "has " in bot.said or "has" in bot.said
    await bot.ends()


# --- starts that fail


async def test_a_worker_that_ends_at_once_is_told_once_and_no_other_is_started(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ENDING)
    (tmp_path / "end").write_text("3")
    async with pair(tmp_path, plugins={}, start=False) as bot:
        await bot.start(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path / 'site'}")
        assert await bot.ended() == 1
        assert [line for line in bot.log if "debug" not in line] == [
            "the reason",
            "neverquit: the bot did not start: its worker ended with exit code 3, as said above",
        ]


async def test_a_state_that_cannot_be_used_is_told_once(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={}, start=False) as bot:
        (tmp_path / "state" / "store.sqlite3").mkdir(parents=True)
        await bot.start()
        assert await bot.ended() == 1
        assert sum("store.sqlite3" in line for line in bot.log) == 1
        assert "Traceback" not in "\n".join(bot.log)


async def test_a_first_connection_that_fails_is_told_once_with_its_code(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={"talk": TALK}, start=False) as bot:
        await bot.server.stop()
        await bot.start("--once")
        assert await bot.ended() == 69
        assert sum("cannot connect" in line for line in bot.log) == 1


async def test_a_later_connection_that_is_lost_ends_a_bot_that_runs_once(tmp_path: Path) -> None:
    async with pair(tmp_path, "--once", plugins={"talk": TALK}) as bot:
        bot.family()
        bot.server.kill("neverquit")
        assert await bot.ended() == 1
        assert sum("here: the connection was lost" in line for line in bot.log) == 1


async def test_a_python_that_is_gone_is_told(tmp_path: Path) -> None:
    """As when a distribution replaces it while the bot runs: the connection is held, and given up in the end."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    async with pair(tmp_path, plugins={"talk": TALK}, start=False, timeouts={"hold_seconds": 1.5}) as bot:
        code = "import sys; sys.executable = sys.argv[1]; from bot.cli import program; program(['run'])"
        bot.process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", code, str(python)),
            cwd=tmp_path,
            env=environment(PYTHONPATH=os.pathsep.join([str(ROOT), *sys.path])),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        bot._reading = asyncio.create_task(bot._log())
        await joined(bot)
        python.unlink()
        bot.kill(bot.worker)
        await bot.logs("a worker can't be started: ")
        assert await bot.ended() == 1
        assert re.search(r"neverquit: no worker was ready for \d s; the bot ends", "\n".join(bot.log))
        assert "QUIT :neverquit: shutting down" in [line for nick, way, line in bot.server.log if way == "in"]


async def test_without_a_worker_for_too_long_the_keeper_says_quit(tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(ENDING)
    async with pair(tmp_path, plugins={"talk": TALK}, start=False, timeouts={"hold_seconds": 1.5}) as bot:
        await bot.start(PYTHONPATH=f"{ROOT}{os.pathsep}{tmp_path / 'site'}")
        await joined(bot)
        await bot.until(lambda: any("talk loaded" in line for line in bot.log), "its plugins")
        bot.says("!hello")
        await bot.answers("hello ")
        (tmp_path / "end").write_text("1")
        bot.kill(bot.worker)
        assert await bot.ended() == 1
        assert re.search(r"neverquit: no worker was ready for \d s; the bot ends", "\n".join(bot.log))
        assert "QUIT :neverquit: shutting down" in [line for nick, way, line in bot.server.log if way == "in"]


# --- what is inherited


def sockets_of(pid: int) -> set[str]:
    """What a process has open that leads to another: sockets, and files without a name."""
    found = {str(each.readlink()) for each in Path(f"/proc/{pid}/fd").iterdir()}
    return {name for name in found if name.startswith("socket:") or name.endswith("(deleted)")}


async def test_neither_trials_nor_what_plugins_start_have_the_link_to_the_keeper(tmp_path: Path) -> None:
    look = """
import os, sys
from bot import command
LOOK = "import pathlib; print(*[each.readlink() for each in pathlib.Path('/proc/self/fd').iterdir() if each.exists()])"
@command("look")
def look(ctx):
    ours, its = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, its, 1)]  # and whatever else can be inherited
    child = os.posix_spawn(sys.executable, [sys.executable, "-c", LOOK], os.environ, file_actions=actions)
    os.close(its)
    os.waitpid(child, 0)
    return "open: " + os.read(ours, 4000).decode()
"""
    async with pair(tmp_path, plugins={"look": look}) as bot:
        bot.says("!look")
        await bot.tells("open: ")
        (told,) = (line for line in bot.said if line.startswith("open: "))
        ours = sockets_of(bot.worker)
        assert len(ours) > 2 and not [name for name in ours if name in told]
        for pid in descendants(bot.worker):
            with contextlib.suppress(OSError):
                assert not ours & sockets_of(pid)
        await bot.ends()


# --- systemd


async def test_systemd_is_told_how_things_are(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(address)
        ear.setblocking(False)
        heard: list[str] = []

        def listen() -> None:
            heard.extend(ear.recv(4096).decode().split("\n"))
            bot._more.set()

        asyncio.get_running_loop().add_reader(ear, listen)
        env = 'import os\nfrom bot import command\n@command("env")\ndef env(ctx):\n'
        env += '    return "env " + str([name for name in os.environ if name[:6] in ("NOTIFY", "WATCHD")])\n'
        async with pair(tmp_path, plugins={"env": env}, start=False) as bot:
            await bot.start(NOTIFY_SOCKET=address, WATCHDOG_USEC="200000")
            await bot.until(lambda: "READY=1" in heard, "READY=1")
            await bot.until(lambda: heard.count("WATCHDOG=1") > 2, "WATCHDOG=1")
            await bot.until(lambda: "STATUS=here up as neverquit; 1 plugin" in heard, "STATUS")
            bot.says("!env")
            await bot.answers("env []")
            heard.clear()
            bot.kill(bot.process.pid, signal.SIGHUP)
            await bot.until(lambda: "READY=1" in heard, "READY=1 after the reload")
            assert heard.index("RELOADING=1") < heard.index("READY=1")
            assert any(re.fullmatch(r"MONOTONIC_USEC=\d+", line) for line in heard)
            worker = bot.worker
            bot.kill(worker)
            await bot.until(lambda: any(line.startswith("STATUS=the worker was ended by") for line in heard), "STATUS")
            await bot.another(worker)
            await bot.ends()
            assert "STOPPING=1" in heard
        asyncio.get_running_loop().remove_reader(ear)


# --- process 1


def is_process_1(pid: int) -> bool:
    """Whether a process has that number in a namespace of its own, proc(5)."""
    try:
        return re.search(r"NSpid:\s+\d+\s+1\n", Path(f"/proc/{pid}/status").read_text()) is not None
    except OSError:
        return False


@pytest.mark.skipif(not shutil.which("unshare"), reason="needs unshare")
@STOPPING
async def test_as_process_1_it_buries_orphans_and_hears_signals(tmp_path: Path, number: signal.Signals) -> None:
    orphan = """
import os, time
from bot import command
@command("orphan")
def orphan(ctx):
    first = os.fork()
    if not first:
        os.setsid()
        if os.fork(): os._exit(0)
        time.sleep(0.2)
        os._exit(0)
    os.waitpid(first, 0)
    time.sleep(0.5)
    states = [open(f"/proc/{n}/stat").read().rpartition(")")[2].split()[0] for n in os.listdir("/proc") if n.isdigit()]
    return f"zombies: {states.count('Z')}, keeper: {open('/proc/1/cmdline').read().count('supervisor')}"
"""
    unshare = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc")
    check = await asyncio.create_subprocess_exec(*unshare, "true", stderr=asyncio.subprocess.DEVNULL)
    if await check.wait():
        pytest.skip("no namespaces here")
    async with pair(tmp_path, plugins={"orphan": orphan}, start=False) as bot:
        await bot.start(through=unshare)
        await joined(bot)
        bot.says("!orphan")
        await bot.tells("zombies: ")
        assert "zombies: 0, keeper: 2" in bot.said
        await bot.ends(number, next(filter(is_process_1, bot.family())))


# --- ctl


@pytest.mark.parametrize("mode", MODES)
async def test_status_tells_of_both_processes(tmp_path: Path, mode: str) -> None:
    async with pair(tmp_path, *MODES[mode], plugins={"talk": TALK}) as bot:
        worker = bot.worker
        if mode == "two":
            bot.kill(worker)
            worker = await bot.another(worker)
        bot.says("!hello")
        await bot.answers("hello ")
        asked = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "ctl", "status"),
            cwd=tmp_path,
            env=environment(),
            stdout=asyncio.subprocess.PIPE,
        )
        told = (await asked.communicate())[0].decode().splitlines()
        who = rf"keeper {bot.process.pid}, up \d+ s; worker {worker}, up \d+ s, 1 restart(; in reserve \d+)?"
        assert re.fullmatch(
            rf"neverquit \S+, {who if mode == 'two' else f'process {bot.process.pid}, up .* s'}", told[0]
        )
        assert re.fullmatch(r"here: up as neverquit, 1 of 1 channels, connected for \d+ s", told[1])
        assert told[2:] == ["lines to send: 0, in work: 0, lost: 0", "plugins: 1 live, 0 off, 0 failed, 1 commits"]
        await bot.ends()


# --- stopped and continued (C17)


@pytest.mark.parametrize("mode", MODES)
async def test_c17_stopped_for_a_while_it_goes_on_and_finds_out_at_once_that_the_connection_is_dead(
    tmp_path: Path, mode: str
) -> None:
    """Over TLS."""
    tick = 'from bot import every\n@every("0.3s")\nasync def tick(ctx): ctx.to("here/#a").say("tick")\n'
    async with pair(
        tmp_path,
        *MODES[mode],
        plugins={"talk": TALK, "tick": tick},
        network={"reconnect": {"minimum_seconds": 0.1}},
        tls=True,
    ) as bot:
        await bot.answers("tick")
        everybody = [bot.process.pid, *bot.family()]
        for pid in everybody:
            os.kill(pid, signal.SIGSTOP)
        bot.server.kill("neverquit")
        ticks = bot.said.count("tick")
        await asyncio.sleep(2.5)  # the time itself is the case: longer than the silence of a worker may be
        for pid in everybody:
            os.kill(pid, signal.SIGCONT)
        async with asyncio.timeout(10):
            await joined(bot, times=2)
        bot.says("!hello")
        await bot.answers("hello ")
        assert bot.said.count("tick") - ticks <= 4, "no burst of old timers"
        assert not any("starting another" in line for line in bot.log)
        await bot.ends()


async def test_c17_a_keeper_that_was_stopped_alone_does_not_kill_its_worker_for_that(bot: Pair) -> None:
    worker = bot.worker
    os.kill(bot.process.pid, signal.SIGSTOP)
    await asyncio.sleep(2.5)  # the time itself is the case
    os.kill(bot.process.pid, signal.SIGCONT)
    bot.says("!hello")
    await bot.answers("hello ")
    assert bot.worker == worker
    await bot.ends()
