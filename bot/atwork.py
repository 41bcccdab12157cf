"""Who is at work in the worker's process, where the keeper can read it after the end: which line held it, if one did.

One page of memory that both processes map. The worker writes there whose code it enters, and that it has left it; that
costs a quarter of a microsecond for each step of a call, and no system call. The keeper reads it when the worker had to
be ended for its silence, and by then nothing changes it any more:

    the loop      a step of a line's coroutine, or of a task that it started, or the search for whom the line wakes
    seats         one for each thread that runs plain functions
    stamps        of a thread that does nothing else, as long as it gets the interpreter

A step that has been at work on the loop for half of the silence has caused it, if the interpreter was free meanwhile
(`time.sleep`, a deadlock, `while True`). If it was not (a regex), then whoever's thread alone used the processor held
it. In all other cases this says nothing: code that no line has called, two threads that compute, a system without
`/proc`, an interpreter that was held for a part of the time.

Standard library only; the keeper imports it.
"""

from __future__ import annotations

import asyncio
import mmap
import os
import tempfile
import threading
import types
from collections.abc import Callable, Collection, Coroutine, Generator, Mapping
from contextvars import ContextVar
from hashlib import blake2b
from pathlib import Path
from time import monotonic_ns, sleep
from typing import IO, Any, Final

PAGE_BYTES: Final = 4096
STACKS_BYTES: Final = 64 * 1024
STAMPS: Final = 16  # in the silence that is allowed
LATE: Final = 3  # so many of their times without one: somebody else had the interpreter
STAMP_SECONDS: Final = 0.25  # from one to the next, as long as nobody has said how long that is
LOOK_SECONDS: Final = 0.1  # how long we look who uses the processor
BUSY_SECONDS: Final = 0.005  # of these; a thread that waits for the interpreter uses 0.0003

