"""A worker in reserve: started, all imported and all plugins tried, it waits for the end of the one that serves.

A part of the keeper (standard library only). After a death the bot then answers as soon as it has executed its plugins.
It is an ordinary worker that has not been given its settings yet; until then `reserve` tells it what to get ready for,
see `bot/standby.py`. It speaks with nobody and touches nothing. One is started when a worker has served for a moment,
never two; if it ends by itself there is none until the next worker serves.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from bot.wire import process
from bot.wire.link import Frame
from bot.wire.upgrade import Worker

log = logging.getLogger(__name__)

QUIET_SECONDS = 1.0  # from a worker that is ready: it has the processor first

W = TypeVar("W", bound=Worker)


class Reserve(Generic[W]):
    """The worker that waits.

    Args:
        start: starts a worker by such a command.
        config: the settings as they are now, opaque.

    Attributes:
        wanted: whether there is to be one.
    """

    def __init__(self, start: Callable[[Sequence[str]], Awaitable[W]], config: Callable[[], bytes]) -> None:
        self.wanted = False
        self._start, self._config = start, config
        self._worker: W | None = None
        self._command: Sequence[str] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._starting: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the process that waits, if there is one."""
        return self._worker.pid if self._worker is not None and not self._worker.ended.done() else None

    def prepare_later(self, command: Sequence[str]) -> None:
        """Have one ready before long, started by this command; one that waits already stays."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(QUIET_SECONDS, self._prepare, list(command))

    def _prepare(self, command: Sequence[str]) -> None:
        self._timer = None
        if self.wanted and self.pid is None and (self._starting is None or self._starting.done()):
            self._starting = asyncio.get_running_loop().create_task(self._begin(command), name="reserve")

    async def _begin(self, command: Sequence[str]) -> None:
        try:
            self._worker, self._command = await self._start([*command, "--reserve"]), command
        except OSError as error:
            log.warning("no worker in reserve: it can't be started: %s", error.strerror or error)
            return
        self._worker.link.send(Frame("reserve", (), self._config()))

    def take(self, command: Sequence[str]) -> W | None:
        """Return the one that waits, if it was started by this command; another is ended."""
        worker, self._worker = self._worker, None
        if worker is not None and not worker.ended.done() and list(command) == self._command:
            return worker
        self._worker = worker
        self.end()
        return None

    def end(self) -> None:
        """End it, and have none."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._starting is not None:
            self._starting.cancel()
            self._starting = None
        if self._worker is not None and not self._worker.ended.done():
            process.send(self._worker.pid, signal.SIGKILL)
        self._worker = None
