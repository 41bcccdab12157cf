"""bot/live/builder.py: the thread that runs plugin code before it is live, under a deadline."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from bot.live.builder import Builder


class TooLong(BaseException):
    pass


@pytest.fixture
async def builder() -> AsyncIterator[Builder]:
    made = Builder(TooLong)
    yield made
    made.stop()


async def test_it_runs_a_function_off_the_loop_and_gives_its_result(builder: Builder) -> None:
    assert await builder.run(threading.get_ident, 5.0) != threading.get_ident()


async def test_all_run_in_one_thread_one_after_another(builder: Builder) -> None:
    first, second = await asyncio.gather(builder.run(threading.get_ident, 5.0), builder.run(threading.get_ident, 5.0))
    assert first == second


@pytest.mark.parametrize(
    "error",
    [
        ValueError("x"),
        StopIteration("x"),
        SystemExit(3),
        KeyboardInterrupt(),
        GeneratorExit(),
        asyncio.CancelledError(),
    ],
)
async def test_whatever_is_raised_comes_back(builder: Builder, error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises((type(error), RuntimeError)) as caught:  # a StopIteration leaves a coroutine as RuntimeError
        await builder.run(fail, 5.0)
    assert error in (caught.value, caught.value.__cause__)


async def test_after_an_error_the_same_thread_goes_on(builder: Builder) -> None:
    thread = await builder.run(threading.get_ident, 5.0)
    with pytest.raises(SystemExit):
        await builder.run(lambda: exec("raise SystemExit"), 5.0)
    assert await builder.run(threading.get_ident, 5.0) == thread


async def test_a_loop_that_passes_the_deadline_is_interrupted(builder: Builder) -> None:
    def endless() -> None:
        while True:
            pass

    with pytest.raises(TooLong):
        await builder.run(endless, 0.05)
    assert await builder.run(lambda: "next", 5.0) == "next"


async def test_the_loop_goes_on_meanwhile(builder: Builder) -> None:
    free = threading.Event()
    waiting = asyncio.create_task(builder.run(lambda: free.wait(10), 10.0))
    await asyncio.sleep(0)
    free.set()
    assert await waiting


async def test_what_cannot_be_interrupted_is_left_and_the_next_has_a_fresh_thread(
    builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    free, real = threading.Event(), asyncio.wait

    async def hurry(futures: list[asyncio.Future[object]], timeout: float) -> object:
        return await real(futures, timeout=min(timeout, 0.02))

    thread = await builder.run(threading.get_ident, 5.0)
    monkeypatch.setattr(asyncio, "wait", hurry)
    with pytest.raises(TimeoutError):
        await builder.run(lambda: free.wait(10), 0.02)
    monkeypatch.undo()
    assert await builder.run(threading.get_ident, 5.0) != thread
    free.set()


async def test_a_result_that_nobody_awaits_any_more_is_dropped(builder: Builder) -> None:
    free = threading.Event()
    waiting = asyncio.create_task(builder.run(lambda: free.wait(10), 10.0))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    free.set()
    assert await builder.run(lambda: "next", 5.0) == "next"


async def test_a_loop_that_nobody_awaits_any_more_is_interrupted(builder: Builder) -> None:
    begun, ended = threading.Event(), threading.Event()

    def endless() -> None:
        try:
            while True:
                begun.set()
        finally:
            ended.set()

    waiting = asyncio.create_task(builder.run(endless, 60.0))
    await asyncio.to_thread(begun.wait, 5.0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert ended.is_set()
    assert await builder.run(lambda: "next", 5.0) == "next"


async def test_stopping_ends_the_thread() -> None:
    builder = Builder(TooLong)
    thread = await builder.run(threading.current_thread, 5.0)
    builder.stop()
    await asyncio.to_thread(thread.join, 5.0)
    assert not thread.is_alive()


async def test_what_runs_can_be_cancelled_though_it_was_stopped_meanwhile() -> None:
    builder, free = Builder(TooLong), threading.Event()
    waiting = asyncio.create_task(builder.run(lambda: free.wait(10), 10.0))
    await asyncio.sleep(0)
    waiting.cancel()
    builder.stop()
    free.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_stopping_what_never_ran_leaves_no_thread() -> None:
    before = threading.enumerate()
    Builder(TooLong).stop()
    assert threading.enumerate() == before


def test_the_loop_may_be_gone_when_the_function_ends() -> None:
    builder, free = Builder(TooLong), threading.Event()

    async def leave() -> None:
        asyncio.create_task(builder.run(lambda: free.wait(10), 10.0))  # noqa: RUF006  # it outlives the loop on purpose
        await asyncio.sleep(0)
        threads.extend(filter(None, [builder._thread]))

    threads: list[threading.Thread] = []
    asyncio.run(leave())
    free.set()
    threads[0].join(5.0)
    assert not threads[0].is_alive()
