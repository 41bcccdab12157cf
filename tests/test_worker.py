"""bot/worker.py: which of the keeper's frames go where, and when. The process itself: test_life.py, test_poison.py."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.config import Log, Timeouts
from bot.wire.link import SHAPES, Frame
from bot.wire.socketlink import SocketEnd
from bot.worker import ALONE_SECONDS, OURS, Fork, Worker


class Ends:
    """A fork and the keeper's end of its link, and what came out of it, in order."""

    def __init__(self, keeper: SocketEnd, fork: Fork) -> None:
        self.keeper, self.fork = keeper, fork
        self.ours: list[str] = []
        self.others: list[str] = []

    def listen(self) -> None:
        self.fork.on_frame = lambda frame: self.others.append(frame.verb)

    def listen_for_ours(self) -> None:
        self.fork.on_ours = lambda frame: self.ours.append(frame.verb)

    async def come(self, *frames: Frame) -> None:
        """Send frames and wait until they have been read."""
        for frame in frames:
            self.keeper.send(frame)
        read = asyncio.get_running_loop().create_future()
        take = self.fork._take

        def last(frame: Frame) -> None:
            if frame.verb == "retire":
                read.set_result(None)
            else:
                take(frame)

        self.fork._link.on_frame = last
        self.keeper.send(Frame("retire"))
        await read
        self.fork._link.on_frame = take


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ours, its = socket.socketpair()
    keeper = await SocketEnd.over(ours)
    made = Ends(keeper, Fork(await SocketEnd.over(its)))
    yield made
    keeper.close()


HELLO = Frame("hello", ("1", "boot", "64"))
LINE = Frame("line", ("net", "1", "0"), b"PING")


def test_the_frames_about_the_bot_are_frames_of_the_link() -> None:
    assert set(SHAPES) >= OURS


async def test_frames_about_the_bot_come_before_anybody_listens_to_the_networks(ends: Ends) -> None:
    ends.listen_for_ours()
    await ends.come(HELLO, Frame("stop", (), b"bye"), LINE)
    assert (ends.ours, ends.others) == (["stop"], [])
    ends.listen()
    assert ends.others == ["hello", "line"]


async def test_frames_wait_for_whoever_takes_them(ends: Ends) -> None:
    ends.listen()
    await ends.come(Frame("hangup"), HELLO, Frame("news", (), b"x"))
    assert (ends.ours, ends.others) == ([], ["hello"])
    ends.listen_for_ours()
    assert ends.ours == ["hangup", "news"]


async def test_lines_wait_until_what_ended_the_worker_before_is_dealt_with(ends: Ends) -> None:
    ends.listen_for_ours()
    ends.listen()
    up = Frame("up", ("net", "0", "0"))
    await ends.come(Frame("skipped", ("net", "7"), b"x"), HELLO, up, LINE, Frame("live"), up)
    assert ends.others == ["hello", "up"], "the state of the networks is needed for that"
    ends.fork.release()
    assert ends.others == ["hello", "up", "line", "live", "up"]
    await ends.come(LINE)
    assert ends.others[-1] == "line"


async def test_the_end_of_the_keeper_is_told(ends: Ends) -> None:
    closed = asyncio.Event()
    ends.fork.on_close = closed.set
    ends.keeper.close()
    await asyncio.wait_for(closed.wait(), 10)


@pytest.mark.parametrize(("silence", "armed"), [(2.0, [(2.0 + ALONE_SECONDS, 7)]), (0.0, [])])
async def test_each_beat_puts_off_the_end_of_a_worker_whose_keeper_is_gone(
    ends: Ends, silence: float, armed: list[tuple[float, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = list[tuple[float, int]]()
    monkeypatch.setattr("bot.worker.end_unless_again", lambda *given: seen.append(given))
    settings = SimpleNamespace(reserve=False, timeouts=Timeouts(silence_seconds=silence), log=Log())
    app = SimpleNamespace(config=settings, reloader=SimpleNamespace(safety=SimpleNamespace()))
    worker = Worker(cast(Any, SimpleNamespace(app=app, in_short=lambda: "")), ends.fork, cast(Any, None), 7)
    worker._beat()
    assert seen == armed
