from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from bot.errors import UnsafeText
from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.rejoin import (
    BANNED_SECONDS,
    INVITED_SECONDS,
    MAXIMUM_SECONDS,
    MINIMUM_SECONDS,
    STABLE_SECONDS,
    TARGETS_PER_LINE,
    Wanted,
)


def wanted(**channels: str | None) -> Wanted:
    """Channels `#name`, folded by lower case only."""
    return Wanted({f"#{name}": key for name, key in channels.items()}, str.lower, Random(1))


def texts(messages: list[Message]) -> list[str]:
    return [message.encode() for message in messages]


@pytest.fixture
def roster() -> Roster:
    """We are `me`, and in #a."""
    roster = Roster()
    for line in (":irc.test 001 me :Welcome", ":me!i@h JOIN #a"):
        roster.apply(Message.parse(line))
    return roster


def test_all_channels_are_asked_for_those_with_keys_first() -> None:
    assert texts(wanted(a=None, b="secret", c=None).everything()) == ["JOIN #b,#a,#c secret"]


def test_no_channels_are_no_line() -> None:
    assert wanted().everything() == []


def test_many_channels_are_cut_into_lines_that_servers_take() -> None:
    channels = {f"long-name-of-a-channel-{number:030}": f"key{number}" if number < 15 else None for number in range(40)}
    joins = wanted(**channels).everything()
    names = [name for join in joins for name in join.param(0).split(",")]
    keys = [key for join in joins if join.param(1) for key in join.param(1).split(",")]
    assert sorted(names) == sorted(f"#{name}" for name in channels)
    assert keys == [f"key{number}" for number in range(15)]
    assert all(len(join.param(0).split(",")) <= TARGETS_PER_LINE for join in joins)
    assert all(len(text.encode()) <= 510 for text in texts(joins))


def test_a_channel_added_later_is_asked_for_after_a_reconnection_with_its_key() -> None:
    channels = wanted(a=None)
    assert channels.add("#b,#c", "k1").encode() == "JOIN #b,#c k1"
    assert channels.channels == {"#a": None, "#b": "k1", "#c": None}


def test_adding_the_same_channel_in_other_letters_changes_its_key() -> None:
    channels = wanted(a=None)
    channels.add("#A", "new")
    assert channels.channels == {"#a": "new"}


def test_a_channel_removed_is_forgotten() -> None:
    channels = wanted(a=None, b=None)
    channels.outside("#a", 0)
    assert channels.remove("#A", "good bye").encode() == "PART #A :good bye"
    assert channels.channels == {"#b": None}
    assert channels.next_at() is None


@pytest.mark.parametrize("name", ["#a b", "#a\r\nQUIT", "", "#a\0"])
def test_what_is_no_channel_is_refused_and_not_remembered(name: str) -> None:
    channels = wanted()
    with pytest.raises(UnsafeText):
        channels.add(name, "key")
    with pytest.raises(UnsafeText):
        channels.remove(name, "key")
    assert channels.channels == {}


def test_after_a_kick_the_channel_is_asked_for_once_later() -> None:
    channels = wanted(a="key", b=None)
    assert channels.outside("#A", 100)
    at = channels.next_at()
    assert at is not None
    assert 100 + MINIMUM_SECONDS <= at <= 100 + 2 * MINIMUM_SECONDS
    assert channels.due(at - 0.1) == []
    assert texts(channels.due(at)) == ["JOIN #a key"]
    assert channels.due(at) == []


def test_a_kick_after_every_rejoin_waits_longer_and_longer() -> None:
    channels, now, waits = wanted(a=None), 0.0, list[float]()
    for _ in range(12):
        channels.joined("#a", now)
        channels.outside("#a", now + 1)
        at = channels.next_at()
        assert at is not None
        waits.append(at - now - 1)
        now = at
        channels.due(now)
    assert waits[0] <= 2 * MINIMUM_SECONDS
    assert all(later > earlier for earlier, later in pairwise(waits[:6]))
    assert waits[-1] >= MAXIMUM_SECONDS / 2
    assert max(waits) <= MAXIMUM_SECONDS


def test_a_long_stay_begins_the_waits_anew() -> None:
    channels = wanted(a=None)
    for now in range(10):
        channels.outside("#a", now)
        channels.due(10**6)
    channels.joined("#a", 1000)
    channels.outside("#a", 1000 + STABLE_SECONDS)
    at = channels.next_at()
    assert at is not None
    assert at - 1000 - STABLE_SECONDS <= 2 * MINIMUM_SECONDS


