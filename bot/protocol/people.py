"""The users and channels of one network, and when a nick is still the same person.

Here stand the values and the few moves that change them (meet, forget, rename...), so that each of them keeps both
sides of a membership in step and none leaves an account with somebody whose end we would not hear of. Which line of
the server means which move is left to `roster`, the only caller of what changes anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from bot.protocol import casemap
from bot.protocol.isupport import Isupport
from bot.protocol.message import Message, Source

# What servers allow where they don't say (RFC 1459 and the length of a DNS label), for lines we must not cut too late.
_IDENT_LENGTH = 10
_HOST_LENGTH = 63


@dataclass(slots=True)
class Member:
    """A user of the network; of strangers (who share no channel with us) it holds what their line says.

    Attributes:
        account: None for nobody that we know of. For authority ask `Roster.account_of`, which knows of what line.
        bot: it says so itself, by the tag of its lines or in WHO (https://ircv3.net/specs/extensions/bot-mode).
        channels: folded names of the channels that both of us are in.
    """

    nick: str
    ident: str = ""
    host: str = ""
    account: str | None = None
    realname: str = ""
    away: bool = False
    bot: bool = False
    channels: set[str] = field(default_factory=set)
    changed: int = 0  # the roster's count when this nick got its present owner or account


@dataclass(slots=True)
class Channel:
    """A channel that we are in."""

    name: str
    members: dict[str, set[str]] = field(default_factory=dict)  # folded nick -> mode letters of its ranks
    topic: str = ""
    topic_by: str = ""
    modes: dict[str, str | None] = field(default_factory=dict)  # letter -> argument; no lists, no ranks
    key: str | None = None
    asked: bool = False  # WHO has been sent


class Applied(NamedTuple):
    """What a line changed, and what it calls for."""

    channels: tuple[str, ...] = ()  # that a JOIN, QUIT, NICK, ACCOUNT... touched, as it was before; none for a PRIVMSG
    member: Member | None = None  # the author as known now (after QUIT and PART: as last known); None for servers
    asks: tuple[Message, ...] = ()  # questions with an answer, to put one after the other
    says: tuple[Message, ...] = ()  # to send now
    history: bool = False  # replayed: it changed nothing here and must run nothing
    split: bool = False  # one of many of a netsplit or its end: told all together later, it runs nothing itself
    past: bool = False  # the line is of an earlier moment than the roster; ask `account`, not the roster
    account: str | None = None  # that the server vouched for as the author's, where `past`


class People:
    """Whom we share channels with.

    Attributes:
        nick: our own, empty before 001.
        caps: the capabilities that are enabled; the connection keeps it equal to its registration's.
        users: folded nick -> those who share a channel with us, and ourselves.
        channels: folded name -> the channels that we are in.
        isupport: what the server says about itself.
        count: how often a nick has got another owner or account.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget everything: the connection is gone, and of what happens meanwhile nobody will tell us."""
        self.nick = ""
        self.caps: set[str] = set()  # a new one each time: the old one is the old registration's
        self.users: dict[str, Member] = {}
        self.channels: dict[str, Channel] = {}
        self.isupport = Isupport()
        self.count = 0

    # Reading

    def fold(self, text: str) -> str:
        return casemap.fold(text, self.isupport.casemapping)

    def same(self, a: str, b: str) -> bool:
        return self.fold(a) == self.fold(b)

    def is_me(self, nick: str) -> bool:
        return bool(nick) and self.fold(nick) == self.fold(self.nick)

    def is_channel(self, name: str) -> bool:
        return self.isupport.is_channel(name)

    def user(self, nick: str) -> Member | None:
        return self.users.get(self.fold(nick))

    def channel(self, name: str) -> Channel | None:
        return self.channels.get(self.fold(name))

    def is_elsewhere(self, user: Member, source: Source) -> bool:
        """Tell whether a line is surely not from where we know its nick to be."""
        return bool(user.host and source.host) and (user.ident, user.host) != (source.ident, source.host)

    def me_source(self) -> Source:
        """Return our own prefix as the server puts it before our lines; its longest form while we don't know it."""
        me = self.user(self.nick)
        ident = (me and me.ident) or "~" + "x" * self._length("USERLEN", _IDENT_LENGTH)
        host = (me and me.host) or "x" * self._length("HOSTLEN", _HOST_LENGTH)
        return Source(self.nick, ident, host)

    def _length(self, token: str, default: int) -> int:
        value = self.isupport.tokens.get(token, "")
        return min(int(value), 255) if value.isascii() and value.isdecimal() and len(value) < 5 else default

    # Changing; for the roster alone

    def known(self, source: Source) -> Member | None:
        """Return the user that a line is from; forget the account if the one we knew was somewhere else."""
        user = self.users.get(casemap.fold(source.nick, self.isupport.casemapping))
        if user is not None and source.host and (user.host != source.host or user.ident != source.ident):
            if user.host:
                user.account, user.bot = None, False
                self.mark(user)
            user.ident, user.host = source.ident, source.host
        return user

    def meet(self, source: Source) -> Member:
        """Return the user that a line is from or about, known or new."""
        user = self.known(source)
        if user is None:
            user = self.users[self.fold(source.nick)] = Member(source.nick, source.ident, source.host)
            self.mark(user)
        return user

    def mark(self, user: Member) -> None:
        """Note that the owner or the account of a nick is news: what was asked for before does not apply."""
        self.count += 1
        user.changed = self.count

    def believed(self, account: str) -> str | None:
        """Return an account to keep: none, unless we will be told when it ends."""
        return account_name(account) if "account-notify" in self.caps else None

    def names(self, user: Member) -> tuple[str, ...]:
        return tuple(sorted([self.channels[name].name for name in user.channels]))

    def separate(self, user: Member, name: str) -> None:
        """Take a user out of a channel, and out of mind if it was the last in common."""
        folded = self.fold(user.nick)
        self.channels[name].members.pop(folded, None)
        user.channels.discard(name)
        if not user.channels and not self.is_me(user.nick):
            self.users.pop(folded, None)

    def forget(self, user: Member) -> None:
        """Take a user out of all channels and out of mind; a nick that comes back is somebody new."""
        for name in tuple(user.channels):
            self.separate(user, name)
        self.users.pop(self.fold(user.nick), None)

    def rename(self, user: Member, nick: str) -> None:
        """Give a user another nick, and forget whom we held for the owner of it."""
        old, new = self.fold(user.nick), self.fold(nick)
        holder = self.users.get(new)
        if holder is not None and holder is not user:
            self.forget(holder)
        if self.is_me(user.nick):
            self.nick = nick
        del self.users[old]
        self.users[new] = user
        for name in user.channels:
            members = self.channels[name].members
            members[new] = members.pop(old)
        user.nick = nick
        self.mark(user)

    def leave(self, channel: Channel) -> None:
        """Forget a channel that we are no longer in, and all whom we met nowhere else."""
        name = self.fold(channel.name)
        for folded in tuple(channel.members):
            self.separate(self.users[folded], name)
        del self.channels[name]

    def refold(self) -> None:
        """Put everything under the keys of another case mapping. Of two that have become one, neither is believed."""
        old, self.users = self.users, {}
        for user in old.values():
            user.channels.clear()
            twin = self.users.setdefault(self.fold(user.nick), user)
            if twin is not user:
                twin.account = None
                self.mark(twin)
        self.channels = {self.fold(channel.name): channel for channel in self.channels.values()}
        for name, channel in self.channels.items():
            ranks, channel.members = channel.members, {}
            for nick, held in ranks.items():
                folded = self.fold(old[nick].nick)
                channel.members.setdefault(folded, set()).update(held)
                self.users[folded].channels.add(name)
        for user in tuple(self.users.values()):
            if not user.channels and not self.is_me(user.nick):
                self.forget(user)


def account_name(text: str) -> str | None:
    """Read an account: `*`, `0` and nothing stand for none (account-notify, WHOX, account-tag)."""
    return None if text in ("", "*", "0") else text
