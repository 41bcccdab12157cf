"""Getting the wanted nick back when somebody had it: pure, `now` is an argument.

Where the server has MONITOR (005) it tells when the nick becomes free; else it is asked with ISON, now and then. A QUIT
or NICK of its holder that we see ourselves is as good. Then NICK, never more often than each TRY_SECONDS, and with
growing pauses while the server says no for reasons of its own (the nick is held by services, say). With a `service`
services are asked for it, too. Sending is `presence`'s.

Follows https://ircv3.net/specs/extensions/monitor and RFC 2812 section 4.9 (ISON).
"""

from __future__ import annotations

from bot.protocol import numerics as n
from bot.protocol.message import Message
from bot.protocol.roster import Roster

SETTLE_SECONDS = 5.0  # after 001: 005 has come, services have done what they do to newcomers
TRY_SECONDS = 30.0  # between two tries, and between two questions
MAXIMUM_SECONDS = 600.0  # between tries that are refused, and between requests to services

#: What may tell who has a nick; of all other lines `heard` need not be told.
HEARD = frozenset({"NICK", "QUIT", n.RPL_ISON, n.RPL_MONONLINE, n.RPL_MONOFFLINE, n.ERR_MONLISTFULL})
HEARD |= {n.ERR_NICKNAMEINUSE, n.ERR_UNKNOWNCOMMAND}

_NEVER = float("inf")


class Regain:
    """The wanted nick of one network.

    Args:
        wanted: the nick.
        roster: the network's, read only; `heard` is called when it has the line.
        service: what asks services for the nick, or None.
    """

    def __init__(self, wanted: str, roster: Roster, service: Message | None = None) -> None:
        self.wanted, self.service = wanted, service
        self._roster = roster
        self.end()

    def begin(self, now: float) -> None:
        """We are registered, or go on where another worker was."""
        self.end()
        if not self._is_ours:
            self._look_at = now + SETTLE_SECONDS

    def end(self) -> None:
        """The connection is gone."""
        self._look_at = self._ask_at = _NEVER  # the next look at how things are, and at services
        self._try_at = 0.0  # no try before this
        self._pause = TRY_SECONDS
        self._way = ""  # MONITOR or ISON, once chosen
        self._free = False

    @property
    def _is_ours(self) -> bool:
        return not self._roster.nick or self._roster.same(self._roster.nick, self.wanted)

    def next_at(self) -> float | None:
        """When `due` should be called, or None."""
        at = min(self._look_at, self._ask_at)
        return None if at == _NEVER else at

    def due(self, now: float) -> list[Message]:
        """Return what to send now."""
        if self._is_ours or now < min(self._look_at, self._ask_at):
            return []
        sent: list[Message] = []
        if not self._way:
            self._way = "MONITOR" if "MONITOR" in self._roster.isupport.tokens else "ISON"
            self._ask_at = now if self.service is not None else _NEVER
            if self._way == "MONITOR":
                self._look_at = _NEVER
                sent.append(Message("MONITOR", ("+", self.wanted)))
        if self.service is not None and now >= self._ask_at:
            self._ask_at = now + MAXIMUM_SECONDS
            sent.append(self.service)
        if now >= self._look_at:
            sent.extend(self._look(now))
        return sent

    def _look(self, now: float) -> list[Message]:
        if self._free:
            return self._try(now)
        if self._way == "MONITOR":  # it will be told
            self._look_at = _NEVER
            return []
        self._look_at = now + TRY_SECONDS
        return [Message("ISON", (self.wanted,))]

    def _try(self, now: float) -> list[Message]:
        """Take the nick, or wait until that may be tried again."""
        if now < self._try_at:
            self._look_at = self._try_at
            return []
        self._try_at = self._look_at = now + self._pause
        self._pause = min(MAXIMUM_SECONDS, self._pause * 2)
        return [Message("NICK", (self.wanted,))]

    def heard(self, message: Message, now: float) -> list[Message]:
        """Learn from a line who has the nick; return what to send now."""
        if message.command == "NICK" and self._roster.is_me(message.param(0)):
            return self._renamed(now)
        if self._is_ours or not self._way:
            return []
        free = self._tells(message)
        if free is None:
            return []
        self._free = free
        return self._try(now) if free else []

    def _renamed(self, now: float) -> list[Message]:
        """We have another nick: the wanted one, so that all is well, or services took that from us."""
        watched = self._way == "MONITOR"
        if self._is_ours:
            # What is taken from us again and again is not fought for at full speed.
            self._look_at = self._ask_at = _NEVER
            self._way, self._free = "", False
            return [Message("MONITOR", ("-", self.wanted))] if watched else []
        if not self._way and self._look_at == _NEVER:
            self._look_at = max(now + SETTLE_SECONDS, self._try_at)
        return []

    def _tells(self, message: Message) -> bool | None:
        """Return whether the nick is free now, or None when the line doesn't say."""
        command, source = message.command, message.source
        if command == "QUIT" or command == "NICK":
            return True if source is not None and self._means(source.nick) else None
        if command == n.RPL_MONOFFLINE:
            return True if any(map(self._means, message.param(-1).split(","))) else None
        if command == n.RPL_MONONLINE:
            return False if any(self._means(who.split("!")[0]) for who in message.param(-1).split(",")) else None
        if command == n.RPL_ISON and self._way == "ISON":
            return not any(map(self._means, message.param(-1).split()))
        if command == n.ERR_NICKNAMEINUSE and self._means(message.param(1)):
            self._look_at = self._try_at if self._way == "ISON" else _NEVER
            return False
        no_monitor = command == n.ERR_UNKNOWNCOMMAND and message.param(1).upper() == "MONITOR"
        if self._way == "MONITOR" and (no_monitor or command == n.ERR_MONLISTFULL):
            self._way, self._look_at = "ISON", self._try_at
            return False
        return None

    def _means(self, nick: str) -> bool:
        return self._roster.same(nick.strip(), self.wanted)
