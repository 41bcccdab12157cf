from __future__ import annotations

import json

import pytest

from bot.config import Flood, Network, SaslSettings, Secret, Tls
from bot.errors import UnsafeText
from bot.wire.opening import Limits, identity, in_place, orders


def test_the_keeper_is_told_all_it_needs_and_no_secret() -> None:
    network = Network(
        "n", "irc.test", 6697, Tls("ca.pem", "me.pem", "me.key", ("ab",)), password=Secret("hunter2"), flood=Flood(7, 2)
    )
    payload = orders(network, Limits(1, 2, 3, 4))
    assert json.loads(payload) == {
        "host": "irc.test",
        "port": 6697,
        "tls": {
            "ca_file": "ca.pem",
            "certificate": "me.pem",
            "key": "me.key",
            "fingerprints": ["ab"],
            "verify_name": "irc.test",
        },
        "bind": None,
        "burst": 7,
        "per_second": 2,
        "connect_seconds": 1,
        "idle_seconds": 3,
        "pong_seconds": 4,
        "stale_seconds": 60,
        "again": False,
    }
    assert b"hunter2" not in payload


def test_without_tls_and_flood_there_is_neither() -> None:
    told = json.loads(orders(Network("n", "irc.test", 6667, None, flood=None), Limits()))
    assert (told["tls"], told["burst"], told["per_second"]) == (None, 0, 0)


def test_the_identity_is_as_configured() -> None:
    sasl = SaslSettings(("PLAIN",), "account", Secret("s3cret"), None, False, True)
    who = identity(
        Network("n", "h", nick="Bot", alternative_nicks=("Bot_",), realname="r", password=Secret("p"), sasl=sasl)
    )
    assert (who.nick, who.alternatives, who.realname, who.password) == ("Bot", ("Bot_",), "r", "p")
    assert who.sasl is not None
    assert (who.sasl.username, who.sasl.password, who.sasl.mechanisms) == ("account", "s3cret", ("PLAIN",))
    assert (who.sasl.required, who.sasl.plain_without_tls) == (False, True)


def test_without_sasl_and_password_there_is_neither() -> None:
    who = identity(Network("n", "h"))
    assert (who.password, who.sasl) == (None, None)


@pytest.mark.parametrize(
    ("nick", "ident"), [("Never[Quit]", "neverquit"), ("[[[", "bot"), ("abcdefghijklmnop", "abcdefghij")]
)
def test_the_ident_is_short_and_plain(nick: str, ident: str) -> None:
    assert identity(Network("n", "h", nick=nick)).ident == ident


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["PRIVMSG", "#a", ":hello there"], "PRIVMSG #a :hello there"),
        (["PART", "#a", "two words"], "PART #a :two words"),
        (["PASS", "two words"], "PASS :two words"),
        (["MODE", "#a", "+o nick"], "MODE #a +o nick"),
        (["QUIT"], "QUIT"),
    ],
)
def test_only_the_last_word_may_be_prose(words: list[str], line: str) -> None:
    assert in_place(words) == line


def test_a_target_with_a_space_is_refused() -> None:
    with pytest.raises(UnsafeText):
        in_place(["PRIVMSG", "#a x", ":hello"])
