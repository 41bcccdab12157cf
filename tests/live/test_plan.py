"""bot/live/plan.py: what one sweep asks for, with real folders and a clock that stands."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from sources import unit, write

from bot.live.discover import Discovery, Unit
from bot.live.loader import Image
from bot.live.plan import Patience, Pin, Plan, Planner, needed
from bot.live.window import OPEN_SECONDS, STEADY_SECONDS

T = TypeVar("T")


class Bench:
    """A planner over one folder; `take` makes live what it planned."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 100.0
        self.later: list[float] = []
        self.live: dict[str, Image] = {}
        self.planner = Planner(
            Discovery([folder]), self._run, lambda: Patience(0.15, 0.25), self.later.append, lambda: self.now
        )

    async def _run(self, function: Callable[[], T], deadline_seconds: float) -> T:
        return function()

    async def plan(self, *force: str, off: str = "", everything: bool = False, first: bool = False) -> Plan:
        return await self.planner.plan(self.live, off.split(), set(force), everything=everything, first=first)

    async def groups(self, *force: str, off: str = "", everything: bool = False) -> list[str]:
        """Each group as words, those that go with a minus."""
        plan = await self.plan(*force, off=off, everything=everything)
        return [" ".join(f"-{name}" if name in group.gone else name for name in group.units) for group in plan.groups]

    async def take(self) -> None:
        """Make everything on disk live as it is."""
        plan = await self.plan(first=True)
        for group in plan.groups:
            for name in group.units:
                self.live.pop(name, None)
                if name not in group.gone:
                    unit = plan.units[name]
                    self.live[name] = Image(unit, {}, plan.edges.get(name, frozenset()), name)
        self.later.clear()

    def remove(self, name: str) -> None:
        (self.folder / f"{name}.py").unlink()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
async def three(bench: Bench) -> Bench:
    """a and b import _common, c stands alone."""
    write(bench.folder, _common="x = 1", a="from . import _common", b="import plugins._common", c="y = 1")
    await bench.take()
    assert set(bench.live) == {"_common", "a", "b", "c"}
    return bench


# --- what is built


async def test_nothing_has_changed(three: Bench) -> None:
    assert await three.groups() == []


async def test_a_new_file(three: Bench) -> None:
    write(three.folder, d="z = 1")
    assert await three.groups() == ["d"]


async def test_a_changed_file(three: Bench) -> None:
    write(three.folder, c="y = 2")
    assert await three.groups() == ["c"]


async def test_a_file_that_changed_back(three: Bench) -> None:
    write(three.folder, c="y = 2")
    write(three.folder, c="y = 1")
    assert await three.groups() == []


async def test_a_shared_module_takes_all_that_import_it_along(three: Bench) -> None:
    write(three.folder, _common="x = 2")
    assert await three.groups() == ["_common a b"]


async def test_of_several_importers_only_the_changed_one_is_built(three: Bench) -> None:
    write(three.folder, a="from . import _common  # changed")
    assert await three.groups() == ["a"]


async def test_a_shared_module_alone_is_nothing(bench: Bench) -> None:
    write(bench.folder, _lonely="x = 1")
    assert await bench.groups() == []


async def test_a_shared_module_is_built_with_the_first_that_imports_it(three: Bench) -> None:
    write(three.folder, _new="x = 1", c="from . import _new")
    assert await three.groups() == ["_new c"]


async def test_shared_modules_that_import_each_other_come_along(bench: Bench) -> None:
    write(bench.folder, _x="from . import _y", _y="z = 1", a="from . import _x")
    assert await bench.groups() == ["_y _x a"]


async def test_a_broken_file_is_planned_so_that_it_can_be_told_of(three: Bench) -> None:
    write(three.folder, c="y =")
    assert await three.groups() == ["c"]


async def test_a_broken_file_imports_what_it_did_when_it_could(three: Bench) -> None:
    write(three.folder, a="from . import _common\nx =", _common="x = 2")
    assert await three.groups() == ["_common a b"]


async def test_changes_that_nothing_connects_are_groups_of_their_own(three: Bench) -> None:
    write(three.folder, a="from . import _common  # 2", c="y = 2")
    assert await three.groups() == ["a", "c"]


# --- asked for


async def test_a_plugin_that_is_asked_for_is_built_unchanged(three: Bench) -> None:
    assert await three.groups("c") == ["c"]


