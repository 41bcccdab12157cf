"""identify.py: what is said to services, and what of theirs ends the waiting."""

from __future__ import annotations

import pytest

from bot.config import NickServ, Secret
from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.identify import Identification, words

SETTINGS = NickServ(password=Secret("hunter2"))


def after(*lines: str, service: str = "NickServ") -> tuple[bool, str]:
    roster = Roster()
    identification = Identification(NickServ(service=service, password=Secret("hunter2")), roster)
    for line in (":irc.test 001 bot :Welcome", *lines):
        message = Message.parse(line)
        roster.apply(message)
        identification.heard(message)
    return identification.over, identification.failure


def said(settings: NickServ, text: str = "") -> str:
    return words(text or settings.identify, settings, "bot").encode()


def test_the_account_is_the_nick_unless_another_is_given() -> None:
    assert said(SETTINGS) == "PRIVMSG NickServ :IDENTIFY bot hunter2"
    assert said(NickServ(password=Secret("x"), account="other")) == "PRIVMSG NickServ :IDENTIFY other x"


def test_other_services_are_spoken_to_in_their_words() -> None:
    q = NickServ("Q@CServe.quakenet.org", Secret("x"), identify="AUTH {account} {password}")
    assert said(q) == "PRIVMSG Q@CServe.quakenet.org :AUTH bot x"


def test_without_a_password_its_word_is_left_out() -> None:
    assert said(NickServ(), "REGAIN {nick} {password}") == "PRIVMSG NickServ :REGAIN bot"


def test_a_password_that_looks_like_a_place_is_not_filled_in_again() -> None:
    assert said(NickServ(password=Secret("{nick}{account}"))).endswith("IDENTIFY bot {nick}{account}")


@pytest.mark.parametrize(
    "line",
    [
        ":irc.test 900 bot bot!u@h bot :You are now logged in as bot",
        ":irc.test MODE bot +ir",
        ":NickServ!s@services MODE bot :+r",
        ":NickServ!s@services NOTICE bot :You are now identified for \x02bot\x02.",
        ":nickserv NOTICE bot :Password accepted - you are now recognized.",
        ":NickServ!s@services NOTICE bot :You are already logged in as \x02bot\x02.",
    ],
)
def test_success_is_seen(line: str) -> None:
    assert after(line) == (True, "")


@pytest.mark.parametrize(
    "text",
    [
        "Invalid password for \x02bot\x02.",
        "Password incorrect.",
        "\x02bot\x02 is not registered.",
        "Your nick isn't registered.",
        "Access denied.",
        "Unknown command.",
    ],
)
def test_a_refusal_is_seen_and_quoted(text: str) -> None:
    assert after(f":NickServ!s@services NOTICE bot :{text}") == (True, text)


@pytest.mark.parametrize(
    "line",
    [
        ":NickServ!s@services NOTICE bot :This nickname is registered. Please choose another, or identify.",
        ":mallory!u@h NOTICE bot :You are now identified",
        ":NickServ!s@services NOTICE #channel :You are now identified",
        ":irc.test MODE bot -r",
        ":irc.test MODE #channel +r",
        ":irc.test MODE bot +i",
        ":irc.test NOTICE bot :*** You are connected to irc.test with TLS",
    ],
)
def test_other_lines_say_nothing_about_it(line: str) -> None:
    assert after(line) == (False, "")


def test_services_that_are_not_there_are_not_waited_for() -> None:
    assert after(":irc.test 401 bot NickServ :No such nick") == (True, "there is no NickServ now")
    assert after(":irc.test 401 bot Q@CServe.quakenet.org :No such nick", service="Q@CServe.quakenet.org")[0]
    assert after(":irc.test 401 bot someone :No such nick") == (False, "")
