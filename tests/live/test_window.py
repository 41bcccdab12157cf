"""bot/live/window.py: how long a settled set in the making is waited for."""

from __future__ import annotations

from bot.live.window import ALONE_SECONDS, HOLD_SECONDS, OPEN_SECONDS, STEADY_SECONDS, Window


def window(*units: str, now: float = 0.0) -> Window:
    made = Window()
    for unit in units:
        made.mark(f"/{unit}.py", unit, now)
    return made


def test_one_unit_is_named() -> None:
    assert window("a").one == window("a", "a").one == "a"


def test_two_units_or_what_has_no_name_are_not_one() -> None:
    odd = window("a")
    odd.mark("/a", "a", 0.0, is_odd=True)
    assert window("a", "b").one == odd.one == Window().one == ""


def test_a_set_begins_with_its_first_change_and_ends_with_being_taken() -> None:
    made = window("a", now=1.0)
    made.mark("/a.py", "a", 3.0)
    assert (made.age(5.0), made.last) == (4.0, 3.0)
    made.take()
    assert made.age(5.0) == 0.0 and made.is_empty
    made.mark("/a.py", "a", 6.0)
    assert made.age(7.0) == 1.0


def test_a_file_is_open_from_its_first_write_to_its_close() -> None:
    made = Window()
    made.mark("/a.py", "a", 0.0, is_writing=True)
    made.mark("/a.py", "a", 1.0, is_writing=True)
    assert made.written_until(1.0) == 1.0 + OPEN_SECONDS
    made.mark("/a.py", "a", 1.5)
    assert made.written_until(1.5) == 1.5 and not made.writing


def test_a_writer_that_rests_with_its_file_open_is_waited_for_for_a_while() -> None:
    made = Window()
    made.mark("/a.py", "a", 0.0, is_writing=True)
    made.written_until(OPEN_SECONDS - 0.01)
    assert made.writing
    made.written_until(OPEN_SECONDS)
    assert not made.writing


def test_a_writer_that_never_ends_has_to_rest_for_an_instant_in_the_end() -> None:
    made = Window()
    made.mark("/a.py", "a", 0.0, is_writing=True)
    made.mark("/a.py", "a", HOLD_SECONDS, is_writing=True)
    made.written_until(HOLD_SECONDS + STEADY_SECONDS / 2)
    assert made.writing
    made.written_until(HOLD_SECONDS + 2 * STEADY_SECONDS)
    assert not made.writing


def test_what_is_complete_waits_for_what_is_not_only_so_long() -> None:
    made = window("a")
    made.mark("/b.py", "b", 0.0, is_writing=True)
    assert made.complete(ALONE_SECONDS / 2) == frozenset()
    assert made.complete(ALONE_SECONDS) == {"a"}
    made.take(frozenset({"a"}))
    assert made.names == {"b"} and made.writing


def test_nothing_is_complete_by_itself_when_names_do_not_say_all() -> None:
    odd, unsure = window("a"), window("a")
    odd.is_odd = unsure.is_unsure = True
    assert odd.complete(ALONE_SECONDS) == unsure.complete(ALONE_SECONDS) == frozenset()


def test_lost_events_leave_nothing_that_is_known() -> None:
    made = Window()
    made.mark("/a.py", "a", 0.0, is_writing=True)
    made.lose(1.0)
    assert made.is_odd and made.is_unsure and not made.writing and made.last == 1.0


def test_what_is_unsure_stays_so_when_a_part_is_taken() -> None:
    made = window("a")
    made.is_unsure = True
    made.take(frozenset({"a"}))
    assert made.is_unsure and made.age(1.0) == 1.0
    made.take()
    assert not made.is_unsure
