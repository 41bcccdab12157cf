"""Who writes a file just now: a file that somebody has open for writing is not complete, whatever it holds.

The kernel knows of all writers on this machine, by any path and whether or not events tell of them; of other machines'
it knows nothing, neither who writes nor what changes. May be called in any thread. Follows fcntl(2), «Leases», and
proc(5), mountinfo.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

MOUNTS = Path("/proc/self/mountinfo")
# File systems whose files other machines change, without an event here.
SILENT = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "virtiofs", "vboxsf", "drvfs", "afs", "ceph", "glusterfs"}


def is_open_for_writing(path: str) -> bool | None:
    """Tell whether anybody on this machine has a file open for writing; None where the system doesn't say.

    Asks for a read lease, which is refused while there is a writer. A writer who opens the file in the microseconds
    until it is given back waits for that.
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
        return None if silent_kind(Path(path)) else True  # NFS and SMB refuse it for reasons of their own
    except OSError:
        return None  # another's file, or a file system without leases
    finally:
        os.close(file)
    return False


def silent_kind(path: Path) -> str:
    """Return the file system of a path if changes of other machines make no events there, else an empty text."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""  # not Linux
    there, best, kind = os.path.realpath(path), -1, ""
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
