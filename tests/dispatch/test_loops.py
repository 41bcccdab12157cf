"""loops.py: two machines that answer each other are told from people, and from scripts that use commands."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from bot.dispatch.loops import QUICK, REMEMBERED, SILENT_SECONDS, STEADY, UNINVITED, Loops


def mirror(text: str) -> set[str]:
    """All that is said wakes the handler that said it."""
    return {"p.hello"}


def deaf(text: str) -> set[str]:
    return set()


def exchanges(loops: Loops, gaps: Iterable[float], wakes: object = mirror, *, invited: bool = False) -> int | None:
    """They speak, we answer, and so on; the number of the line that gets no answer."""
    now = 0.0
    for number, gap in enumerate(gaps):
        now += gap
        if loops.heard("bob", now, invited=invited, wakes=wakes):  # type: ignore[arg-type]
            return number
        loops.spoke("bob", now, "p.hello", f"hello {number}")
    return None


@pytest.mark.parametrize("invited", [True, False])
def test_two_bots_of_one_kind_end_after_a_few_lines(invited: bool) -> None:
    assert exchanges(Loops(), [0.0, *[0.3] * 20], invited=invited) == QUICK


def test_two_bots_that_keep_a_pace_end_too_of_one_kind_or_not() -> None:
    for wakes in (mirror, deaf):
        random = Random(1)
        assert exchanges(Loops(), [2 + random.uniform(-0.1, 0.1) for _ in range(100)], wakes) == STEADY


@pytest.mark.parametrize("gap", [0.0, 0.01, 1.0, 2.0])
def test_commands_whose_answers_wake_nothing_are_answered_at_any_pace(gap: float) -> None:
    assert exchanges(Loops(), [gap] * 1000, deaf, invited=True) is None


def test_two_bots_of_different_kinds_end_too_if_they_use_no_commands() -> None:
    assert exchanges(Loops(), [0.005] * 1000, deaf) == UNINVITED


def test_a_pair_of_rules_that_wake_each_other_is_a_mirror() -> None:
    loops, silent = Loops(), list[int]()
    for number in range(20):
        if loops.heard("bob", 0.0, invited=False, wakes=lambda text: {f"p.{text}"}):
            silent.append(number)
            break
        one, other = ("ping", "pong") if number % 2 else ("pong", "ping")
        loops.spoke("bob", 0.0, f"p.{one}", other)
    assert silent == [QUICK]


def test_a_person_who_chats_with_a_bot_that_answers_everything_is_always_answered() -> None:
    random = Random(2)
    assert exchanges(Loops(), [random.choice([0.4, 1.2, 3.0]) + random.random() for _ in range(500)]) is None


def test_a_person_who_plays_fast_for_long_is_always_answered() -> None:
    """A third of a second to two between our answer and their next command, 500 times: up arrow and Enter."""
    random = Random(3)
    assert exchanges(Loops(), [random.uniform(0.35, 2.0) for _ in range(500)], deaf, invited=True) is None


def test_who_asks_on_without_waiting_is_no_machine() -> None:
    """Ten pasted lines: they came before the first was answered."""
    loops = Loops()
    for _ in range(3):
        for _ in range(20):
            assert loops.heard("bob", 0.0, invited=False, wakes=mirror) == 0.0
        for _ in range(20):
            loops.spoke("bob", 0.0, "p.hello", "hello")


def test_one_slow_answer_begins_a_new_row() -> None:
    assert exchanges(Loops(), [0.0, *[0.1] * (QUICK - 1), 1.5, *[0.1] * (QUICK - 1)]) is None


def test_the_silence_is_short_and_told_how_long() -> None:
    loops = Loops()
    assert exchanges(loops, [0.0] * 20) == QUICK
    assert loops.heard("bob", 5.0, invited=False, wakes=mirror) == SILENT_SECONDS - 5
    assert loops.heard("alice", 5.0, invited=False, wakes=mirror) == 0.0
    assert loops.heard("bob", SILENT_SECONDS, invited=False, wakes=mirror) == 0.0


def test_those_heard_of_longest_ago_are_forgotten() -> None:
    loops = Loops()
    for number in range(REMEMBERED + 10):
        loops.spoke(number, 0.0, "p.hello", "hello")
    assert len(loops) == REMEMBERED
