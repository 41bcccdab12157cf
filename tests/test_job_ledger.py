"""bot/ledger.py: names of runs, and what is written down about them. Whole bots: tests/test_jobs.py, test_life.py."""

from __future__ import annotations

from typing import Any

import pytest

from bot.ledger import Ledger, name_of, read_name
from bot.wire.link import Frame, decode, encode


def ledger(dues: dict[str, Any] | None = None) -> tuple[Ledger, list[Frame], dict[str, Any]]:
    """One that no keeper has greeted yet, what it sends, and what lies on disk."""
    sent, lie = list[Frame](), {} if dues is None else dues
    return Ledger(sent.append, lambda name: None, lie), sent, lie


@pytest.mark.parametrize(
    ("key", "due", "row", "name"),
    [
        ("weather.poll", 1700000000.0, None, "t:weather.poll/1700000000.000"),
        ("remind.due", 1700000000.1234, 17, "t:remind.due/1700000000.123#17"),
        ("a.b", 0.0, 0, "t:a.b/0.000#0"),
    ],
)
def test_a_name_says_whose_run_it_is_and_the_next_worker_makes_the_same(
    key: str, due: float, row: int | None, name: str
) -> None:
    assert name_of(key, due, row) == name
    assert read_name(name) == (key, row)
    frame = Frame("begin", ("-", name), name.encode())
    assert decode(encode(frame)) == frame


@pytest.mark.parametrize(
    "name", ["17", "", "t:", "t:weather.poll", "weather.poll/1.000", "t:a.b/1.000#x", "t:a.b/1#-1"]
)
def test_what_is_no_name_of_a_run(name: str) -> None:
    assert read_name(name) is None


def test_a_run_is_told_as_work_of_no_network() -> None:
    made, sent, _ = ledger()
    made.begin("t:a.b/1.000")
    assert sent == [Frame("begin", ("-", "t:a.b/1.000"), b"t:a.b/1.000")]


def test_without_a_keeper_that_outlives_us_nothing_is_written_down() -> None:
    made, _, dues = ledger()
    made.remember("a.b", 60.0, 1000.0)
    assert (made.kept, dues, made.due("a.b", 60.0)) == (False, {}, None)


def test_the_next_worker_under_the_same_keeper_goes_on_in_time() -> None:
    first, _, dues = ledger()
    first.open("boot")
    first.remember("a.b", 60.0, 1000.0)
    first.remember("a.b", 60.0, 1060.0)
    first.remember("a.c", "* * * * *", 1020.0)
    second, _, _ = ledger(dues)
    second.open("boot")
    assert second.kept
    assert (second.due("a.b", 60.0), second.due("a.c", "* * * * *"), second.due("a.d", 60.0)) == (1060.0, 1020.0, None)


def test_a_job_with_another_interval_begins_anew() -> None:
    made, _, _ = ledger()
    made.open("boot")
    made.remember("a.b", 60.0, 1000.0)
    assert (made.due("a.b", 61.0), made.due("a.b", "* * * * *")) == (None, None)


def test_what_was_written_under_another_keeper_is_void_and_goes() -> None:
    dues = {"a.b": ["boot", 60.0, 1000.0], "a.c": ["mine", 60.0, 1000.0]}
    made, _, _ = ledger(dues)
    made.open("mine")
    assert dues == {"a.c": ["mine", 60.0, 1000.0]}
    assert (made.due("a.b", 60.0), made.due("a.c", 60.0)) == (None, 1000.0)


def test_a_time_that_is_known_is_not_written_again() -> None:
    class Disk(dict[str, Any]):
        writes = 0

        def __setitem__(self, key: str, value: Any) -> None:
            self.writes += 1
            super().__setitem__(key, value)

    dues = Disk()
    made, _, _ = ledger(dues)
    made.open("boot")
    for _ in range(3):
        made.remember("a.b", 60.0, 1000.0)
    assert dues.writes == 1
    made.remember("a.b", 30.0, 1000.0)
    assert dues.writes == 2
