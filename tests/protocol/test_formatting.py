"""formatting.py: no text becomes a command, every piece fits, and nothing is lost but spaces at the cuts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.protocol import formatting
from bot.protocol.formatting import bold, color, italic, lines, mono, reverse, split, strike, strip, underline

SETTINGS = settings(deadline=None, max_examples=150)


def drawn(text: str) -> list[tuple[str, str]]:
    """What a client shows: each visible sign with its style. Written apart from split's own reading, on purpose."""
    shown = []
    on: set[str] = set()
    fg = bg = ""
    place = 0
    while place < len(text):
        char = text[place]
        place += 1
        if char in "\x02\x1d\x1f\x1e\x11\x16":
            on ^= {char}
        elif char == "\x0f":
            on, fg, bg = set(), "", ""
        elif char == "\x03":
            digits = ""
            while place < len(text) and text[place] in "0123456789" and len(digits) < 2:
                digits, place = digits + text[place], place + 1
            if not digits:
                fg = bg = ""
                continue
            fg = digits.zfill(2)
            if text[place : place + 1] == "," and text[place + 1 : place + 2] in tuple("0123456789"):
                place += 1
                digits = ""
                while place < len(text) and text[place] in "0123456789" and len(digits) < 2:
                    digits, place = digits + text[place], place + 1
                bg = digits.zfill(2)
        elif char != " ":
            shown.append((char, f"{sorted(on)}{fg}/{bg}"))
    return shown


def test_each_style_is_closed_again() -> None:
    for style in (bold, italic, underline, strike, mono, reverse):
        assert drawn(style("a") + "b")[1] == ("b", "[]/")
        assert drawn(style("a"))[0] != ("a", "[]/")


@pytest.mark.parametrize("inner", ["5", ",5", "a", "12,12"])
@pytest.mark.parametrize("after", ["5", ",5", "a"])
def test_a_colour_never_swallows_digits_beside_it(inner: str, after: str) -> None:
    for text in (color(inner, "red"), color(inner, 4, "blue")):
        assert strip(text + after) == inner + after
        assert [sign for sign, _ in drawn(text + after)] == list(inner + after)
        assert drawn(text + after)[-1] == (after[-1], "[]/")


def test_colours_have_names_and_numbers() -> None:
    assert color("x", "red", "black").startswith("\x0304,01x")
    assert color("x", 98).startswith("\x0398x")


@pytest.mark.parametrize("wrong", ["reddish", -1, 99, 100])
def test_an_unknown_colour_is_named(wrong: str | int) -> None:
    with pytest.raises(ValueError, match="no such colour"):
        color("x", wrong)


def test_strip_takes_out_all_codes_and_nothing_else() -> None:
    assert (
        strip("\x02b\x02\x1di\x1fu\x1es\x11m\x16r\x0f \x0304,12c\x03 \x04AAbbCC,001122h\x04 \x033x\x03")
        == "biusmr c h x"
    )
    assert strip("\x03\u0663") == "\u0663"
    assert strip("plain \x07 \t") == "plain \x07 \t"


def test_lines_splits_at_every_kind_of_line_end_and_only_there() -> None:
    assert lines("a\r\nb\nc\rd\x0be\x85f\u2028g") == ["a", "b", "c", "d\x0be\x85f\u2028g"]


def test_lines_leaves_out_what_has_nothing_to_say() -> None:
    assert lines("\n\na\n   \nb\n") == ["a", "b"]
    assert lines("") == lines("\r\n") == lines("  ") == []


def test_lines_makes_text_sendable() -> None:
    assert lines("a\0b") == ["a b"]
    assert lines("\x01DCC SEND x\x01") == [" DCC SEND x "]
    assert lines("\ud800x") == ["\ufffdx"]


@given(st.text(st.characters()))
@SETTINGS
def test_lines_never_lets_through_what_could_be_a_command(text: str) -> None:
    for line in lines(text):
        assert not set("\r\n\0\x01") & set(line)
        line.encode()


def test_a_text_that_fits_is_one_piece_and_itself() -> None:
    assert split("  hello  ", 9) == ["  hello  "]
    assert split("", 10) == [""]


def test_cuts_are_at_spaces_which_are_left_out() -> None:
    assert split("one two   three four", 9) == ["one two", "three", "four"]


def test_a_word_that_ends_exactly_at_the_limit_stays_whole() -> None:
    assert split("abcd efgh", 4) == ["abcd", "efgh"]


def test_a_word_too_long_is_cut_where_it_must() -> None:
    assert split("a" * 10, 4) == ["aaaa", "aaaa", "aa"]


