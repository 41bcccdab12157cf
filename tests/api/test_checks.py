"""bot/api/checks.py: who is an admin."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from bot.api.checks import is_admin
from bot.api.events import User


@dataclass
class Entry:
    account: str | None = None
    network: str | None = None
    hostmask: str | None = None


ALICE = User("al", "ident", "staff.example.org", "alice")


def admin(entry: Entry, user: User | None = ALICE, network: str = "libera") -> bool:
    return is_admin([entry], network, user, "rfc1459")


def test_an_account_that_the_server_vouches_for_is_enough() -> None:
    assert admin(Entry(account="alice"))


def test_the_nick_alone_is_never_enough() -> None:
    assert not admin(Entry(account="alice"), User("alice", "ident", "host", None))


def test_another_account_is_not_enough() -> None:
    assert not admin(Entry(account="alice"), User("alice", "ident", "host", "mallory"))


def test_an_account_compares_without_regard_to_ascii_case() -> None:
    assert admin(Entry(account="Alice"), User("al", "i", "h", "aLICE"))


def test_an_account_is_not_folded_by_the_networks_nick_mapping() -> None:
    assert not admin(Entry(account="a[x]"), User("al", "i", "h", "a{x}"))


def test_an_account_counts_only_on_the_network_that_is_named() -> None:
    assert not admin(Entry(account="alice", network="libera"), network="elsewhere")
    assert admin(Entry(account="alice", network="libera"))


def test_a_hostmask_matches_the_whole_prefix() -> None:
    assert admin(Entry(hostmask="*!*@staff.example.org"))
    assert not admin(Entry(hostmask="*!*@staff.example"))
    assert not admin(Entry(hostmask="*@staff.example.org.evil"))


def test_a_hostmask_is_folded_as_the_network_folds() -> None:
    assert admin(Entry(hostmask="[al]!*@h"), User("{AL}", "i", "h"))
    assert not is_admin([Entry(hostmask="[al]!*@h")], "libera", User("{AL}", "i", "h"), "ascii")


def test_a_hostmask_counts_only_on_the_network_that_is_named() -> None:
    assert not admin(Entry(hostmask="*!*@*", network="libera"), network="elsewhere")


@pytest.mark.parametrize(
    "user", [None, User("irc.example.org", "", ""), User("alice", "", "staff.example.org", "alice")]
)
def test_a_server_or_a_source_without_a_user_is_nobody(user: User | None) -> None:
    assert not admin(Entry(account="alice"), user)
    assert not admin(Entry(hostmask="*!*@*"), user)


@pytest.mark.parametrize("account", [None, "", "*"])
def test_no_account_matches_no_entry(account: str | None) -> None:
    assert not admin(Entry(account="alice"), User("alice", "i", "h", account))


def test_an_entry_for_an_account_does_not_fall_back_to_its_hostmask() -> None:
    assert not admin(Entry(account="alice", hostmask="*!*@*"), User("al", "i", "h"))


def test_one_entry_that_fits_is_enough() -> None:
    assert is_admin([Entry(account="bob"), Entry(hostmask="x!*@*"), Entry(account="alice")], "n", ALICE, "ascii")


def test_without_entries_nobody_is_an_admin() -> None:
    assert not is_admin([], "n", ALICE, "ascii")
