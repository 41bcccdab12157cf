"""bot/live/modules.py: module objects for sources of plugins, and the lines of each generation."""

from __future__ import annotations

import gc
import inspect
import linecache
import weakref

import pytest

from bot.live.discover import Source
from bot.live.modules import new_module


def source(content: bytes, *, is_package: bool = False) -> Source:
    return Source("plugins.weather", "/plugins/weather.py", "weather.py", content, is_package)


def test_a_module_says_where_it_is_from_and_sees_the_builtins_that_it_was_given() -> None:
    given = {"shout": print}
    module = new_module(source(b"x = 1\n"), "weather.py@1", given)
    assert module.__file__ == "/plugins/weather.py" and module.__package__ == "plugins"
    assert vars(module)["__builtins__"] is given
    assert inspect.getsource(module) == "x = 1\n"


def test_a_package_has_a_path_to_its_parts() -> None:
    module = new_module(source(b"", is_package=True), "weather.py@2", {})
    assert module.__package__ == "plugins.weather" and list(module.__path__) == ["/plugins"]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"a\r\nb\rc", ["a\n", "b\n", "c\n"]),
        (b"a\x0cb\nc", ["a\x0cb\n", "c\n"]),
        (b"\xff", ["\ufffd\n"]),
    ],
    ids=["line ends", "form feed", "not to be decoded"],
)
def test_its_lines_are_shown_as_python_counts_them(content: bytes, lines: list[str]) -> None:
    module = new_module(source(content), "weather.py@3", {})
    assert linecache.getlines("weather.py@3") == lines
    del module


def test_lines_go_with_the_last_module_that_has_them() -> None:
    one, two = (new_module(source(b"x = 1"), "weather.py@4", {}) for _ in range(2))
    gone = weakref.ref(one)
    del one
    gc.collect()
    assert gone() is None and "weather.py@4" in linecache.cache
    del two
    gc.collect()
    assert "weather.py@4" not in linecache.cache
