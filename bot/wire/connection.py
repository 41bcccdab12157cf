"""One network, as the bot sees it: supervised for ever, registered, in its channels, its lines parsed and passed on.

The worker's end of the link. The keeper dials when told and says what came; here it is decided when to dial again, who
we are (`protocol.registration`), what a line means (`protocol.roster`), what we do by ourselves (`presence`) and what
may leave (`outbox`). What a line does to the bot is the listener's. Long answers are cut above; `room_for` says where.

What leaves is said by the methods of `talking`.

A worker that ends leaves its connection up; the next one takes it over (`_take_over`): what its checkpoint tells is the
state, lines after that are applied, and those before it are only passed on. Then it asks and joins what was still open.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from random import Random
from typing import Protocol

from bot.config import Network
from bot.errors import CannotConnect, MalformedLine
from bot.protocol.message import Message, decode
from bot.protocol.multiline import Gathering
from bot.protocol.registration import Registration
from bot.protocol.roster import Applied, Roster
from bot.protocol.snapshot import Part, head, parts, restore, resumed, stranger
from bot.wire.alarms import Alarms
from bot.wire.labels import Labels
from bot.wire.link import Frame, one_line
from bot.wire.milestones import Milestones
from bot.wire.opening import Limits, differs, identity
from bot.wire.outbox import Outbox
from bot.wire.presence import Presence
from bot.wire.reactor import Reactor
from bot.wire.reconnect import Backoff, patience
from bot.wire.registering import Registering
from bot.wire.speech import Speech
from bot.wire.talking import Talking

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who is told what happens on a connection; all on the loop's thread, none of it may block."""

    def up(self, connection: Connection, taken_over: bool) -> None:
        """Registered; the channels have been asked for. `taken_over`: by a worker before, and they are joined."""

    def down(self, connection: Connection, reason: str) -> None:
        """No longer registered. An attempt that never came up is not told."""

    def happened(self, name: str, connection: Connection, channel: str | None = None, **fields: object) -> None:
        """Something that no single line stands for: a netsplit, or its end."""

    def line(self, connection: Connection, number: str, flag: int, message: Message, applied: Applied) -> None:
        """A line came and the roster knows it. `connection.done(number)` must follow once its handlers have ended.

        Args:
            flag: 0 new, 1 delivered before and unfinished, 2 only for the state.
        """


