"""bot/live/safety.py: what safe mode leaves out, and what ends it."""

from __future__ import annotations

from bot.live.safety import Safety


def test_it_leaves_out_nothing_before_it_begins() -> None:
    safety = Safety()
    safety.asked({"a"}, everything=True)
    assert not safety.on and not safety.leaves_out("a")


def test_it_leaves_out_all_that_nobody_has_asked_for() -> None:
    safety = Safety()
    safety.begin()
    safety.asked({"a"}, everything=False)
    assert safety.on and not safety.leaves_out("a") and safety.leaves_out("b")


def test_it_ends_when_everything_is_asked_for_and_that_is_told_once() -> None:
    safety, told = Safety(), list[bool]()
    safety.on_end = lambda: told.append(safety.on)
    safety.begin()
    safety.asked((), everything=True)
    safety.asked((), everything=True)
    assert told == [False] and not safety.leaves_out("a")
