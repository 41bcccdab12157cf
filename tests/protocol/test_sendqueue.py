from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.protocol.sendqueue import URGENT_LINES, SendQueue


def made(burst: float, per_second: float) -> SendQueue:
    """A queue in which no flow is held."""
    queue = SendQueue(burst, per_second)
    queue.go()
    return queue


def pushed(queue: SendQueue, *items: bytes, urgent: bool = False, flow: str = "#a") -> SendQueue:
    for item in items:
        queue.push(item, None if urgent else flow)
    return queue


def popped(queue: SendQueue, now: float) -> list[bytes]:
    """All that may leave at `now`."""
    return [item for item, _ in iter(lambda: queue.pop(now), None)]


def test_a_burst_leaves_at_once_and_the_rest_at_the_rate() -> None:
    queue = pushed(made(2, 0.5), b"a", b"b", b"c", b"d")
    assert popped(queue, 100) == [b"a", b"b"]
    assert queue.next_at(100) == 102
    assert popped(queue, 101.9) == []
    assert popped(queue, 102) == [b"c"]
    assert popped(queue, 104) == [b"d"]
    assert queue.next_at(104) is None


def test_without_a_burst_nothing_waits() -> None:
    queue = pushed(made(0, 0), *[b"x"] * 1000)
    assert queue.next_at(0) == 0
    assert len(popped(queue, 0)) == 1000


def test_silence_refills_the_bucket_up_to_the_burst_only() -> None:
    queue = pushed(made(3, 1), *[b"x"] * 10)
    popped(queue, 0)
    assert len(popped(queue, 1000)) == 3


def test_urgent_lines_leave_first_and_never_wait() -> None:
    queue = pushed(made(1, 0.1), b"chat", b"more")
    assert popped(queue, 0) == [b"chat"]
    pushed(queue, b"JOIN #a", b"JOIN #b", urgent=True)
    assert queue.next_at(0) == 0
    assert popped(queue, 0) == [b"JOIN #a", b"JOIN #b"]


def test_urgent_lines_slow_down_what_follows_but_leave_the_last_token() -> None:
    queue = pushed(made(5, 0.1), *[b"JOIN"] * 9, urgent=True)
    assert len(popped(queue, 0)) == 9
    pushed(queue, b"first", b"second")
    assert popped(queue, 0) == [b"first"]


def test_the_paced_lane_can_be_held() -> None:
    queue = pushed(pushed(made(0, 0), b"chat"), b"NICK", urgent=True)
    assert queue.pop(0, paced=False) == (b"NICK", None)
    assert queue.pop(0, paced=False) is None
    assert queue.pop(0) == (b"chat", "#a")


def test_lengths_are_told_per_lane() -> None:
    queue = pushed(pushed(made(1, 1), b"a", b"b"), b"c", urgent=True)
    assert (queue.paced, len(queue)) == (2, 3)


def test_urgent_lines_beyond_some_wait_too_ahead_of_chatter() -> None:
    """A hundred KICKs at once would end the connection; and the bucket pays for them before it gives to chatter."""
    queue = pushed(pushed(made(5, 0.5), b"chat"), *[b"KICK"] * 12, urgent=True)
    assert popped(queue, 0) == [b"KICK"] * 9
    assert queue.next_at(0) == 2
    assert popped(queue, 1.9) == []
    assert popped(queue, 2) == [b"KICK"]
    assert popped(queue, 6) == [b"KICK", b"KICK", b"chat"]
    pushed(queue, b"next")
    assert queue.next_at(6) == 6 + 2 * (URGENT_LINES + 1)
    assert popped(queue, 6 + 2 * (URGENT_LINES + 1)) == [b"next"]


def test_the_lines_of_a_registration_are_not_counted() -> None:
    queue = pushed(SendQueue(2, 0.1), *[b"AUTHENTICATE"] * 50, urgent=True)
    assert len(popped(queue, 0)) == 50
    queue.free("-")
    pushed(queue, b"JOIN", b"JOIN", urgent=True)
    assert popped(queue, 0) == [b"JOIN", b"JOIN"]
    queue.go()
    assert popped(pushed(queue, b"hello"), 0) == [b"hello"]


