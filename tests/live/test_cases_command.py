"""Case 65 of the reload catalogue and L28: the same change asked for by several at once, in chat and from outside."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from program import CHECKOUT
from stage import BOT, TALK, Stage, both_modes

from bot.server import Client

unwatched = pytest.mark.parametrize("stage", [{"watch": False}], indirect=True, ids=["unwatched"])

STEP = r"hello g1 -> g2 \(\w{7} -> \w{7}\): ~hello, \d+ ms"
GATED = '''"""Says hello, once its setup was let through."""

import asyncio
from pathlib import Path

from bot import command, setup


@setup
async def wait(ctx):
    if await asyncio.to_thread(Path("gate").read_bytes):
        raise RuntimeError("not today")


@command("hello")
async def hello(ctx):
    return "hello 2"
'''


class Gate:
    """Where the `setup` of `GATED` waits; `open` returns when it has come there, and `close` lets it through."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "gate"
        os.mkfifo(self._path)

    async def open(self) -> None:
        self._end = await asyncio.to_thread(os.open, self._path, os.O_WRONLY)

    def close(self, word: bytes = b"") -> None:
        """With a word, the setup fails."""
        os.write(self._end, word)
        os.close(self._end)


@asynccontextmanager
async def another_admin(stage: Stage) -> AsyncIterator[Client]:
    client = await Client.connect("127.0.0.1", stage.server.port, "adm2", account="alice", password="secret")
    client.send(f"JOIN {TALK}")
    await client.expect(" 366 ")
    try:
        yield client
    finally:
        await client.close()


async def said(stage: Stage, client: Client, text: str) -> None:
    """Say a line, and wait until the bot has begun with it."""
    since = len(stage.server.log)
    client.privmsg(TALK, text)
    await stage.server.wait_for(
        lambda nick, way, line: (nick, way) == (BOT, "out") and line.endswith(f":{text}"), since=since, timeout=15
    )
    await stage.ask()


async def ctl(stage: Stage, *words: str) -> tuple[int, str, str]:
    """Run `neverquit ctl` to its end: exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "ctl", *words),
        cwd=stage.folder,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_65_a_reload_by_command_while_the_same_save_is_built_is_that_one(stage: Stage) -> None:
    gate = Gate(stage.folder)
    async with another_admin(stage) as other:
        await stage.write("hello.py", GATED)
        await gate.open()
        await said(stage, stage._people["adm"], "!reload hello")
        await said(stage, other, "!reload hello")
        gate.close()
        answers = {await stage.talk.next(), await stage.talk.next()}
    assert answers == {await stage.report(STEP)}
    assert await stage.ask("!hello") == ["hello 2"]


@both_modes
@unwatched
async def test_l28_two_admins_and_a_script_are_told_of_one_step(stage: Stage) -> None:
    gate = Gate(stage.folder)
    async with another_admin(stage) as other:
        await stage.write("hello.py", GATED)
        await said(stage, stage._people["adm"], "!reload hello")
        await gate.open()
        await said(stage, other, "!reload hello")
        asking = asyncio.create_task(ctl(stage, "reload", "hello"))
        await stage.program.logged("neverquit ctl: reload hello")
        gate.close()
        answers = {await stage.talk.next(), await stage.talk.next()}
        code, out, err = await asking
    assert answers == {await stage.report(STEP)} == {out.strip()} and (code, err) == (0, "")


async def test_l28_a_version_that_fails_is_told_once_and_to_all_who_ask(stage: Stage) -> None:
    gate = Gate(stage.folder)
    async with another_admin(stage) as other:
        await stage.write("hello.py", GATED)
        await gate.open()
        await said(stage, stage._people["adm"], "!reload hello")
        await said(stage, other, "!reload hello")
        gate.close(b"fail")
        answers = {await stage.talk.next(), await stage.talk.next()}
    assert answers == {await stage.refused(r"hello stays g1: hello\.py:12: setup: RuntimeError: not today; .*")}
    await stage.trace('raise RuntimeError("not today")')


async def test_l28_a_newcomer_that_fails_is_told_once_and_to_who_asks(stage: Stage) -> None:
    gate = Gate(stage.folder)
    await stage.write("fresh.py", GATED.replace('"hello"', '"fresh"'))
    await gate.open()
    await said(stage, stage._people["adm"], "!load fresh")
    gate.close(b"fail")
    answer = await stage.talk.next()
    assert answer == await stage.refused(r"fresh not loaded: fresh\.py:12: setup: RuntimeError: not today")
    await stage.trace('raise RuntimeError("not today")')


@unwatched
async def test_what_was_changed_again_in_that_moment_is_taken(stage: Stage) -> None:
    gate = Gate(stage.folder)
    async with another_admin(stage) as other:
        await stage.write("hello.py", GATED)
        await said(stage, stage._people["adm"], "!reload hello")
        await gate.open()
        await stage.put("base")
        await stage.edit("hello.py", "hello 1", "hello 3")
        await said(stage, other, "!reload hello")
        gate.close()
        first, second = await stage.talk.next(), await stage.talk.next()
    assert first == await stage.report(STEP) and second == await stage.report(r"hello g2 -> g3 .*")
    assert await stage.ask("!hello") == ["hello 3"]


@both_modes
@unwatched
async def test_a_script_reloads_what_it_has_deployed_and_hears_how_that_went(stage: Stage) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")
    code, out, err = await ctl(stage, "reload", "hello")
    assert (code, err) == (0, "") and re.fullmatch(STEP, out.strip())
    assert out.strip() == await stage.report(STEP) and await stage.ask("!hello") == ["hello 2"]
    good = stage.read("hello.py")
    await stage.write("hello.py", "x = (\n")
    code, out, err = await ctl(stage, "reload", "hello")
    assert (code, out) == (1, "") and err.startswith("hello stays g2: hello.py:1: SyntaxError: '(' was never closed")
    assert err.strip() == await stage.report("hello stays g2: .*")
    await stage.write("hello.py", good)
    code, out, err = await ctl(stage, "reload")
    assert (code, err) == (0, "") and out.count(" -> g") == len(stage.generations)
    await stage.report(".*")
