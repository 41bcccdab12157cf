"""On a registered connection: being where we want to be, and asking who is there.

`connection` tells when we are up, what came and when all is over; what of it sends a line of ours stands here, in
parts that are pure: `identify` (NickServ, before all else), `rejoin` (the channels), `regain` (the wanted nick) and
`asks` (questions to the server). A worker that takes a connection over goes on: the channels are known from the roster,
the questions from the checkpoint, the nick is looked at anew, and who was about to be identified joins at once. What
the server has to say about our commands is put into the log, and netsplits are told when all of one has come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from random import Random
from typing import Protocol

from bot.config import Network
from bot.protocol.formatting import strip
from bot.protocol.message import Message
from bot.protocol.roster import Applied, Roster
from bot.wire.alarms import Alarms
from bot.wire.asks import Asks
from bot.wire.identify import Identification, words
from bot.wire.opening import Limits, reveal
from bot.wire.regain import HEARD, Regain
from bot.wire.rejoin import REFUSALS, Wanted
from bot.wire.remarks import Remarks

log = logging.getLogger(__name__)


class Say(Protocol):
    """How a message leaves: now if `urgent`, else at the network's pace."""

    def __call__(self, message: Message, *, urgent: bool = False) -> object: ...


class Happened(Protocol):
    """How an event is told that no line stands for."""

    def __call__(self, name: str, channel: str, **fields: object) -> object: ...


