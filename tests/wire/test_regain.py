"""regain.py: the wanted nick comes back by itself, and slowly where somebody says no."""

from __future__ import annotations

from itertools import pairwise

from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.regain import MAXIMUM_SECONDS, SETTLE_SECONDS, TRY_SECONDS, Regain

START = 1000.0
SERVICE = Message("PRIVMSG", ("NickServ", "REGAIN bot"))


class Stage:
    """A nick that is wanted, a roster, and a clock."""

    def __init__(self, *tokens: str, service: Message | None = None, nick: str = "bot_") -> None:
        self.roster = Roster()
        self.feed_only(f":irc.test 001 {nick} :Welcome")
        if tokens:
            self.feed_only(f":irc.test 005 {nick} {' '.join(tokens)} :are supported")
        self.regain, self.now = Regain("bot", self.roster, service), START
        self.regain.begin(self.now)

    def feed_only(self, line: str) -> None:
        self.roster.apply(Message.parse(line))

    def hear(self, *lines: str) -> list[str]:
        sent: list[str] = []
        for line in lines:
            message = Message.parse(line)
            self.roster.apply(message)
            sent += [answer.encode() for answer in self.regain.heard(message, self.now)]
        return sent

    def wait(self, seconds: float) -> list[str]:
        """Let time pass as an alarm clock would."""
        end, sent = self.now + seconds, list[str]()
        while (at := self.regain.next_at()) is not None and at <= end:
            self.now = max(self.now, at)
            sent += [answer.encode() for answer in self.regain.due(self.now)]
        self.now = end
        return sent


def test_who_has_the_wanted_nick_does_nothing() -> None:
    stage = Stage("MONITOR=100", nick="Bot")
    assert stage.regain.next_at() is None
    assert stage.wait(1000) == []


def test_with_monitor_the_server_is_asked_once_to_tell() -> None:
    stage = Stage("MONITOR=100")
    assert stage.wait(SETTLE_SECONDS - 1) == []
    assert stage.wait(3600) == ["MONITOR + bot"]


def test_a_nick_that_the_server_calls_free_is_taken_and_watched_no_more() -> None:
    stage = Stage("MONITOR=100")
    stage.wait(10)
    assert stage.hear(":irc.test 730 bot_ :Bot!u@h") == []
    assert stage.hear(":irc.test 731 bot_ :other,BOT") == ["NICK bot"]
    assert stage.hear(":bot_!u@h NICK bot") == ["MONITOR - bot"]
    assert stage.wait(3600) == []


def test_without_monitor_it_is_asked_for_at_most_every_thirty_seconds() -> None:
    stage = Stage()
    assert stage.wait(SETTLE_SECONDS + 5 * TRY_SECONDS - 1) == ["ISON bot"] * 5
    assert stage.hear(":irc.test 303 bot_ :Bot") == []
    assert stage.hear(":irc.test 303 bot_ :") == ["NICK bot"]


def test_a_server_that_lacks_what_it_has_promised_or_is_full_is_asked_by_ison() -> None:
    for refusal in (":irc.test 421 bot_ MONITOR :Unknown command", ":irc.test 734 bot_ 100 bot :Monitor list is full."):
        stage = Stage("MONITOR")
        assert stage.wait(10) == ["MONITOR + bot"]
        stage.hear(refusal)
        assert stage.wait(1) == ["ISON bot"]


def test_a_holder_who_quits_or_changes_nick_before_our_eyes_is_followed_at_once() -> None:
    for line in (":bot!u@h QUIT :bye", ":BOT!u@h NICK other"):
        stage = Stage("MONITOR")
        stage.wait(10)
        assert stage.hear(":someone!u@h QUIT", ":someone!u@h NICK other2") == []
        assert stage.hear(line) == ["NICK bot"]


def test_there_is_never_more_than_one_try_in_thirty_seconds() -> None:
    stage = Stage("MONITOR")
    stage.wait(10)
    tries = list[float]()
    for _ in range(600):
        sent = stage.hear(":irc.test 731 bot_ :bot", ":irc.test 433 bot_ bot :in use") + stage.wait(1)
        tries += [stage.now] * sent.count("NICK bot")
    assert len(tries) > 2
    assert all(later - earlier >= TRY_SECONDS - 1 for earlier, later in pairwise(tries))


def test_a_nick_that_is_free_and_refused_is_tried_with_growing_pauses() -> None:
    stage = Stage("MONITOR")
    stage.wait(10)
    stage.hear(":irc.test 731 bot_ :bot")
    tries, sent = list[float](), 0
    for _ in range(7200):
        stage.hear(":irc.test 437 bot_ bot :held by services")
        if "NICK bot" in stage.wait(1):
            tries.append(stage.now)
            sent += 1
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == MAXIMUM_SECONDS


def test_a_nick_that_services_take_from_us_is_not_fought_for_at_full_speed() -> None:
    stage = Stage("MONITOR", nick="bot")
    tries = list[float]()
    for _ in range(3600):
        stage.hear(":bot!u@h NICK Guest1")
        for answer in stage.wait(1):
            if answer == "MONITOR + bot" and (sent := stage.hear(":irc.test 731 x :bot")):
                tries += [stage.now] * sent.count("NICK bot")
                stage.hear(":Guest1!u@h NICK bot")
            elif answer == "NICK bot":
                tries.append(stage.now)
                stage.hear(":Guest1!u@h NICK bot")
    assert 1 < len(tries) < 15


def test_services_are_asked_for_it_where_that_is_wanted_and_seldom() -> None:
    stage = Stage("MONITOR", service=SERVICE)
    assert stage.wait(10) == ["MONITOR + bot", SERVICE.encode()]
    assert stage.wait(MAXIMUM_SECONDS) == [SERVICE.encode()]
    assert stage.hear(":bot_!u@h NICK bot") == ["MONITOR - bot"]
    assert stage.wait(3600) == []


def test_after_the_connection_there_is_nothing_to_do() -> None:
    stage = Stage()
    stage.regain.end()
    assert stage.wait(1000) == []


def test_what_comes_before_it_has_begun_to_look_is_passed_over() -> None:
    assert Stage().hear(":irc.test 303 bot_ :", ":bot!u@h QUIT") == []
