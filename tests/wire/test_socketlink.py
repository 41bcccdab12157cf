"""The link over a real socketpair."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from scripted import PATIENCE_SECONDS, until

from bot.wire import socketlink
from bot.wire.link import Frame, encode
from bot.wire.socketlink import SocketEnd

Pair = tuple[SocketEnd, SocketEnd]


@pytest_asyncio.fixture
async def pair() -> AsyncIterator[Pair]:
    one, other = socket.socketpair()
    ends = await SocketEnd.over(one), await SocketEnd.over(other)
    yield ends
    for end in ends:
        end.abort()
    await asyncio.sleep(0)


def news(text: str) -> Frame:
    return Frame("news", (), text.encode())


async def received(end: SocketEnd, count: int) -> list[str]:
    found, done = list[str](), asyncio.Event()

    def take(frame: Frame) -> None:
        found.append(frame.payload.decode())
        if len(found) >= count:
            done.set()

    end.on_frame = take
    await asyncio.wait_for(done.wait(), PATIENCE_SECONDS)
    return found


async def test_frames_arrive_whole_and_in_order_however_they_are_cut(pair: Pair) -> None:
    for number in range(1000):
        pair[0].send(news(str(number)))
    pair[0].send(news("x" * 3_000_000))
    found = await received(pair[1], 1001)
    assert found[:1000] == [str(number) for number in range(1000)] and len(found[-1]) == 3_000_000


async def test_a_frame_that_never_ends_ends_the_link(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(socketlink, "MOST_BYTES", 100_000)
    told = asyncio.Event()
    pair[1].on_close = told.set
    pair[0]._transport.write(b"news :" + b"x" * 200_000)  # type: ignore[union-attr]
    await asyncio.wait_for(told.wait(), PATIENCE_SECONDS)
    assert pair[1].closed and not pair[1]._rest and "never ends" in caplog.text


async def test_what_comes_before_anybody_takes_it_is_kept(pair: Pair) -> None:
    pair[0].send(news("early"))
    await until(lambda: pair[1]._early)
    assert await received(pair[1], 1) == ["early"]


async def test_an_end_that_was_aborted_delivers_nothing_more_although_more_is_readable(pair: Pair) -> None:
    found = list[Frame]()

    def take(frame: Frame) -> None:
        found.append(frame)
        pair[1].abort()

    pair[1].on_frame = take
    pair[0].send(news("one"))
    pair[0].send(news("two"))
    await until(lambda: found)
    await asyncio.sleep(0)
    assert [frame.payload for frame in found] == [b"one"]


async def test_the_other_end_is_told_of_the_end_once(pair: Pair) -> None:
    told = asyncio.Event()
    pair[1].on_close = told.set
    pair[0].close()
    await asyncio.wait_for(told.wait(), PATIENCE_SECONDS)
    assert pair[1].closed
    pair[1].send(news("nowhere"))


async def test_who_does_not_read_is_full_until_it_does(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    room = asyncio.Event()
    pair[0].on_room = room.set
    assert pair[1]._transport is not None
    pair[1]._transport.pause_reading()
    while not pair[0].full:
        pair[0].send(news("x" * 100_000))
    assert pair[0]._transport is not None
    assert pair[0]._transport.get_write_buffer_size() < socketlink.FULL_BYTES + 200_000
    pair[1].on_frame = lambda frame: None
    pair[1]._transport.resume_reading()
    await asyncio.wait_for(room.wait(), PATIENCE_SECONDS)
    assert not pair[0].full


async def test_what_is_no_frame_and_what_nobody_can_take_cost_one_frame(
    pair: Pair, caplog: pytest.LogCaptureFixture
) -> None:
    found = list[bytes]()

    def take(frame: Frame) -> None:
        if frame.payload == b"bad":
            raise RuntimeError("not this one")
        found.append(frame.payload)

    pair[1].on_frame = take
    assert pair[0]._transport is not None
    pair[0]._transport.write(b"nonsense of no version\n" + encode(news("bad")) + encode(news("good")))
    await until(lambda: found)
    assert found == [b"good"] and "is no frame" in caplog.text and "could not be taken" in caplog.text
