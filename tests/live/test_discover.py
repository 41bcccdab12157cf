"""bot/live/discover.py: which files are plugins, and what is in them."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sources import swept, write

from bot.live import discover
from bot.live.discover import MAX_SOURCE_BYTES, Discovery, bundled, directories, is_noise

# --- what is a unit


def test_a_file_is_a_unit_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, weather="x = 1")
    (unit,) = swept(tmp_path).values()
    (source,) = unit.sources.values()
    assert (unit.name, source.module, source.shown, source.content) == (
        "weather",
        "plugins.weather",
        "weather.py",
        b"x = 1",
    )


def test_a_package_is_one_unit_of_several_sources(tmp_path: Path) -> None:
    write(tmp_path, pkg____init__="", pkg__part="", pkg__sub__deep="")
    unit = swept(tmp_path)["pkg"]
    assert {source.module: source.shown for source in unit.sources.values()} == {
        "plugins.pkg": "pkg/__init__.py",
        "plugins.pkg.part": "pkg/part.py",
        "plugins.pkg.sub.deep": "pkg/sub/deep.py",
    }


def test_a_folder_without_an_init_is_no_plugin(tmp_path: Path) -> None:
    write(tmp_path, pkg__part="")
    assert swept(tmp_path) == {}


def test_an_init_deeper_down_does_not_make_a_plugin(tmp_path: Path) -> None:
    write(tmp_path, pkg__sub____init__="")
    assert swept(tmp_path) == {}


def test_a_package_wins_over_a_file_of_its_name(tmp_path: Path) -> None:
    write(tmp_path, pkg="x = 'file'", pkg____init__="x = 'package'")
    assert swept(tmp_path)["pkg"].sources["plugins.pkg"].content == b"x = 'package'"


def test_what_begins_with_an_underscore_is_shared_and_no_plugin(tmp_path: Path) -> None:
    write(tmp_path, _common="", weather="")
    assert {name: unit.is_plugin for name, unit in swept(tmp_path).items()} == {"_common": False, "weather": True}


@pytest.mark.parametrize("name", ["größe", "天気", "a1", "Weather"])
def test_any_identifier_is_a_name(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("")
    assert list(swept(tmp_path)) == [name]


@pytest.mark.parametrize("name", ["my-plugin", "1st", "a b", "a.b"])
def test_a_name_that_cannot_be_imported_is_told_and_not_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / f"{name}.py").write_text("")
    disk = Discovery([tmp_path]).sweep()
    assert disk.units == {}
    assert disk.odd == {f"{name}.py": f"{name}.py: a plugin's name is letters, digits and _; rename the file"}


def test_the_name_of_what_is_built_in_is_told_and_not_taken(tmp_path: Path) -> None:
    (tmp_path / "bot.py").write_text("")
    disk = Discovery([tmp_path]).sweep()
    assert disk.units == {}
    assert disk.odd == {"bot.py": "bot.py: bot is the name of what is built in; rename the file"}


@pytest.mark.parametrize(
    "name",
    [
        ".weather.py.swp",
        "weather.py~",
        "#weather.py#",
        ".#weather.py",
        "4913~",
        "weather.py.tmp",
        "w.orig",
        "__pycache__",
    ],
)
def test_editors_by_products_are_noise(name: str) -> None:
    assert is_noise(name)


@pytest.mark.parametrize("name", ["weather.py", "_common.py", "pkg", "tmp.py", "bak.py"])
def test_plugin_files_are_not_noise(name: str) -> None:
    assert not is_noise(name)


def test_other_files_are_not_looked_at(tmp_path: Path) -> None:
    for name in ("notes.txt", "data.json", "weather.pyc", "README", ".hidden.py", "x.py.swp"):
        (tmp_path / name).write_text("x")
    disk = Discovery([tmp_path]).sweep()
    assert (disk.units, disk.odd) == ({}, {})


def test_data_within_a_package_is_not_part_of_it(tmp_path: Path) -> None:
    write(tmp_path, pkg____init__="")
    before = swept(tmp_path)["pkg"].digest
    (tmp_path / "pkg" / "towns.json").write_text("{}")
    assert swept(tmp_path)["pkg"].digest == before


def test_a_folder_that_is_missing_is_empty(tmp_path: Path) -> None:
    assert swept(tmp_path / "nowhere") == {}


def test_an_earlier_directory_wins(tmp_path: Path) -> None:
    write(tmp_path / "one", weather="x = 1")
    write(tmp_path / "two", weather="x = 2", other="")
    units = Discovery([tmp_path / "one", tmp_path / "two"]).sweep().units
    assert units["weather"].sources["plugins.weather"].content == b"x = 1"
    assert "other" in units


def test_a_package_in_a_later_directory_does_not_displace_a_file_in_an_earlier(tmp_path: Path) -> None:
    write(tmp_path / "one", weather="x = 1")
    write(tmp_path / "two", weather____init__="x = 2")
    units = Discovery([tmp_path / "one", tmp_path / "two"]).sweep().units
    assert units["weather"].sources["plugins.weather"].content == b"x = 1"


# --- what is a change


def test_the_same_content_has_the_same_digest(tmp_path: Path) -> None:
    write(tmp_path, weather="x = 1")
    before = swept(tmp_path)["weather"].digest
    (tmp_path / "weather.py").touch()
    assert swept(tmp_path)["weather"].digest == before


@pytest.mark.parametrize("text", ["x = 2", "x = 1\n", ""])
def test_other_content_has_another_digest(tmp_path: Path, text: str) -> None:
    write(tmp_path, weather="x = 1")
    before = swept(tmp_path)["weather"].digest
    write(tmp_path, weather=text)
    assert swept(tmp_path)["weather"].digest != before


def test_a_part_that_is_renamed_is_another_digest(tmp_path: Path) -> None:
    write(tmp_path, pkg____init__="", pkg__one="x")
    before = swept(tmp_path)["pkg"].digest
    (tmp_path / "pkg" / "one.py").rename(tmp_path / "pkg" / "two.py")
    assert swept(tmp_path)["pkg"].digest != before


def test_content_that_moves_from_part_to_part_is_another_digest(tmp_path: Path) -> None:
    write(tmp_path, pkg____init__="", pkg__a="x", pkg__b="yz")
    before = swept(tmp_path)["pkg"].digest
    write(tmp_path, pkg__a="xy", pkg__b="z")
    assert swept(tmp_path)["pkg"].digest != before


def test_a_second_sweep_sees_an_edit_of_equal_size_and_restored_time(tmp_path: Path) -> None:
    write(tmp_path, weather="x = 1")
    discovery, path = Discovery([tmp_path]), tmp_path / "weather.py"
    before, stat = discovery.sweep().units["weather"], path.stat()
    path.write_text("x = 2")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert discovery.sweep().units["weather"].digest != before.digest


def test_a_second_sweep_reads_only_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, one="1", two="2")
    discovery = Discovery([tmp_path], lambda: time.time_ns() + 10**9)
    discovery.sweep()
    read: list[str] = []
    real = Path.open

    def count(self: Path, *arguments: object) -> object:
        read.append(self.name)
        return real(self, *arguments)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", count)
    write_two = os.open(tmp_path / "two.py", os.O_WRONLY | os.O_TRUNC)
    os.write(write_two, b"changed")
    os.close(write_two)
    discovery.sweep()
    assert read == ["two.py"]


def test_what_was_written_within_the_clocks_tick_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second write of the same size would leave the same times."""
    write(tmp_path, one="1")
    discovery = Discovery([tmp_path], lambda: (tmp_path / "one.py").stat().st_ctime_ns)
    discovery.sweep()
    same = discover._stat(_entry(tmp_path))
    monkeypatch.setattr("bot.live.discover._stat", lambda file: same)
    (tmp_path / "one.py").write_text("2")
    assert discovery.sweep().units["one"].sources["plugins.one"].content == b"2"


