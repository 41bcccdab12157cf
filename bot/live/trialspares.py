"""Trial processes for the bot: one is always ready, forked ahead, or made afresh where the system can't fork.

A spare has done once all that a trial does, so that no time of a save goes into that; the next is asked for when one is
taken back, off the clock. The zygote that they are forked from is started anew when it dies or hangs; when it does so a
few times in a row, spares are made afresh from then on. All on the event loop, without a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from bot.live.trialframes import HEAD_BYTES, Garbled, frame, read, split_head, value_of
from bot.live.trialorigin import Begun, fresh, python

log = logging.getLogger(__name__)

READY_SECONDS: Final = 10.0  # for a spare to come up; a fresh interpreter takes 0.2 s
GONE_SECONDS: Final = 1.0  # for a zygote to end what it has, before it is killed
AGAIN_SECONDS: Final = 0.01  # until the next spare is forked: the commit has the processor first
STARTS: Final = 3  # of a zygote in a row without one child that came up
LIMIT_BYTES: Final = 1 << 22  # of one answer that is read ahead

can_fork: Final = hasattr(os, "fork") and hasattr(socket, "send_fds")


class CannotTry(Exception):
    """There is no trial process, and none can be started; the text says why."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child died: its exit code, or the negative number of a signal; and the last of what it printed."""

    code: int
    output: str
    closed: bool = False  # it had not died, but its connection was closed


@dataclass(slots=True, eq=False)
class Spare:
    """One trial process, as the bot holds it."""

    pid: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    end: Callable[[], object]  # kills it, with all it has started; nothing if it is dead
    ended: asyncio.Future[Ended]
    known: dict[str, str] = field(default_factory=dict)  # the units that were compiled in it, by digest

    def send(self, *message: Any) -> None:
        """Ask for something."""
        self.writer.write(frame(*message))

    async def answer(self) -> tuple[Any, ...]:
        """Wait for what it says next.

        Raises:
            EOFError: it says nothing more; `ended` tells why. Garbled: something else has written there.
        """
        try:
            return await read(self.reader)
        except OSError as error:
            raise EOFError from error

    async def over(self) -> Ended:
        """Wait until it has ended, which may take a moment after its last word; end it if it goes on without."""
        done, _ = await asyncio.wait([self.ended], timeout=0.25)
        if not done:
            self.end()
            await asyncio.wait([self.ended], timeout=GONE_SECONDS)
            return Ended(0, "", closed=True)
        return self.ended.result()

    def close(self) -> None:
        """Let go of it."""
        self.end()
        self.writer.close()


