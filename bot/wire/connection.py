"""One network, as the bot sees it: supervised for ever, registered, in its channels, its lines parsed and passed on.

The worker's end of the link. The keeper dials when told and says what came; here it is decided when to dial again, who
we are (`protocol.registration`), what a line means (`protocol.roster`), which channels to be in (`rejoin`) and what
may leave (`outbox`). What a line does to the bot is the listener's. Long answers are cut above; `room_for` says where.

Every line out, by whatever method, passes `_put`, the one place that refuses CR, LF and NUL.

The only file that imports the `irc` package (20.5). A `Connection` is an `irc.client_aio.AioConnection`, so its command
methods work, and handlers added with `add_global_handler` get its events. Socket, buffer, parser, registration, state
and sending are ours: the library's end on bad input, which is why nothing of a line reaches it before we have read it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from random import Random
from typing import Any, Protocol

from irc.client import NickMask
from irc.client_aio import AioConnection, AioReactor
from irc.events import Command

from bot.config import Network
from bot.errors import CannotConnect, MalformedLine
from bot.protocol.message import Message, decode, safe
from bot.protocol.registration import Registration
from bot.protocol.roster import Applied, Roster
from bot.protocol.snapshot import of as snapshot_of
from bot.protocol.snapshot import restore, resumed
from bot.wire.alarms import Alarms
from bot.wire.asks import Asks
from bot.wire.checkpoint import STATELESS, Checkpoints
from bot.wire.link import LINK_VERSION, Frame, LinkEnd
from bot.wire.opening import URGENT, Limits, identity, in_place, one_line, orders, refusal, reveal
from bot.wire.outbox import NOT_SENT, SENT, Outbox
from bot.wire.reconnect import Backoff
from bot.wire.rejoin import Wanted

log = logging.getLogger(__name__)

#: Private names of `irc` that this file calls or overrides, and why; a test looks whether they are still there.
BORROWED = {
    "AioConnection._handle_message": "makes pubmsg, privmsg, ctcp and action events of a PRIVMSG or NOTICE",
    "AioConnection._handle_other": "makes events of all other lines",
}

#: Verbs handed to the library's handlers. Not all: it has events of its own, and a server that sends the verb
#: DISCONNECT or PUBMSG must not be able to fake one.
_VERBS = {"ACCOUNT", "AWAY", "BATCH", "CAP", "CHGHOST", "ERROR", "INVITE", "JOIN", "KICK", "MODE", "NICK", "NOTICE"}
_VERBS |= {"PART", "PONG", "PRIVMSG", "QUIT", "SETNAME", "TAGMSG", "TOPIC", "WALLOPS"}


class Listener(Protocol):
    """Who is told what happens on a connection; all on the loop's thread, none of it may block."""

    def up(self, connection: Connection, taken_over: bool) -> None:
        """Registered; the channels have been asked for. `taken_over`: by a worker before, and they are joined."""

    def down(self, connection: Connection, reason: str) -> None:
        """No longer registered. An attempt that never came up is not told."""

    def line(self, connection: Connection, number: str, flag: int, message: Message, applied: Applied) -> None:
        """A line came and the roster knows it. `connection.done(number)` must follow once its handlers have ended.

        Args:
            flag: 0 new, 1 delivered before and unfinished, 2 only for the state.
        """


