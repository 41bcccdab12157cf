from __future__ import annotations

from random import Random

from bot.wire.reconnect import Backoff


def test_waits_double_up_to_the_cap_and_stay_there() -> None:
    backoff = Backoff(2, 300, Random(1))
    waits = [backoff.next() for _ in range(1000)]
    for index, wait in enumerate(waits):
        step = min(300, 2 * 2 ** (index + 1))
        assert step / 2 <= wait <= step
    assert all(150 <= wait <= 300 for wait in waits[10:])


def test_jitter_is_real() -> None:
    backoff = Backoff(2, 300, Random(1))
    assert len({round(backoff.next(), 3) for _ in range(1000)}) > 900


def test_two_bots_do_not_wait_alike() -> None:
    first, second = Backoff(2, 300), Backoff(2, 300)
    assert [first.next() for _ in range(10)] != [second.next() for _ in range(10)]


def test_no_wait_is_below_the_minimum_or_above_the_maximum() -> None:
    backoff = Backoff(20, 25, Random(1))
    assert all(20 <= backoff.next() <= 25 for _ in range(100))


def test_stable_begins_anew() -> None:
    backoff = Backoff(2, 300, Random(1))
    for _ in range(20):
        backoff.next()
    backoff.stable()
    assert backoff.next() <= 4


def test_a_minimum_of_zero_still_grows() -> None:
    backoff = Backoff(0, 300, Random(1))
    assert backoff.next() > 0
    assert max(backoff.next() for _ in range(20)) > 100


def test_a_maximum_below_the_minimum_counts_as_the_minimum() -> None:
    assert Backoff(10, 1, Random(1)).next() == 10


def test_other_limits_count_from_the_next_wait_on() -> None:
    backoff = Backoff(2, 300, Random(1))
    backoff.between(20, 25)
    assert 20 <= backoff.next() <= 25
