"""ctcp.py: which question a text is, and what is answered."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.protocol.ctcp import MAX_ECHO, Answerer, Question, answer, read

OURS = Answerer("neverquit 1.0", "pip install neverquit", "2026-01-02 03:04:05 UTC")


def asked(text: str) -> str | None:
    question = read(text)
    return answer(question, OURS) if question is not None else None


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("\x01VERSION\x01", "\x01VERSION neverquit 1.0\x01"),
        ("\x01version\x01", "\x01VERSION neverquit 1.0\x01"),
        ("\x01VERSION", "\x01VERSION neverquit 1.0\x01"),
        ("\x01PING 1700 5\x01", "\x01PING 1700 5\x01"),
        ("\x01PING\x01", "\x01PING\x01"),
        ("\x01TIME\x01", "\x01TIME 2026-01-02 03:04:05 UTC\x01"),
        ("\x01SOURCE\x01", "\x01SOURCE pip install neverquit\x01"),
        ("\x01CLIENTINFO\x01", "\x01CLIENTINFO ACTION CLIENTINFO PING SOURCE TIME VERSION\x01"),
    ],
)
def test_a_question_that_people_ask_is_answered(text: str, reply: str) -> None:
    assert asked(text) == reply


@pytest.mark.parametrize(
    "text",
    [
        *("", "VERSION", "\x01", "\x01\x01", "\x01 \x01", "\x01ACTION waves\x01", "\x01DCC SEND x 127.0.0.1 1\x01"),
        *("\x01DCC\x01", "\x01FINGER\x01", "\x01ERRMSG x\x01", "a\x01VERSION\x01"),
    ],
)
def test_all_else_is_silence(text: str) -> None:
    assert asked(text) is None


def test_only_the_first_question_of_a_text_counts() -> None:
    assert read("\x01PING a\x01\x01VERSION\x01") == Question("PING", "a")
    assert asked("\x01PING a\x01" * 35) == "\x01PING a\x01"


def test_what_comes_back_is_short_and_has_no_quoting_in_it() -> None:
    assert asked("\x01PING a\x10rQUIT\x01") == "\x01PING arQUIT\x01"
    assert asked(f"\x01PING {'x' * 500}\x01") == f"\x01PING {'x' * MAX_ECHO}\x01"


@given(st.text(st.characters()))
def test_no_question_is_answered_with_more_than_one_short_line(argument: str) -> None:
    reply = asked(f"\x01PING {argument}\x01")
    assert reply is not None and len(reply) <= MAX_ECHO + 7
    assert not set(reply[1:-1]) & set("\r\n\0\x01\x10")
    reply.encode()
