"""bot/live/drift.py: packages on disk that are not what runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_reload import Bench, says

from bot.live.drift import Drift, advised, packages
from bot.live.names import install
from bot.live.trial import Trial


@pytest.fixture
def lib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package that can be imported."""
    folder = tmp_path / "site" / "somelib"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("from somelib.part import value\n")
    (folder / "part.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(folder.parent)
    yield folder
    for name in ("somelib", "somelib.part"):
        sys.modules.pop(name, None)


def test_the_packages_of_names_are_those_of_others() -> None:
    assert packages(["json", "xml.sax", "aiohttp.web", "aiohttp", "bot.api", "numpy.linalg"]) == ["aiohttp", "numpy"]


def test_what_is_as_it_was_has_not_changed(lib: Path) -> None:
    drift = Drift()
    importlib.import_module("somelib")
    drift.note(["somelib"])
    assert drift.changed(["somelib", "json"]) == ""


@pytest.mark.parametrize("file", ["__init__.py", "part.py"])
def test_any_file_of_a_package_counts(lib: Path, file: str) -> None:
    drift = Drift()
    importlib.import_module("somelib")
    drift.note(["somelib"])
    (lib / file).write_text("value = 22\n")
    assert drift.changed(["json", "somelib.part"]) == "somelib"


def test_a_file_that_is_gone_counts(lib: Path) -> None:
    drift = Drift()
    importlib.import_module("somelib")
    drift.note(["somelib"])
    (lib / "part.py").unlink()
    assert drift.changed(["somelib"]) == "somelib"


def test_the_first_sight_of_a_file_stays(lib: Path) -> None:
    """Noting it again does not make what is on disk by then what runs."""
    drift = Drift()
    importlib.import_module("somelib")
    drift.note(["somelib"])
    (lib / "part.py").write_text("value = 22\n")
    drift.note(["somelib"])
    assert drift.changed(["somelib"]) == "somelib"


def test_what_was_never_loaded_has_not_changed(lib: Path) -> None:
    assert Drift().changed(["somelib"]) == ""


def test_only_what_may_lack_a_name_is_laid_on_the_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    drift = Drift()
    assert not drift.explains("ImportError: cannot import name 'new' from 'bot'")
    path, (time, size) = next(iter(drift._files["bot"].items()))
    drift._files["bot"][path] = (time + 1, size)
    assert drift.explains("ImportError: cannot import name 'new' from 'bot'")
    assert not drift.explains("ZeroDivisionError: division by zero")


async def test_a_reload_over_another_version_of_a_package_says_restart_first(lib: Path, tmp_path: Path) -> None:
    install([str(tmp_path / "plugins")])
    bench = Bench(tmp_path / "plugins", ground=Trial())
    try:
        assert await bench.save(a=says("1", more="import somelib")) == "a loaded g1"
        stat = (lib / "part.py").stat()
        (lib / "part.py").write_text("value = 2\n")
        os.utime(lib / "part.py", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
        why = "restart first (by hand: end the bot and run it again): somelib on disk is not what runs"
        told = f"a stays g1: a.py: {why}; the old version goes on answering"
        assert await bench.save(a=says("2", more="import somelib")) == told
        assert bench.answer("say") == "1"
        assert await bench.save(a=says("3")) == "a g1 -> g2: ~say"
    finally:
        await bench.close()


async def test_a_plugin_for_another_version_of_the_bot_is_told_so(tmp_path: Path) -> None:
    install([str(tmp_path / "plugins")])
    bench = Bench(tmp_path / "plugins", ground=Trial())
    try:
        files = bench.reloader._planner.drift._files["bot"]
        path, (time, size) = next(iter(files.items()))
        files[path] = (time - 1, size)
        told = await bench.save(a="from bot import nothing_of_that_name")
        assert told.startswith("a not loaded: a.py:1: ") and told.endswith(
            "; restart first (by hand: end the bot and run it again): bot on disk is not what runs"
        )
    finally:
        await bench.close()


def test_what_is_told_names_the_command_where_there_is_one() -> None:
    assert advised("restart first: x", "!restart") == "restart first (!restart): x"
    assert advised("nothing of that kind", "!restart") == "nothing of that kind"


async def test_a_reload_of_everything_tells_of_another_bot_on_disk(tmp_path: Path) -> None:
    install([str(tmp_path / "plugins")])
    bench = Bench(tmp_path / "plugins")
    try:
        assert await bench.save(a=says("1")) == "a loaded g1"
        files = bench.reloader._planner.drift._files["bot"]
        path, (time, size) = next(iter(files.items()))
        files[path] = (time - 1, size)
        told = str(await bench.reloader.settle(everything=True))
        assert "the bot itself is another one on disk: restart first (by hand: " in told
    finally:
        await bench.close()
