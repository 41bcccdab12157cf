"""When plugin files have settled: events are hints, a sweep by content is the truth.

Any event restarts a quiet window; at its end `settle` is called, which looks for itself at what changed. The window
is `settle_ms` for one known plugin file, 8 ms for more than one or for a shared module. It is held while a writer has
a file open (`modified` without `closed`, where the system tells of both: inotify) and while git holds `index.lock`,
each with a limit. A safety sweep every `sweep_seconds` heals what events lose: a folder removed and made again, a queue
that overflowed, the target of a symlink, file systems without events.

The only import of watchdog. What it does when: measured with watchdog 7.1 on Linux, see docs/architecture.md,
«Watching».
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from bot.config import Reload
from bot.live.discover import is_noise

log = logging.getLogger(__name__)

BURST_SECONDS = 0.008  # at 3 ms one sweep in six fell into the middle of a git checkout; at 8 ms none did
OPEN_SECONDS = 2.0  # how long a file that its writer holds open is waited for since its last write
LOCK_SECONDS = 5.0  # a lock this old was left by a git that crashed
LOCK_POLL_SECONDS = 0.005
RETRY_SECONDS = 60.0  # until watches that were refused are asked for again

# What the kernel is asked for: no reads, no opens, no attributes, or our own reading would wake us.
WANTED = [
    FileClosedEvent,
    FileMovedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    DirMovedEvent,
    DirCreatedEvent,
    DirDeletedEvent,
]


def _shorten_move_delay() -> None:
    """Let a file that is moved out of the folder hold up later events for 5 ms instead of watchdog's 500 ms.

    A borrowed private name; without it (macOS, another version) everything works, only slower in that one case.
    """
    try:
        from watchdog.observers import inotify_move_event_grouper
    except ImportError:
        return
    inotify_move_event_grouper.InotifyMoveEventGrouper.delay = 0.005


class _Forward(FileSystemEventHandler):
    """Hands events to the loop. An exception here would end watchdog's thread for good."""

    def __init__(self, loop: asyncio.AbstractEventLoop, mark: Callable[[FileSystemEvent], None]) -> None:
        self._loop, self._mark = loop, mark

    def on_any_event(self, event: FileSystemEvent) -> None:
        try:
            self._loop.call_soon_threadsafe(self._mark, event)
        except RuntimeError:
            pass  # the loop is closed; the bot is ending


