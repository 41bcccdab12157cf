"""bot/dispatch/limits.py: how often one user may run one command."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dispatch.limits import Limit, Limits

THREE = Limit(3, 9.0)


@pytest.mark.parametrize(
    ("text", "limit"), [("3/10s", Limit(3, 10)), (" 1 / m ", Limit(1, 60)), ("100/1h30m", Limit(100, 5400))]
)
def test_a_limit_is_read(text: str, limit: Limit) -> None:
    assert Limit.parse(text) == limit


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("3", "`3` is no limit; write it as 3/10s"),
        ("", "write it as 3/10s"),
        ("/10s", "write it as 3/10s"),
        ("3/", "write it as 3/10s"),
        ("x/10s", "write it as 3/10s"),
        ("²/10s", "write it as 3/10s"),
        ("0/10s", "the number of times goes from 1"),
        ("1001/s", "the number of times goes from 1"),
        ("3/10x", "`x` is no unit of time"),
        ("3/0s", "more than nothing"),
    ],
)
def test_no_limit_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Limit.parse(text)


def test_so_many_in_the_window_and_then_the_seconds_until_the_next() -> None:
    limits = Limits()
    answers = [limits.allow("h", "u", THREE, now) for now in (100.0, 101.0, 102.0, 103.0, 108.5)]
    assert answers == [0.0, 0.0, 0.0, 6.0, 0.5]
    assert limits.allow("h", "u", THREE, 109.0) == 0.0
    assert limits.allow("h", "u", THREE, 109.0) == 1.0


def test_a_limit_that_an_edit_made_smaller_counts_at_once() -> None:
    limits = Limits()
    for now in (0.0, 1.0, 2.0):
        limits.allow("h", "u", THREE, now)
    assert limits.allow("h", "u", Limit(1, 20.0), 5.0) == 17.0


def test_a_long_rest_saves_up_no_more_than_the_count() -> None:
    limits = Limits()
    limits.allow("h", "u", THREE, 0.0)
    assert [limits.allow("h", "u", THREE, 1e6) > 0 for _ in range(4)] == [False, False, False, True]


def test_handlers_and_users_do_not_count_for_each_other() -> None:
    limits = Limits()
    once = Limit(1, 60)
    assert limits.allow("h", "u", once, 0.0) == 0.0
    assert limits.allow("h", "v", once, 0.0) == 0.0
    assert limits.allow("g", "u", once, 0.0) == 0.0
    assert limits.allow("h", "u", once, 0.0) == 60.0


def test_a_clock_that_steps_back_neither_gives_nor_takes() -> None:
    limits = Limits()
    once = Limit(1, 60)
    limits.allow("h", "u", once, 1000.0)
    assert limits.allow("h", "u", once, 10.0) == 60.0
    assert limits.allow("h", "u", once, 70.0) == 0.0


def test_memory_is_bounded_and_the_longest_unseen_goes_first() -> None:
    limits, once = Limits(remembered=2), Limit(1, 60)
    for user in "abac":
        limits.allow("h", user, once, 0.0)
    assert len(limits) == 2
    assert limits.allow("h", "a", once, 0.0) == 60.0
    assert limits.allow("h", "b", once, 0.0) == 0.0


@given(st.integers(1, 50), st.floats(0.01, 1e6), st.floats(0, 1e9))
def test_after_the_seconds_named_it_is_allowed(count: int, seconds: float, now: float) -> None:
    limits, limit = Limits(), Limit(count, seconds)
    for _ in range(count):
        assert limits.allow("h", "u", limit, now) == 0.0
    wait = limits.allow("h", "u", limit, now)
    assert 0 < wait <= seconds + 2e-7
    # The sum may round down to just before the end; one step of a float at 1e9 is granted.
    assert limits.allow("h", "u", limit, now + wait + 2e-7) == 0.0


@given(st.lists(st.floats(0, 3), max_size=60))
def test_no_window_holds_more_runs_than_the_count(gaps: list[float]) -> None:
    limits, now, ran = Limits(), 0.0, []
    for gap in gaps:
        now += gap
        if limits.allow("h", "u", THREE, now) == 0.0:
            ran.append(now)
    for index, start in enumerate(ran):
        assert sum(moment < start + 9.0 for moment in ran[index:]) <= 3


def test_the_windows_go_on_elsewhere_by_the_age_of_their_runs() -> None:
    here, there = Limits(), Limits()
    for now in (100.0, 101.0, 102.0):
        assert here.allow("h", "u", THREE, now) == 0.0
    there.go_on(here.taken(103.0), 5.0)  # of a process with another clock
    assert there.allow("h", "u", THREE, 5.0) == pytest.approx(6.0)
    assert there.allow("h", "other", THREE, 5.0) == 0.0
    assert there.allow("h", "u", THREE, 11.0) == 0.0