def _entry(folder: Path) -> os.DirEntry[str]:
    with os.scandir(folder) as found:
        return next(found)


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    write(tmp_path, one="1")
    discovery = Discovery([tmp_path])
    discovery.sweep()
    (tmp_path / "one.py").unlink()
    assert discovery.sweep().units == {}
    assert discovery._known == {}


# --- blank and faulty


@pytest.mark.parametrize(("text", "blank"), [("", True), (" \n\t\n", True), ("x", False), ("# words", False)])
def test_a_file_without_content_is_blank(tmp_path: Path, text: str, blank: bool) -> None:
    write(tmp_path, weather=text)
    assert swept(tmp_path)["weather"].is_blank is blank


def test_a_package_whose_init_is_empty_is_not_blank(tmp_path: Path) -> None:
    write(tmp_path, pkg____init__="")
    assert not swept(tmp_path)["pkg"].is_blank


def test_a_file_that_is_too_large_is_a_fault(tmp_path: Path) -> None:
    write(tmp_path, weather="#" * (MAX_SOURCE_BYTES + 1))
    assert swept(tmp_path)["weather"].fault == "weather.py: larger than 1 MiB"


def test_a_file_that_the_disk_does_not_give_is_a_fault(tmp_path: Path) -> None:
    """Not by its mode: root may read everything. Address 0 of a process is what nobody can read."""
    (tmp_path / "weather.py").symlink_to("/proc/self/mem")
    assert swept(tmp_path)["weather"].fault == "weather.py: Input/output error"


