"""bot/waits.py: what of a new configuration waits, and that nothing is passed over."""

from __future__ import annotations

from dataclasses import fields, replace

from bot.config import Config, Flood, Network, Plugins, Reconnect
from bot.waits import AT_NEXT_CONNECTION, AT_ONCE, waits

NETWORK = Network("n", "irc.example.org")
CONFIG = Config(networks={"n": NETWORK})


def test_each_field_of_a_network_is_taken_at_once_or_waits() -> None:
    assert {field.name for field in fields(Network)} == {"name", *AT_NEXT_CONNECTION, *AT_ONCE}


def test_what_the_connection_is_made_with_waits_for_the_next() -> None:
    network = replace(NETWORK, nick="other", realname="r", flood=Flood(9))
    assert waits(CONFIG, replace(CONFIG, networks={"n": network})) == [
        "networks.n: nick, realname, flood are used at the next connection"
    ]


def test_one_field_alone_is_told_as_one() -> None:
    assert waits(CONFIG, replace(CONFIG, networks={"n": replace(NETWORK, port=1)})) == [
        "networks.n: port is used at the next connection"
    ]


def test_folders_wait_for_a_restart() -> None:
    note = ["plugins.directories and state_dir change with a restart"]
    assert waits(CONFIG, replace(CONFIG, state_dir="/elsewhere")) == note
    assert waits(CONFIG, replace(CONFIG, plugins=Plugins(("/elsewhere",)))) == note


def test_what_is_taken_at_once_is_no_note() -> None:
    network = replace(NETWORK, reconnect=Reconnect(1, 9), prefix=("?",), disabled=("dice",))
    assert waits(CONFIG, replace(CONFIG, reply_lines=3, networks={"n": network})) == []


def test_a_network_that_comes_or_goes_waits_for_nothing() -> None:
    assert waits(CONFIG, replace(CONFIG, networks={})) == []
    assert waits(replace(CONFIG, networks={}), CONFIG) == []
