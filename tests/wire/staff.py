"""A supervisor whose workers are no processes: each does what its test says, over a real socket, in no time.

    @staged
    async def test_...(staff: Staff) -> None:
        first = await staff.started(1)
        first.says("ready")
        await staff.at(10)
        first.ends(-signal.SIGSEGV)

Time stands still while anything is to be done, and then jumps to whatever is due next: all moments are exact.
"""

from __future__ import annotations

import asyncio
import functools
import json
import os
import selectors
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from bot import atwork
from bot.wire import process
from bot.wire.keeper import Keeper
from bot.wire.link import Frame
from bot.wire.socketlink import SocketEnd
from bot.wire.supervisor import Supervisor
from bot.wire.systemd import Systemd
from bot.wire.workers import Worker

LONG = 5_000.0  # seconds after which a test that waits in vain has failed


class _Impatient(selectors.DefaultSelector):
    """Never waits: what it would have waited for is over, or is there."""

    loop: Loop

    def select(self, timeout: float | None = None) -> list[Any]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        if self.loop.idlers:
            for idler in self.loop.idlers:
                idler.set_result(None)
            self.loop.idlers.clear()
            return []
        if timeout is None or self.loop.now > LONG:
            self.loop.on_end()
            return []
        self.loop.now += timeout + self.loop.held_up
        self.loop.held_up = 0.0
        return []


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock the tests move.

    Attributes:
        held_up: so much longer than asked for does the next wait last: a machine that sleeps, a loop that is held.
    """

    def __init__(self) -> None:
        self.now, self.held_up = 0.0, 0.0
        self.idlers: list[asyncio.Future[None]] = []  # done when nothing is to be done at this moment
        self.on_end: Callable[[], object] = lambda: None  # called when nothing more will come
        selector = _Impatient()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now


class Actor:
    """A worker's process, played: what it is told, and what the test has it do."""

    def __init__(self, staff: Staff, worker: Worker, command: Sequence[str], link: SocketEnd, at: float) -> None:
        self._staff, self.worker, self.command, self.link, self.began = staff, worker, command, link, at
        self.pid = worker.pid
        self.heard: list[Frame] = []
        self._beat: asyncio.TimerHandle | None = None
        self.stacks = b""  # what it writes when it is asked where it is
        link.on_frame = self._take

    def _take(self, frame: Frame) -> None:
        self.heard.append(frame)
        self._staff.wake()

    @property
    def verbs(self) -> list[str]:
        return [frame.verb for frame in self.heard]

    def told(self, verb: str) -> list[str]:
        """The payloads of all frames of one verb."""
        return [frame.payload.decode() for frame in self.heard if frame.verb == verb]

    def says(self, verb: str, *fields: str, payload: bytes = b"") -> None:
        self.link.send(Frame(verb, fields, payload))

    async def hears(self, verb: str) -> None:
        await self._staff.until(lambda: verb in self.verbs)

    def opens(self) -> None:
        """Take what the keeper has of a network."""
        limits = {"burst": 0, "per_second": 0, "connect_seconds": 2 * LONG}
        self.says("open", "net", payload=json.dumps({"host": "h", "port": 1, "tls": None, **limits}).encode())

    def beats(self) -> None:
        """Show each second that its loop turns, from now on."""
        self.says("beat")
        self._beat = self._staff.loop.call_later(1.0, self.beats)

    def falls_silent(self) -> None:
        if self._beat is not None:
            self._beat.cancel()

    def writes(self, stacks: bytes) -> None:
        """Say where its threads are."""
        self.worker.stacks.seek(0, os.SEEK_END)
        self.worker.stacks.write(stacks)

    def ends(self, code: int) -> None:
        """Exit with a code, or be ended by a signal if it is negative."""
        self.falls_silent()
        self.link.abort()
        self._staff.supervisor._changed(self.worker, -code if code < 0 else code << 8)

    def is_stopped(self, by: signal.Signals) -> None:
        self._staff.supervisor._changed(self.worker, by << 8 | 0x7F)

    def goes_on(self) -> None:
        self._staff.supervisor._changed(self.worker, 0xFFFF)


class _Supervisor(Supervisor):
    """With `Staff.hire` in place of `Popen`."""

    hire: Callable[[Sequence[str]], Awaitable[Worker]]

    async def _start(self, command: Sequence[str]) -> Worker:
        return await self.hire(command)


