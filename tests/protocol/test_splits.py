"""splits.py: who was lost with a server is gathered, remembered for a while, and known again."""

from __future__ import annotations

import json

import pytest

from bot.protocol.casemap import fold
from bot.protocol.splits import LONGEST_SECONDS, QUIET_SECONDS, REMEMBERED_SECONDS, Split, Splits, two_servers

SERVERS = ("hub.example", "leaf.example")
BOB = "bob!b@h"


@pytest.fixture
def splits() -> Splits:
    """Bob was lost from #a and #b at 0."""
    splits = Splits(fold)
    splits.lost(BOB, "bob", ["#a", "#b"], SERVERS, 0)
    return splits


@pytest.mark.parametrize("reason", ["a.b c.d", "irc.example.org hub-1.example.org", "*.net *.split", "a_1.x b.x"])
def test_two_names_of_servers_are_a_netsplit(reason: str) -> None:
    assert two_servers(reason) == tuple(reason.split(" "))


@pytest.mark.parametrize(
    "reason",
    [
        *("", "a.b", "a.b a.b", "a.b c", "a b.c", "a.b c.d e.f", "a.b  c.d", " a.b c.d", "a.b c.d ", "Quit: a.b c.d"),
        *('"a.b c.d"', "http://a.b c.d", "a.b c.d.", ".a b.c", "a..b c.d", "\u00e4.b c.d", "a.b\u00a0c.d", "a.b, c.d"),
    ],
)
def test_other_reasons_are_a_persons(reason: str) -> None:
    assert two_servers(reason) == ()


def test_each_channel_is_told_once_when_no_more_comes(splits: Splits) -> None:
    splits.lost("eve!e@h", "eve", ["#a"], SERVERS, 2)
    assert splits.next_at == 2 + QUIET_SECONDS
    assert splits.due(2 + QUIET_SECONDS - 0.1) == []
    assert splits.due(2 + QUIET_SECONDS) == [
        Split("netsplit", "#a", ("bob", "eve"), SERVERS),
        Split("netsplit", "#b", ("bob",), SERVERS),
    ]
    assert splits.due(100) == [] and splits.next_at is None


def test_a_split_that_goes_on_is_told_in_parts(splits: Splits) -> None:
    at = 0.0
    while splits.next_at is not None and splits.next_at > at:
        at += 1
        splits.lost(f"n{at}!b@h", f"n{at}", ["#a"], SERVERS, at)
    assert at == LONGEST_SECONDS and len(splits.due(at)[0].nicks) == LONGEST_SECONDS + 1


def test_the_end_of_a_batch_is_the_end_of_the_wait(splits: Splits) -> None:
    splits.complete(1)
    assert [split.channel for split in splits.due(1)] == ["#a", "#b"]
    splits.complete(2)
    assert splits.next_at is None


def test_two_splits_at_once_are_told_apart(splits: Splits) -> None:
    splits.lost("eve!e@h", "eve", ["#a"], ("hub.example", "other.example"), 0)
    assert [(split.channel, split.nicks) for split in splits.due(9)] == [
        ("#a", ("bob",)),
        ("#b", ("bob",)),
        ("#a", ("eve",)),
    ]


def test_who_comes_back_to_a_channel_is_known_there_once(splits: Splits) -> None:
    splits.due(9)
    assert splits.is_back(BOB, "#A", 60) and not splits.is_back(BOB, "#c", 60)
    assert not splits.is_back("bob!b@elsewhere", "#a", 60) and not splits.is_back("BOB!b@h", "#a", 60)
    splits.back(BOB, "bob", "#a", (), 60)
    assert not splits.is_back(BOB, "#a", 60) and splits.is_back(BOB, "#b", 60)
    assert splits.due(99) == [Split("netjoin", "#a", ("bob",), SERVERS)]


def test_a_batch_may_bring_somebody_who_was_not_there_before(splits: Splits) -> None:
    splits.due(9)
    splits.back("new!n@h", "new", "#a", SERVERS, 60)
    assert splits.due(99) == [Split("netjoin", "#a", ("new",), SERVERS)]


def test_after_a_while_who_comes_is_new(splits: Splits) -> None:
    assert splits.is_back(BOB, "#a", REMEMBERED_SECONDS) and not splits.is_back(BOB, "#a", REMEMBERED_SECONDS + 1)


def test_what_is_remembered_is_bounded(splits: Splits, monkeypatch: pytest.MonkeyPatch) -> None:
    splits.lost("eve!e@h", "eve", ["#a"], SERVERS, REMEMBERED_SECONDS + 1)
    assert [mask for mask, *_ in splits.saved()] == ["eve!e@h"]
    monkeypatch.setattr("bot.protocol.splits._MOST", 10)
    for number in range(100):
        splits.lost(f"{number}!u@h", str(number), ["#a"], SERVERS, REMEMBERED_SECONDS + 2)
    assert len(splits.saved()) <= 10


def test_the_next_worker_knows_who_was_lost(splits: Splits) -> None:
    after = Splits(fold)
    after.resume(json.loads(json.dumps(splits.saved())))
    assert after.is_back(BOB, "#b", 60) and after.next_at is None
    after.back(BOB, "bob", "#b", (), 60)
    assert after.due(99) == [Split("netjoin", "#b", ("bob",), SERVERS)]
