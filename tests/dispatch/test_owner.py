"""bot/dispatch/owner.py: one generation of one plugin, and all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from bot.dispatch.guard import task_factory
from bot.dispatch.owner import Overrun, Owner, called, current


@pytest.fixture(autouse=True)
async def owning_loop() -> None:
    asyncio.get_running_loop().set_task_factory(task_factory)


@pytest.fixture
async def owner() -> Owner:
    made = Owner("weather", "1a2b3c4")
    made.go_live(4)
    return made


async def forever(ended: list[str] | None = None) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        if ended is not None:
            ended.append("ended")


async def turns(count: int = 3) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


# --- what belongs to it


async def test_a_task_that_is_spawned_belongs_to_it(owner: Owner) -> None:
    task = owner.spawn(forever())
    assert owner.tasks == {task}
    await owner.let_go()


async def test_a_task_that_plugin_code_makes_by_itself_belongs_to_it_as_well(owner: Owner) -> None:
    with owner.entered():
        task = asyncio.create_task(forever())
    assert owner.tasks == {task}
    await owner.let_go()


async def test_what_a_task_starts_belongs_to_the_same(owner: Owner) -> None:
    started: list[asyncio.Task[None]] = []

    async def start() -> None:
        started.append(asyncio.create_task(forever()))

    task = owner.spawn(start())
    assert task is not None
    await task
    assert owner.tasks == set(started)
    await owner.let_go()


async def test_outside_of_plugin_code_tasks_belong_to_nobody(owner: Owner) -> None:
    with owner.entered():
        pass
    assert current.get() is None
    await asyncio.create_task(asyncio.sleep(0))
    assert owner.tasks == set()


async def test_the_tasks_of_a_call_are_a_part_of_it_until_it_ends(owner: Owner) -> None:
    """`gather` and `wait_for` make such tasks; what `spawn` starts is in the background from the first."""
    started: list[asyncio.Task[None]] = []
    end = asyncio.Event()

    async def call() -> None:
        with owner.entered():  # as the pipeline does it: the call's own task is nobody's
            started.append(asyncio.create_task(forever()))
        spawned = owner.spawn(forever())
        assert spawned is not None
        started.append(spawned)
        await end.wait()

    task = asyncio.create_task(call())
    owner.calls[task] = lambda: None
    await turns()
    assert owner.background() == [started[1]]
    end.set()
    await task
    del owner.calls[task]
    assert set(owner.background()) == set(started)
    await owner.let_go()


async def test_a_task_that_ends_is_forgotten(owner: Owner) -> None:
    task = owner.spawn(asyncio.sleep(0))
    assert task is not None
    await task
    await turns()
    assert owner.tasks == set()


async def test_a_failed_task_is_named_after_its_function_unless_it_has_a_name(owner: Owner, caplog: Any) -> None:
    async def boom() -> None:
        raise ValueError

    tasks = [owner.spawn(boom()), owner.spawn(boom(), "mine")]
    await asyncio.wait([task for task in tasks if task])
    await turns()
    first, second = (record.getMessage() for record in caplog.records)
    assert "boom of weather failed" in first
    assert "task mine of weather failed" in second


# --- before and at the commit


async def test_what_setup_spawns_begins_at_the_commit() -> None:
    owner, ran = Owner("weather"), asyncio.Event()

    async def work() -> None:
        ran.set()

    assert owner.spawn(work()) is None
    await turns()
    assert not ran.is_set()
    owner.go_live(1)
    await turns()
    assert ran.is_set() and owner.generation == 1


async def test_what_setup_spawned_is_dropped_where_the_version_never_goes_live() -> None:
    owner, coroutine = Owner("weather"), forever()
    owner.spawn(coroutine)
    await owner.let_go()
    assert inspect.getcoroutinestate(coroutine) == inspect.CORO_CLOSED


async def test_a_thread_of_setup_starts_with_the_commit() -> None:
    owner, ran = Owner("weather"), threading.Event()
    first, second = owner.thread(ran.set), owner.thread(ran.wait, (10,))
    assert not first.is_alive() and not ran.is_set() and owner.threads == []
    owner.go_live(1)
    first.join(10)
    second.join(10)
    assert ran.is_set() and second in owner.threads


async def test_what_cannot_begin_with_the_commit_does_not_keep_it_from_happening(caplog: Any) -> None:
    owner, ran = Owner("weather"), list[int]()

    def fail() -> None:
        raise OSError("no thread")

    owner.when_live(fail)
    owner.when_live(lambda: ran.append(1))
    owner.go_live(1)
    assert ran == [1] and "weather g1: something that its setup asked for could not begin" in caplog.text


async def test_what_setup_asked_for_is_dropped_once_where_the_version_never_goes_live() -> None:
    owner, did = Owner("weather"), list[str]()
    owner.when_live(lambda: did.append("begun"), lambda: did.append("dropped"))
    await owner.let_go()
    await owner.let_go()
    assert did == ["dropped"]


# --- the end


async def test_letting_go_cancels_the_background_tasks(owner: Owner) -> None:
    ended: list[str] = []
    owner.spawn(forever(ended))
    await turns()
    await owner.let_go()
    assert ended == ["ended"] and owner.tasks == set()


async def test_letting_go_leaves_what_was_entered_in_reverse_order(owner: Owner) -> None:
    left: list[str] = []

    @contextlib.contextmanager
    def plain() -> Iterator[str]:
        yield "plain"
        left.append("plain")

    @contextlib.asynccontextmanager
    async def slow() -> AsyncIterator[str]:
        yield "async"
        left.append("async")

    assert owner.enter(plain()) == "plain"
    assert await owner.enter(slow()) == "async"
    await owner.let_go()
    assert left == ["async", "plain"]


async def test_one_that_fails_to_be_left_does_not_keep_the_others(owner: Owner, caplog: Any) -> None:
    left: list[str] = []

    @contextlib.contextmanager
    def thing(name: str, fails: bool = False) -> Iterator[None]:
        try:
            yield
        finally:
            left.append(name)
            if fails:
                raise OSError("stuck")

    owner.enter(thing("first"))
    owner.enter(thing("second", fails=True))
    await owner.let_go()
    assert left == ["second", "first"]
    assert "weather g4: closing what it had entered failed: OSError('stuck')" in caplog.text


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), BaseException("x")]
)
@pytest.mark.parametrize("kind", ["with", "async with"])
async def test_whatever_leaving_raises_stays_in_the_log(
    owner: Owner, caplog: Any, error: BaseException, kind: str
) -> None:
    class Plain:
        def __enter__(self) -> None: ...
        def __exit__(self, *raised: object) -> None:
            raise error

    class Async:
        async def __aenter__(self) -> None: ...
        async def __aexit__(self, *raised: object) -> None:
            raise error

    if kind == "with":
        owner.enter(Plain())
    else:
        await owner.enter(Async())
    await owner.let_go()
    assert "weather g4: closing what it had entered failed" in caplog.text and type(error).__name__ in caplog.text


@pytest.mark.parametrize(
    "start",
    [
        lambda owner: owner.spawn(forever()),
        lambda owner: owner.enter(contextlib.nullcontext()),
        lambda owner: owner.thread(threading.Event().wait),
    ],
    ids=["spawn", "enter", "thread"],
)
async def test_a_version_that_has_ended_starts_nothing_new(owner: Owner, start: Callable[[Owner], object]) -> None:
    await owner.let_go()
    with pytest.raises(RuntimeError, match="this version of weather has ended"):
        start(owner)


async def test_what_a_thread_spawns_is_handed_to_the_loop(owner: Owner) -> None:
    ran = asyncio.Event()

    async def work() -> None:
        ran.set()
        await forever()

    assert await asyncio.to_thread(owner.spawn, work()) is None
    await asyncio.wait_for(ran.wait(), 5)
    assert len(owner.tasks) == 1
    await owner.let_go()
    assert owner.tasks == set()


async def test_what_is_handed_over_while_the_version_ends_never_begins(owner: Owner) -> None:
    spawning = threading.Thread(target=owner.spawn, args=(forever(),))
    spawning.start()
    spawning.join(10)
    await owner.let_go()  # an unawaited coroutine would be a warning, and that an error
    await turns()
    assert owner.tasks == set()


async def test_letting_go_twice_leaves_what_was_entered_once(owner: Owner) -> None:
    left: list[str] = []
    stack = contextlib.ExitStack()
    stack.callback(left.append, "left")
    owner.enter(stack)
    await owner.let_go()
    await owner.let_go()
    assert left == ["left"]


async def test_a_task_may_be_the_one_that_lets_go(owner: Owner) -> None:
    task = owner.spawn(owner.let_go())
    assert task is not None
    await task


async def test_a_thread_that_still_runs_is_known(owner: Owner) -> None:
    free = threading.Event()
    thread = owner.thread(free.wait, (10,))
    await owner.let_go()
    assert [each.is_alive() for each in owner.threads] == [True]
    free.set()
    thread.join(10)


async def test_what_it_changed_around_it_is_undone_once_all_else_is_over(owner: Owner, caplog: Any) -> None:
    did: list[str] = []

    class Changed:
        def undo(self) -> list[str]:
            did.append("undone")
            return ["sys.excepthook", "signal 10"]

    owner.imprint = Changed()
    owner.enter(contextlib.closing(Closing(did)))
    with caplog.at_level(logging.INFO):
        await owner.let_go()
    assert did == ["closed", "undone"]
    assert "weather g4: undone: sys.excepthook, signal 10" in caplog.text


class Closing:
    def __init__(self, did: list[str]) -> None:
        self.did = did

    def close(self) -> None:
        self.did.append("closed")


async def test_a_thread_knows_whose_it_is(owner: Owner) -> None:
    seen: list[Owner | None] = []
    owner.thread(lambda: seen.append(current.get())).join(10)
    assert seen == [owner]


class Listener:
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (forever, "forever"),
        (functools.partial(forever, []), "forever"),
        (functools.partial(Listener()), "Listener"),
        (Listener(), "Listener"),
    ],
)
def test_whatever_can_be_called_has_a_name(function: Callable[..., object], name: str) -> None:
    assert called(function) == name


async def test_a_thread_may_run_a_partial(owner: Owner) -> None:
    thread = owner.thread(functools.partial(threading.Event().wait, 0))
    thread.join(10)
    assert thread.name == "weather.wait"


# --- calls in flight


async def test_calls_in_flight_are_waited_for(owner: Owner) -> None:
    go = asyncio.Event()
    call = asyncio.create_task(go.wait())
    owner.calls[call] = lambda: None
    finishing = asyncio.create_task(owner.finish_calls(10))
    await turns()
    assert not finishing.done()
    go.set()
    del owner.calls[call]
    assert await finishing == 0


async def test_calls_beyond_the_grace_are_cancelled_and_their_askers_told(owner: Owner) -> None:
    told: list[str] = []
    call = asyncio.create_task(forever(told))
    owner.calls[call] = lambda: told.append("told")
    await turns()
    assert await owner.finish_calls(0) == 1
    assert told == ["told", "ended"]


async def test_a_task_that_is_cancelled_before_its_first_step_leaves_nothing_behind(owner: Owner) -> None:
    with owner.entered():
        task = asyncio.create_task(forever())
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()  # a coroutine that was never awaited would be a warning, and that an error


# --- what plugins raise


async def leave_with(error: BaseException) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError(), BaseException("x")],
)
async def test_whatever_a_background_task_raises_is_one_record_in_the_log(
    owner: Owner, caplog: Any, error: BaseException
) -> None:
    with caplog.at_level(logging.ERROR, "plugins.weather"):
        owner.spawn(leave_with(error))
        await turns(5)
    assert type(error).__name__ in caplog.text
    assert len([record for record in caplog.records if record.name == "plugins.weather"]) == 1
    assert owner.tasks == set()


async def test_a_background_task_that_cancels_itself_is_only_over(owner: Owner, caplog: Any) -> None:
    owner.spawn(leave_with(asyncio.CancelledError()))
    await turns(5)
    assert caplog.records == [] and owner.tasks == set()


async def test_the_log_shows_where_it_was_raised(owner: Owner, caplog: Any) -> None:
    owner.spawn(leave_with(SystemExit(3)))
    await turns(5)
    assert "leave_with" in caplog.text


async def stubborn(free: asyncio.Event) -> None:
    while not free.is_set():
        with contextlib.suppress(asyncio.CancelledError):
            await free.wait()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a task that does not end at once."""
    real = asyncio.wait

    async def hurry(tasks: Any, timeout: float | None = None) -> Any:
        return await real(tasks, timeout=0)

    monkeypatch.setattr(asyncio, "wait", hurry)


