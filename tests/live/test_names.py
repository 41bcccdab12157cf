"""bot/live/names.py: the live modules' names in this process."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from sources import unit

from bot.live.loader import Image
from bot.live.names import install, publish, uninstall


@pytest.fixture(autouse=True)
def installed(tmp_path: Path) -> Iterator[Path]:
    install([str(tmp_path)])
    yield tmp_path
    uninstall()


def image(name: str, *parts: str) -> Image:
    made = unit(name, "", **dict.fromkeys(parts, ""))
    return Image(made, {module: ModuleType(module) for module in made.sources}, frozenset(), name)


def test_a_live_module_is_found_by_its_name() -> None:
    live = {"weather": image("weather")}
    publish(live, (), live)
    found: Any = importlib.import_module("plugins.weather")
    assert found is live["weather"].modules["plugins.weather"]
    assert sys.modules["plugins"].weather is found


def test_the_parts_of_a_package_are_found_too() -> None:
    live = {"pkg": image("pkg", "part")}
    publish(live, (), live)
    assert importlib.import_module("plugins.pkg.part") is live["pkg"].modules["plugins.pkg.part"]


def test_a_new_version_takes_the_place_of_the_old() -> None:
    old, new = {"weather": image("weather")}, {"weather": image("weather")}
    publish(old, (), old)
    publish(new, (), new)
    assert importlib.import_module("plugins.weather") is new["weather"].modules["plugins.weather"]


def test_a_part_that_the_new_version_lacks_is_gone() -> None:
    old, new = {"pkg": image("pkg", "part")}, {"pkg": image("pkg")}
    publish(old, (), old)
    publish(new, (), new)
    assert "plugins.pkg.part" not in sys.modules


def test_what_has_gone_is_not_found() -> None:
    live = {"weather": image("weather"), "other": image("other")}
    publish(live, (), live)
    publish({}, ["weather"], {"other": live["other"]})
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'plugins\.weather'"):
        importlib.import_module("plugins.weather")
    assert not hasattr(sys.modules["plugins"], "weather")
    assert "plugins.other" in sys.modules


def test_a_plugin_whose_name_begins_another_is_left_alone() -> None:
    live = {"a": image("a"), "ab": image("ab")}
    publish(live, (), live)
    publish({}, ["a"], {"ab": live["ab"]})
    assert "plugins.ab" in sys.modules


def test_python_never_reads_a_plugin_file_by_itself(installed: Path) -> None:
    (installed / "weather.py").write_text("x = 1")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("plugins.weather")
    assert not (installed / "__pycache__").exists()


def test_other_packages_are_found_as_ever() -> None:
    assert importlib.util.find_spec("json") is not None


def test_afterwards_nothing_is_left(installed: Path) -> None:
    live = {"weather": image("weather")}
    publish(live, (), live)
    before = list(sys.meta_path)
    uninstall()
    assert not [name for name in sys.modules if name == "plugins" or name.startswith("plugins.")]
    assert len(sys.meta_path) == len(before) - 1


def test_installing_twice_adds_one_finder(installed: Path) -> None:
    before = len(sys.meta_path)
    install([str(installed)])
    assert len(sys.meta_path) == before
