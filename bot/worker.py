"""The worker's process: the whole bot but for the sockets, on one half of a link to the keeper.

Started by `wire/supervisor.py`. The keeper gives it the settings; what the keeper says about the bot as a whole (stop,
hang up, what ended the worker before) is taken here, from the first moment on; what it says about a network waits until
the plugins are there and is taken by `wire/connection.py`. A beat shows that the loop turns. If the link closes, the
keeper is gone, and with it every connection: there is nothing left to do.
"""

from __future__ import annotations

import argparse
import asyncio
import faulthandler
import json
import logging
import os
import signal
import socket
import sys
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bot.atwork import STAMPS, here
from bot.errors import NeverquitError
from bot.wire.link import Frame, encode, one_line
from bot.wire.process import be_called, die_with_parent, end_unless_again, hear_later
from bot.wire.socketlink import SocketEnd

if TYPE_CHECKING:
    from bot.handover import Handover
    from bot.live.trial import Ground
    from bot.live.trialorigin import Begun
    from bot.running import Running

log = logging.getLogger(__name__)

BEAT_SECONDS = 1.0
BEATS_IN_SILENCE = 4  # so many at least before the keeper would take us for dead
ALONE_SECONDS = 5.0  # after a silence that the keeper has not ended: it is gone
GOODBYE_SECONDS = 1.0  # for the keeper to hear that we end
FAILED = 1

#: Frames about the bot as a whole.
OURS = frozenset(
    {
        "config",
        "stop",
        "hangup",
        "standby",
        "reserve",
        "retire",
        "stays",
        "hold",
        "hand",
        "skipped",
        "stacks",
        "news",
        "vitals",
    }
)


class Fork:
    """The link to the keeper, forked: frames about the bot go to `on_ours`, all others to `on_frame`.

    Either waits until there is somebody to take it; so the bot can be told to end while its plugins still load. Lines
    wait for longer when the keeper tells what ended the worker before: until `release`, when that is dealt with.
    """

    def __init__(self, link: SocketEnd) -> None:
        self._link = link
        self._ours: deque[Frame] = deque()
        self._others: deque[Frame] = deque()
        self._on_ours: Callable[[Frame], None] | None = None
        self._on_frame: Callable[[Frame], None] | None = None
        self._lines_wait = False
        self.on_close: Callable[[], None] | None = None
        self.on_room: Callable[[], None] | None = None
        link.on_close = self._closed
        link.on_frame = self._take

    @property
    def full(self) -> bool:
        """Whether the keeper is behind in reading."""
        return self._link.full

    @property
    def on_ours(self) -> Callable[[Frame], None] | None:
        """Who takes the frames about the bot."""
        return self._on_ours

    @on_ours.setter
    def on_ours(self, callback: Callable[[Frame], None] | None) -> None:
        self._on_ours = callback
        while self._ours and self._on_ours is not None:
            self._on_ours(self._ours.popleft())

    @property
    def on_frame(self) -> Callable[[Frame], None] | None:
        """Who takes the frames about networks."""
        return self._on_frame

    @on_frame.setter
    def on_frame(self, callback: Callable[[Frame], None] | None) -> None:
        self._on_frame = callback
        self._pass_on()

    def release(self) -> None:
        """Let lines come."""
        self._lines_wait = False
        self._pass_on()

    def send(self, frame: Frame) -> None:
        """Hand a frame to the keeper."""
        self._link.send(frame)

    def close(self) -> None:
        """End the link."""
        self._link.close()

    def _take(self, frame: Frame) -> None:
        if frame.verb not in OURS:
            self._others.append(frame)
            self._pass_on()
        elif self._on_ours is None or self._ours:
            self._ours.append(frame)
        else:
            self._on_ours(frame)
        self._lines_wait = self._lines_wait or frame.verb == "skipped"

    def _pass_on(self) -> None:
        others = self._others
        while others and self._on_frame is not None and not (self._lines_wait and others[0].verb in ("line", "live")):
            self._on_frame(others.popleft())

    def _closed(self) -> None:
        if self.on_close is not None:
            self.on_close()


