"""What a worker is handed: in order, not too much at once, and what a dead one leaves."""

from __future__ import annotations

import pytest
from scripted import FakeClock

from bot.wire.handing import MAX_IN_HAND, MORE, STUCK_SECONDS, Handing
from bot.wire.link import MemoryLink


class Bench:
    def __init__(self) -> None:
        self.clock, self.handed, self.slow, self.wakes = FakeClock(), list[tuple[str, str]](), set[str](), list[float]()
        self.handing = Handing(
            self.clock, lambda net, number, flag, text: self.handed.append((number, flag)),
            lambda: self.handed.append(("live", "")), lambda net: net in self.slow, self.wakes.append,
        )  # fmt: skip
        self.another()

    def another(self) -> None:
        self.handing.begin(MemoryLink().keeper)
        self.handing.reading = True
        self.handed.clear()

    def arrive(self, *numbers: int, net: str = "n") -> None:
        for number in numbers:
            self.handing.entries.arrive(net, b"line")
            self.handing.hand_over()
            assert self.handing.entries.last <= number

    def done(self, *numbers: int) -> None:
        for number in numbers:
            entry = self.handing.entries.get(str(number))
            assert entry is not None
            self.handing.entries.remove(str(number))
            self.handing.finished(str(number), entry.net)

    def numbers(self) -> list[int]:
        return [int(number) for number, _ in self.handed if number.isdecimal()]


@pytest.fixture
async def bench() -> Bench:
    return Bench()


async def test_a_worker_has_so_many_unfinished_lines_and_gets_more_as_it_finishes_them(bench: Bench) -> None:
    bench.arrive(*range(1, MAX_IN_HAND + 11))
    assert bench.numbers() == list(range(1, MAX_IN_HAND + 1))
    bench.done(7, 3)
    assert bench.numbers()[MAX_IN_HAND:] == [MAX_IN_HAND + 1, MAX_IN_HAND + 2]


async def test_where_nothing_is_finished_for_a_while_there_are_more(bench: Bench) -> None:
    """Handlers that wait for something must not keep others waiting."""
    bench.arrive(*range(1, MAX_IN_HAND + MORE + 2))
    assert bench.wakes[-1] == bench.clock() + STUCK_SECONDS
    bench.clock.advance(STUCK_SECONDS)
    bench.handing.tick()
    assert bench.numbers() == list(range(1, MAX_IN_HAND + MORE + 1))


async def test_a_network_that_has_enough_in_hand_keeps_no_other_waiting(bench: Bench) -> None:
    """One whose handlers hang, or with a flood of lines, is a queue of its own."""
    bench.arrive(*range(1, 2 * MAX_IN_HAND), net="hangs")
    handed = len(bench.numbers())
    bench.arrive(2 * MAX_IN_HAND, net="other")
    assert (handed, len(bench.numbers())) == (MAX_IN_HAND, MAX_IN_HAND + 1)
    assert bench.handing.entries.unfinished == {"hangs": 2 * MAX_IN_HAND - 1, "other": 1}


async def test_lines_are_handed_over_by_network_in_turn_and_numbered_then(bench: Bench) -> None:
    for net in ("a", "a", "a", "b"):
        bench.handing.entries.arrive(net, net.encode())
    bench.handing.hand_over()
    assert bench.numbers() == [1, 2, 3, 4]
    entries = [bench.handing.entries.get(str(number)) for number in bench.numbers()]
    assert [entry.net for entry in entries if entry is not None] == ["a", "b", "a", "a"]


async def test_lines_that_a_networks_pace_keeps_open_do_not_count(bench: Bench) -> None:
    bench.slow.add("n")
    bench.arrive(*range(1, MAX_IN_HAND + 11))
    bench.arrive(MAX_IN_HAND + 11, net="other")
    assert len(bench.numbers()) == MAX_IN_HAND + 11


async def test_the_next_worker_begins_with_empty_hands_and_live_ends_the_backlog(bench: Bench) -> None:
    bench.arrive(*range(1, MAX_IN_HAND + 11))
    bench.another()
    bench.handing.hand_over()
    assert ("live", "") not in bench.handed
    bench.handing.entries.another()
    bench.handed.clear()
    bench.handing.hand_over()
    assert bench.handed[0] == ("1", "1") and len(bench.numbers()) == MAX_IN_HAND
    bench.done(*range(1, 11))
    assert bench.handed[-1] == ("live", "") and bench.handed[-2] == (str(MAX_IN_HAND + 10), "0")


async def test_a_death_before_the_worker_reads_is_no_lines_fault(bench: Bench) -> None:
    bench.arrive(1)
    for _ in range(3):
        bench.handing.reading = False
        assert bench.handing.died(own_fault=True, strikes=2) is None
        bench.another()


async def test_a_guilty_line_stays_for_the_state_of_the_next_worker(bench: Bench) -> None:
    bench.arrive(1)
    assert bench.handing.died(own_fault=True, known="1") == ("n", "1", b"line")
    bench.handing.begin(MemoryLink().keeper)
    assert bench.handed[-2:] == [("1", "2"), ("live", "")]


async def test_what_is_for_the_state_keeps_its_place_among_suspects(bench: Bench) -> None:
    """A PART must not be applied before the JOIN that is on trial."""
    bench.arrive(1, 2, 3)
    bench.handing.entries.see("2")
    bench.handing.died(own_fault=True, strikes=2)
    bench.another()
    bench.handed.clear()
    bench.handing.entries.another()
    bench.handing.blame.interrupted()
    bench.handing.hand_over()
    assert bench.handed == [("1", "1"), ("2", "2")]
    bench.done(1)
    assert bench.handed[2:] == [("3", "1")]


async def test_a_suspect_that_is_dropped_holds_up_nobody(bench: Bench) -> None:
    bench.arrive(1, 2)
    bench.handing.died(own_fault=True, strikes=2)
    bench.another()
    bench.done(1)
    assert bench.numbers() == [2]
    bench.done(2)
    bench.arrive(3)
    assert bench.numbers() == [2, 3] and not bench.handing.blame.careful
