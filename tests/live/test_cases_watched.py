"""Cases L06, L07, L26, L27 and L29 of the reliability catalogue: what the watching itself meets and costs."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from program import Program
from stage import Stage, config

HELLO = 'from bot import command\n\n\n@command("hello")\nasync def hello(ctx):\n    return "hello {}"\n'

# In a name space of users of its own a bot can be given fewer watches than it has folders: itself, the one above.
FEW = ("unshare", "-Ur", "sh", "-c", 'echo {} > /proc/sys/user/{} && exec "$@"', "sh")


def few(limit: int, what: str) -> list[str]:
    return [part.format(limit, what) if "{}" in part else part for part in FEW]


def can_limit() -> bool:
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*few(3, "max_inotify_watches"), "true"], capture_output=True, check=False).returncode == 0


limited = pytest.mark.skipif(not can_limit(), reason="no name spaces of users here, to limit inotify in")


@limited
@pytest.mark.parametrize(
    ("stage", "why"),
    [
        ({"through": few(0, "max_inotify_instances")}, "inotify instance limit reached"),
        ({"through": few(1, "max_inotify_watches")}, "inotify watch limit reached"),
    ],
    indirect=["stage"],
    ids=["instances", "watches"],
)
async def test_l26_without_watches_the_folder_is_looked_at(stage: Stage, why: str) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.report(r"hello g1 -> g2 .*")
    assert len(await stage.program.logged(rf"no file events \({why}\); looking every 0\.25 s instead")) == 1


@limited
@pytest.mark.parametrize("stage", [{"through": few(2, "max_inotify_watches")}], indirect=True, ids=["one is left"])
async def test_l26_a_folder_that_gets_no_watch_is_looked_at(stage: Stage) -> None:
    await stage.do(
        ("write", "plugins/pkg/words.py", 'WORD = "pkg 1"\n'),
        (
            "write",
            "plugins/pkg/__init__.py",
            HELLO.replace("hello", "pkg").replace('"pkg {}"', "WORD") + "\nfrom .words import WORD\n",
        ),
    )
    await stage.report(r"pkg loaded g1 .*")
    await stage.write("pkg/words.py", 'WORD = "pkg 2"\n')
    await stage.report(r"pkg g1 -> g2 .*")
    assert await stage.ask("!pkg") == ["pkg 2"]
    assert len(await stage.program.logged(r"no file events \(inotify watch limit reached\)")) == 1


# Root may read everything, but for one without that capability.
MORTAL = () if os.geteuid() else ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


@pytest.mark.skipif(bool(MORTAL) and shutil.which("setpriv") is None, reason="root may read everything")
@pytest.mark.parametrize("stage", [{"through": MORTAL, "sweep_seconds": 0.2}], indirect=True, ids=["mortal"])
async def test_l07_a_file_that_can_not_be_read_is_told_of_once(stage: Stage) -> None:
    """That it may be read again is no event, and a sweep finds it."""
    text = stage.edited("hello.py", "hello 1", "hello 2")
    await stage.do(("write", "new", text), ("shell", "install -m 0 new plugins/hello.py"))
    await stage.report(r"hello stays g1: hello\.py: Permission denied; the old version goes on answering")
    assert await stage.ask("!hello") == ["hello 1"]
    await stage.do(("chmod", "plugins/hello.py", "644"))
    await stage.report(r"hello g1 -> g2 .*")
    assert await stage.ask("!hello") == ["hello 2"]


# --- bots that are alone


@asynccontextmanager
async def running(folder: Path, *, answers: bool, hello: bool = True, **options: Any) -> AsyncIterator[Program]:
    """A bot whose server accepts and says nothing, or refuses; its reports are in the log."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    if hello:
        (folder / "plugins").mkdir()
        (folder / "plugins" / "hello.py").write_text(HELLO.format(1))
    if not answers:
        server.close()
    program = Program(folder, config(port, options))
    await program.start()
    try:
        yield program
    finally:
        code = await program.stop()
        server.close()
    assert code == 0


@pytest.mark.parametrize("answers", [True, False], ids=["registering", "in back-off"])
async def test_l27_an_edit_does_not_wait_for_the_network(tmp_path: Path, answers: bool) -> None:
    async with running(tmp_path, answers=answers) as program:
        await program.logged("hello loaded g1")
        (tmp_path / "plugins" / "hello.py").write_text(HELLO.format(2))
        await program.logged("hello g1 -> g2")


async def test_l06_a_folder_that_is_missing_at_the_start_is_waited_for(tmp_path: Path) -> None:
    async with running(tmp_path, answers=False, hello=False) as program:
        await program.logged("refused the connection")
        (tmp_path / "plugins").mkdir()
        (tmp_path / "plugins" / "hello.py").write_text(HELLO.format(1))
        await program.logged("hello loaded g1")


async def test_l29_a_bot_that_idles_reloads_nothing_and_costs_nothing(tmp_path: Path) -> None:
    """Its own reading makes no event that it would wake for. The second is the stimulus; nothing is waited for."""
    async with running(tmp_path, answers=True, sweep_seconds=0.1) as program:
        await program.logged("hello loaded g1")
        (tmp_path / "plugins" / "hello.py").write_text(HELLO.format(2))
        await program.logged("hello g1 -> g2")
        before = program.cpu_seconds()
        await asyncio.sleep(2)
        used = program.cpu_seconds() - before
        (tmp_path / "plugins" / "hello.py").write_text(HELLO.format(3))
        await program.logged("hello g2 -> g3")
        assert used < 0.2, f"{used} s of the processor in 2 s with 20 sweeps"
