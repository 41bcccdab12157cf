"""servertime.py: what was said long ago is known by the server's own clock."""

from __future__ import annotations

import json

import pytest

from bot.protocol.message import Message
from bot.protocol.servertime import SAID_SECONDS, TOLD_SECONDS, ServerTime, seconds

NOON = 1_767_268_800.0  # 2026-01-01T12:00:00Z
BOB = ":bob!b@h"


def at(offset: float, line: str) -> Message:
    """A line that was said so many seconds after noon."""
    whole = int(NOON + offset) % 86400
    return Message.parse(f"@time=2026-01-01T{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}.000Z {line}")


@pytest.fixture
def noon() -> ServerTime:
    """The server has told that it is noon."""
    time = ServerTime()
    time.is_late(at(0, "PONG irc.test :x"))
    return time


def test_times_are_read() -> None:
    assert seconds("2011-10-19T16:40:51.620Z") == pytest.approx(1319042451.620)
    assert seconds("2016-12-31T23:59:60.419Z") == pytest.approx(1483228800.419), "a leap second"
    assert seconds("2026-01-01T12:00:00Z") == NOON


@pytest.mark.parametrize("time", ["", "now", "1319042451", "2026-13-01T12:00:00Z", "2026-01-01T12:00:00", "2026-01-01"])
def test_what_is_no_time_is_none(time: str) -> None:
    assert seconds(time) is None
    assert not ServerTime().is_late(Message.parse(f"@time={time} {BOB} PRIVMSG #a :x"))


def test_what_is_said_is_late_by_the_newest_time_seen(noon: ServerTime) -> None:
    assert not noon.is_late(at(-SAID_SECONDS, f"{BOB} PRIVMSG #a :x"))
    assert noon.is_late(at(-SAID_SECONDS - 1, f"{BOB} PRIVMSG #a :x"))
    assert not noon.is_late(at(600, f"{BOB} PRIVMSG #a :x"))
    assert noon.is_late(at(0, f"{BOB} NOTICE #a :x"))


def test_what_tells_of_people_may_lag(noon: ServerTime) -> None:
    assert not noon.is_late(at(-TOLD_SECONDS, f"{BOB} JOIN #a"))
    assert noon.is_late(at(-TOLD_SECONDS - 1, f"{BOB} JOIN #a"))


def test_a_server_and_a_line_without_a_time_are_never_late(noon: ServerTime) -> None:
    assert not noon.is_late(at(-9000, ":irc.test 353 bot = #a :bob"))
    assert not noon.is_late(Message.parse(f"{BOB} PRIVMSG #a :x"))


def test_a_clock_that_is_set_back_is_understood_at_the_next_pong(noon: ServerTime) -> None:
    assert noon.is_late(at(-3600, f"{BOB} PRIVMSG #a :x"))
    assert [message.encode() for message in noon.ask()] == ["PING time"] and noon.ask() == ()
    noon.is_late(at(-3600, "PONG irc.test :time"))
    assert not noon.is_late(at(-3590, f"{BOB} PRIVMSG #a :x"))
    assert noon.ask(), "it may be asked again"


def test_our_own_clock_counts_until_the_first_pong() -> None:
    time = ServerTime()
    time.begin(NOON)
    assert time.is_late(at(-7200, f"{BOB} PRIVMSG #a :x"))
    time.is_late(at(-7200, "PONG irc.test :x"))
    assert not time.is_late(at(-7190, f"{BOB} PRIVMSG #a :x")), "ours is two hours fast"


def test_numerics_of_long_ago_make_nothing_new() -> None:
    """A bouncer may say 001 with the time at which it was itself registered."""
    time = ServerTime()
    time.begin(NOON)
    time.is_late(at(-9000, ":irc.test 001 bot :Welcome"))
    assert time.is_late(at(-7200, f"{BOB} PRIVMSG #a :x"))


def test_a_server_whose_pong_tells_no_time_is_known_by_its_other_lines() -> None:
    time = ServerTime()
    time.begin(NOON)
    time.is_late(Message.parse("PONG irc.test :x"))
    assert not time.is_late(at(-7200, f"{BOB} PRIVMSG #a :x"))
    assert time.is_late(at(-7200 - SAID_SECONDS - 1, f"{BOB} PRIVMSG #a :x"))
    time.is_late(Message.parse("PONG irc.test :x"))
    assert time.is_late(at(-7200 - SAID_SECONDS - 1, f"{BOB} PRIVMSG #a :x")), "a later one changes nothing"


def test_one_line_from_the_future_makes_nobody_else_late() -> None:
    time = ServerTime()
    time.is_late(at(0, "PONG irc.test :x"), 0.0)
    assert not time.is_late(at(36_000, f"{BOB} PRIVMSG #a :x"), 10.0)
    assert not time.is_late(at(10, f"{BOB} PRIVMSG #a :x"), 10.0)
    assert not time.is_late(at(3600, f"{BOB} PRIVMSG #a :x"), 3600.0), "an hour in which nobody spoke"
    assert time.is_late(at(3600 - SAID_SECONDS - 1, f"{BOB} PRIVMSG #a :x"), 3600.0)


def test_the_next_worker_knows_the_time(noon: ServerTime) -> None:
    after = ServerTime()
    after.resume(json.loads(json.dumps(noon.saved())))
    assert (after.newest, after.certain) == (NOON, True)
