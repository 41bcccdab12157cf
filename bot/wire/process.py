"""What the system does for a pair of processes: dying together, and telling systemd.

A part of the keeper (standard library only), used by the worker as well. Where the system has it not, nothing happens:
a worker also ends when its link does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # prctl(2), Linux


def command(module: str, *arguments: str) -> list[str]:
    """Return how to run the `main` of a module of this very bot in a fresh interpreter; `ps` shows its name.

    Not `-m`, which looks in the working folder first: somebody's own folder `bot` may lie there.
    """
    root = str(Path(__file__).parents[2])
    code = f"import sys; sys.path[0] = {root!r}; from {module} import main; sys.exit(main())"
    return [sys.executable, "-c", code, f"neverquit-{module.rpartition('.')[2]}", *arguments]


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that happens; end at once if it has already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def notify(state: str) -> None:
    """Tell systemd how things are, `READY=1` or `STATUS=...`; nothing without it (sd_notify(3))."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        try:
            to.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
        except OSError:
            pass  # systemd is gone: nobody to tell


def terminal_is_gone() -> bool:
    """Tell whether the terminal that we were started in has been closed, as after a SIGHUP from it."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return True
    return False
