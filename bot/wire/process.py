"""What the system does for a pair of processes: being started alike, dying together, leaving nobody behind.

A part of the keeper (standard library only), used by the worker as well. Where the kernel does not end a worker with
its keeper, it ends when its link does, or when its loop stands still.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_NAME, _PR_SET_CHILD_SUBREAPER = 1, 15, 36  # prctl(2), Linux

#: Signals that ask for something; blocked where nobody would hear them yet, they are not lost.
ASKING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP} if hasattr(signal, "SIGHUP") else ())


def command(module: str, *arguments: str) -> list[str]:
    """Return how to run the `main` of a module of this very bot in a fresh interpreter; `ps` shows its name.

    Not `-m`, which looks in the working folder first: somebody's own folder `bot` may lie there. Nor with our folder in
    front: beside an installed bot there may be old backports of modules of the standard library.
    """
    root = Path(__file__).parents[2]
    code = (
        "import sys; del sys.path[: not sys.flags.safe_path]; from importlib import util; "
        f"spec = util.spec_from_file_location('bot', {str(root / 'bot' / '__init__.py')!r}); "
        "sys.modules['bot'] = door = util.module_from_spec(spec); spec.loader.exec_module(door); "
        f"{str(root)!r} in sys.path or sys.path.append({str(root)!r}); from {module} import main; sys.exit(main())"
    )
    return [sys.executable, "-c", code, f"neverquit-{module.rpartition('.')[2]}", *arguments]


def be_called(role: str) -> None:
    """Show in `top` and `pstree` (on Linux) what this process is: `nq:worker`. At most 12 bytes are shown of a role."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_NAME, f"nq:{role}".encode())


def hear_later(*numbers: signal.Signals) -> None:
    """Hold these signals back until `hear`; a process that is started meanwhile holds them back as well."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_BLOCK, numbers or ASKING)


def hear() -> None:
    """Let signals come: somebody hears them now."""
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends, however that happens; end at once if it has already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def end_unless_again(seconds: float, stacks: int) -> None:
    """Where the kernel does not do the above: end this process unless this is called again in time.

    A thread without Python waits for that, so whatever holds the interpreter can't hold it up.

    Args:
        stacks: a descriptor to write to where each thread was.
    """
    if sys.platform != "linux":
        faulthandler.dump_traceback_later(seconds, exit=True, file=stacks)


def end_in_time(seconds: float, code: int = 0) -> None:
    """End this process after so long, whatever holds it up; called when it is asked to end."""
    timer = threading.Timer(seconds, os._exit, (code,))
    timer.daemon = True
    timer.start()


#: Our children from before we were the keeper: whoever became us by `exec` had started them for purposes of its own.
_strangers: set[int] = set()


def adopt_orphans() -> None:
    """Become the parent of what our children leave behind when they end, as process 1 is anyway."""
    _strangers.update(_children())
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def send(pid: int, number: int) -> None:
    """Send a signal to a process, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def end_strays(number: int, group: int | None = None) -> bool:
    """Send a signal to our children (on Linux), or to those that a worker has left behind in its process group.

    Returns:
        Whether there was one. Their own children become ours when they have ended.
    """
    found = False
    if sys.platform == "linux":
        session = os.getsid(0)
        for pid in _children():  # ours and not buried yet, so the numbers can't mean anybody else
            with contextlib.suppress(ProcessLookupError, PermissionError):
                # A worker has a session of its own, and nobody comes into another: who is in ours is none of its.
                if pid not in _strangers and os.getsid(pid) != session and group in (None, os.getpgid(pid)):
                    os.kill(pid, number)
                    found = True
    elif group is not None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
    return found


def buried(pid: int) -> None:
    """Note that a child is no more: its number may be given to anybody."""
    _strangers.discard(pid)


def _children() -> Iterator[int]:
    me = os.getpid()
    with contextlib.suppress(OSError):
        yield from map(int, Path(f"/proc/{me}/task/{me}/children").read_text().split())


class Terminal:
    """The terminal that this process was started in, if it was."""

    def __init__(self) -> None:
        # Who started us with `nohup` wants to outlive it.
        self._ours = not _no_terminal() and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN

    def has_gone(self) -> bool:
        """Tell, after a SIGHUP, whether it comes from the end of the terminal."""
        return self._ours and _no_terminal()


def _no_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return True
    return False
