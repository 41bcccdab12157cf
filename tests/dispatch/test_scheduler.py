"""bot/dispatch/scheduler.py: when things run, on clocks that the tests move."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import weakref
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from datetime import datetime
from typing import Any

import pytest

from bot.dispatch.scheduler import SLACK, Every, LoopClock, Run, Scheduler, next_cron

NOON = datetime(2024, 1, 10, 12, 0).timestamp()  # a Wednesday


class Timer:
    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when, self.callback, self.cancelled = when, callback, False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """`advance` moves both clocks, firing timers on the way; `set_wall` and `sleep` move the wall clock alone."""

    def __init__(self) -> None:
        self.wall, self.now, self.timers = NOON, 1000.0, list[Timer]()

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.now

    def call_at(self, monotonic: float, callback: Callable[[], None]) -> Timer:
        self.timers.append(Timer(monotonic, callback))
        return self.timers[-1]

    def advance(self, seconds: float) -> None:
        end = self.now + seconds
        while ready := [timer for timer in self.timers if not timer.cancelled and timer.when <= end]:
            timer = min(ready, key=lambda timer: timer.when)
            self.timers = [other for other in self.timers if other is not timer and not other.cancelled]
            self.jump(max(timer.when - self.now, 0))
            timer.callback()
        self.jump(end - self.now)

    def jump(self, seconds: float) -> None:
        """Both clocks move and no timer fires meanwhile: a loop that was held up."""
        self.wall, self.now = self.wall + seconds, self.now + seconds


class Bench:
    """A scheduler, its clock, and what has run: (name, seconds since the beginning)."""

    def __init__(self) -> None:
        self.clock, self.ran = FakeClock(), list[tuple[str, float]]()
        self.futures = list[asyncio.Future[None]]()
        self.busy = False
        self.scheduler = Scheduler(self.clock, self.spawn)

    def spawn(self, coroutine: Coroutine[Any, Any, object]) -> asyncio.Future[Any]:
        try:
            coroutine.send(None)
        except StopIteration:
            pass
        self.futures.append(asyncio.get_running_loop().create_future())
        if not self.busy:
            self.futures[-1].set_result(None)
        return self.futures[-1]

    def run(self, name: str) -> Run:
        async def run() -> None:
            self.ran.append((name, round(self.clock.now - 1000, 3)))

        return run

    def every(self, when: float | str, name: str = "job", ran_as: str = "") -> Every:
        return Every(name, when, self.run(ran_as or name))

    async def turns(self, seconds: float, of: float) -> None:
        """Advance in pieces, with a turn of the loop after each, in which runs end."""
        for _ in range(round(seconds / of)):
            self.clock.advance(of)
            await asyncio.sleep(0)

    def times(self) -> list[float]:
        return [moment for _, moment in self.ran]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    def use(name: str) -> None:
        monkeypatch.setenv("TZ", name)
        time.tzset()

    yield use
    monkeypatch.undo()
    time.tzset()


# --- intervals


async def test_a_job_runs_each_time_its_interval_is_over(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(10)])
    await bench.turns(35, of=5)
    assert bench.times() == [10, 20, 30]


async def test_jobs_of_many_plugins_run_in_order(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(3, "a"), bench.every(2, "b")])
    bench.scheduler.replace("q", [bench.every(2.5, "a", ran_as="c")])
    await bench.turns(5, of=0.5)
    assert bench.ran == [("b", 2), ("c", 2.5), ("a", 3), ("b", 4), ("c", 5)]


async def test_setting_the_wall_clock_hurts_no_interval(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(10)])
    await bench.turns(5, of=5)
    bench.clock.wall += 1e6
    await bench.turns(10, of=5)
    bench.clock.wall -= 2e6
    await bench.turns(10, of=5)
    assert bench.times() == [10, 20]


async def test_what_was_missed_runs_once_and_then_in_step_again(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(10)])
    bench.clock.jump(57)
    await bench.turns(15, of=1)
    assert bench.times() == [57, 60, 70]


async def test_a_timer_that_fires_a_hair_early_is_taken_for_due(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(10)])
    bench.clock.jump(9.9995)
    bench.clock.timers[-1].callback()
    assert bench.times() == [10]
    assert bench.scheduler.seconds_until("p", "job") == pytest.approx(10.0005)


async def test_a_job_never_overlaps_itself(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    bench.busy = True
    bench.scheduler.replace("p", [bench.every(10)])
    await bench.turns(35, of=5)
    assert bench.times() == [10]
    assert "p.job is due again and still runs: passed over" in caplog.text
    bench.futures[0].set_result(None)
    await asyncio.sleep(0)
    await bench.turns(10, of=5)
    assert bench.times() == [10, 40]


async def test_a_run_in_progress_counts_over_a_reload(bench: Bench) -> None:
    bench.busy = True
    bench.scheduler.replace("p", [bench.every(10)])
    await bench.turns(10, of=5)
    bench.scheduler.replace("p", [bench.every(10)])
    await bench.turns(10, of=5)
    assert bench.times() == [10]


async def test_a_run_that_fails_or_cannot_be_started_does_not_end_the_job(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(coroutine: Coroutine[Any, Any, object]) -> asyncio.Future[Any]:
        raise RuntimeError("no room")

    scheduler = Scheduler(bench.clock, refuse)
    scheduler.replace("p", [bench.every(10)])
    bench.clock.advance(25)
    assert caplog.text.count("p.job could not be started") == 2


# --- reloads


async def test_a_reload_neither_fires_nor_delays_a_job_that_remains(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(10, ran_as="old")])
    for _ in range(8):
        await bench.turns(2, of=1)
        bench.scheduler.replace("p", [bench.every(10, ran_as="new")])
    await bench.turns(4, of=1)
    assert bench.ran == [("new", 10), ("new", 20)]


async def test_a_removed_job_never_ticks_again(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(10, "a"), bench.every(10, "b")])
    bench.scheduler.replace("p", [bench.every(10, "b")])
    await bench.turns(10, of=5)
    bench.scheduler.replace("p", [])
    await bench.turns(50, of=5)
    assert bench.ran == [("b", 10)]
    assert bench.scheduler.seconds_until("p", "b") is None


async def test_a_job_removed_by_one_that_runs_in_the_same_turn_does_not_run(bench: Bench) -> None:
    async def remove() -> None:
        bench.scheduler.replace("q", [])

    bench.scheduler.replace("p", [Every("a", 10, remove)])
    bench.scheduler.replace("q", [bench.every(10)])
    await bench.turns(20, of=10)
    assert bench.ran == []
    assert len(bench.futures) == 2


@pytest.mark.parametrize(("interval", "due"), [(60, 94), (600, 94), (30, 36)])
async def test_a_changed_interval_may_bring_a_job_nearer_and_never_farther(
    bench: Bench, interval: float, due: float
) -> None:
    bench.scheduler.replace("p", [bench.every(100)])
    await bench.turns(6, of=1)
    bench.scheduler.replace("p", [bench.every(interval)])
    expected = min(due, interval) if interval < 94 else 94
    assert bench.scheduler.seconds_until("p", "job") == expected
    await bench.turns(expected + 1, of=1)
    assert bench.times() == [6 + expected]


async def test_a_job_may_turn_from_interval_to_cron_and_back(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(10)])
    bench.scheduler.replace("p", [bench.every("* * * * *")])
    await bench.turns(60, of=5)
    bench.scheduler.replace("p", [bench.every(7)])
    await bench.turns(10, of=1)
    assert bench.times() == [60, 67]


async def test_two_jobs_of_one_name_are_refused_and_change_nothing(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(10)])
    with pytest.raises(ValueError, match="two jobs of `p` have one name"):
        bench.scheduler.replace("p", [bench.every(1), bench.every(2)])
    await bench.turns(10, of=5)
    assert bench.times() == [10]


async def test_what_was_removed_or_cancelled_is_not_held(bench: Bench) -> None:
    class Generation:
        async def run(self) -> None: ...

    first, second = Generation(), Generation()
    bench.scheduler.replace("p", [Every("job", 1e6, first.run)])
    handle = bench.scheduler.schedule(NOON + 1e6, second.run)
    refs = [weakref.ref(first), weakref.ref(second)]
    bench.scheduler.replace("p", [])
    handle.cancel()
    del first, second
    gc.collect()
    assert [ref() for ref in refs] == [None, None]


# --- cron


async def test_a_cron_line_runs_at_local_times(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every("30 12 * * 1-5")])
    await bench.turns(7 * 86_400, of=600)
    days = [moment / 86_400 for moment in bench.times()]
    assert [round(day - 1800 / 86_400) for day in days] == [0, 1, 2, 5, 6]


async def test_after_a_sleep_of_the_machine_a_cron_job_runs_once(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every("*/10 * * * *")])
    bench.clock.wall += 3 * 3600  # the monotonic clock stands still in sleep
    await bench.turns(60, of=10)
    assert bench.times() == [30]


async def test_a_wall_clock_set_back_a_little_runs_nothing_twice(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every("0 13 * * *")])
    await bench.turns(3600, of=60)
    assert bench.times() == [3600]
    bench.clock.wall -= 600
    await bench.turns(1200, of=60)
    assert bench.times() == [3600]


async def test_a_wall_clock_set_back_a_lot_counts_from_the_new_time(bench: Bench) -> None:
    bench.clock.wall += 365 * 86_400  # wrong at boot
    bench.scheduler.replace("p", [bench.every("30 12 * * *")])
    bench.clock.wall -= 365 * 86_400
    await bench.turns(1830, of=30)
    assert bench.times() == [1800]


def test_cron_keeps_local_time_over_the_change_to_summer_time(zone: Callable[[str], None]) -> None:
    zone("Europe/Berlin")
    due = next_cron("0 9 * * *", datetime(2024, 3, 30, 9, 0).timestamp())
    assert due == datetime(2024, 3, 31, 9, 0).timestamp()
    assert due - datetime(2024, 3, 30, 9, 0).timestamp() == 23 * 3600


def test_a_time_that_the_change_skips_comes_right_after_it(zone: Callable[[str], None]) -> None:
    zone("Europe/Berlin")
    due = next_cron("30 2 * * *", datetime(2024, 3, 31, 0, 0).timestamp())
    assert datetime.fromtimestamp(due) == datetime(2024, 3, 31, 3, 0)


def test_in_the_hour_that_comes_twice_a_daily_job_runs_once_and_a_frequent_one_goes_on(
    zone: Callable[[str], None],
) -> None:
    zone("Europe/Berlin")
    start = datetime(2024, 10, 27, 1, 55).timestamp()
    daily = [next_cron("30 2 * * *", start)]
    daily.append(next_cron("30 2 * * *", daily[0]))
    assert daily[1] - daily[0] == 25 * 3600
    moments, now = [], start
    while len(moments) < 18:
        now = next_cron("*/10 * * * *", now)
        moments.append(now - start)
    assert moments == [300 + 600 * step for step in range(18)]


@pytest.mark.parametrize("line", ["", "* * *", "61 * * * *", "x", "0 0 30 2 *", "0 0 31 2,4 *"])
def test_a_bad_cron_line_is_refused_in_words(bench: Bench, line: str) -> None:
    with pytest.raises(ValueError, match=r"^`.*` (is no cron line: .*; the five are minute hour|is never due)"):
        bench.every(line)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf"), 1e-9])
def test_a_bad_interval_is_refused(bench: Bench, seconds: float) -> None:
    with pytest.raises(ValueError, match="can't run every"):
        bench.every(seconds)


# --- one call


async def test_a_scheduled_call_runs_once_at_its_time(bench: Bench) -> None:
    handle = bench.scheduler.schedule(NOON + 90, bench.run("tea"))
    assert handle.due == NOON + 90
    await bench.turns(300, of=5)
    assert bench.ran == [("tea", 90)]
    assert not handle.pending
    assert not handle.cancel()


async def test_a_scheduled_call_that_is_late_runs_at_once(bench: Bench) -> None:
    bench.scheduler.schedule(NOON - 5000, bench.run("tea"))
    bench.clock.advance(0)
    assert bench.ran == [("tea", 0)]


async def test_a_cancelled_call_does_not_run(bench: Bench) -> None:
    handle = bench.scheduler.schedule(NOON + 90, bench.run("tea"))
    assert handle.pending
    assert [handle.cancel(), handle.cancel()] == [True, False]
    await bench.turns(300, of=5)
    assert bench.ran == []


async def test_a_wall_clock_set_forward_brings_a_call_nearer(bench: Bench) -> None:
    bench.scheduler.schedule(NOON + 3600, bench.run("tea"))
    bench.clock.wall += 3600
    await bench.turns(60, of=5)
    assert bench.ran == [("tea", 30)]


async def test_many_cancelled_calls_do_not_pile_up(bench: Bench) -> None:
    bench.scheduler.schedule(NOON + 9e6, bench.run("tea"))
    for number in range(1000):
        bench.scheduler.schedule(NOON + 1e6 + number, bench.run("tea")).cancel()
    assert len(bench.scheduler._on_wall) < 3 * SLACK


# --- the timer


async def test_without_jobs_there_is_no_timer(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every("0 0 * * *")])
    bench.scheduler.replace("p", [])
    assert [timer for timer in bench.clock.timers if not timer.cancelled] == []


async def test_nothing_is_started_after_stop(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(10)])
    bench.scheduler.schedule(NOON + 5, bench.run("tea"))
    bench.scheduler.stop()
    bench.scheduler.stop()
    bench.scheduler.replace("q", [bench.every(10)])
    await bench.turns(50, of=5)
    assert bench.ran == []


async def test_it_runs_on_the_real_loop() -> None:
    ran = asyncio.Event()

    async def run() -> None:
        ran.set()

    scheduler = Scheduler(LoopClock(), asyncio.create_task)
    scheduler.replace("p", [Every("job", 0.001, run)])
    await asyncio.wait_for(ran.wait(), 5)
    ran.clear()
    scheduler.schedule(time.time() + 0.001, run)
    await asyncio.wait_for(ran.wait(), 5)
    scheduler.stop()


async def test_a_job_runs_in_the_context_of_the_clock_not_of_who_armed_the_timer() -> None:
    """Else the jobs of all plugins would run as the one that scheduled something last."""
    who: ContextVar[str] = ContextVar("who", default="nobody")
    ran: asyncio.Queue[str] = asyncio.Queue()

    async def run() -> None:
        ran.put_nowait(who.get())

    scheduler = Scheduler(LoopClock(), asyncio.create_task)
    scheduler.replace("p", [Every("job", 0.01, run)])
    who.set("someone")
    scheduler.schedule(time.time() + 1000, run)
    assert await asyncio.wait_for(ran.get(), 5) == "nobody"
    scheduler.stop()


# --- from one process to the next


async def test_a_job_that_is_put_at_a_time_runs_then_and_goes_on_in_step(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(60, "a")])
    bench.scheduler.put("p", "a", bench.clock.wall + 10)
    await bench.turns(80, of=5)
    assert bench.times() == [10, 70]
    assert round(bench.scheduler.last_due("p", "a") - NOON, 3) == 70


async def test_a_job_that_is_put_at_a_time_that_is_over_runs_at_once_and_once(bench: Bench) -> None:
    bench.scheduler.replace("p", [bench.every(60, "a"), bench.every("*/2 * * * *", "b")])
    bench.scheduler.put("p", "a", bench.clock.wall - 190)
    bench.scheduler.put("p", "b", bench.clock.wall - 240)
    await bench.turns(125, of=5)
    assert bench.ran == [("a", 0), ("b", 0), ("a", 50), ("a", 110), ("b", 120)], "in step with the time that was given"


async def test_what_falls_due_while_it_is_held_runs_once_when_it_is_released(bench: Bench) -> None:
    bench.scheduler.hold()
    bench.scheduler.replace("p", [bench.every(60, "a")])
    bench.scheduler.schedule(bench.clock.wall + 5, bench.run("b"))
    await bench.turns(200, of=20)
    assert bench.ran == []
    bench.scheduler.release()
    await bench.turns(1, of=1)
    assert {name for name, _ in bench.ran} == {"a", "b"} and len(bench.ran) == 2
    await bench.turns(40, of=1)
    assert bench.times()[2:] == [240], "in step with the times before"
