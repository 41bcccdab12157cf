"""What plugin code starts or opens by itself, past its context: threads, sockets, processes, timers of the loop.

Sockets and processes are seen by an audit hook, in the context that opens them: whose they are is known exactly, and
they are held weakly, so that one which is closed or collected is forgotten. A thread begins with an empty context; it
belongs to the version that was entered when it began, or whose code it runs. Files need nothing of this: nothing but
old code holds them, and they close when that is collected.

At the end of a version its processes are told to end and its timers called off. Threads and sockets can't be ended from
outside without harm to others: what still runs or is open later is named, see `leaks.py`.

Borrowed private names (`tests/live/test_strays.py` holds them): the local `self` in `subprocess.Popen._execute_child`,
the loop's `_scheduled` and `_ready`, a handle's `_callback` and `_args`, a thread's `_target`. Without them such a
thing is only not found.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from bot.api.http import shared
from bot.dispatch.guard import guest

log = logging.getLogger(__name__)


class Strays:
    """Those of one generation."""

    def __init__(self) -> None:
        self.threads: WeakSet[threading.Thread] = WeakSet()
        self.sockets: WeakSet[socket.socket] = WeakSet()
        self.processes: WeakSet[subprocess.Popen[Any]] = WeakSet()

    def end(self, is_mine: Callable[[Any], bool]) -> list[str]:
        """End what can be ended; note the threads that run its code. Returns what was ended, in words."""
        ended = []
        for process in list(self.processes):
            if process.returncode is None:
                try:
                    os.kill(process.pid, signal.SIGTERM)  # terminate() may take its status away from asyncio
                except OSError:
                    continue
                ended.append(_called(process))
        for thread in threading.enumerate():
            if is_mine(thread) or any(map(is_mine, _told(thread))):
                self.threads.add(thread)
        for thread in list(self.threads):
            if isinstance(thread, threading.Timer) and not thread.finished.is_set():
                thread.cancel()
                ended.append(f"the timer thread {thread.name}")
        return ended + [_called_off(handle) for handle in _handles(is_mine)]

    def left(self) -> list[str]:
        """Return what is still there, in words."""
        threads = [f"thread {thread.name}" for thread in self.threads if thread.is_alive()]
        sockets = [f"socket {_address(each)}" for each in self.sockets if each.fileno() != -1]
        return [*sorted(threads), *sorted(sockets), *(_called(each) for each in self.processes if each.poll() is None)]


def _told(thread: threading.Thread) -> list[Any]:
    """Return what a thread was told to run."""
    given = [getattr(thread, name, None) for name in ("_target", "function")]
    given += getattr(thread, "_args", None) or ()
    return [each for each in given if callable(each)]


def _handles(is_mine: Callable[[Any], bool]) -> list[asyncio.Handle]:
    """Return what the loop is to call of its code: timers, those that are due already and callbacks of the next turn.

    One that is due may start the next: left out, a chain of timers would outlive its version.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return []
    found = []
    for handle in (*getattr(loop, "_scheduled", ()), *getattr(loop, "_ready", ())):
        callback, arguments = getattr(handle, "_callback", None), getattr(handle, "_args", None) or ()
        if not handle.cancelled() and any(callable(each) and is_mine(each) for each in (callback, *arguments)):
            found.append(handle)
    return found


def _called_off(handle: asyncio.Handle) -> str:
    callback = getattr(handle, "_callback", None)
    handle.cancel()
    kind = "timer" if isinstance(handle, asyncio.TimerHandle) else "callback"
    return f"a {kind} of the loop for {getattr(callback, '__qualname__', 'it')}"


def _called(process: subprocess.Popen[Any]) -> str:
    words = process.args if isinstance(process.args, str | bytes | os.PathLike) else list(process.args)[:3]
    text = words if isinstance(words, str) else " ".join(map(str, words)) if isinstance(words, list) else str(words)
    return f"process {process.pid} ({text[:40]})"


def _address(each: socket.socket) -> str:
    try:
        return str(each.getsockname() or "without a name")
    except OSError:
        return "without a name"


_audited = False


def audit() -> None:
    """Begin to note whose sockets and processes are opened, for as long as the process lives. Idempotent."""
    global _audited
    if not _audited:
        _audited = True
        sys.addaudithook(_opened)


def _opened(event: str, arguments: tuple[Any, ...]) -> None:
    # Every audited event of the process comes by here, so the common way out is first.
    if event != "socket.__new__" and event != "subprocess.Popen":
        return
    owner = guest()
    strays: Strays | None = getattr(owner.imprint, "strays", None) if owner is not None else None
    if strays is None or shared.get():
        return
    if event == "socket.__new__":
        strays.sockets.add(arguments[0])
        return
    known = sys._getframe(1).f_locals
    if isinstance(process := known.get("self"), subprocess.Popen) and not known.get("start_new_session"):
        strays.processes.add(process)
