"""A roster and a registration over JSON and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.protocol.identity import Identity
from bot.protocol.message import Message
from bot.protocol.registration import Registration
from bot.protocol.roster import Applied, Member, Roster
from bot.protocol.snapshot import CHUNK, head, line, of_line, parts, restore, resumed, stranger

NICKS = st.sampled_from(["neverquit", "bob", "Bob[", "eve{", "alice"])
CHANNELS = st.sampled_from(["#a", "#B", "#c[", "#d"])
LINES = st.one_of(
    st.builds("{}!u@h JOIN {}".format, NICKS, CHANNELS),
    st.builds("{}!u@h PART {}".format, NICKS, CHANNELS),
    st.builds("{}!u@h NICK {}".format, NICKS, NICKS),
    st.builds("{}!u@h ACCOUNT acc".format, NICKS),
    st.builds("{}!u@h TOPIC {} :about {}".format, NICKS, CHANNELS, NICKS),
    st.builds("irc.test MODE {} +otk {} :key".format, CHANNELS, NICKS),
    st.builds("irc.test 366 neverquit {} :End".format, CHANNELS),
    st.builds("irc.test BATCH +{} chathistory #a".format, st.sampled_from("xyz")),
    st.builds("{}!u@h QUIT :a.b c.d".format, NICKS),
    st.builds("irc.test 352 neverquit #a u h irc.test {} HB :0 x".format, NICKS),
    st.just("irc.test 005 neverquit WHOX BOT=B CASEMAPPING=ascii PREFIX=(ov)@+ :are supported"),
)


def registered() -> Registration:
    registration = Registration(Identity("neverquit"), tls=True)
    registration.start()
    for text in (
        "CAP * LS :account-notify chghost",
        "CAP * ACK :account-notify chghost",
        ":irc.test 001 neverquit :Hi",
    ):
        registration.feed(Message.parse(text))
    return registration


def over_json(roster: Roster, registration: Registration) -> list[tuple[str, Any]]:
    return [(section, json.loads(json.dumps(value))) for section, value in parts(roster, registration, since=3)]


@given(st.lists(LINES, max_size=40), st.lists(LINES, max_size=10))
def test_what_is_restored_is_the_same_and_goes_on_in_the_same_way(before: list[str], after: list[str]) -> None:
    registration, roster, other = registered(), Roster(), Roster()
    roster.caps = registration.caps
    for text in (":irc.test 001 neverquit :Hi", *(f":{text}" for text in before)):
        roster.apply(Message.parse(text))
    snapshot = over_json(roster, registration)
    restore(other, snapshot, resumed(snapshot, Identity("neverquit"), True).caps)
    for text in [":irc.test 422 neverquit :No MOTD", *(f":{text}" for text in after)]:
        message = Message.parse(text)
        assert roster.apply(message) == other.apply(message)
        assert (roster.users, roster.channels, roster.nick) == (other.users, other.channels, other.nick)
        assert (roster.isupport.tokens, roster.batches) == (other.isupport.tokens, other.batches)
        assert roster.splits.saved() == other.splits.saved()
        assert roster.account_of(message) == other.account_of(message)


def test_a_large_channel_is_written_in_small_parts() -> None:
    roster, registration = Roster(), registered()
    for text in ("irc.test 001 neverquit :Hi", "neverquit!u@h JOIN #a"):
        roster.apply(Message.parse(f":{text}"))
    for number in range(3 * CHUNK):
        roster.apply(Message.parse(f":u{number}!u@h JOIN #a"))
    found = over_json(roster, registration)
    assert max(len(value) for section, value in found if section == "users") == CHUNK
    other = Roster()
    restore(other, found, set())
    assert other.channels == roster.channels and len(other.users) == 3 * CHUNK + 1


def test_open_requests_and_a_login_that_is_under_way_go_on() -> None:
    registration = registered()
    registration.feed(Message.parse("CAP neverquit NEW :setname away-notify"))
    after = resumed(over_json(Roster(), registration), Identity("neverquit"), True)
    assert after.done and after.saved() == registration.saved()
    after.feed(Message.parse("CAP neverquit ACK :away-notify setname"))
    assert {"away-notify", "setname"} <= after.caps


@pytest.mark.parametrize("value", [None, [], [("head", None)], [("head", {})], [("users", [])]])
def test_what_makes_no_sense_is_a_value_error_and_leaves_the_roster_empty(value: Any) -> None:
    roster = Roster()
    with pytest.raises(ValueError, match=r"no snapshot|nothing was left"):
        restore(roster, value or [], set())
    with pytest.raises(ValueError, match="no snapshot"):
        resumed(value or [], Identity("x"), True)
    assert roster.users == {}


def test_a_line_in_hand_is_what_it_was() -> None:
    applied = Applied(("#a",), Member("bob", "b", "home", "acc", "Bob", True, True), history=True, split=True)
    again = line(json.loads(json.dumps(of_line(applied, "acc"))))
    assert again == applied._replace(past=True, account="acc")
    assert line(json.loads(json.dumps(of_line(Applied(), None)))) == Applied(past=True)
    assert line("nonsense") == Applied(past=True)


def test_of_a_line_that_nothing_is_known_of_there_is_its_author_and_no_account() -> None:
    applied = stranger(Message.parse(":bob!b@home PRIVMSG #a :x"))
    assert applied.member is not None and applied.member.account is None and applied.account is None and applied.past
    assert not applied.history and stranger(Message.parse("@batch=1 :bob!b@home PRIVMSG #a :x")).history
    assert stranger(Message.parse("PRIVMSG #a :x")).member is None


def test_the_head_holds_what_the_connection_adds() -> None:
    assert head(over_json(Roster(), registered()))["since"] == 3
