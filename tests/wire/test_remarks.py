"""remarks.py: what a server has to say stands in the log once."""

from __future__ import annotations

import logging

import pytest

from bot.protocol.message import Message
from bot.wire.remarks import Remarks


@pytest.fixture
def remarks(caplog: pytest.LogCaptureFixture) -> Remarks:
    caplog.set_level(logging.INFO, "bot.wire.remarks")
    return Remarks("libera")


@pytest.mark.parametrize(
    ("line", "level", "words"),
    [
        ("FAIL ACC REG_INVALID alice :No", "WARNING", "libera: the server says FAIL ACC REG_INVALID alice: No"),
        ("FAIL PRIVMSG INVALID_UTF8 :Bad", "WARNING", "libera: the server says FAIL PRIVMSG INVALID_UTF8: Bad"),
        ("WARN * SOON :It ends", "WARNING", "libera: the server says WARN SOON: It ends"),
        ("NOTE * OPER :Hello there", "INFO", "libera: the server says NOTE OPER: Hello there"),
        ("FAIL", "WARNING", "libera: the server says FAIL: "),
    ],
)
def test_a_remark_is_written_down_in_words(
    remarks: Remarks, caplog: pytest.LogCaptureFixture, line: str, level: str, words: str
) -> None:
    remarks.heard(Message.parse(f":irc.test {line}"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [(level, words)]


def test_the_same_is_told_once_for_a_connection(remarks: Remarks, caplog: pytest.LogCaptureFixture) -> None:
    for text in ("one", "two"):
        remarks.heard(Message.parse(f"FAIL JOIN BANNED #a :{text}"))
    remarks.heard(Message.parse("FAIL JOIN FULL #a :three"))
    remarks.clear()
    remarks.heard(Message.parse("FAIL JOIN BANNED #a :four"))
    assert [record.getMessage().rpartition(" ")[2] for record in caplog.records] == ["one", "three", "four"]


def test_a_server_that_has_much_to_say_fills_neither_log_nor_memory(
    remarks: Remarks, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1000):
        remarks.heard(Message.parse(f"WARN * CODE{number} :x"))
    assert len(caplog.records) == len(remarks._told) == 100


def test_other_lines_are_none(remarks: Remarks, caplog: pytest.LogCaptureFixture) -> None:
    remarks.heard(Message.parse(":irc.test NOTICE * :FAIL"))
    assert caplog.records == []
