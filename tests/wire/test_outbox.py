from __future__ import annotations

import asyncio
import logging

import pytest

from bot.wire.link import Frame
from bot.wire.outbox import LIMIT_LINES, SENT, Outbox


def say(number: int, flow: str = "#a", cause: str = "-", lane: int = 1) -> Frame:
    return Frame("say", ("n", f"{cause}/-", str(number), str(lane), flow), b"x")


def done(number: int) -> Frame:
    return Frame("done", (str(number),))


def numbers(sent: list[Frame]) -> list[str]:
    return [frame.fields[2] if frame.verb == "say" else f"done {frame.fields[0]}" for frame in sent]


async def test_with_credit_a_line_leaves_at_once() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 1, "n")
    assert outbox.say(say(0)) is SENT
    assert numbers(sent) == ["0"]


async def test_without_credit_lines_wait_in_order_for_room() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 1, "n")
    waits = [outbox.say(say(number)) for number in range(4)]
    assert (numbers(sent), len(outbox)) == (["0"], 3)
    outbox.room("#a", 1)
    outbox.room("#a", 1)
    assert numbers(sent) == ["0", "1", "2"]
    assert [await wait for wait in waits[:3]] == [True, True, True]
    outbox.room("#a", 1)
    assert await waits[3]


async def test_a_new_line_never_overtakes_a_waiting_one() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "n")
    outbox.say(say(0))
    outbox.say(say(1))
    outbox.room("#a", 1)
    outbox.say(say(2))
    outbox.room("#a", 5)
    assert numbers(sent) == ["0", "1", "2"]


async def test_done_waits_for_the_lines_before_it_and_costs_no_credit() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "n")
    outbox.say(say(0, cause="7"))
    outbox.say(say(1, "#b", cause="7"))
    outbox.then("7", lambda: sent.append(done(7)))
    outbox.then("8", lambda: sent.append(done(8)))
    outbox.say(say(2))
    assert numbers(sent) == ["done 8"]
    outbox.room("#a", 1)
    assert numbers(sent) == ["done 8", "0"] and outbox.holds("7")
    outbox.room("#a", 1)
    assert numbers(sent) == ["done 8", "0", "1", "done 7"] and not outbox.holds("7")


async def test_done_with_nothing_waiting_leaves_at_once() -> None:
    sent = list[Frame]()
    Outbox(sent.append, 0, "n").then("7", lambda: sent.append(done(7)))
    assert numbers(sent) == ["done 7"]


async def test_room_below_zero_takes_credit() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 2, "n")
    outbox.room("#a", -2)
    outbox.say(say(0))
    assert sent == [] and outbox.under_way == {"#a": 2}


async def test_beyond_the_limit_the_oldest_is_dropped_counted_and_told(caplog: pytest.LogCaptureFixture) -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "libera")
    first = outbox.say(say(0, cause="1"))
    outbox.then("1", lambda: sent.append(done(0)))
    with caplog.at_level(logging.WARNING):
        for number in range(1, LIMIT_LINES + 3):
            outbox.say(say(number))
    assert (outbox.dropped, len(outbox)) == (3, LIMIT_LINES)
    assert await first is False
    assert numbers(sent) == ["done 0"]
    assert [record.getMessage() for record in caplog.records] == [
        "libera: more is said to #a than may be sent: the oldest lines are dropped"
    ]
    outbox.room("-", 1)
    assert numbers(sent)[1:] == ["3"]


async def test_drained_returns_when_nothing_waits_any_more() -> None:
    outbox = Outbox(lambda _: None, 0, "n")
    await outbox.drained()
    outbox.say(say(0))
    outbox.say(say(1))
    waiters = [asyncio.ensure_future(outbox.drained()) for _ in range(2)]
    await asyncio.sleep(0)
    waiters[0].cancel()
    outbox.room("#a", 1)
    await asyncio.sleep(0)
    assert not waiters[1].done()
    outbox.room("#a", 1)
    await waiters[1]


async def test_an_author_who_stops_waiting_does_not_unsay_the_line() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "n")
    waiting = asyncio.ensure_future(outbox.say(say(0)))
    await asyncio.sleep(0)
    waiting.cancel()
    outbox.room("-", 1)
    assert numbers(sent) == ["0"]


async def test_cleared_it_drops_lines_and_lets_what_is_done_pass() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "n")
    waits = outbox.say(say(0, cause="7"))
    outbox.then("7", lambda: sent.append(done(7)))
    drained = asyncio.create_task(outbox.drained())
    await asyncio.sleep(0)
    outbox.clear()
    assert numbers(sent) == ["done 7"] and len(outbox) == 0
    assert not await waits
    await drained


# -- flows


async def test_one_flow_takes_no_more_credits_than_it_leaves() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 64, "n")
    for number in range(100):
        outbox.say(say(number))
    assert (len(sent), outbox.credit) == (32, 32)
    for number in range(100):
        outbox.say(say(number, "#b"))
    assert (outbox.under_way, outbox.credit) == ({"#a": 32, "#b": 16}, 16)
    assert outbox.say(say(0, "#c")) is SENT


async def test_a_first_word_finds_room_at_once_or_with_the_next_line_that_leaves() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 64, "n")
    for number in range(20):
        for _ in range(100):
            outbox.say(say(0, f"#{number}"))
    assert outbox.credit == 0
    for number in range(100):
        outbox.say(say(number, f"#new{number}"))
        outbox.room("#0" if number < 32 else sent[-1].fields[4], 1)
    assert {f"#new{number}" for number in range(20)} <= {frame.fields[4] for frame in sent}


async def test_who_waits_takes_turns() -> None:
    sent = list[Frame]()
    outbox = Outbox(sent.append, 0, "n")
    for flow in ("#a", "#a", "#a", "#b", "#c"):
        outbox.say(say(0, flow))
    outbox.room("-", 9)
    assert [frame.fields[4] for frame in sent] == ["#a", "#b", "#c", "#a", "#a"]


async def test_beyond_the_limit_who_says_little_loses_nothing() -> None:
    outbox = Outbox(lambda _: None, 0, "n")
    little = outbox.say(say(0, "#b"))
    for number in range(LIMIT_LINES + 50):
        outbox.say(say(number))
    outbox.room("-", 100)
    assert await little is True
    assert outbox.dropped == 51


async def test_lines_are_dropped_by_what_and_when_and_the_rest_keeps_its_order() -> None:
    sent, now = list[Frame](), 0.0
    outbox = Outbox(sent.append, 0, "n", lambda: now)
    for now in (1.0, 2.0, 3.0):
        for flow in ("#a", "bob"):
            outbox.say(say(int(now), flow, cause=flow, lane=2 if flow == "bob" else 1))
    outbox.then("bob", lambda: sent.append(done(7)))
    assert outbox.drop(lambda frame, at: frame.fields[3] == "2") == 3
    assert numbers(sent) == ["done 7"]
    assert outbox.drop(lambda frame, at: at < 2) == 1
    outbox.room("-", 9)
    assert numbers(sent)[1:] == ["2", "3"]
