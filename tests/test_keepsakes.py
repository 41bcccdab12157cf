"""bot/keepsakes.py: what `!state` tells and drops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from bot.errors import UserError
from bot.keepsakes import Keepsakes
from bot.live.handoff import Shelf
from bot.storage import Backend
from bot.testing import Bot

TODO = """
from bot import command, keep, store
STATE_VERSION = 2
tasks = keep("tasks", dict)
notes = store("notes")

@command("add")
def add(ctx, text: str):
    tasks[text] = notes[text] = 1
    return f"{len(tasks)} kept, {len(notes)} stored"
"""


@pytest.fixture
def both() -> Iterator[tuple[Shelf, Backend]]:
    backend = Backend.memory()
    shelf = Shelf(backend)
    shelf.keep("todo", "tasks", lambda: {"a": 1})
    shelf.keep("todo", "both", list)
    for name in ("notes", "both"):
        shelf.store("todo", name, "bot").write("", "k", "1")
    yield shelf, backend
    backend.close()


def test_names_kinds_and_sizes_are_told_and_nothing_of_what_is_in_them(both: Any) -> None:
    assert Keepsakes(*both).told("todo") == (
        "todo: version 1; kept: tasks (dict of 1), both (list of 0); stored: both (1 row), notes (1 row)"
    )


def test_a_value_that_has_no_length_is_told_by_its_class(both: Any) -> None:
    both[0].keep("lone", "lock", object)
    assert Keepsakes(*both).told("lone") == "lone: version 1; kept: lock (object)"


def test_a_line_stays_short(both: Any) -> None:
    for number in range(30):
        both[0].keep("many", f"n{number}", list)
    assert Keepsakes(*both).told("many").endswith("n19 (list of 0), +10 more")


def test_the_name_of_the_state_and_its_snapshots_are_told(both: Any) -> None:
    both[0].states["later"] = "todo"
    both[0].snapshots["todo"] = {1: {}, 2: {}}
    told = Keepsakes(*both).told("later")
    assert told.startswith("later (as todo): version 1; ") and told.endswith("; snapshots of version 1, 2")


@pytest.mark.parametrize("name", ["nothing", "x" * 500])
def test_a_plugin_without_state_says_so(both: Any, name: str) -> None:
    with pytest.raises(UserError, match=r"^(nothing|x{64}) keeps and stores nothing$"):
        Keepsakes(*both).told(name)


def test_a_kept_value_is_dropped_and_its_plugin_must_be_made_anew(both: Any) -> None:
    assert Keepsakes(*both).drop("todo", "tasks") == ("todo: no longer kept: tasks", True)
    assert list(both[0].values["todo"]) == ["both"]


def test_without_a_name_all_kept_values_are_dropped_and_no_store(both: Any) -> None:
    assert Keepsakes(*both).drop("todo", "") == ("todo: no longer kept: both, tasks", True)
    assert "todo" not in both[0].values and both[1].stores("todo") == {"both": 1, "notes": 1}


def test_a_store_is_dropped_where_it_lies(both: Any) -> None:
    assert Keepsakes(*both).drop("todo", "notes") == ("todo: the store notes is empty now, 1 row gone", False)
    assert both[1].stores("todo") == {"both": 1}


def test_of_two_of_one_name_it_must_be_said_which(both: Any) -> None:
    with pytest.raises(UserError, match="say `drop todo kept both` or `drop todo store both`"):
        Keepsakes(*both).drop("todo", "both")
    assert Keepsakes(*both).drop("todo", "store both")[0].endswith("1 row gone")
    assert Keepsakes(*both).drop("todo", "kept both") == ("todo: no longer kept: both", True)


@pytest.mark.parametrize("key", ["nothing", "store tasks", "kept notes", "kept"])
def test_what_is_not_there_is_not_dropped(both: Any, key: str) -> None:
    with pytest.raises(UserError, match=r"^todo has no "):
        Keepsakes(*both).drop("todo", key)


# --- in chat


async def test_state_is_told(bot: Bot) -> None:
    await bot.write("todo", TODO)
    assert await bot.say("!add tea") == ["1 kept, 1 stored"]
    assert await bot.say("!state todo") == ["todo: version 2; kept: tasks (dict of 1); stored: notes (1 row)"]
    assert await bot.say("!state nothing") == ["nothing keeps and stores nothing"]
    assert await bot.say("!state drop") == ["say whose: `!state drop NAME KEY`, or without KEY all that it keeps"]


async def test_after_a_drop_the_plugin_begins_anew(bot: Bot) -> None:
    await bot.write("todo", TODO)
    await bot.say("!add tea")
    (line,) = await bot.say("!state drop todo tasks")
    assert re.fullmatch(r"todo: no longer kept: tasks; todo g1 -> g2 \(.*\): \d+ ms", line)
    assert await bot.say("!add milk") == ["1 kept, 2 stored"]


async def test_a_dropped_store_is_empty_at_once(bot: Bot) -> None:
    await bot.write("todo", TODO)
    await bot.say("!add tea")
    assert await bot.say("!state drop todo notes") == ["todo: the store notes is empty now, 1 row gone"]
    assert await bot.say("!add milk") == ["2 kept, 1 stored"]


async def test_a_drop_lets_a_lower_version_in(bot: Bot) -> None:
    await bot.write("todo", TODO)
    await bot.say("!add tea")
    report = await bot.write("todo", TODO.replace("STATE_VERSION = 2", ""))
    assert "!state drop todo" in str(report) and not report.ok
    (line,) = await bot.say("!state drop todo")
    assert line.startswith("todo: no longer kept: tasks; todo g1 -> g2 ")
    assert await bot.say("!state todo") == ["todo: version 1; kept: tasks (dict of 0); stored: notes (1 row)"]
