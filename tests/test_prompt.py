"""bot/prompt.py and the slash commands of bot/demo.py: the demo at a real terminal."""

from __future__ import annotations

import asyncio
import os
import pty
import re
import signal
import sys
import termios
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

ROOT = Path(__file__).parents[1]
SOON = 30.0
FLAGS = 3  # index of the local modes in what tcgetattr gives


class Demo:
    """The demo at the far end of a pseudo-terminal."""

    def __init__(self, process: asyncio.subprocess.Process, master: int, slave: int) -> None:
        self.process, self.master, self.slave = process, master, slave
        self.before = termios.tcgetattr(slave)
        self.seen = ""
        self.more = asyncio.Event()
        asyncio.get_running_loop().add_reader(master, self._read)

    def _read(self) -> None:
        try:
            self.seen += os.read(self.master, 65536).decode(errors="replace")
        except OSError:
            asyncio.get_running_loop().remove_reader(self.master)
        self.more.set()

    async def until(self, pattern: str) -> str:
        """Read on until a pattern is on the screen; return what came before it and it."""
        async with asyncio.timeout(SOON):
            while not (found := re.search(pattern, self.seen, re.DOTALL)):
                self.more.clear()
                await self.more.wait()
        text, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return text

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    async def ended(self) -> int:
        async with asyncio.timeout(SOON):
            return await self.process.wait()


@pytest_asyncio.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "echo.py").write_text(
        "from bot import command\n\n@command('echo')\ndef echo(ctx, text: str):\n    return text\n"
    )
    master, slave = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "demo"),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "40", "NO_COLOR": "1"},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    running = Demo(process, master, slave)
    await running.until("<you> ")
    yield running
    if process.returncode is None:
        process.kill()
        await process.wait()
    asyncio.get_running_loop().remove_reader(master)
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("how", ["/quit\n", "\x04", ""], ids=["quit", "ctrl-d", "interrupt"])
async def test_the_terminal_is_left_as_it_was_found(demo: Demo, how: str) -> None:
    if how:
        demo.type(how)
    else:
        demo.process.send_signal(signal.SIGINT)
    assert await demo.ended() == 0
    assert termios.tcgetattr(demo.slave)[FLAGS] == demo.before[FLAGS]


async def test_what_is_typed_is_answered(demo: Demo) -> None:
    demo.type("!echo tea\n")
    await demo.until("<neverquit> tea")


async def test_a_long_line_is_wrapped_at_blanks(demo: Demo) -> None:
    demo.type(f"!echo {'biscuit ' * 8}\n")
    text = await demo.until(r"<neverquit> (biscuit\s+){8}")
    assert re.search(r"biscuit\r\n {12}biscuit", text)


async def test_a_private_word_reaches_the_bot_alone(demo: Demo) -> None:
    demo.type("/msg neverquit echo psst\n")
    await demo.until("<neverquit> psst")


async def test_an_unknown_slash_command_is_never_said(demo: Demo) -> None:
    demo.type("/nickserv identify hunter2\n")
    await demo.until(r"\* /nickserv: there are /me TEXT")


async def test_two_slashes_say_one(demo: Demo) -> None:
    (Path(f"/proc/{demo.process.pid}/cwd") / "plugins" / "slash.py").write_text(
        "from bot import rule\n\n@rule('^/shrug$')\ndef shrug(ctx):\n    return 'said'\n"
    )
    await demo.until("slash loaded g1")
    demo.type("//shrug\n")
    await demo.until("<neverquit> said")


async def test_who_comes_and_goes_is_shown(demo: Demo) -> None:
    demo.type("!part\n")
    await demo.until(r"\* neverquit has left #demo")
    demo.type("/msg neverquit join #demo\n")
    await demo.until(r"\* neverquit has joined #demo")