async def test_everything_is_all_plugins_and_what_they_import(three: Bench) -> None:
    assert sorted(await three.groups(everything=True)) == ["a", "b", "c"]


async def test_a_name_that_does_not_exist_is_nothing(three: Bench) -> None:
    assert await three.groups("nowhere") == []


# --- what goes


async def test_a_missing_file_waits_for_the_grace(three: Bench) -> None:
    three.remove("c")
    assert await three.groups() == []
    assert three.later == [pytest.approx(0.15)]
    three.now += 0.1
    assert await three.groups() == []
    assert three.later[1:] == [pytest.approx(0.05)]
    three.now += 0.06
    assert await three.groups() == ["-c"]


async def test_a_file_that_comes_back_within_the_grace_is_no_change(three: Bench) -> None:
    three.remove("c")
    await three.groups()
    write(three.folder, c="y = 1")
    assert await three.groups() == []
    three.now += 10
    three.remove("c")
    assert await three.groups() == []  # its grace begins anew


async def test_a_missing_file_that_is_asked_for_goes_at_once(three: Bench) -> None:
    three.remove("c")
    assert await three.groups("c") == ["-c"]


async def test_an_emptied_file_waits_for_the_grace(three: Bench) -> None:
    write(three.folder, c="")
    assert await three.groups() == []
    three.now += 1
    assert await three.groups() == ["c"]


async def test_a_missing_shared_module_takes_its_importers_along(three: Bench) -> None:
    three.remove("_common")
    await three.groups()
    three.now += 1
    (group,) = await three.groups()
    assert sorted(group.split()) == ["-_common", "a", "b"]


async def test_a_disabled_plugin_goes_without_a_grace(three: Bench) -> None:
    assert await three.groups(off="c") == ["-c"]


async def test_a_disabled_plugin_is_not_built(bench: Bench) -> None:
    write(bench.folder, a="x = 1")
    assert await bench.groups(off="a") == []


async def test_a_stopped_plugin_goes_and_stays_until_its_content_changes(three: Bench) -> None:
    three.planner.stopped["c"] = three.live["c"].unit.digest
    assert await three.groups() == ["-c"]
    del three.live["c"]
    assert await three.groups() == []
    write(three.folder, c="y = 2")
    assert await three.groups() == ["c"] and three.planner.stopped == {}


async def test_asking_for_everything_leaves_stopped_ones_out(three: Bench) -> None:
    three.planner.stopped["c"] = three.live.pop("c").unit.digest
    assert "c" not in str(await three.groups(everything=True))


# --- what waits before it comes


async def test_a_new_package_is_taken_after_a_quarter_of_a_second_of_quiet(bench: Bench) -> None:
    write(bench.folder, pkg____init__="x = 1")
    assert await bench.groups() == []
    bench.now += 0.2
    write(bench.folder, pkg__part="y = 1")
    assert await bench.groups() == []
    bench.now += 0.2
    assert await bench.groups() == []
    bench.now += 0.06
    assert await bench.groups() == ["pkg"]


async def test_at_the_start_nothing_waits(bench: Bench) -> None:
    write(bench.folder, pkg____init__="x = 1", blank="")
    plan = await bench.plan(first=True)
    assert [group.units for group in plan.groups] == [("blank",), ("pkg",)]


async def test_a_new_package_that_is_asked_for_does_not_wait(bench: Bench) -> None:
    write(bench.folder, pkg____init__="x = 1")
    assert await bench.groups("pkg") == ["pkg"]


async def test_a_new_empty_file_is_about_to_be_written(bench: Bench) -> None:
    write(bench.folder, a="")
    assert await bench.groups() == []
    write(bench.folder, a="x = 1")
    assert await bench.groups() == ["a"]


# --- what is told


@pytest.mark.skipif(sys.platform != "linux", reason="fcntl(2) has leases on Linux alone")
@pytest.mark.parametrize("name", ["c", "new"])
async def test_a_file_that_its_writer_holds_open_is_not_taken_and_looked_at_again_soon(three: Bench, name: str) -> None:
    with (three.folder / f"{name}.py").open("w", buffering=1) as file:
        file.write("y = 2\n")
        assert await three.groups() == [] and three.later == [STEADY_SECONDS]
        three.now += OPEN_SECONDS - 0.01
        file.write("z = 2\n")
        assert await three.groups() == []
        three.now += OPEN_SECONDS - 0.01
        assert await three.groups() == []  # it was written since
    assert await three.groups() == [name]


