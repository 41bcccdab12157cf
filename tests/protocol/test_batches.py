"""batches.py: which batch a line is in, and which hold what was said before."""

from __future__ import annotations

import pytest

from bot.protocol.batches import HISTORY, Batch, Batches
from bot.protocol.message import Message


def turned(*lines: str) -> Batches:
    batches = Batches()
    for line in lines:
        batches.turn(Message.parse(line))
    return batches


def of(batches: Batches, tags: str) -> Batch | None:
    return batches.of(Message.parse(f"{tags}:bob!b@h PRIVMSG #a :x"))


def test_a_line_is_in_the_batch_that_it_names_while_that_is_open() -> None:
    batches = turned("BATCH +1 NetSplit a.b c.d")
    assert of(batches, "@batch=1 ") == Batch("netsplit", ("a.b", "c.d"))
    assert of(batches, "@batch=2 ") is None and of(batches, "") is None
    assert batches.turn(Message.parse("BATCH -1")) == Batch("netsplit", ("a.b", "c.d"))
    assert of(batches, "@batch=1 ") is None


@pytest.mark.parametrize("kind", sorted(HISTORY))
def test_a_batch_in_a_batch_of_history_is_history(kind: str) -> None:
    batches = turned(
        f"BATCH +1 {kind} #a", "@batch=1 BATCH +2 draft/multiline #a", "@batch=2 BATCH +3 other", "BATCH -1"
    )
    assert [batches[name].history for name in ("2", "3")] == [True, True]


def test_a_batch_of_the_present_may_hold_a_batch_of_history() -> None:
    batches = turned("BATCH +1 labeled-response", "@batch=1 BATCH +2 chathistory #a")
    assert [batch.history for batch in batches.values()] == [False, True]


@pytest.mark.parametrize("line", ["BATCH", "BATCH +", "BATCH -", "BATCH x", "BATCH -x", "BATCH :"])
def test_half_a_line_opens_nothing(line: str) -> None:
    assert turned(line) == {}


def test_batches_that_are_never_closed_are_forgotten_when_there_are_too_many() -> None:
    batches = turned(*(f"BATCH +{number} chathistory #a" for number in range(1000)))
    assert "999" in batches and "1" not in batches and len(batches) < 100


def test_of_too_many_batches_history_is_forgotten_last() -> None:
    batches = turned("BATCH +h chathistory #a", *(f"BATCH +{number} netsplit a.b c.d" for number in range(1000)))
    assert "h" in batches and "0" not in batches


def test_while_too_many_are_open_a_line_of_an_unknown_batch_is_history() -> None:
    batches = turned(*(f"BATCH +{number} chathistory #a" for number in range(1000)))
    found = of(batches, "@batch=1 ")
    assert found is not None and found.history and of(batches, "") is None
