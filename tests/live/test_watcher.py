"""bot/live/watcher.py: when plugin files have settled, with real files, real events and a settle that only counts."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from watchdog.events import DirCreatedEvent, FileClosedEvent, FileModifiedEvent, FileMovedEvent

from bot.live import watcher as watching
from bot.live.watcher import BURST_SECONDS, Watcher

PATIENCE = 10.0  # seconds until a test gives up


class Settle:
    """Counts, and lets a test wait for the next time."""

    def __init__(self) -> None:
        self.count = 0
        self.called = asyncio.Event()
        self.then: Callable[[], Awaitable[object]] | None = None

    async def __call__(self) -> None:
        self.count += 1
        self.called.set()
        if self.then:
            await self.then()

    async def next(self) -> int:
        async with asyncio.timeout(PATIENCE):
            await self.called.wait()
        self.called.clear()
        return self.count


@asynccontextmanager
async def watched(*folders: Path, **options: Any) -> AsyncIterator[tuple[Watcher, Settle]]:
    """A watcher at work, without safety sweeps unless a test asks for them."""
    settle = Settle()
    watcher = Watcher(folders, settle, **{"settle_seconds": 0.0, "sweep_seconds": 0.0, **options})
    await watcher.start()
    try:
        yield watcher, settle
    finally:
        await watcher.stop()


# --- events


async def test_a_saved_file_is_settled(tmp_path: Path) -> None:
    async with watched(tmp_path) as (_, settle):
        (tmp_path / "weather.py").write_text("x = 1")
        assert await settle.next() >= 1


@pytest.mark.parametrize("change", ["replace", "delete", "move in", "move out", "truncate"])
async def test_every_way_to_change_a_file_is_settled(tmp_path: Path, change: str) -> None:
    folder, elsewhere = tmp_path / "plugins", tmp_path / "elsewhere.py"
    folder.mkdir()
    path = folder / "weather.py"
    path.write_text("x = 1")
    elsewhere.write_text("x = 2")
    async with watched(folder) as (_, settle):
        match change:
            case "replace":
                elsewhere.replace(path)
            case "delete":
                path.unlink()
            case "move in":
                elsewhere.rename(folder / "other.py")
            case "move out":
                path.rename(tmp_path / "gone.py")
            case "truncate":
                os.truncate(path, 0)
                path.write_text("")  # the end of the writing that a truncation alone never has
        assert await settle.next() >= 1


async def test_a_change_within_a_package_is_settled(tmp_path: Path) -> None:
    (tmp_path / "pkg").mkdir()
    async with watched(tmp_path) as (_, settle):
        (tmp_path / "pkg" / "part.py").write_text("x = 1")
        assert await settle.next() >= 1


async def test_several_folders_are_watched(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    async with watched(tmp_path / "one", tmp_path / "two") as (_, settle):
        (tmp_path / "two" / "weather.py").write_text("x = 1")
        assert await settle.next() >= 1


async def test_a_poke_is_settled_without_an_event(tmp_path: Path) -> None:
    async with watched(tmp_path) as (watcher, settle):
        watcher.poke()
        assert await settle.next() == 1


@pytest.mark.parametrize(
    "name", [".weather.py.swp", "weather.py~", "notes.txt", "__pycache__/weather.pyc", ".git/x.py"]
)
def test_by_products_and_other_files_wake_nobody(tmp_path: Path, name: str) -> None:
    watcher = Watcher([tmp_path], Settle())
    watcher.mark(FileClosedEvent(str(tmp_path / name)))
    assert not watcher._changed.is_set()


def test_a_move_counts_where_it_leads_to(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path], Settle())
    watcher.mark(FileMovedEvent(str(tmp_path / ".weather.py.tmp"), str(tmp_path / "weather.py")))
    assert watcher._changed.is_set()


def test_a_new_folder_counts(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path], Settle())
    watcher.mark(DirCreatedEvent(str(tmp_path / "pkg")))
    assert watcher._changed.is_set()


def test_an_event_from_outside_the_folders_wakes_nobody(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path / "plugins"], Settle())
    watcher.mark(FileClosedEvent(str(tmp_path / "weather.py")))
    assert not watcher._changed.is_set()


def test_a_file_name_that_is_no_text_is_survived(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path], Settle())
    watcher.mark(FileClosedEvent(os.fsencode(tmp_path) + b"/\xff.py"))
    assert watcher._changed.is_set()


# --- the quiet window


def marked(tmp_path: Path, *names: str, known: bool = True) -> Watcher:
    watcher = Watcher([tmp_path], Settle(), settle_seconds=0.002, is_known=lambda name: known)
    for name in names:
        watcher.mark(FileClosedEvent(str(tmp_path / name)))
    return watcher


def test_one_known_plugin_has_the_short_window(tmp_path: Path) -> None:
    assert marked(tmp_path, "weather.py", "weather.py")._window() == 0.002


def test_several_files_or_an_unknown_one_have_the_long_window(tmp_path: Path) -> None:
    assert marked(tmp_path, "weather.py", "dice.py")._window() == BURST_SECONDS
    assert marked(tmp_path, "weather.py", known=False)._window() == BURST_SECONDS


def test_the_long_window_is_never_shorter_than_the_configured_one(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path], Settle(), settle_seconds=1.0)
    watcher.mark(FileClosedEvent(str(tmp_path / "new.py")))
    assert watcher._window() == 1.0


async def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "weather.py")
    watcher = Watcher([tmp_path], Settle(), settle_seconds=0.0)
    watcher._tells_of_closing = True
    watcher.mark(FileModifiedEvent(path))
    quiet = asyncio.create_task(watcher._quiet())
    done, _ = await asyncio.wait([quiet], timeout=0.05)
    assert not done
    watcher.mark(FileClosedEvent(path))
    await asyncio.wait_for(quiet, PATIENCE)


async def test_where_no_end_of_a_write_is_told_none_is_waited_for(tmp_path: Path) -> None:
    watcher = Watcher([tmp_path], Settle(), settle_seconds=0.0)
    watcher.mark(FileModifiedEvent(str(tmp_path / "weather.py")))
    assert watcher._writing == {}


@pytest.mark.skipif(sys.platform != "linux", reason="inotify")
async def test_inotify_tells_of_the_end_of_a_write(tmp_path: Path) -> None:
    async with watched(tmp_path) as (watcher, _):
        assert watcher._tells_of_closing


async def test_a_writer_that_never_closes_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "OPEN_SECONDS", 0.02)
    watcher = Watcher([tmp_path], Settle(), settle_seconds=0.0)
    watcher._tells_of_closing = True
    watcher.mark(FileModifiedEvent(str(tmp_path / "weather.py")))
    await asyncio.wait_for(watcher._quiet(), PATIENCE)


# --- git


@pytest.mark.parametrize("linked", [False, True], ids=["work tree", "linked work tree"])
async def test_a_lock_of_git_is_waited_for(tmp_path: Path, linked: bool) -> None:
    (tmp_path / "repo" / "plugins").mkdir(parents=True)
    git = tmp_path / "repo" / ".git"
    if linked:
        (tmp_path / "elsewhere").mkdir()
        git.write_text(f"gitdir: {tmp_path / 'elsewhere'}\n")
        git = tmp_path / "elsewhere"
    else:
        git.mkdir()
    (git / "index.lock").write_text("")
    watcher = Watcher([tmp_path / "repo" / "plugins"], Settle(), settle_seconds=0.0)
    quiet = asyncio.create_task(watcher._quiet())
    done, _ = await asyncio.wait([quiet], timeout=0.05)
    assert not done
    (git / "index.lock").unlink()
    await asyncio.wait_for(quiet, PATIENCE)


async def test_a_lock_that_git_left_behind_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "LOCK_SECONDS", 0.02)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index.lock").write_text("")
    watcher = Watcher([tmp_path], Settle(), settle_seconds=0.0)
    await asyncio.wait_for(watcher._quiet(), PATIENCE)


# --- the safety sweep


async def test_without_an_event_the_sweep_settles(tmp_path: Path) -> None:
    async with watched(tmp_path, sweep_seconds=0.01) as (_, settle):
        await settle.next()
        assert await settle.next() >= 2


async def test_a_folder_that_was_missing_is_watched_once_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    async with watched(folder, sweep_seconds=0.01) as (watcher, settle):
        await settle.next()
        assert watcher._observer is None
        folder.mkdir()
        async with asyncio.timeout(PATIENCE):
            while watcher._observer is None:
                await settle.next()


async def test_a_folder_that_was_removed_and_made_again_is_watched_anew(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    async with watched(folder, sweep_seconds=0.01) as (watcher, settle):
        before = watcher._observer
        (tmp_path / "new").mkdir()
        folder.rmdir()
        (tmp_path / "new").rename(folder)
        async with asyncio.timeout(PATIENCE):
            while watcher._observer in (before, None):
                await settle.next()


async def test_a_watch_that_has_died_is_set_again(tmp_path: Path) -> None:
    async with watched(tmp_path, sweep_seconds=0.01) as (watcher, settle):
        before = watcher._observer
        before.stop()
        async with asyncio.timeout(PATIENCE):
            while watcher._observer is before:
                await settle.next()


async def test_where_there_are_no_events_it_says_so_and_sweeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    refuse(monkeypatch)
    async with watched(tmp_path, sweep_seconds=0.01) as (_, settle):
        assert await settle.next() >= 1
    assert "no file events (inotify watch limit reached); looking every 0.01 s instead" in caplog.text


def refuse(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Watches begin and are refused then. Returns the observers that were tried, as they are."""
    made: list[Any] = []
    real = watching.Observer

    def observer() -> Any:
        made.append(one := real())
        start = one.start

        def refusing() -> None:
            start()
            raise OSError("inotify watch limit reached")

        one.start = refusing
        return one

    monkeypatch.setattr(watching, "Observer", observer)
    return made


