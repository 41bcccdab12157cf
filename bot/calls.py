"""From a line to its handlers: a line becomes events, an event becomes calls, each in a task of its own, and the line
is crossed off when its last call has ended.

Which handlers an event wakes is said by the live table, how a call runs by the pipeline; here is what both leave open:
who asks, where an answer goes, and what is under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, Protocol

from bot import deeds
from bot.api.checks import is_admin
from bot.api.context import Context, Services
from bot.api.events import Event, read
from bot.atwork import here, name
from bot.config import Config
from bot.config import Network as NetworkSettings
from bot.deeds import Book
from bot.dispatch.outlet import CallOutlet, Pending, Sender, asker_of
from bot.dispatch.owner import Owner
from bot.dispatch.pipeline import Call, Pipeline
from bot.dispatch.table import Handler, Match, Table
from bot.errors import UserError
from bot.logs import context
from bot.manners import Manners
from bot.networks import Networks
from bot.places import Places
from bot.protocol.message import Message
from bot.protocol.roster import Applied
from bot.wire.connection import Connection

log = logging.getLogger(__name__)

RECENT_LINES = 500


class Bot(Services, Sender, Protocol):
    """The bot around, as calls need it."""

    loop: asyncio.AbstractEventLoop
    config: Config

    @property
    def table(self) -> Table:
        """The live handlers."""


class Calls:
    """All calls of handlers that are under way.

    Attributes:
        recent: what channels said last, to warm new rules with.
        limits: how often each user has run which command.
        left: this worker is leaving; calls that have not ended by now are made again by the next one.
    """

    def __init__(
        self, bot: Bot, pipeline: Pipeline, networks: Networks, places: Places, pending: Pending, book: Book
    ) -> None:
        self._book = book
        self._bot, self._pipeline, self._networks = bot, pipeline, networks
        self._places, self._pending = places, pending
        self._unfinished: dict[tuple[str, str], int] = {}  # (network, number of the line) -> calls of it
        self._tasks: dict[asyncio.Task[Any], float] = {}  # by the loop's clock, when they began
        self.limits, self.left = pipeline.limits, False
        self._manners = Manners(pipeline.clock)
        self.recent: deque[str] = deque(maxlen=RECENT_LINES)

    @property
    def handler_seconds(self) -> float:
        """How long one call may take."""
        return self._pipeline.handler_seconds

    @handler_seconds.setter
    def handler_seconds(self, seconds: float) -> None:
        self._pipeline.handler_seconds = seconds

    # -- what sets them going

    def line(self, connection: Connection, number: str, flag: int, message: Message, applied: Applied) -> None:
        """Run what a line wakes, then cross it off."""
        network = self._networks.get(connection.name)
        calls: list[Call] = []
        if network is not None and flag != 2:
            if self._bot.config.ctcp and (answer := self._manners.ctcp(network, message, applied)) is not None:
                self._bot.deliver(network.name, (answer,), number, "bot.ctcp", 0)
            here.enter(name(number))  # a rule may search for very long
            try:
                for event in read(network, number, message, applied):
                    calls += self._woken(event, connection.settings)
                    if event.channel and event.name == "message":
                        self.recent.append(event.text)
            finally:
                here.leave()
        if not calls:
            connection.done(number)
            return
        self._unfinished[connection.name, number] = len(calls)
        for call in calls:
            self._begin(call, connection, number, flag)

    def happened(self, name: str, connection: Connection, channel: str | None = None, **fields: object) -> None:
        """Run what an event wakes that no line brought."""
        network = self._networks.get(connection.name)
        if network is None:
            return
        event = Event(
            name,
            network,
            "-",
            None,
            None,
            channel,
            "",
            {**fields, "channel": channel, "nick": network.nick, "user": None},
        )
        for call in self._woken(event, connection.settings):
            self._begin(call, connection, "", 0)

    def later(
        self,
        owner: Owner,
        handler: Handler,
        args: tuple[Any, ...],
        address: str | None,
        number: str = "",
        again: bool = False,
    ) -> Coroutine[Any, Any, None]:
        """Return the run of a job.

        Args:
            address: where it speaks.
            number: of its entry, if it has one; `again`: a worker before has begun it.
        """
        place = None
        if address is not None:
            try:
                place = self._networks.resolve(address)
            except UserError as error:
                log.warning("%s: %s", handler.key, error)
        outlet = CallOutlet(self._bot, number or "-", handler.key)
        ctx = Context(owner, outlet, self._bot, home=place)
        if place is not None:
            ctx.network = self._networks[place[0]]
            _, channel = ctx.network.roster.isupport.split_status(place[1])
            ctx.channel = channel if ctx.network.roster.is_channel(channel) else None
        return self._run(Call(handler, ctx, outlet, args=args), number, again)

    def task(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Start a task that is waited for or cancelled with the calls."""
        task = self._bot.loop.create_task(coroutine)
        self._tasks[task] = self._bot.loop.time()
        task.add_done_callback(self._tasks.pop)
        return task

    # -- one call

    def _woken(self, event: Event, settings: NetworkSettings) -> list[Call]:
        def enabled(plugin: str) -> bool:
            return plugin == "bot" or self._places.answers(plugin, settings, event.channel)

        matches = self._bot.table.match(event, settings.prefix, enabled)
        if not matches:
            return []

        signed = event.text.startswith(settings.prefix)

        def wakes(text: str) -> set[str]:
            # In private no sign is needed, so that any answer may be a command: but not one as theirs are.
            if signed and not text.startswith(settings.prefix):
                return set()
            again = replace(event, name="message", text=text)
            return {match.handler.key for match in self._bot.table.match(again, settings.prefix, enabled)}

        mapping = event.network.roster.isupport.casemapping
        admin = is_admin(settings.admins, event.network.name, event.user, mapping)
        silent = self._manners.silent(event, matches, admin, wakes)
        return [self._call(match, event, settings, admin, silent) for match in matches]

    def _call(self, match: Match, event: Event, settings: NetworkSettings, admin: bool, silent: bool) -> Call:
        handler, network, user = match.handler, event.network, event.user
        place = (network.name, event.place) if event.place else None
        asker = asker_of(place, user, network.fold) if place and user else None
        outlet = CallOutlet(
            self._bot,
            event.number,
            handler.key,
            place,
            limit=self._bot.config.reply_lines,
            pending=self._pending,
            asker=asker,
            hint=f"{settings.prefix[0]}more",
            answered=lambda text: self._manners.spoke(event, handler.key, text),
            silent=silent,
        )
        ctx = Context(handler.owner, outlet, self._bot, event, command=match.command, rest=match.rest, is_admin=admin)
        if match.command:
            ctx.text = match.rest
        return Call(handler, ctx, outlet, event, match.rest, *match.groups, prefix=settings.prefix[0])

    async def _run(self, call: Call, number: str, again: bool) -> None:
        """Run a call, in sight of the keeper."""
        if number and here.kept:
            await here.run(self._run_once(call, number, again), name(number))
        else:
            await self._run_once(call, number, again)

    async def _run_once(self, call: Call, number: str, again: bool) -> None:
        """Run a call; one that an earlier worker made already, or began, changes nothing twice."""
        deed = self._book.begin(number, call.handler.key, again) if number else None
        if deed is None:
            await self._pipeline.run(call)
            return
        if deed.answered is not None:
            call.outlet.again(deed.answered)
            return
        call.outlet.said = deed.said
        token = deeds.current.set(deed)
        try:
            await self._pipeline.run(call)
        finally:
            deeds.current.reset(token)
        if not self.left:
            deed.end()  # not if it was cancelled: then the next worker makes it again

    def _begin(self, call: Call, connection: Connection, number: str, flag: int) -> None:
        event = call.event
        with context(connection.name, event.channel if event else None, call.handler.plugin):  # the task inherits it
            task = self.task(self._run(call, number, flag == 1))

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and task.exception() is not None:
                log.error("a call of %s failed inside the bot", call.handler.key, exc_info=task.exception())
            if not number or self.left:
                return
            left = self._unfinished[connection.name, number] - 1
            if left:
                self._unfinished[connection.name, number] = left
            else:
                del self._unfinished[connection.name, number]
                connection.done(number)

        task.add_done_callback(ended)

    # -- their end

    async def quiet(self, seconds: float, at_most_seconds: float) -> None:
        """Wait until no call has been under way for so long; new ones may begin meanwhile."""
        loop = self._bot.loop
        until = loop.time() + at_most_seconds
        while (left := until - loop.time()) > 0:
            old = [task for task, began in self._tasks.items() if loop.time() - began > seconds]
            if not old:
                return
            await asyncio.wait(old, timeout=left)

    async def ended(self) -> None:
        """Wait until none is under way."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    def cancel(self) -> None:
        """End them all: the bot is ending."""
        for task in list(self._tasks):
            task.cancel()
