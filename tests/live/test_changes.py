"""bot/live/changes.py: what the system tells of files, with real ones; the observer of other systems too."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import importlib
import os
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.live import changes
from bot.live.changes import BORROWED, Change, Inotify, Kind, Observed, borrow, open_source

PATIENCE = 10.0  # seconds until a test gives up
linux = pytest.mark.skipif(sys.platform != "linux", reason="inotify")


class Heard:
    """What a source told, and when something new did."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self._more = asyncio.Event()

    def __call__(self, changes: Sequence[Change]) -> None:
        self.changes += changes
        self._more.set()

    async def until(self, fits: Callable[[Change], bool]) -> Change:
        async with asyncio.timeout(PATIENCE):
            while not (found := [change for change in self.changes if fits(change)]):
                self._more.clear()
                await self._more.wait()
        return found[0]

    async def of(self, path: Path, kind: Kind = Kind.DONE) -> Change:
        return await self.until(lambda change: change.path == str(path) and change.kind is kind)


@asynccontextmanager
async def listening(*folders: Path, kind: str = "") -> AsyncIterator[tuple[Any, Heard]]:
    heard = Heard()
    source = Observed(folders, heard) if kind == "observed" else open_source(folders, heard)
    try:
        yield source, heard
    finally:
        source.close()


# --- what is borrowed


@linux
@pytest.mark.parametrize(("module", "name"), [(module, name) for module, names in BORROWED.items() for name in names])
def test_each_borrowed_name_is_still_there(module: str, name: str) -> None:
    assert callable(getattr(importlib.import_module(module), name))


async def test_without_a_borrowed_name_the_observer_does_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BORROWED, "watchdog.observers.inotify_c", ("inotify_init", "no_such_name"))
    assert borrow() == ()
    async with listening(tmp_path) as (source, heard):
        assert isinstance(source, Observed)
        (tmp_path / "weather.py").write_text("x = 1")
        await heard.until(lambda change: change.path.endswith("weather.py"))


@linux
async def test_on_linux_no_thread_is_needed(tmp_path: Path) -> None:
    before = threading.active_count()
    async with listening(tmp_path) as (source, _):
        assert isinstance(source, Inotify) and threading.active_count() == before


# --- what both tell


@pytest.mark.parametrize("kind", [pytest.param("inotify", marks=linux), "observed"])
@pytest.mark.parametrize("change", ["write", "replace", "delete", "move in", "move out", "in a package"])
async def test_every_way_to_change_a_file_is_told(tmp_path: Path, change: str, kind: str) -> None:
    folder, elsewhere = tmp_path / "plugins", tmp_path / "elsewhere.py"
    (folder / "pkg").mkdir(parents=True)
    path = folder / "weather.py"
    path.write_text("x = 1")
    elsewhere.write_text("x = 2")
    async with listening(folder, kind=kind) as (_, heard):
        match change:
            case "write":
                path.write_text("x = 2")
            case "replace":
                elsewhere.replace(path)
            case "delete":
                path.unlink()
            case "move in":
                elsewhere.rename(path := folder / "other.py")
            case "move out":
                path.rename(tmp_path / "gone.py")
            case "in a package":
                (path := folder / "pkg" / "part.py").write_text("x = 1")
        await heard.of(path)


@pytest.mark.parametrize("kind", [pytest.param("inotify", marks=linux), "observed"])
async def test_after_its_end_nothing_is_told(tmp_path: Path, kind: str) -> None:
    async with listening(tmp_path, kind=kind) as (source, heard):
        assert source.alive()
        source.close()
        source.close()
        assert not source.alive()
        (tmp_path / "weather.py").write_text("x = 1")
        await asyncio.sleep(0)
        assert heard.changes == []


async def test_an_observer_that_is_refused_leaves_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, made, real = threading.active_count(), list[Any](), changes.Observer

    def observer() -> Any:
        made.append(one := real())
        start = one.start

        def refusing() -> None:
            start()
            raise OSError("inotify watch limit reached")

        one.start = refusing
        return one

    monkeypatch.setattr(changes, "Observer", observer)
    with pytest.raises(OSError, match="limit"):
        Observed([tmp_path], Heard())
    made[0].join(PATIENCE)
    assert threading.active_count() == before


