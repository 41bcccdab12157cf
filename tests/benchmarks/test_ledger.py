"""The soak's ledger: what it lets pass, and each fault it must find."""

from __future__ import annotations

import pytest

from benchmarks.soak.ledger import Ledger
from benchmarks.soak.plugins import WORDS

NAMES = [word.name for word in WORDS]


def asked(*wanted: str) -> tuple[Ledger, list[int]]:
    """A ledger in which every command was asked once or more, and the numbers of those wanted; others are answered."""
    ledger, numbers = Ledger(), []
    todo = list(wanted)
    while todo:
        name, number = ledger.ask(0.0).removeprefix("!").split()
        if name == todo[0]:
            numbers.append(int(number))
            todo.pop(0)
        else:
            answer(ledger, name, int(number))
    return ledger, numbers


def answer(ledger: Ledger, name: str, number: int, version: int = 1) -> None:
    word = WORDS[NAMES.index(name)]
    count = [str(number // len(WORDS) + 1)] if word.counted else []
    for _ in range(word.answers):
        ledger.hear(" ".join([name, str(number), str(version), *count]), 1.0)


def faults(ledger: Ledger) -> list[str]:
    ledger.close()
    return [fault.partition(":")[0] for fault in ledger.faults()]


def test_commands_that_are_all_answered_by_the_newest_version_are_no_fault() -> None:
    ledger, (number,) = asked("weak")
    ledger.wrote("weak", 2)
    answer(ledger, "weak", number, 2)
    assert faults(ledger) == [] and ledger.asked == ledger.answered and ledger.seconds[-1] == 1.0


def test_a_command_without_an_answer_is_found_at_the_end() -> None:
    ledger, _ = asked("weak")
    assert ledger.open == 1 and faults(ledger) == ["never answered"]


def test_a_second_answer_is_found() -> None:
    ledger, (number,) = asked("weak")
    answer(ledger, "weak", number)
    answer(ledger, "weak", number)
    assert faults(ledger) == ["answered twice"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("weak 999 1", "answered what nobody asked"),
        ("weak failed (error 12ab)", "said something else"),
    ],
)
def test_words_that_answer_nothing_are_found(text: str, fault: str) -> None:
    ledger = Ledger()
    ledger.hear(text, 1.0)
    assert faults(ledger) == [fault]


def test_a_version_that_is_not_among_the_good_ones_is_found() -> None:
    ledger, (number,) = asked("weak")
    answer(ledger, "weak", number, 2)
    assert faults(ledger) == ["answered by a version that is broken or was never written"]


def test_a_version_older_than_one_that_was_heard_before_the_question_is_found() -> None:
    ledger, (first, later) = asked("off", "later")
    ledger.wrote("solo", 2)
    answer(ledger, "off", first, 2)
    answer(ledger, "later", later)  # asked when nobody had heard of version 2
    numbers = [int(ledger.ask(0.0).split()[1]) for _ in NAMES]
    for name, number in zip(NAMES[6:] + NAMES[:6], numbers, strict=True):
        answer(ledger, name, number, 2 if name in ("solo", "off", "parts") else 1)
    assert faults(ledger) == ["a version went back"]


def test_one_call_in_two_versions_is_found() -> None:
    ledger, (number,) = asked("parts")
    ledger.wrote("solo", 2)
    ledger.hear(f"parts {number} 1", 1.0)
    ledger.hear(f"parts {number} 2", 1.0)
    assert faults(ledger) == ["one call answered by two versions"]


def test_answers_out_of_order_are_found_where_an_order_is_promised() -> None:
    ledger, (first, second) = asked("weak", "weak")
    answer(ledger, "weak", second)
    answer(ledger, "weak", first)
    assert faults(ledger) == ["out of order"]


def test_a_count_that_begins_anew_is_found() -> None:
    ledger, (number,) = asked("solo")
    ledger.hear(f"solo {number} 1 7", 1.0)
    assert faults(ledger) == ["kept state was lost"]
