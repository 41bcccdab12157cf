"""bot/live/trial.py, with what it stands on (trialspares, trialzygote, trialchild): real processes, and what plugins do
to them."""

from __future__ import annotations

import asyncio
import marshal
import os
import pickle
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sources import unit

from bot.errors import PluginError
from bot.live.compiled import Compiled
from bot.live.trial import InTrial, Trial, Verdict
from bot.live.trialorigin import Begun
from bot.live.trialspares import CannotTry, Spares, Zygote

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="trials need sockets that processes inherit")

COMMAND = "from bot import command\n@command('a')\nasync def a(ctx): return 'a'\n"


def nothing(plugin: str) -> Mapping[str, Any]:
    return {}


class Ground:
    """A trial, and what tests ask of it."""

    def __init__(self, *, fork: bool) -> None:
        self.spares = Spares(fork=fork)
        self.trial = Trial(self.spares)

    async def verdicts(self, *groups: dict[str, str], around: str = "", seconds: float = 5.0) -> list[Verdict]:
        """Compile groups of sources and try them."""
        units = [[unit(name, text) for name, text in group.items()] for group in groups]
        compiled = iter(await self.trial.compile([each for group in units for each in group]))
        made = [[next(compiled) for _ in group] for group in units]
        others = {one.unit.name: one for one in await self.trial.compile([unit("_around", around)])} if around else {}
        return await self.trial.prove(made, others, nothing, seconds)

    async def error(self, text: str, seconds: float = 5.0) -> str:
        """Try one source, and return what is told of it."""
        (verdict,) = await self.verdicts({"a": text}, seconds=seconds)
        self.trial.over()
        assert verdict.error is not None
        return str(verdict.error)


@pytest.fixture(params=[True, False], ids=["forked", "fresh"])
async def ground(request: pytest.FixtureRequest) -> AsyncIterator[Ground]:
    """Children forked from a zygote, and those that are fresh interpreters, where a system can't fork."""
    made = Ground(fork=request.param)
    yield made
    await made.trial.close()


@pytest.fixture
async def forked() -> AsyncIterator[Ground]:
    made = Ground(fork=True)
    yield made
    await made.trial.close()