class _Told(Systemd):
    """Service manager: keeps what it is told."""

    def __init__(self) -> None:
        super().__init__({})
        self.states: list[str] = []

    def _tell(self, state: str) -> None:
        self.states.append(state.partition("\n")[0])


class Staff:
    """The supervisor, its workers, and what it does to them.

    Attributes:
        workers: all that were started, in order.
        signals: (when, to whom, which) of those that were sent to a worker.
        strays: (when, to whose group, which); the group is None for all.
        refuse: why the next worker can't be started.
        slow: how many seconds it takes to start one; agony: from SIGKILL to the end.
    """

    def __init__(self, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.loop = loop
        self.workers: list[Actor] = []
        self.signals: list[tuple[float, int, int]] = []
        self.strays: list[tuple[float, int | None, int]] = []
        self.refuse: OSError | None = None
        self.slow = self.agony = 0.0
        self.systemd = _Told()
        self._turns: list[asyncio.Future[None]] = []
        monkeypatch.setattr(process, "send", self._send)
        monkeypatch.setattr(
            process, "end_strays", lambda number, group=None: self.strays.append((loop.now, group, number))
        )
        keeper = Keeper(clock=loop.time)
        self.supervisor = _Supervisor(["bot", "--x"], b"settings", keeper, systemd=self.systemd, clock=loop.time)
        self.supervisor.hire = self._hire
        monkeypatch.setattr("bot.wire.keeper.dial", lambda *_: loop.create_future())  # nobody answers

    def begin(self) -> None:
        self.run = self.loop.create_task(self.supervisor.run())
        self.run.add_done_callback(lambda _: self.wake())

    async def _hire(self, command: Sequence[str]) -> Worker:
        if self.slow:
            await asyncio.sleep(self.slow)
        if self.refuse is not None:
            raise self.refuse
        ours, its = socket.socketpair()
        worker = Worker(101 + len(self.workers), await SocketEnd.over(ours), atwork.paper(), self.loop.now)
        self.supervisor._workers[worker.pid] = worker
        self.workers.append(Actor(self, worker, list(command), await SocketEnd.over(its), self.loop.now))
        self.wake()
        return worker

    def _send(self, pid: int, number: int) -> None:
        self.signals.append((self.loop.now, pid, number))
        actor = self.workers[pid - 101]
        if number == signal.SIGUSR1:
            actor.writes(actor.stacks)
        elif number == signal.SIGKILL and not actor.worker.ended.done():
            self.loop.call_later(self.agony, actor.ends, -signal.SIGKILL)

    # -- what a test waits for

    def wake(self) -> None:
        turns, self._turns = self._turns, []
        for turn in turns:
            if not turn.done():
                turn.set_result(None)

    async def until(self, true: Callable[[], object]) -> None:
        while not true():
            self._turns.append(self.loop.create_future())
            await self._turns[-1]

    async def started(self, number: int) -> Actor:
        """Wait for the n-th worker, until it has been given what it is given at first."""
        await self.until(lambda: len(self.workers) >= number)
        actor = self.workers[number - 1]
        await self.until(lambda: actor.heard)
        return actor

    async def at(self, moment: float) -> None:
        """Wait until the clock shows this, and all that is due by then has been done."""
        await asyncio.sleep(moment - self.loop.now)
        await self.settled()

    async def settled(self) -> None:
        """Wait until all that was said is heard."""
        self.loop.idlers.append(self.loop.create_future())
        await self.loop.idlers[-1]

    async def code(self) -> int:
        """Wait for the end; return the exit code."""
        await asyncio.sleep(0)
        return await self.run

    async def end(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for actor in self.workers:
            actor.falls_silent()
            actor.link.abort()
            actor.worker.link.abort()
            actor.worker.stacks.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


def staged(test: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Let a test run on such a loop; `staff` is among its arguments, other fixtures may be."""

    @functools.wraps(test)
    def run(staff: Staff, **fixtures: Any) -> None:
        async def play() -> None:
            task = staff.loop.create_task(test(staff, **fixtures))
            staff.loop.on_end = task.cancel
            await asyncio.sleep(0)  # a test may prepare something first
            staff.begin()
            await asyncio.wait([task])
            await staff.end()
            if staff.run.done() and not staff.run.cancelled() and (error := staff.run.exception()):
                raise error
            assert not task.cancelled(), "what the test waits for never comes"
            task.result()

        staff.loop.run_until_complete(play())

    return run
