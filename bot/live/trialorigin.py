"""How the process that trials are forked from begins: forked ahead from the bot's own, or as a fresh interpreter.

Ahead means: when all of the bot is imported and nothing has begun yet, no loop, no thread, no connection. Then a fork
shares all of that memory, where a fresh interpreter would import everything once more: 0.3 s of processor time and 30
MB. Once the bot runs, only a fresh interpreter will do.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Begun:
    """A zygote's process, as the bot holds it.

    Attributes:
        pid: of the process. control: the bot's end of the socket that it listens to; it ends when that is closed.
        has_ended: ask the system; whoever asks buries it.
        kill: end it at once.
    """

    pid: int
    control: socket.socket
    has_ended: Callable[[], bool]
    kill: Callable[[], None]


def fresh() -> Begun:
    """Start one as a fresh interpreter.

    Raises:
        OSError: it can't be started.
    """
    ours, theirs = socket.socketpair()
    try:
        process = subprocess.Popen(
            python("bot.live.trialzygote", f"main({theirs.fileno()}, {os.getpid()})"),
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    return Begun(process.pid, ours, lambda: process.poll() is not None, process.kill)


def fork_ahead() -> Begun | None:
    """Fork one from this process, which must not have begun anything; None where that can't be done."""
    if not hasattr(os, "fork") or not hasattr(socket, "send_fds") or threading.active_count() > 1:
        return None
    from bot.live.trialzygote import main  # which needs what needs us

    bot = os.getpid()
    ours, theirs = socket.socketpair()
    try:
        pid = os.fork()
    except OSError:
        ours.close()
        theirs.close()
        return None
    if pid == 0:
        try:
            _be_alone(theirs.fileno())
            main(theirs.detach(), bot)
        finally:
            os._exit(0)  # never back into what the bot is about to do
    theirs.close()

    def has_ended() -> bool:
        try:
            return os.waitpid(pid, os.WNOHANG) != (0, 0)
        except ChildProcessError:  # somebody buries all children, process 1 of a container, say
            return True

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    return Begun(pid, ours, has_ended, kill)


def _be_alone(channel: int) -> None:
    """Let go of all that was the bot's, but for the socket to it and the stream for errors."""
    os.setsid()
    faulthandler.disable()
    faulthandler.unregister(signal.SIGUSR1)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1):
        os.dup2(nothing, descriptor)
    for descriptor in _descriptors():
        if descriptor > 2 and descriptor != channel:
            with contextlib.suppress(OSError):  # the one that the folder was read with is closed by now
                os.close(descriptor)


def _descriptors() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return [int(each.name) for each in Path(folder).iterdir()]
    return list(range(1024))


def python(module: str, call: str) -> list[str]:
    """Return the command of an interpreter like this one that finds modules where this one does."""
    code = f"import sys; sys.path[:] = sys.argv[1:]; from {module} import main; {call}"
    optimized = ["-" + "O" * sys.flags.optimize] if sys.flags.optimize else []
    # -P is not known to every Python that we run on; the path is replaced before anything is imported.
    return [sys.executable, "-u", *optimized, "-c", code, *sys.path]
