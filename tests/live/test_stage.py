"""The stage itself: what every case must hold is really looked at. Each row breaks one of them, and `verify` must say
so; else 66 cases would pass on a bot that holds none of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable
from itertools import pairwise
from pathlib import Path

import pytest
from stage import TICKS, Stage, opened

Break = Callable[[Stage], Awaitable[object]]


BLOCK = """import time

from bot import command


@command("block")
async def block(ctx):
    time.sleep(1.5)
"""


async def _block_the_loop(stage: Stage) -> None:
    await stage.write("block.py", BLOCK)
    await stage.report(r"block loaded g1 .*")
    await stage.ask("!block")


async def _answer_twice(stage: Stage) -> None:
    await stage.edit("hello.py", 'return "hello 1"', 'return ["hello 1", "hello 1"]')
    await stage.report(r"hello g1 -> g2 .*")
    while ("hello 1", "hello 1") not in pairwise(stage.crowd.heard):
        await stage.ask()


async def _forget_a_commit(stage: Stage) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.reports.next()


async def _lose_the_counter(stage: Stage) -> None:
    await stage.ask("!count")
    await stage.edit("count.py", 'keep("calls", dict)', "{}")
    await stage.report(r"count g1 -> g2 .*")
    await stage.ask("!count")


async def _leave_a_file(stage: Stage) -> None:
    (stage.folder / "plugins" / "stray").touch()


THREAD = """import threading

threading.Thread(target=threading.Event().wait, name="left", daemon=True).start()
"""


async def _leave_a_thread(stage: Stage) -> None:
    await stage.write("left.py", THREAD)
    await stage.report(r"left loaded g1 .*")


async def _say_a_trace(stage: Stage) -> None:
    await stage.edit("hello.py", 'return "hello 1"', 'return "Traceback (most recent call last):"')
    await stage.report(r"hello g1 -> g2 .*")
    await stage.crowd.spare("!hello")
    await stage.ask("!hello")


async def _log_an_error(stage: Stage) -> None:
    await stage.edit("hello.py", 'return "hello 1"', 'ctx.log.error("odd")\n    return "hello 1"')
    await stage.report(r"hello g1 -> g2 .*")
    await stage.ask("!hello")


async def _leave_a_channel(stage: Stage) -> None:
    await stage.order(f"!part {TICKS}")


async def _change_what_nobody_expects(stage: Stage) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")


async def _break_what_nobody_expects(stage: Stage) -> None:
    await stage.write("hello.py", "(")


async def _delete_what_nobody_expects(stage: Stage) -> None:
    await stage.crowd.spare("!hello")
    await stage.do(("delete", "plugins/hello.py"))


async def _answer_from_another(stage: Stage) -> None:
    stage.process += 1


BREAKS = {
    _block_the_loop: "a PING was not answered within",
    _answer_twice: "!hello was asked",
    _forget_a_commit: "'hello': 2",
    _lose_the_counter: "I2: ",
    _leave_a_file: "I7: ",
    _leave_a_thread: "I5, I6: .*threads",
    _say_a_trace: "I8: ",
    _log_an_error: "errors in the log",
    _leave_a_channel: "I1: .*PART",
    _change_what_nobody_expects: "hello g1 -> g2 ",
    _break_what_nobody_expects: "hello stays g1: ",
    _delete_what_nobody_expects: "hello unloaded",
    _answer_from_another: "another process answers",
}


@pytest.mark.parametrize(("break_it", "complaint"), BREAKS.items(), ids=[each.__name__.strip("_") for each in BREAKS])
async def test_what_is_broken_is_said(
    tmp_path: Path, break_it: Break, complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as stage:
        await break_it(stage)
        if break_it is _leave_a_thread:
            monkeypatch.setattr("stage.PATIENCE_SECONDS", 1.0)  # it asks again and again until it is right
        with pytest.raises(AssertionError, match=complaint):
            await stage.verify()


async def test_a_bot_that_ends_fails_the_case_at_once(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="exit code -9"):
        async with opened(tmp_path) as stage:
            os.kill(stage.process, signal.SIGKILL)
            with pytest.raises(AssertionError, match="the bot has ended"):
                await stage.verify()
