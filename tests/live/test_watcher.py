"""bot/live/watcher.py: when plugin files have settled, with real files, real events and a settle that only counts."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.live import changes, gitlock, window, writers
from bot.live import watcher as watching
from bot.live.changes import Change, Kind
from bot.live.watcher import Watcher
from bot.live.window import BURST_SECONDS

PATIENCE = 10.0  # seconds until a test gives up


class Settle:
    """Counts, and lets a test wait for the next time."""

    def __init__(self) -> None:
        self.count = 0
        self.hints: list[Collection[str]] = []
        self.called = asyncio.Event()
        self.then: Callable[[], Awaitable[object]] | None = None

    async def __call__(self, hint: frozenset[str]) -> None:
        self.count += 1
        self.hints.append(hint)
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
    """A watcher at work, without safety sweeps unless a test asks for them. Its first settle is over."""
    settle = Settle()
    watcher = Watcher(folders, settle, **{"settle_seconds": 0.0, "sweep_seconds": 0.0, **options})
    await watcher.start()
    try:
        await settle.next()
        settle.count = 0
        settle.hints.clear()
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


def closed(path: Path | str, *, is_directory: bool = False) -> Change:
    return Change(Kind.DONE, str(path), is_directory)


def unstarted(*folders: Path, **options: Any) -> Watcher:
    """A watcher that is told of changes by the test, as by a system that tells of closing."""
    watcher = Watcher(folders, Settle(), **{"settle_seconds": 0.0, **options})
    watcher._source = Telling()
    return watcher


class Telling:
    """A source that a test speaks for."""

    tells_of_closing, fault = True, ""

    def alive(self) -> bool:
        return True

    def close(self) -> None: ...


@pytest.mark.parametrize(
    "name",
    [
        *(".weather.py.swp", "weather.py~", "notes.txt", "__pycache__/weather.pyc", ".git/x.py", "4913"),
        *(".#weather.py", "#weather.py#", "weather.py.tmp", "weather.py.bak", "weather.py.orig"),
    ],
)
def test_by_products_and_other_files_wake_nobody(tmp_path: Path, name: str) -> None:
    watcher = unstarted(tmp_path)
    watcher.mark([closed(tmp_path / name)])
    assert not watcher._changed.is_set() and watcher._window.is_empty


def test_a_new_folder_counts(tmp_path: Path) -> None:
    watcher = unstarted(tmp_path)
    watcher.mark([closed(tmp_path / "pkg", is_directory=True)])
    assert watcher._changed.is_set() and watcher._window.is_odd


def test_an_event_from_outside_the_folders_wakes_nobody(tmp_path: Path) -> None:
    watcher = unstarted(tmp_path / "plugins")
    watcher.mark([closed(tmp_path / "weather.py")])
    assert not watcher._changed.is_set()


def test_a_file_name_that_is_no_text_is_survived(tmp_path: Path) -> None:
    watcher = unstarted(tmp_path)
    watcher.mark([closed(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.py"))])
    assert watcher._changed.is_set()


# --- the quiet window


def marked(tmp_path: Path, *names: str, known: bool = True) -> Watcher:
    watcher = unstarted(tmp_path, settle_seconds=0.002, is_known=lambda name: known)
    watcher.mark(closed(tmp_path / name) for name in names)
    return watcher


def test_one_known_plugin_has_the_short_window(tmp_path: Path) -> None:
    assert marked(tmp_path, "weather.py", "weather.py")._window_seconds() == 0.002


def test_several_files_an_unknown_one_or_a_shared_module_have_the_long_window(tmp_path: Path) -> None:
    assert marked(tmp_path, "weather.py", "dice.py")._window_seconds() == BURST_SECONDS
    assert marked(tmp_path, "weather.py", known=False)._window_seconds() == BURST_SECONDS
    assert marked(tmp_path, "_common.py")._window_seconds() == BURST_SECONDS


def test_the_long_window_is_never_shorter_than_the_configured_one(tmp_path: Path) -> None:
    watcher = unstarted(tmp_path, settle_seconds=1.0)
    watcher.mark([closed(tmp_path / "new.py")])
    assert watcher._window_seconds() == 1.0


async def test_one_known_plugin_is_settled_by_its_name(tmp_path: Path) -> None:
    async with watched(tmp_path, is_known=lambda name: True) as (_, settle):
        (tmp_path / "weather.py").write_text("x = 1")
        await settle.next()
        assert settle.hints == [{"weather"}]


@pytest.mark.parametrize("also", ["another", "a folder", "unknown", "shared", "poked", "lost"])
async def test_whatever_else_happens_everything_is_looked_at(tmp_path: Path, also: str) -> None:
    watcher = unstarted(tmp_path, is_known=lambda name: name != "unknown")
    watcher.mark([closed(tmp_path / ("unknown.py" if also == "unknown" else "weather.py"))])
    match also:
        case "another":
            watcher.mark([closed(tmp_path / "dice.py")])
        case "shared":
            watcher.mark([closed(tmp_path / "_common.py")])
        case "a folder":
            watcher.mark([closed(tmp_path / "weather", is_directory=True)])
        case "poked":
            watcher.poke()
        case "lost":
            watcher.mark([Change(Kind.LOST, "")])
    assert await asyncio.wait_for(watcher._quiet(), PATIENCE) == frozenset()


async def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    watcher, path = unstarted(tmp_path), tmp_path / "weather.py"
    with path.open("w"):
        watcher.mark([Change(Kind.WRITING, str(path))])
        quiet = asyncio.create_task(watcher._quiet())
        done, _ = await asyncio.wait([quiet], timeout=0.25)
        assert not done
    watcher.mark([closed(path)])
    await asyncio.wait_for(quiet, PATIENCE)


async def test_where_no_end_of_a_write_is_told_none_is_waited_for(tmp_path: Path) -> None:
    watcher = unstarted(tmp_path)
    watcher._source = None
    watcher.mark([Change(Kind.WRITING, str(tmp_path / "weather.py"))])
    assert watcher._window.writing == {} and watcher._window.is_unsure


async def test_a_writer_that_never_closes_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "OPEN_SECONDS", 0.02)
    watcher = unstarted(tmp_path)
    with (tmp_path / "weather.py").open("w"):
        watcher.mark([Change(Kind.WRITING, str(tmp_path / "weather.py"))])
        await asyncio.wait_for(watcher._quiet(), PATIENCE)


async def test_a_file_that_was_cut_by_its_path_has_no_writer_to_wait_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "OPEN_SECONDS", 3600.0)
    path = tmp_path / "weather.py"
    path.write_text("x = 1  # more")
    async with watched(tmp_path) as (_, settle):
        os.truncate(path, 5)
        await settle.next()


async def test_one_that_is_complete_need_not_wait_for_another_that_is_held_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(window, "OPEN_SECONDS", 3600.0)
    async with watched(tmp_path, is_known=lambda name: True) as (watcher, settle):
        with (tmp_path / "weather.py").open("w", buffering=1) as file:
            file.write("x = 1\n")
            (tmp_path / "dice.py").write_text("x = 1")
            await settle.next()
            assert settle.hints == [{"dice"}] and watcher._window.names == {"weather"}
        await settle.next()
        assert settle.hints == [{"dice"}, {"weather"}]


def suspecting(folder: Path, path: Path) -> Watcher:
    """A watcher whose look found a change that no event told of."""
    watcher = unstarted(folder)
    watcher._suspects, watcher._window.is_unsure = {str(path)}, True
    watcher._window.begin(asyncio.get_running_loop().time())
    return watcher


async def test_what_only_a_look_found_is_waited_for_while_its_writer_has_it_open(tmp_path: Path) -> None:
    path = tmp_path / "weather.py"
    with path.open("w"):
        quiet = asyncio.create_task(suspecting(tmp_path, path)._quiet())
        done, _ = await asyncio.wait([quiet], timeout=0.25)
        assert not done
    await asyncio.wait_for(quiet, PATIENCE)


async def test_where_writers_are_unknown_two_looks_must_be_equal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, looks = tmp_path / "weather.py", list[Any]()
    path.write_text("x")
    real = watching.look

    def counting(directories: Any) -> Any:
        if len(looks) < 3:
            path.write_text("x" * (len(looks) + 2))
        looks.append(real(directories))
        return looks[-1]

    monkeypatch.setattr(watching, "look", counting)
    monkeypatch.setattr(watching, "is_open_for_writing", lambda path: None)
    watcher = suspecting(tmp_path, path)
    await asyncio.wait_for(watcher._quiet(), PATIENCE)
    assert len(looks) >= 4 and looks[-1] == looks[-2]


async def test_a_file_that_never_rests_does_not_hold_up_the_others_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "HOLD_SECONDS", 0.3)
    path = tmp_path / "weather.py"
    with path.open("w"):
        await asyncio.wait_for(suspecting(tmp_path, path)._quiet(), PATIENCE)


# --- looking ahead


class Foreseeing:
    """Counts, and takes until it is told to go on."""

    def __init__(self) -> None:
        self.names: list[Collection[str]] = []
        self.go = asyncio.Event()
        self.called = asyncio.Event()

    async def __call__(self, names: Collection[str]) -> None:
        self.names.append(names)
        self.called.set()
        await self.go.wait()


async def test_the_trial_of_one_known_plugin_begins_at_once(tmp_path: Path) -> None:
    foresee = Foreseeing()
    watcher = unstarted(tmp_path, is_known=lambda name: True, foresee=foresee)
    watcher.mark([closed(tmp_path / "weather.py")])
    await asyncio.wait_for(foresee.called.wait(), PATIENCE)
    assert foresee.names == [{"weather"}]
    assert await asyncio.wait_for(watcher._quiet(), PATIENCE) == {"weather"}  # its end is not waited for
    await watcher.stop()


async def test_what_changes_again_is_tried_again(tmp_path: Path) -> None:
    foresee = Foreseeing()
    watcher = unstarted(tmp_path, is_known=lambda name: True, foresee=foresee)
    watcher.mark([closed(tmp_path / "weather.py")])
    await asyncio.wait_for(foresee.called.wait(), PATIENCE)
    foresee.called.clear()
    watcher.mark([closed(tmp_path / "weather.py")])
    foresee.go.set()
    await asyncio.wait_for(foresee.called.wait(), PATIENCE)
    assert foresee.names == [{"weather"}, {"weather"}]
    await watcher.stop()


@pytest.mark.parametrize("what", ["two", "unknown", "open"])
async def test_nothing_else_is_tried_ahead(tmp_path: Path, what: str) -> None:
    foresee = Foreseeing()
    watcher = unstarted(tmp_path, is_known=lambda name: what != "unknown", foresee=foresee)
    kind = Kind.WRITING if what == "open" else Kind.DONE
    also = [closed(tmp_path / "dice.py")] if what == "two" else []
    watcher.mark([Change(kind, str(tmp_path / "weather.py")), *also])
    assert watcher._foreseeing is None


async def test_looking_ahead_that_fails_costs_nothing(tmp_path: Path, caplog: Any) -> None:
    async def fail(names: Collection[str]) -> None:
        raise ValueError("x")

    async with watched(tmp_path, is_known=lambda name: True, foresee=fail) as (_, settle):
        (tmp_path / "weather.py").write_text("x = 1")
        await settle.next()
        assert settle.hints == [{"weather"}]
    assert "looking ahead failed inside the bot" in caplog.text


# --- git


async def test_a_lock_of_git_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    lock = tmp_path / ".git" / "index.lock"
    lock.write_text("")
    watcher = unstarted(tmp_path)
    watcher.mark([closed(tmp_path / "weather.py")])
    quiet = asyncio.create_task(watcher._quiet())
    done, _ = await asyncio.wait([quiet], timeout=0.05)
    assert not done
    lock.unlink()
    await asyncio.wait_for(quiet, PATIENCE)


async def test_a_lock_that_git_left_behind_is_not_waited_for_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gitlock, "LOCK_SECONDS", 0.02)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "index.lock").write_text("")
    watcher = unstarted(tmp_path)
    watcher.mark([closed(tmp_path / "weather.py")])
    await asyncio.wait_for(watcher._quiet(), PATIENCE)


# --- the safety sweep


async def test_without_an_event_the_sweep_settles(tmp_path: Path) -> None:
    async with watched(tmp_path, sweep_seconds=0.01) as (_, settle):
        await settle.next()
        assert await settle.next() >= 2


async def test_a_folder_that_was_missing_is_watched_once_it_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    async with watched(folder) as (_, settle):
        folder.mkdir()
        (folder / "weather.py").write_text("x = 1")
        await settle.next()
        (folder / "weather.py").write_text("x = 2")
        await settle.next()


async def test_a_folder_whose_folder_was_missing_too_is_found_by_the_sweep(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "plugins"
    async with watched(folder, sweep_seconds=0.01) as (watcher, settle):
        folder.mkdir(parents=True)
        async with asyncio.timeout(PATIENCE):
            while watcher._watched == [None]:
                await settle.next()


@pytest.mark.parametrize("above", [False, True], ids=["it", "the folder above"])
async def test_a_folder_that_was_replaced_is_watched_anew(tmp_path: Path, above: bool) -> None:
    folder = tmp_path / "above" / "plugins"
    folder.mkdir(parents=True)
    moved = folder.parent if above else folder
    async with watched(folder) as (watcher, settle):
        moved.rename(tmp_path / "gone")
        await settle.next()
        folder.mkdir(parents=True)
        if above:
            watcher._watch()  # as the next sweep does
        else:
            await settle.next()
        (folder / "weather.py").write_text("x = 1")
        assert await settle.next() and watcher._seen.keys() <= {str(folder), str(folder / "weather.py")}


async def test_a_link_that_leads_elsewhere_now_is_followed(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    folder = tmp_path / "plugins"
    folder.symlink_to("one")
    async with watched(folder) as (_, settle):
        (tmp_path / "new").symlink_to("two")
        (tmp_path / "new").rename(folder)
        await settle.next()
        (tmp_path / "two" / "weather.py").write_text("x = 1")
        await settle.next()


async def test_a_watch_that_has_died_is_set_again(tmp_path: Path) -> None:
    async with watched(tmp_path, sweep_seconds=0.01) as (watcher, settle):
        before = watcher._source
        assert before is not None
        before.close()
        async with asyncio.timeout(PATIENCE):
            while watcher._source is before:
                await settle.next()


async def test_a_turn_that_fails_does_not_end_the_watching(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    async with watched(tmp_path) as (watcher, settle):
        failed = asyncio.Event()

        def fail(directory: Path) -> None:
            failed.set()
            raise ValueError("x")

        with monkeypatch.context() as patched:
            patched.setattr(watching, "identity", fail)
            watcher.mark([Change(Kind.LOST, "")])
            await asyncio.wait_for(failed.wait(), PATIENCE)
        watcher.poke()
        await settle.next()
    assert "a reload failed inside the bot" in caplog.text


# --- where there are no events


def refuse(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Watches are refused. Returns what was asked for."""
    asked: list[Any] = []

    def refusing(directories: Any, tell: Any) -> Any:
        asked.append(directories)
        raise OSError(24, "inotify instance limit reached")

    monkeypatch.setattr(watching, "open_source", refusing)
    return asked


