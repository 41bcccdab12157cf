"""bot/live/commons.py: the places of this process that plugin code may change."""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from types import ModuleType
from typing import Any

import pytest

from bot.live import commons
from bot.live.commons import MISSING, Entries, Members, Place, common, may_change


def test_a_place_tells_what_changed_since_the_last_look() -> None:
    module = ModuleType("m")
    vars(module).update(one=1, two=2)
    place = Place(module, "m")
    assert list(place.changes()) == []
    vars(module).update(one=3, more=4)
    del vars(module)["two"]
    assert list(place.changes()) == [("one", 1, 3), ("more", MISSING, 4), ("two", 2, MISSING)]
    assert list(place.changes()) == []


class Unequal:
    def __eq__(self, other: object) -> bool:
        raise ValueError

    __hash__ = None  # type: ignore[assignment]


def test_values_that_cannot_be_compared_are_compared_by_identity() -> None:
    module = ModuleType("m")
    vars(module)["array"] = old = Unequal()
    place = Place(module, "m")
    vars(module)["array"] = new = Unequal()
    ((name, before, after),) = place.changes()
    assert name == "array" and before is old and after is new


def test_members_of_a_list_are_told_by_value_where_they_have_one() -> None:
    holder: Any = ModuleType("m")
    thing = object()
    holder.all = ["a"]
    place = Members(holder, "all", "m.all", "")
    holder.all += ["b", thing]
    assert list(place.changes()) == [("b", MISSING, "b"), (id(thing), MISSING, thing)]
    assert not place.made_once("b") and place.made_once(id(thing))
    place.write(id(thing), MISSING)
    place.write("b", MISSING)
    assert holder.all == ["a"]


def test_entries_of_a_mapping_are_written_back() -> None:
    mapping = {"a": 1}
    place = Entries(mapping, "m")
    mapping["b"] = 2
    ((name, before, _),) = place.changes()
    place.write(name, before)
    assert mapping == {"a": 1}


@pytest.mark.parametrize(("value", "so"), [(sys, True), (threading.Thread, True), (int, False), (3, False)])
def test_only_modules_and_classes_made_in_python_can_be_patched(value: Any, so: bool) -> None:
    assert may_change(value) == so


# --- borrowed private names


async def test_the_borrowed_names_are_there() -> None:
    assert commons.getsignal is not signal.getsignal
    assert {"_trace_hook", "_profile_hook"} <= vars(threading).keys()
    assert isinstance(asyncio.get_running_loop()._signal_handlers, dict)  # type: ignore[attr-defined]


async def test_a_signal_that_the_loop_handles_is_a_change_of_it() -> None:
    loop = asyncio.get_running_loop()
    seen = common()
    loop.add_signal_handler(signal.SIGUSR2, lambda: None)
    changed = {place.label for place in seen if list(place.changes())}
    loop.remove_signal_handler(signal.SIGUSR2)
    assert changed == {"signal", "add_signal_handler"}
