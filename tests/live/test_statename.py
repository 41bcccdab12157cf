"""bot/live/statename.py: what a source says of its state."""

from __future__ import annotations

import ast

import pytest
from sources import unit

from bot.errors import PluginError
from bot.live.statename import State, state_of


def told(text: str) -> State:
    made = unit("todo", text)
    source = made.sources["plugins.todo"]
    return state_of(ast.parse(source.content), made, source)


def test_where_nothing_is_said_it_is_the_plugins_name_and_the_first_version() -> None:
    assert told("x = 1") == State("todo", 1)


@pytest.mark.parametrize(
    "text", ["STATE_NAME = 'old'\nSTATE_VERSION = 4", "STATE_NAME: str = 'old'\nSTATE_VERSION: int = 4"]
)
def test_name_and_version_are_read(text: str) -> None:
    assert told(text) == State("old", 4)


def test_what_stands_in_a_function_says_nothing() -> None:
    assert told("def f():\n STATE_NAME = 'x'\n STATE_VERSION = 0") == State("todo", 1)


@pytest.mark.parametrize("written", ["= '2'", "= 0", "= -1", "= True", "= 2.0", "= 1 + 1", "= 1\nSTATE_VERSION += 1"])
def test_a_version_that_is_no_whole_number_as_such_is_refused(written: str) -> None:
    with pytest.raises(PluginError, match=r"^todo\.py:\d: STATE_VERSION must be a whole number from 1"):
        told(f"x = 1\nSTATE_VERSION {written}")
