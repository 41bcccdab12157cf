"""The bot, put together: the only file that knows every folder.

It owns the connections, the reloader, the store and the scheduler, and passes between them; what a line sets going is
`calls.py`. What a floor below needs from above it states as a protocol (`Services`, `Sender`, `Host`, `Listener`);
this class is all four.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bot.announce import Announcer
from bot.api import kept
from bot.api import settings as plugin_settings
from bot.api.context import Context, Scheduled
from bot.api.context import Owner as AnyOwner
from bot.api.http import http
from bot.calls import Calls
from bot.chat import built_in
from bot.config import Config
from bot.config import Network as NetworkSettings
from bot.dispatch.faults import Faults
from bot.dispatch.guard import task_factory
from bot.dispatch.outlet import CallOutlet, Pending
from bot.dispatch.owner import Owner
from bot.dispatch.pipeline import Pipeline
from bot.dispatch.relay import Relay
from bot.dispatch.scheduler import Clock, LoopClock, Scheduler
from bot.dispatch.table import Table
from bot.dispatch.typist import Typist
from bot.errors import CannotConnect, NeverquitError, StoreError
from bot.handover import Handover
from bot.jobs import Jobs
from bot.ledger import Ledger
from bot.live.discover import Discovery, directories
from bot.live.handoff import Shelf
from bot.live.installed import Installed
from bot.live.loader import Image
from bot.live.names import install
from bot.live.past import Past
from bot.live.plan import Patience
from bot.live.reload import Reloader
from bot.live.trial import Ground
from bot.live.watcher import Watcher
from bot.networks import Network, Networks, be_in
from bot.places import Places, misspelt
from bot.protocol.message import Message
from bot.protocol.roster import Applied
from bot.protocol.sts import Policies
from bot.quarantine import Quarantine
from bot.speaker import Speaker
from bot.storage import Backend
from bot.waits import waits
from bot.wire.connection import Connection
from bot.wire.keeper import Keeper
from bot.wire.link import NOWHERE, Frame, LinkEnd, MemoryLink
from bot.wire.reactor import Reactor
from bot.wire.vitals import vitals

log = logging.getLogger(__name__)

STOP_SECONDS = 4.0  # the contract says 5 from signal to exit
READY_SECONDS = 10.0
SAFE_MODE = "safe mode: workers have failed again and again, no plugin is loaded; !load NAME or !reload all takes them"


class App(Speaker):
    """One running bot, keeper and worker in this process.

    Args:
        config: all settings; `apply` takes new ones while it runs.
        backend: the store; by default the file in `state_dir`.
        once: don't reconnect; a first connection that fails is `CannotConnect`.
        link: the end of the link to a keeper in another process; by default there is one in this process.
        installed: take the plugins that were installed with pip, too.
        ground: where new versions are tried; by default nowhere, as in tests: they are executed at once.
        handover: changes this worker for another, where a keeper runs beside it.
        safe: load no plugins until an admin asks for them: loading them has ended workers.

    Attributes:
        ready: set when the plugins are loaded.
        vitals: tells how the keeper is, see `wire.vitals`.
    """

    def __init__(
        self,
        config: Config,
        *,
        backend: Backend | None = None,
        once: bool = False,
        link: LinkEnd | None = None,
        installed: bool = False,
        ground: Ground | None = None,
        handover: Handover | None = None,
        safe: bool = False,
        clock: Callable[[], float] = time.monotonic,
        job_clock: Clock | None = None,
        choice: random.Random | None = None,
    ) -> None:
        self.config, self.once, self.handover = config, once, handover
        self.backend = backend or Backend.open(config.state_dir)
        self.loop, self.thread = asyncio.get_running_loop(), threading.get_ident()
        self.shelf = Shelf(self.backend)
        # Before the link and the clock are made: calls run in the context that they copy.
        kept.shelf.set(self.shelf)
        plugin_settings.source.set(self.settings)
        self.pending, self.networks, self.started = Pending(), Networks(), time.monotonic()
        self._clock, self._choice = clock, choice or random.Random()
        self._relay, self.faults = Relay(), Faults()
        self.places = Places(lambda: self.config, self.backend.own, lambda name, text: self.networks[name].fold(text))
        job_clock = job_clock or LoopClock()
        self.typist = Typist(job_clock, self.networks.typing)
        pipeline = Pipeline(self._relay, config.timeouts.handler_seconds, clock, self.faults, self.typist)
        self.calls = Calls(self, pipeline, self.networks, self.places, self.pending, self.backend.book)
        self.happened = self.calls.happened  # what no line stands for: wire.connection.Listener
        self.scheduler = Scheduler(job_clock, self.calls.task)
        self.announcer = Announcer(
            lambda: self.resolve(self.config.reload.report_to) if self.config.reload.report_to else None,
            lambda name: self.networks[name].connection.registered and name not in self._not_ready,
            lambda name, one, other: self.networks[name].same(one, other),
            lambda place, text: CallOutlet(self, "-", "bot.report").send(*place, "say", text),
            lambda entry: self.reloader.still_failed(entry),
            lambda: self.reloader.busy(),
        )
        self._not_ready: dict[str, asyncio.TimerHandle] = {}  # registered, but not yet in all channels
        self.ready, self.stopping, self.quit_message = asyncio.Event(), asyncio.Event(), "neverquit: shutting down"
        self.failure: Exception | None = None
        self.owner = Owner("bot", trusted=True)
        self.owner.go_live(1)
        if link is None:
            within = MemoryLink()
            self._keeper: Keeper | None = Keeper(within.keeper, clock=clock)
            link = within.worker
        else:
            self._keeper = None
        self.reactor = Reactor(link, kept=self._keeper is None, policies=Policies(self.backend.own("sts")))
        ledger = Ledger(self.reactor.send, self.reactor.done, self.backend.own("timers"))
        self.jobs = Jobs(self.backend.jobs, self.scheduler, self.calls.later, ledger, self.calls.task, job_clock.time)
        self.reactor.on_boot, self.reactor.on_other = self._booted, self._other
        self.reactor.on_done, self.backend.book.when_heard = self.backend.book.finished, self.reactor.when_heard
        self.reactor.on_live = self._all_came
        if self._keeper is None:
            self.scheduler.hold()  # what a worker before has left comes first
        self.vitals: Callable[[], Awaitable[dict[str, Any]]] = self._own_vitals
        folders = directories(config.plugins.directories)
        self.reloader = self._reloader(Discovery(folders, elsewhere=Installed() if installed else None), ground)
        self.past = self._past(pipeline)
        self.quarantine = Quarantine(self)
        self.watcher = self._watcher(folders)
        if safe:
            self.reloader.safety.begin()

    def _reloader(self, discovery: Discovery, ground: Ground | None) -> Reloader:
        return Reloader(
            discovery,
            self,
            self._relay,
            self.shelf,
            self.backend.own("claims"),
            patience=Patience.of(self.config),
            built_in=built_in(self, self.owner),
            disabled=self.places.off_everywhere,
            recent=lambda: tuple(self.calls.recent),
            on_later=self._later,
            ground=ground,
            restart=f"{self.config.prefix[0]}restart" if self.handover is not None else "",
        )

    def _past(self, pipeline: Pipeline) -> Past:
        past = Past(
            self.reloader,
            self.backend.versions,
            self.backend.own("pins"),
            self.faults,
            lambda: self.config.reload,
            self.announcer.report,
            self.calls.task,
            self._clock,
        )
        pipeline.on_end = past.probation.ended
        return past

    def _watcher(self, folders: Sequence[Path]) -> Watcher:
        return Watcher(
            folders,
            self._settle,
            settle_seconds=self.config.reload.settle_ms / 1000,
            sweep_seconds=self.config.reload.sweep_seconds,
            foresee=self.reloader.foresee,
            is_known=lambda name: name in self.reloader.live and not name.startswith("_"),
        )

    @property
    def keeper(self) -> Keeper:
        """The keeper, where it is in this process."""
        assert self._keeper is not None, "the keeper is a process of its own"
        return self._keeper

    # -- life

    async def start(self) -> None:
        """Load the plugins, begin to watch, and dial."""
        sys.setswitchinterval(0.001)  # a busy plugin thread delays the loop by 1.5 ms instead of 5 to 10
        install([str(directory) for directory in directories(self.config.plugins.directories)])
        self.quarantine.begin()
        report = await self.past.begin()
        self.tell_misspelt()
        for network in self.config.networks.values():
            self._open(network)
        self.reactor.listen()
        self.announcer.report(report, starting=True)  # held until the network that it goes to is ready
        if self.reloader.safety.on:
            self.notice(SAFE_MODE)
        if self.config.reload.watch:
            await self.watcher.start()
        self.ready.set()

    async def run(self) -> None:
        """Run until `stop`; then say QUIT and end everything.

        Raises:
            CannotConnect: with `once`, the first connection failed.
        """
        kept.shelf.set(self.shelf)  # for the hooks of the end, too
        self.loop.set_task_factory(task_factory)
        starting, stopping = self.loop.create_task(self.start()), self.loop.create_task(self.stopping.wait())
        try:
            # Plugins may take their time to load, and an end must not wait for that.
            await asyncio.wait((starting, stopping), return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                starting.result()
            await stopping
        finally:
            starting.cancel(), stopping.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)
            await self.close()
        if self.failure is not None:
            raise self.failure

    def stop(self, message: str = "") -> None:
        """Ask the bot to end. Returns at once; safe to call again."""
        if message:
            self.quit_message = message
        self.stopping.set()

    async def close(self) -> None:
        """End: QUIT on every network, unless another worker goes on there; plugins torn down, nothing left."""
        await self.watcher.stop()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                up = () if self.calls.left else self.networks.values()
                await asyncio.gather(*(each.connection.stop(self.quit_message) for each in up), return_exceptions=True)
                await self.reloader.close()
        except TimeoutError:
            log.warning("not everything ended within %g s; ending all the same", STOP_SECONDS)
        await self.past.close()
        self.calls.cancel()
        self.scheduler.stop()
        if self._keeper is not None:
            await self._keeper.closed()
        await self.owner.let_go()
        await http.close()
        self._relay.stop()
        self.backend.close()

    def _open(self, settings: NetworkSettings) -> None:
        connection = Connection(
            settings.name, settings, self.reactor, self, clock=self._clock, random=self._choice, once=self.once
        )
        self.networks[settings.name] = Network(settings.name, connection)
        be_in(connection, self.places.channels(settings))
        if self.once:
            self.calls.task(self._first(connection))
        connection.start()

    async def _first(self, connection: Connection) -> None:
        try:
            await connection.wait_up()
        except CannotConnect as error:
            if not self.stopping.is_set():
                self.failure = error
                self.stop()

    async def apply(self, config: Config) -> list[str]:
        """Take new settings; return what has to wait for a restart or reconnect, in words."""
        old, self.config = self.config, config
        self.calls.handler_seconds = config.timeouts.handler_seconds
        self.reloader.patience = Patience.of(config)
        await self.watcher.configure(config.reload)
        for name in old.networks.keys() - config.networks.keys():
            await self.networks.pop(name).connection.stop("neverquit: no longer configured here")
        for name, settings in config.networks.items():
            if name not in old.networks:
                self._open(settings)
                continue
            connection = self.networks[name].connection
            connection.configure(settings)
            be_in(connection, self.places.channels(settings))
        return waits(old, config)

    def tell_misspelt(self) -> None:
        """Write into the log which names of the configuration are no plugin's."""
        commands = {command: name for name, image in self.reloader.plugins().items() for command in image.commands}
        for note in misspelt(self.config, self.reloader.known(), commands):
            log.warning("%s", note)

    async def idle(self) -> None:
        """Wait until no call of a handler is under way; for tests."""
        await self.calls.ended()
        await self.announcer.certain()

    # -- the keeper

    def _booted(self, boot: str) -> None:
        """The keeper, which outlives this worker, has said which one it is."""
        for each in (self.backend.book, self.jobs):
            try:
                each.open(boot)
            except StoreError as error:  # the bot goes on without its past
                log.error("what earlier workers have written down can't be used: %s", error)

    def _all_came(self) -> None:
        """What a worker before has left unfinished has all been handed over."""
        self.scheduler.release()
        self.backend.book.unfinished(self.reactor.backlog)

    def _other(self, frame: Frame) -> None:
        """A frame of no network: a run that a worker before has begun."""
        if frame.verb == "line" and frame.fields[0] == NOWHERE:
            self.jobs.again(frame.fields[1])

    async def _own_vitals(self) -> dict[str, Any]:
        return vitals(self.keeper)

    # -- lines from connections: wire.connection.Listener

    def up(self, connection: Connection, taken_over: bool) -> None:
        """A connection is registered; `ready` follows when its channels are joined, at the latest after 10 s."""
        if taken_over and connection.ready:  # plugins were told of it under the worker before
            self.announcer.release()
            return
        self._not_ready[connection.name] = self.loop.call_later(READY_SECONDS, self._ready, connection)
        if not taken_over:
            self.calls.happened("connected", connection)
        self._look_ready(connection)

    def down(self, connection: Connection, reason: str) -> None:
        """A connection is lost."""
        if (timer := self._not_ready.pop(connection.name, None)) is not None:
            timer.cancel()
        self.calls.happened("disconnected", connection, reason=reason)
        if self.once and not self.stopping.is_set():
            self.failure = NeverquitError(f"{connection.name}: the connection was lost: {reason}")
            self.stop()

    def _look_ready(self, connection: Connection) -> None:
        if all(connection.roster.channel(channel) is not None for channel in connection.channels):
            self._ready(connection)

    def _ready(self, connection: Connection) -> None:
        timer = self._not_ready.pop(connection.name, None)
        if timer is None:
            return
        timer.cancel()
        connection.ready = True
        self.reactor.checkpoints.soon()
        self.calls.happened("ready", connection)
        self.announcer.release()

    def line(self, connection: Connection, number: str, flag: int, message: Message, applied: Applied) -> None:
        """A line has come and the roster knows of it: run what it wakes, then cross it off."""
        if connection.name in self._not_ready:
            self._look_ready(connection)
        self.calls.line(connection, number, flag, message, applied)

    # -- what contexts and calls ask: api.context.Services, calls.Bot

    @property
    def table(self) -> Table:
        """The live handlers."""
        return self.reloader.table

    def network(self, name: str) -> Network:
        """Return a network by its name in the configuration."""
        return self.networks.named(name)

    def resolve(self, address: str) -> tuple[str, str]:
        """Split `libera/#a`, or `#a` with one network."""
        return self.networks.resolve(address)

    def settings(self, plugin: str) -> Mapping[str, Any]:
        """Return a plugin's part of `plugins.settings`."""
        return MappingProxyType(dict(self.config.plugins.settings.get(plugin, {})))

    def schedule(
        self,
        owner: AnyOwner,
        when: float | str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        address: str | None,
    ) -> Scheduled:
        """Run a function of a plugin later; see `Jobs`."""
        return self.jobs.schedule(owner, when, function, args, address)

    # -- what the reloader asks: live.handoff.Host

    def context(self, owner: Owner, key: str) -> Context:
        """Return a context for hooks."""
        return Context(owner, CallOutlet(self, "-", key), self)

    def committed(self, table: Table, plugins: Mapping[str, Image]) -> None:
        """Part of a commit: the jobs of these plugins are those of the new version."""
        for name, image in plugins.items():
            self.jobs.replace(name, image.owner, image.found.jobs, image.found.later)

    def unloaded(self, plugins: Collection[str]) -> None:
        """Part of a commit: the jobs of these plugins end."""
        for name in plugins:
            self.jobs.remove(name)

    def notice(self, text: str) -> None:
        """Tell the admins a line that belongs to no report."""
        log.warning("%s", text)
        self.announcer.tell(text)

    # -- reloading and its reports

    def _later(self, seconds: float) -> None:
        self.loop.call_later(seconds + 0.001, self.watcher.poke)

    async def _settle(self, hint: frozenset[str] = frozenset()) -> None:
        self.announcer.settled(await self.reloader.settle(hint=hint))
