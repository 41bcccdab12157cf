from __future__ import annotations

import asyncio

import pytest
from scripted import FakeClock

from bot.wire.alarms import Alarms


async def test_an_alarm_goes_off_once_at_its_time() -> None:
    clock, rung = FakeClock(), list[str]()
    alarms = Alarms(clock)
    alarms.after(5, "a", lambda: rung.append("a"))
    clock.advance(4.9)
    alarms.tick()
    assert rung == []
    clock.advance(0.1)
    alarms.tick()
    alarms.tick()
    assert rung == ["a"]
    assert alarms.next_at("a") is None


async def test_setting_an_alarm_again_moves_it() -> None:
    clock, rung = FakeClock(), list[int]()
    alarms = Alarms(clock)
    alarms.after(1, "a", lambda: rung.append(1))
    alarms.after(9, "a", lambda: rung.append(9))
    clock.advance(5)
    alarms.tick()
    assert rung == []
    clock.advance(4)
    alarms.tick()
    assert rung == [9]


async def test_due_alarms_go_off_the_earliest_first() -> None:
    clock, rung = FakeClock(), list[str]()
    alarms = Alarms(clock)
    alarms.after(2, "late", lambda: rung.append("late"))
    alarms.after(1, "early", lambda: rung.append("early"))
    clock.advance(3)
    alarms.tick()
    assert rung == ["early", "late"]


async def test_an_action_may_cancel_the_next() -> None:
    clock, rung = FakeClock(), list[str]()
    alarms = Alarms(clock)
    alarms.after(1, "first", lambda: alarms.cancel("second"))
    alarms.after(2, "second", lambda: rung.append("second"))
    clock.advance(3)
    alarms.tick()
    assert rung == []


async def test_cancelling_without_a_name_cancels_all() -> None:
    clock, rung = FakeClock(), list[str]()
    alarms = Alarms(clock)
    for name in ("a", "b"):
        alarms.after(1, name, lambda: rung.append("rung"))
    alarms.cancel()
    clock.advance(2)
    alarms.tick()
    assert rung == []


async def test_an_action_that_raises_does_not_silence_the_others() -> None:
    clock, rung = FakeClock(), list[str]()
    alarms = Alarms(clock)
    alarms.after(1, "bad", lambda: 1 // 0)
    alarms.after(1, "good", lambda: rung.append("good"))
    clock.advance(2)
    with pytest.raises(ZeroDivisionError):
        alarms.tick()
    alarms.tick()
    assert rung == ["good"]


async def test_the_loop_rings_by_itself() -> None:
    rung = asyncio.Event()
    Alarms(asyncio.get_running_loop().time).after(0.001, "a", rung.set)
    async with asyncio.timeout(10):
        await rung.wait()
