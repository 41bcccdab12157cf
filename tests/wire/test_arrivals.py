"""Lines without a number: the networks take turns, and a line costs little."""

from __future__ import annotations

import sys

from bot.wire.arrivals import LINE_BYTES, Arrivals


def arrived(**lines: str) -> Arrivals:
    """Lines of one letter each, by network."""
    made = Arrivals()
    for net, letters in lines.items():
        for letter in letters:
            made.add(net, letter.encode())
    return made


def taken(arrivals: Arrivals, but: str = "") -> str:
    """All lines of all networks but one, in the order in which they are given."""
    found = ""
    while (one := arrivals.next(lambda net: net != but)) is not None:
        found += one[1].decode()
    return found


def test_the_networks_take_turns_and_each_keeps_its_order() -> None:
    assert taken(arrived(a="abcdef", b="BC", c="1")) == "aB1bCcdef"


def test_one_that_is_not_ready_is_passed_over_and_keeps_its_lines() -> None:
    arrivals = arrived(a="abc", b="BC")
    assert taken(arrivals, but="a") == "BC" and len(arrivals) == arrivals.of("a") == 3
    assert taken(arrivals) == "abc" and not arrivals and len(arrivals) == 0


def test_a_network_that_comes_back_has_its_turn_again() -> None:
    arrivals = arrived(a="ab", b="B")
    assert arrivals.take("b") == b"B" and arrivals.of("b") == 0
    arrivals.add("b", b"C")
    assert taken(arrivals) == "aCb"


def test_the_longest_is_the_one_with_the_most_lines() -> None:
    assert arrived(a="ab", b="BCD", c="1").longest() == "b"


def test_what_they_cost_is_counted_and_true() -> None:
    arrivals = arrived(a="ab", b="B")
    assert arrivals.held_bytes == 3 * (1 + LINE_BYTES)
    taken(arrivals)
    assert arrivals.held_bytes == 0
    assert sys.getsizeof(b"") + 8 <= LINE_BYTES, "an object and a slot in the deque"
