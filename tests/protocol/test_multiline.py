"""bot/protocol/multiline.py: lines that are one message."""

from __future__ import annotations

import pytest

from bot.protocol.formatting import BOLD, bold, strip
from bot.protocol.message import Message
from bot.protocol.multiline import CAPABILITY, CONCAT, Room, alone, groups, inside, opening, pieces, room

CAPS = {CAPABILITY, "batch"}


def said(*texts: str, command: str = "PRIVMSG") -> list[Message]:
    return [Message(command, ("#a", text)) for text in texts]


# --- what the server takes


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("max-bytes=4096,max-lines=24", Room(4096, 24)),
        ("max-lines=24,new=1,max-bytes=40,other", Room(40, 24)),
        ("max-bytes=4096", Room(4096, 4096)),
        ("max-lines=24", None),
        ("max-bytes=,max-lines=24", None),
        ("max-bytes=9999999999", None),
        ("max-bytes=40,max-lines=x", None),
        ("", None),
    ],
)
def test_the_value_of_the_capability_says_how_much(value: str, fits: Room | None) -> None:
    assert room(CAPS, {CAPABILITY: value}) == fits


@pytest.mark.parametrize("caps", [set(), {CAPABILITY}, {"batch"}])
def test_without_both_capabilities_each_line_is_its_own(caps: set[str]) -> None:
    assert room(caps, {CAPABILITY: "max-bytes=4096"}) is None


# --- which lines are one message


def sizes(messages: list[Message], limits: Room | None) -> list[int]:
    return [len(group) for group in groups(messages, limits)]


def test_lines_that_fit_are_one_message() -> None:
    assert sizes(said("a", "b", "c"), Room(100, 10)) == [3]


def test_more_lines_than_are_taken_are_several() -> None:
    assert sizes(said(*"abcde"), Room(100, 2)) == [2, 2, 1]


def test_more_bytes_than_are_taken_are_several_line_feeds_counted() -> None:
    assert sizes(said("12345", "12345"), Room(12, 10)) == [2]
    assert sizes(said("12345", "12345"), Room(11, 10)) == [1, 1]
    assert sizes(said("ééé", "x"), Room(8, 10)) == [1, 1]


def test_without_room_each_is_alone() -> None:
    assert sizes(said("a", "b"), None) == [1, 1]


def test_notices_and_ctcp_are_never_joined() -> None:
    assert sizes(said("a", "b", command="NOTICE"), Room(100, 10)) == [1, 1]
    assert sizes(said("a", "\x01ACTION b\x01", "c", "d"), Room(100, 10)) == [1, 1, 2]


# --- the batch


def test_a_batch_has_the_tags_of_the_whole_at_its_head_and_none_of_them_inside() -> None:
    first = Message("PRIVMSG", ("#a", "hello"), tags={"+reply": "7"})
    more = [*said("how is "), Message("PRIVMSG", ("#a", "everyone?"), tags={CONCAT: ""})]
    lines = [opening([first, *more]), *inside([first, *more])]
    assert [line.encode() for line in lines] == [
        "@+reply=7 BATCH +neverquit draft/multiline #a",
        "@batch=neverquit PRIVMSG #a :hello",
        "@batch=neverquit PRIVMSG #a :how is ",
        "@batch=neverquit;draft/multiline-concat PRIVMSG #a :everyone?",
        "BATCH -neverquit",
    ]


def test_a_line_by_itself_is_joined_to_nothing() -> None:
    line = Message("PRIVMSG", ("#a", "x"), tags={CONCAT: "", "+reply": "7"})
    assert alone(line).tags == {"+reply": "7"}
    # The first of a batch has none before it.
    assert inside([line])[0].tags == {"batch": "neverquit"}


# --- long lines


@pytest.mark.parametrize("text", ["the quick brown fox jumps", "x" * 50, "é" * 30, "word " + "y" * 40, "short"])
def test_the_pieces_of_a_line_put_together_are_the_line(text: str) -> None:
    cut = pieces(text, 12)
    assert "".join(cut) == text
    assert all(0 < len(piece.encode()) <= 12 for piece in cut)


def test_pieces_of_a_dressed_line_put_together_look_like_the_line() -> None:
    text = bold("the quick brown fox") + " jumps over it"
    cut = pieces(text, 12)
    assert strip("".join(cut)) == strip(text)
    assert all(len(piece.encode()) <= 12 for piece in cut)
    # Bold is on again in each piece that has to be, and never switched off by being switched on twice.
    assert cut[1].startswith(BOLD)
    assert cut[0].endswith("\x0f")
