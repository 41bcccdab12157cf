"""The keeper's process: it starts the worker, watches it, and starts another whenever one ends.

Started by `neverquit run`, which has checked the configuration and become this process.

Standard library only, as all of the keeper. The worker runs in a session of its own, on one half of a socketpair that
it inherits; signals are ours, and reach it as frames. It is replaced when it ends by itself, when a signal ends it, and
when it has been silent for too long, in which case it first writes the stack of each thread. What its end means is
said by `deaths.py`, which line caused it by `blame.py`. Nobody stays behind, whatever ends.

How a worker is started is `workers.py`; how it begins, and what it does with what it is told, is `bot/worker.py`; how
one takes the place of another that is well is `upgrade.py`, the one that waits for another's end `reserve.py`; what the
system does for us is `process.py` and `systemd.py`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NoReturn, TextIO, cast

from bot import atwork, logs
from bot.wire import process
from bot.wire.deaths import Deaths, asked_to_end, in_words, strikes
from bot.wire.keeper import Keeper
from bot.wire.link import Frame
from bot.wire.reserve import Reserve
from bot.wire.spool import Spool
from bot.wire.systemd import Systemd
from bot.wire.upgrade import Upgrade
from bot.wire.vitals import vitals
from bot.wire.workers import Worker, start

log = logging.getLogger(__name__)

START_SECONDS = 30.0  # from the start of a worker to its first frame: a cold disk, a slow machine
DUMP_SECONDS = 0.5  # for a silent worker to write its stacks, with which it ends, before it is killed
STOP_SECONDS = 4.0  # the contract says 5 from signal to exit
END_SECONDS = 4.9  # from a signal to our end at the latest
CLOSE_SECONDS = 0.5  # of these, for the QUITs of a keeper without a worker
LAST_SECONDS, LOOK_SECONDS = 0.3, 0.01  # for those that strays leave behind in their turn
STRAYS_SECONDS = 1.0  # from SIGTERM to SIGKILL for what a worker has left behind
GLANCE_SECONDS = 1.0  # how often we look whether we slept ourselves
NEWS = 50  # frames about its predecessors that a worker is told
GC_OBJECTS = (
    20_000  # between collections, instead of 700: in a flood of lines, which are no garbage, they take half the time
)
FAILED = 1


class Supervisor:
    """Keeps a worker running for as long as it is wanted. See the module's head.

    Args:
        command: how to start a worker; the descriptor of its half of the link is added as the last argument.
        config: the settings for it, opaque.
        keeper: the connections.
        systemd: is told how things are.
    """

    def __init__(
        self,
        command: Sequence[str],
        config: bytes,
        keeper: Keeper,
        *,
        systemd: Systemd | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.config, self.keeper, self._clock = config, keeper, clock
        self.systemd = systemd or Systemd({})
        self.deaths = Deaths()
        self.worker: Worker | None = None
        self.started = clock()
        self.silence_seconds, self.hold_seconds = 5.0, 600.0
        self._code: int | None = None  # of our exit, once that is decided
        self._stopping = False
        self._hung_up = False  # a SIGHUP came, and no worker has taken it up yet
        self._was_ready = False  # some worker was
        self._alone_since: float | None = self.started  # no worker is ready
        self._workers: dict[int, Worker] = {}
        self._news: deque[Frame] = deque(maxlen=NEWS)  # for the next worker
        self._wake = asyncio.Event()
        self.upgrade: Upgrade[Worker] = Upgrade(command, self._start, self._say, keeper.hold)
        self.reserve: Reserve[Worker] = Reserve(self._start, lambda: self.config)
        keeper.on_other = self._frame

    async def run(self) -> int:
        """Keep a worker running until the end is asked for; return the exit code."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        self._watchdog()
        while not self._stopping:
            try:
                successor = self.upgrade.take()
                if successor is not None:
                    self.reserve.end()  # it may be of other code
                command = self._command()
                worker = self.worker = successor or self.reserve.take(command) or await self._start(command)
            except OSError as error:
                self._not_started(f"a worker can't be started: {error}")
            else:
                self._introduce(worker, successor=successor is not None)
                self.keeper.attach(worker.link)
                await self._watch(worker)
                self._after(worker)
            await self._pause()
        self.upgrade.end()
        self.reserve.end()
        await self._close()
        return self._code or 0

    # -- one worker

    def _command(self) -> list[str]:
        return [*self.upgrade.command, "--safe"] if self.deaths.safe else self.upgrade.command

    async def _start(self, command: Sequence[str]) -> Worker:
        worker = await start(command, self._clock())
        self._workers[worker.pid] = worker
        log.debug("worker %d started", worker.pid)
        return worker

    def _introduce(self, worker: Worker, *, successor: bool) -> None:
        worker.started = self._clock()
        self.upgrade.introduce(worker, successor=successor)
        if not successor:  # which has read its own
            worker.link.send(Frame("config", (), self.config))
        worker.told, self._news = list(self._news), deque(maxlen=NEWS)
        for frame in worker.told:
            worker.link.send(frame)
        if self._hung_up:
            worker.link.send(Frame("hangup"))
        if self._stopping:  # the end was asked for while it started
            self._end(worker)

    async def _watch(self, worker: Worker) -> None:
        """Wait for its end, and bring that about when it is silent for too long, or not ready for far too long."""
        mercy = worker.started  # silence before this moment does not count
        while not worker.ended.done():
            now = self._clock()
            patience = self.silence_seconds or float("inf") if worker.spoken else START_SECONDS
            due = max(self.keeper.heard_at, mercy) + patience
            if now >= due:
                await self._end_silent(worker, patience)
            elif now >= self._hold_until():
                self._give_up()
                process.send(worker.pid, signal.SIGKILL)
                await worker.ended
            else:
                seconds = min(due - now, self._hold_until() - now, GLANCE_SECONDS)
                await asyncio.wait([worker.ended], timeout=seconds)
                if self._clock() - now > seconds + GLANCE_SECONDS:
                    mercy = self._clock()  # we did not run ourselves, and what it said meanwhile is not read yet

    async def _end_silent(self, worker: Worker, patience: float) -> None:
        how = "stopped by a signal" if worker.stopped else "silent"
        log.error("the worker %d has been %s for %g s and is ended", worker.pid, how, patience)
        worker.silent = True
        if worker.spoken and not worker.stopped:  # else nobody takes the signal
            worker.witness = await atwork.look_at(worker.stacks, worker.pid, patience)
            if not worker.ended.done():  # else the number may be somebody else's
                process.send(worker.pid, signal.SIGUSR1)
                await asyncio.wait([worker.ended], timeout=DUMP_SECONDS)
        if not worker.ended.done():
            process.send(worker.pid, signal.SIGKILL)
            await worker.ended

    def _reap(self) -> None:
        """Take the status of every child that has ended, or has been stopped; orphans that became ours are buried."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG | os.WUNTRACED | os.WCONTINUED)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if (worker := self._workers.get(pid)) is not None:
                self._changed(worker, status)
            elif not os.WIFSTOPPED(status) and not os.WIFCONTINUED(status):
                process.buried(pid)

    def _changed(self, worker: Worker, status: int) -> None:
        if os.WIFSTOPPED(status) or os.WIFCONTINUED(status):
            worker.stopped = os.WIFSTOPPED(status)
            return
        del self._workers[worker.pid]
        worker.link.abort()
        self.keeper.detach(worker.link)
        if worker is not self.worker:  # a successor that is not to be
            worker.stacks.close()
            self._bury(worker)
        if not worker.ended.done():
            worker.ended.set_result(status)

    # -- after its end

    def _after(self, worker: Worker) -> None:
        """Find out what its end means."""
        self._bury(worker)
        code = os.waitstatus_to_exitcode(worker.ended.result())
        in_hand = self.keeper.entries.in_hand()
        known = worker.witness.guilty(in_hand) if worker.witness is not None else None
        stacks = self._stacks(worker)
        if self._code is not None or self._stopping or asked_to_end(code):
            self._finish()
            return
        if self._alone_since is None:
            self._alone_since = self._clock()
        if worker.retired:
            self.deaths.forgive()  # they were those of other code
            return
        own_fault = self.deaths.own_fault(
            code,
            silent=worker.silent,
            stopped=worker.stopped,
            finished=self.keeper.finished,
            oldest=in_hand[0] if in_hand else None,
        )
        why = "was silent" if worker.silent else in_words(code)
        if own_fault and not worker.spoken and not self._was_ready:
            self._not_started(f"the bot did not start: its worker {why}, as said above")
            return
        if not worker.ready:  # who knows what it has made of that
            self._news.extendleft(reversed(worker.told))
        # Told of a line that ended another, it takes none before it has dealt with that.
        reads = worker.ready or all(frame.verb != "skipped" for frame in worker.told)
        needed = strikes(code, worker.silent)
        known = known if worker.silent and not worker.stopped else None
        skipped = self.keeper.died(own_fault=own_fault and reads, strikes=needed, known=known)
        by_line = needed if skipped is not None else 0
        self.deaths.died(self._clock(), own_fault=own_fault, spoken=worker.spoken, by_line=by_line)
        log.error("the worker %d %s; starting another", worker.pid, why)
        self.systemd.status(f"the worker {why}; starting another")
        self._tell(Frame("news", (), f"the bot's worker {why} and was replaced".encode()))
        if skipped is not None:
            net, number, text = skipped
            log.error("what ended it is not delivered again: %s", text.decode(errors="replace"))
            self._tell(Frame("stacks", (), json.dumps(stacks).encode()))
            self._tell(Frame("skipped", (net, number), text))

    def _not_started(self, why: str) -> None:
        """No worker came up: the first is waited for by somebody who can mend that, a later one has time."""
        if self._was_ready:
            self.deaths.died(self._clock(), own_fault=True, spoken=False)
            log.error("%s", why)
        else:
            print(f"neverquit: {why}", file=sys.stderr, flush=True)
            self._code = FAILED
            self._finish()

    def _bury(self, worker: Worker) -> None:
        """End what it has left behind: first with a word, then without."""
        process.end_strays(signal.SIGTERM, worker.pid)
        asyncio.get_running_loop().call_later(STRAYS_SECONDS, process.end_strays, signal.SIGKILL, worker.pid)

    def _stacks(self, worker: Worker) -> str:
        """Log where its threads were, if it could say so, and return that."""
        text = atwork.written(worker.stacks)
        if text:
            message = "where the worker %d was when it ended"
            record = log.makeRecord(log.name, logging.ERROR, __file__, 0, message, (worker.pid,), None, sinfo=text)
            log.handle(record)
        return text

    def _say(self, frame: Frame) -> None:
        if self.worker is not None:
            self.worker.link.send(frame)

    def _tell(self, frame: Frame) -> None:
        self._news.append(frame)

    async def _pause(self) -> None:
        """Let time pass before the next one, if its predecessors ended by their own faults again and again."""
        seconds = self.deaths.pause()
        if seconds and not self._stopping:
            log.warning("%d workers have failed; the next one starts in %g s", self.deaths.recent, seconds)
            try:
                await asyncio.wait_for(self._wake.wait(), min(seconds, max(0.0, self._hold_until() - self._clock())))
            except TimeoutError:
                pass
            if self._clock() >= self._hold_until():
                self._give_up()
        self._wake.clear()

    def _hold_until(self) -> float:
        """When the connections are given up for want of a worker."""
        if self._alone_since is None or self._stopping:
            return float("inf")
        return self._alone_since + (self.hold_seconds if self._was_ready else max(self.hold_seconds, START_SECONDS))

    def _give_up(self) -> None:
        seconds = self._clock() - (self._alone_since or 0.0)
        print(f"neverquit: no worker was ready for {seconds:.0f} s; the bot ends", file=sys.stderr, flush=True)
        self._code = FAILED
        self._finish()

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
                worker.ready = self._was_ready = True
                self._alone_since = None
                self.keeper.blame.listening(self.keeper.clock())
                self.systemd.ready()
                self.upgrade.heard(worker, frame)
                self.reserve.prepare_later(self._command())
            case "reloading":
                self._hung_up = False
                self.systemd.reloading()
            case "status":
                self.systemd.status(frame.payload.decode(errors="replace"))
            case "sound":
                self.deaths.forgive()
            case "limits":
                self._limits(json.loads(frame.payload))
            case "config":
                self.config = frame.payload
            case "vitals":
                worker.link.send(Frame("vitals", (), json.dumps(self._vitals()).encode()))
            case "end":
                self._code = int(frame.fields[0])
                worker.link.close()  # it waits for that: we have heard it

    def _limits(self, limits: dict[str, float | str | bool]) -> None:
        self.silence_seconds, self.hold_seconds = float(limits["silence_seconds"]), float(limits["hold_seconds"])
        self.reserve.wanted = bool(limits.get("reserve"))
        if not self.reserve.wanted:
            self.reserve.end()
        logs.setup(str(limits["level"]), "json" if limits["format"] == "json" else "text")

    def _vitals(self) -> dict[str, object]:
        up, restarts = self._clock() - self.started, self.deaths.count
        return {
            "pid": os.getpid(),
            "up": up,
            "restarts": restarts,
            "safe": self.deaths.safe,
            "reserve": self.reserve.pid,
            **vitals(self.keeper),
        }

    def _watchdog(self) -> None:
        """Tell systemd that we live: this loop never waits for anything, so that is all there is to show."""
        if self.systemd.watchdog_seconds is not None:
            self.systemd.alive()
            asyncio.get_running_loop().call_later(self.systemd.watchdog_seconds, self._watchdog)

    # -- the end

    def hang_up(self, terminal: process.Terminal) -> None:
        """SIGHUP: the end of the terminal is the end of the bot; else reload, by the next worker if need be."""
        worker = self.worker
        if terminal.has_gone():
            self.stop("neverquit: shutting down")
            return
        self._hung_up = True
        if worker is not None and not worker.ended.done():
            worker.link.send(Frame("hangup"))
        else:
            self._wake.set()  # who has mended the configuration does not want to wait

    def stop(self, reason: str) -> None:
        """Say QUIT, end the worker, and go: SIGTERM or SIGINT came, or the terminal is gone."""
        if self._stopping:
            return
        self._finish()
        self.upgrade.end()
        worker = self.worker
        if worker is not None and not worker.ended.done():
            self._end(worker, reason)

    def _end(self, worker: Worker, reason: str = "neverquit: shutting down") -> None:
        worker.link.send(Frame("stop", (), reason.encode()))
        asyncio.get_running_loop().call_later(STOP_SECONDS, self._kill, worker)

    def _kill(self, worker: Worker) -> None:
        if not worker.ended.done():
            log.warning("the worker %d did not end within %g s and is killed", worker.pid, STOP_SECONDS)
            process.send(worker.pid, signal.SIGKILL)

    def _finish(self) -> None:
        if not self._stopping:
            self._stopping = True
            self.systemd.stopping()
        self._wake.set()

    async def _close(self) -> None:
        """Say QUIT where a worker could not, wait for the sockets, and leave nobody behind."""
        self.keeper.quit("neverquit: shutting down")
        try:
            await asyncio.wait_for(self.keeper.closed(), CLOSE_SECONDS)
        except TimeoutError:
            log.warning("a server did not close the connection in time")
        deadline = self._clock() + LAST_SECONDS
        # As process 1 all end with us anyway, and not all are ours.
        while os.getpid() != 1 and process.end_strays(signal.SIGKILL) and self._clock() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(LOOK_SECONDS)  # for those that they leave to us


def main() -> NoReturn:
    """Be the keeper's process. The last argument is a descriptor to read JSON from: command, config, log."""
    with os.fdopen(int(sys.argv[-1]), "rb") as order:
        orders = json.load(order)
    spool = Spool(sys.stderr.fileno())
    sys.stderr = cast(TextIO, spool)  # for all that is printed as well
    gc.set_threshold(GC_OBJECTS)
    logs.setup(orders["log"]["level"], orders["log"]["format"])
    code = FAILED
    try:
        code = asyncio.new_event_loop().run_until_complete(_main(orders))
    except Exception:
        log.exception("the keeper failed")
    finally:
        logging.shutdown()
        spool.end()
        os._exit(code)  # a thread that waits for the reader of that, or for a name server, holds nothing up


async def _main(orders: dict[str, object]) -> int:
    loop = asyncio.get_running_loop()
    command, config = orders["command"], orders["config"]
    assert isinstance(command, list) and isinstance(config, str)
    terminal = process.Terminal()
    process.be_called("keeper")
    process.adopt_orphans()
    supervisor = Supervisor(command, config.encode(), Keeper(), systemd=Systemd())
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop, "neverquit: shutting down")
        signal.signal(number, lambda *_: process.end_in_time(END_SECONDS))  # beside it
    loop.add_signal_handler(signal.SIGHUP, supervisor.hang_up, terminal)
    process.hear()
    return await supervisor.run()
