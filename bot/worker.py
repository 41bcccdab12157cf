"""The worker's process: the whole bot but for the sockets, on one half of a link to the keeper.

Started by `wire/supervisor.py`. The keeper gives it the settings; what the keeper says about the bot as a whole (stop,
hang up, retire) is taken here, what it says about a network by `wire/connection.py`. A beat each second shows that the
loop turns. If the link closes, the keeper is gone, and with it every connection: there is nothing left to do.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import faulthandler
import json
import os
import pickle
import signal
import socket
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from bot.wire.link import Frame, encode
from bot.wire.process import die_with_parent
from bot.wire.socketlink import SocketEnd

if TYPE_CHECKING:
    from bot.config import Config
    from bot.handover import Handover
    from bot.live.trial import Ground
    from bot.running import Running

BEAT_SECONDS = 1.0


class Worker:
    """The bot in this process, and what the keeper tells it."""

    def __init__(self, running: Running, link: SocketEnd, handover: Handover) -> None:
        self._running, self._app, self._link, self._handover = running, running.app, link, handover
        self._tasks: set[asyncio.Task[None]] = set()
        self._app.reactor.on_other = self._frame
        link.on_close = lambda: os._exit(0)

    async def run(self) -> int:
        """Run the bot to its end; return the exit code."""
        self._limits()
        self._beat()
        ready = asyncio.get_running_loop().create_task(self._ready())
        try:
            return await self._running.run()
        finally:
            ready.cancel()

    def _beat(self) -> None:
        self._link.send(Frame("beat"))
        asyncio.get_running_loop().call_later(BEAT_SECONDS, self._beat)

    def _limits(self) -> None:
        times = self._app.config.timeouts
        limits = {"silence_seconds": times.silence_seconds, "hold_seconds": times.hold_seconds}
        self._link.send(Frame("limits", (), json.dumps(limits).encode()))

    async def _ready(self) -> None:
        await self._app.ready.wait()
        self._link.send(Frame("ready"))

    def _frame(self, frame: Frame) -> None:
        match frame.verb:
            case "stop":
                self._app.stop(frame.payload.decode())
            case "hangup":
                self._running.hang_up()
            case "news":
                self._app.announcer.tell(frame.payload.decode())
            case _:
                self._handover.frame(frame)


def main() -> NoReturn:
    """Be the worker's process."""
    parser = argparse.ArgumentParser(prog="bot.worker")
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--safe", action="store_true")
    parser.add_argument("--standby", action="store_true")
    parser.add_argument("descriptor", type=int)
    options = parser.parse_args(sys.argv[2:])
    die_with_parent(options.parent)
    faulthandler.enable()
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    try:
        from bot.running import run_to_end
    except Exception as error:
        if options.standby:
            tell_unfit(options.descriptor, error)
        raise
    run_to_end(_main(options))


def tell_unfit(descriptor: int, error: Exception) -> None:
    """Tell the keeper that the code on disk can't even be imported, and wait to be ended by it."""
    traceback.print_exception(error)
    link = socket.socket(fileno=descriptor)
    why = " ".join(f"{type(error).__name__}: {error}".split())
    link.sendall(encode(Frame("unfit", (), why.encode(errors="replace"))))
    while link.recv(4096):
        pass


async def _main(options: argparse.Namespace) -> int:
    link = await SocketEnd.over(socket.socket(fileno=options.descriptor))
    ground: Ground | None = None
    given: bytes | None
    if options.standby:
        from bot.standby import stand_by

        settings, ground, given = await stand_by(link, options.config)
        link.send(Frame("config", (), base64.b64encode(pickle.dumps(settings))))  # for those after this one
    else:
        settings, given = await _settings(link)
    from bot.handover import Handover
    from bot.running import Running

    handover = Handover(link, given)
    running = Running(settings, options.config, once=options.once, link=link, ground=ground, handover=handover)
    code = await Worker(running, link, handover).run()
    link.on_close = None
    if handover.leaving:
        handover.leave()
    else:
        link.send(Frame("end", (str(code),)))
    link.close()
    await asyncio.sleep(0)
    return code


async def _settings(link: SocketEnd) -> tuple[Config, bytes | None]:
    """Wait for the settings, and for what a worker before has left if it has; they are the first of all frames."""
    came: asyncio.Future[tuple[Config, bytes | None]] = asyncio.get_running_loop().create_future()
    given: list[bytes] = []

    def take(frame: Frame) -> None:
        if frame.verb == "hand":
            given.append(frame.payload)
        elif frame.verb == "config":
            link.on_frame = None  # what follows waits for the bot
            settings = pickle.loads(base64.b64decode(frame.payload))  # from our own parent, by inheritance
            came.set_result((settings, given[0] if given else None))

    link.on_frame = take
    return await came
