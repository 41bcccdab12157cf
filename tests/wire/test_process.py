"""bot/wire/process.py: processes that are started alike, die together and leave nobody behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bot.wire import process

ROOT = Path(__file__).parents[2]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="Linux alone has it")


def run(code: str, *arguments: str, cwd: Path | None = None, ignoring: int | None = None) -> subprocess.Popen[str]:
    """Another process that can import the bot."""

    def prepare() -> None:
        if ignoring is not None:
            signal.signal(ignoring, signal.SIG_IGN)

    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=prepare,  # no threads here
    )


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_command_runs_the_main_of_this_very_bot_wherever_it_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bot").mkdir()
    (tmp_path / "bot" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    packages = tmp_path / "packages"  # where ours is installed, and others left what they should not
    packages.mkdir()
    (packages / "bot").symlink_to(ROOT / "bot")
    for name in ("typing", "selectors", "dataclasses"):
        (packages / f"{name}.py").write_text("raise SystemExit('a backport of long ago')")
    monkeypatch.setattr(process, "__file__", str(packages / "bot" / "wire" / "process.py"))
    command = process.command("bot.wire.nothing", "an argument")
    assert command[-2:] == ["neverquit-nothing", "an argument"]
    done = subprocess.run(process.command("bot.reread", "nowhere.yaml"), cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0 and b"nowhere.yaml" in done.stdout


def test_a_signal_that_is_held_back_comes_when_somebody_hears_it() -> None:
    code = "import signal, sys\nfrom bot.wire import process\nprocess.hear_later()\nprint('held', flush=True)\n"
    code += (
        "sys.stdin.readline()\nsignal.signal(signal.SIGTERM, lambda *_: print('heard', flush=True))\nprocess.hear()\n"
    )
    with run(code) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == "held\n"
        other.send_signal(signal.SIGTERM)
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "heard\n"
    assert other.returncode == 0


@LINUX
def test_a_process_dies_with_its_parent() -> None:
    child = "import sys, time\nfrom bot.wire import process\nprocess.die_with_parent(int(sys.argv[1]))\n"
    child += "print('up', flush=True)\ntime.sleep(600)\n"
    code = "import os, subprocess, sys\n"
    code += "p = subprocess.Popen([sys.executable, '-c', sys.argv[1], str(os.getpid())], stdout=subprocess.PIPE)\n"
    code += "p.stdout.readline()\nprint(p.pid, flush=True)\nsys.stdin.read()\n"
    with run(code, child) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.kill()
    deadline = time.monotonic() + 20
    while alive(pid) and time.monotonic() < deadline:
        os.sched_yield()
    assert not alive(pid)


def test_one_whose_parent_is_gone_already_ends_at_once() -> None:
    code = "from bot.wire import process\nprocess.die_with_parent(1 << 22)\nprint('still here')\n"
    with run(code) as other:
        assert other.stdout is not None and other.stdout.read() == ""
    assert other.returncode == 0


@pytest.mark.parametrize("held", ["re.match('(a+)+$', 'a' * 60 + 'b')", "time.sleep(600)"])
def test_where_the_kernel_does_not_end_it_a_process_that_stands_still_ends_by_itself(held: str) -> None:
    """The expression holds the interpreter's lock, so no thread of Python would come to its turn."""
    code = f"""
import re, sys, time
from bot.wire import process
sys.platform = "darwin"
process.end_unless_again(600, 1)
process.end_unless_again(0.05, 1)
{held}
"""
    with run(code) as other:
        assert other.stdout is not None
        assert 'File "<string>", line 7' in other.stdout.read()
    assert other.returncode == 1


@LINUX
def test_what_a_child_has_left_behind_is_ended_by_its_group_alone() -> None:
    code = """
import os, signal, subprocess, sys
from bot.wire import process
process.adopt_orphans()
leave = "import subprocess as s, sys; print(s.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid)"
first = subprocess.Popen([sys.executable, "-c", leave], stdout=subprocess.PIPE, start_new_session=True, text=True)
other = subprocess.Popen([sys.executable, "-c", leave], stdout=subprocess.PIPE, start_new_session=True, text=True)
orphan, another = int(first.stdout.readline()), int(other.stdout.readline())
first.wait(), other.wait()
process.end_strays(signal.SIGKILL, first.pid)
print(os.waitpid(orphan, 0)[1], os.waitpid(another, os.WNOHANG)[0])
process.end_strays(signal.SIGKILL)
print(os.waitpid(another, 0)[1])
"""
    with run(code) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.read().split() == ["9", "0", "9"]


def test_a_signal_to_nobody_is_nothing() -> None:
    child = run("pass")
    child.communicate()
    process.send(child.pid, signal.SIGTERM)


@pytest.mark.parametrize("ignoring", [None, signal.SIGHUP], ids=["as ever", "under nohup"])
def test_without_a_terminal_a_hang_up_is_never_its_end(ignoring: int | None) -> None:
    code = "import os\nos.setsid()\nfrom bot.wire.process import Terminal\nprint(Terminal().has_gone())\n"
    with run(code, ignoring=ignoring) as other:
        assert other.stdout is not None and other.stdout.read() == "False\n"