# -- flows take turns


def test_flows_take_turns_and_keep_their_own_order() -> None:
    queue = pushed(pushed(pushed(made(0, 0), b"a1", b"a2", b"a3"), b"b1", b"b2", flow="#b"), b"c1", flow="#c")
    assert popped(queue, 0) == [b"a1", b"b1", b"c1", b"a2", b"b2", b"a3"]


def test_a_first_word_waits_for_one_line_of_each_other_flow_at_most() -> None:
    queue = pushed(pushed(made(1, 1), *[b"long"] * 60), *[b"wide"] * 60, flow="#b")
    assert popped(queue, 0) == [b"long"]
    pushed(queue, b"hi", flow="#c")
    assert [popped(queue, now) for now in (1, 2, 3)] == [[b"wide"], [b"long"], [b"hi"]]


def test_a_flow_is_held_until_it_is_freed() -> None:
    queue = pushed(pushed(SendQueue(0, 0), b"a"), b"b", flow="#b")
    assert popped(queue, 0) == [] and queue.next_at(0) is None
    queue.free("#b")
    assert popped(queue, 0) == [b"b"]
    queue.go()
    assert popped(queue, 0) == [b"a"]
    queue.hold()
    assert popped(pushed(queue, b"c"), 0) == []


def test_what_is_for_this_connection_alone_is_held_until_the_first_is_freed() -> None:
    queue = SendQueue(0, 0)
    queue.push(b"to a nick", "bob", lasting=False)
    queue.push(b"to a channel", "#a")
    assert popped(queue, 0) == []
    queue.free("-")
    assert popped(queue, 0) == [b"to a nick"]


def test_holding_drops_what_is_urgent_and_fills_the_bucket() -> None:
    queue = pushed(made(2, 0.1), *[b"x"] * 4)
    assert len(popped(queue, 0)) == 2
    pushed(queue, b"KICK", urgent=True).hold()
    queue.go()
    assert popped(queue, 0) == [b"x", b"x"]


def test_lines_can_be_dropped_by_flow_and_by_age() -> None:
    queue = made(0, 0)
    for now in range(4):
        queue.push(b"a%d" % now, "#a", now)
        queue.push(b"b%d" % now, "#b", now)
    assert queue.drop(lambda flow, waiting: flow == "#a" or waiting.at < 2) == {"#a": 4, "#b": 2}
    assert (queue.paced, queue.flows) == (2, {"#b": 2})
    assert popped(queue, 9) == [b"b2", b"b3"]


def test_what_waits_can_be_cleared() -> None:
    queue = pushed(pushed(made(1, 1), b"a"), b"c", urgent=True)
    queue.clear()
    assert len(queue) == 0


def test_a_clock_that_steps_back_neither_gives_nor_blocks() -> None:
    queue = pushed(made(1, 1), b"a", b"b", b"c")
    assert popped(queue, 5000) == [b"a"]
    assert popped(queue, 1000) == []
    assert queue.next_at(1000) == 1001
    assert popped(queue, 1001) == [b"b"]


def test_a_burst_below_one_line_still_lets_one_through() -> None:
    assert popped(pushed(made(0.5, 1), b"a", b"b"), 0) == [b"a"]


def test_a_bucket_that_would_never_fill_is_refused() -> None:
    with pytest.raises(ValueError, match="rate above 0"):
        made(5, 0)


def test_a_queue_that_was_unpaced_starts_with_a_full_burst() -> None:
    queue = pushed(made(0, 0), b"a", b"b", b"c")
    queue.pace(2, 1)
    assert popped(queue, 0) == [b"a", b"b"]


def test_a_new_pace_gives_no_tokens_away() -> None:
    queue = pushed(made(1, 1), b"a", b"b", b"c")
    popped(queue, 0)
    queue.pace(10, 1)
    assert popped(queue, 0) == []
    assert popped(queue, 1) == [b"b"]


