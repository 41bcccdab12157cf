from __future__ import annotations

from random import Random

import pytest

from bot.wire.reconnect import THROTTLED_SECONDS, Backoff, patience


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


def test_a_least_wait_is_kept_with_jitter_and_within_the_maximum() -> None:
    waits = [Backoff(2, 300, Random(seed)).next(60) for seed in range(50)]
    assert all(60 <= wait <= 120 for wait in waits) and len(set(waits)) > 40
    assert Backoff(2, 30, Random(1)).next(60) <= 30


def test_after_a_least_wait_the_waits_grow_as_they_would_have() -> None:
    backoff = Backoff(2, 300, Random(1))
    backoff.next(60)
    assert backoff.next() <= 8
    assert [Backoff(2, 300, Random(1)).next() for _ in range(2)] == [Backoff(2, 300, Random(1)).next(1)] * 2


@pytest.mark.parametrize(
    "reason",
    [
        "the server said: Closing Link: 192.0.2.1 (Trying to reconnect too fast.)",
        "the server refused us: Your host is trying to (re)connect too fast -- throttled",
        "the server refused us: Throttled: Reconnecting too fast - Email admin@irc.example for more information.",
        "Your IP range has been attempting to connect too many times in too short a duration. Wait a while, ...",
        "Closing Link: x[192.0.2.1] (Too many host connections (local))",
        "Too many connections from your IP",
    ],
)
def test_a_server_that_is_asked_too_often_is_left_alone_for_a_while(reason: str) -> None:
    assert patience(reason) == THROTTLED_SECONDS


@pytest.mark.parametrize("reason", ["K-lined", "irc.test:6697 refused the connection", "ping timeout", ""])
def test_other_reasons_ask_for_no_more_patience(reason: str) -> None:
    assert patience(reason) == 0
