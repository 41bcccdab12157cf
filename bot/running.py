"""A bot in this process, from its settings to its exit code: alone with `run --single`, or as the worker of a keeper.

It hears signals, reads the configuration again on SIGHUP, listens for `neverquit ctl`, and shows reports in a terminal.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from bot import logs
from bot.app import App
from bot.control import Control, in_short
from bot.dispatch.guard import at_fork, guarded
from bot.errors import CannotConnect, ConfigError, NeverquitError, UserError
from bot.reread import reread
from bot.wire.deaths import ASKED_TO_END
from bot.wire.link import LinkEnd
from bot.wire.process import end_in_time, hear
from bot.wire.systemd import Systemd

if TYPE_CHECKING:
    from bot.config import Config
    from bot.handover import Handover
    from bot.live.trial import Ground
    from bot.terminal import Terminal

log = logging.getLogger(__name__)

FAILED, CANNOT_CONNECT = 1, 69
STATUS_SECONDS = 1.0
END_SECONDS = 4.8  # from a signal to the end at the latest
WORKERS_END_SECONDS = 4.0  # of a worker, whose keeper has to say QUIT after that


class Running:
    """One bot, while it runs.

    Args:
        path: of the configuration, to be read again.
        once: never reconnect; exit 69 if the first connection fails.
        link: to the keeper, where that is another process.
        ground: where plugins are tried, if they have been already.
        handover: how another worker takes this one's place.
        safe: load no plugins until an admin asks for them.

    Attributes:
        on_reload: called with True when a reload of everything begins, with False when it is over.
    """

    def __init__(
        self,
        settings: Config,
        path: Path,
        *,
        once: bool = False,
        link: LinkEnd | None = None,
        ground: Ground | None = None,
        handover: Handover | None = None,
        safe: bool = False,
    ) -> None:
        self._path, self._terminal, self._alone = path, _terminal(), link is None
        self.on_reload: Callable[[bool], object] = lambda begins: None
        self._logs(settings)
        # What is there by now stays. Plugins are not there yet, so their old generations are still collected; a full
        # collection looks at those alone, which takes 5 ms instead of 20.
        gc.collect()
        gc.freeze()
        self.app = App(settings, once=once, installed=True, link=link, ground=ground, handover=handover, safe=safe)
        if handover is not None:
            handover.begin(self.app)
        if self._terminal is not None:
            self.app.reloader.on_failure.append(self._terminal.failed)
        self._reloads: set[asyncio.Task[None]] = set()
        self._one_at_a_time = asyncio.Lock()

    async def run(self) -> int:
        """Run it to its end; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.app.stop)
            # Beside it: asyncio hears of signals by a descriptor of its own.
            signal.signal(number, _end_alone_in_time if self._alone else _end_worker_in_time)
        loop.add_signal_handler(signal.SIGHUP, self.hang_up)
        hear()
        control = Control(self.app, Path(self.app.config.state_dir))
        await control.start()
        telling = loop.create_task(self._tell_systemd()) if self._alone else None
        try:
            await self.app.run()
        except CannotConnect as error:
            print(f"neverquit: cannot connect: {error}", file=sys.stderr)
            return CANNOT_CONNECT
        finally:
            if telling is not None:
                telling.cancel()
            await control.stop()
        return 0

    async def _tell_systemd(self) -> None:
        """Where there is no keeper to do it."""
        systemd = Systemd()
        self.on_reload = lambda begins: systemd.reloading() if begins else systemd.ready()
        await self.app.ready.wait()
        systemd.ready()
        try:
            while True:
                systemd.status(self.in_short())
                systemd.alive()
                await asyncio.sleep(min(systemd.watchdog_seconds or STATUS_SECONDS, STATUS_SECONDS))
        finally:
            systemd.stopping()

    def in_short(self) -> str:
        """Return how the bot is, in a few words."""
        return in_short(self.app)

    def hang_up(self) -> None:
        """Read the configuration again, and take all plugins anew; a bad file changes nothing."""
        task = asyncio.get_running_loop().create_task(self._again())
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def _again(self) -> None:
        await self.app.ready.wait()  # half of the bot can't be given new settings, and is not ready afterwards
        async with self._one_at_a_time:  # or the slowest of several readings would win
            self.on_reload(True)
            try:
                await self._reread()
            finally:
                self.on_reload(False)

    async def _reread(self) -> None:
        app = self.app
        try:
            settings = await asyncio.to_thread(reread, self._path)
        except ConfigError as error:
            log.error("the configuration stays as it was:\n%s", error)
            app.announcer.tell(f"the configuration stays as it was: {error.mistakes[0]}")
            return
        self._logs(settings)
        for note in await app.apply(settings):
            log.warning("%s", note)
        try:
            report = await app.reloader.settle(everything=True, cause="SIGHUP")
        except UserError:  # the bot is about to end
            return
        app.tell_misspelt()  # only now is known what there is
        log.info("configuration read again; %s", report)
        app.announcer.tell(f"configuration read again; {report}")

    def _logs(self, settings: Config) -> None:
        line = self._terminal.line if self._terminal is not None and settings.log.format == "text" else None
        logs.setup(settings.log.level, settings.log.format, line=line)
        logs.redact(*settings.secrets())


def _terminal() -> Terminal | None:
    """Return what makes log lines for the terminal that standard error is, if it is one."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    from bot.terminal import Terminal

    return Terminal(sys.stderr)


def _end_alone_in_time(*_: object) -> None:
    """End before the 5 s are over, should the loop be held by a plugin and not hear the signal."""
    end_in_time(END_SECONDS)


def _end_worker_in_time(*_: object) -> None:
    """The same for a worker: its keeper is to know what this end means."""
    end_in_time(WORKERS_END_SECONDS, ASKED_TO_END)


def run_to_end(coroutine: Coroutine[Any, Any, int]) -> NoReturn:
    """Run the loop, then end the process at once: a thread stuck in a name lookup must not hold it up (5 s at most)."""
    loop = guarded(asyncio.new_event_loop())  # so that nothing but the bot's own code can stop it
    at_fork(loop)
    asyncio.set_event_loop(loop)
    code = FAILED
    try:
        task = loop.create_task(coroutine)
        while not task.done():
            try:
                loop.run_until_complete(task)
            except (SystemExit, KeyboardInterrupt):  # out of a timer of a plugin, say: asyncio lets these two pass
                log.exception("a plugin tried to end the bot")
        code = task.result()
    except NeverquitError as error:
        print(f"neverquit: {error}", file=sys.stderr)
    except Exception:
        log.exception("the bot failed")
    finally:
        logging.shutdown()
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError, AttributeError):  # a plugin may have closed or removed it
                pass
        os._exit(code)