class Worker:
    """The bot in this process, and what the keeper tells it."""

    def __init__(self, running: Running, link: Fork, handover: Handover, stacks: int) -> None:
        self._running, self._app, self._link, self._handover = running, running.app, link, handover
        self._descriptor = stacks
        self._stacks = ""
        self._skipped: list[tuple[str, str, bytes, str]] = []
        self._news: list[str] = []
        self._vitals: list[asyncio.Future[dict[str, Any]]] = []
        self._status = ""
        self._is_ready = False
        self._app.vitals = self._ask_vitals
        self._app.reloader.safety.on_end = lambda: link.send(Frame("sound"))
        running.on_reload = self._reload
        self._limits()
        link.on_ours = self._frame

    async def run(self) -> int:
        """Run the bot to its end; return the exit code."""
        self._beat()
        ready = asyncio.get_running_loop().create_task(self._ready())
        try:
            return await self._running.run()
        finally:
            ready.cancel()

    def _beat(self) -> None:
        self._link.send(Frame("beat"))
        if (status := self._running.in_short()) != self._status:
            self._status = status
            self._link.send(Frame("status", (), status.encode(errors="replace")))
        silence = self._app.config.timeouts.silence_seconds
        if silence:
            end_unless_again(silence + ALONE_SECONDS, self._descriptor)
        patience = silence or BEAT_SECONDS * BEATS_IN_SILENCE
        here.stamp_seconds = patience / STAMPS
        asyncio.get_running_loop().call_later(min(BEAT_SECONDS, patience / BEATS_IN_SILENCE), self._beat)

    def _limits(self) -> None:
        times, log = self._app.config.timeouts, self._app.config.log
        limits = {"silence_seconds": times.silence_seconds, "hold_seconds": times.hold_seconds}
        limits_and_log = {**limits, "reserve": self._app.config.reserve, "level": log.level, "format": log.format}
        self._link.send(Frame("limits", (), json.dumps(limits_and_log).encode()))

    async def _ready(self) -> None:
        await self._app.ready.wait()
        for text in self._news:
            self._app.announcer.tell(text)
        for net, number, line, stacks in self._skipped:
            try:
                await self._app.quarantine.convict(net, number, line, stacks)
            except Exception:  # lines have to come all the same
                log.exception("what ended the worker before is not dealt with: %s of %s", number, net)
        self._is_ready = True
        self._link.send(Frame("ready"))  # first: the lines may end us
        self._link.release()

    def _reload(self, begins: bool) -> None:
        """A reload of everything begins, or is over: then the settings may be others."""
        if begins:
            self._link.send(Frame("reloading"))
            return
        from bot.reread import packed

        self._limits()
        self._link.send(Frame("config", (), packed(self._app.config)))
        if self._is_ready:  # else what ended the worker before is still being dealt with
            self._link.send(Frame("ready"))

    async def _ask_vitals(self) -> dict[str, Any]:
        answer: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._vitals.append(answer)
        self._link.send(Frame("vitals"))
        return await answer

    def _frame(self, frame: Frame) -> None:
        match frame.verb:
            case "stop":
                self._app.stop(frame.payload.decode())
            case "hangup":
                self._running.hang_up()
            case "news":
                self._news.append(frame.payload.decode())
            case "stacks":
                self._stacks = json.loads(frame.payload)
            case "skipped":
                net, number = frame.fields
                self._skipped.append((net, number, frame.payload, self._stacks))
                self._stacks = ""
            case "vitals":
                asked, self._vitals = self._vitals, []
                for answer in asked:
                    if not answer.done():
                        answer.set_result(json.loads(frame.payload))
            case _:
                self._handover.frame(frame)


def main() -> NoReturn:
    """Be the worker's process."""
    hear_later(signal.SIGHUP)  # until the bot listens; the other two end the bot at any moment
    parser = argparse.ArgumentParser(prog="bot.worker")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--safe", action="store_true")
    parser.add_argument("--standby", action="store_true")
    parser.add_argument("--reserve", action="store_true")
    parser.add_argument("--stacks", type=int, required=True)
    parser.add_argument("descriptor", type=int)
    options = parser.parse_args(sys.argv[2:])
    os.set_inheritable(options.descriptor, False)  # neither is for what we or plugins start
    os.set_inheritable(options.stacks, False)
    die_with_parent(options.parent)
    be_called("successor" if options.standby else "reserve" if options.reserve else "worker")
    faulthandler.enable(options.stacks)
    # Written all of them, it ends: nobody has to wait for longer than that takes.
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    faulthandler.register(signal.SIGUSR1, options.stacks, all_threads=True, chain=True)
    try:
        from bot.live.trialorigin import fork_ahead
        from bot.running import run_to_end
    except Exception as error:
        if options.standby:
            tell_unfit(options.descriptor, error)
        raise
    trials = fork_ahead()
    here.begin(options.stacks)  # which begins a thread
    run_to_end(_main(options, trials))


def tell_unfit(descriptor: int, error: Exception) -> None:
    """Tell the keeper that the code on disk can't even be imported, and wait to be ended by it."""
    traceback.print_exception(error)
    link = socket.socket(fileno=descriptor)
    link.sendall(encode(Frame("unfit", (), one_line(f"{type(error).__name__}: {error}"))))
    while link.recv(4096):
        pass


async def _main(options: argparse.Namespace, trials: Begun | None) -> int:
    end = await SocketEnd.over(socket.socket(fileno=options.descriptor))
    link = Fork(end)
    link.on_close = lambda: os._exit(0)
    from bot.reread import packed

    ground: Ground | None
    given: bytes | None
    if options.standby:
        from bot.standby import stand_by

        settings, ground, given = await stand_by(link, options.config, trials)
        link.send(Frame("config", (), packed(settings)))  # for those after this one
    else:
        from bot.standby import begin

        settings, ground, given = await begin(link, options.config, trials)
    from bot.handover import Handover
    from bot.running import Running

    be_called("worker")
    handover = Handover(link, given)
    running = Running(
        settings,
        options.config,
        once=options.once,
        link=link,
        ground=ground,
        handover=handover,
        safe=options.safe,
    )
    try:
        code = await Worker(running, link, handover, options.stacks).run()
    except NeverquitError as error:  # it has ended in words, and another worker would end the same way
        print(f"neverquit: {error}", file=sys.stderr, flush=True)
        code = FAILED
    heard = asyncio.Event()
    link.on_close = heard.set
    if handover.leaving:
        handover.leave()
    else:
        link.send(Frame("end", (str(code),)))
    try:
        # Gone before that is read, we would seem to have died.
        await asyncio.wait_for(heard.wait(), GOODBYE_SECONDS)
    except TimeoutError:
        pass
    return code