class Reactor(AioReactor):  # type: ignore[misc]  # irc is untyped
    """The worker's end of the link, shared by the connections of all networks; holds the library's handlers.

    Args:
        link: the worker's end; `listen` takes its `on_frame`.
        kept: whether the keeper will outlive this worker.
    """

    def __init__(self, link: LinkEnd, *, kept: bool = False) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.checkpoints = Checkpoints(self.send, self._snapshots, kept=kept)
        self.handlers: dict[str, list[Any]] = {}  # without the library's answer to PING: the keeper has answered
        self.window = 0  # credits of each network; 0 until the keeper has greeted us
        self.by_name: dict[str, Connection] = {}
        self.on_other: Callable[[Frame], None] | None = None  # frames about the bot, not about one network
        self.on_boot: Callable[[str], object] | None = None  # told which run of the keeper numbers the lines
        self.on_live: Callable[[], object] | None = None  # what a worker before has left has all come
        self._link, self._kept = link, kept

    def listen(self) -> None:
        """Take what the keeper says: once all networks that it may speak of are attached."""
        self._link.on_frame = self._frame

    def _snapshots(self) -> dict[str, Any]:
        return {name: connection.snapshot() for name, connection in self.by_name.items() if connection.registered}

    def send(self, frame: Frame) -> None:
        self._link.send(frame)

    def attach(self, connection: Connection) -> None:
        """Let this connection have the frames of its network from now on, and the credits of the one before."""
        if (former := self.by_name.get(connection.name)) is not None:
            connection.outbox.credit = former.outbox.credit
        self.by_name[connection.name] = connection
        self.connections[:] = self.by_name.values()

    def detach(self, connection: Connection) -> None:
        """Forget a connection that has ended for good, and all that waits to be sent on it."""
        if self.by_name.get(connection.name) is connection:
            del self.by_name[connection.name]
            self.connections[:] = self.by_name.values()
            self.send(Frame("drop", (connection.name,)))

    def _frame(self, frame: Frame) -> None:
        try:
            if frame.verb == "hello":
                self._greeted(*frame.fields)
            elif frame.verb == "saved":
                self.checkpoints.given(frame.fields[0], frame.payload)
            elif frame.verb == "live":
                for one in self.by_name.values():
                    one.caught_up()
                if self.on_live is not None:
                    self.on_live()
            elif frame.fields and (connection := self.by_name.get(frame.fields[0])) is not None:
                connection.on_frame(frame)
            elif self.on_other is not None:
                self.on_other(frame)
        except Exception:
            # Left to itself, an exception here would cost a network its supervision.
            log.exception("a frame %r from the keeper failed", frame.verb)

    def _greeted(self, version: str, boot: str, window: str) -> None:
        if int(version) > LINK_VERSION:
            log.warning("the keeper speaks version %s of the link, this worker only up to %d", version, LINK_VERSION)
        if self._kept and self.on_boot is not None:
            self.on_boot(boot)
        self.window = int(window)
        for connection in self.by_name.values():
            connection.outbox.room(self.window)


