"""What the system tells of files: inotify read on the loop itself, elsewhere watchdog's observer.

watchdog hands each event through three threads, which compete with the bot for the interpreter: 0.7 ms from the kernel
to the loop, 3 ms while plugins are busy. Its binding of inotify, read by `loop.add_reader`, takes 0.1 ms and no thread.
Where the names that are borrowed for it are missing, or the system has no inotify, `Observed` does the same slower.

Both tell batches of `Change`, on the loop, and judge nothing: what counts and when it has settled is the watcher's.
What can't be known (a queue that overflowed, a folder that was replaced, a fault of ours) is told as `Kind.LOST`: look
for yourself. The only import of watchdog.

Follows inotify(7): watches are of inodes and not recursive, a descriptor is told `IN_IGNORED` when its watch has ended,
`IN_Q_OVERFLOW` when events were dropped.
"""

from __future__ import annotations

import asyncio
import ctypes
import enum
import errno
import importlib
import logging
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

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

from bot.live.discover import is_noise
from bot.live.look import MAX_DEPTH
from bot.live.writers import is_open_for_writing

log = logging.getLogger(__name__)

# Names of watchdog that it does not document: its bare calls of inotify. Without one of them: `Observed`.
BORROWED = {"watchdog.observers.inotify_c": ("inotify_init", "inotify_add_watch", "inotify_rm_watch")}

READ_BYTES = 16384  # some 500 events, a millisecond of work: a storm of them takes turns with what else the loop does

# From <sys/inotify.h>. No reads, no opens, no attributes: our own reading would wake us.
MODIFY, CLOSE_WRITE, MOVED_FROM, MOVED_TO, CREATE, DELETE = 0x2, 0x8, 0x40, 0x80, 0x100, 0x200
DELETE_SELF, MOVE_SELF, UNMOUNT, OVERFLOW, IGNORED, ISDIR = 0x400, 0x800, 0x2000, 0x4000, 0x8000, 0x40000000
ONLYDIR, EXCL_UNLINK, MASK_ADD = 0x1000000, 0x4000000, 0x20000000
INSIDE = MODIFY | CLOSE_WRITE | MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF | EXCL_UNLINK
# Of the folder above: whether the watched one comes, goes, is replaced, or moves with it.
BESIDE = MOVED_FROM | MOVED_TO | CREATE | DELETE | DELETE_SELF | MOVE_SELF

# The same for watchdog's observer.
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


class Kind(enum.Enum):
    """What a change leaves behind."""

    WRITING = "written, and not closed yet"
    DONE = "closed, created, moved or deleted"
    LOST = "not known: anything may have changed"


class Change(NamedTuple):
    """One thing that happened; the path is absolute, below a watched folder as it was named."""

    kind: Kind
    path: str
    is_directory: bool = False


Tell = Callable[[Sequence[Change]], None]


class Source(Protocol):
    """Tells of changes until it is closed.

    Attributes:
        tells_of_closing: after each `WRITING` a `DONE` comes when the file is closed.
        fault: why it may miss changes of some folders; empty when it does not.
    """

    tells_of_closing: bool
    fault: str

    def alive(self) -> bool: ...

    def close(self) -> None: ...


def open_source(directories: Iterable[Path], tell: Tell) -> Source:
    """Begin to listen, on the running loop. Folders that are missing are no error.

    Raises:
        OSError: the system refuses, by a limit or altogether.
    """
    borrowed = borrow()
    return Inotify(directories, tell, *borrowed) if borrowed else Observed(directories, tell)


def borrow() -> tuple[Callable[..., int], ...]:
    """Return the borrowed calls, or nothing if one is missing here."""
    found = []
    for module, names in BORROWED.items():
        try:
            found += [getattr(importlib.import_module(module), name) for name in names]
        except (ImportError, AttributeError):  # not Linux, or another watchdog
            return ()
    return tuple(found)


