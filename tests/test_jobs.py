"""bot/jobs.py: plugins' jobs on the real scheduler and store, with a clock that stands."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest

from bot import deeds
from bot.api.declare import Every, Job, job
from bot.dispatch.owner import Owner
from bot.dispatch.scheduler import Scheduler
from bot.dispatch.table import Handler
from bot.errors import StoreError
from bot.jobs import Jobs
from bot.ledger import Ledger
from bot.storage import Backend
from bot.testing import FakeClock
from bot.wire.link import Frame


@job
def due(ctx: Any, *what: Any) -> None: ...


def passing(ctx: Any, *what: Any) -> None: ...


def poll(ctx: Any) -> None: ...


due.__module__ = "plugins.weather"
KEY = f"weather.{due.__qualname__}"


class Bench:
    """Jobs whose runs are written down: who ran, in which version, with what, where."""

    def __init__(self, backend: Backend, clock: FakeClock) -> None:
        self.backend, self.clock = backend, clock
        self.ran: list[tuple[str, int, tuple[Any, ...], str | None]] = []
        self.numbers: list[tuple[str, bool]] = []  # of the entry of each run, and whether it is made again
        self.frames: list[Frame] = []
        self.gate: asyncio.Event | None = None  # what runs wait for
        self._tasks: set[asyncio.Task[Any]] = set()
        self.jobs = self.fresh()

    def fresh(self) -> Jobs:
        """The jobs of a bot that has just started on the same store."""
        self.scheduler = Scheduler(self.clock, self._spawn)
        dues = self.backend.own("timers")
        ledger = Ledger(self.frames.append, lambda name: self.frames.append(Frame("done", (name,))), dues)
        return Jobs(self.backend.jobs, self.scheduler, self._run, ledger, self._spawn, self.clock.time)

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(
        self,
        owner: Owner,
        handler: Handler,
        args: tuple[Any, ...],
        address: str | None,
        number: str = "",
        again: bool = False,
    ) -> None:
        self.ran.append((handler.key, owner.generation, args, address))
        self.numbers.append((number, again))
        if self.gate is not None:
            await self.gate.wait()

    def live(self, generation: int, *periodic: Handler, later: bool = True, owner: Owner | None = None) -> Owner:
        """Commit a version of the plugin `weather`."""
        owner = owner or Owner("weather")
        owner.go_live(generation)
        handler = Handler("weather", KEY, due, Job(), owner, False)
        self.jobs.replace("weather", owner, periodic, {KEY: handler} if later else {})
        return owner

    async def later(self, time: str) -> list[tuple[str, int, tuple[Any, ...], str | None]]:
        """What runs while that time passes."""
        await asyncio.sleep(0)
        self.ran.clear()
        await self.clock.advance(time)
        for _ in range(3):
            await asyncio.sleep(0)
        return list(self.ran)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    backend = Backend.memory()
    made = Bench(backend, FakeClock())
    yield made
    made.scheduler.stop()
    backend.close()


def every(seconds: float) -> Handler:
    return Handler("weather", "weather.poll", poll, Every(seconds, None), Owner("weather"), False)


# --- stored ones


async def test_a_stored_job_runs_once_when_it_is_due(bench: Bench) -> None:
    owner = bench.live(1)
    bench.jobs.schedule(owner, "10m", due, ("tea",), "libera/#a")
    assert await bench.later("9m") == []
    assert await bench.later("2m") == [(KEY, 1, ("tea",), "libera/#a")]
    assert await bench.later("1h") == [] and bench.backend.jobs.all() == []


async def test_it_runs_in_the_version_that_is_live_then(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", due, (), None)
    bench.live(2)
    assert await bench.later("11m") == [(KEY, 2, (), None)]


async def test_it_waits_for_a_plugin_that_is_away(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", due, (), None)
    bench.jobs.remove("weather")
    assert await bench.later("1h") == []
    bench.live(2)
    assert await bench.later("1s") == [(KEY, 2, (), None)]


async def test_it_survives_a_restart(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", due, ("tea", 5, None), "libera/#a")
    await asyncio.sleep(0)
    bench.scheduler.stop()
    bench.jobs = bench.fresh()
    bench.live(1)
    assert await bench.later("11m") == [(KEY, 1, ("tea", 5, None), "libera/#a")]


async def test_one_that_fell_due_while_the_bot_was_away_runs_at_once(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", due, (), None)
    await asyncio.sleep(0)
    bench.scheduler.stop()
    await bench.clock.advance("1h")
    bench.jobs = bench.fresh()
    bench.live(1)
    assert await bench.later("1s") == [(KEY, 1, (), None)]


async def test_one_that_was_called_off_never_runs(bench: Bench) -> None:
    handle = bench.jobs.schedule(bench.live(1), "10m", due, (), None)
    handle.cancel()
    assert await bench.later("11m") == [] and bench.backend.jobs.all() == []


async def test_calling_off_twice_or_late_is_nothing(bench: Bench) -> None:
    handle = bench.jobs.schedule(bench.live(1), "10m", due, (), None)
    await bench.later("11m")
    handle.cancel()
    handle.cancel()


async def test_one_whose_function_is_gone_is_dropped_and_told(bench: Bench, caplog: Any) -> None:
    bench.jobs.schedule(bench.live(1), "10m", due, (), None)
    bench.live(2, later=False)
    assert await bench.later("11m") == [] and bench.backend.jobs.all() == []
    assert f"weather has no @job function {KEY} any more" in caplog.text


@pytest.mark.parametrize("value", [object(), {1: 2}, (1, 2), {1, 2}, float("nan")])
async def test_what_json_cannot_hold_is_refused_at_once(bench: Bench, value: object) -> None:
    with pytest.raises(TypeError):
        bench.jobs.schedule(bench.live(1), "10m", due, (value,), None)
    assert bench.backend.jobs.all() == []


@pytest.mark.parametrize("when", ["soon", 0, -5, "0s", 11 * 366 * 86400.0, float("nan")])
@pytest.mark.parametrize("function", [due, passing])
async def test_what_is_no_time_is_refused_at_once(bench: Bench, when: Any, function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError):
        bench.jobs.schedule(bench.live(1), when, function, (), None)


async def test_a_job_may_be_scheduled_from_any_thread(bench: Bench) -> None:
    owner = bench.live(1)
    await asyncio.to_thread(bench.jobs.schedule, owner, "10m", due, (), None)
    await asyncio.to_thread(bench.jobs.schedule, owner, "10m", passing, (), None)
    assert len(await bench.later("11m")) == 2


async def test_rows_that_cannot_be_read_at_the_commit_are_read_again(
    bench: Bench, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.backend.jobs.add("weather", KEY, bench.clock.time() + 60)

    def fail(plugin: str) -> None:
        raise StoreError("the disk failed to read or write")

    with monkeypatch.context() as broken:
        broken.setattr(bench.backend.jobs, "all", fail)
        bench.live(1)
        await bench.later("31s")
    assert caplog.text.count("the stored jobs of weather can't be read and wait: the disk failed") == 2
    assert await bench.later("1m") == [(KEY, 1, (), None)]


# --- passing ones


async def test_a_function_without_a_mark_runs_in_its_own_version(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", passing, (object(),), "libera/#a")
    ((key, generation, _, address),) = await bench.later("11m")
    assert (key, generation, address) == ("weather.passing", 1, "libera/#a")


async def test_it_may_be_a_partial(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", functools.partial(passing, "tea"), (), None)
    assert [key for key, *_ in await bench.later("11m")] == ["weather.passing"]


@pytest.mark.parametrize("end", ["replace", "remove"])
async def test_it_ends_with_its_version(bench: Bench, end: str) -> None:
    bench.jobs.schedule(bench.live(1), "10m", passing, (), None)
    await asyncio.sleep(0)
    if end == "replace":
        bench.live(2)
    else:
        bench.jobs.remove("weather")
    assert await bench.later("11m") == []


async def test_one_that_an_old_call_schedules_after_the_commit_ends_with_the_old_version(bench: Bench) -> None:
    old = bench.live(1)
    bench.live(2)
    bench.jobs.schedule(old, "10m", passing, (), None)
    await asyncio.sleep(0)
    await old.let_go()
    assert await bench.later("11m") == []


class Seen(Owner):
    """One whose end can be seen."""

    __slots__ = ("__weakref__",)


@pytest.mark.parametrize("end", ["ran", "called off", "let go"])
async def test_a_handle_that_is_kept_does_not_keep_the_version(bench: Bench, end: str) -> None:
    owner = Seen("weather")
    owner.go_live(1)
    handle = bench.jobs.schedule(owner, "10m", passing, (), None)
    await asyncio.sleep(0)
    if end == "ran":
        await bench.later("11m")
    elif end == "called off":
        handle.cancel()
        await asyncio.sleep(0)
    else:
        await owner.let_go()
    assert owner.timers == set()
    passed = weakref.ref(owner)
    del owner
    gc.collect()
    assert passed() is None


async def test_it_can_be_called_off(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", passing, (), None).cancel()
    assert await bench.later("11m") == []


async def test_a_version_that_has_ended_schedules_nothing_any_more(bench: Bench) -> None:
    owner = bench.live(1)
    await owner.let_go()
    bench.jobs.schedule(owner, "10m", passing, (), None)
    assert await bench.later("11m") == []


# --- what a setup schedules


@pytest.mark.parametrize("function", [due, passing])
async def test_what_setup_schedules_is_nowhere_where_the_version_never_goes_live(
    bench: Bench, function: Callable[..., Any]
) -> None:
    owner = Owner("weather")
    bench.jobs.schedule(owner, "10m", function, (), None)
    await asyncio.sleep(0)
    assert bench.backend.jobs.all() == []
    await owner.let_go()
    assert await bench.later("11m") == [] and bench.backend.jobs.all() == []


@pytest.mark.parametrize("function", [due, passing])
@pytest.mark.parametrize("called_off", [False, True])
async def test_what_setup_schedules_begins_with_the_commit(
    bench: Bench, function: Callable[..., Any], called_off: bool
) -> None:
    owner = Owner("weather")
    handle = bench.jobs.schedule(owner, "10m", function, ("tea",), None)
    if called_off:
        handle.cancel()
    bench.live(1, owner=owner)
    ran = [args for _, _, args, _ in await bench.later("11m")]
    assert ran == ([] if called_off else [("tea",)]) and bench.backend.jobs.all() == []


async def test_what_json_cannot_hold_is_told_to_setup_not_to_the_commit(bench: Bench) -> None:
    with pytest.raises(TypeError):
        bench.jobs.schedule(Owner("weather"), "10m", due, (object(),), None)


# --- periodic ones


async def test_a_periodic_job_runs_again_and_again(bench: Bench) -> None:
    bench.live(1, every(300.0))
    assert [len(await bench.later("5m")) for _ in range(3)] == [1, 1, 1]


async def test_two_of_one_name_are_logged_and_do_not_keep_the_commit_from_happening(bench: Bench, caplog: Any) -> None:
    bench.live(1, every(300.0))
    bench.live(2, every(300.0), every(60.0))
    assert "the periodic jobs of weather can't be run" in caplog.text
    assert await bench.later("10m") == []


async def test_it_keeps_its_due_time_over_a_reload(bench: Bench) -> None:
    bench.live(1, every(300.0))
    await bench.later("4m")
    bench.live(2, every(300.0))
    assert [(key, generation) for key, generation, *_ in await bench.later("61s")] == [("weather.poll", 2)]


async def test_it_ends_with_the_plugin(bench: Bench) -> None:
    bench.live(1, every(300.0))
    bench.jobs.remove("weather")
    assert await bench.later("1h") == []


# --- from one worker to the next


def verbs(bench: Bench) -> list[tuple[str, str]]:
    return [(frame.verb, frame.fields[-1]) for frame in bench.frames]


async def test_a_periodic_run_is_an_entry_from_its_beginning_to_its_end(bench: Bench) -> None:
    bench.live(1, every(300.0))
    name = f"t:weather.poll/{bench.clock.time() + 300:.3f}"
    bench.gate = asyncio.Event()
    await bench.later("5m")
    assert verbs(bench) == [("begin", name)] and bench.numbers == [(name, False)]
    bench.gate.set()
    await bench.later("1s")
    assert verbs(bench) == [("begin", name), ("done", name)]


async def test_a_stored_run_keeps_its_row_until_it_has_ended(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", due, (), None)
    name = f"t:{KEY}/{bench.clock.time() + 600:.3f}#1"
    bench.gate = asyncio.Event()
    await bench.later("11m")
    assert verbs(bench) == [("begin", name)] and len(bench.backend.jobs.all()) == 1
    bench.gate.set()
    await bench.later("1s")
    assert verbs(bench) == [("begin", name), ("done", name)] and bench.backend.jobs.all() == []


async def test_a_stored_run_is_made_once_though_its_plugin_is_reloaded_meanwhile(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", due, (), None)
    bench.gate = asyncio.Event()
    await bench.later("11m")
    bench.live(2)
    assert await bench.later("1m") == []
    bench.gate.set()
    assert await bench.later("1m") == [] and bench.backend.jobs.all() == []


async def test_a_disk_that_is_full_stops_no_job(bench: Bench, caplog: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is due next can't be written down, so only the next worker would begin anew."""

    def full(*_: object) -> None:
        raise StoreError("the disk is full")

    bench.jobs.open("boot")
    with monkeypatch.context() as broken:
        broken.setattr(bench.backend, "tell", full)
        bench.live(1, every(300.0))
        assert [len(await bench.later("5m")) for _ in range(3)] == [1, 1, 1]
    assert [verb for verb, _ in verbs(bench)] == ["begin", "done"] * 3, "no entry is left over"
    assert caplog.text.count("when jobs are due next can't be written down: the disk is full") == 1
    assert len(await bench.later("5m")) == 1 and "weather.poll" in bench.backend.own("timers")