@pytest.mark.skipif(sys.platform != "linux", reason="fcntl(2) has leases on Linux alone")
async def test_a_writer_that_rests_is_not_waited_for_for_ever(three: Bench) -> None:
    with (three.folder / "c.py").open("w", buffering=1) as file:
        file.write("y = 2\n")
        assert await three.groups() == []
        three.now += OPEN_SECONDS
        assert await three.groups() == ["c"]


async def test_a_file_that_is_held_open_is_taken_when_it_is_asked_for(three: Bench) -> None:
    with (three.folder / "c.py").open("w", buffering=1) as file:
        file.write("y = 2\n")
        assert await three.groups("c") == ["c"]


async def test_what_is_held_open_is_looked_at_whatever_else_is_hinted_at(three: Bench) -> None:
    write(three.folder, c="y = 2")
    with (three.folder / "c.py").open("a"):
        assert await three.groups() == []
    plan = await three.planner.plan(three.live, (), set(), everything=False, first=False, hint={"a"})
    assert [group.units for group in plan.groups] == [("c",)]


async def test_a_name_that_is_none_is_told_once(bench: Bench) -> None:
    (bench.folder / "my-plugin.py").write_text("")
    assert list((await bench.plan()).odd) == ["my-plugin.py"]
    assert list((await bench.plan()).odd) == []


async def test_known_are_the_plugins_on_disk(three: Bench) -> None:
    await three.plan()
    assert three.planner.known == {"a", "b", "c"}


async def test_what_differs_from_what_is_live_is_touched(three: Bench) -> None:
    write(three.folder, _common="x = 2")
    assert (await three.plan()).touched == {"_common"}


async def test_compiled_code_is_of_the_content_asked_for(three: Bench) -> None:
    write(three.folder, c="y = 2")
    plan = await three.plan()
    assert three.planner.compiled(plan.units["c"]) is not None
    assert three.planner.compiled(Unit("c", {}, "other")) is None


def test_needed_is_all_that_is_imported_over_any_number_of_steps() -> None:
    edges = {"a": ["_x"], "_x": ["_y"], "_y": ["_x"], "b": ["_z"]}
    assert needed(["a"], edges) == {"_x", "_y"}


# --- what is pinned


def pin(bench: Bench, name: str, text: str, **others: str) -> Pin:
    """Pin a version of a plugin to what its file holds now."""
    disk = Discovery([bench.folder]).sweep().units
    return Pin(unit(name, text), disk[name].digest if name in disk else "", {o: disk[o].digest for o in others})


async def test_a_pinned_version_stands_in_for_its_file_until_that_changes(bench: Bench) -> None:
    write(bench.folder, a="x = 2")
    bench.planner.pinned["a"] = pin(bench, "a", "x = 1")
    assert (await bench.plan()).units["a"] is bench.planner.pinned["a"].unit
    write(bench.folder, a="x = 3")
    assert b"x = 3" in (await bench.plan()).units["a"].sources["plugins.a"].content


async def test_a_pin_stands_in_for_a_file_that_is_gone(bench: Bench) -> None:
    bench.planner.pinned["_common"] = pin(bench, "_common", "V = 1")
    write(bench.folder, a="from ._common import V")
    assert (await bench.groups()) == ["_common a"]


async def test_a_pin_ends_when_a_file_that_is_broken_with_it_changes(bench: Bench) -> None:
    write(bench.folder, a="from ._common import V", _common="V = = 1")
    held = bench.planner.pinned["a"] = pin(bench, "a", "x = 1", _common="")
    for passing in ("V = = 1", ""):  # empty is a save in its middle
        write(bench.folder, _common=passing)
        assert (await bench.plan(first=True)).units["a"] is held.unit
    write(bench.folder, _common="V = 1")
    assert (await bench.plan(first=True)).units["a"] is not held.unit


async def test_what_is_off_is_off_pinned_or_not(bench: Bench) -> None:
    write(bench.folder, a="x = 2")
    bench.planner.pinned["a"] = pin(bench, "a", "x = 1")
    assert "a" not in (await bench.plan(off="a")).units
    bench.planner.stopped["a"] = bench.planner.pinned["a"].disk_digest
    assert "a" not in (await bench.plan()).units
