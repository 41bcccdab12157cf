"""bot/live/strays.py: what plugin code starts or opens by itself."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bot.api.http import shared
from bot.dispatch.owner import Owner
from bot.live.imprint import imprint_of
from bot.live.strays import Strays, audit


@pytest.fixture
def owner() -> Owner:
    audit()
    made = Owner("weather")
    imprint_of(made)
    return made


@pytest.fixture
def strays(owner: Owner) -> Strays:
    return imprint_of(owner).strays


def nothing(value: Any) -> bool:
    return False


def test_a_socket_is_told_until_it_is_closed(owner: Owner, strays: Strays) -> None:
    with owner.entered():
        door = socket.create_server(("127.0.0.1", 0))
    assert strays.left() == [f"socket {door.getsockname()}"]
    door.close()
    assert strays.left() == []


def test_a_socket_that_is_collected_is_forgotten(owner: Owner, strays: Strays) -> None:
    with owner.entered(), pytest.warns(ResourceWarning):
        socket.create_server(("127.0.0.1", 0))
    assert strays.left() == []


def test_sockets_of_the_bot_are_nobodys(owner: Owner, strays: Strays) -> None:
    outside = socket.socket()
    token = shared.set(True)
    with owner.entered():
        inside = socket.socket()
    shared.reset(token)
    assert strays.left() == []
    outside.close()
    inside.close()


@pytest.fixture
def sleeping() -> Iterator[list[str]]:
    yield [sys.executable, "-c", "import time; time.sleep(600)"]


def test_a_process_is_ended(owner: Owner, strays: Strays, sleeping: list[str]) -> None:
    """That the borrowed local `self` is there is seen by it, too."""
    with owner.entered():
        process = subprocess.Popen(sleeping)
    assert strays.left() == [f"process {process.pid} ({' '.join(sleeping)[:40]})"]
    assert strays.end(nothing) == [f"process {process.pid} ({' '.join(sleeping)[:40]})"]
    process.wait(10)
    assert strays.left() == [] and strays.end(nothing) == []


def test_a_process_of_a_session_of_its_own_is_meant_to_stay(owner: Owner, strays: Strays, sleeping: list[str]) -> None:
    with owner.entered():
        process = subprocess.Popen(sleeping, start_new_session=True)
    assert strays.end(nothing) == [] and strays.left() == []
    process.kill()
    process.wait(10)


async def test_a_process_of_asyncio_is_ended_and_its_status_left_to_asyncio(
    owner: Owner, strays: Strays, sleeping: list[str]
) -> None:
    with owner.entered():
        process = await asyncio.create_subprocess_exec(*sleeping)
    strays.end(nothing)
    assert await asyncio.wait_for(process.wait(), 10) == -15


def test_a_thread_that_runs_its_code_is_told_and_a_timer_called_off(strays: Strays) -> None:
    free = threading.Event()

    def mine() -> None:
        free.wait(10)

    thread = threading.Thread(target=mine, name="feed", daemon=True)
    timer = threading.Timer(600, mine)
    thread.start()
    timer.start()
    assert strays.end(lambda value: value is mine) == [f"the timer thread {timer.name}"]
    timer.join(10)
    assert strays.left() == ["thread feed"]
    free.set()
    thread.join(10)
    assert strays.left() == []


async def test_a_timer_of_the_loop_is_called_off() -> None:
    def mine() -> None: ...

    loop = asyncio.get_running_loop()
    direct, wrapped = loop.call_later(600, mine), loop.call_later(600, print, mine)
    other = loop.call_later(600, print)
    assert len(Strays().end(lambda value: value is mine)) == 2
    assert (direct.cancelled(), wrapped.cancelled(), other.cancelled()) == (True, True, False)
    other.cancel()


async def test_a_timer_that_is_due_is_called_off_before_it_starts_the_next() -> None:
    started = []

    def mine() -> None:
        started.append(asyncio.get_running_loop().call_later(600, mine))

    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.call_at(loop.time() - 2, lambda: ended.set_result(Strays().end(lambda value: value is mine)))
    loop.call_at(loop.time() - 1, mine)  # due in the same turn of the loop, behind the one that ends it
    assert len(await ended) == 1
    assert started == []


async def test_a_callback_of_the_next_turn_is_called_off() -> None:
    def mine() -> None:
        raise AssertionError

    handle = asyncio.get_running_loop().call_soon(mine)
    name = mine.__qualname__
    assert Strays().end(lambda value: value is mine) == [f"a callback of the loop for {name}"]
    assert handle.cancelled()
