"""bot/wire/blame.py: an innocent line is never skipped, a guilty one after two deaths at most."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from bot.wire.blame import ALIVE_SECONDS, LONG_PATIENCE_SECONDS, PATIENCE_SECONDS, Blame


def blame() -> Blame:
    counts: Counter[str] = Counter()

    def deaths(number: str) -> int:
        counts[number] += 1
        return counts[number]

    return Blame(deaths)


def test_one_death_accuses_nobody_but_makes_suspects() -> None:
    one = blame()
    assert one.died(["1", "2"]) is None
    assert one.careful and one.is_suspect("1") and one.is_suspect("2") and not one.is_suspect("3")


def test_alone_at_its_second_death_it_is_guilty() -> None:
    one = blame()
    one.died(["1", "2"])
    one.handed("1", 0.0)
    assert one.died(["1"]) == "1"
    assert one.is_suspect("2") and not one.is_suspect("1")


def test_alone_at_a_first_death_it_may_have_been_chance() -> None:
    assert blame().died(["1"]) is None


def test_two_in_hand_are_never_guilty() -> None:
    one = blame()
    assert [one.died(["1", "2"]) for _ in range(3)] == [None] * 3


def test_a_suspect_has_the_worker_for_itself_until_it_is_done() -> None:
    one = blame()
    one.died(["1", "2"])
    assert one.may_go(0.0)
    one.handed("1", 0.0)
    assert not one.may_go(0.5)
    one.finished("1")
    assert one.may_go(0.5)


def test_one_that_takes_its_time_is_passed_over_when_the_worker_has_shown_that_it_lives() -> None:
    one = blame()
    one.died(["1", "2"])
    one.listening(0.0)
    one.handed("1", 0.0)
    one.heard(ALIVE_SECONDS / 2)
    assert not one.may_go(PATIENCE_SECONDS * 2), "what was heard may have been said before the line was read"
    one.heard(ALIVE_SECONDS)
    assert not one.may_go(PATIENCE_SECONDS / 2) and one.may_go(PATIENCE_SECONDS)


def test_the_time_of_a_suspect_begins_when_the_worker_listens() -> None:
    """Handed over while it starts, a line is read only when the plugins are loaded; its beats mean nothing so far."""
    one = blame()
    one.died(["1", "2"])
    one.handed("1", 0.0)
    one.heard(5.0)
    assert not one.may_go(10.0)
    one.listening(10.0)
    assert not one.may_go(10.0 + PATIENCE_SECONDS)
    one.heard(10.0 + ALIVE_SECONDS)
    assert one.may_go(10.0 + PATIENCE_SECONDS)


def test_two_deaths_that_did_not_tell_give_each_suspect_as_long_as_a_handler_may_take() -> None:
    one = blame()
    for _ in range(2):
        one.died(["slow", "poison"])
    one.handed("slow", 0.0)
    one.listening(0.0)
    one.heard(1.0)
    assert not one.may_go(LONG_PATIENCE_SECONDS - 1), "it ends within that, and is not in hand beside the other"
    one.finished("slow")
    one.handed("poison", 25.0)
    assert one.died(["poison"]) == "poison"


def test_it_is_over_when_the_last_suspect_is_done_or_has_taken_its_time() -> None:
    for is_done in (True, False):
        one = blame()
        one.died(["1"])
        assert not one.over(0.0)
        one.handed("1", 0.0)
        one.listening(0.0)
        assert not one.over(0.0)
        if is_done:
            one.finished("1")
        one.heard(1.0)
        assert one.over(PATIENCE_SECONDS) and not one.careful


def test_a_kill_from_outside_shows_nothing_and_the_suspect_is_tried_again() -> None:
    one = blame()
    one.died(["1", "2"])
    one.handed("1", 0.0)
    one.interrupted()
    assert one.is_suspect("1") and one.may_go(0.0) and not one.over(0.0)


def test_one_that_is_known_to_have_held_the_worker_is_guilty_and_no_other_becomes_a_suspect() -> None:
    one = blame()
    assert one.died(["1", "2", "3"], known="2") == "2"
    assert not one.careful
    assert one.died(["1"]) is None, "its first death, and not its second"


def test_a_death_that_is_explained_leaves_the_suspects_of_another_to_be_tried() -> None:
    one = blame()
    one.died(["1", "2", "3"])
    one.handed("1", 0.0)
    assert one.died(["1", "9"], known="9") == "9"
    assert [number for number in "1239" if one.is_suspect(number)] == ["1", "2", "3"] and one.may_go(0.0)
    one.handed("1", 0.0)
    assert one.died(["1"], known="1") == "1"
    assert [number for number in "123" if one.is_suspect(number)] == ["2", "3"] and one.may_go(0.0)
    assert one.died(["2"], known="2") == "2"
    assert [number for number in "123" if one.is_suspect(number)] == ["3"]


@given(
    lines=st.lists(st.sampled_from(("good", "good", "crash", "hang")), min_size=1, max_size=30),
    together=st.integers(1, 30),
)
def test_hangs_among_crashes_each_cost_one_death_and_no_innocent(lines: list[str], together: int) -> None:
    """The worker is handed lines in lots; a crash ends it when it is read, a hang is seen to hold it."""
    one, deaths, skipped, done = blame(), Counter[str](), set[str](), set[str]()
    while len(skipped) + len(done) < len(lines):
        in_hand: list[str] = []
        for number in [str(n) for n in range(len(lines)) if str(n) not in skipped | done]:
            if not one.over(0.0):
                if not one.is_suspect(number) or not one.may_go(0.0):
                    continue
                one.handed(number, 0.0)
            in_hand.append(number)
            if len(in_hand) >= together or one.careful:
                break
        kinds = [lines[int(number)] for number in in_hand]
        at = next((place for place, kind in enumerate(kinds) if kind != "good"), None)
        if at is None:
            for number in in_hand:
                one.finished(number)
            done.update(in_hand)
            continue
        deaths[in_hand[at]] += 1
        hangs = kinds[at] == "hang"
        guilty = one.died(in_hand, known=in_hand[at] if hangs else None)
        skipped |= {guilty} - {None}
    assert done == {str(n) for n, kind in enumerate(lines) if kind == "good"}
    assert all(count <= (1 if lines[int(number)] == "hang" else 2) for number, count in deaths.items())


@given(
    lines=st.lists(st.booleans(), min_size=1, max_size=30),
    together=st.integers(1, 30),
    kills=st.lists(st.integers(0, 40), max_size=5),
)
def test_whatever_comes_together_the_guilty_are_skipped_after_two_deaths_and_nobody_else(
    lines: list[bool], together: int, kills: list[int]
) -> None:
    """Poison ends the worker when it is read; `kills` are moments at which somebody outside does."""
    one, deaths = blame(), Counter[str]()
    waiting = [str(number) for number in range(len(lines))]
    poison, skipped, done, steps = {str(n) for n, bad in enumerate(lines) if bad}, set[str](), set[str](), 0
    while waiting:
        in_hand: list[str] = []
        for number in [each for each in waiting if each not in skipped]:
            if not one.over(0.0):
                if not one.is_suspect(number) or not one.may_go(0.0):
                    continue
                one.handed(number, 0.0)
            elif len(in_hand) >= together:
                break
            in_hand.append(number)
            steps += 1
            if steps in kills:
                one.interrupted()
                break
            if number in poison:
                deaths.update(poison.intersection(in_hand))
                guilty = one.died(in_hand)
                skipped |= {guilty} - {None}
                break
            in_hand.remove(number)  # it was quick
            done.add(number)
            one.finished(number)
        waiting = [each for each in waiting if each not in skipped | done]
    assert skipped == poison and done == {str(n) for n in range(len(lines))} - poison
    assert all(count <= 2 for count in deaths.values())
