"""One worker takes the place of another while both run: the keeper's side of `!restart`.

A part of the keeper (standard library only). The worker asks; a successor is started from the code on disk beside it,
and gets ready without a word to anybody: it reads the configuration, imports all, and has the plugins tried. Only then
is the one that serves told to retire. It asks to be held when that suits it, finishes what it has in hand, leaves its
state in a `hand` frame and ends; the supervisor attaches the successor, which begins with that frame. All lines that
come meanwhile wait in the keeper. A successor that fails in any way costs nothing: the asker hears why.

    restart     ->  start, `standby`  ->  `ready` or `unfit`, or it ends, or takes too long  ->  `retire` or `stays`
    hold        ->  the keeper holds  ->  `hold`
    hand        ->  kept until a worker that was given it is ready, or two have ended over it

What the frames hold is for the workers alone; theirs are `bot/handover.py` and `bot/standby.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar

from bot.wire import process
from bot.wire.deaths import in_words
from bot.wire.link import Frame, LinkEnd, one_line

log = logging.getLogger(__name__)

PREPARE_SECONDS = 120.0  # for a successor to be ready: a slow disk, many plugins that are slow to import
LEAVE_SECONDS = 15.0  # from `hold` to the end of the worker that retires; its own limits are shorter
GONE_SECONDS = 1.0  # from `hand` to its end
HANDED_TWICE = 2  # what two workers have been given and ended over is given to no third


class Worker(Protocol):
    """A worker's process, as the supervisor knows it."""

    pid: int
    ended: asyncio.Future[int]
    retired: bool

    @property
    def link(self) -> LinkEnd: ...


W = TypeVar("W", bound=Worker)


class Upgrade(Generic[W]):
    """The successor that is coming up, and what is handed over to it.

    Args:
        command: how a worker is started.
        start: starts one by such a command.
        send: hands a frame to the worker that serves.
        hold: has the keeper hand it nothing more.

    Attributes:
        command: how a worker is started from now on; another interpreter's once a successor of it has taken over.
        patience_seconds: from the request to a successor that is ready.
    """

    def __init__(
        self,
        command: Sequence[str],
        start: Callable[[Sequence[str]], Awaitable[W]],
        send: Callable[[Frame], None],
        hold: Callable[[], None],
    ) -> None:
        self.command, self.patience_seconds = list(command), PREPARE_SECONDS
        self._start, self._send, self._hold = start, send, hold
        self._preparing: asyncio.Task[None] | None = None
        self._coming: W | None = None  # not ready yet
        self._successor: W | None = None  # ready
        self._command: list[str] = []  # that the successor was started by
        self._hand: bytes | None = None
        self._given = 0
        self._timer: asyncio.TimerHandle | None = None

    # -- what the worker that serves says

    def heard(self, worker: W, frame: Frame) -> None:
        """Take a frame that is about changing workers."""
        match frame.verb:
            case "restart":
                self._ask(frame.payload)
            case "hold" if self._successor is not None:  # else it has been told that it stays
                self._hold()
                self._send(Frame("hold"))
                self._end_in(worker, LEAVE_SECONDS)
            case "hand":
                worker.retired, self._hand, self._given = True, frame.payload, 0
                worker.link.close()  # it waits for that: we have heard it
                self._end_in(worker, GONE_SECONDS)
            case "ready":  # it has taken what it was given
                self._hand = None

    def _end_in(self, worker: Worker, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, _kill, worker)

    # -- the successor, until it takes over

    def _ask(self, payload: bytes) -> None:
        if self._successor is None and (self._preparing is None or self._preparing.done()):
            self._preparing = asyncio.get_running_loop().create_task(self._prepare(payload), name="successor")

    async def _prepare(self, payload: bytes) -> None:
        try:
            why = await self._come_up(payload)
        except OSError as error:
            why = f"it can't be started: {error.strerror or error}"
        except Exception as error:
            log.exception("preparing a successor failed")
            why = f"preparing it failed: {error!r}"
        successor, self._coming = self._coming, None
        if not why and successor is not None:
            log.info("the worker %d is ready to take over", successor.pid)
            self._successor = successor
            self._send(Frame("retire"))
            successor.ended.add_done_callback(lambda _: self._lost(successor))
            return
        log.warning("no successor: %s", why)
        if successor is not None:
            _kill(successor)
        self._send(Frame("stays", (), one_line(why)))

    async def _come_up(self, payload: bytes) -> str:
        """Start it and wait until it is ready; return why it is not, or ""."""
        self._command = _by(self.command, str(json.loads(payload).get("python", "")))
        self._coming = successor = await self._start([*self._command, "--standby"])
        said: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def take(frame: Frame) -> None:
            if frame.verb in ("ready", "unfit") and not said.done():
                said.set_result(frame.payload.decode(errors="replace"))

        successor.link.on_frame = take
        successor.link.send(Frame("standby", (), payload))
        either: list[asyncio.Future[Any]] = [said, successor.ended]
        done, _ = await asyncio.wait(either, timeout=self.patience_seconds, return_when=asyncio.FIRST_COMPLETED)
        if said in done:
            return said.result()
        if successor.ended in done:
            return f"{_how(successor.ended.result())} while it started; the log says more"
        return f"it was not ready within {self.patience_seconds:g} s"

    def _lost(self, successor: W) -> None:
        if self._successor is successor:
            self._successor = None
            self._send(Frame("stays", (), one_line(f"{_how(successor.ended.result())} before it took over")))

    # -- what the supervisor asks

    def take(self) -> W | None:
        """Return the successor, if it is ready: the worker before has ended. One that is not ready is ended."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        successor, self._successor = self._successor, None
        self.end()
        if successor is None or successor.ended.done():
            return None
        self.command = self._command
        return successor

    def introduce(self, worker: Worker, *, successor: bool) -> None:
        """Give a worker what the one before has left, if it has left anything; to a successor that means: begin."""
        if self._given >= HANDED_TWICE:
            self._hand = None
        if self._hand is not None or successor:
            worker.link.send(Frame("hand", (), self._hand or b""))
            self._given += 1

    def end(self) -> None:
        """End whatever is coming up."""
        if self._preparing is not None:
            self._preparing.cancel()
            self._preparing = None
        for worker in (self._coming, self._successor):
            if worker is not None:
                _kill(worker)
        self._coming = self._successor = None


#: Another interpreter has packages of its own: not from this one's folders, which `process.command` names.
_ELSEWHERE = "import sys; del sys.path[: not sys.flags.safe_path]; from bot.worker import main; sys.exit(main())"


def _by(command: Sequence[str], python: str) -> list[str]:
    return [python, "-c", _ELSEWHERE, *command[3:]] if python else list(command)


def _how(status: int) -> str:
    return f"it {in_words(os.waitstatus_to_exitcode(status))}"


def _kill(worker: Worker) -> None:
    if not worker.ended.done():
        process.send(worker.pid, signal.SIGKILL)