async def test_where_there_are_no_events_it_says_so_and_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    refuse(monkeypatch)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.01)
    async with watched(tmp_path) as (_, settle):
        (tmp_path / "weather.py").write_text("x = 1")
        await settle.next()
    assert "no file events (inotify instance limit reached); looking every 0.01 s instead" in caplog.text


async def test_a_look_that_finds_nothing_settles_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch)
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.001)
    looks, enough, real = [], asyncio.Event(), watching.look

    def counting(directories: Any) -> Any:
        looks.append(1)
        if len(looks) >= 10:
            watcher_loop.call_soon_threadsafe(enough.set)
        return real(directories)

    watcher_loop = asyncio.get_running_loop()
    monkeypatch.setattr(watching, "look", counting)
    async with watched(tmp_path) as (_, settle):
        await asyncio.wait_for(enough.wait(), PATIENCE)
        assert settle.count == 0


async def test_file_systems_of_other_machines_are_looked_at_besides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    (tmp_path / "mountinfo").write_text(f"1 0 0:1 / {tmp_path}/plugins rw - nfs4 server:/x rw\n")
    (tmp_path / "plugins").mkdir()
    monkeypatch.setattr(writers, "MOUNTS", tmp_path / "mountinfo")
    async with watched(tmp_path / "plugins") as (watcher, settle):
        assert watcher._is_deaf()
        (tmp_path / "plugins" / "weather.py").write_text("x = 1")
        await settle.next()
    assert "no file events (other machines' changes on nfs4 make none); looking every 0.25 s instead" in caplog.text


