"""bot/dispatch/relay.py: plain functions run off the loop, in order, and slow ones delay nobody but their like.

Every wait is for an event; where a call must be slow it is held until the fact has been seen.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from bot.dispatch.relay import CallEnded, Interrupted, Relay, _Job, _Runner

SOON = 5.0  # seconds until a test gives up


class Held:
    """A call that stays until let go; `begun` tells that it is on its thread."""

    def __init__(self) -> None:
        self.begun, self.let_go = threading.Event(), threading.Event()
        self.thread = 0

    def __call__(self) -> str:
        self.thread = threading.get_ident()
        self.begun.set()
        assert self.let_go.wait(SOON)
        return "held"


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    yield made
    made.stop()


async def begun(held: Held) -> None:
    assert await asyncio.to_thread(held.begun.wait, SOON)


# --- calls


async def test_a_call_runs_off_the_loop_and_gives_its_result(relay: Relay) -> None:
    def f(a: int, *, b: int) -> tuple[int, int]:
        return a + b, threading.get_ident()

    total, thread = await relay.submit(f, 1, b=2)
    assert total == 3
    assert thread != threading.get_ident()


async def test_calls_run_in_order_on_one_warm_thread(relay: Relay) -> None:
    order: list[int] = []
    threads = await asyncio.gather(
        *(relay.submit(lambda n: (order.append(n), threading.get_ident())[1], n) for n in range(100))
    )
    assert order == list(range(100))
    assert len(set(threads)) == 1


async def test_results_that_pile_up_come_back_in_one_wake_up(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    loop, wakes = asyncio.get_running_loop(), []
    real = loop.call_soon_threadsafe
    monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *args: (wakes.append(1), real(*args))[1])
    last = threading.Event()
    futures = [relay.submit(int) for _ in range(50)] + [relay.submit(last.set)]
    assert last.wait(SOON)  # the loop stands still until all 50 have run
    await asyncio.gather(*futures)
    assert 1 <= len(wakes) <= 2


async def test_the_callers_context_is_copied(relay: Relay) -> None:
    var: ContextVar[str] = ContextVar("var", default="none")
    var.set("caller")

    def f() -> str:
        seen = var.get()
        var.set("callee")
        return seen

    assert await relay.submit(f) == "caller"
    assert await relay.submit(f) == "caller"
    assert var.get() == "caller"


async def test_an_exception_is_the_futures(relay: Relay) -> None:
    with pytest.raises(ZeroDivisionError):
        await relay.submit(lambda: 1 / 0)


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), StopIteration(1), asyncio.CancelledError(), GeneratorExit()]
)
async def test_what_would_end_the_loop_or_the_task_is_wrapped(relay: Relay, error: BaseException) -> None:
    def f() -> None:
        raise error

    with pytest.raises(CallEnded, match=f"it raised {type(error).__name__}") as caught:
        await relay.submit(f)
    assert caught.value.__cause__ is error
    assert await relay.submit(lambda: "alive") == "alive"


async def test_nothing_of_a_finished_call_is_held() -> None:
    relay = Relay()

    class Owner:
        def fine(self) -> None: ...
        def bad(self) -> None:
            raise ValueError

    gc.disable()
    try:
        owner = Owner()
        gone = weakref.ref(owner)
        await relay.submit(owner.fine)
        try:
            await relay.submit(owner.bad)
        except ValueError:
            pass
        del owner
        await relay.submit(int)
        assert gone() is None
    finally:
        gc.enable()
        relay.stop()


async def test_an_idle_thread_holds_nothing_of_its_last_call() -> None:
    class Function:
        def __call__(self) -> None: ...

    class Queue:
        """Looks, when the thread comes for more, whether the last call is gone."""

        def __init__(self, function: Function) -> None:
            self.jobs = [_Job(asyncio.get_running_loop().create_future(), function, (), {})]
            self.gone: list[bool] = []

        def get(self) -> _Job | None:
            self.gone.append(ref() is None)
            return self.jobs.pop() if self.jobs else None

    function = Function()
    ref = weakref.ref(function)
    queue = Queue(function)
    del function
    runner = _Runner(queue, lambda job: None)  # type: ignore[arg-type]
    await asyncio.to_thread(runner.join, SOON)
    assert queue.gone == [False, True]


# --- slow calls


async def test_a_slow_call_keeps_its_thread_and_the_rest_goes_on(relay: Relay) -> None:
    held = Held()
    slow = relay.submit(held)
    assert await asyncio.wait_for(relay.submit(lambda: "next"), SOON) == "next"
    assert not slow.done()
    held.let_go.set()
    assert await slow == "held"


async def test_a_function_seen_slow_goes_to_extra_threads_at_once() -> None:
    relay = Relay(slow_seconds=0.001)
    gate = threading.Event()

    def slow() -> int:
        gate.wait(SOON)
        return threading.get_ident()

    first = relay.submit(slow)
    lane = await relay.submit(threading.get_ident)  # the fresh one
    relay._slow_seconds = SOON  # so that only memory can send it elsewhere
    others = [relay.submit(slow) for _ in range(3)]
    assert await relay.submit(threading.get_ident) == lane
    gate.set()
    threads = {await first, *await asyncio.gather(*others)}
    assert lane not in threads
    assert len(threads) == 4
    relay.stop()


async def test_bound_methods_and_wrappers_are_remembered_by_what_they_are(relay: Relay) -> None:
    class Module:
        def held(self, event: threading.Event) -> None:
            event.wait(SOON)

    gate = threading.Event()
    first = relay.submit(Module().held, gate)
    await relay.submit(int)
    second = relay.submit(Module().held, gate)
    third = relay.submit(lambda: gate.wait(SOON), remember_as=Module.held)
    assert relay._pool_jobs == 2
    gate.set()
    await asyncio.gather(first, second, third)


async def test_extra_threads_are_bounded() -> None:
    relay, gate, threads = Relay(pool_size=2), threading.Event(), set[int]()

    def slow() -> None:
        threads.add(threading.get_ident())
        gate.wait(SOON)

    first = relay.submit(slow)
    await relay.submit(int)
    threads.clear()
    others = [relay.submit(slow) for _ in range(10)]
    gate.set()
    await asyncio.gather(first, *others)
    assert 1 <= len(threads) <= 2
    relay.stop()


async def test_what_waited_behind_its_like_follows_it_to_the_extra_threads(relay: Relay) -> None:
    gate = threading.Event()
    calls = [relay.submit(gate.wait, SOON, remember_as=Relay) for _ in range(3)]
    await asyncio.wait_for(relay.submit(int), SOON)
    gate.set()
    assert await asyncio.gather(*calls) == [True] * 3


# --- cancelling


async def test_a_cancelled_call_that_has_not_begun_never_runs(relay: Relay) -> None:
    held, ran = Held(), []
    first = relay.submit(held)
    second = relay.submit(ran.append, 1)
    second.cancel()
    held.let_go.set()
    await first
    await relay.submit(int)
    assert ran == []
    assert not relay._jobs


async def test_a_cancelled_call_that_has_begun_runs_on_and_harms_nothing(relay: Relay) -> None:
    held = Held()
    future = relay.submit(held)
    await begun(held)
    future.cancel()
    held.let_go.set()
    assert await relay.submit(lambda: "alive") == "alive"


def spin(begun: threading.Event, stop: list[int], seen: Callable[[BaseException], Any] = lambda error: None) -> None:
    def loop() -> None:  # apart: Python 3.13.0 leaves a frame whose loop is interrupted without looking at its `try`
        begun.set()
        while not stop:
            pass

    try:
        loop()
    except BaseException as error:
        seen(error)
        raise


async def test_interrupt_ends_an_endless_loop(relay: Relay) -> None:
    started, seen = threading.Event(), list[BaseException]()
    future = relay.submit(spin, started, [], seen.append)
    assert await asyncio.to_thread(started.wait, SOON)
    assert await relay.interrupt(future, SOON)
    assert future.cancelled()
    assert isinstance(seen[0], Interrupted)
    assert await relay.submit(lambda: "alive") == "alive"


async def test_interrupt_says_so_when_it_cannot(relay: Relay) -> None:
    held = Held()
    future = relay.submit(held)
    await begun(held)
    assert not await relay.interrupt(future, 0.01)
    assert await relay.submit(lambda: "alive") == "alive"
    held.let_go.set()


async def test_a_call_that_keeps_the_interruption_is_told(relay: Relay) -> None:
    started, stop = threading.Event(), list[int]()

    def stubborn() -> None:
        while not stop:
            try:
                spin(started, stop)
            except BaseException:
                pass

    future = relay.submit(stubborn)
    assert await asyncio.to_thread(started.wait, SOON)
    assert not await relay.interrupt(future, 0.05)
    stop.append(1)


async def test_interrupting_what_is_over_or_never_began_is_no_error(relay: Relay) -> None:
    over = relay.submit(int)
    await over
    assert await relay.interrupt(over)
    held = Held()
    first, waiting = relay.submit(held), relay.submit(int)
    assert await relay.interrupt(waiting)
    held.let_go.set()
    await first


async def test_hung_extra_threads_are_replaced() -> None:
    relay, gates = Relay(pool_size=1), [threading.Event() for _ in range(3)]

    begun = threading.Event()

    def slow(gate: threading.Event) -> str:
        if gate is gates[1]:
            begun.set()
        gate.wait(SOON)
        return "done"

    first = relay.submit(slow, gates[0])
    await relay.submit(int)
    hung = relay.submit(slow, gates[1])
    job = relay._jobs[hung]
    assert await asyncio.to_thread(begun.wait, SOON)
    waiting = relay.submit(slow, gates[2])
    assert not await relay.interrupt(hung, 0.01)
    gates[2].set()
    assert await asyncio.wait_for(waiting, SOON) == "done"
    assert (relay._pool_threads, relay._written_off) == (1, 1)
    for gate in gates:
        gate.set()
    await first
    assert job.ended is not None
    await asyncio.wait_for(job.ended, SOON)
    assert (relay._pool_jobs, relay._written_off) == (0, 0)
    relay.stop()


# --- the end


async def test_stop_cancels_what_waits_and_ends_the_threads() -> None:
    relay, held = Relay(), Held()
    thread = await relay.submit(threading.current_thread)
    running, waiting = relay.submit(held), relay.submit(int)
    await begun(held)
    relay.stop()
    relay.stop()
    assert waiting.cancelled()
    held.let_go.set()
    assert await running == "held"
    await asyncio.to_thread(thread.join, SOON)
    assert not thread.is_alive()
    with pytest.raises(RuntimeError, match="the relay has stopped"):
        relay.submit(int)


async def test_threads_are_daemons(relay: Relay) -> None:
    assert (await relay.submit(threading.current_thread)).daemon


def test_a_loop_that_closed_meanwhile_harms_nothing() -> None:
    held = Held()
    threads: list[threading.Thread] = []

    async def main() -> None:
        relay = Relay()
        threads.append(await relay.submit(threading.current_thread))
        relay.submit(held)
        await begun(held)
        relay.stop()

    asyncio.run(main())
    held.let_go.set()
    threads[0].join(SOON)
    assert not threads[0].is_alive()
