"""What the plugin folders look like from outside: enough to tell that something has changed, and whether it still does.

For where events don't say: a safety sweep, file systems without events, the time before a folder had its watch. A look
reads no file and knows no plugin; what is in the files is `discover`'s, what a change means the watcher's. May be
called in any thread.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG

from bot.live.discover import is_noise

MAX_DEPTH = 8  # of folders in a package

Look = dict[str, tuple[object, ...]]  # folder or file -> what an edit can't leave all as it was


def look(directories: Iterable[Path]) -> Look:
    """Return what is there: 0.3 ms for 100 files."""
    found: Look = {}
    for directory in directories:
        found[str(directory)] = identity(directory) or ()
        _look_into(str(directory), 0, found)
    return found


def identity(directory: Path) -> tuple[int, int, str] | None:
    """Return what a folder is, wherever links lead: device, inode, resolved path; None when it is missing."""
    try:
        stat = directory.stat()
        return stat.st_dev, stat.st_ino, os.path.realpath(directory)
    except OSError:
        return None


def _look_into(folder: str, depth: int, found: Look) -> None:
    for entry in _entries(folder):
        try:
            if entry.name.endswith(".py"):
                stat = entry.stat()
                if S_ISREG(stat.st_mode):
                    found[entry.path] = stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns
            elif depth < MAX_DEPTH and entry.is_dir():
                _look_into(entry.path, depth + 1, found)
        except OSError:
            continue  # it vanished since the listing


def _entries(folder: str) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from [entry for entry in entries if not is_noise(entry.name)]
    except OSError:
        return
