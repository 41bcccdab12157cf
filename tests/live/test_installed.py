"""bot/live/installed.py: distributions as units, and as plugins of a running bot."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from site_folder import Files, Site
from sources import write
from stage import Stage, opened

from bot.errors import PluginError
from bot.live.compiled import compile_unit
from bot.live.discover import Discovery, Disk, Unit
from bot.live.handoff import Shelf, Staging
from bot.live.installed import Installed
from bot.live.loader import Build, Image
from bot.live.names import install, uninstall
from bot.storage import Backend

WEATHER = {
    "nq_weather/__init__.py": "",
    "nq_weather/plugin.py": '''
        """Weather for any place."""
        from bot import command
        from ._sky import sky

        @command("weather")
        async def weather(ctx):
            return sky()
        ''',
    "nq_weather/_sky.py": "def sky(): return 'sunny'",
}
ENTRY = {"weather": "nq_weather.plugin"}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    before = set(sys.modules)
    install([])
    yield Site(tmp_path / "site")
    uninstall()
    for name in set(sys.modules) - before:
        if name.split(".")[0].startswith("nq"):
            del sys.modules[name]


def found() -> Disk:
    """What a first look finds."""
    return Discovery([], elsewhere=Installed()).sweep()


def built(unit: Unit) -> Image:
    """A unit, loaded."""
    code = compile_unit(unit)
    if code.error is not None:
        raise code.error
    backend = Backend.memory()
    try:
        staging = Staging(Shelf(backend), {unit.name: code.state_name})
        return Build({unit.name: code}, {}, staging, lambda name: {}, 5.0).run()[unit.name]
    finally:
        backend.close()


async def answer(image: Image, command: str) -> Any:
    (handler,) = [each for each in image.handlers if getattr(each.declaration, "name", "") == command]
    return await handler.function(None)


# --- which unit a distribution is


def test_a_distribution_is_a_unit_by_the_name_of_its_entry_point(site: Site) -> None:
    site.install("nq-weather", "1.0", ENTRY, WEATHER)
    (unit,) = found().units.values()
    assert unit.name == "weather" and unit.is_plugin
    assert {source.module: source.shown for source in unit.sources.values()} == {
        "plugins.weather": "nq_weather-1.0.dist-info/entry_points.txt",
        "plugins.weather.nq_weather": "nq_weather/__init__.py",
        "plugins.weather.nq_weather.plugin": "nq_weather/plugin.py",
        "plugins.weather.nq_weather._sky": "nq_weather/_sky.py",
    }


def test_a_distribution_with_several_entry_points_is_one_unit_by_its_own_name(site: Site) -> None:
    files = {f"nq_games/{name}.py": WEATHER["nq_weather/plugin.py"].replace("weather", name) for name in ("dice", "go")}
    files = {name: text.replace("from ._sky import sky", "sky = str") for name, text in files.items()}
    site.install(
        "nq-games", "1.0", {"dice": "nq_games.dice", "go": "nq_games.go"}, {"nq_games/__init__.py": "", **files}
    )
    image = built(found().units["nq_games"])
    assert sorted(image.commands) == ["dice", "go"]


def test_a_change_of_any_of_its_files_is_another_digest(site: Site) -> None:
    site.install("nq-weather", "1.0", ENTRY, WEATHER)
    before = found().units["weather"].digest
    assert found().units["weather"].digest == before
    site.install("nq-weather", "1.1", ENTRY, {**WEATHER, "nq_weather/_sky.py": "def sky(): return 'grey'"})
    assert found().units["weather"].digest != before


def test_a_plugin_file_of_the_same_name_wins_and_that_is_told(site: Site, tmp_path: Path) -> None:
    site.install("nq-weather", "1.0", ENTRY, WEATHER)
    write(tmp_path / "plugins", weather="x = 1")
    disk = Discovery([tmp_path / "plugins"], elsewhere=Installed()).sweep()
    assert disk.units["weather"].sources["plugins.weather"].shown == "weather.py"
    (why,) = disk.odd.values()
    assert why.startswith("weather: weather.py is taken, the installed plugin of this name is not")


def test_of_two_distributions_with_one_name_the_second_is_told(site: Site) -> None:
    site.install("a-weather", "1.0", ENTRY, WEATHER)
    site.install("b-weather", "1.0", ENTRY, {})
    disk = found()
    assert set(disk.units) == {"weather"}
    assert list(disk.odd.values()) == ["b-weather: a-weather has a plugin weather as well, and is taken; uninstall one"]


@pytest.mark.parametrize("name", ["my-weather", "bot", "_weather", "1st"])
def test_a_name_that_no_plugin_can_have_is_told(site: Site, name: str) -> None:
    site.install("nq-weather", "1.0", {name: "nq_weather.plugin"}, WEATHER)
    disk = found()
    assert disk.units == {}
    assert list(disk.odd.values()) == [f"nq-weather: an installed plugin can't be called {name!r}"]


# --- when it is read


def test_only_what_is_asked_for_is_read_again(site: Site) -> None:
    site.install("nq-weather", "1.0", ENTRY, WEATHER)
    site.install("nq-news", "1.0", {"news": "nq_news"}, {"nq_news.py": "x = 1"})
    discovery = Discovery([], elsewhere=Installed())
    before = discovery.sweep().units
    site.install("nq-weather", "1.1", ENTRY, {**WEATHER, "nq_weather/_sky.py": ""})
    site.install("nq-news", "1.1", {"news": "nq_news"}, {"nq_news.py": "x = 2"})
    assert discovery.sweep().units == before
    assert discovery.elsewhere is not None
    discovery.elsewhere.refresh({"news"})
    after = discovery.sweep().units
    assert after["weather"] is before["weather"] and after["news"].digest != before["news"].digest


def test_what_is_new_is_known_by_name_but_not_read_until_asked_for(site: Site) -> None:
    installed = Installed()
    discovery = Discovery([], elsewhere=installed)
    discovery.sweep()
    site.install("nq-weather", "1.0", ENTRY, WEATHER)
    installed.refresh(())
    assert installed.names == {"weather"} and discovery.sweep().units == {}
    installed.refresh({"weather"})
    assert set(discovery.sweep().units) == {"weather"}


def test_what_was_uninstalled_is_gone_at_the_next_request(site: Site) -> None:
    site.install("nq-weather", "1.0", ENTRY, WEATHER)
    installed = Installed()
    discovery = Discovery([], elsewhere=installed)
    discovery.sweep()
    site.remove("nq-weather")
    assert set(discovery.sweep().units) == {"weather"}
    installed.refresh({"weather"})
    assert discovery.sweep().units == {} and installed.names == set()


# --- how its modules find each other


async def test_its_help_and_its_handlers_are_those_of_the_entry_points_module(site: Site) -> None:
    site.install("nq-weather", "1.0", ENTRY, WEATHER)
    image = built(found().units["weather"])
    assert (image.doc, image.commands, await answer(image, "weather")) == (
        "Weather for any place.",
        ("weather",),
        "sunny",
    )


@pytest.mark.parametrize(
    ("how", "call"),
    [
        ("from nq_weather._sky import sky", "sky()"),
        ("from nq_weather import _sky", "_sky.sky()"),
        ("import nq_weather._sky", "nq_weather._sky.sky()"),
        ("import nq_weather._sky as above", "above.sky()"),
        ("from ._sky import *", "sky()"),
        ("from . import _sky", "_sky.sky()"),
    ],
)
async def test_it_may_import_its_own_modules_in_every_way(site: Site, how: str, call: str) -> None:
    text = WEATHER["nq_weather/plugin.py"].replace("from ._sky import sky", how).replace("sky()", call)
    site.install("nq-weather", "1.0", ENTRY, {**WEATHER, "nq_weather/plugin.py": text})
    image = built(found().units["weather"])
    assert await answer(image, "weather") == "sunny"
    assert not [name for name in sys.modules if name.startswith("nq_weather")], "pip's own names were imported"


async def test_two_generations_stand_beside_each_other(site: Site) -> None:
    site.install("nq-weather", "1.0", ENTRY, WEATHER)
    old = built(found().units["weather"])
    late = WEATHER["nq_weather/plugin.py"].replace("from ._sky import sky", "").replace("sky()", "later()")
    late += "\n        def later():\n            from nq_weather._sky import sky\n            return sky()\n"
    grey = {"nq_weather/plugin.py": late, "nq_weather/_sky.py": "def sky(): return 'grey'"}
    site.install("nq-weather", "1.1", ENTRY, grey)
    new = built(found().units["weather"])
    assert (await answer(old, "weather"), await answer(new, "weather")) == ("sunny", "grey")


async def test_a_package_in_a_namespace_that_others_share_is_told_apart(site: Site) -> None:
    files = {name.replace("nq_weather", "nqs/weather"): text for name, text in WEATHER.items()}
    site.install("nqs-weather", "1.0", {"weather": "nqs.weather.plugin"}, files)
    site.install("nqs-news", "1.0", {}, {"nqs/news/__init__.py": "x = 1"})
    unit = found().units["weather"]
    assert "plugins.weather.nqs.weather.plugin" in unit.sources and unit.roots == {"nqs.weather"}
    assert await answer(built(unit), "weather") == "sunny"


async def test_all_top_level_modules_of_a_distribution_belong_to_it(site: Site) -> None:
    text = WEATHER["nq_weather/plugin.py"].replace("from ._sky", "from nq_sky.far")
    files = {"nq_weather.py": text, "nq_sky/far.py": WEATHER["nq_weather/_sky.py"], "nq_sky/__init__.py": ""}
    site.install("nq-weather", "1.0", {"weather": "nq_weather"}, files)
    unit = found().units["weather"]
    assert unit.roots == {"nq_weather", "nq_sky"}
    assert await answer(built(unit), "weather") == "sunny"


async def test_a_folder_without_an_init_is_a_package_all_the_same(site: Site) -> None:
    text = WEATHER["nq_weather/plugin.py"].replace("._sky", ".far._sky")
    files = {"nq_weather/__init__.py": "", "nq_weather/plugin.py": text}
    site.install("nq-weather", "1.0", ENTRY, {**files, "nq_weather/far/_sky.py": WEATHER["nq_weather/_sky.py"]})
    assert await answer(built(found().units["weather"]), "weather") == "sunny"


async def test_an_editable_installation_is_read_where_its_files_are(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "project"))
    site.install("nq-weather", "1.0", ENTRY, WEATHER, editable=tmp_path / "project")
    unit = found().units["weather"]
    assert unit.sources["plugins.weather.nq_weather._sky"].path == str(tmp_path / "project/nq_weather/_sky.py")
    assert await answer(built(unit), "weather") == "sunny"


def test_a_module_that_can_not_be_found_is_a_fault_with_a_way_out(site: Site) -> None:
    site.install("nq-weather", "1.0", ENTRY, {})
    error = compile_unit(found().units["weather"]).error
    assert str(error) == (
        "nq_weather-1.0.dist-info/entry_points.txt: the module nq_weather can't be found; "
        "if it was installed just now, restart first"
    )


def test_a_fault_is_told_with_the_file_as_it_lies_in_site_packages(site: Site) -> None:
    site.install("nq-weather", "1.0", ENTRY, {**WEATHER, "nq_weather/_sky.py": "x = 1\n1 / 0\n"})
    with pytest.raises(PluginError, match=r"^nq_weather/_sky\.py:2: ZeroDivisionError"):
        built(found().units["weather"])


async def test_what_its_module_says_of_its_state_is_the_plugins(site: Site) -> None:
    """Read before anything is executed, as of a plugin file; `__all__` hides nothing of it."""
    text = "__all__ = []\nSTATE_NAME = 'sky'\nSTATE_VERSION = 3\ndef migrate(old, state): return state\n"
    site.install("nq-weather", "1.0", ENTRY, {**WEATHER, "nq_weather/plugin.py": text})
    unit = found().units["weather"]
    compiled = compile_unit(unit)
    assert (compiled.state_name, compiled.state_version) == ("sky", 3)
    module = built(unit).modules["plugins.weather"]
    assert module.migrate(1, "x") == "x" and module.STATE_VERSION == 3


def test_a_state_version_that_is_no_number_is_told(site: Site) -> None:
    site.install("nq-weather", "1.0", ENTRY, {**WEATHER, "nq_weather/plugin.py": "STATE_VERSION = 1 + 1\n"})
    assert "STATE_VERSION must be a whole number" in str(compile_unit(found().units["weather"]).error)


# --- compiled modules


@pytest.fixture
def binary() -> tuple[str, bytes]:
    """The name and content of some compiled module."""
    for name in ("_heapq", "_bisect", "_json", "_struct", "_random"):
        path = getattr(importlib.import_module(name), "__file__", None)
        if path:
            return Path(path).name, Path(path).read_bytes()
    pytest.skip("this Python has all its modules built in")


async def test_a_compiled_module_is_imported_once_and_a_new_one_needs_a_restart(
    site: Site, binary: tuple[str, bytes]
) -> None:
    file, content = binary
    name = file.partition(".")[0]
    text = WEATHER["nq_weather/plugin.py"].replace("import sky", f"import sky\n        from . import {name}")
    files: Files = {**WEATHER, "nq_weather/plugin.py": text.replace("sky()", f"sky() + {name}.__name__")}
    site.install("nq-weather", "1.0", ENTRY, {**files, f"nq_weather/{file}": content})
    assert await answer(built(found().units["weather"]), "weather") == f"sunnynq_weather.{name}"
    files |= {"nq_weather/_sky.py": "def sky(): return 'grey'"}
    site.install("nq-weather", "1.1", ENTRY, {**files, f"nq_weather/{file}": content})
    assert await answer(built(found().units["weather"]), "weather") == f"greynq_weather.{name}"
    site.install("nq-weather", "1.2", ENTRY, {**files, f"nq_weather/{file}": content + b"\0"})
    with pytest.raises(PluginError, match=f"the compiled module nq_weather.{name} has changed, .*; restart first"):
        built(found().units["weather"])


# --- in a running bot


async def test_an_upgrade_is_taken_by_command_and_not_before(stage: Stage) -> None:
    site = Site(stage.folder / "site")
    site.install("nq-weather", "1.0", ENTRY, WEATHER)
    answered = await stage.order("!load weather")
    assert re.fullmatch(r"weather loaded g1 \(\w{7}\)", answered)
    await stage.report(re.escape(answered))
    assert await stage.ask("!weather") == ["sunny"]
    site.install("nq-weather", "1.1", ENTRY, {**WEATHER, "nq_weather/_sky.py": "def sky(): return 'grey'"})
    await stage.nothing_happens()
    assert await stage.ask("!weather") == ["sunny"]
    await stage.report(re.escape(await stage.order("!reload weather")))
    assert await stage.ask("!weather") == ["grey"]
    site.install("nq-weather", "1.2", ENTRY, {**WEATHER, "nq_weather/_sky.py": "def sky(:"})
    await stage.refused(re.escape(await stage.order("!reload weather")))
    assert await stage.ask("!weather") == ["grey"]
    site.remove("nq-weather")
    await stage.report(re.escape(await stage.order("!reload weather")))
    assert await stage.ask("!weather") == []


async def test_it_is_found_at_the_start_and_can_be_disabled(tmp_path: Path) -> None:
    Site(tmp_path / "site").install("nq-weather", "1.0", ENTRY, WEATHER)
    async with opened(tmp_path) as stage:
        assert stage.generations["weather"] == 1 and await stage.ask("!weather") == ["sunny"]
        assert await stage.order("!disable weather") == "weather disabled everywhere; weather unloaded"
        await stage.report("weather unloaded")
        assert await stage.ask("!weather") == []
        await stage.verify()
