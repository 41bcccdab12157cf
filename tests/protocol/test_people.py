"""people.py: both sides of a membership stay in step, and nobody is kept whom we would not hear of."""

from __future__ import annotations

import pytest

from bot.protocol.message import Source
from bot.protocol.people import Channel, Member, People, account_name

PLACES = {"#c": ("bot", "alice", "bob"), "#d": ("bot", "alice")}


def met(*tokens: str) -> People:
    """`PLACES`, as people."""
    people = People()
    people.nick = "bot"
    people.caps = {"account-notify"}
    people.isupport.apply(tokens)
    for name in PLACES:
        people.channels[name] = Channel(name)
        for nick in PLACES[name]:
            enter(people, name, nick)
    return people


def enter(people: People, name: str, nick: str) -> Member:
    user = people.meet(Source(nick, nick[:1], "host"))
    people.channels[people.fold(name)].members[people.fold(nick)] = set()
    user.channels.add(people.fold(name))
    return user


def user(people: People, nick: str) -> Member:
    found = people.user(nick)
    assert found is not None
    return found


def test_before_001_nobody_is_me() -> None:
    assert not People().is_me("")
    assert not People().is_me("bot")


@pytest.mark.parametrize(
    ("mapping", "same"),
    [("ascii", False), ("ASCII", False), ("rfc1459", True), ("rfc1459-strict", True), ("odd", True)],
)
def test_names_are_the_same_by_the_servers_mapping(mapping: str, same: bool) -> None:
    people = met(f"CASEMAPPING={mapping}")
    assert people.same("[x]", "{X}") is same
    assert not people.same("\u212a", "k")


def test_who_is_met_again_is_the_same_one() -> None:
    people = met()
    assert people.meet(Source("ALICE", "a", "host")) is user(people, "alice")


def test_who_is_met_elsewhere_keeps_the_place_and_loses_the_account() -> None:
    people = met()
    alice = user(people, "alice")
    alice.account, changed = "alice", alice.changed
    people.known(Source("alice", "a", "host.other"))
    assert (alice.host, alice.account) == ("host.other", None)
    assert alice.changed > changed


def test_a_place_that_was_not_known_yet_is_no_other_place() -> None:
    people = met()
    alice = user(people, "alice")
    alice.host, alice.account = "", "alice"
    assert not people.is_elsewhere(alice, Source("alice", "a", "host"))
    people.known(Source("alice", "a", "host"))
    assert (alice.host, alice.account) == ("host", "alice")


def test_the_last_channel_in_common_ends_the_acquaintance() -> None:
    people = met()
    people.separate(user(people, "alice"), "#c")
    assert people.user("alice") is not None
    people.separate(user(people, "alice"), "#d")
    assert people.user("alice") is None


def test_leaving_a_channel_keeps_only_whom_we_meet_elsewhere_and_ourselves() -> None:
    people = met()
    people.leave(people.channels["#c"])
    assert (set(people.users), set(people.channels)) == ({"bot", "alice"}, {"#d"})
    people.leave(people.channels["#d"])
    assert set(people.users) == {"bot"}


def test_a_new_nick_keeps_ranks_and_forgets_its_former_owner_everywhere() -> None:
    people = met()
    people.channels["#c"].members["bob"].add("o")
    people.rename(user(people, "bob"), "Alice")
    assert people.channels["#c"].members == {"bot": set(), "alice": {"o"}}
    assert people.channels["#d"].members == {"bot": set()}
    assert user(people, "alice").nick == "Alice"


def test_our_own_new_nick_is_ours() -> None:
    people = met()
    people.rename(user(people, "bot"), "Bot2")
    assert (people.nick, people.is_me("bot2")) == ("Bot2", True)


def test_channels_of_a_user_are_named_in_order() -> None:
    assert met().names(user(met(), "alice")) == ("#c", "#d")


def test_another_mapping_that_makes_two_channels_one_forgets_who_was_in_the_lost_one() -> None:
    people = met("CASEMAPPING=ascii")
    for name in ("#[x]", "#{x}"):
        people.channels[name] = Channel(name)
        enter(people, name, "bot")
    enter(people, "#[x]", "lost")
    people.isupport.apply(["CASEMAPPING=rfc1459"])
    people.refold()
    assert set(people.channels) == {"#c", "#d", "#{x}"}
    assert set(people.users) == {"bot", "alice", "bob"}


@pytest.mark.parametrize("token", ["USERLEN=x", "USERLEN=", "USERLEN=\u0663", "USERLEN=99999", "USERLEN=-1"])
def test_an_odd_length_is_no_length(token: str) -> None:
    people = People()
    people.isupport.apply([token])
    assert len(people.me_source().ident) == 11


@pytest.mark.parametrize("text", ["", "*", "0"])
def test_signs_for_no_account_are_no_account(text: str) -> None:
    assert account_name(text) is None


def test_any_other_name_is_an_account() -> None:
    assert account_name("00") == "00"
