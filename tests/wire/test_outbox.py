from __future__ import annotations

import asyncio
import logging

import pytest

from bot.wire.link import Frame
from bot.wire.outbox import LIMIT_LINES, SENT, Outbox


def say(number: int) -> Frame:
    return Frame("say", ("n", "-/-", str(number), "1"), b"x")


def done(number: int) -> Frame:
    return Frame("done", (str(number),))


def numbers(sent: list[Frame]) -> list[str]:
    return [frame.fields[2] if frame.verb == "say" else f"done {frame.fields[0]}" for frame in sent]


async def test_with_credit_a_line_leaves_at_once() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 1, "n")
    assert outbox.say(say(0)) is SENT
    assert await outbox.say(say(0)) if outbox.credit else True
    assert numbers(sent) == ["0"]


async def test_without_credit_lines_wait_in_order_for_room() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 1, "n")
    waits = [outbox.say(say(number)) for number in range(4)]
    assert (numbers(sent), len(outbox)) == (["0"], 3)
    outbox.room(2)
    assert numbers(sent) == ["0", "1", "2"]
    assert [await wait for wait in waits[:3]] == [True, True, True]
    outbox.room(1)
    assert await waits[3]


async def test_a_new_line_never_overtakes_a_waiting_one() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "n")
    outbox.say(say(0))
    outbox.say(say(1))
    outbox.room(1)
    outbox.say(say(2))
    outbox.room(5)
    assert numbers(sent) == ["0", "1", "2"]


async def test_done_waits_for_the_lines_before_it_and_costs_no_credit() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "n")
    outbox.say(say(0))
    outbox.then(lambda: sent.append(done(7)))
    outbox.then(lambda: sent.append(done(8)))
    outbox.say(say(1))
    assert sent == []
    outbox.room(1)
    assert numbers(sent) == ["0", "done 7", "done 8"]


async def test_done_with_nothing_waiting_leaves_at_once() -> None:
    sent = list[Frame]()
    Outbox(sent.append, 0, "n").then(lambda: sent.append(done(7)))
    assert numbers(sent) == ["done 7"]


async def test_room_below_zero_takes_credit() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 2, "n")
    outbox.room(-2)
    outbox.say(say(0))
    assert sent == []


async def test_beyond_the_limit_the_oldest_is_dropped_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "libera")
    first = outbox.say(say(0))
    outbox.then(lambda: sent.append(done(0)))
    with caplog.at_level(logging.WARNING):
        for number in range(1, LIMIT_LINES + 3):
            outbox.say(say(number))
    assert (outbox.dropped, len(outbox)) == (3, LIMIT_LINES)
    assert await first is False
    assert numbers(sent) == ["done 0"]
    assert [record.getMessage() for record in caplog.records] == [
        "libera: more is said than may be sent: 1 of the oldest lines dropped",
        "libera: more is said than may be sent: 2 of the oldest lines dropped",
    ]
    outbox.room(1)
    assert numbers(sent)[1:] == ["3"]


async def test_drained_returns_when_nothing_waits_any_more() -> None:
    outbox = Outbox(lambda _: None, 0, "n")
    await outbox.drained()
    outbox.say(say(0))
    outbox.say(say(1))
    waiters = [asyncio.ensure_future(outbox.drained()) for _ in range(2)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    outbox.room(1)
    await asyncio.sleep(0)
    assert not waiters[1].done()
    outbox.room(1)
    await waiters[1]


async def test_an_author_who_stops_waiting_does_not_unsay_the_line() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "n")
    waiting = asyncio.ensure_future(outbox.say(say(0)))
    await asyncio.sleep(0)
    waiting.cancel()
    outbox.room(1)
    assert numbers(sent) == ["0"]


async def test_cleared_it_drops_lines_and_lets_what_is_done_pass() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "n")
    waits = outbox.say(say(0))
    outbox.then(lambda: sent.append(done(7)))
    drained = asyncio.create_task(outbox.drained())
    await asyncio.sleep(0)
    outbox.clear()
    assert numbers(sent) == ["done 7"] and len(outbox) == 0
    assert not await waits
    await drained