class Connection(AioConnection):  # type: ignore[misc]  # irc is untyped
    """One network. Made, used and ended on the loop's thread.

    Args:
        name: the network's name in the configuration.
        settings: its configuration.
        reactor: the link it shares with the other networks.
        listener: who is told of lines, ups and downs.
        clock: seconds, never backwards; with one that is stepped by hand, call `alarms.tick` after each step.
        random: for the jitter of waits.
        once: never connect a second time, and let `wait_up` say why the first did not come up.

    Attributes:
        roster: users, channels, own nick, ISUPPORT; others only read it.
        registered: between 001 and the end of the connection.
        malformed: lines so far that were no IRC, or that the roster could not take.
    """

    def __init__(
        self,
        name: str,
        settings: Network,
        reactor: Reactor,
        listener: Listener,
        *,
        clock: Callable[[], float] = time.monotonic,
        random: Random | None = None,
        limits: Limits | None = None,
        once: bool = False,
    ) -> None:
        super().__init__(reactor)
        self.handlers: dict[str, list[Callable[..., Any]]] = {}  # the library's, of this connection alone
        self.server, self.port = settings.host, settings.port
        random = random if random is not None else Random()
        self.name, self.settings, self.listener, self.once = name, settings, listener, once
        self.limits = limits if limits is not None else Limits()
        self.roster = Roster()
        self.alarms = Alarms(clock)
        self.outbox = Outbox(reactor.send, reactor.window, name)
        self.registration: Registration | None = None
        self.registered, self.malformed = False, 0
        self._clock = clock
        self._state = "idle"  # dialling, registering, up, closing, waiting, ended
        self._backoff = Backoff(settings.reconnect.minimum_seconds, settings.reconnect.maximum_seconds, random)
        channels = {channel.name: reveal(channel.key) for channel in settings.channels}
        self._wanted = Wanted(channels, self.roster.fold, random)
        self._asks = Asks(self.say, self.alarms, self.limits.ask_seconds)
        self._since = "0"  # the last line before the connection came up, by which a checkpoint knows it
        self._last_words = ""  # the server's, or ours, about why this connection ends
        self._told = ""
        self._first: asyncio.Future[str] = reactor.loop.create_future()  # "" came up, else why not
        self._ended: asyncio.Future[None] = reactor.loop.create_future()
        reactor.attach(self)

    # -- supervision --

    def start(self) -> None:
        """Dial, and keep dialling for ever; returns at once."""
        if self._state == "idle":
            self._dial()

    def configure(self, settings: Network) -> None:
        """Take new settings. What the connection itself was made with is used when it is next made."""
        self.settings, self.server, self.port = settings, settings.host, settings.port
        self._backoff.between(settings.reconnect.minimum_seconds, settings.reconnect.maximum_seconds)

    async def stop(self, reason: str) -> None:
        """Say QUIT, close, and never dial again. Returns when closed, after `stop_seconds` at the latest."""
        self.disconnect(reason)
        await asyncio.wait([self._ended], timeout=self.limits.stop_seconds)
        self._end(reason)

    async def wait_up(self) -> None:
        """Wait for the first registration.

        Raises:
            CannotConnect: with `once`, or stopped meanwhile: it will not come.
        """
        if reason := await asyncio.shield(self._first):
            raise CannotConnect(f"{self.name}: {reason}")

    async def ended(self) -> None:
        """Wait until the connection is closed and will not be dialled again."""
        await asyncio.shield(self._ended)

    @property
    def connected(self) -> bool:
        """Whether there is a connection to the server, registered or not."""
        return self._state in ("registering", "up")

    @property
    def state(self) -> str:
        """In words: up as NICK, registering, not connected."""
        if self.registered:
            return f"up as {self.roster.nick}"
        return "registering" if self.connected else "not connected"

    def on_frame(self, frame: Frame) -> None:
        """Take a frame of this network from the keeper; the reactor calls it."""
        match frame.verb:
            case "line":
                _, number, flag = frame.fields
                self._line(number, int(flag), frame.payload)
            case "room":
                self.outbox.room(int(frame.fields[1]))
            case "up":
                self._connected(*frame.fields[1:])
            case "down":
                self._disconnected(frame.payload.decode(errors="replace"))

    def _dial(self) -> None:
        self._state, self._last_words = "dialling", ""
        self.reactor.send(Frame("open", (self.name,), orders(self.settings, self.limits)))

    def _connected(self, since: str, fresh: str) -> None:
        if self._state != "dialling":
            return
        self._state, self._since = "registering", since
        if fresh == "0":
            self._take_over()
            return
        self.registration = Registration(identity(self.settings), tls=self.settings.tls is not None)
        seconds = self.limits.registration_seconds
        self.alarms.after(seconds, "registration", lambda: self._give_up(f"not registered within {seconds:g} s"))
        for message in self.registration.start():
            self.say(message, urgent=True)

    def _take_over(self) -> None:
        """Go on with a connection that another worker has registered."""
        snapshot = self.reactor.checkpoints.of(self.name, self._since)
        try:
            if snapshot is None:
                raise ValueError("nothing was left of it")
            self.registration = resumed(snapshot, identity(self.settings), self.settings.tls is not None)
            restore(self.roster, snapshot, self.registration.caps)
        except ValueError as error:
            self._give_up(f"the worker before was not done with this connection ({error})")
            return
        for channel in self.roster.channels.values():
            self._wanted.joined(channel.name, self._clock())
        log.info("%s: taken over as %s", self.name, self.roster.nick)
        self._up((), taken_over=True)

    def caught_up(self) -> None:
        """All that a worker before had left has come: where are we, and where do we want to be?"""
        if self.registered:
            for join in self._wanted.missing(self.roster):
                self.say(join, urgent=True)

    def snapshot(self) -> dict[str, Any]:
        """Return how things stand, as JSON values, for the next worker."""
        assert self.registration is not None
        return {**snapshot_of(self.roster, self.registration), "since": self._since}

    def _give_up(self, reason: str) -> None:
        """Close this connection; what follows is decided when the keeper says that it is down."""
        if self.connected:
            self._state, self._last_words = "closing", reason
            self.alarms.cancel("registration")
            self.reactor.send(Frame("close", (self.name,), one_line(reason)))

    def _disconnected(self, reason: str) -> None:
        if self._state in ("idle", "waiting", "ended"):
            return
        reason, stopping, was_up = self._last_words or reason, self._state == "stopping", self.registered
        self.registered, self.registration = False, None
        self.alarms.cancel()
        self._asks.clear()
        self.roster.clear()
        if stopping or self.once:
            self._end(reason)
        else:
            self._state = "waiting"
            self.alarms.after(seconds := self._backoff.next(), "dial", self._dial)
            # A server that is away for a night is told of once, not a thousand times.
            level = logging.DEBUG if reason == self._told else logging.WARNING
            log.log(level, "%s: %s; trying again in %.0f s, and on", self.name, reason, seconds)
            self._told = reason
        if was_up:
            self._tell(lambda: self.listener.down(self, reason))

    def _end(self, reason: str) -> None:
        if self._state != "ended":
            self._state = "ended"
            self.alarms.cancel()
            if not self._first.done():
                self._first.set_result(reason or "stopped")
            self._ended.set_result(None)
            self.outbox.clear()
            self.reactor.detach(self)

    # -- lines in --

    def done(self, number: str) -> None:
        """All handlers of this line have ended; what they said goes first."""
        self.outbox.done(self.reactor.checkpoints.finished(number))

    def begin(self, name: str, text: str = "") -> None:
        """Open an entry for work that no line caused; `name` is one that the next worker can make again."""
        self.reactor.send(Frame("begin", (self.name, name), one_line(text)))

    def _line(self, number: str, flag: int, raw: bytes) -> None:
        try:
            message = Message.parse(decode(raw))
            if self.reactor.checkpoints.covers(number) and message.command not in STATELESS:
                applied = Applied(member=self.roster.user(message.source.nick) if message.source else None)
            else:
                applied = self.roster.apply(message)
                self.reactor.checkpoints.applied(number, message.command)
                self._react(message, applied)
        except Exception as error:
            # A server's oddity costs one line, never the connection.
            self.malformed += 1
            trace = None if isinstance(error, MalformedLine) else error
            log.debug("%s: line %s ignored: %s", self.name, number, error, exc_info=trace)
            self.done(number)
            return
        if self.handlers or any(self.reactor.handlers.values()):
            self._tell(lambda: self._tell_library(message))
        if not self._tell(lambda: self.listener.line(self, number, flag, message, applied)):
            self.done(number)

    def _tell(self, call: Callable[[], None]) -> bool:
        """Call somebody else's code, whose faults must not become ours."""
        try:
            call()
        except Exception:
            log.exception("%s: what happened could not be handled", self.name)
            return False
        return True

    def _react(self, message: Message, applied: Applied) -> None:
        """What the protocol itself wants done about a line."""
        command = message.command
        if self.registration is not None:
            self._register(self.registration, message)
        self._asks.add(applied.asks)
        self._asks.answered(command)
        if command == "ERROR":  # says more than the closing of the socket that follows
            self._last_words = self._last_words or f"the server said: {message.param(-1)}"
        if self._wanted.heard(message, self.roster, self._clock()):
            self._rejoin()

    def _register(self, registration: Registration, message: Message) -> None:
        for answer in registration.feed(message):
            self.say(answer, urgent=True)
        self.roster.caps = registration.caps
        if self.registered or self._state != "registering":
            return
        if registration.remark:
            log.warning("%s: %s", self.name, registration.remark)
            registration.remark = None
        if registration.failure:
            self._give_up(registration.failure)
        elif registration.done:
            log.info("%s: connected to %s:%d as %s", self.name, self.server, self.port, registration.nick)
            self._up(self._wanted.everything())

    def _up(self, joins: Iterable[Message], *, taken_over: bool = False) -> None:
        self._state, self.registered, self._told = "up", True, ""
        self.alarms.cancel("registration")
        self.alarms.after(self.limits.stable_seconds, "stable", self._backoff.stable)
        for join in joins:
            self.say(join, urgent=True)
        self.reactor.send(Frame("go", (self.name,)))
        self.reactor.checkpoints.save()  # from here on a successor can go on with this connection
        if not self._first.done():
            self._first.set_result("")
        self._tell(lambda: self.listener.up(self, taken_over))

    def _tell_library(self, message: Message) -> None:
        if not message.command.isdecimal() and message.command not in _VERBS:
            return
        name = Command.lookup(message.command)
        source = NickMask(str(message.source)) if message.source else None
        tags = [{"key": key, "value": value or None} for key, value in message.tags.items()]
        handle = self._handle_message if message.command in ("PRIVMSG", "NOTICE") else self._handle_other
        handle(list(message.params), name, source, tags)

    # -- channels --

    @property
    def channels(self) -> dict[str, str | None]:
        """The channels to be in, name -> key; after a reconnection these are joined."""
        return self._wanted.channels

    def join(self, channel: str, key: str = "") -> None:
        """Be in this channel from now on, over reconnections too. Both may be lists by commas, as in RFC 2812."""
        message = self._wanted.add(channel, key)
        if self.registered:
            self.say(message, urgent=True)

    def part(self, channels: str, message: str = "") -> None:
        """Leave, and stay away."""
        part = self._wanted.remove(channels, message)
        if self.registered:
            self.say(part, urgent=True)

    def _rejoin(self) -> None:
        for join in self._wanted.due(self._clock()):
            self.say(join, urgent=True)
        if (at := self._wanted.next_at()) is not None:
            self.alarms.after(at - self._clock(), "rejoin", self._rejoin)

    # -- lines out --

    def say(
        self, message: Message, *, cause: str = "-", handler: str = "-", k: int = 0, urgent: bool = False
    ) -> Awaitable[bool]:
        """Send a message: now if `urgent`, else at the network's pace.

        Args:
            cause: the number of the line (or the name of the work) that this is an effect of; `-` for none.
            handler: which handler says it, without spaces or `/`.
            k: from 0, counted within that handler of that line.
            urgent: for what keeps the connection in order. Lost when there is none; others wait for the next one.

        Returns:
            Need not be awaited; gives True when the keeper has it, False when it was dropped.

        Raises:
            UnsafeText: the message is more than one line, or its parameters don't fit the grammar.
        """
        return self._put(message.encode(), f"{cause}/{handler}", k, urgent)

    async def drained(self) -> None:
        """Wait until no line waits for room on its way to the keeper."""
        await self.outbox.drained()

    def room_for(self, command: str, target: str) -> int:
        """How many bytes of text fit into a PRIVMSG or NOTICE to `target` as the server relays it, prefix and all."""
        frame = f":{self.roster.me_source()} {command} {target} :\r\n"
        return max(0, self.roster.isupport.linelen - len(frame.encode()))

    def send_raw(self, string: str) -> None:
        """Send a line as it is; all of the library's command methods end here."""
        self._put(string, "-/-", 0, string.partition(" ")[0].upper() in URGENT)

    def send_items(self, *items: str | None) -> None:
        """Send a command as the library's methods give it: words, empty ones left out, each kept in its place."""
        self.send_raw(in_place([item for item in items if item]))

    def _put(self, line: str, key: str, k: int, urgent: bool) -> Awaitable[bool]:
        # A lone surrogate has no bytes; it becomes `?`, as in any other text that can't be shown.
        raw = safe(line).encode(errors="replace")
        frame = Frame("say", (self.name, key, str(k), "0" if urgent else "1"), raw)
        if not urgent and self._state != "ended":
            return self.outbox.say(frame)
        if not self.connected:
            return NOT_SENT
        self.reactor.send(frame)
        return SENT

    # -- the library's methods that mean something else here --

    def get_nickname(self) -> str:
        return self.roster.nick

    def ctcp(self, ctcptype: str, target: str, parameter: str = "") -> None:
        # The library's own sends the literal text `{ctcptype}` when there is no parameter.
        self.privmsg(target, f"\x01{ctcptype.upper()}{' ' if parameter else ''}{parameter}\x01")

    def disconnect(self, message: str = "") -> None:
        """Say QUIT, close, and never dial again; `stop` does the same and waits."""
        if self._state in ("idle", "waiting"):
            self._end(message)
        elif self._state not in ("stopping", "ended"):
            self._state = "stopping"
            self._last_words = self._last_words or message
            self.reactor.send(Frame("close", (self.name,), one_line(message)))

    quit = disconnect
    connect = refusal("start() connects; host, port and nick are in config.yaml")
    reconnect = refusal("a lost connection is dialled again by itself; `reconnect` in config.yaml paces it")
    set_rate_limit = refusal("lines are paced by the keeper; `flood` in config.yaml is the pace")
    set_keepalive = refusal("the keeper asks with PING when a server is silent")