@given(
    burst=st.floats(1, 20),
    rate=st.floats(0.01, 50),
    steps=st.lists(st.tuples(st.floats(0, 30), st.integers(0, 5), st.booleans()), max_size=40),
)
def test_order_holds_and_no_window_exceeds_burst_plus_rate(
    burst: float, rate: float, steps: list[tuple[float, int, bool]]
) -> None:
    """With urgent lines among them: these add what may be owed."""
    queue, now, numbers, left = made(burst, rate), 0.0, {True: 0, False: 0}, list[tuple[float, bool, int]]()
    for pause, count, urgent in steps:
        now += pause
        for _ in range(count):
            pushed(queue, str(numbers[urgent]).encode(), urgent=urgent)
            numbers[urgent] += 1
        while (item := queue.pop(now)) is not None:
            left.append((now, item[1] is None, int(item[0])))
        due = queue.next_at(now)
        assert due is None or due > now
    for urgent in (True, False):
        lane = [number for _, is_urgent, number in left if is_urgent == urgent]
        assert lane == list(range(len(lane)))
    for first, (start, *_) in enumerate(left):
        for last, (end, *_) in enumerate(left[first:], first):
            assert last - first + 1 <= burst + URGENT_LINES + (end - start) * rate + 0.05


@given(burst=st.floats(1, 20), rate=st.floats(0.01, 50), start=st.floats(0, 1e9))
def test_a_line_is_there_at_the_moment_that_was_named(burst: float, rate: float, start: float) -> None:
    """Else a timer would be set again and again for the same moment."""
    queue, now = pushed(made(burst, rate), *[b"x"] * 50), start
    for _ in range(49):
        if queue.pop(now) is None:
            due = queue.next_at(now)
            assert due is not None
            now = due
            assert queue.pop(now) is not None


def test_lines_that_belong_together_leave_together_and_cost_as_many() -> None:
    queue = pushed(made(5, 1), b"BATCH +n\ra\rb\rc\rBATCH -n", b"after")
    assert popped(queue, 0) == [b"BATCH +n\ra\rb\rc\rBATCH -n", b"after"]
    queue = pushed(made(2, 1), b"BATCH +n\ra\rb\rc\rBATCH -n", b"after")
    assert popped(queue, 0) == [b"BATCH +n\ra\rb\rc\rBATCH -n"]
    assert queue.next_at(0) == 2
    assert popped(queue, 2) == [b"after"]


def test_what_a_message_of_many_lines_costs_keeps_no_urgent_line_back() -> None:
    queue = pushed(made(2, 1), b"BATCH +n\r" + b"x\r" * 50 + b"BATCH -n")
    popped(queue, 0)
    assert popped(pushed(queue, b"KICK", urgent=True), 0) == [b"KICK"]


def test_lines_parted_by_line_feeds_leave_one_by_one_and_are_one_item() -> None:
    queue = pushed(made(1, 1), b"a\nb\nc")
    assert queue.paced == 1
    assert queue.pop(0) == (b"a", None)
    assert queue.pop(0) is None
    assert queue.pop(1) == (b"b", None)
    assert queue.pop(2) == (b"c", "#a")
    assert len(queue) == 0


def test_a_spare_line_leaves_only_if_nothing_waits_and_never_for_the_last_token() -> None:
    queue = made(3, 1)
    assert [queue.spare(0) for _ in range(4)] == [True, True, False, False]
    assert popped(pushed(queue, b"x"), 0) == [b"x"]
    assert not pushed(made(3, 1), b"x").spare(0)
    assert not pushed(made(3, 1), b"x", urgent=True).spare(0)
    assert not SendQueue(3, 1).spare(0)
    assert all(made(0, 0).spare(0) for _ in range(100))


def test_what_waits_can_be_changed() -> None:
    queue = pushed(made(0, 0), b"@x a", b"b", b"c")
    queue.change(lambda line: line.removeprefix(b"@x "))
    assert popped(queue, 0) == [b"a", b"b", b"c"]