class Watcher:
    """Watches plugin directories and calls `settle` when something may have changed.

    Args:
        settle: the reload; called again while it runs only after it has ended.
        foresee: called in the quiet window of one known file, in time that would be slept: reads and compiles ahead.
        is_known: tells of a unit's name whether it is a live plugin, whose change is the common case.

    `settle_seconds` and `sweep_seconds` may be set at any time; `poke` ends a wait by the old ones.
    """

    def __init__(
        self,
        directories: Iterable[Path],
        settle: Callable[[], Awaitable[object]],
        *,
        settle_seconds: float = 0.004,
        sweep_seconds: float = 2.0,
        foresee: Callable[[], Awaitable[object]] | None = None,
        is_known: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._directories = tuple(directories)
        self._settle, self.settle_seconds, self.sweep_seconds = settle, settle_seconds, sweep_seconds
        self._settling = asyncio.Lock()
        self._foresee, self._is_known = foresee, is_known
        self._foreseen = 0.0  # the event that was looked ahead after
        self._observer: Any = None
        self._watched: dict[Path, tuple[int, int]] = {}  # directory -> (device, inode) it had when its watch was set
        self._refused: dict[Path, tuple[int, int]] = {}  # what could not be watched
        self._retry_at = 0.0
        self._told = ""  # why not, so that it is said once
        self._names: set[str] = set()
        self._tells_of_closing = False  # inotify alone does; elsewhere a write is over when it is quiet
        self._writing: dict[str, float] = {}  # path -> time of its last write
        self._last = 0.0
        self._locked_since: float | None = None
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch. A folder that is missing is waited for."""
        _shorten_move_delay()
        self._watch()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="watcher")

    async def stop(self) -> None:
        """End watching; nobody waits for a settle any more when this returns."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self._unwatch()

    async def switch(self, on: bool) -> None:
        """Begin to watch, or end it once a settle under way has ended; nothing when that is so already."""
        if not on:
            async with self._settling:
                await self.stop()
        elif self._task is None:
            await self.start()

    async def configure(self, settings: Reload) -> None:
        """Take new times, and begin or end watching as the settings ask."""
        self.settle_seconds, self.sweep_seconds = settings.settle_ms / 1000, settings.sweep_seconds
        await self.switch(settings.watch)
        self.poke()

    def poke(self) -> None:
        """Ask for a settle without an event: a grace has ended."""
        self._changed.set()

    # -- events

    def mark(self, event: FileSystemEvent) -> None:
        """Take one event, on the loop."""
        for path in {os.fsdecode(event.src_path), os.fsdecode(event.dest_path or "")} - {""}:
            relative = self._relative(path)
            if relative is None or any(is_noise(part) for part in relative.parts):
                continue
            if not event.is_directory and relative.suffix != ".py":
                continue
            self._last = time.monotonic()
            self._names.add(relative.parts[0].removesuffix(".py") if relative.parts else "")
            if isinstance(event, FileModifiedEvent) and self._tells_of_closing:
                self._writing[path] = self._last
            else:
                self._writing.pop(path, None)
            self._changed.set()

    def _relative(self, path: str) -> Path | None:
        for directory in self._directories:
            for root in (directory, directory.resolve()):
                try:
                    return Path(path).relative_to(root)
                except ValueError:
                    continue
        return None

    # -- the quiet window

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self.sweep_seconds or None):
                    await self._changed.wait()
            except TimeoutError:
                self._watch()
            await self._quiet()
            self._changed.clear()
            self._names.clear()
            try:
                async with self._settling:
                    await self._settle()
            except Exception:
                log.exception("a reload failed inside the bot; the next change is taken as ever")

    async def _quiet(self) -> None:
        """Wait until nothing has happened for the window, no file is being written, and git is done."""
        while True:
            now = time.monotonic()
            self._writing = {path: at for path, at in self._writing.items() if now - at < OPEN_SECONDS}
            left = self._last + self._window() - now
            if left > 0:
                if self._foresee is not None and self._one() and not self._writing and self._foreseen != self._last:
                    self._foreseen = self._last
                    await self._foresee()
                else:
                    await asyncio.sleep(left)
            elif self._writing:
                self._changed.clear()
                try:
                    async with asyncio.timeout(OPEN_SECONDS):
                        await self._changed.wait()
                except TimeoutError:
                    pass
            elif self._locked(now):
                await asyncio.sleep(LOCK_POLL_SECONDS)
            else:
                return

    def _one(self) -> bool:
        return len(self._names) == 1 and self._is_known(next(iter(self._names)))

    def _window(self) -> float:
        quick = self._one() or not self._names
        return self.settle_seconds if quick else max(BURST_SECONDS, self.settle_seconds)

    def _locked(self, now: float) -> bool:
        if not any(lock.exists() for lock in map(_index_lock, self._directories) if lock is not None):
            self._locked_since = None
            return False
        if self._locked_since is None:
            self._locked_since = now
        return now - self._locked_since < LOCK_SECONDS

    # -- the watch itself

    def _watch(self) -> None:
        """Set the watches where they are missing or dead: at the start, and at each safety sweep."""
        there = {}
        for directory in self._directories:
            try:
                stat = directory.stat()
                there[directory] = (stat.st_dev, stat.st_ino)
            except OSError:
                continue
        if (there == self._watched and self._alive()) or (there == self._refused and time.monotonic() < self._retry_at):
            return
        self._unwatch()
        if not there:
            return
        observer: Any = None
        try:
            observer = Observer()
            handler = _Forward(asyncio.get_running_loop(), self.mark)
            for directory in there:
                observer.schedule(handler, str(directory.resolve()), recursive=True, event_filter=WANTED)
            observer.start()
        except OSError as error:
            # The limits of inotify, or a file system without it.
            if observer is not None:
                observer.stop()  # never started, but what it has begun by then are threads and descriptors
            self._refused, self._retry_at = there, time.monotonic() + RETRY_SECONDS
            if self._told != str(error):
                self._told = str(error)
                log.warning("no file events (%s); looking every %g s instead", error, self.sweep_seconds)
            return
        self._observer, self._watched, self._refused, self._told = observer, there, {}, ""
        self._tells_of_closing = type(observer).__name__ == "InotifyObserver"

    def _alive(self) -> bool:
        observer = self._observer
        return observer is not None and observer.is_alive() and all(each.is_alive() for each in observer.emitters)

    def _unwatch(self) -> None:
        observer, self._observer, self._watched, self._refused = self._observer, None, {}, {}
        if observer is not None:
            observer.stop()
            observer.join(2.0)


def _index_lock(directory: Path) -> Path | None:
    """Return where git would lock the work tree that holds `directory`; in a linked work tree `.git` is a file."""
    for parent in (directory, *directory.parents):
        git = parent / ".git"
        if git.is_dir():
            return git / "index.lock"
        if git.is_file():
            try:
                name = git.read_text().partition("gitdir:")[2].strip()
            except OSError:
                return None
            return (parent / name / "index.lock") if name else None
    return None