async def another_worker(bench: Bench, *periodic: Handler) -> None:
    """The worker ends without a word; the next one has loaded the plugin and is told which keeper it serves."""
    bench.scheduler.stop()
    bench.ran.clear(), bench.numbers.clear(), bench.frames.clear()
    bench.gate, bench.jobs = None, bench.fresh()
    bench.scheduler.hold()
    bench.live(1, *periodic)
    bench.jobs.open("boot")


async def test_a_periodic_run_that_a_worker_did_not_end_is_made_again_under_its_name(bench: Bench) -> None:
    bench.jobs.open("boot")
    bench.live(1, every(300.0))
    bench.gate = asyncio.Event()
    await bench.later("5m")
    ((name, _),) = bench.numbers
    await another_worker(bench, every(300.0))
    bench.jobs.again(name)
    bench.scheduler.release()
    await bench.later("1s")
    assert bench.numbers == [(name, True)] and verbs(bench) == [("done", name)]
    assert len(await bench.later("5m")) == 1, "the next one comes in its time"


async def test_a_run_that_was_begun_but_whose_next_time_was_not_written_down_is_made_once(bench: Bench) -> None:
    bench.jobs.open("boot")
    bench.live(1, every(300.0))
    before = dict(bench.backend.own("timers").items())
    bench.gate = asyncio.Event()
    await bench.later("5m")
    ((name, _),) = bench.numbers
    bench.backend.own("timers").update(before)
    await another_worker(bench, every(300.0))
    bench.jobs.again(name)
    bench.scheduler.release()
    await bench.later("1s")
    assert bench.numbers == [(name, True)]


