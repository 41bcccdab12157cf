"""The process that trial processes are forked from: single-threaded, started before the bot has anything to lose.

    fork          -> child PID, with one end of a socket to it
    end PID       ends that child, and all that it has started
                  -> ended PID STATUS OUTPUT    for each child that has died, whoever killed it

Nothing of a plugin ever runs here, so it answers at once whatever a trial does; it holds no socket of the bot, see
`trialorigin.py`, which tells how it begins. It has imported what plugins import, once, and frozen it, so a fork takes
under a millisecond and shares its memory. A trial is a session of its own; whatever leaves that session comes back here
when its parent dies (a subreaper, prctl(2)) and is killed as well. When the bot is gone, however it went, all ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import os
import selectors
import signal
import socket
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bot.live.names import install
from bot.live.trialchild import Child, confine, die_with_parent, rehearse
from bot.live.trialframes import frame, receive

OUTPUT_BYTES: Final = 8192  # of what a trial prints, the end is kept
ZYGOTE_TIMES: Final = 10
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36


@dataclass(slots=True)
class _Trial:
    """A child as its parent knows it."""

    output: int  # where its prints can be read; -1 at their end
    tail: bytearray = field(default_factory=bytearray)


class Zygote:
    """Forks, watches and ends children. See the module's head."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._orders = Whole(control)
        self._trials: dict[int, _Trial] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the bot decides when it ends
        signal.set_wakeup_fd(self._woken.fileno())
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def serve(self) -> None:
        """Do what is asked until the bot is gone."""
        try:
            while True:
                for key, _ in self._selector.select():
                    if key.fileobj is self._control:
                        self._order(*receive(self._orders))
                    elif key.fileobj is self._wake:
                        with contextlib.suppress(BlockingIOError):
                            self._wake.recv(4096)
                        self._reap()
                    else:
                        self._drain(key.data)
        except (EOFError, OSError):
            return
        finally:
            self._end_all()
            signal.set_wakeup_fd(-1)  # the interpreter closes what it leads to before it is done with signals

    def _order(self, order: str, pid: int = 0) -> None:
        if order == "fork":
            self._fork()
        elif pid in self._trials:
            _kill(pid)

    def _fork(self) -> None:
        ours, theirs = socket.socketpair()
        output, prints = os.pipe()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._become_trial(theirs, prints, parent)
            finally:
                os._exit(70)  # only an error of ours gets here
        theirs.close()
        os.close(prints)
        os.set_blocking(output, False)
        self._trials[pid] = _Trial(output)
        self._selector.register(output, selectors.EVENT_READ, pid)
        socket.send_fds(self._control, [frame("child", pid)], [ours.fileno()])
        ours.close()

    def _become_trial(self, channel: socket.socket, prints: int, parent: int) -> None:
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.setsid()
        confine(prints, parent)
        os.closerange(3, channel.fileno())
        os.closerange(channel.fileno() + 1, 1024)
        orders = Whole(channel)
        Child(channel.sendall, lambda: receive(orders)).serve()
        os._exit(0)  # not what plugins have put into `atexit`

    def _drain(self, pid: int) -> None:
        """Take what a trial has printed, so that it is never held up by that."""
        trial = self._trials.get(pid)
        if trial is None or trial.output < 0:
            return
        with contextlib.suppress(BlockingIOError):
            printed = os.read(trial.output, 65536)
            trial.tail += printed
            del trial.tail[:-OUTPUT_BYTES]
            if not printed:
                self._selector.unregister(trial.output)
                os.close(trial.output)
                trial.output = -1

    def _reap(self) -> None:
        """Bury the dead, with all that they leave behind."""
        while (pid := _dead()) is not None:
            if pid in self._trials:
                _kill(pid)
            _, status = os.waitpid(pid, 0)
            if pid in self._trials:
                self._drain(pid)
                trial = self._trials.pop(pid)
                if trial.output >= 0:  # something that it has started holds it open
                    self._selector.unregister(trial.output)
                    os.close(trial.output)
                self._control.sendall(frame("ended", pid, os.waitstatus_to_exitcode(status), bytes(trial.tail)))
            self._kill_strays()

    def _end_all(self) -> None:
        """Kill what there is, and wait for it: only then does what it has started come to us."""
        for pid in self._trials:
            _kill(pid)
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, _ = os.waitpid(-1, 0)
                self._trials.pop(pid, None)
                self._kill_strays()

    def _kill_strays(self) -> None:
        """Kill what a trial has sent out of its session; it has become our child when its parent died."""
        me = os.getpid()
        try:
            children = {int(pid) for pid in Path(f"/proc/{me}/task/{me}/children").read_text().split()}
        except OSError:
            return  # not Linux
        for pid in children - self._trials.keys():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _dead() -> int | None:
    """Return a child that has died and is not buried: its number still means its session and nobody else's."""
    try:
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return None if dead is None else dead.si_pid


def _kill(pid: int) -> None:
    """Kill a trial and its session, which it may not have opened yet."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Whole:
    """A socket as a file that is read in exact pieces, with nothing left in between for `select` to miss."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def read(self, length: int) -> bytes:
        """Return so many bytes, or fewer if the other end is gone."""
        return self._channel.recv(length, socket.MSG_WAITALL)


def main(descriptor: int, parent: int) -> None:
    """Be the zygote of a bot.

    Args:
        descriptor: of the socket to it. parent: its process.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # who started the bot, or a plugin, may have blocked some
    control = socket.socket(fileno=descriptor)
    control.set_inheritable(False)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
        ctypes.CDLL(None).prctl(_PR_SET_NAME, b"nq:trials")
    install(())
    faulthandler.enable(2)  # the stack of a crash is among what the trial printed
    zygote = Zygote(control)
    die_with_parent(parent, signal.SIGTERM)
    rehearse(ZYGOTE_TIMES)
    gc.collect()
    gc.freeze()
    gc.disable()
    zygote.serve()
