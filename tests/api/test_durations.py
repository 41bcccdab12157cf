"""bot/api/durations.py: lengths of time as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5m", 300),
        ("1h30m", 5_400),
        ("2w", 1_209_600),
        ("1d2h", 93_600),
        ("90", 90),
        ("1.5h", 5_400),
        ("0.25s", 0.25),
        (" 1 Hour 30 Min ", 5_400),
        ("2 weeks", 1_209_600),
        ("1w1d1h1m1s", 694_861),
        (90, 90),
        (0.5, 0.5),
    ],
)
def test_it_is_read_as_seconds(text: str | float, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "`` is no length of time; write it as 90s, 5m, 1h30m or 2w"),
        ("soon", "`soon` is no length of time"),
        ("m5", "`m5` is no length of time"),
        ("-5m", "`-5m` is no length of time"),
        ("5m!", "`5m!` is no length of time"),
        ("1h30", "`1h30` is no length of time"),
        ("5 5", "`5 5` is no length of time"),
        ("٥m", "`٥m` is no length of time"),
        ("1e3", "`e` is no unit of time; there are w, d, h, m and s"),
        ("3mo", "`mo` is no unit of time"),
        ("30m1h", "`30m1h` is not in order; write large units first and each once"),
        ("1h1h", "`1h1h` is not in order"),
        ("0s", "a length of time is more than nothing, not `0s`"),
        (0, "a length of time is more than nothing, not `0`"),
        (-1, "a length of time is more than nothing"),
        (float("nan"), "a length of time is more than nothing"),
        (float("inf"), "a length of time is more than nothing"),
        ("99999999w", "`99999999w` is longer than a hundred years"),
    ],
)
def test_anything_else_is_refused_in_words(text: str | float, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration(text)
    assert str(caught.value).startswith(sentence)


def test_a_long_text_is_refused_without_an_echo_of_it_all() -> None:
    with pytest.raises(ValueError) as caught:
        parse_duration("1h" * 5_000)
    assert len(str(caught.value)) < 120


@given(st.text() | st.floats() | st.integers())
def test_it_gives_a_positive_finite_number_or_a_sentence(text: str | float) -> None:
    try:
        assert 0 < parse_duration(text) < 4e9
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (0.6, "1 s"),
        (59.6, "1 min"),
        (5, "5 s"),
        (90, "1 min 30 s"),
        (3600, "1 h"),
        (3601, "1 h 1 s"),
        (5400, "1 h 30 min"),
        (86_400 + 7_200 + 59, "1 d 2 h"),
        (694_861, "1 w 1 d"),
        (604_800 * 100, "100 w"),
    ],
)
def test_it_is_written_in_its_two_largest_units(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(min_value=1, max_value=3_000_000_000))
def test_what_is_written_says_nearly_what_it_was(seconds: int) -> None:
    written = format_duration(seconds)
    read = parse_duration(written)
    assert read <= seconds
    assert seconds - read < max(1, read / 2)