async def test_a_refused_watch_is_asked_for_again_after_a_minute_or_a_change_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    asked = refuse(monkeypatch)
    monkeypatch.setattr(watching, "POLL_SECONDS", 3600.0)
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    async with watched(one, two) as (watcher, _):
        watcher._watch()
        assert len(asked) == 1
        two.mkdir()
        watcher._watch()
        assert len(asked) == 2
        watcher._retry_at -= watching.RETRY_SECONDS
        watcher._watch()
        assert len(asked) == 3
    assert caplog.text.count("no file events") == 1


async def test_a_limit_that_is_met_later_is_told_and_looked_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.01)
    async with watched(tmp_path, sweep_seconds=3600.0) as (watcher, settle):
        source = watcher._source
        assert isinstance(source, changes.Inotify)
        full(source, monkeypatch)
        (tmp_path / "pkg").mkdir()
        await settle.next()
        (tmp_path / "pkg" / "__init__.py").write_text("x = 1")
        await settle.next()
    assert caplog.text.count("no file events (inotify watch limit reached)") == 1


def full(source: changes.Inotify, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let inotify_add_watch fail as it does at the limit."""

    def no_space(*arguments: Any) -> int:
        changes.ctypes.set_errno(changes.errno.ENOSPC)
        return -1

    monkeypatch.setattr(source, "_add_watch", no_space)


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
        assert settle.count == 0 and watcher._source is None


async def test_stopping_twice_is_nothing(tmp_path: Path) -> None:
    async with watched(tmp_path) as (watcher, _):
        await watcher.stop()
        await watcher.stop()
        assert watcher._source is None and watcher._task is None


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
        assert watcher._task is not None and watcher._source is not None
