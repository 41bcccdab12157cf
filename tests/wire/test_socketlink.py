"""bot/wire/socketlink.py: one end of a link between processes, on a real socketpair."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator

import pytest

from bot.wire.link import Frame
from bot.wire.socketlink import FULL_BYTES, SocketEnd


class Link:
    """An end, what it has been told, and the bare socket at the other side."""

    def __init__(self, end: SocketEnd, other: socket.socket) -> None:
        self.end, self.other = end, other
        self.frames: list[Frame] = []
        self.came = asyncio.Event()
        end.on_frame = self.take

    def take(self, frame: Frame) -> None:
        self.frames.append(frame)
        self.came.set()

    async def write(self, raw: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self.other, raw)

    async def frame(self, count: int = 1) -> list[Frame]:
        async with asyncio.timeout(10):
            while len(self.frames) < count:
                self.came.clear()
                await self.came.wait()
        return self.frames


@pytest.fixture
async def link() -> AsyncIterator[Link]:
    ours, other = socket.socketpair()
    other.setblocking(False)
    made = Link(await SocketEnd.over(ours), other)
    yield made
    made.end.abort()
    other.close()


async def test_frames_are_cut_at_their_ends_however_the_bytes_come(link: Link) -> None:
    for part in (b"be", b"at\nline net 1 0 :a ", b"b\xff\r\nbeat", b"\n"):
        await link.write(part)
        await asyncio.sleep(0)
    assert await link.frame(3) == [Frame("beat"), Frame("line", ("net", "1", "0"), b"a b\xff\r"), Frame("beat")]


async def test_frames_wait_for_whoever_takes_them(link: Link) -> None:
    link.end.on_frame = None
    link.end.data_received(b"beat\nlive\n")
    assert link.frames == []
    link.end.on_frame = link.take
    assert link.frames == [Frame("beat"), Frame("live")]


async def test_what_is_no_frame_and_what_can_not_be_taken_costs_nothing_else(
    link: Link, caplog: pytest.LogCaptureFixture
) -> None:
    def take(frame: Frame) -> None:
        link.take(frame)
        if frame.verb == "live":
            raise RuntimeError("a fault of ours")

    link.end.on_frame = take
    with caplog.at_level(logging.ERROR):
        await link.write(b"nonsense\n\xff\xff\nlive\nbeat\n")
        assert await link.frame(2) == [Frame("live"), Frame("beat")]
    assert caplog.text.count("what came over the link is no frame") == 2
    assert caplog.text.count("a frame could not be taken") == 1


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_an_end_that_is_closed_delivers_nothing_more(link: Link, how: str) -> None:
    def take(frame: Frame) -> None:
        link.take(frame)
        getattr(link.end, how)()

    told: list[bool] = []
    link.end.on_frame, link.end.on_close = take, lambda: told.append(True)
    await link.write(b"beat\nlive\nlive\n")
    await link.frame(1)
    for _ in range(5):
        await asyncio.sleep(0)
    assert link.frames == [Frame("beat")] and told == [], "who has closed it knows"


async def test_the_other_side_going_is_told(link: Link) -> None:
    gone = asyncio.Event()
    link.end.on_close = gone.set
    link.other.close()
    await asyncio.wait_for(gone.wait(), 10)
    link.end.send(Frame("beat"))  # goes nowhere


async def test_a_side_that_does_not_read_is_told_of_and_holds_up_nobody(link: Link) -> None:
    room = asyncio.Event()
    link.end.on_room = room.set
    line = Frame("line", ("net", "1", "0"), b"x" * 65536)
    count = 0
    while not link.end.full:
        link.end.send(line)
        count += 1
    assert FULL_BYTES < count * 65536 < 2 * FULL_BYTES
    read = 0
    while not room.is_set():
        read += len(await asyncio.wait_for(asyncio.get_running_loop().sock_recv(link.other, 1 << 20), 10))
        await asyncio.sleep(0)
    assert not link.end.full and read > 0