def test_a_file_that_cannot_be_read_is_a_fault_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, weather="x")

    def refuse(self: Path, *arguments: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    assert swept(tmp_path)["weather"].fault == "weather.py: Permission denied"


def test_a_link_to_nothing_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "weather.py").symlink_to(tmp_path / "nowhere.py")
    assert swept(tmp_path) == {}


def test_a_link_to_a_file_elsewhere_is_followed(tmp_path: Path) -> None:
    write(tmp_path / "there", real="x = 1")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "weather.py").symlink_to(tmp_path / "there" / "real.py")
    assert swept(tmp_path / "here")["weather"].sources["plugins.weather"].content == b"x = 1"


def test_folders_that_lead_round_in_a_circle_are_left(tmp_path: Path) -> None:
    write(tmp_path, pkg____init__="")
    (tmp_path / "pkg" / "again").symlink_to(tmp_path / "pkg")
    assert "pkg" in swept(tmp_path)


def test_a_folder_that_is_linked_into_a_package_counts_if_it_stays_in_the_plugin_directory(tmp_path: Path) -> None:
    write(tmp_path / "here", pkg____init__="", shared__words="x = 1")
    write(tmp_path / "there", words="x = 2")
    (tmp_path / "here" / "pkg" / "inner").symlink_to(tmp_path / "here" / "shared")
    (tmp_path / "here" / "pkg" / "outer").symlink_to(tmp_path / "there")
    assert set(swept(tmp_path / "here")["pkg"].sources) == {"plugins.pkg", "plugins.pkg.inner.words"}


def test_a_package_that_links_to_the_whole_disk_is_read_at_once(tmp_path: Path) -> None:
    write(tmp_path, pkg____init__="")
    (tmp_path / "pkg" / "all").symlink_to("/")
    assert set(swept(tmp_path)["pkg"].sources) == {"plugins.pkg"}


# --- a look at a few


def test_a_look_at_one_unit_sees_its_change_and_no_other(tmp_path: Path) -> None:
    write(tmp_path, a="x = 1", b="x = 1")
    discovery = Discovery([tmp_path])
    discovery.sweep()
    write(tmp_path, a="x = 2", b="x = 2", c="x = 2")
    units = discovery.look(["a"]).units
    assert [units[name].sources[f"plugins.{name}"].content for name in units] == [b"x = 1", b"x = 2"]
    assert set(discovery.sweep().units) == {"a", "b", "c"}


def test_a_look_finds_what_is_new_what_is_gone_and_what_became_a_package(tmp_path: Path) -> None:
    write(tmp_path, a="x = 1", b="x = 1")
    discovery = Discovery([tmp_path])
    discovery.sweep()
    (tmp_path / "b.py").unlink()
    write(tmp_path, c="x = 1", a____init__="x = 3")
    units = discovery.look(["a", "b", "c"]).units
    assert set(units) == {"a", "c"} and units["a"].sources["plugins.a"].is_package


def test_a_look_keeps_to_the_order_of_the_directories(tmp_path: Path) -> None:
    write(tmp_path / "one", a="x = 1")
    write(tmp_path / "two", a="x = 2")
    discovery = Discovery([tmp_path / "one", tmp_path / "two"])
    discovery.sweep()
    (tmp_path / "one" / "a.py").unlink()
    assert discovery.look(["a"]).units["a"].sources["plugins.a"].content == b"x = 2"


def test_the_first_look_sees_everything(tmp_path: Path) -> None:
    write(tmp_path, a="x = 1", b="x = 1")
    assert set(Discovery([tmp_path]).look(["a"]).units) == {"a", "b"}


def test_a_folder_with_the_name_of_a_file_is_no_plugin(tmp_path: Path) -> None:
    (tmp_path / "weather.py").mkdir()
    assert swept(tmp_path) == {}


# --- where plugins lie


def test_bundled_is_where_the_shipped_plugins_lie() -> None:
    assert directories(["/mine", "bundled"]) == [Path("/mine"), bundled()]
    assert (bundled() / "dice.py").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="fcntl(2) has leases on Linux alone")
def test_what_somebody_writes_while_it_is_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, weather="x = 1", dice="")
    discovery = Discovery([tmp_path])
    with (tmp_path / "weather.py").open("a"):
        assert discovery.sweep().written == {"weather"}
        assert discovery.look(["dice"]).written == {"weather"}
    assert discovery.look(["weather"]).written == discovery.sweep().written == set()


def test_what_changes_after_it_was_listed_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, weather="x = 1")
    real = discover._read

    def slow(*arguments: Any) -> Any:
        unit = real(*arguments)
        write(tmp_path, weather="x = 1, and more")
        return unit

    monkeypatch.setattr(discover, "_read", slow)
    assert Discovery([tmp_path]).sweep().written == {"weather"}
