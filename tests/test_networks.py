"""bot/networks.py: the networks by name, and the addresses of places on them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bot.errors import UserError
from bot.networks import Network, Networks
from bot.protocol.message import Message
from bot.protocol.roster import Roster


def network(name: str) -> Network:
    roster = Roster()
    roster.apply(Message.parse(":irc 001 Bot[x] :Welcome"))
    connection: Any = SimpleNamespace(roster=roster)
    return Network(name, connection)


def networks(names: str) -> Networks:
    return Networks({name: network(name) for name in names.split()})


@pytest.mark.parametrize(
    ("names", "address", "place"),
    [
        ("libera", "libera/#a", ("libera", "#a")),
        ("libera oftc", "oftc/#a", ("oftc", "#a")),
        ("libera oftc", "oftc/nick", ("oftc", "nick")),
        ("libera", "#a", ("libera", "#a")),
        ("libera", "nick", ("libera", "nick")),
        ("libera", "#a/b", ("libera", "#a/b")),
        ("libera", "libera/#a/b", ("libera", "#a/b")),
        ("libera oftc", "oftc/#libera/x", ("oftc", "#libera/x")),
    ],
)
def test_an_address_is_a_network_and_a_target(names: str, address: str, place: tuple[str, str]) -> None:
    assert networks(names).resolve(address) == place


@pytest.mark.parametrize(
    ("names", "address", "words"),
    [
        ("libera oftc", "#a", "'#a' names no network; write NETWORK/TARGET (there are libera, oftc)"),
        ("libera", "efnet/#a", "'efnet/#a' names no network; write NETWORK/TARGET (there are libera)"),
        ("", "#a", "'#a' names no network; write NETWORK/TARGET (there is none)"),
        ("libera oftc", "", "'' names no network"),
    ],
)
def test_an_address_that_names_no_network_is_refused(names: str, address: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        networks(names).resolve(address)
    assert str(caught.value).startswith(words)


def test_a_network_is_found_by_its_name() -> None:
    both = networks("libera oftc")
    assert both.named("oftc") is both["oftc"]
    with pytest.raises(UserError, match="there is no network efnet; there are libera, oftc"):
        both.named("efnet")


def test_a_network_knows_its_nick_and_how_it_folds() -> None:
    libera = network("libera")
    assert libera.nick == "Bot[x]" and libera.same("BOT{X}", libera.nick) and libera.fold("A[") == libera.fold("a{")
    assert repr(libera) == "<network libera>"