def alive(pid: int) -> bool:
    """Tell whether a process runs; a dead one that nobody has buried yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def until(check: Callable[[], object]) -> None:
    """Wait for something outside this process."""
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110  # other processes set no events
            await asyncio.sleep(0.01)


async def ends(*pids: int) -> None:
    """Wait until processes have ended."""
    await until(lambda: not any(alive(pid) for pid in pids))


async def written(path: Path) -> list[int]:
    """Wait for the process ids that a plugin writes to a file."""
    await until(lambda: path.exists() and path.read_text().endswith("\n"))
    return [int(word) for word in path.read_text().split()]  # noqa: ASYNC240  # a few bytes, in memory


# --- what comes back


async def test_a_unit_comes_back_as_code_that_runs_here(ground: Ground) -> None:
    (one,) = await ground.trial.compile(
        [unit("a", "from plugins import _b\nSTATE_NAME = 'x'\nSTATE_VERSION = 3\nv = 1")]
    )
    assert one.error is None and one.imports == {"_b"} and (one.state_name, one.state_version) == ("x", 3)
    assert marshal.loads(one.codes["plugins.a"]).co_filename.endswith(f"a.py@{one.unit.digest[:7]}")


async def test_what_cannot_be_compiled_has_its_place(ground: Ground) -> None:
    (one,) = await ground.trial.compile([unit("a", "x = 1\ny = (")])
    assert str(one.error) == "a.py:2: SyntaxError: '(' was never closed" and one.error.column == 5  # type: ignore[union-attr]


async def test_a_good_group_is_quick_and_says_so(ground: Ground) -> None:
    (verdict,) = await ground.verdicts({"a": COMMAND})
    assert verdict.error is None and verdict.seconds < 5


async def test_a_group_whose_imports_are_not_here_yet_is_not_quick() -> None:
    assert Verdict(None, 0.0).is_quick
    assert not Verdict(None, 0.0, ("a_module_that_nobody_has",)).is_quick
    assert not Verdict(None, 0.1).is_quick


async def test_an_error_comes_with_its_traceback(ground: Ground) -> None:
    (verdict,) = await ground.verdicts({"a": "x = 1\n\n1 / 0"})
    assert str(verdict.error) == "a.py:3: ZeroDivisionError: division by zero"
    cause = verdict.error.__cause__  # type: ignore[union-attr]
    assert isinstance(cause, InTrial) and cause.remote_trace == str(cause).removeprefix("\n")
    assert str(cause).startswith('\nTraceback (most recent call last):\n  File "') and "    1 / 0\n" in str(cause)
    assert "bot/live" not in str(cause)


async def test_a_declaration_that_cannot_work_is_found(ground: Ground) -> None:
    assert "must take ctx" in await ground.error("from bot import command\n@command('a')\ndef a(): ...")


async def test_live_units_that_a_group_imports_are_there(ground: Ground) -> None:
    (verdict,) = await ground.verdicts({"a": "from plugins._around import v\nassert v == 7"}, around="v = 7")
    assert verdict.error is None


async def test_units_of_a_group_see_each_other(ground: Ground) -> None:
    (verdict,) = await ground.verdicts({"_b": "v = 8", "a": "from plugins._b import v\nassert v == 8"})
    assert verdict.error is None


async def test_settings_are_lent(ground: Ground) -> None:
    (one,) = await ground.trial.compile([unit("a", "from bot import settings\nassert settings()['x'] == 9")])
    (verdict,) = await ground.trial.prove([[one]], {}, lambda plugin: {"x": 9}, 5.0)
    assert verdict.error is None


MIGRATE = (
    "from bot import keep\nSTATE_VERSION = 2\nbox = keep('box', dict)\n\ndef migrate(old_version, state):\n    {}\n"
)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("state['box']['n'] += 1; assert state['box']['n'] == 8 and old_version == 1", ""),
        ("1 / 0", "a.py:6: migrate: ZeroDivisionError: division by zero"),
        ("while True: pass", "a.py:6: migrate took longer than 1 s"),
        ("import os; os._exit(1)", "a.py: ended the trial process (exit code 1)"),
        ("return {'box': 1}", 'a.py:5: migrate: TypeError: migrate returned int for "box": keep a dict or list'),
    ],
    ids=["good", "raises", "endless", "exits", "wrong"],
)
async def test_migrate_is_tried_with_a_copy_of_the_values(ground: Ground, body: str, told: str) -> None:
    values = {"box": {"n": 7}}
    (one,) = await ground.trial.compile([unit("a", MIGRATE.format(body))])
    (verdict,) = await ground.trial.prove([[one]], {}, nothing, 1.0, {"a": (1, pickle.dumps(values))})
    assert str(verdict.error or "") == told and values == {"box": {"n": 7}}


# --- what plugins do to it


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("import sys; sys.exit()", "a.py:1: SystemExit"),
        ("raise KeyboardInterrupt", "a.py:1: KeyboardInterrupt"),
        ("raise GeneratorExit", "a.py:1: GeneratorExit"),
        ("import os; os._exit(3)", "a.py: ended the trial process (exit code 3)"),
        ("import os; os._exit(0)", "a.py: ended the trial process (exit code 0)"),
        ("import os\n\nos.abort()", "a.py:3: killed the trial process (signal 6, SIGABRT)"),
        ("import ctypes\nctypes.string_at(0)", "a.py:2: killed the trial process (signal 11, SIGSEGV)"),
        ("import os; os.kill(os.getpid(), 9)", "a.py: killed the trial process (signal 9, SIGKILL)"),
        ("def f(): f()\n\nf()", "a.py:1: RecursionError: maximum recursion depth exceeded"),
        ("x = 'a' * 10 ** 11", "a.py:1: MemoryError"),
        ("input()", "a.py:1: EOFError: EOF when reading a line"),
        ("print('x' * 10 ** 6)\n1 / 0", "a.py:2: ZeroDivisionError: division by zero"),
    ],
    ids=lambda value: value.partition("\n")[0][:24].replace(" ", "-") if isinstance(value, str) else None,
)
async def test_what_ends_a_trial_is_told_in_one_line(ground: Ground, text: str, told: str) -> None:
    if not ground.spares._fork and "SIG" in told and "SIGKILL" not in told:
        assert (await ground.error(text)).endswith(told.partition(": ")[2])  # its stack may still be in the pipe
    else:
        assert await ground.error(text) == told


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("\nwhile True: pass", ":2"),
        ("import time\ntime.sleep(60)", ":2"),
        ("import socket\na, b = socket.socketpair()\na.recv(1)", ":3"),
    ],
    ids=["loop", "sleep", "socket"],
)
async def test_what_takes_too_long_is_told_with_its_line(ground: Ground, text: str, line: str) -> None:
    assert await ground.error(text, seconds=0.3) == f"a.py{line}: the import took longer than 0.3 s"


async def test_what_catches_its_own_deadline_is_killed(ground: Ground) -> None:
    text = "import signal\nsignal.signal(signal.SIGALRM, signal.SIG_IGN)\nwhile True: pass"
    assert await ground.error(text, 0.2) == "a.py: the import took longer than 0.2 s, and can't be interrupted"


async def test_closing_every_file_costs_only_oneself(ground: Ground) -> None:
    told = await ground.error("import os; os.closerange(3, 200)")
    assert told == "a.py: closed the trial process's connection to the bot"
    assert (await ground.verdicts({"a": COMMAND}))[0].error is None


async def test_a_group_that_dies_costs_only_itself(ground: Ground) -> None:
    """What comes after it is tried in the next process."""
    groups = [{"a": COMMAND}, {"b": "import os; os._exit(1)"}, {"c": COMMAND}, {"d": "1 / 0"}, {"e": COMMAND}]
    told = [str(verdict.error or "") for verdict in await ground.verdicts(*groups)]
    assert told == [
        "",
        "b.py: ended the trial process (exit code 1)",
        "",
        "d.py:1: ZeroDivisionError: division by zero",
        "",
    ]


async def test_the_unit_that_was_at_work_is_named(ground: Ground) -> None:
    group = {"_x": "v = 1", "_y": "import os; os._exit(4)", "a": "from plugins import _x, _y"}
    (verdict,) = await ground.verdicts(group)
    assert str(verdict.error) == "_y.py: ended the trial process (exit code 4)" and verdict.error.plugin == "_y"  # type: ignore[union-attr]


async def test_a_trial_can_be_told_from_the_bot(ground: Ground) -> None:
    (verdict,) = await ground.verdicts({"a": "import os\nassert os.environ['NEVERQUIT_TRIAL'] == '1'"})
    assert verdict.error is None and "NEVERQUIT_TRIAL" not in os.environ


# --- nothing is left


async def test_children_of_a_trial_end_with_it(ground: Ground, tmp_path: Path) -> None:
    """Those in its own process group, however many."""
    text = (
        f"import os, subprocess, sys\np = [subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']) "
        f"for _ in range(3)]\nopen({str(tmp_path / 'pids')!r}, 'w').write(' '.join(str(x.pid) for x in p) + chr(10))\n"
    )
    await ground.verdicts({"a": text})
    pids = await written(tmp_path / "pids")
    ground.trial.over()
    await ends(*pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has subreapers")
async def test_what_leaves_the_session_of_a_trial_ends_with_it(forked: Ground, tmp_path: Path) -> None:
    path = str(tmp_path / "pids")
    text = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        os.setsid()\n"
        f"        open({path!r}, 'w').write(str(os.getpid()) + chr(10))\n        time.sleep(60)\n    os._exit(0)\n"
        f"while not os.path.exists({path!r}): time.sleep(0.01)\nos._exit(1)"
    )
    await forked.verdicts({"a": text})
    await ends(*await written(tmp_path / "pids"))


async def test_a_forked_child_that_comes_back_does_not_answer_for_the_next_group(ground: Ground) -> None:
    first, second = await ground.verdicts({"a": f"import os\nos.fork()\n{COMMAND}"}, {"b": "import os\nos._exit(5)"})
    assert first.error is None
    assert str(second.error) == "b.py: ended the trial process (exit code 5)"


async def test_a_process_that_multiplies_is_ended_with_all_of_them(forked: Ground, tmp_path: Path) -> None:
    path = str(tmp_path / "pids")
    text = (
        f"import os, time\nwith open({path!r}, 'w') as file:\n    for _ in range(50):\n        pid = os.fork()\n"
        "        if pid == 0:\n            while True: time.sleep(1)\n        file.write(f'{pid} ')\n"
        "    file.write(chr(10))\n"
        "os.kill(os.getpid(), 9)"
    )
    assert await forked.error(text) == "a.py: killed the trial process (signal 9, SIGKILL)"
    await ends(*await written(tmp_path / "pids"))


async def test_a_trial_that_is_killed_from_outside_is_begun_once_more(ground: Ground, tmp_path: Path) -> None:
    text = (
        f"import os, pathlib\npath = pathlib.Path({str(tmp_path / 'x')!r})\nif not path.exists():\n    path.touch()\n"
    )
    text += f"    os.kill(os.getpid(), 9)\n{COMMAND}"
    assert (await ground.verdicts({"a": text}))[0].error is None


async def test_closing_ends_every_process(ground: Ground) -> None:
    await ground.verdicts({"a": COMMAND})
    child = ground.trial._child
    assert child is not None
    pids = [child.pid] + ([ground.spares._zygote._process.pid] if ground.spares._zygote else [])
    await ground.trial.close()
    await ends(*pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")
async def test_no_process_outlives_a_bot_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "pids"
    program = (
        "import asyncio, os, sys\nsys.path[:] = sys.argv[2:]\nfrom bot.live.trialspares import Spares\n"
        "async def main():\n    spares = Spares(fork=True)\n    spare = await spares.take()\n"
        "    open(sys.argv[1], 'w').write(f'{spare.pid} {spares._zygote._process.pid}' + chr(10))\n"
        "    os.kill(os.getpid(), 9)\nasyncio.run(main())"
    )
    bot = await asyncio.create_subprocess_exec(sys.executable, "-c", program, str(path), *sys.path)
    assert await bot.wait() == -signal.SIGKILL
    await ends(*await written(path))


# --- the processes themselves


async def test_signals_that_the_bot_has_blocked_are_not_blocked_there(ground: Ground) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGALRM})
    try:
        assert await ground.error("import os; os._exit(4)") == "a.py: ended the trial process (exit code 4)"
        assert await ground.error("while True: ...", 0.1) == "a.py:1: the import took longer than 0.1 s"
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


async def test_a_spare_is_there_before_it_is_asked_for(forked: Ground) -> None:
    await forked.verdicts({"a": COMMAND})
    forked.trial.over()
    await until(lambda: forked.spares._ready is not None)
    assert forked.spares._ready is not None
    ready = await asyncio.shield(forked.spares._ready)
    await forked.verdicts({"a": COMMAND})
    assert forked.trial._child is ready


async def test_a_spare_that_died_while_it_waited_is_replaced(forked: Ground) -> None:
    forked.trial.prepare()
    assert forked.spares._ready is not None
    spare = await asyncio.shield(forked.spares._ready)
    os.kill(spare.pid, signal.SIGKILL)
    await asyncio.wait([spare.ended])
    assert (await forked.verdicts({"a": COMMAND}))[0].error is None


async def test_a_zygote_that_died_is_started_anew(forked: Ground) -> None:
    await forked.verdicts({"a": COMMAND})
    first = forked.spares._zygote
    assert first is not None
    first._process.kill()
    await until(lambda: not first.alive)
    forked.trial.over()
    assert (await forked.verdicts({"a": COMMAND}))[0].error is None
    assert forked.spares._zygote is not first


async def test_a_zygote_that_hangs_is_killed_and_started_anew(forked: Ground, monkeypatch: Any) -> None:
    await forked.verdicts({"a": COMMAND})
    first = forked.spares._zygote
    assert first is not None
    os.kill(first._process.pid, signal.SIGSTOP)
    monkeypatch.setattr("bot.live.trialspares.READY_SECONDS", 2.0)
    forked.trial.over()
    assert (await forked.verdicts({"a": COMMAND}))[0].error is None
    await ends(first._process.pid)


async def test_where_zygotes_keep_ending_trials_are_fresh_interpreters(forked: Ground, monkeypatch: Any) -> None:
    class Dying(Zygote):
        def __init__(self, process: Begun) -> None:
            super().__init__(process)
            process.kill()

    monkeypatch.setattr("bot.live.trialspares.Zygote", Dying)
    assert [verdict.error for verdict in await forked.verdicts({"a": COMMAND})] == [None]
    assert forked.spares._zygote is None


async def test_without_any_process_the_reload_says_so(forked: Ground, monkeypatch: Any) -> None:
    def refuse(*_: str) -> list[str]:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("bot.live.trialorigin.python", refuse)
    monkeypatch.setattr("bot.live.trialspares.python", refuse)
    (one,) = await forked.trial.compile([unit("a", COMMAND)])
    assert str(one.error) == "a.py: it can't be tried: [Errno 11] Resource temporarily unavailable"
    good = Compiled(unit("a", COMMAND), {}, frozenset(), "a")
    (verdict,) = await forked.trial.prove([[good]], {}, nothing, 5.0)
    assert isinstance(verdict.error, PluginError)
    with pytest.raises(CannotTry):
        await forked.spares.take()


async def test_modules_that_plugins_import_are_in_the_next_spare(forked: Ground) -> None:
    await forked.verdicts({"a": "import colorsys\n" + COMMAND})
    assert "colorsys" in forked.spares.warm
    forked.trial.over()
    (verdict,) = await forked.verdicts({"a": "import sys\nassert 'colorsys' in sys.modules\n" + COMMAND})
    assert verdict.error is None


async def test_an_import_that_ends_spares_is_not_done_ahead_again(
    forked: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "deadly.py").write_text("import os; os._exit(1)")
    monkeypatch.syspath_prepend(tmp_path)
    forked.spares.warm["deadly"] = None
    (verdict,) = await forked.verdicts({"a": COMMAND})
    assert verdict.error is None and "deadly" not in forked.spares.warm