class Inotify:
    """inotify, read on the loop. See the module's head."""

    tells_of_closing = True

    def __init__(
        self,
        directories: Iterable[Path],
        tell: Tell,
        init: Callable[[], int],
        add_watch: Callable[[int, bytes, int], int],
        rm_watch: Callable[[int, int], int],
    ) -> None:
        self._roots = {str(path): path for path in (directory.absolute() for directory in directories)}
        self._tell, self._add_watch, self._rm_watch = tell, add_watch, rm_watch
        self.fault = ""
        self._is_astray = False  # watched folders may have other paths now
        self._is_bereft = False  # the watch of a folder itself has ended; another may have its inode by now
        self._folders: dict[int, list[str]] = {}  # watch -> the paths it is known by; links may give one folder two
        self._beside: dict[int, set[str]] = {}  # watch of a folder above -> the watched folders in it
        self._fd = init()
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "inotify instance limit reached")
        os.set_blocking(self._fd, False)
        os.set_inheritable(self._fd, False)
        for _ in self._watch_all():
            pass  # files that are there are no news
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._fd, self._read)

    def alive(self) -> bool:
        """Tell whether all its folders are heard of still."""
        return self._is_ours() and not self._is_bereft

    def _is_ours(self) -> bool:
        # A plugin may close a descriptor that it does not know, and open something else under its number.
        try:
            return self._fd >= 0 and "inotify" in str(Path(f"/proc/self/fd/{self._fd}").readlink())
        except OSError:
            return False

    def close(self) -> None:
        """End. Safe to call again."""
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            if self._is_ours():
                os.close(self._fd)
            self._fd = -1

    # -- watches

    def _watch_all(self) -> Iterator[str]:
        """Set the watches of all that is there, end the others, and yield what is in folders that had none."""
        before, self._folders, self._beside = self._folders, {}, {}
        for root, directory in self._roots.items():
            if (watch := self._add(str(directory.parent), BESIDE)) is not None:
                self._beside.setdefault(watch, set()).add(root)
            yield from self._watch_tree(root, 0, before)
        for watch in before.keys() - self._folders.keys() - self._beside.keys():
            self._rm_watch(self._fd, watch)

    def _watch_tree(self, folder: str, depth: int, before: Iterable[int] = ()) -> Iterator[str]:
        """Watch a folder and those in it; yield the plugin files of folders that had no watch before."""
        watch = self._add(folder, INSIDE)
        if watch is None:
            return
        is_new = watch not in before and watch not in self._folders
        paths = self._folders.setdefault(watch, [])
        if folder not in paths:
            paths.append(folder)
        try:
            entries = list(os.scandir(folder))  # after the watch was set: what is made from now on is told
        except OSError:
            return
        for entry in entries:
            if entry.name.endswith(".py"):
                if is_new:
                    yield entry.path
            elif depth < MAX_DEPTH and not is_noise(entry.name) and _is_folder(entry):
                yield from self._watch_tree(entry.path, depth + 1, before)

    def _add(self, folder: str, mask: int) -> int | None:
        # Added to what is asked for already: the folder above one may be another that is watched.
        watch = self._add_watch(self._fd, os.fsencode(folder), mask | ONLYDIR | MASK_ADD)
        if watch >= 0:
            return watch
        if (number := ctypes.get_errno()) in (errno.ENOSPC, errno.ENOMEM):
            self.fault = "inotify watch limit reached"
        elif number not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):  # it has gone since: an event tells of that
            self.fault = self.fault or f"{folder}: {os.strerror(number)}"
        return None

    # -- events

    def _read(self) -> None:
        """Read what is there. Nothing may be raised from here: the loop would log it and events would be gone."""
        try:
            changes = self._changes(os.read(self._fd, READ_BYTES))
        except BlockingIOError:
            return
        except Exception as error:
            if not isinstance(error, OSError):
                log.exception("reading file events failed inside the bot; all is looked at instead")
            self.close()  # the next look finds it dead and begins anew
            changes = [Change(Kind.LOST, "")]
        try:
            self._tell(changes)
        except Exception:
            log.exception("a file event failed inside the bot; the next look at the folders makes up for it")

    def _changes(self, buffer: bytes) -> list[Change]:
        changes: list[Change] = []
        at, self._is_astray = 0, False
        while at + 16 <= len(buffer):
            watch, mask, _, length = struct.unpack_from("iIII", buffer, at)
            name = os.fsdecode(buffer[at + 16 : at + 16 + length].rstrip(b"\0"))
            at += 16 + length
            if mask & OVERFLOW:
                changes.append(Change(Kind.LOST, ""))
                self._is_astray = True  # folders that were made meanwhile have no watch
            if mask & BESIDE:
                beside = self._beside.get(watch, ())
                changes += [Change(Kind.LOST, root) for root in beside if name in ("", self._roots[root].name)]
            for folder in self._folders.get(watch, ()):
                changes += self._change(mask, folder, name)
            if mask & IGNORED:
                self._is_bereft |= bool(self._roots.keys() & self._folders.pop(watch, ()))
                self._beside.pop(watch, None)
        if self._is_astray:
            # Which folder is where by now can't be told from events alone, in whatever order they came.
            changes += map(_found, list(self._watch_all()))
        return changes

    def _change(self, mask: int, folder: str, name: str) -> Iterator[Change]:
        if not name:  # of the folder itself
            if folder in self._roots and mask & (DELETE_SELF | MOVE_SELF | UNMOUNT):
                yield Change(Kind.LOST, folder)
            return
        path = f"{folder}{os.sep}{name}"
        comes, goes = mask & (CREATE | MOVED_TO), mask & (MOVED_FROM | DELETE)
        is_folder = mask & ISDIR
        is_link = False  # to a folder; it comes and goes as a file does
        if not is_folder and not name.endswith(".py"):
            is_link = Path(path).is_dir() if comes else bool(goes) and self._is_watched(path)
        if is_link:
            # A package, or what other links lead through (`..data` of a ConfigMap).
            yield Change(Kind.LOST, path)
        elif is_folder:
            yield Change(Kind.DONE, path, is_directory=True)
        elif name.endswith(".py"):
            # Who makes a file is told of before they have it open: on a busy machine it would be loaded empty.
            is_writing = mask & MODIFY or (mask & CREATE and _is_empty(path))
            yield Change(Kind.WRITING if is_writing else Kind.DONE, path)
        self._is_astray |= bool(is_link or (is_folder and mask & (MOVED_FROM | MOVED_TO)))
        if is_folder and mask & CREATE and not is_noise(name):
            yield from map(_found, list(self._watch_tree(path, self._depth(folder) + 1)))

    def _is_watched(self, path: str) -> bool:
        return any(path in paths for paths in self._folders.values())

    def _depth(self, folder: str) -> int:
        root = max((root for root in self._roots if folder.startswith(root)), key=len, default=folder)
        return folder.count(os.sep) - root.count(os.sep)


