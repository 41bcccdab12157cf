"""What is not finished, and what the present worker has of it."""

from __future__ import annotations

import sys

import pytest

from bot.wire import entries as holding
from bot.wire.arrivals import LINE_BYTES
from bot.wire.entries import Entries


@pytest.fixture
def entries() -> Entries:
    made = Entries()
    for number in ("1", "2", "3"):
        made.add(number, "n", b"line")
    made.last = 3
    return made


def handed(entries: Entries) -> list[tuple[str, str]]:
    """Hand all that waits over; return the numbers and flags."""
    found = list[tuple[str, str]]()
    while (number := entries.next()) is not None:
        found.append((number, entries.hand(number)[1]))
    return found


def test_flags_tell_new_delivered_and_for_the_state(entries: Entries) -> None:
    assert handed(entries) == [("1", "0"), ("2", "0"), ("3", "0")]
    entries.see("2")
    entries.another()
    entries.add("4", "n", b"new")
    assert handed(entries) == [("1", "1"), ("2", "2"), ("3", "1"), ("4", "0")]


def test_what_was_finished_before_it_was_handed_over_is_passed_over(entries: Entries) -> None:
    entries.another()
    entries.remove("1"), entries.remove("2")
    entries.add("2", "n", b"begun by the worker meanwhile", begun=True)
    assert handed(entries) == [("3", "0")]


def test_after_a_flood_its_memory_is_given_back() -> None:
    """A dict keeps its size when all is taken out of it: 200,000 lines would cost 10 MB for ever."""
    entries = Entries()
    for number in range(50_000):
        entries.add(str(number), "n", b"line")
    large = sys.getsizeof(entries._all)
    for number in range(50_000):
        entries.hand(str(number))
        entries.remove(str(number))
    assert sys.getsizeof(entries._all) < large / 8


def test_an_effect_is_accepted_once_by_network_cause_and_handler(entries: Entries) -> None:
    assert [entries.is_new("n", "1", "h", k) for k in (0, 1, 1, 0, 2)] == [True, True, False, False, True]
    assert entries.is_new("n", "1", "other", 0) and entries.is_new("n", "2", "h", 0)
    assert entries.is_new("o", "1", "h", 0), "what one call says to two networks waits in two queues"


def test_a_checkpoint_forgets_what_was_seen_up_to_it_and_void_all_of_a_network(entries: Entries) -> None:
    entries.see("1"), entries.see("3")
    entries.add("4", "o", b"line")
    entries.see("4")
    entries.saved(2)
    assert "1" not in entries and "3" in entries
    entries.void("n")
    assert "3" not in entries and "2" in entries and "4" in entries


def test_what_the_present_worker_has_is_counted(entries: Entries) -> None:
    entries.hand("1"), entries.hand("2")
    entries.add("t:job", "-", b"", begun=True)
    assert (entries.handed["n"], entries.handed["-"]) == (2, 1) and entries.in_hand() == ["1", "2", "t:job"]
    entries.see("1"), entries.remove("t:job")
    assert entries.handed.total() == 1 and entries.unfinished["n"] == 2
    entries.another()
    assert entries.handed.total() == 0 and entries.in_hand() == [] and entries.next() == "1"


def test_too_many_drop_the_oldest_and_tell_which(entries: Entries, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = list[tuple[str, bool]]()
    entries.on_lost = lambda net, number, matters: lost.append((number, matters))
    entries.hand("1")
    monkeypatch.setattr(holding, "MAX_HELD_BYTES", 2 * (holding.ENTRY_BYTES + 4))
    entries.add("4", "n", b"line")
    assert lost == [("1", False), ("2", True)] and entries.lost == 2 and entries.next() == "3"


def test_what_waits_without_a_number_counts_as_unfinished_and_held(entries: Entries) -> None:
    entries.arrive("n", b"line"), entries.arrive("o", b"line")
    assert (entries.unfinished["n"], entries.unfinished["o"], len(entries)) == (4, 1, 5)
    entries.number_all("o")
    assert (entries.last, entries.unfinished["o"], "4" in entries) == (4, 1, True)


def test_of_a_flood_the_oldest_lines_are_dropped_and_not_those_of_other_networks(
    entries: Entries, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = list[tuple[str, str, bool]]()
    entries.on_lost = lambda *each: lost.append(each)
    monkeypatch.setattr(holding, "MAX_HELD_BYTES", 3 * (holding.ENTRY_BYTES + 4) + 20 * (LINE_BYTES + 2))
    entries.arrive("other", b"xx")
    for number in range(10, 40):
        entries.arrive("flood", b"%d" % number)
    assert lost == [("flood", "", True)] * 11 and entries.lost == 11
    assert entries.arrivals.of("other") == 1 and entries.arrivals.take("flood") == b"21"
