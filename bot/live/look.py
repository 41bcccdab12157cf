"""What the plugin folders look like from outside: enough to tell that something has changed, and whether it still does.

For where events don't say: a safety sweep, file systems without events, the time before a folder had its watch. A look
reads no file and knows no plugin; what is in the files is `discover`'s, what a change means the watcher's. May be
called in any thread. File systems without events of other machines' changes: watchdog and inotify(7) hear of none.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable, Iterator
from pathlib import Path
from stat import S_ISREG

from bot.live.discover import is_noise

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MAX_DEPTH = 8  # of folders in a package
SILENT = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "drvfs", "afs", "ceph", "glusterfs"}

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


def is_open_for_writing(path: str) -> bool | None:
    """Tell whether anybody on this machine has a file open for writing; None where the system doesn't say.

    Asks for a read lease, which fcntl(2) refuses while there is a writer. A writer who opens the file in the
    microseconds until it is given back waits for that.
    """
    if fcntl is None or not hasattr(fcntl, "F_SETLEASE"):
        return None
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return False  # it is gone
    try:
        # The signal for such a writer would by default end the process; this one is ignored by default.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None  # another's file, or a file system without leases
    finally:
        os.close(file)
    return False


def silent_kind(directory: Path, mounts: str) -> str:
    """Return the file system of a folder if changes of other machines make no events there, else an empty text.

    Args:
        mounts: the text of /proc/self/mountinfo, proc(5); empty elsewhere.
    """
    there, best, kind = os.path.realpath(directory), -1, ""
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, rest = left.split(" "), right.split(" ")
        if len(fields) < 5:
            continue
        point = re.sub(r"\\(\d{3})", lambda code: chr(int(code[1], 8)), fields[4])  # a blank is written as \040
        is_below = there == point or there.startswith(point.rstrip("/") + "/")
        if is_below and len(point) >= best:  # of two at one place the later one hides the other
            best, kind = len(point), rest[0]
    return kind if kind in SILENT or kind.partition(".")[0] == "fuse" else ""
