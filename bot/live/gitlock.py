"""Whether git is at work on the tree that the plugins lie in: it changes files one after the other, for seconds where
the disk is slow, and holds `index.lock` all that time. What it leaves is one settled set.

A lock that nobody works under was left by a git that crashed; it is waited for once, not at every save. Follows
gitrepository-layout(5) and, for linked work trees and submodules, where `.git` is a file, gitfile in gitglossary(7).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

LOCK_SECONDS = 5.0  # without any change meanwhile: git has crashed
LONGEST_SECONDS = 60.0  # with changes or without: no checkout takes that long

_Identity = tuple[str, int, int]


class GitLock:
    """Watches for the locks of the work trees that hold some folders.

    Args:
        wall: the clock that files are stamped by, in seconds.
    """

    def __init__(self, directories: Iterable[Path], wall: Callable[[], float] = time.time) -> None:
        self._directories, self._wall = tuple(directories), wall
        self._since: dict[_Identity, float] = {}  # the locks that are there -> when each was seen first
        self._stale: set[_Identity] = set()

    def holds(self, now: float, last_change: float) -> bool:
        """Tell whether to wait for git.

        Args:
            now: a monotonic time in seconds; `last_change` by the same clock.
        """
        locks = self._locks()
        self._stale &= locks.keys()
        self._since = {lock: self._since.get(lock, now) for lock in locks}
        for lock, since in self._since.items():
            quiet = now - max(since, last_change)
            if quiet >= LOCK_SECONDS or now - since >= LONGEST_SECONDS:
                self._stale.add(lock)
        return bool(locks.keys() - self._stale)

    def _locks(self) -> dict[_Identity, None]:
        found: dict[_Identity, None] = {}
        for path in {lock_of(directory) for directory in self._directories} - {None}:
            assert path is not None
            try:
                stat = path.stat()
            except OSError:
                continue
            identity = str(path), stat.st_ino, stat.st_ctime_ns
            found[identity] = None
            if identity not in self._since and self._wall() - stat.st_mtime >= LONGEST_SECONDS:
                self._stale.add(identity)  # left behind long before the change that it is asked for
        return found


def lock_of(directory: Path) -> Path | None:
    """Return where git would lock the work tree that holds a folder; None outside of any."""
    directory = directory.resolve()
    for parent in (directory, *directory.parents):
        git = parent / ".git"
        if git.is_dir():
            return git / "index.lock"
        if git.is_file():
            try:
                name = git.read_text().partition("gitdir:")[2].strip()
            except (OSError, UnicodeDecodeError):
                return None
            return (parent / name / "index.lock") if name else None
    return None