async def test_a_watch_that_is_refused_leaves_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, before = refuse(monkeypatch), threading.active_count()
    async with watched(tmp_path):
        made[0].join(PATIENCE)
        assert len(made) == 1 and threading.active_count() == before


async def test_a_bot_that_can_have_no_observer_at_all_sweeps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> None:
        raise OSError("inotify instance limit reached")

    monkeypatch.setattr(watching, "Observer", none)
    async with watched(tmp_path, sweep_seconds=0.01) as (_, settle):
        assert await settle.next() >= 1


async def test_a_refused_watch_is_asked_for_again_after_a_minute_or_a_change_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    made = refuse(monkeypatch)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    async with watched(one, two) as (watcher, _):
        watcher._watch()
        assert len(made) == 1
        two.mkdir()
        watcher._watch()
        assert len(made) == 2
        watcher._retry_at = 0.0
        watcher._watch()
        assert len(made) == 3
    assert caplog.text.count("no file events") == 1


# --- settling


async def test_a_settle_that_fails_does_not_end_the_watching(tmp_path: Path, caplog: Any) -> None:
    async with watched(tmp_path) as (watcher, settle):

        async def fail() -> None:
            raise ValueError("x")

        settle.then = fail
        watcher.poke()
        await settle.next()
        settle.then = None
        watcher.poke()
        assert await settle.next() == 2
    assert [record.message for record in caplog.records if record.levelno == logging.ERROR] == [
        "a reload failed inside the bot; the next change is taken as ever"
    ]


