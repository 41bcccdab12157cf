"""Where trial processes come from: forked ahead of the bot's start, in a process of one thread for each test."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bot.live.trialorigin import fork_ahead

ROOT = Path(__file__).parents[2]

# Its standard input is a pipe, and it has opened a file: neither is anything of a zygote's.
START = """
import asyncio, os, signal, sys
from pathlib import Path
from bot.live.trialorigin import fork_ahead
from bot.live.trialspares import Spares

def children(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

mine = open("mine", "w")
begun = fork_ahead()
(zygote,) = children(os.getpid())
"""


def run(folder: Path, text: str) -> str:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{START}{text}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, input="", capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode in (0, -9), done.stderr
    return done.stdout.strip()


def test_trials_come_from_it(tmp_path: Path) -> None:
    text = """
async def main():
    spares = Spares(begun=begun)
    spare = await spares.take()
    print(children(os.getpid()) == [zygote], spare.pid in children(zygote))
    spare.close()
    await spares.close()
    print(children(os.getpid()))

asyncio.run(main())
"""
    assert run(tmp_path, text) == "True True\n[]"


def test_it_has_nothing_open_that_was_the_bots(tmp_path: Path) -> None:
    text = """
async def main():
    spares = Spares(begun=begun)
    (await spares.take()).close()
    opened = [os.readlink(each) for each in Path(f"/proc/{zygote}/fd").iterdir()]
    print(sorted({each.partition(":")[0] for each in opened if "mine" in each or each.startswith(("/", "pipe"))}))
    print(os.readlink(f"/proc/{zygote}/fd/0"), os.getsid(zygote) == zygote)
    await spares.close()

asyncio.run(main())
"""
    assert run(tmp_path, text) == "['/dev/null', 'pipe']\n/dev/null True"  # its standard error is the bot's, a pipe


def test_one_that_was_never_asked_ends_with_the_rest(tmp_path: Path) -> None:
    text = """
async def main():
    await Spares(begun=begun).close()
    print(children(os.getpid()))

asyncio.run(main())
"""
    assert run(tmp_path, text) == "[]"


def test_it_ends_when_the_bot_is_killed(tmp_path: Path) -> None:
    text = """
print(zygote, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    zygote = int(run(tmp_path, text))
    try:
        process = os.pidfd_open(zygote)
    except ProcessLookupError:
        return
    with os.fdopen(process, "rb"):
        assert select.select([process], [], [], 10)[0], "it lives"


def test_another_takes_its_place_when_it_dies(tmp_path: Path) -> None:
    text = """
async def main():
    spares = Spares(begun=begun)
    os.kill(zygote, signal.SIGKILL)
    spare = await spares.take()
    (other,) = children(os.getpid())
    print(other != zygote, spare.pid in children(other))
    spare.close()
    await spares.close()

asyncio.run(main())
"""
    assert run(tmp_path, text) == "True True"


@pytest.mark.skipif(sys.platform != "linux", reason="as the others, it counts children in /proc")
def test_a_bot_that_has_threads_is_not_forked() -> None:
    free = threading.Event()
    thread = threading.Thread(target=free.wait)
    thread.start()
    try:
        assert fork_ahead() is None
    finally:
        free.set()
        thread.join()
