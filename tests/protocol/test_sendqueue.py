from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.protocol.sendqueue import SendQueue


def pushed(queue: SendQueue, *items: bytes, urgent: bool = False) -> SendQueue:
    for item in items:
        queue.push(item, urgent)
    return queue


def popped(queue: SendQueue, now: float) -> list[bytes]:
    """All that may leave at `now`."""
    return list(iter(lambda: queue.pop(now), None))


def test_a_burst_leaves_at_once_and_the_rest_at_the_rate() -> None:
    queue = pushed(SendQueue(2, 0.5), b"a", b"b", b"c", b"d")
    assert popped(queue, 100) == [b"a", b"b"]
    assert queue.next_at(100) == 102
    assert popped(queue, 101.9) == []
    assert popped(queue, 102) == [b"c"]
    assert popped(queue, 104) == [b"d"]
    assert queue.next_at(104) is None


def test_without_a_burst_nothing_waits() -> None:
    queue = pushed(SendQueue(0, 0), *[b"x"] * 1000)
    assert queue.next_at(0) == 0
    assert len(popped(queue, 0)) == 1000


def test_silence_refills_the_bucket_up_to_the_burst_only() -> None:
    queue = pushed(SendQueue(3, 1), *[b"x"] * 10)
    popped(queue, 0)
    assert len(popped(queue, 1000)) == 3


def test_urgent_lines_leave_first_and_never_wait() -> None:
    queue = pushed(SendQueue(1, 0.1), b"chat", b"more")
    assert popped(queue, 0) == [b"chat"]
    pushed(queue, b"JOIN #a", b"JOIN #b", urgent=True)
    assert queue.next_at(0) == 0
    assert popped(queue, 0) == [b"JOIN #a", b"JOIN #b"]


def test_urgent_lines_slow_down_what_follows_but_leave_the_last_token() -> None:
    queue = pushed(SendQueue(5, 0.1), *[b"JOIN"] * 20, urgent=True)
    popped(queue, 0)
    pushed(queue, b"first", b"second")
    assert popped(queue, 0) == [b"first"]


def test_the_paced_lane_can_be_held() -> None:
    queue = pushed(pushed(SendQueue(0, 0), b"chat"), b"NICK", urgent=True)
    assert queue.pop(0, paced=False) == b"NICK"
    assert queue.pop(0, paced=False) is None
    assert queue.pop(0) == b"chat"


def test_lengths_are_told_per_lane() -> None:
    queue = pushed(pushed(SendQueue(1, 1), b"a", b"b"), b"c", urgent=True)
    assert (queue.urgent, queue.paced, len(queue)) == (1, 2, 3)


def test_what_waits_can_be_cleared() -> None:
    queue = pushed(pushed(SendQueue(1, 1), b"a"), b"c", urgent=True)
    queue.clear()
    assert len(queue) == 0


def test_a_clock_that_steps_back_neither_gives_nor_blocks() -> None:
    queue = pushed(SendQueue(1, 1), b"a", b"b", b"c")
    assert popped(queue, 5000) == [b"a"]
    assert popped(queue, 1000) == []
    assert queue.next_at(1000) == 1001
    assert popped(queue, 1001) == [b"b"]


def test_a_burst_below_one_line_still_lets_one_through() -> None:
    assert popped(pushed(SendQueue(0.5, 1), b"a", b"b"), 0) == [b"a"]


def test_a_bucket_that_would_never_fill_is_refused() -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        SendQueue(5, 0)


def test_a_queue_that_was_unpaced_starts_with_a_full_burst() -> None:
    queue = pushed(SendQueue(0, 0), b"a", b"b", b"c")
    queue.pace(2, 1)
    assert popped(queue, 0) == [b"a", b"b"]


def test_a_new_pace_gives_no_tokens_away() -> None:
    queue = pushed(SendQueue(1, 1), b"a", b"b", b"c")
    popped(queue, 0)
    queue.pace(10, 1)
    assert popped(queue, 0) == []
    assert popped(queue, 1) == [b"b"]


@given(
    burst=st.floats(1, 20),
    rate=st.floats(0.01, 50),
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 5)), max_size=40),
)
def test_order_holds_and_no_window_exceeds_burst_plus_rate(
    burst: float, rate: float, steps: list[tuple[float, int]]
) -> None:
    queue, now, number, left = SendQueue(burst, rate), 0.0, 0, list[tuple[float, int]]()
    for pause, count in steps:
        now += pause
        for _ in range(count):
            queue.push(str(number).encode())
            number += 1
        left += [(now, int(item)) for item in popped(queue, now)]
        due = queue.next_at(now)
        assert due is None or due > now
    assert [item for _, item in left] == list(range(len(left)))
    for first, (start, _) in enumerate(left):
        for last, (end, _) in enumerate(left[first:], first):
            assert last - first + 1 <= burst + (end - start) * rate + 0.05


@given(burst=st.floats(1, 20), rate=st.floats(0.01, 50), start=st.floats(0, 1e9))
def test_a_line_is_there_at_the_moment_that_was_named(burst: float, rate: float, start: float) -> None:
    """Else a timer would be set again and again for the same moment."""
    queue, now = pushed(SendQueue(burst, rate), *[b"x"] * 50), start
    for _ in range(49):
        if queue.pop(now) is None:
            due = queue.next_at(now)
            assert due is not None
            now = due
            assert queue.pop(now) is not None