# --- inotify


@linux
async def test_a_file_that_is_made_is_being_written_until_it_is_closed(tmp_path: Path) -> None:
    """Its writer need not have it open yet when the event comes, and nobody else can tell that they are about to."""
    path = tmp_path / "weather.py"
    async with listening(tmp_path) as (_, heard):
        with path.open("w"):
            made = await heard.until(lambda change: change.path == str(path))
            assert made.kind is Kind.WRITING
        await heard.of(path)


@linux
async def test_a_file_that_is_linked_to_is_complete(tmp_path: Path) -> None:
    (tmp_path / "aside").write_text("x = 1")
    async with listening(tmp_path) as (_, heard):
        (tmp_path / "weather.py").hardlink_to(tmp_path / "aside")
        made = await heard.until(lambda change: change.path.endswith("weather.py"))
        assert made.kind is Kind.DONE


@linux
async def test_a_write_is_open_until_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "weather.py"
    async with listening(tmp_path) as (source, heard):
        assert source.tells_of_closing
        with path.open("w", buffering=1) as file:
            file.write("x = 1\n")
            await heard.of(path, Kind.WRITING)
            heard.changes.clear()
        await heard.of(path)


@linux
async def test_reading_and_attributes_are_not_told(tmp_path: Path) -> None:
    path = tmp_path / "weather.py"
    path.write_text("x = 1")
    async with listening(tmp_path) as (_, heard):
        path.read_text()
        os.listdir(tmp_path)  # noqa: PTH208  # as simple a reader as any
        path.chmod(0o600)
        os.utime(path)
        (tmp_path / "last.py").write_text("")
        await heard.of(tmp_path / "last.py")
        assert {change.path for change in heard.changes} == {str(tmp_path / "last.py")}


@linux
async def test_other_files_are_not_told(tmp_path: Path) -> None:
    async with listening(tmp_path) as (_, heard):
        (tmp_path / "notes.txt").write_text("x")
        (tmp_path / "4913").write_text("x")
        (tmp_path / "4913").unlink()
        (tmp_path / ".#weather.py").symlink_to("me@here.1:1")  # emacs' lock leads nowhere
        (tmp_path / "last.py").write_text("")
        await heard.of(tmp_path / "last.py")
        assert {change.path for change in heard.changes} == {
            str(tmp_path / name) for name in ("last.py", ".#weather.py")
        }


@linux
async def test_files_that_were_in_a_new_folder_before_its_watch_are_told(tmp_path: Path) -> None:
    """The loop does not run between the making of the folder and its last file."""
    folder = tmp_path / "plugins"
    folder.mkdir()
    async with listening(folder) as (_, heard):
        (folder / "pkg" / "deep").mkdir(parents=True)
        (folder / "pkg" / "__init__.py").write_text("")
        with (folder / "pkg" / "deep" / "part.py").open("w", buffering=1) as file:
            file.write("x = 1\n")
            await heard.of(folder / "pkg" / "__init__.py")
            await heard.of(folder / "pkg" / "deep" / "part.py", Kind.WRITING)
            heard.changes.clear()
        await heard.of(folder / "pkg" / "deep" / "part.py")


