"""bot/live/steps.py: work on the loop in steps, and what ends it."""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Generator, Iterator

import pytest

from bot.live import steps
from bot.live.steps import in_steps

pytestmark = [
    pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarm, so nothing is done on the loop"),
    pytest.mark.timeout(60, method="thread"),  # the other method is the alarm
]


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The alarm rings soon; and it is off and nobody's afterwards."""
    monkeypatch.setattr(steps, "ALARM_SECONDS", 0.05)
    before = signal.getsignal(signal.SIGALRM)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    yield
    assert signal.getsignal(signal.SIGALRM) is signal.SIG_DFL and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    signal.signal(signal.SIGALRM, before)


def work(done: list[str], *, step: object = None) -> Generator[str, None, str]:
    try:
        yield "one"
        if callable(step):
            step()
        yield "two"
        return "result"
    finally:
        done.append("left")


async def test_all_steps_are_done_and_the_result_comes_back() -> None:
    assert await in_steps(work(done := [])) == "result" and done == ["left"]


async def test_an_error_comes_out() -> None:
    def fail() -> None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await in_steps(work(done := [], step=fail))
    assert done == ["left"]


@pytest.mark.parametrize("wait", [lambda: time.sleep(30), lambda: [None for _ in iter(int, 1)]], ids=["sleep", "loop"])
async def test_a_step_that_takes_its_time_is_broken_off(wait: object) -> None:
    assert await in_steps(work(done := [], step=wait)) is None and done == ["left"]


async def test_one_that_catches_the_alarm_is_not_done_here_either() -> None:
    def deaf() -> None:
        try:
            time.sleep(30)
        except BaseException:
            return

    assert await in_steps(work([], step=deaf)) is None


async def test_the_loop_has_its_turn_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "TURN_SECONDS", 0.0)
    turns: list[str] = []
    asyncio.get_running_loop().call_soon(turns.append, "turn")

    def step() -> None:
        turns.append("step")

    await in_steps(work([], step=step))
    assert turns == ["turn", "step"]


async def test_nothing_is_done_while_somebody_else_uses_the_alarm() -> None:
    signal.signal(signal.SIGALRM, lambda number, frame: None)
    assert await in_steps(work([])) is None
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_nothing_is_done_off_the_main_thread() -> None:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(asyncio.run(in_steps(work([])))))
    thread.start()
    thread.join()
    assert results == [None]
