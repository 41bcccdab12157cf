"""bot/wire/workers.py: a worker's process, as it is started."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from bot.wire.socketlink import SocketEnd
from bot.wire.workers import start


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/dev/fd").iterdir())


def children() -> set[str]:
    me = os.getpid()
    return set(Path(f"/proc/{me}/task/{me}/children").read_text().split())


async def test_nothing_is_awaited_between_the_start_of_a_process_and_its_place_in_the_list(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or who reaps all children would reap one that he does not know, and its end be waited for forever."""
    begun, go_on = asyncio.Event(), asyncio.Event()
    over = SocketEnd.over

    async def slowly(half: object) -> SocketEnd:
        begun.set()
        await go_on.wait()
        return await over(half)  # type: ignore[arg-type]

    monkeypatch.setattr(SocketEnd, "over", slowly)
    before = children()
    starting = asyncio.get_running_loop().create_task(start([sys.executable, "-SE", "-c", "pass"], 0.0))
    await begun.wait()
    assert children() == before
    go_on.set()
    worker = await starting
    os.waitpid(worker.pid, 0)  # noqa: ASYNC222  # nor this for long
    worker.link.abort()
    worker.stacks.close()


async def test_one_that_can_not_be_started_leaves_nothing_open() -> None:
    before = descriptors()
    with pytest.raises(OSError, match="nowhere"):
        await start(["/nowhere"], 0.0)
    await asyncio.sleep(0)  # asyncio closes in a turn of its own
    assert descriptors() == before
