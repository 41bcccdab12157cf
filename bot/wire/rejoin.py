"""Which channels we want to be in, and when to ask for each again: pure, `now` is an argument.

After a connection all are asked for at once, several to a line. A channel that turns us away, or throws us out, is
tried again after a wait of its own that grows; the others never notice. The wait begins anew only after we have been
in the channel for `STABLE_SECONDS`, or a channel that kicks at once would be rejoined for ever at the same pace.
Where the reason may have gone, the wait ends at once: an invitation; a login, where only those with an account may
join. A channel that is not to be rejoined stays left after a kick until somebody invites us, or the connection is new.
Sending is `presence`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from random import Random
from typing import Any

from bot.protocol import numerics
from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.reconnect import Backoff

MINIMUM_SECONDS, MAXIMUM_SECONDS = 5.0, 600.0
BANNED_SECONDS = (
    60.0  # no try before that: nobody lifts a ban within seconds, and each try is seen by the channel's staff
)
STABLE_SECONDS = 300.0
INVITED_SECONDS = 30.0  # who invites us again and again where we can't get in makes us ask once in so many
REASON_LENGTH = 300  # of the server's words, in the log
#: InspIRCd refuses more than 20 targets in a line by default (`maxtargets`); 10 is within what any server takes.
TARGETS_PER_LINE = 10
LINE_BYTES = 510  # RFC 2812 section 2.3, without CR LF

_NOT_IN_A_KEY = re.compile(r"[\0\t\n\v\f\r ,]")  # RFC 2812 section 2.3.1; a JOIN with one would join nothing

#: JOIN was refused.
REFUSALS = frozenset(
    {
        numerics.ERR_NOSUCHCHANNEL,
        numerics.ERR_TOOMANYCHANNELS,
        numerics.ERR_UNAVAILRESOURCE,
        numerics.ERR_LINKCHANNEL,
        numerics.ERR_CHANNELISFULL,
        numerics.ERR_INVITEONLYCHAN,
        numerics.ERR_BANNEDFROMCHAN,
        numerics.ERR_BADCHANNELKEY,
        numerics.ERR_BADCHANMASK,
        numerics.ERR_NEEDREGGEDNICK,
        numerics.ERR_THROTTLE,
        numerics.ERR_SECUREONLYCHAN,
    }
)


class Wanted:
    """The channels to be in, each with its key.

    Args:
        channels: name -> key, or None.
        fold: the network's case mapping as it is now.
        random: for the jitter of the waits.
        tell: called with a line for the log when it is news that, or why, we are not in a channel.

    Attributes:
        channels: name -> key, or None.
        stay_out: names of channels that are not rejoined after a kick.
        thrown_out: those of them that we were thrown out of.
    """

    def __init__(
        self,
        channels: Mapping[str, str | None],
        fold: Callable[[str], str],
        random: Random,
        tell: Callable[[str], object] = lambda text: None,
    ) -> None:
        self.channels = dict(channels)
        self.stay_out: frozenset[str] = frozenset()
        self.thrown_out: set[str] = set()
        self._fold, self._random, self._tell = fold, random, tell
        self._backoffs: dict[str, Backoff] = {}
        self._joined_at: dict[str, float] = {}
        self._due: dict[str, float] = {}
        self._invited_at: dict[str, float] = {}  # when an invitation last made us ask
        self._keys: dict[str, str] = {}  # as they were set while we were in
        self._why: dict[str, str] = {}  # the last refusal's numeric, or how we were thrown out

    def find(self, name: str) -> str | None:
        """The wanted channel that the server means by `name`, as it was written when asked for."""
        folded = self._fold(name)
        return next((known for known in self.channels if self._fold(known) == folded), None)

    def add(self, channels: str, key: str = "") -> Message:
        """Want these too (both may be lists by commas), or want them with another key. Returns the JOIN for it.

        Raises:
            UnsafeText: not the name of a channel; nothing is remembered.
        """
        join = Message("JOIN", (channels, key) if key else (channels,))
        join.encode()
        for name, its_key in zip_longest(channels.split(","), key.split(",")):
            if name:
                known = self.find(name) or name
                self.channels[known] = its_key or None
                self._keys.pop(known, None)
                self.thrown_out.discard(known)
        return join

    def remove(self, channels: str, reason: str = "") -> Message:
        """Want these no more. Returns the PART for it.

        Raises:
            UnsafeText: not the name of a channel, or a reason of several lines.
        """
        part = Message("PART", (channels, reason) if reason else (channels,))
        part.encode()
        for name in channels.split(","):
            if known := self.find(name):
                del self.channels[known]
                self.thrown_out.discard(known)
                self._forget(known)
        return part

    def _forget(self, known: str) -> None:
        tables: tuple[dict[str, Any], ...] = (self._backoffs, self._joined_at, self._due, self._keys, self._why)
        for table in (*tables, self._invited_at):
            table.pop(known, None)

    def everything(self) -> list[Message]:
        """The JOINs after a connection; those with keys come first, as the command's grammar wants it."""
        self._due.clear()
        self._joined_at.clear()
        self._why.clear()
        self.thrown_out.clear()
        return self._joins(self.channels)

    def missing(self, roster: Roster) -> list[Message]:
        """The JOINs for channels that we are not in, and want to be in: after a connection was taken over."""
        return self._joins(self.absent(roster))

    def absent(self, roster: Roster) -> list[str]:
        """The channels that we are not in, and want to be in."""
        wanted = [name for name in self.channels if name not in self.thrown_out]
        return [name for name in wanted if roster.channel(name) is None]

    def relent(self, now: float) -> bool:
        """Try those again that we were thrown out of and, since settings have changed, need not stay out of."""
        out = frozenset(map(self._fold, self.stay_out))
        back = [name for name in self.thrown_out if self._fold(name) not in out]
        self.thrown_out.difference_update(back)
        news = [self.outside(name, now) for name in back]
        return any(news)

    def heard(self, message: Message, roster: Roster, now: float) -> bool:
        """Learn from a line where we are now. Returns whether a channel is to be asked for again, now or later."""
        command, me = message.command, message.source is not None and roster.is_me(message.source.nick)
        match command:
            case "JOIN" if me:
                self.joined(message.param(0), now)
            case "PART" if me:  # not asked for, or the channel would not be wanted any more
                return self._thrown_out(message.param(0), "removed from it", now)
            case "KICK" if roster.is_me(message.param(1)):
                kicker = message.source.nick if message.source is not None else "the server"
                return self._thrown_out(message.param(0), f"kicked by {kicker}: {message.param(2)}", now)
            case "MODE":
                channel = roster.channel(message.param(0))
                if channel is not None:
                    self.key_is(channel.name, channel.key)
                # `r` says on many networks that our nick is identified
                return roster.is_me(message.param(0)) and "r" in message.param(1) and self._identified(now)
            case numerics.RPL_LOGGEDIN:
                return self._identified(now)
            case "INVITE" if roster.is_me(message.param(0)):
                return self._invited(message.param(1), now)
            case _ if command in REFUSALS and roster.channel(message.param(1)) is None:
                # 403, 405 and 437 are answers to other commands as well.
                return self._refused(message.param(1), command, message.param(-1), now)
        return False

    def joined(self, name: str, now: float) -> None:
        """The server says that we are in."""
        if known := self.find(name):
            self._due.pop(known, None)
            self._why.pop(known, None)
            self.thrown_out.discard(known)
            self._joined_at[known] = now

    def key_is(self, name: str, key: str | None) -> None:
        """The channel, in which we are, has this key by now. A server that hides it says `*`."""
        known = self.find(name)
        if known is not None and key and key != "*" and not _NOT_IN_A_KEY.search(key):
            self._keys[known] = key

    def _thrown_out(self, name: str, why: str, now: float) -> bool:
        known = self.find(name)
        if known is None or self._fold(known) not in map(self._fold, self.stay_out):
            return self.outside(name, now, why)
        self._joined_at.pop(known, None)
        self.thrown_out.add(known)
        self._tell(f"{known}: {_printable(why)}; not coming back before somebody invites me or says !join")
        return False

    def _refused(self, name: str, command: str, words: str, now: float) -> bool:
        known = self.find(name)
        if known is not None and command == numerics.ERR_BADCHANNELKEY:
            self._keys.pop(known, None)  # the one that we were told first may be right again
        least = BANNED_SECONDS if command == numerics.ERR_BANNEDFROMCHAN else 0.0
        return self.outside(name, now, f"can't join: {words}", command, least)

    def outside(self, name: str, now: float, why: str = "left", kind: str = "", least: float = 0.0) -> bool:
        """We were kicked, removed, or not let in. Returns whether that is news: hearing it twice makes one try.

        Args:
            why: in words; told when its `kind` is another than before.
            least: the shortest wait, in seconds.
        """
        known = self.find(name)
        if known is None or known in self._due:
            return False
        backoff = self._backoffs.setdefault(known, Backoff(MINIMUM_SECONDS, MAXIMUM_SECONDS, self._random))
        joined_at = self._joined_at.pop(known, None)
        if joined_at is not None and now - joined_at >= STABLE_SECONDS:
            backoff.stable()
        wait = backoff.next(least)
        self._due[known] = now + wait
        if self._why.get(known) != kind:
            self._tell(f"{known}: {_printable(why)}; trying again in {wait:.0f} s, and on")
        self._why[known] = kind
        return True

    def _invited(self, name: str, now: float) -> bool:
        """Somebody wants us there, who may open the door: of what is wanted only, others are for plugins."""
        known = self.find(name)
        if known is None or not (known in self._due or known in self.thrown_out):
            return False
        self.thrown_out.discard(known)
        at = max(now, self._invited_at.get(known, now - INVITED_SECONDS) + INVITED_SECONDS)
        if at < self._due.get(known, float("inf")):
            self._due[known] = self._invited_at[known] = at
        return True

    def _identified(self, now: float) -> bool:
        """We are logged in: who lets in only those with an account may let us in."""
        waited = [name for name in self._due if self._why.get(name) == numerics.ERR_NEEDREGGEDNICK]
        self._due.update(dict.fromkeys(waited, now))
        return bool(waited)

    def next_at(self) -> float | None:
        """When `due` will give something, or None."""
        return min(self._due.values(), default=None)

    def due(self, now: float) -> list[Message]:
        """The JOINs for which the wait is over; each is given once."""
        ready = [name for name, at in self._due.items() if at <= now]
        for name in ready:
            del self._due[name]
        return self._joins(ready)

    def _joins(self, names: Iterable[str]) -> list[Message]:
        joins: list[Message] = []
        group: list[str] = []
        for name in sorted(names, key=lambda name: self._key(name) is None):
            longer = self._join([*group, name])
            if group and (len(group) == TARGETS_PER_LINE or len(longer.encode().encode()) > LINE_BYTES):
                joins.append(self._join(group))
                group = []
            group.append(name)
        return [*joins, self._join(group)] if group else joins

    def _join(self, names: list[str]) -> Message:
        keys = [key for name in names if (key := self._key(name)) is not None]
        return Message("JOIN", (",".join(names), ",".join(keys)) if keys else (",".join(names),))

    def _key(self, name: str) -> str | None:
        return self._keys.get(name, self.channels[name])


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text[:REASON_LENGTH]).strip()
