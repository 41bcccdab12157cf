"""The keeper's process: it starts the worker, watches it, and starts another whenever one ends.

Started by `neverquit run`, which has checked the configuration and become this process.

Standard library only, as all of the keeper. The worker runs in a process group of its own, on one half of a socketpair
that it inherits; signals are ours, and reach it as frames. It is replaced when it ends by itself, when a signal ends
it, and when it has been silent for too long, in which case it first writes the stack of each thread to the log. Only
its own faults make it start later and later, and in the end without plugins; a kill from outside never counts.

How a worker begins, and what it does with what it is told, is `bot/worker.py`; how one takes the place of another
that is well is `upgrade.py`; what the system does for us is `process.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

from bot.wire.keeper import Keeper
from bot.wire.link import Frame
from bot.wire.socketlink import SocketEnd
from bot.wire.upgrade import Upgrade

log = logging.getLogger(__name__)

START_SECONDS = 30.0  # from the start of a worker to its first frame: a cold disk, a slow machine
DUMP_SECONDS = 0.5  # for a silent worker to write its stacks before it is killed
STOP_SECONDS = 4.0  # the contract says 5 from signal to exit
CLOSE_SECONDS = 0.5  # of these, for the QUITs of a keeper without a worker
FAULT_WINDOW_SECONDS = 120.0
FAULTS_AT_ONCE = 3  # own faults within the window that are answered with a new worker at once
FAULTS_TO_SAFETY = 6  # and after so many the next one comes without plugins
KILLS_AS_FAULT = 5  # kills from outside in a row without one line finished: that is the memory running out
BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)


class Worker:
    """One worker process and our end of its link."""

    def __init__(self, pid: int, link: SocketEnd, now: float) -> None:
        self.pid, self.link, self.started = pid, link, now
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()  # the status of `waitpid`
        self.ready = False
        self.spoken = False
        self.silent = False  # it is being killed for its silence
        self.retired = False  # it has handed over to a successor


class Supervisor:
    """Keeps a worker running for as long as it is wanted. See the module's head.

    Args:
        command: how to start a worker; the descriptor of its half of the link is added as the last argument.
        config: the settings for it, opaque.
        keeper: the connections.
    """

    def __init__(
        self,
        command: Sequence[str],
        config: bytes,
        keeper: Keeper,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.keeper, self._clock = config, keeper, clock
        self.worker: Worker | None = None
        self.started = clock()
        self.restarts = 0
        self.silence_seconds, self.hold_seconds = 5.0, 600.0
        self._code: int | None = None  # of our exit, once that is decided
        self._stopping = False
        self._workers: dict[int, Worker] = {}
        self._faults: deque[float] = deque()
        self._kills = 0
        self._finished = 0  # lines, as the keeper counted them at the last death
        self._news: deque[Frame] = deque(maxlen=50)  # for the next worker
        self._wake = asyncio.Event()
        self.upgrade: Upgrade[Worker] = Upgrade(command, self._start, self._say, keeper.hold)
        keeper.on_other = self._frame

    async def run(self) -> int:
        """Keep a worker running until the end is asked for; return the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        while not self._stopping:
            successor = self.upgrade.take()
            worker = self.worker = successor or await self._start(self._command())
            self._introduce(worker, successor=successor is not None)
            self.keeper.attach(worker.link)
            await self._watch(worker)
            self._after(worker)
            await self._pause()
        self.upgrade.end()
        await self._close()
        return self._code or 0

    # -- one worker

    def _command(self) -> list[str]:
        return [*self.upgrade.command, "--safe"] if self._unsafe() else self.upgrade.command

    async def _start(self, command: Sequence[str]) -> Worker:
        ours, its = socket.socketpair()
        with its:
            os.set_inheritable(its.fileno(), True)
            process = subprocess.Popen(  # noqa: ASYNC220  # 2 ms, which no PING notices
                [*command, str(its.fileno())],
                pass_fds=[its.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        process.returncode = 0  # its end is ours to hear of, by `_reap`
        link = await SocketEnd.over(ours)
        worker = self._workers[process.pid] = Worker(process.pid, link, self._clock())
        log.debug("worker %d started", worker.pid)
        return worker

    def _introduce(self, worker: Worker, *, successor: bool) -> None:
        worker.started = self._clock()
        self.upgrade.introduce(worker, successor=successor)
        if not successor:  # which has read its own
            worker.link.send(Frame("config", (), self.config))
        while self._news:
            worker.link.send(self._news.popleft())

    async def _watch(self, worker: Worker) -> None:
        """Wait for its end, and bring that about when it is silent for too long."""
        while not worker.ended.done():
            patience = self.silence_seconds if worker.spoken else START_SECONDS
            left = max(self.keeper.heard_at, worker.started) + patience - self._clock()
            if left > 0:
                await asyncio.wait([worker.ended], timeout=left)
            else:
                await self._end_silent(worker, patience)

    async def _end_silent(self, worker: Worker, patience: float) -> None:
        log.error("the worker %d has been silent for %g s; it is ended, its stacks follow", worker.pid, patience)
        worker.silent = True
        if worker.spoken:  # else nobody takes the signal yet
            _signal(worker.pid, signal.SIGUSR1)
            await asyncio.wait([worker.ended], timeout=DUMP_SECONDS)
        _signal(worker.pid, signal.SIGKILL)
        await worker.ended

    def _reap(self) -> None:
        """Take the status of every child that has ended; as process 1 also of orphans that became ours."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            worker = self._workers.pop(pid, None)
            if worker is not None and not worker.ended.done():
                worker.link.abort()
                self.keeper.detach(worker.link)
                worker.ended.set_result(status)

    # -- after its end

    def _after(self, worker: Worker) -> None:
        """Find out what its end means."""
        status = worker.ended.result()
        code = os.waitstatus_to_exitcode(status)
        if self._code is not None or self._stopping:
            self._stopping = True
            return
        if worker.retired:
            self._faults.clear()  # they were those of other code
            self._finished = self.keeper.finished
            return
        own_fault = worker.silent or not _from_outside(code)
        if not own_fault:
            self._kills = self._kills + 1 if self.keeper.finished == self._finished else 1
            own_fault = self._kills >= KILLS_AS_FAULT
        self._finished = self.keeper.finished
        why = "was silent" if worker.silent else _words(code)
        self.restarts += 1
        if own_fault:
            self._faults.append(self._clock())
        skipped = self.keeper.died(own_fault=own_fault, silent=worker.silent)
        log.error("the worker %d %s; starting another", worker.pid, why)
        self._tell(Frame("news", (), f"the bot's worker {why} and was replaced".encode()))
        if skipped is not None:
            self._tell(Frame("skipped", (skipped[0],), skipped[1]))

    def _say(self, frame: Frame) -> None:
        if self.worker is not None:
            self.worker.link.send(frame)

    def _tell(self, frame: Frame) -> None:
        self._news.append(frame)

    async def _pause(self) -> None:
        """Let time pass before the next one, if this one's predecessors ended by their own faults again and again."""
        now = self._clock()
        while self._faults and now - self._faults[0] > FAULT_WINDOW_SECONDS:
            self._faults.popleft()
        late = len(self._faults) - FAULTS_AT_ONCE
        if late > 0 and not self._stopping:
            seconds = BACKOFF_SECONDS[min(late, len(BACKOFF_SECONDS)) - 1]
            log.warning("%d workers have failed; the next one starts in %g s", len(self._faults), seconds)
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), seconds)
            except TimeoutError:
                pass

    def _unsafe(self) -> bool:
        return len(self._faults) >= FAULTS_TO_SAFETY

    # -- what a worker says about itself and us

    def _frame(self, frame: Frame) -> None:
        worker = self.worker
        if worker is None:
            return
        worker.spoken = True
        match frame.verb:
            case "restart" | "hold" | "hand":
                self.upgrade.heard(worker, frame)
            case "ready":
                worker.ready = True
                self.upgrade.heard(worker, frame)
            case "limits":
                limits = json.loads(frame.payload)
                self.silence_seconds = float(limits["silence_seconds"])
                self.hold_seconds = float(limits["hold_seconds"])
            case "config":
                self.config = frame.payload
            case "end":
                self._code = int(frame.fields[0])

    # -- the end

    def stop(self, reason: str) -> None:
        """Say QUIT, end the worker, and go: SIGTERM or SIGINT came, or the terminal is gone."""
        if self._stopping:
            return
        self._stopping = True
        self._wake.set()
        self.upgrade.end()
        worker = self.worker
        if worker is not None and not worker.ended.done():
            worker.link.send(Frame("stop", (), reason.encode()))
            asyncio.get_running_loop().call_later(STOP_SECONDS, _signal, worker.pid, signal.SIGKILL)

    async def _close(self) -> None:
        """Say QUIT where a worker could not, and wait for the sockets."""
        self.keeper.quit("neverquit: shutting down")
        try:
            await asyncio.wait_for(self.keeper.closed(), CLOSE_SECONDS)
        except TimeoutError:
            log.warning("a server did not close the connection in time")


def _from_outside(code: int) -> bool:
    return code in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP)


def _words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was ended by signal {-code}"


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass


def main() -> int:
    """Be the keeper's process. The last argument is a descriptor to read JSON from: command, config, log."""
    with os.fdopen(int(sys.argv[-1]), "rb") as order:
        orders = json.load(order)
    from bot import logs

    logs.setup(orders["log"]["level"], orders["log"]["format"])
    return asyncio.run(_main(orders))


async def _main(orders: dict[str, object]) -> int:
    loop = asyncio.get_running_loop()
    command, config = orders["command"], orders["config"]
    assert isinstance(command, list) and isinstance(config, str)
    supervisor = Supervisor(command, config.encode(), Keeper())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop, "neverquit: shutting down")
    return await supervisor.run()
