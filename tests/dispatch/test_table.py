"""bot/dispatch/table.py: which calls one event makes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bot.api.declare import Command, Declaration, On, Rule
from bot.api.events import Event, User
from bot.dispatch.owner import Owner
from bot.dispatch.table import Handler, Match, Table, build, replaced

NETWORK: Any = SimpleNamespace(name="libera", nick="Bot", same=lambda one, other: one.lower() == other.lower())


def handler(plugin: str, name: str, declaration: Declaration) -> Handler:
    return Handler(plugin, f"{plugin}.{name}", lambda ctx: None, declaration, Owner(plugin), False)


def command(plugin: str, name: str, *aliases: str) -> Handler:
    return handler(plugin, name, Command(name, aliases, (), False, None))


ROLL, KARMA = command("dice", "roll", "d"), command("karma", "karma")
PLUS = handler("karma", "plus", Rule(r"(?P<name>\w+)\+\+"))
WORDS = handler("words", "count", Rule(r"(\w+) (\w+)?"))
SPOKE, JOINED = handler("seen", "spoke", On("message")), handler("seen", "joined", On("join"))
TABLE = build([ROLL, KARMA, PLUS, WORDS, SPOKE, JOINED])


def event(text: str, channel: str | None = "#a", name: str = "message", user: bool = True) -> Event:
    return Event(name, NETWORK, "1", None, User("bob", "b", "h") if user else None, channel, text)


def keys(
    text: str, channel: str | None = "#a", *, table: Table = TABLE, prefixes: tuple[str, ...] = ("!",)
) -> list[str]:
    return [match.handler.key for match in table.match(event(text, channel), prefixes, lambda plugin: True)]


def asked(text: str, channel: str | None = "#a", prefixes: tuple[str, ...] = ("!",)) -> tuple[str, str] | None:
    return TABLE.command_of(event(text, channel), prefixes)


def test_another_bot_runs_neither_commands_nor_rules_and_is_seen_all_the_same() -> None:
    for text in ("!roll 2d6", "python++"):
        said = Event("message", NETWORK, "1", None, User("bob", "b", "h", bot=True), "#a", text)
        assert [match.handler.key for match in TABLE.match(said, ("!",), lambda plugin: True)] == ["seen.spoke"]


# --- what is addressed to the bot


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("!roll 2d6", ("roll", "2d6")),
        ("!roll", ("roll", "")),
        ("!roll   2d6  now ", ("roll", "2d6  now")),
        ("!roll\t2d6", ("roll\t2d6", "")),
        ("bot: roll 2d6", ("roll", "2d6")),
        ("BOT, roll", ("roll", "")),
        ("bot:  !roll", ("roll", "")),
        ("!", None),
        ("! roll", None),
        ("roll", None),
        ("", None),
        ("bot:", None),
        ("bot roll", None),
        ("bob: roll", None),
        (": roll", None),
    ],
)
def test_in_a_channel_a_command_has_a_prefix_or_our_nick(text: str, words: tuple[str, str] | None) -> None:
    assert asked(text) == words


@pytest.mark.parametrize("text", ["roll 2d6", "!roll 2d6", "bot: roll 2d6"])
def test_in_private_no_prefix_is_needed(text: str) -> None:
    assert asked(text, None) == ("roll", "2d6")


def test_prefixes_may_be_several_and_longer_than_a_sign() -> None:
    assert asked("bot>roll", prefixes=("!", "bot>")) == asked("!roll", prefixes=("!", "bot>")) == ("roll", "")


def test_an_empty_prefix_does_not_make_every_line_a_command() -> None:
    assert asked("roll 2d6", prefixes=("",)) is None


# --- commands


def test_a_command_runs_its_handler_with_what_stands_behind_it() -> None:
    match = TABLE.match(event("!roll 2d6"), ("!",), lambda plugin: True)[0]
    assert (match.handler, match.command, match.rest) == (ROLL, "roll", "2d6")


@pytest.mark.parametrize("name", ["roll", "ROLL", "d", "dice.roll", "Dice.Roll", "dice.d"])
def test_a_command_is_found_by_name_alias_and_plugin_in_any_case(name: str) -> None:
    assert TABLE.find(name) is ROLL


@pytest.mark.parametrize("name", ["rol", "karma.roll", "", ".", "dice.", ".roll", "plus", "karma.plus"])
def test_what_nobody_declared_is_not_found(name: str) -> None:
    assert TABLE.find(name) is None


def test_an_unknown_command_runs_nothing_but_handlers_of_the_event() -> None:
    assert keys("!nothing") == ["seen.spoke"]


def test_handlers_of_the_event_run_behind_the_command() -> None:
    assert keys("!roll") == ["dice.roll", "seen.spoke"]


def test_a_disabled_plugin_answers_nothing() -> None:
    matches = TABLE.match(event("!roll a++"), ("!",), lambda plugin: plugin not in ("dice", "seen"))
    assert [match.handler.plugin for match in matches] == ["karma", "words"]


def test_a_notice_is_never_a_command() -> None:
    assert TABLE.match(event("!roll", name="notice"), ("!",), lambda plugin: True) == []


def test_what_has_no_user_is_never_a_command() -> None:
    matches = TABLE.match(event("!roll a++", user=False), ("!",), lambda plugin: True)
    assert [match.handler for match in matches] == [SPOKE]


# --- rules


def test_rules_see_channel_lines_that_ran_no_command() -> None:
    assert keys("tea++") == ["karma.plus", "seen.spoke"]
    assert keys("!roll tea++") == ["dice.roll", "seen.spoke"]


def test_rules_see_unknown_commands() -> None:
    assert keys("!tea++") == ["karma.plus", "seen.spoke"]


def test_rules_see_nothing_of_private_lines() -> None:
    assert keys("tea++", None) == ["seen.spoke"]


def groups(text: str, table: Table) -> list[tuple[Any, Any]]:
    return [match.groups for match in table.match(event(text), ("!",), lambda plugin: True)]


def test_named_groups_are_given_by_name_and_others_by_place() -> None:
    assert groups("tea++", build([PLUS])) == [((), {"name": "tea"})]
    assert groups("one two", build([WORDS])) == [(("one", "two"), {})]


def test_a_group_that_took_no_part_is_none() -> None:
    assert groups("one ", build([WORDS])) == [(("one", None), {})]


def test_a_rule_runs_once_a_line_on_its_first_match() -> None:
    assert groups("tea++ milk++", build([PLUS])) == [((), {"name": "tea"})]


def test_rules_run_in_the_order_of_their_plugins() -> None:
    assert keys("a b++", table=build([WORDS, PLUS])) == ["words.count", "karma.plus"]
    assert keys("a b++", table=build([PLUS, WORDS])) == ["karma.plus", "words.count"]


# --- events


def test_an_event_wakes_its_handlers_alone() -> None:
    assert TABLE.match(event("", name="join"), ("!",), lambda plugin: True) == [Match(JOINED)]
    assert TABLE.match(event("", name="part"), ("!",), lambda plugin: True) == []


# --- build


def test_an_alias_that_clashes_with_a_name_drops_only_itself() -> None:
    table = build([command("one", "a", "roll"), command("two", "roll")])
    assert table.find("roll").plugin == "two"  # type: ignore[union-attr]
    assert table.find("a").plugin == "one"  # type: ignore[union-attr]
    assert table.dropped == (("roll", "one", "two"),)


def test_of_two_aliases_the_first_plugin_has_it() -> None:
    table = build([command("one", "a", "x"), command("two", "b", "x")])
    assert table.find("x").plugin == "one"  # type: ignore[union-attr]
    assert table.dropped == (("x", "two", "one"),)


def test_an_alias_that_was_dropped_works_with_its_plugin_in_front() -> None:
    table = build([command("one", "a", "x"), command("two", "b", "x")])
    assert table.find("two.x").plugin == "two"  # type: ignore[union-attr]


def test_a_built_in_command_stays_against_names_and_aliases() -> None:
    built_in = {"help": command("bot", "help")}
    table = build([command("one", "help"), command("two", "b", "help")], built_in=built_in)
    assert table.find("help") is built_in["help"]
    assert table.find("one.help").plugin == "one"  # type: ignore[union-attr]


def test_the_rules_stay_warm_where_no_pattern_changed() -> None:
    again = build([PLUS, WORDS, ROLL], build([PLUS, WORDS]))
    assert again.ruleset is build([PLUS, WORDS, KARMA], again).ruleset
    assert again.ruleset is not build([WORDS, PLUS], again).ruleset


def test_an_empty_table_matches_nothing() -> None:
    assert Table().match(event("!roll tea++"), ("!",), lambda plugin: True) == []


# --- one plugin replaced


def test_one_plugin_with_the_same_commands_is_replaced_without_indexing_the_others() -> None:
    new, qualified = command("karma", "karma"), command("karma", "top")
    before = build([ROLL, KARMA, qualified])
    table = replaced(before, [KARMA, qualified], [new, (other := command("karma", "top"))])
    whole = build([ROLL, new, other], before)
    assert table is not None
    assert (table.commands, table.qualified, table.dropped) == (whole.commands, whole.qualified, whole.dropped)
    assert before.commands["karma"] is KARMA


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([KARMA], [command("karma", "karma"), command("karma", "top")]),
        ([KARMA], [command("karma", "top")]),
        ([KARMA], [command("karma", "karma", "k")]),
        ([ROLL], [command("dice", "roll")]),
        ([KARMA, PLUS], [command("karma", "karma"), PLUS]),
        ([KARMA], [command("karma", "karma"), handler("karma", "spoke", On("message"))]),
    ],
)
def test_where_more_than_commands_of_the_same_names_changes_all_is_indexed(
    old: list[Handler], new: list[Handler]
) -> None:
    assert replaced(TABLE, old, new) is None