async def test_a_periodic_job_that_fell_due_while_there_was_no_worker_runs_once_and_keeps_its_time(
    bench: Bench,
) -> None:
    bench.jobs.open("boot")
    bench.live(1, every(300.0))
    start = bench.clock.time()
    bench.scheduler.stop()
    await bench.clock.advance("11m")
    await another_worker(bench, every(300.0))
    assert await bench.later("1s") == [], "not before what the worker before has left"
    bench.scheduler.release()
    await bench.later("1s")
    assert [number for number, _ in bench.numbers] == [f"t:weather.poll/{start + 300:.3f}"]
    assert await bench.later("3m") == []
    await bench.later("1m")
    assert [number for number, _ in bench.numbers][1:] == [f"t:weather.poll/{start + 900:.3f}"]


async def test_another_keeper_or_interval_begins_anew(bench: Bench) -> None:
    bench.jobs.open("another boot")
    bench.live(1, every(300.0))
    await bench.clock.advance("4m")
    await another_worker(bench, every(300.0))
    bench.scheduler.release()
    assert await bench.later("2m") == []
    await another_worker(bench, every(200.0))
    bench.scheduler.release()
    assert await bench.later("3m") == []
    assert len(await bench.later("1m")) == 1


async def test_a_stored_run_that_a_worker_did_not_end_is_made_again_under_its_name(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", due, ("tea",), "libera/#a")
    bench.gate = asyncio.Event()
    await bench.later("11m")
    ((name, _),) = bench.numbers
    await another_worker(bench)
    bench.jobs.again(name)
    for _ in range(3):
        await asyncio.sleep(0)
    assert bench.ran == [(KEY, 1, ("tea",), "libera/#a")], "at once: the keeper may want to see it alone"
    assert bench.numbers == [(name, True)]
    bench.scheduler.release()
    assert await bench.later("1m") == []
    assert bench.backend.jobs.all() == []


async def test_a_stored_run_whose_row_is_gone_had_ended(bench: Bench) -> None:
    bench.live(1)
    bench.jobs.again(f"t:{KEY}/1.000#7")
    await bench.later("1s")
    assert bench.ran == [] and verbs(bench) == [("done", f"t:{KEY}/1.000#7")]


async def test_a_stored_job_runs_once_though_the_call_that_scheduled_it_is_made_again(bench: Bench) -> None:
    """The call goes on, its job is due and runs, the worker dies, and the next one is handed the line."""
    book = bench.backend.book
    book.open("boot")
    for again in (False, True):
        if again:
            await another_worker(bench)
            bench.scheduler.release()
        deed = book.begin("7", "weather.go", again)
        token = deeds.current.set(deed)
        bench.jobs.schedule(bench.live(1), "10m", due, (), None)
        deeds.current.reset(token)
        assert len(await bench.later("11m")) == (not again)


async def test_a_stored_job_whose_row_can_not_be_looked_up_is_armed_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StoreError("the disk failed to read or write")

    owner = bench.live(1)
    with monkeypatch.context() as broken:
        broken.setattr(bench.backend, "ask", fail)
        bench.jobs.schedule(owner, "10m", due, (), None)
        await bench.later("1s")
    assert len(await bench.later("11m")) == 1


@pytest.mark.parametrize("name", ["t:weather.other/1.000", "t:gone.poll/1.000", "x", "t:", "t:weather.poll/1#x"])
async def test_a_run_of_what_is_not_there_is_crossed_off(bench: Bench, name: str) -> None:
    bench.live(1)
    bench.jobs.again(name)
    assert verbs(bench) == [("done", name)]


async def test_a_stored_run_that_ended_workers_is_never_made_again(bench: Bench) -> None:
    bench.jobs.schedule(bench.live(1), "10m", due, (), None)
    await bench.later("1m")
    bench.jobs.forget(f"t:{KEY}/1.000#1")
    assert await bench.later("11m") == [] and bench.backend.jobs.all() == []
