"""Which channels we want to be in, and when to ask for each again: pure, `now` is an argument.

After a connection all are asked for at once, several to a line. A channel that turns us away, or throws us out, is
tried again after a wait of its own that grows; the others never notice. The wait begins anew only after we have been
in the channel for `STABLE_SECONDS`, or a channel that kicks at once would be rejoined for ever at the same pace.
Sending is `connection`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from random import Random

from bot.protocol import numerics
from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.reconnect import Backoff

MINIMUM_SECONDS, MAXIMUM_SECONDS = 5.0, 600.0
STABLE_SECONDS = 300.0
#: InspIRCd refuses more than 20 targets in a line by default (`maxtargets`); 10 is within what any server takes.
TARGETS_PER_LINE = 10
LINE_BYTES = 510  # RFC 2812 section 2.3, without CR LF

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
    """

    def __init__(self, channels: Mapping[str, str | None], fold: Callable[[str], str], random: Random) -> None:
        self.channels = dict(channels)
        self._fold, self._random = fold, random
        self._backoffs: dict[str, Backoff] = {}
        self._joined_at: dict[str, float] = {}
        self._due: dict[str, float] = {}

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
                self.channels[self.find(name) or name] = its_key or None
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
                self._backoffs.pop(known, None)
                self._joined_at.pop(known, None)
                self._due.pop(known, None)
        return part

    def everything(self) -> list[Message]:
        """The JOINs after a connection; those with keys come first, as the command's grammar wants it."""
        self._due.clear()
        self._joined_at.clear()
        return self._joins(self.channels)

    def missing(self, roster: Roster) -> list[Message]:
        """The JOINs for channels that we are not in: after a connection was taken over."""
        return self._joins(name for name in self.channels if roster.channel(name) is None)

    def heard(self, message: Message, roster: Roster, now: float) -> bool:
        """Learn from a line where we are now. Returns whether a channel is to be asked for again, later."""
        command, channel = message.command, message.param(0)
        if command == "JOIN":
            if message.source is not None and roster.is_me(message.source.nick):
                self.joined(channel, now)
            return False
        if command in REFUSALS:
            channel = message.param(1)
            # 403, 405 and 437 are answers to other commands as well.
            return roster.channel(channel) is None and self.outside(channel, now)
        if command == "KICK":
            return roster.is_me(message.param(1)) and self.outside(channel, now)
        if command == "PART":  # not asked for, or the channel would not be wanted any more
            return message.source is not None and roster.is_me(message.source.nick) and self.outside(channel, now)
        return False

    def joined(self, name: str, now: float) -> None:
        """The server says that we are in."""
        if known := self.find(name):
            self._due.pop(known, None)
            self._joined_at[known] = now

    def outside(self, name: str, now: float) -> bool:
        """We were kicked, removed, or not let in. Returns whether that is news: hearing it twice makes one try."""
        known = self.find(name)
        if known is None or known in self._due:
            return False
        backoff = self._backoffs.setdefault(known, Backoff(MINIMUM_SECONDS, MAXIMUM_SECONDS, self._random))
        joined_at = self._joined_at.pop(known, None)
        if joined_at is not None and now - joined_at >= STABLE_SECONDS:
            backoff.stable()
        self._due[known] = now + backoff.next()
        return True

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
        for name in sorted(names, key=lambda name: self.channels[name] is None):
            longer = self._join([*group, name])
            if group and (len(group) == TARGETS_PER_LINE or len(longer.encode().encode()) > LINE_BYTES):
                joins.append(self._join(group))
                group = []
            group.append(name)
        return [*joins, self._join(group)] if group else joins

    def _join(self, names: list[str]) -> Message:
        keys = [key for name in names if (key := self.channels[name]) is not None]
        return Message("JOIN", (",".join(names), ",".join(keys)) if keys else (",".join(names),))
