"""bot/live/failures.py: what failed, and how that ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bot.live.failures import Failures, signature

BROKEN = frozenset({("a", "bad")})


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def plan(*touched: str, units: Any = ()) -> Any:
    return SimpleNamespace(touched=frozenset(touched), units=dict.fromkeys(units))


def live(name: str) -> Any:
    return {name: SimpleNamespace(owner=SimpleNamespace(generation=2), unit=SimpleNamespace(digest="1234567890"))}


def failed() -> tuple[Failures, Clock]:
    clock = Clock()
    failures = Failures(clock)
    failures.note(BROKEN)
    clock.now += 1
    return failures, clock


def texts(failures: Failures, *arguments: Any) -> list[str]:
    return [entry.text for entry in failures.undone(*arguments)]


def test_a_group_is_its_units_by_content() -> None:
    units: Any = {"a": SimpleNamespace(digest="1")}
    assert signature(["a", "gone"], units) == {("a", "1"), ("gone", "")}


def test_the_same_content_is_known() -> None:
    assert BROKEN in failed()[0]


def test_a_new_try_of_a_unit_forgets_its_failure() -> None:
    failures, _ = failed()
    failures.forget(["a"])
    assert BROKEN not in failures


def test_a_failure_lasts_while_the_file_differs() -> None:
    failures, _ = failed()
    assert texts(failures, plan("a"), live("a"), ()) == []
    assert BROKEN in failures


def test_a_file_that_is_missing_for_the_moment_is_not_undone() -> None:
    assert texts(failed()[0], plan(), live("a"), ["a"]) == []


def test_an_undone_mistake_is_told_once() -> None:
    failures, _ = failed()
    assert texts(failures, plan(units=["a"]), live("a"), ()) == ["a g2 (1234567) is what the file holds again"]
    assert texts(failures, plan(units=["a"]), live("a"), ()) == []


def test_a_mistake_undone_before_it_was_told_stays_untold() -> None:
    failures, clock = failed()
    clock.now -= 0.96
    assert texts(failures, plan(units=["a"]), live("a"), ()) == []
    assert BROKEN not in failures


def test_a_file_that_never_loaded_and_is_gone_is_told() -> None:
    assert texts(failed()[0], plan(), {}, ()) == ["a: the file that could not be loaded is gone"]