async def test_one_settle_runs_at_a_time_and_what_came_meanwhile_gets_the_next(tmp_path: Path) -> None:
    async with watched(tmp_path) as (watcher, settle):
        go = asyncio.Event()
        settle.then = go.wait
        watcher.poke()
        await settle.next()
        watcher.poke()
        assert settle.count == 1
        go.set()
        assert await settle.next() == 2


async def test_after_stopping_nothing_is_settled_any_more(tmp_path: Path) -> None:
    async with watched(tmp_path) as (watcher, settle):
        await watcher.stop()
        watcher.poke()
        (tmp_path / "weather.py").write_text("x = 1")
        await asyncio.sleep(0)
        assert settle.count == 0 and watcher._observer is None


async def test_stopping_twice_is_nothing(tmp_path: Path) -> None:
    async with watched(tmp_path) as (watcher, _):
        await watcher.stop()
        await watcher.stop()
        assert watcher._observer is None and watcher._task is None


async def test_switching_off_lets_a_settle_under_way_end(tmp_path: Path) -> None:
    async with watched(tmp_path) as (watcher, settle):
        go, ended = asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            await go.wait()
            ended.set()

        settle.then = slow
        watcher.poke()
        await settle.next()
        off = asyncio.create_task(watcher.switch(False))
        await asyncio.sleep(0)
        go.set()
        await off
        assert ended.is_set() and watcher._task is None
        await watcher.switch(True)
        assert watcher._task is not None and watcher._observer is not None
