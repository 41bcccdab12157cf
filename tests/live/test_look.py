"""bot/live/look.py: what folders look like from outside."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.live.look import identity, look


def plugins(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    (folder / "pkg").mkdir(parents=True)
    (folder / "weather.py").write_text("x = 1")
    (folder / "pkg" / "__init__.py").write_text("")
    return folder


def restore(path: Path) -> None:
    """An edit that restores the size and the times."""
    stat = path.stat()
    path.write_text("x = 2")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize(
    "edit",
    [
        lambda folder: (folder / "weather.py").write_text("x = 22"),
        lambda folder: restore(folder / "weather.py"),
        lambda folder: (folder / "weather.py").unlink(),
        lambda folder: (folder / "dice.py").write_text(""),
        lambda folder: (folder / "pkg" / "__init__.py").write_text("x"),
        lambda folder: (folder / "weather.py").chmod(0o600),
        lambda folder: (folder.rename(folder.parent / "old"), (folder.parent / "old" / "..").resolve()),
    ],
    ids=["longer", "restored", "deleted", "new", "in a package", "chmod", "moved away"],
)
def test_every_edit_shows(tmp_path: Path, edit: Callable[[Path], object]) -> None:
    folder = plugins(tmp_path)
    (folder / "weather.py").chmod(0o644)
    before = look([folder])
    edit(folder)
    assert look([folder]) != before


@pytest.mark.parametrize("name", [".weather.py.swp", "weather.py~", "notes.txt", "__pycache__/a.py"])
def test_by_products_do_not_show(tmp_path: Path, name: str) -> None:
    folder = plugins(tmp_path)
    before = look([folder])
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("")
    assert look([folder]) == before


def test_the_target_of_a_link_shows_and_a_link_that_leads_nowhere_is_nothing(tmp_path: Path) -> None:
    folder = plugins(tmp_path)
    target = tmp_path / "target.py"
    (folder / "link.py").symlink_to(target)
    before = look([folder])
    assert str(folder / "link.py") not in before
    target.write_text("x")
    assert look([folder]) != before


def test_a_pipe_is_not_looked_at(tmp_path: Path) -> None:
    folder = plugins(tmp_path)
    os.mkfifo(folder / "pipe.py")
    assert str(folder / "pipe.py") not in look([folder])


def test_folders_that_lead_back_to_themselves_end(tmp_path: Path) -> None:
    folder = plugins(tmp_path)
    (folder / "pkg" / "again").symlink_to(folder)
    assert look([folder])


def test_what_is_missing_has_no_identity(tmp_path: Path) -> None:
    assert identity(tmp_path / "missing") is None


def test_a_link_that_leads_elsewhere_is_another_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    before = identity(link)
    link.unlink()
    link.symlink_to("two")
    assert before != identity(link) == identity(tmp_path / "two")