def test_no_code_point_is_cut() -> None:
    assert split("é" * 300, 401) == ["é" * 200, "é" * 100]
    assert split("🤖" * 3, 7) == ["🤖"] * 3


@pytest.mark.parametrize(
    "cluster",
    [
        *(
            "e\u0301\u0323",
            "👩\u200d👩\u200d👧",
            "👍🏽",
            "🇩🇪",
            "❤\ufe0f",
            "\U0001f3f4\U000e0067\U000e0062\U000e007f",
            "का",
        ),
        *("1\ufe0f\u20e3", "क्ष", "\u1112\u1161\u11ab", "\u1112\u1112\u1161", "ｶ\uff9e", "a\u200c"),
    ],
)
def test_what_is_drawn_as_one_stays_together(cluster: str) -> None:
    size = len(cluster.encode())
    for limit in range(max(4, size), size * 3):
        for piece in split(cluster * 9, limit):
            assert piece.replace(cluster, "") == ""


def test_a_heap_of_combining_marks_is_cut_all_the_same() -> None:
    pieces = split("a" + "\u0301" * 1000, 100)
    assert max(len(piece.encode()) for piece in pieces) <= 100
    assert "".join(pieces) == "a" + "\u0301" * 1000


def test_style_goes_on_in_the_next_piece() -> None:
    pieces = split(bold("one two " + color("three four", 4, 1)) + " five", 26)
    assert [strip(piece) for piece in pieces] == ["one two three", "four five"]
    assert drawn(pieces[1])[0] == ("f", "['\\x02']04/01")
    assert drawn(pieces[1])[-1] == ("e", "[]/")


def test_a_comma_after_a_cut_is_no_background() -> None:
    pieces = split("\x034" + "a" * 20 + " ,5", 24)
    assert strip(pieces[1]) == ",5"
    assert drawn(pieces[1])[0] == (",", "[]04/")


@pytest.mark.parametrize("before", range(30, 41))
def test_no_cut_is_inside_a_colour_code(before: int) -> None:
    text = "a" * before + "\x0304,12" + "b" * 50
    pieces = split(text, 40)
    assert [sign for piece in pieces for sign in drawn(piece)] == drawn(text)


def test_a_hex_colour_goes_on_too() -> None:
    pieces = split("\x04AABBCC,001122" + "a" * 60, 40)
    assert all(piece.startswith("\x04AABBCC,001122a") for piece in pieces)


def test_no_piece_has_only_codes_in_it() -> None:
    assert split("\x02 " + "a" * 27 + " \x02\x1d\x0f", 28) == ["\x02" + "a" * 27]


def test_fewer_than_four_bytes_count_as_four() -> None:
    assert split("🤖🤖", -5) == ["🤖", "🤖"]


def test_ten_megabytes_without_a_space_take_no_longer_than_their_length_asks() -> None:
    """Twice the text, about twice the time: a quadratic cut would need minutes here, not a second."""
    begun = time.process_time()
    assert len(split("é" * 500_000, 400)) == 2500
    assert time.process_time() - begun < 5


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"]) | st.sampled_from(" 🤖e\u0301\u200d\u0bcd")),
    st.integers(4, 60),
)
@SETTINGS
def test_the_pieces_are_the_text_in_order_with_nothing_but_spaces_left_out(text: str, limit: int) -> None:
    place = 0
    for piece in split(text, limit):
        assert 0 < len(piece.encode()) <= limit or piece == text
        at = text.index(piece, place)
        assert text[place:at].strip(" ") == ""
        place = at + len(piece)
    assert text[place:].strip(" ") == ""


_text = st.text(st.sampled_from(" a1,é🤖\u0301\u200d🇩\x02\x1d\x0f") | st.sampled_from("\x03"), max_size=120)


@given(st.text(st.characters()), st.integers(-1, 60))
@SETTINGS
def test_every_piece_fits_and_together_they_are_the_text(text: str, limit: int) -> None:
    pieces = split(text, limit)
    assert all(len(piece.encode("utf-8", "replace")) <= max(limit, 4) for piece in pieces)
    if not set(text) & set("\x02\x03\x04\x0f\x11\x16\x1d\x1e\x1f"):
        assert "".join(pieces).replace(" ", "") == text.replace(" ", "")


@given(_text, st.integers(40, 80))
@SETTINGS
def test_the_pieces_look_like_the_text(text: str, limit: int) -> None:
    pieces = split(text, limit)
    assert all(len(piece.encode()) <= limit for piece in pieces)
    assert [sign for piece in pieces for sign in drawn(piece)] == drawn(text)


def test_the_codes_have_their_well_known_numbers() -> None:
    assert (formatting.BOLD, formatting.RESET, formatting.COLOR) == ("\x02", "\x0f", "\x03")