def _found(path: str) -> Change:
    """A file that was made before its folder had a watch: its events are gone, but not its writer."""
    return Change(Kind.WRITING if is_open_for_writing(path) else Kind.DONE, path)


def _is_empty(path: str) -> bool:
    try:
        return Path(path).stat().st_size == 0
    except OSError:
        return False


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


class Observed(FileSystemEventHandler):
    """watchdog's observer of this system: kqueue, FSEvents, ReadDirectoryChangesW. Tells of no closing."""

    tells_of_closing = False
    fault = ""

    def __init__(self, directories: Iterable[Path], tell: Tell) -> None:
        self._loop, self._tell = asyncio.get_running_loop(), tell
        self._observer: Any = Observer()
        try:
            for directory in directories:
                if directory.is_dir():
                    self._observer.schedule(self, str(directory.resolve()), recursive=True, event_filter=WANTED)
            self._observer.start()
        except OSError:
            self._observer.stop()  # never started, but what it has begun by then are threads and descriptors
            raise

    def alive(self) -> bool:
        """Tell whether all its threads run."""
        return bool(self._observer.is_alive() and all(each.is_alive() for each in self._observer.emitters))

    def close(self) -> None:
        """End. Safe to call again."""
        self._observer.stop()
        self._observer.join(2.0)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Hand an event to the loop. An exception here would end watchdog's thread for good."""
        try:
            self._loop.call_soon_threadsafe(self._tell, list(_translated(event)))
        except RuntimeError:
            pass  # the loop is closed; the bot is ending


def _translated(event: FileSystemEvent) -> Iterator[Change]:
    kind = Kind.WRITING if isinstance(event, FileModifiedEvent) else Kind.DONE
    for path in {os.fsdecode(event.src_path), os.fsdecode(event.dest_path or "")} - {""}:
        yield Change(kind, path, event.is_directory)