@pytest.mark.usefixtures("hurried")
async def test_a_task_that_ignores_its_cancellation_is_left_and_noted(owner: Owner) -> None:
    free = asyncio.Event()
    task = owner.spawn(stubborn(free))
    await turns()
    await owner.let_go()
    assert owner.stubborn == {task}
    free.set()
    assert task is not None
    await task


@pytest.mark.usefixtures("hurried")
async def test_a_call_that_ignores_its_cancellation_is_left_and_noted(owner: Owner) -> None:
    free = asyncio.Event()
    call = asyncio.create_task(stubborn(free))
    owner.calls[call] = lambda: None
    await turns()
    await owner.finish_calls(0)
    assert owner.stubborn == {call}
    free.set()
    await call


# --- code that the bot waits for


async def test_what_it_runs_for_the_bot_runs_in_a_task_of_its_own(owner: Owner) -> None:
    async def hook() -> tuple[Any, Any]:
        return current.get(), asyncio.current_task()

    whose, task = await owner.run(hook(), 10)
    assert whose is owner and task is not asyncio.current_task() and task not in owner.calls


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), TimeoutError()]
)
async def test_what_it_raises_comes_out_as_it_is(owner: Owner, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        await owner.run(leave_with(error), 10)
    assert raised.value is error


async def test_one_that_takes_too_long_is_cancelled(owner: Owner) -> None:
    ended: list[str] = []
    with pytest.raises(Overrun):
        await owner.run(forever(ended), 0.01)
    assert ended == ["ended"]


async def test_one_whose_caller_goes_is_cancelled(owner: Owner) -> None:
    ended: list[str] = []
    waiting = asyncio.create_task(owner.run(forever(ended), 10))
    await turns()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert ended == ["ended"] and waiting.cancelled()


async def test_calls_that_are_cut_short_are_told_once(owner: Owner) -> None:
    told: list[str] = []
    call = asyncio.create_task(forever(told))
    owner.calls[call] = lambda: told.append("told")
    await turns()
    owner.cut_short()
    owner.cut_short()
    await asyncio.wait([call])
    assert told == ["told", "ended"]