class Presence:
    """What one network's connection does by itself.

    Args:
        roster: the network's, read only.
        alarms: the connection's; the names `ask`, `rejoin`, `split`, `identify` and `regain` in it are used here.
        clock: seconds, the one of the alarms.
        say: sends a message.
        ask: sends a question, see `Asks`.
        happened: told of netsplits.
        release: lets the paced lines go; called when the channels have been asked for.

    Attributes:
        up: whether we are registered, and identified if we want to be, so that what is wanted is asked for at once.
    """

    def __init__(
        self,
        settings: Network,
        roster: Roster,
        alarms: Alarms,
        limits: Limits,
        clock: Callable[[], float],
        random: Random,
        *,
        say: Say,
        ask: Callable[[Message, Callable[[], None]], bool],
        happened: Happened,
        release: Callable[[], None],
    ) -> None:
        self._settings, self._limits, self._release = settings, limits, release
        self._say, self._roster, self._alarms, self._clock = say, roster, alarms, clock
        self._happened, self._remarks = happened, Remarks(settings.name)
        channels = {channel.name: reveal(channel.key) for channel in settings.channels}
        self._wanted = Wanted(channels, roster.fold, random, lambda text: log.warning("%s: %s", settings.name, text))
        self.configure(settings)
        self._asks = Asks(ask, alarms, limits.ask_seconds)
        self._identification: Identification | None = None
        self._regain = self._own_regain()
        self.up = False

    def configure(self, settings: Network) -> None:
        """Take new settings. Which channels to be in is told by `join` and `part`; who to be, by `arrive`."""
        self._wanted.stay_out = frozenset(channel.name for channel in settings.channels if not channel.rejoin)
        if self._wanted.relent(self._clock()):
            self._rejoin()

    # -- told by the connection

    def arrive(self, settings: Network, account: str | None) -> None:
        """Registered, and logged in if there is an account: identify if that is left, join.

        Args:
            settings: what the connection was made with.
        """
        self._settings = settings
        self._regain = self._own_regain()
        self._begin_regain()
        nickserv = self._settings.nickserv
        if nickserv is not None and nickserv.password is not None and account is None:
            self._identification = Identification(nickserv, self._roster)
            seconds = self._limits.identify_seconds
            unheard = f"{nickserv.service} has not answered within {seconds:g} s"
            self._alarms.after(seconds, "identify", lambda: self._enter(unheard))
            self._say(words(nickserv.identify, nickserv, self._settings.nick), urgent=True)
        else:
            self._enter()

    def _enter(self, why_not_identified: str = "") -> None:
        """Join, and let all else that waits be said."""
        if self._identification is not None and not why_not_identified:
            log.info("%s: identified to %s", self._settings.name, self._identification.service)
        self._identification = None
        self._alarms.cancel("identify")
        if why_not_identified:
            log.warning("%s: not identified: %s; going on without", self._settings.name, strip(why_not_identified))
        self.up = True
        self._release()
        self._join(self._wanted.everything())

    def _own_regain(self) -> Regain:
        nickserv, nick = self._settings.nickserv, self._settings.nick
        asks = nickserv is not None and nickserv.regain
        return Regain(nick, self._roster, words(nickserv.regain_with, nickserv, nick) if nickserv and asks else None)

    def _begin_regain(self) -> None:
        self._regain.begin(self._clock())
        self._wait_for_nick()

    def take_over(self, settings: Network, asks: Iterable[str], thrown_out: Iterable[str], *, held: bool) -> None:
        """Go on where another worker was.

        Args:
            settings: as for `arrive`.
            asks: its questions without an answer, as lines.
            thrown_out: channels that it has not gone back to.
            held: ask nothing yet: answers to these may still come; `caught_up` follows.

        Raises:
            MalformedLine: these are no lines.
        """
        self._settings = settings
        self._regain = self._own_regain()
        self._asks.add([Message.parse(line) for line in asks], held=held)
        for channel in self._roster.channels.values():
            self._wanted.joined(channel.name, self._clock())
            self._wanted.key_is(channel.name, channel.key)
        self._wanted.thrown_out.update(self._wanted.channels.keys() & set(thrown_out))
        self.up = True
        self._begin_regain()

    def caught_up(self) -> None:
        """All that a worker before had left has come: where are we, and where do we want to be?"""
        if self.up:
            self._asks.release()
            self._join(self._wanted.missing(self._roster))

    def heard(self, message: Message, applied: Applied) -> None:
        """A line came, and the roster has it."""
        self._asks.add(applied.asks)
        self._asks.answered(message.command)
        for say in applied.says:
            self._say(say, urgent=True)
        if applied.history:  # a KICK of yesterday is none, and NickServ's word of then identifies nobody
            return
        self._remarks.heard(message)
        if self._roster.splits.next_at is not None:
            self._split()
        if self._wanted.heard(message, self._roster, self._clock()):
            self._rejoin()
        if self._identification is not None:
            self._identification.heard(message)
            if self._identification.over:
                self._enter(self._identification.failure)
        if message.command in HEARD:
            self._take_nick(self._regain.heard(message, self._clock()))

    def tells_of(self, message: Message) -> bool:
        """Whether a line refuses a channel that is wanted: of that `rejoin` has told."""
        return message.command in REFUSALS and self._wanted.find(message.param(1)) is not None

    def leave(self) -> None:
        """The connection is gone; its alarms are cancelled already."""
        self.up, self._identification = False, None
        self._asks.clear()
        self._regain.end()
        self._remarks.clear()

    @property
    def asks(self) -> list[str]:
        """The questions without an answer, for the next worker."""
        return [question.encode() for question in self._asks.open]

    @property
    def thrown_out(self) -> list[str]:
        """Channels that are wanted and not gone back to, for the next worker; other waits begin anew with it."""
        return sorted(self._wanted.thrown_out)

    # -- told by whoever runs the bot

    @property
    def channels(self) -> dict[str, str | None]:
        """The channels to be in, name -> key; after a reconnection these are joined."""
        return self._wanted.channels

    @property
    def absent(self) -> list[str]:
        """The channels to be in that we are not in, as far as is known."""
        return self._wanted.absent(self._roster)

    def join(self, channels: str, key: str = "") -> None:
        """Be in these channels from now on. Both may be lists by commas."""
        self._say_if_up(self._wanted.add(channels, key))

    def part(self, channels: str, reason: str = "") -> None:
        """Leave these, and stay away."""
        self._say_if_up(self._wanted.remove(channels, reason))

    def _say_if_up(self, message: Message) -> None:
        if self.up:
            self._say(message, urgent=True)

    def _join(self, joins: Iterable[Message]) -> None:
        for join in joins:
            self._say(join, urgent=True)

    def _split(self) -> None:
        for split in self._roster.splits.due(self._clock()):
            self._happened(split.name, split.channel, nicks=split.nicks, servers=split.servers)
        if (at := self._roster.splits.next_at) is not None:
            self._alarms.after(at - self._clock(), "split", self._split)

    def _rejoin(self) -> None:
        self._join(self._wanted.due(self._clock()))
        if (at := self._wanted.next_at()) is not None:
            self._alarms.after(at - self._clock(), "rejoin", self._rejoin)

    def _take_nick(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self._say(message, urgent=True)
        self._wait_for_nick()

    def _wait_for_nick(self) -> None:
        if (at := self._regain.next_at()) is not None:
            self._alarms.after(at - self._clock(), "regain", lambda: self._take_nick(self._regain.due(self._clock())))
        else:
            self._alarms.cancel("regain")
