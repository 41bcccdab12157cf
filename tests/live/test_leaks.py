"""bot/live/leaks.py: what an ended generation left behind is told, once, with who holds it."""

from __future__ import annotations

import asyncio
import colorsys
import gc
import logging
import threading
from types import ModuleType
from typing import Any

import pytest

from bot.dispatch.owner import Owner
from bot.live.discover import Source, Unit
from bot.live.leaks import Leaks, held_by
from bot.live.loader import Image
from bot.testing import FakeClock


class Bench:
    """Leaks that are looked for by hand, at the clock's time."""

    def __init__(self) -> None:
        self.clock, self.told = FakeClock(), list[str]()
        self.leaks = Leaks(self.told.append, lambda: 5.0, self.clock)

    def ended(self, text: str = "def f(): ...", generation: int = 4) -> dict[str, Any]:
        """A generation of `weather` ends; return its namespace, which is all that holds its code."""
        module = ModuleType("plugins.weather")
        exec(text, vars(module))
        owner = Owner("weather")
        owner.generation = generation
        source = Source("plugins.weather", "/plugins/weather.py", "weather.py", text.encode(), False)
        unit = Unit("weather", {source.module: source}, "1a2b3c4")
        self.leaks.watch(Image(unit, {module.__name__: module}, frozenset(), "weather", owner))
        self.owner = owner
        return vars(module)

    def look(self) -> float | None:
        gc.collect()
        return self.leaks.look()


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_generation_that_is_gone_is_no_news(bench: Bench) -> None:
    bench.ended()
    assert bench.look() is None and bench.told == []


async def test_what_is_left_is_told_after_a_while_and_once(bench: Bench) -> None:
    space = bench.ended()
    assert bench.look() == 5.0 and bench.told == []
    await bench.clock.advance(6)
    assert bench.look() is None
    assert len(bench.told) == 1 and bench.told[0].startswith("weather g4 left behind: its code, held by ")
    assert bench.look() is None and len(bench.told) == 1
    del space


async def test_the_next_version_that_leaks_the_same_is_told_to_the_log_alone(bench: Bench, caplog: Any) -> None:
    spaces = [bench.ended(generation=number) for number in (4, 5)]
    await bench.clock.advance(6)
    bench.look()
    assert len(bench.told) == 1 and "weather g5 left behind" in caplog.text
    del spaces


async def test_a_thread_of_its_own_is_named_in_place_of_the_code_that_it_holds(bench: Bench) -> None:
    free = threading.Event()
    space = bench.ended("def wait(free):\n free.wait(10)")
    thread = threading.Thread(target=space.pop("wait"), args=(free,), name="feed")
    space.clear()
    bench.owner.threads = [thread]
    thread.start()
    await bench.clock.advance(6)
    bench.look()
    assert bench.told == ["weather g4 left behind: thread feed"]
    free.set()
    thread.join(10)


async def test_a_task_that_ignores_its_cancellation_is_named(bench: Bench) -> None:
    bench.ended()
    task = asyncio.create_task(asyncio.Event().wait(), name="mule")
    bench.owner.stubborn = {task}
    await bench.clock.advance(6)
    bench.look()
    task.cancel()
    assert bench.told == ["weather g4 left behind: task mule"]


# --- who holds it


def code(text: str = "def f(): ...") -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "plugins.weather"}
    exec(text, space)
    return space


def test_an_attribute_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    function = code()["f"]
    monkeypatch.setattr(colorsys, "rgb_to_hls", function)
    assert held_by([function]) == "colorsys.rgb_to_hls"


async def test_a_timer_of_the_loop() -> None:
    functions = [code()["f"]]
    timer = asyncio.get_running_loop().call_later(600, print, functions[0])
    assert held_by(functions) == "a timer of the loop"
    timer.cancel()


def test_a_logging_handler() -> None:
    function = code("class C: ...\ndef f(): ...")["f"]
    handler = logging.NullHandler()
    handler.emit = function  # type: ignore[method-assign]
    assert held_by([function]) == "logging: <NullHandler (NOTSET)>"


def test_what_nobody_in_python_holds() -> None:
    def own() -> str:
        functions = [code()["f"]]
        return held_by(functions)

    assert own() == "something outside of Python: atexit, a codec, a C library"
