"""loops.py: machines are told from people by the gaps between our words and theirs."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

from bot.dispatch.loops import BOT, FAST, REMEMBERED, SILENT_SECONDS, STEADY, Loops


def exchanges(loops: Loops, gaps: Iterable[float], *, bot: bool = False, now: float = 0.0) -> int | None:
    """They speak, we answer, and so on; the number of the line that gets no answer."""
    for number, gap in enumerate(gaps):
        now += gap
        if loops.heard("bob", now, bot=bot):
            return number
        loops.spoke("bob", now)
    return None


def test_who_answers_faster_than_a_person_gets_no_answer() -> None:
    assert exchanges(Loops(), [0.0, *[0.1] * 20]) == FAST


def test_two_bots_that_keep_a_pace_end_too() -> None:
    random = Random(1)
    gaps = [2 + random.uniform(-0.1, 0.1) for _ in range(100)]
    assert exchanges(Loops(), gaps) == STEADY


def test_an_author_whom_the_network_calls_a_bot_has_less_patience() -> None:
    assert exchanges(Loops(), [0.0, *[2.0, 0.5] * 10], bot=True) == BOT


def test_a_person_who_plays_fast_for_long_is_always_answered() -> None:
    """Half a second to two between our answer and their next command, 500 times: up arrow and Enter."""
    random = Random(2)
    assert exchanges(Loops(), [random.uniform(0.35, 2.0) for _ in range(500)]) is None


def test_a_bot_of_the_network_that_is_asked_now_and_then_is_answered() -> None:
    assert exchanges(Loops(), [30.0] * 50, bot=True) is None


def test_who_asks_on_without_waiting_is_no_machine() -> None:
    """Ten pasted lines: they came before the first was answered."""
    loops = Loops()
    for _ in range(20):
        assert loops.heard("bob", 0.0) == 0.0
    for _ in range(20):
        loops.spoke("bob", 0.0)


def test_one_slow_answer_begins_a_new_row() -> None:
    gaps = [0.0, *[0.1] * (FAST - 1), 1.0, *[0.1] * (FAST - 1)]
    assert exchanges(Loops(), gaps) is None


def test_the_silence_is_short_and_told_how_long() -> None:
    loops = Loops()
    exchanges(loops, [0.0] * 20)
    assert loops.heard("bob", 5.0) == SILENT_SECONDS - 5
    assert loops.heard("alice", 5.0) == 0.0
    assert loops.heard("bob", SILENT_SECONDS) == 0.0


def test_those_heard_of_longest_ago_are_forgotten() -> None:
    loops = Loops()
    for number in range(REMEMBERED + 10):
        loops.spoke(number, 0.0)
        loops.heard(number, 0.0)
    assert len(loops) == REMEMBERED