class Connection(Talking):
    """One network. Made, used and ended on the loop's thread.

    Args:
        name: the network's name in the configuration.
        settings: its configuration.
        reactor: the link it shares with the other networks.
        listener: who is told of lines, ups and downs.
        clock: seconds, never backwards; with one that is stepped by hand, call `alarms.tick` after each step.
        random: for the jitter of waits.
        once: never connect a second time, and let `wait_up` say why the first did not come up.
        wall: seconds since the epoch, for the policies of hosts that want TLS.

    Attributes:
        roster: users, channels, own nick, ISUPPORT; others only read it.
        registered: between 001 and the end of the connection.
        ready: the listener's word that all is done that a new connection needs; the next worker is told.
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
        wall: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(reactor)
        self.server, self.port = settings.host, settings.port
        random = random if random is not None else Random()
        self.name, self.settings, self.listener, self.once = name, settings, listener, once
        self.limits = limits if limits is not None else Limits()
        self.roster = Roster()
        self.alarms = Alarms(clock)
        self.outbox = Outbox(reactor.send, reactor.window, name, clock)
        self.speech = Speech(reactor.send, self.outbox, self.roster, self.alarms, clock, name)
        self.labels, self.gathering = Labels(name, self.roster), Gathering()
        self.registered, self.ready, self.malformed = False, False, 0
        self._made_with = settings  # the present connection; `settings` may be newer, and of another host
        self._clock, self._wall = clock, wall
        self._state = "idle"  # dialling, registering, up, closing, waiting, ended
        self._backoff = Backoff(settings.reconnect.minimum_seconds, settings.reconnect.maximum_seconds, random)
        self.presence = Presence(
            settings, self.roster, self.alarms, self.limits, clock, random,
            say=self.say, ask=self.ask, happened=self._happened, release=self._release,
        )  # fmt: skip
        self.registering = Registering(
            name, self.alarms, self.limits, reactor.policies, wall,
            say=self.say, failed=self._give_up, entered=self._up,
        )  # fmt: skip
        self.milestones = Milestones(name, self.roster, self.alarms, lambda: self.registering.account)
        self._since: int | None = None  # the last line before the connection came up; None while it is down
        self._in_hand: set[str] = set()  # lines whose handlers go on
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
        """Take new settings. What a connection is made with is used when the next one is made: now, if none is."""
        self.settings, self.server, self.port = settings, settings.host, settings.port
        self.presence.configure(settings)
        self._backoff.between(settings.reconnect.minimum_seconds, settings.reconnect.maximum_seconds)
        if self._state == "waiting" and differs(self._made_with, settings):
            self._made_with = settings
            self.alarms.after(0.0, "dial", self._dial)

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
                self.outbox.room(frame.fields[1], int(frame.fields[2]))
            case "up":
                _, since, fresh = frame.fields
                self._connected(since, fresh, frame.payload)
            case "down":
                self._disconnected(frame.payload.decode(errors="replace"))

    def _dial(self) -> None:
        self._state, self._last_words, self._made_with = "dialling", "", self.settings
        self.reactor.send(Frame("open", (self.name,), self.registering.orders(self.settings)))

    def _connected(self, since: str, fresh: str, place: bytes) -> None:
        if self._state not in ("dialling", "waiting"):
            return
        self.alarms.cancel("dial")
        self._state, self._since = "registering", int(since)
        self.speech.begin(self._since)
        if fresh == "0":
            self._take_over()
            return
        if self.registering.elsewhere(place):
            self._give_up("it leads where the settings of before wanted to be")  # our secrets are not for that server
            return
        self.roster.time.begin(self._wall())
        self.registering.begin(self._made_with)

    def _take_over(self) -> None:
        """Go on with a connection that another worker has registered."""
        assert self._since is not None
        try:
            snapshot = self.reactor.checkpoints.of(self.name, self._since)
            first = head(snapshot)
            place = first.get("place")
            if place is not None and place[0] != self.settings.host:  # what is secret now is for the new host alone
                self._made_with = replace(self.settings, sasl=None, nickserv=None)
            machine = resumed(snapshot, identity(self._made_with), self.settings.tls is not None)
            restore(self.roster, snapshot, machine.caps)
            self.ready = bool(first["ready"])
            self.gathering.resume(first.get("gathering", ({}, {})))
            thrown_out = first.get("thrown_out", ())
            self.presence.take_over(self._made_with, first["asks"], thrown_out, held=not self.reactor.live)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            # Also when that one ended while it registered: who knows what it has said. Begin anew.
            self._give_up(f"the worker before was not done with this connection ({error})")
            return
        self.registering.resume(machine, place)
        log.info("%s: taken over as %s", self.name, self.roster.nick)
        self._up(taken_over=True)

    def caught_up(self) -> None:
        """All that a worker before had left has come: where are we, and where do we want to be?"""
        self.presence.caught_up()

    @property
    def registration(self) -> Registration | None:
        """The registration of the present connection; capabilities and account are read there."""
        return self.registering.machine

    def _release(self) -> None:
        """The channels are about to be asked for: let be said what waits, in its turn."""
        self.speech.arrive(self.channels, self.settings.reconnect.stale_seconds)

    def snapshot(self) -> Iterator[Part]:
        """Give how things stand, as JSON values, for the next worker."""
        assert self.registration is not None
        own = {"asks": self.presence.asks, "thrown_out": self.presence.thrown_out, "ready": self.ready}
        own |= {"gathering": self.gathering.saved(), "place": self.registering.place}
        return parts(self.roster, self.registration, since=self._since, **own)

    def _give_up(self, reason: str) -> None:
        """Close this connection; what follows is decided when the keeper says that it is down."""
        if self.connected:
            self._state, self._last_words = "closing", reason
            self.alarms.cancel("registration", "introduce", "sasl")
            self.reactor.send(Frame("close", (self.name,), one_line(reason)))

    def _disconnected(self, reason: str) -> None:
        if self._state in ("idle", "waiting", "ended"):
            return
        self._since, self.ready = None, False
        reason, stopping, was_up = self._last_words or reason, self._state == "stopping", self.registered
        self.registered, away = False, self.registering.gone()
        self.alarms.cancel()
        self.presence.leave()
        self.speech.leave()
        self.labels.clear()
        self.gathering.clear()
        self.roster.clear()
        if stopping or (self.once and away is not None):
            self._end(reason)
        elif away is None:
            log.info("%s: %s", self.name, reason)
            self._dial()
        else:
            self._state, least = "waiting", max(patience(reason), self.registering.least_seconds)
            self.alarms.after(seconds := max(away, self._backoff.next(least)), "dial", self._dial)
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
        self._in_hand.discard(number)
        self.gathering.done(number)
        self.reactor.done(number)

    def _line(self, number: str, flag: int, raw: bytes) -> None:
        try:
            message = Message.parse(decode(raw))
            whole, applied = self._apply(number, flag, message)
        except Exception as error:
            # A server's oddity costs one line, never the connection.
            self.malformed += 1
            trace = None if isinstance(error, MalformedLine) else error
            log.debug("%s: line %s ignored: %s", self.name, number, error, exc_info=trace)
            self.done(number)
            return
        if self._is_heard and flag != 2:
            self._tell(lambda: self._tell_library(message))
        if whole is None:
            self.done(number)
            return
        self._in_hand.add(number)
        if not self._tell(lambda: self.listener.line(self, number, flag, whole, applied)):
            self.done(number)
        if self.reactor.kept and number in self._in_hand:
            account = applied.account if applied.past else self.roster.account_of(whole)
            self.reactor.checkpoints.in_hand(number, applied, account)

    def _apply(self, number: str, flag: int, message: Message) -> tuple[Message | None, Applied]:
        """Take a line into the state, unless it is of an earlier connection or is in the state already.

        Returns:
            What the line stands for: itself, a message of several lines that it ends, or nothing if it is part of one.
        """
        checkpoints = self.reactor.checkpoints
        if self._since is None or int(number) <= self._since or checkpoints.covers(int(number)):
            message = self.gathering.known(number) or message
            return message, checkpoints.then(number) or stranger(message)
        applied = self.roster.apply(message, self._clock())
        if flag == 2:
            self.roster.splits.told()
        whole = self.gathering.take(number, message, self.roster.batches)
        checkpoints.applied(number, message.command if whole is message else "BATCH")
        self._react(number, flag, message, applied)
        if whole is not None and whole is not message:
            applied = self.roster.apply(whole, self._clock())
        return whole, applied

    def _tell(self, call: Callable[[], None]) -> bool:
        """Call somebody else's code, whose faults must not become ours."""
        try:
            call()
        except Exception:
            log.exception("%s: what happened could not be handled", self.name)
            return False
        return True

    def _happened(self, name: str, channel: str, **fields: object) -> None:
        self._tell(lambda: self.listener.happened(name, self, channel, **fields))

    def _react(self, number: str, flag: int, message: Message, applied: Applied) -> None:
        """What the protocol itself wants done about a line."""
        self.registering.heard(number, flag, message)
        if self.registration is not None:
            self.roster.caps = self.registration.caps
        if self.registered:
            self.milestones.heard(message, flag)
        told = self.labels.heard(message, self._clock())
        # What is here for the state alone has been answered by the worker before; questions are known to be open.
        self.presence.heard(message, applied if flag != 2 else applied._replace(says=()))
        if not applied.history:
            self.speech.heard(message, told or self.presence.tells_of(message))
        if message.command == "ERROR":  # says more than the closing of the socket that follows
            self._last_words = self._last_words or f"the server said: {message.param(-1)}"

    def _up(self, *, taken_over: bool = False) -> None:
        self._state, self.registered, self._told = "up", True, ""
        self.milestones.begin()  # not in the snapshot: at worst a line of the log is missing
        self.alarms.after(self.limits.stable_seconds, "stable", self._backoff.stable)
        if taken_over:
            self.speech.take_over(self.presence.absent)
        else:
            # From here on a successor can go on with this connection: before anybody sees us do anything on it.
            self.reactor.checkpoints.save(at_once=True)
            self.presence.arrive(self._made_with, self.registering.account)
        if not self._first.done():
            self._first.set_result("")
        self._tell(lambda: self.listener.up(self, taken_over))

    # -- channels --

    @property
    def channels(self) -> dict[str, str | None]:
        """The channels to be in, name -> key; after a reconnection these are joined."""
        return self.presence.channels

    def join(self, channel: str, key: str = "") -> None:
        """Be in this channel from now on, over reconnections too. Both may be lists by commas, as in RFC 2812."""
        self.presence.join(channel, key)

    def part(self, channels: str, message: str = "") -> None:
        """Leave, and stay away."""
        self.presence.part(channels, message)

    # -- the library's methods that mean something else here --

    def disconnect(self, message: str = "") -> None:
        """Say QUIT, close, and never dial again; `stop` does the same and waits."""
        if self._state in ("idle", "waiting"):
            self._end(message)
        elif self._state not in ("stopping", "ended"):
            self._state = "stopping"
            self._last_words = self._last_words or message
            self.reactor.send(Frame("close", (self.name,), one_line(message)))

    quit = disconnect