# Words of 8 bytes. Of the loop and of each seat: who (0: nobody), since when (ns, monotonic), thread.
_WHO, _SINCE, _THREAD, _WORDS = range(4)
_STAMP, _ON_TIME = 3, 4  # the last one, and since when none was late
_SEATS: Final = range(6, PAGE_BYTES // 8 - _WORDS, _WORDS)

current: ContextVar[int] = ContextVar("line at work", default=0)


def name(number: str) -> int:
    """Return what stands for an entry: the number of a line, and of anything else a hash that is no such number."""
    if number.isdecimal():
        return int(number)
    return 1 << 63 | int.from_bytes(blake2b(number.encode(), digest_size=8).digest(), "little")


# -- the worker


class Register:
    """This process's page; one in memory of its own until `begin`, which nobody reads."""

    def __init__(self) -> None:
        self.kept = False  # somebody reads it
        self.stamp_seconds = STAMP_SECONDS
        self._open(bytearray(PAGE_BYTES))

    def _open(self, page: bytearray | mmap.mmap) -> None:
        self._words = memoryview(page).cast("Q")
        self._free = list(_SEATS)

    def begin(self, descriptor: int) -> None:
        """Write where the keeper reads; before there is any other thread."""
        self._open(mmap.mmap(descriptor, PAGE_BYTES))
        self.kept = True
        self._words[_THREAD] = threading.get_native_id()
        threading.Thread(target=self._stamp, name="stamp", daemon=True).start()

    def _stamp(self) -> None:
        words = self._words
        while True:
            now = monotonic_ns()
            if now - words[_STAMP] > LATE * self.stamp_seconds * 1e9:
                words[_ON_TIME] = now
            words[_STAMP] = now
            sleep(self.stamp_seconds)

    def enter(self, who: int) -> None:
        """Somebody's code is at work on the loop, in this very step, until `leave`."""
        words = self._words
        words[_SINCE] = monotonic_ns()
        words[_WHO] = who

    def leave(self) -> None:
        """The loop is the bot's again."""
        self._words[_WHO] = 0

    async def run(self, coroutine: Coroutine[Any, Any, Any], who: int) -> Any:
        """Await a coroutine, and tasks that it starts, as the work of this one."""
        current.set(who)
        return await self.watch(coroutine, who)

    @types.coroutine
    def watch(self, coroutine: Coroutine[Any, Any, Any], who: int) -> Generator[Any, Any, Any]:
        """Await a coroutine; whoever looks sees in which of its steps it is at work."""
        words, clock, send, given = self._words, monotonic_ns, coroutine.send, None
        resume: Callable[[Any], Any] = send
        while True:
            words[_SINCE] = clock()
            words[_WHO] = who
            try:
                awaited = resume(given)
            except StopIteration as end:
                return end.value
            finally:
                words[_WHO] = 0
                # An exception that was thrown in would be held by this frame, and the frame by its trace.
                resume, given = send, None
            try:
                given = yield awaited
            except BaseException as error:  # GeneratorExit, when it is closed, as well
                resume, given = coroutine.throw, error

    def sit_down(self) -> int:
        """Return a seat for the calling thread; 0 if there is none, which is a seat that nobody looks at."""
        try:
            seat = self._free.pop()
        except IndexError:
            return 0
        self._words[seat + _THREAD] = threading.get_native_id()
        return seat

    def stand_up(self, seat: int) -> None:
        """The thread ends."""
        if seat:
            self.rest(seat)
            self._free.append(seat)

    def work(self, seat: int, who: int) -> None:
        """The thread in this seat begins a call; 0 is one that no line has caused."""
        if seat:
            words = self._words
            words[seat + _SINCE] = monotonic_ns()
            words[seat + _WHO] = who

    def rest(self, seat: int) -> None:
        """The call is over."""
        if seat:
            self._words[seat + _WHO] = 0


here = Register()


# -- the keeper


def nameless() -> IO[bytes]:
    """Return a file without a name, and where the system can do that, on no disk."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("neverquit"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


def paper() -> IO[bytes]:
    """Return a file without a name: a page for the register, and behind it room for what the worker writes."""
    file = nameless()  # on a disk, the page would be written again and again
    file.truncate(PAGE_BYTES)
    file.seek(PAGE_BYTES)  # for the worker as well: they share the place
    return file


def written(file: IO[bytes]) -> str:
    """Return what the worker has written, and close it."""
    with file:
        file.seek(PAGE_BYTES)
        return file.read(STACKS_BYTES).decode(errors="replace").strip()


async def look_at(paper: IO[bytes], pid: int, silent_seconds: float) -> Witness:
    """Look what a worker does that has been silent for too long, before it is ended; see `Witness`."""
    witness = Witness(paper, pid, silent_seconds)
    if witness.held:
        witness.look()
        await asyncio.sleep(LOOK_SECONDS)
        witness.look()
    return witness


class Witness:
    """What was seen of it.

    Args:
        paper: that it was given.
        pid: its process.
        silent_seconds: for how long it has been.

    Attributes:
        held: no other thread got the interpreter. It matters who uses the processor, between two looks.
    """

    def __init__(self, paper: IO[bytes], pid: int, silent_seconds: float) -> None:
        self._paper, self._pid = paper, pid
        now, silent = monotonic_ns(), int(silent_seconds * 1e9)
        self._half = now - silent // 2
        words = self._read()
        self.held = 0 < words[_STAMP] < self._half
        self._free = words[_STAMP] > now - LATE * silent // STAMPS and words[_ON_TIME] < self._half
        self._used: Mapping[int, int] = {}
        self._busy: list[int] = []

    def look(self) -> None:
        """See who uses the processor."""
        used = _processor_ns(self._pid)
        least = BUSY_SECONDS * 1e9
        self._busy = [thread for thread, ns in used.items() if ns - self._used.get(thread, ns) >= least]
        self._used = used

    def guilty(self, in_hand: Collection[str]) -> str | None:
        """Return which of the lines in hand has caused the silence, if that is certain; after the end."""
        words = self._read()
        held = self.held and words[_STAMP] < self._half  # still
        for at in (0, *_SEATS):
            who, since, thread = words[at : at + _WORDS]
            if who and since < self._half and ([thread] == self._busy if held else self._free and at == 0):
                return next((number for number in in_hand if name(number) == who), None)
        return None

    def _read(self) -> memoryview:
        page = os.pread(self._paper.fileno(), PAGE_BYTES, 0)
        return memoryview(page.ljust(PAGE_BYTES, b"\0")).cast("Q")  # whatever has been done to the file


def _processor_ns(pid: int) -> dict[int, int]:
    """Return the processor time of each thread of a process, where the system tells it, in nanoseconds."""
    found = {}
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0])
    except (OSError, ValueError):
        return {}  # one of them has just ended: then it did not hold the others up
    return found