def test_a_stay_before_a_lost_connection_does_not_count() -> None:
    channels = wanted(a=None)
    for now in range(10):
        channels.outside("#a", now)
        channels.due(10**6)
    channels.joined("#a", 1000)
    channels.everything()
    channels.outside("#a", 1000 + STABLE_SECONDS)
    at = channels.next_at()
    assert at is not None
    assert at - 1000 - STABLE_SECONDS >= MAXIMUM_SECONDS / 2


def test_hearing_twice_that_we_are_outside_is_one_try() -> None:
    channels = wanted(a=None)
    assert channels.outside("#a", 0)
    at = channels.next_at()
    assert not channels.outside("#a", 1)
    assert channels.next_at() == at


def test_channels_wait_each_for_itself() -> None:
    channels = wanted(a=None, b=None)
    channels.outside("#a", 0)
    channels.outside("#b", 5000)
    at = channels.next_at()
    assert at is not None
    assert texts(channels.due(at)) == ["JOIN #a"]
    assert channels.next_at() is not None


def test_being_in_again_cancels_the_try() -> None:
    channels = wanted(a=None)
    channels.outside("#a", 0)
    channels.joined("#A", 1)
    assert channels.next_at() is None


def test_a_new_connection_asks_for_all_and_forgets_the_waits() -> None:
    channels = wanted(a=None)
    channels.outside("#a", 0)
    assert texts(channels.everything()) == ["JOIN #a"]
    assert channels.next_at() is None


@pytest.mark.parametrize(
    "numeric", ["403", "405", "437", "470", "471", "473", "474", "475", "476", "477", "480", "489"]
)
def test_every_refusal_of_join_is_tried_again(numeric: str, roster: Roster) -> None:
    channels = wanted(b=None)
    assert channels.heard(Message.parse(f":irc.test {numeric} me #B :no"), roster, 0)
    assert channels.next_at() is not None


@pytest.mark.parametrize(
    "line",
    [
        ":irc.test 403 me #a :we are in it, so this answers something else",
        ":irc.test 474 me #other :not wanted",
        ":irc.test 437 me somenick :a nick",
        ":irc.test 474",
        ":op!i@h KICK #a somebody",
        ":op!i@h KICK #a",
        ":somebody!i@h PART #a",
        ":somebody!i@h JOIN #a",
        "JOIN #a",
        "PART #a",
        ":op!i@h KICK #other me",
    ],
)
def test_other_lines_ask_for_nothing(line: str, roster: Roster) -> None:
    channels = wanted(a=None)
    assert not channels.heard(Message.parse(line), roster, 0)
    assert channels.next_at() is None


@pytest.mark.parametrize("line", [":op!i@h KICK #A ME :out", ":me!i@h PART #a :removed by services"])
def test_being_thrown_out_is_heard(line: str, roster: Roster) -> None:
    assert wanted(a=None).heard(Message.parse(line), roster, 0)


# -- when it may help, at once; when nobody wants us, not at all


@pytest.fixture
def told() -> list[str]:
    return []


def heard(channels: Wanted, roster: Roster, now: float, *lines: str) -> list[str]:
    """The JOINs that are due at once after these lines, which the roster has as well."""
    for line in lines:
        message = Message.parse(line)
        roster.apply(message)
        channels.heard(message, roster, now)
    return texts(channels.due(now))


def test_an_invitation_ends_the_wait(roster: Roster) -> None:
    channels = wanted(b="key")
    assert heard(channels, roster, 0, ":irc.test 473 me #b :invite only") == []
    assert heard(channels, roster, 1, ":op!i@h INVITE me #B") == ["JOIN #b key"]
    assert heard(channels, roster, 2, ":op!i@h INVITE me #b") == [], "the answer to that JOIN has not come"


def test_a_storm_of_invitations_asks_once_in_a_while(roster: Roster) -> None:
    channels = wanted(b="key")
    heard(channels, roster, 0, ":irc.test 473 me #b :invite only")
    said = 0
    for second in range(100, 200):
        said += len(heard(channels, roster, second, ":op!i@h INVITE me #b"))
        said += len(heard(channels, roster, second, ":irc.test 473 me #b :invite only"))
    assert said <= 4 + 1, "four times for the invitations, once by itself"


def test_an_invitation_never_makes_the_wait_longer(roster: Roster) -> None:
    channels = wanted(b="key")
    heard(channels, roster, 0, ":irc.test 473 me #b :invite only")
    heard(channels, roster, 1, ":op!i@h INVITE me #b")
    heard(channels, roster, 1, ":irc.test 473 me #b :invite only")
    before = channels.next_at()
    heard(channels, roster, 2, ":op!i@h INVITE me #b")
    assert before is not None and channels.next_at() == before < 1 + INVITED_SECONDS


