"""bot/dispatch/guard.py: what plugin code must not do to the process it runs in."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bot.dispatch import guard
from bot.dispatch.guard import guarded, task_factory
from bot.dispatch.owner import Owner


@pytest.fixture(autouse=True)
async def owning_loop() -> None:
    asyncio.get_running_loop().set_task_factory(task_factory)


@pytest.fixture
def owner() -> Owner:
    return Owner("rough", "1a2b3c4")


async def forever() -> None:
    await asyncio.Event().wait()


async def test_plugin_code_cannot_cancel_a_task_of_the_bot(owner: Owner, caplog: Any) -> None:
    task = asyncio.create_task(forever(), name="watcher")
    with owner.entered():
        assert not task.cancel()
    assert not task.cancelling() and "rough g0 may not cancel a task of the bot: watcher" in caplog.text
    assert task.cancel()


async def test_plugin_code_may_cancel_the_task_that_runs_its_own_call(owner: Owner) -> None:
    """`asyncio.timeout` does it, and so does the time-out of calls."""
    task = asyncio.create_task(forever())
    owner.calls[task] = lambda: None
    with owner.entered():
        assert task.cancel()


async def test_plugin_code_may_cancel_what_it_has_started(owner: Owner) -> None:
    with owner.entered():
        task = asyncio.create_task(forever())
        assert task.cancel()
    await asyncio.wait([task])


async def test_the_bots_own_commands_may_cancel_its_tasks() -> None:
    task = asyncio.create_task(forever())
    with Owner("bot", trusted=True).entered():
        assert task.cancel()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = guarded(asyncio.new_event_loop())
    yield made
    made.close()


REFUSED: list[Callable[[Any], object]] = [
    lambda loop: loop.stop(),
    lambda loop: loop.close(),
    lambda loop: loop.set_task_factory(None),
    lambda loop: loop.set_exception_handler(None),
]


@pytest.mark.parametrize("deed", REFUSED, ids=["stop", "close", "set_task_factory", "set_exception_handler"])
def test_only_the_bot_does_this_to_its_loop(
    loop: asyncio.AbstractEventLoop, owner: Owner, deed: Callable[[Any], object]
) -> None:
    with owner.entered(), pytest.raises(RuntimeError, match="rough may not call"):
        deed(loop)
    assert not loop.is_closed() and loop.get_task_factory() is task_factory


def test_the_bot_may_stop_its_loop(loop: asyncio.AbstractEventLoop) -> None:
    turned: list[bool] = []
    loop.call_soon(lambda: (turned.append(loop.is_running()), loop.stop()))
    loop.run_forever()
    assert turned == [True] and not loop.is_running()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_child_that_comes_back_into_the_loop_ends_is_buried_and_touches_no_socket(
    loop: asyncio.AbstractEventLoop, owner: Owner, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    """That the borrowed names `_selector` and `_run_once` are there is seen by it, too: it would never end."""
    family = guard._Family(loop)
    monkeypatch.setattr(guard, "_family", family)
    ours, theirs = os.pipe()
    children: list[int] = []

    async def fork() -> None:
        buried = asyncio.Event()
        loop.add_reader(family.heard, lambda: (family._bury(), buried.set()))
        loop.add_reader(ours, lambda: None)
        with owner.entered():
            children.append(os.fork())
            if not children[0]:
                guard._after_in_child()  # registered once for the program; here it is called by hand
        await buried.wait()

    loop.run_until_complete(asyncio.wait_for(fork(), 10))
    assert f"a forked process, {children[0]}, came back" in caplog.text
    with pytest.raises(ChildProcessError):
        os.waitpid(children[0], os.WNOHANG)
    for number in (ours, theirs):
        os.close(number)
