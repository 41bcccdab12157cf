"""speech.py by itself: flows, what lasts, what is dropped. In the whole bot: tests/wire/test_cases_output.py."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import FakeClock

from bot.protocol.message import Message, Source
from bot.protocol.roster import Roster
from bot.wire.alarms import Alarms
from bot.wire.link import Frame, decode, encode
from bot.wire.outbox import NOT_SENT, SENT, Outbox
from bot.wire.speech import MAX_TOLD, REFUSALS_IN_A_ROW, REFUSED_SECONDS, Speech


class Desk:
    """A speech of a network that is up since line 10, as `me`; what it sends."""

    def __init__(self) -> None:
        self.sent, self.clock, self.roster = list[Frame](), FakeClock(), Roster()
        self.outbox = Outbox(self.sent.append, 64, "n", self.clock)
        alarms = Alarms(self.clock)
        self.speech = Speech(self.sent.append, self.outbox, self.roster, alarms, self.clock, "n")
        self.roster.apply(Message("001", ("me", "hi")))
        self.speech.begin(10)

    def say(self, line: str, cause: str = "-") -> Any:
        return self.speech.say(line, line.encode(), f"{cause}/h", 0)

    def hear(self, line: str) -> None:
        message = Message.parse(line)
        self.roster.apply(message)
        self.speech.heard(message)

    def verbs(self, *verbs: str) -> list[tuple[str, ...]]:
        return [(frame.verb, *frame.fields[1:]) for frame in self.sent if frame.verb in verbs]


@pytest.fixture
async def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("line", "lane", "flow"),
    [
        ("PRIVMSG #A[] :x", "1", "#a{}"),
        ("NOTICE @#a :x", "1", "#a"),
        ("@+typing=active TAGMSG #a", "1", "#a"),
        ("@a=b :src PRIVMSG &local :x", "1", "&local"),
        ("privmsg bob :x", "2", "bob"),
        ("WHO #a", "2", "-"),
        ("PRIVMSG #a\x02\ud800 :x", "1", "#a??"),
        ("PRIVMSG :odd", "2", "odd"),
        (f"PRIVMSG #{'x' * 500} :x", "1", f"#{'x' * 99}"),
    ],
)
async def test_each_target_is_a_flow_and_what_channels_hear_lasts(line: str, lane: str, flow: str, desk: Desk) -> None:
    desk.speech.say(line, b"raw", "-/h", 0)
    assert desk.sent == [Frame("say", ("n", "-/h", "0", lane, flow), b"raw")]


@given(st.text(st.characters()))
def test_any_flow_fits_into_a_frame(target: str) -> None:
    clock, roster = FakeClock(), Roster()
    speech = Speech(lambda _: None, Outbox(lambda _: None, 0, "n"), roster, Alarms(clock), clock, "n")
    frame = Frame("cut", ("n", speech.flow(target)))
    assert decode(encode(frame)) == frame


async def test_a_private_word_is_for_the_connection_that_its_cause_came_on(desk: Desk) -> None:
    assert desk.say("PRIVMSG bob :x", "11") is SENT and desk.say("PRIVMSG bob :x", "t:job/1") is SENT
    assert desk.say("PRIVMSG bob :x", "10") is NOT_SENT
    assert desk.say("PRIVMSG #a :x", "10") is SENT
    desk.speech.leave()
    assert desk.say("PRIVMSG bob :x", "11") is NOT_SENT and desk.say("WHO bob") is NOT_SENT
    assert desk.say("PRIVMSG #a :x", "11") is SENT


async def test_a_refusal_of_nobody_in_particular_stops_no_question(desk: Desk) -> None:
    assert desk.say("WHO #a") is SENT
    for _ in range(REFUSALS_IN_A_ROW):
        desk.hear(":irc.test 439 me :Slow down")
    assert desk.say("WHO #a") is SENT


async def test_channels_are_freed_as_they_are_joined_and_then_all(desk: Desk) -> None:
    desk.speech.arrive(["#A", "#b"], 60)
    assert desk.verbs("free", "go") == [("free", "-")]
    desk.hear(":me!i@h JOIN #a")
    assert desk.verbs("free", "go")[1:] == [("free", "#a")]
    desk.hear(":irc.test 473 me #b :Cannot join channel (+i)")
    assert desk.verbs("cut", "go") == [("cut", "#b"), ("go",)]


async def test_without_channels_all_may_leave_at_once(desk: Desk) -> None:
    desk.speech.arrive([], 60)
    assert desk.verbs("free", "go") == [("free", "-"), ("go",)]


async def test_a_refusal_of_what_was_never_said_is_no_news(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(5):
        desk.hear(":irc.test 403 me #a :No such channel")
    assert desk.say("PRIVMSG #a :x") is SENT and caplog.records == []


async def test_three_refusals_in_half_a_minute_end_what_waits(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.outbox.credit = 1
    desk.say("PRIVMSG #a :x")
    waiting = desk.say("PRIVMSG #a :y")
    desk.hear(":irc.test 404 me #a :No")
    desk.clock.advance(REFUSED_SECONDS)
    for _ in range(REFUSALS_IN_A_ROW):
        assert not waiting.done()
        desk.hear(":irc.test 404 me #a :No")
    assert await waiting is False and desk.verbs("cut") == [("cut", "#a")]
    assert desk.say("PRIVMSG #A :z") is NOT_SENT
    desk.clock.advance(REFUSED_SECONDS)
    assert desk.say("PRIVMSG #a :z") is not NOT_SENT
    assert [record.getMessage() for record in caplog.records] == ["n: refused (404): #a: No"]


async def test_a_refusal_to_those_of_a_rank_says_nothing_of_the_channel(desk: Desk) -> None:
    desk.say("PRIVMSG @#a :x")
    for _ in range(REFUSALS_IN_A_ROW):
        desk.hear(":irc.test 401 me @#a :No such nick")
    assert desk.say("PRIVMSG @#a :x") is NOT_SENT
    assert desk.say("PRIVMSG #a :x") is SENT and desk.verbs("cut") == []


async def test_what_is_remembered_of_refusals_is_bounded(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    for number in range(MAX_TOLD + 50):
        desk.outbox.credit = 64
        desk.say(f"PRIVMSG nick{number} :x")
        desk.hear(f":irc.test 401 me nick{number} :No such nick")
    speech = desk.speech
    assert max(map(len, (speech._told, speech._refused, speech._spoken))) == MAX_TOLD


async def test_our_own_prefix_is_as_the_server_relays_it(desk: Desk) -> None:
    """`room_for` counts with this."""
    assert len(str(desk.roster.me_source()).encode()) == len("me!~@") + 10 + 63
    desk.hear(":me!~i@h JOIN #a")
    assert desk.roster.me_source() == Source("me", "~i", "h")
    desk.hear(":me!~i@h CHGHOST i longer.host")
    assert desk.roster.me_source() == Source("me", "i", "longer.host")
    desk.hear(":irc.test 396 me even.longer.host :is now your hidden host")
    desk.hear(":me!i@even.longer.host NICK renamed")
    assert desk.roster.me_source() == Source("renamed", "i", "even.longer.host")


async def test_who_takes_over_while_channels_are_joined_waits_for_those_that_are_missing(desk: Desk) -> None:
    desk.hear(":me!m@h JOIN #a")
    desk.speech.take_over(["#b"])
    assert desk.verbs("free", "go") == [("free", "-"), ("free", "#a")]
    desk.hear(":me!m@h JOIN #b")
    assert desk.verbs("free", "go")[2:] == [("free", "#b"), ("go",)]


async def test_who_takes_over_where_no_channel_is_missing_lets_all_be_said(desk: Desk) -> None:
    desk.speech.take_over([])
    assert desk.verbs("free", "go") == [("free", "-"), ("go",)]