@pytest.mark.parametrize("key", ["a b", "a,b", "a\rb", "a\tb"])
def test_a_key_that_no_join_can_hold_is_not_taken(key: str, roster: Roster) -> None:
    """A server that says so would make every JOIN fail, also those of other channels."""
    channels = wanted(a="mine")
    heard(channels, roster, 0, f":op!i@h MODE #a +k :{key}")
    assert texts(channels.everything()) == ["JOIN #a mine"]


@pytest.mark.parametrize(
    "line", [":op!i@h INVITE me #other", ":op!i@h INVITE me #a", ":op!i@h INVITE you #b", ":op!i@h INVITE me"]
)
def test_other_invitations_are_for_plugins(line: str, roster: Roster) -> None:
    channels = wanted(a=None, b=None)
    heard(channels, roster, 0, ":irc.test 473 me #b :invite only")
    assert heard(channels, roster, 1, line) == []


@pytest.mark.parametrize(
    "login", [":irc.test 900 me me!i@h account :You are now logged in", ":NickServ MODE me :+r", ":me MODE me +ir"]
)
def test_a_login_ends_the_wait_for_channels_of_registered_nicks(login: str, roster: Roster) -> None:
    channels = wanted(b=None, c=None)
    refusals = [":irc.test 477 me #b :registered nicks only", ":irc.test 474 me #c :banned"]
    assert heard(channels, roster, 0, *refusals) == []
    assert heard(channels, roster, 1, login) == ["JOIN #b"]
    assert channels.next_at() is not None, "the ban has nothing to do with it"


def test_a_ban_is_given_a_minute(roster: Roster) -> None:
    channels = wanted(b=None)
    heard(channels, roster, 0, ":irc.test 474 me #b :banned")
    at = channels.next_at()
    assert at is not None and BANNED_SECONDS <= at <= 2 * BANNED_SECONDS


def test_a_key_that_was_changed_while_we_were_in_is_the_one_to_come_back_with(roster: Roster) -> None:
    channels = wanted(a="old")
    heard(channels, roster, 0, ":op!i@h MODE #a +k new")
    assert texts(channels.everything()) == ["JOIN #a new"]
    heard(channels, roster, 1, ":op!i@h KICK #a me", ":irc.test 475 me #a :wrong key")
    assert texts(channels.everything()) == ["JOIN #a old"], "the one we were told may be right again"


def test_a_key_that_the_server_hides_is_not_taken_for_one(roster: Roster) -> None:
    channels = wanted(a="old")
    heard(channels, roster, 0, ":op!i@h MODE #a +k *")
    assert texts(channels.everything()) == ["JOIN #a old"]


def stays_out(told: list[str]) -> Wanted:
    channels = Wanted({"#a": None}, str.lower, Random(1), told.append)
    channels.stay_out = frozenset({"#A"})
    return channels


def test_a_channel_that_is_not_to_be_rejoined_stays_left_after_a_kick(roster: Roster, told: list[str]) -> None:
    channels = stays_out(told)
    assert heard(channels, roster, 0, ":op!i@h KICK #a me :out") == []
    assert channels.next_at() is None and texts(channels.missing(roster)) == []
    assert told == ["#a: kicked by op: out; not coming back before somebody invites me or says !join"]


def test_it_is_joined_when_somebody_wants_us_back(roster: Roster, told: list[str]) -> None:
    for back in (
        lambda channels: heard(channels, roster, 1, ":op!i@h INVITE me #a"),
        lambda channels: [channels.add("#a").encode()],
        lambda channels: texts(channels.everything()),
    ):
        channels = stays_out(told)
        roster.apply(Message.parse(":me!i@h JOIN #a"))
        heard(channels, roster, 0, ":op!i@h KICK #a me :out")
        assert back(channels) == ["JOIN #a"] and channels.thrown_out == set()


def test_a_refusal_to_let_us_in_is_tried_again_there_too(roster: Roster, told: list[str]) -> None:
    channels = stays_out(told)
    roster.apply(Message.parse(":me!i@h PART #a"))
    heard(channels, roster, 0, ":irc.test 471 me #a :full")
    assert channels.next_at() is not None


def test_the_reason_is_told_once_per_change(roster: Roster, told: list[str]) -> None:
    channels, now = Wanted({"#b": None}, str.lower, Random(1), told.append), 0.0
    for numeric in ("471", "471", "471", "474", "474", "471"):
        heard(channels, roster, now, f":irc.test {numeric} me #b :no, by {numeric}\x02")
        now = channels.next_at() or 0.0
        assert texts(channels.due(now)) == ["JOIN #b"]
    assert [text.partition(";")[0] for text in told] == [f"#b: can't join: no, by {n}" for n in ("471", "474", "471")]
    assert all(text.endswith(" s, and on") for text in told)