class Spares:
    """Gives trial processes, one at a time.

    Args:
        fork: from a zygote; else each is a fresh interpreter.
        begun: the process of the first zygote, if it has been forked ahead.
    """

    def __init__(self, *, fork: bool = can_fork, begun: Begun | None = None) -> None:
        self._fork, self._begun = fork, begun
        self._zygote: Zygote | None = None
        self._ready: asyncio.Task[Spare] | None = None
        self._again: asyncio.TimerHandle | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._starts = 0
        self.warm: dict[str, None] = {}  # modules that plugins import, in the order in which they came up

    def prepare(self) -> None:
        """See to it that a spare is there, or comes."""
        if self._again is not None:
            self._again.cancel()
            self._again = None
        if self._ready is None:
            self._ready = asyncio.get_running_loop().create_task(self._make(), name="trial spare")
            self._ready.add_done_callback(lambda task: task.cancelled() or task.exception())

    def prepare_later(self) -> None:
        """The same, when the reload that is under way has had its time."""
        if self._again is None and self._ready is None:
            self._again = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self.prepare)

    async def take(self) -> Spare:
        """Return a spare that is ready.

        Raises:
            CannotTry: none can be had.
        """
        why = ""
        for _ in range(2):
            self.prepare()
            assert self._ready is not None
            making = self._ready
            try:
                spare = await asyncio.shield(making)
            except (CannotTry, OSError) as error:
                why = str(error)
                if self._ready is making:
                    self._ready = None
                continue
            if self._ready is making:
                self._ready = None
            if not spare.ended.done():
                return spare
            why = "it ended while it waited"
            spare.close()
        raise CannotTry(why)

    async def _make(self) -> Spare:
        spare = await (self._forked() if self._fork else self._fresh())
        try:
            spare.send("warm", list(self.warm))
            async with asyncio.timeout(READY_SECONDS):
                await spare.answer()
        except BaseException as error:
            spare.close()
            if not isinstance(error, TimeoutError | EOFError | Garbled):
                raise
            self.warm.clear()  # one of these may be what ended it
            raise CannotTry(f"a trial process did not come up ({type(error).__name__})") from error
        self._starts = 0
        return spare

    async def _forked(self) -> Spare:
        while True:
            if self._zygote is None or not self._zygote.alive:
                if self._starts >= STARTS:
                    self._fork = False
                    log.warning("the process that trials are forked from keeps ending; each trial starts its own now")
                    return await self._fresh()
                await self._end_zygote()
                begun, self._begun = self._begun, None
                self._zygote = Zygote(begun or fresh())
                self._starts += 1
            try:
                async with asyncio.timeout(READY_SECONDS):
                    return await self._zygote.fork()
            except (TimeoutError, EOFError, OSError):
                log.warning("the process that trials are forked from does not answer; starting another")
                await self._end_zygote(at_once=True)

    async def _end_zygote(self, *, at_once: bool = False) -> None:
        zygote, self._zygote = self._zygote, None
        if zygote is not None:
            await zygote.close(at_once=at_once)

    async def _fresh(self) -> Spare:
        loop = asyncio.get_running_loop()
        process = await asyncio.create_subprocess_exec(
            *python("bot.live.trialchild", "main()"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            limit=LIMIT_BYTES,
        )
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        ended: asyncio.Future[Ended] = loop.create_future()
        spare = Spare(process.pid, process.stdout, process.stdin, lambda: _kill(process), ended)
        task = loop.create_task(_attend(process, process.stderr, ended))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return spare

    async def close(self) -> None:
        """End all of it."""
        if self._again is not None:
            self._again.cancel()
        making, self._ready = self._ready, None
        if making is not None:
            making.cancel()
            (result,) = await asyncio.gather(making, return_exceptions=True)
            if isinstance(result, Spare):
                result.close()
        if self._begun is not None:  # nothing was ever tried
            self._zygote, self._begun = Zygote(self._begun), None
        await self._end_zygote()
        await asyncio.gather(*self._closing, return_exceptions=True)
        await asyncio.sleep(0)  # a transport lets go of its socket in a turn of the loop after it was closed


class Zygote:
    """The bot's end of `trialzygote.py`."""

    def __init__(self, process: Begun) -> None:
        self._loop = asyncio.get_running_loop()
        self._process, self._control = process, process.control
        self._control.setblocking(False)
        self._loop.add_reader(self._control, self._read)
        self._heard = bytearray()
        self._sockets: list[int] = []
        self._wanted: list[asyncio.Future[tuple[int, socket.socket]]] = []
        self._spares: dict[int, Spare] = {}
        self.alive = True

    async def fork(self) -> Spare:
        """Return a new child, not yet warm.

        Raises:
            EOFError, OSError: the zygote is dead.
        """
        wanted: asyncio.Future[tuple[int, socket.socket]] = self._loop.create_future()
        self._wanted.append(wanted)
        self._order("fork")
        try:
            pid, channel = await wanted
        except asyncio.CancelledError:  # which may meet the answer
            if wanted.done() and not wanted.cancelled() and wanted.exception() is None:
                wanted.result()[1].close()
            raise
        reader, writer = await asyncio.open_unix_connection(sock=channel, limit=LIMIT_BYTES)
        spare = Spare(pid, reader, writer, lambda: self._end(pid), self._loop.create_future())
        if not self.alive:
            writer.close()
            raise EOFError
        self._spares[pid] = spare
        return spare

    def _order(self, *order: Any) -> None:
        # A few bytes to somebody who always listens: if there is no room for them, it hangs, and will be replaced.
        self._control.send(frame(*order))

    def _end(self, pid: int) -> None:
        if pid in self._spares:
            with contextlib.suppress(OSError):
                self._order("end", pid)

    def _read(self) -> None:
        try:
            heard, sockets, _, _ = socket.recv_fds(self._control, 65536, 8)
        except BlockingIOError:
            return
        except OSError:
            heard, sockets = b"", []
        for descriptor in sockets:
            os.set_inheritable(descriptor, False)  # what is sent this way would go to whatever a plugin starts
        self._sockets += sockets
        self._heard += heard
        try:
            while len(self._heard) >= HEAD_BYTES:
                length, crc = split_head(bytes(self._heard[:HEAD_BYTES]))
                if len(self._heard) < HEAD_BYTES + length:
                    break
                what, *details = value_of(bytes(self._heard[HEAD_BYTES : HEAD_BYTES + length]), crc)
                del self._heard[: HEAD_BYTES + length]
                self._came(*details) if what == "child" else self._has_ended(*details)
        except Garbled:
            heard = b""
        if not heard:
            self._lost()

    def _came(self, pid: int) -> None:
        channel = socket.socket(fileno=self._sockets.pop(0))
        wanted = self._wanted.pop(0)
        if wanted.cancelled():
            channel.close()
        else:
            wanted.set_result((pid, channel))

    def _has_ended(self, pid: int, code: int, output: bytes) -> None:
        spare = self._spares.pop(pid, None)
        if spare is not None and not spare.ended.done():
            spare.ended.set_result(Ended(code, output.decode("utf-8", "replace")))
            # A process that it has left behind may hold its end of the socket open.
            self._loop.call_later(0.1, spare.reader.feed_eof)

    def _lost(self) -> None:
        """The zygote is dead, and with it all that it has forked."""
        if not self.alive:
            return
        self.alive = False
        self._loop.remove_reader(self._control)
        for spare in self._spares.values():
            if not spare.ended.done():
                spare.ended.set_result(Ended(-signal.SIGKILL, "the process that it was forked from has ended"))
            spare.reader.feed_eof()
        self._spares.clear()
        for wanted in self._wanted:
            if not wanted.done():
                wanted.set_exception(EOFError())
        for descriptor in self._sockets:
            os.close(descriptor)
        self._control.close()

    async def close(self, *, at_once: bool = False) -> None:
        """End it, and all that it has forked. It sees that we are gone, and cleans up by itself."""
        self._lost()
        if at_once:
            self._process.kill()
        deadline = self._loop.time() + GONE_SECONDS
        while not self._process.has_ended():
            if self._loop.time() > deadline:
                self._process.kill()
            await asyncio.sleep(0.005)


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()


async def _attend(
    process: asyncio.subprocess.Process, output: asyncio.StreamReader, ended: asyncio.Future[Ended]
) -> None:
    """Read what a fresh process prints, so that it is never held up by that, and wait for its end."""
    tail = bytearray()

    async def drain() -> None:
        while piece := await output.read(65536):
            tail.extend(piece)
            del tail[:-8192]

    draining = asyncio.get_running_loop().create_task(drain())
    code = await process.wait()
    with contextlib.suppress(ProcessLookupError, PermissionError, AttributeError):
        os.killpg(process.pid, signal.SIGKILL)  # what it has left behind in its session
    await asyncio.wait([draining], timeout=0.1)  # what it has started may hold the pipe open
    draining.cancel()
    if not ended.done():
        ended.set_result(Ended(code, tail.decode("utf-8", "replace")))
