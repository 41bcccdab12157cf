"""bot/dispatch/faults.py: errors as texts, for who asks."""

from __future__ import annotations

import gc
import traceback
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from bot import logs
from bot.dispatch.faults import KEPT, MAX_CAUSES, MAX_FRAMES, MAX_LETTERS, Faults, told
from bot.errors import PluginError


def caught(function: Callable[[], Any]) -> BaseException:
    try:
        function()
    except BaseException as error:
        return error
    raise AssertionError("it was to fail")


def division() -> float:
    return 1 / 0


def number(faults: Faults, which: str = "") -> str | None:
    found = faults.last(which)
    return found.number if found else None


def test_an_error_is_told_from_the_inside_out() -> None:
    what, inner, outer = told(caught(division))
    assert what == "ZeroDivisionError: division by zero"
    assert inner.startswith("dispatch/test_faults.py:") and inner.endswith("in division: return 1 / 0")
    assert outer.endswith("in caught: function()")


def test_a_traceback_of_another_process_is_told_like_one_of_ours() -> None:
    text = "".join(traceback.format_exception(caught(division)))
    assert list(told(Exception(f"\n{text}"))) == list(told(caught(division)))


def test_causes_follow() -> None:
    def outer() -> None:
        try:
            division()
        except ZeroDivisionError as error:
            raise LookupError("no rate") from error

    lines = list(told(caught(outer)))
    assert lines[0] == "LookupError: no rate"
    assert "after ZeroDivisionError: division by zero" in lines


def test_a_cause_that_was_hidden_is_not_told() -> None:
    def outer() -> None:
        try:
            division()
        except ZeroDivisionError:
            raise LookupError("no rate") from None

    assert not [line for line in told(caught(outer)) if line.startswith("after")]


def test_deep_recursion_and_long_chains_are_bounded() -> None:
    def down() -> None:
        down()

    assert len(list(told(caught(down)))) <= 1 + MAX_FRAMES
    circle = Exception("circle")
    circle.__cause__ = circle
    assert len(list(told(circle))) == 1
    chain = Exception("top")
    for n in range(20):
        below = Exception(str(n))
        below.__cause__, chain = chain, below
    assert len(list(told(chain))) == MAX_CAUSES


def test_an_error_whose_text_can_not_be_shown_is_told_all_the_same() -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert "Odd" in next(told(Odd()))


def test_lines_are_short_and_without_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", set())
    monkeypatch.setattr(logs, "_pattern", None)
    logs.redact("hunter22")
    faults = Faults()
    faults.note("ab12", "p", "p.p g1", Exception("hunter22 " + "x" * 1000))
    fault = faults.last()
    assert fault is not None
    assert fault.lines[0].startswith("Exception: *** xxx") and len(fault.lines[0]) == MAX_LETTERS + 3


def test_the_last_one_a_number_or_a_plugin_can_be_asked_for() -> None:
    now = iter(range(100))
    faults = Faults(lambda: next(now))
    assert faults.last() is None
    faults.note("aaaa", "one", "one.x g1", ValueError("a"))
    faults.note("bbbb", "two", "two.x g1", ValueError("b"))
    faults.note("cccc", "one", "one.y g1", ValueError("c"))
    assert [number(faults, which) for which in ("", "aaaa", "one", "two", "three")] == [
        *("cccc", "aaaa", "cccc", "bbbb", None)
    ]


def test_a_plugin_that_could_not_be_loaded_says_that_first_until_it_is() -> None:
    now = iter(range(100))
    faults = Faults(lambda: next(now))
    error = PluginError("one", "one.py", 3, "ZeroDivisionError: division by zero")
    error.__cause__ = caught(division)
    faults.not_loaded("one", error)
    faults.note("aaaa", "one", "one.x g1", ValueError("a"))
    fault = faults.last("one")
    assert fault is not None
    assert fault.lines[:2] == ("one.py:3: ZeroDivisionError: division by zero", "ZeroDivisionError: division by zero")
    assert number(faults) == "aaaa"
    faults.loaded("one")
    assert number(faults, "one") == "aaaa"


def test_only_so_many_are_kept() -> None:
    faults = Faults()
    for n in range(KEPT + 1):
        faults.note(f"{n:04}", "p", "p.p g1", ValueError())
        faults.not_loaded(f"p{n}", PluginError(f"p{n}", "p.py", 0, "x"))
    assert faults.last("0000") is None and number(faults, "0001") == "0001"
    assert faults.last("p0") is None and faults.last("p1") is not None


def test_no_frame_is_kept_alive() -> None:
    class Held:
        pass

    found: list[weakref.ref[Held]] = []

    def fail() -> None:
        held = Held()
        found.append(weakref.ref(held))
        raise ValueError

    faults = Faults()
    faults.note("aaaa", "p", "p.p g1", caught(fail))
    gc.collect()
    assert found[0]() is None