@linux
@pytest.mark.parametrize("how", ["renamed", "moved in", "moved out and back", "swapped"])
async def test_a_folder_that_moved_is_heard_of_by_its_new_path(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "plugins"
    (folder / "one" / "deep").mkdir(parents=True)
    (folder / "two" / "deep").mkdir(parents=True)
    (tmp_path / "new" / "deep").mkdir(parents=True)
    async with listening(folder) as (_, heard):
        match how:
            case "renamed":
                (folder / "one").rename(folder / "three")
            case "moved in":
                (tmp_path / "new").rename(folder / "three")
            case "moved out and back":
                (folder / "one").rename(tmp_path / "gone")
                (tmp_path / "gone").rename(folder / "three")
            case "swapped":
                (folder / "one").rename(tmp_path / "gone")
                (folder / "two").rename(folder / "one")
                (tmp_path / "gone").rename(folder / "three")
        await heard.until(lambda change: change.path == str(folder / "three"))
        heard.changes.clear()
        (folder / "three" / "deep" / "part.py").write_text("x")
        await heard.of(folder / "three" / "deep" / "part.py")
        if how == "swapped":
            (folder / "one" / "deep" / "part.py").write_text("x")
            await heard.of(folder / "one" / "deep" / "part.py")
        assert {Path(change.path).parts[-3] for change in heard.changes} <= {"three", "one"}


@linux
async def test_a_folder_that_moved_away_is_no_longer_heard_of(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    (folder / "pkg").mkdir(parents=True)
    async with listening(folder) as (_, heard):
        (folder / "pkg").rename(tmp_path / "gone")
        await heard.of(folder / "pkg")
        heard.changes.clear()
        (tmp_path / "gone" / "part.py").write_text("x")
        (folder / "last.py").write_text("x")
        await heard.of(folder / "last.py")
        assert {change.path for change in heard.changes} == {str(folder / "last.py")}


@linux
async def test_a_package_that_is_a_link_is_followed_and_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (tmp_path / "real").mkdir()
    async with listening(folder) as (_, heard):
        (folder / "pkg").symlink_to(tmp_path / "real")
        await heard.of(folder / "pkg", Kind.LOST)
        (tmp_path / "real" / "part.py").write_text("x")
        await heard.of(folder / "pkg" / "part.py")
        heard.changes.clear()
        (folder / "pkg").unlink()
        await heard.of(folder / "pkg", Kind.LOST)
        heard.changes.clear()
        (tmp_path / "real" / "part.py").write_text("y")
        (folder / "last.py").write_text("x")
        await heard.of(folder / "last.py")
        assert {change.path for change in heard.changes} == {str(folder / "last.py")}


@linux
async def test_a_link_that_other_links_lead_through_tells_that_anything_may_have_changed(tmp_path: Path) -> None:
    for version in ("..1", "..2"):
        (tmp_path / version).mkdir()
    (tmp_path / "..data").symlink_to("..1")
    async with listening(tmp_path) as (_, heard):
        (tmp_path / "..data_tmp").symlink_to("..2")
        (tmp_path / "..data_tmp").rename(tmp_path / "..data")
        await heard.of(tmp_path / "..data", Kind.LOST)


@linux
@pytest.mark.parametrize("how", ["removed", "renamed", "made", "a link", "the folder above renamed"])
async def test_what_becomes_of_the_folder_itself_is_told(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "above" / "plugins"
    folder.parent.mkdir()
    if how == "a link":
        folder.symlink_to(tmp_path)
    elif how != "made":
        folder.mkdir()
    async with listening(folder) as (_, heard):
        match how:
            case "removed":
                shutil.rmtree(folder)
            case "renamed":
                folder.rename(folder.parent / "gone")
            case "made":
                folder.mkdir()
            case "a link":
                (folder.parent / "new").symlink_to(folder.parent)
                (folder.parent / "new").rename(folder)
            case "the folder above renamed":
                folder.parent.rename(tmp_path / "gone")
        await heard.of(folder, Kind.LOST)


@linux
async def test_a_folder_that_was_removed_is_heard_of_no_more_though_another_may_have_its_inode(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    async with listening(folder) as (source, heard):
        assert source.alive()
        folder.rmdir()
        folder.mkdir()
        await heard.of(folder, Kind.LOST)
        assert not source.alive()


@linux
async def test_the_neighbours_of_the_folder_wake_nobody(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    async with listening(tmp_path / "plugins") as (_, heard):
        (tmp_path / "state.sqlite").write_text("")
        (tmp_path / "another").mkdir()
        (tmp_path / "plugins" / "last.py").write_text("")
        await heard.of(tmp_path / "plugins" / "last.py")
        assert {change.path for change in heard.changes} == {str(tmp_path / "plugins" / "last.py")}


@linux
async def test_a_watched_folder_in_a_watched_folder_is_heard_of_by_both(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    async with listening(tmp_path, tmp_path / "inner") as (_, heard):
        (tmp_path / "outer.py").write_text("")
        (tmp_path / "inner" / "weather.py").write_text("")
        await heard.of(tmp_path / "outer.py")
        await heard.of(tmp_path / "inner" / "weather.py")


def queue_limit() -> int:
    return int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())


@linux
async def test_an_overflow_tells_that_anything_may_have_changed_and_misses_no_folder(tmp_path: Path) -> None:
    """Two events of one file that alternate are never merged by the kernel."""
    limit = queue_limit()
    if limit > 20_000:
        pytest.skip(f"this kernel's queue holds {limit} events")
    async with listening(tmp_path) as (_, heard):
        one, two = tmp_path / "one.py", tmp_path / "two.py"
        one.write_text("")
        for _ in range(limit // 4 + 1):
            one.rename(two)
            two.rename(one)
        (tmp_path / "pkg").mkdir()
        (tmp_path / "pkg" / "part.py").write_text("")
        await heard.until(lambda change: change.kind is Kind.LOST)
        await heard.of(tmp_path / "pkg" / "part.py")
        heard.changes.clear()
        (tmp_path / "pkg" / "part.py").write_text("x")
        await heard.of(tmp_path / "pkg" / "part.py")


@linux
async def test_one_watch_too_many_is_said_and_leaves_the_others(tmp_path: Path) -> None:
    init, add_watch, rm_watch = borrow()
    (tmp_path / "deaf").mkdir()

    def limited(fd: int, path: bytes, mask: int) -> int:
        if path.endswith(b"deaf"):
            ctypes.set_errno(errno.ENOSPC)
            return -1
        return add_watch(fd, path, mask)

    heard = Heard()
    source = Inotify([tmp_path], heard, init, limited, rm_watch)
    try:
        assert source.fault == "inotify watch limit reached"
        (tmp_path / "deaf" / "part.py").write_text("")
        (tmp_path / "weather.py").write_text("")
        await heard.of(tmp_path / "weather.py")
    finally:
        source.close()


@linux
async def test_one_instance_too_many_is_refused(tmp_path: Path) -> None:
    _, add_watch, rm_watch = borrow()

    def refused() -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    with pytest.raises(OSError, match="inotify instance limit reached"):
        Inotify([tmp_path], Heard(), refused, add_watch, rm_watch)


@linux
async def test_a_descriptor_that_somebody_closed_is_known_and_another_s_is_left_alone(tmp_path: Path) -> None:
    async with listening(tmp_path) as (source, _):
        number = source._fd
        source._loop.remove_reader(number)
        os.close(number)
        assert not source.alive()
        reading, writing = os.pipe()
        os.dup2(reading, number)
        try:
            assert not source.alive()
            source.close()
            os.fstat(number)
        finally:
            for each in {reading, writing, number}:
                os.close(each)


@linux
async def test_a_descriptor_that_can_t_be_read_ends_and_tells_so(tmp_path: Path) -> None:
    async with listening(tmp_path) as (source, heard):
        null = os.open("/", os.O_RDONLY)
        os.dup2(null, source._fd)
        os.close(null)
        number = source._fd
        source._read()
        os.close(number)
        assert heard.changes == [Change(Kind.LOST, "")] and not source.alive()


@linux
async def test_a_listener_that_fails_does_not_end_the_telling(tmp_path: Path, caplog: Any) -> None:
    heard, fails = Heard(), [True]

    def tell(changes: Sequence[Change]) -> None:
        heard(changes)
        if fails and fails.pop():
            raise ValueError("x")

    source = open_source([tmp_path], tell)
    try:
        (tmp_path / "weather.py").write_text("")
        await heard.of(tmp_path / "weather.py")
        (tmp_path / "dice.py").write_text("")
        await heard.of(tmp_path / "dice.py")
    finally:
        source.close()
    assert "a file event failed inside the bot" in caplog.text
