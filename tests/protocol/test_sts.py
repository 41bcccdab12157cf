"""sts.py: what a server asks for, and for how long it is held."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.protocol.sts import MOST_SECONDS, Offer, Policies, read

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "offer"),
    [
        ("port=6697", Offer(6697, None)),
        ("duration=300", Offer(None, 300)),
        ("duration=0,port=6697,preload", Offer(6697, 0)),
        ("port=6697,unknown=x,duration=31536000", Offer(6697, 31_536_000)),
        ("", Offer()),
        ("port=0", Offer()),
        ("port=65536", Offer()),
        ("port=-1,duration=-1", Offer()),
        ("port=6697x,duration=1.5", Offer()),
        ("port,duration", Offer()),
        ("duration=" + "9" * 30, Offer(None, MOST_SECONDS)),
        ("duration=" + "9" * 3000, Offer()),
        ("port=1,port=2", Offer(1, None)),
    ],
)
def test_a_value_is_read_as_far_as_it_makes_sense(value: str, offer: Offer) -> None:
    assert read(value) == offer


@given(st.text(max_size=60))
def test_no_value_breaks_it(value: str) -> None:
    read(value)


def test_a_host_is_spoken_to_by_tls_until_the_time_is_over() -> None:
    policies = Policies({})
    policies.learn("irc.test", 6697, 300, NOW)
    assert policies.port("irc.test", NOW + 299) == 6697
    assert policies.port("irc.test", NOW + 300) is None
    assert policies.port("other.test", NOW) is None


def test_a_host_has_one_policy_however_its_name_is_written() -> None:
    policies = Policies({})
    policies.learn("IRC.Test.", 6697, 300, NOW)
    assert policies.port("irc.test", NOW) == 6697


def test_a_new_word_replaces_the_old_and_zero_takes_it_back() -> None:
    policies = Policies({})
    policies.learn("irc.test", 6697, 300, NOW)
    policies.learn("irc.test", 7000, 600, NOW + 100)
    assert policies.port("irc.test", NOW + 699) == 7000
    policies.learn("irc.test", 7000, 0, NOW + 101)
    assert policies.port("irc.test", NOW + 102) is None


def test_the_time_begins_anew_when_the_connection_closes() -> None:
    policies = Policies({})
    policies.learn("irc.test", 6697, 300, NOW)
    policies.renew("irc.test", NOW + 10_000)
    assert policies.port("irc.test", NOW + 10_299) == 6697
    policies.renew("other.test", NOW)
    assert policies.port("other.test", NOW) is None


@pytest.mark.parametrize(
    "row", [None, [], ["x", 1, 2], {"port": 1}, [1, 2], 7, [0, 1, 9e9], [65536, 1, 9e9], [1, "x", 0]]
)
def test_a_row_that_makes_no_sense_is_no_policy(row: object) -> None:
    policies = Policies({"irc.test": row})
    assert policies.port("irc.test", 1.0) is None
    policies.renew("irc.test", 1.0)
