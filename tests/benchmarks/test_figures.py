"""Percentiles, tables, and the order of answers."""

from __future__ import annotations

import pytest

from benchmarks.figures import Table, median, percentile
from benchmarks.reload.saver import in_order
from benchmarks.rig import Answer, Broken


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert [percentile(range(1, 101), percent) for percent in (50, 99, 100)] == [50, 99, 100] and median([3, 1]) == 1


def test_a_table_is_text_or_markdown() -> None:
    table = Table("what, ms", ("p50",), [("a save", "1.00")])
    assert str(table).splitlines() == ["what, ms   p50", "--------  ----", "a save    1.00"]
    assert table.markdown().splitlines() == ["| what, ms | p50 |", "| --- | ---: |", "| a save | 1.00 |"]


def answers(*texts: bytes) -> list[Answer]:
    return [Answer(text, 0.0, float(number)) for number, text in enumerate(texts)]


def test_the_first_new_answer_counts() -> None:
    assert in_order(answers(b"1", b"1", b"2", b"2"), b"1", b"2") == 2.0


@pytest.mark.parametrize("texts", [(b"1", b"2", b"1", b"2"), (b"1", b"torn", b"2"), (b"2", b"3")])
def test_an_old_answer_after_a_new_one_or_a_torn_one_is_a_fault(texts: tuple[bytes, ...]) -> None:
    with pytest.raises(Broken):
        in_order(answers(*texts), b"1", b"2")
