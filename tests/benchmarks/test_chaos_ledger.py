"""The ledger of the chaos benchmark: each thing that must not be is found."""

from __future__ import annotations

import pytest

from benchmarks.chaos.ledger import Ledger
from benchmarks.chaos.plugins import WORDS

ECHO, ADD, _, _, PARTS, FRESH = WORDS


@pytest.fixture
def ledger() -> Ledger:
    made = Ledger()
    for word in (ECHO, ADD, PARTS, ADD):
        made.ask(word, "#c0", 1.0)
    return made


def test_all_answered_once_and_in_order_is_no_fault(ledger: Ledger) -> None:
    for text in ("echo 1", "add 2 1", "parts 3 1", "add 4 2", "parts 3 2", "parts 3 3"):
        ledger.hear("#c0", text, 2.0)
    ledger.close({"add": 2})
    assert ledger.faults() == [] and ledger.answered == 4 and ledger.open == 0


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["echo 1", "echo 1"], "answered twice"),
        (["echo 9"], "answered twice, or what nobody asked"),
        (["add 4 1", "add 2 2"], "out of order"),
        (["parts 3 2"], "a part is missing"),
        (["parts 3 1", "parts 3 1"], "a part is missing, doubled"),
        (["echo failed (error 1234)"], "said something else"),
        (["add 2 1", "add 4 1"], "a store counts something else"),
        ([], "never answered in full: 4 times"),
    ],
)
def test_what_must_not_be_is_found(ledger: Ledger, lines: list[str], fault: str) -> None:
    for text in lines:
        ledger.hear("#c0", text, 2.0)
    ledger.close({"add": 2})
    assert any(each.startswith(fault) for each in ledger.faults()), ledger.faults()


def test_an_answer_in_another_channel_is_none(ledger: Ledger) -> None:
    ledger.hear("#c1", "echo 1", 2.0)
    assert ledger.faults()


def test_a_gap_ends_with_the_answer_to_what_was_asked_after_the_death(ledger: Ledger) -> None:
    ledger.died(2.0)
    ledger.ask(FRESH, "#c0", 3.0)
    ledger.hear("#c0", "echo 1", 4.0)
    assert ledger.waiting
    ledger.hear("#c0", "fresh 5 7", 5.0)
    assert ledger.gaps == [3.0] and ledger.newest == 7 and not ledger.waiting


def test_a_hang_ends_with_the_first_answer_after_the_silence(ledger: Ledger) -> None:
    ledger.died(2.0, silence=1.0)
    ledger.hear("#c0", "echo 1", 2.5)
    ledger.hear("#c0", "add 2 1", 4.0)
    assert ledger.gaps == [2.0]
