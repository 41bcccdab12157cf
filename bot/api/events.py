"""One IRC line as the events that handlers can ask for: a table from verbs to readers, pure.

What is never an event: our own lines, whatever they are (echo-message included), lines replayed from history, the QUIT
and JOIN of a netsplit (which is one event of its own, that no line stands for), CTCP other than ACTION, a PRIVMSG to
neither a channel nor us (to everybody on a server, `$*`), and what came from a nick or to a channel that no answer
could go to (a comma or NUL in it). One to those of a rank in a channel (`@#a`, STATUSMSG of 005) is an event of that
channel, and answered to whom it was said. A reader gets the message and what the roster said of it, and names the
fields which a handler may take as parameters. Verbs: RFC 1459 section 4, IRCv3 account-notify, away-notify, chghost,
extended-join, invite-notify, setname, standard replies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from bot.protocol.message import Message, is_target

if TYPE_CHECKING:
    from bot.protocol.roster import Applied, Roster


MAX_PLACE = 200  # characters of a nick or channel; with a longer one there would be no room for an answer


def answerable(place: str) -> bool:
    """Tell whether an answer can go to this nick or channel, as one target, and with room for a text."""
    return len(place) <= MAX_PLACE and is_target(place)


class Network(Protocol):
    """One IRC network, as plugins see it."""

    @property
    def name(self) -> str: ...
    @property
    def nick(self) -> str:
        """The bot's own nick there, now."""

    @property
    def roster(self) -> Roster: ...
    def fold(self, name: str) -> str:
        """Fold a nick or channel as this network compares them (CASEMAPPING of 005)."""

    def same(self, one: str, other: str) -> bool:
        """Tell whether two nicks or channels are the same here."""


@dataclass(frozen=True, slots=True)
class User:
    """The author of one message.

    `account` is what the server vouches for at this moment; None: not known, or none. `bot`: says that it is one.
    """

    nick: str
    ident: str
    host: str
    account: str | None = None
    bot: bool = False

    def __str__(self) -> str:
        return self.nick


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened.

    `number` is the line's number in the keeper: what a reply answers. `channel` is None in private. `fields` are what a
    handler declared with `@on` may take by name.
    """

    name: str
    network: Network
    number: str
    message: Message | None
    user: User | None
    channel: str | None
    text: str
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> str:
        """Where an answer goes: `#a`, `@#a` if only those of a rank were spoken to, the author's nick in private."""
        if self.channel is not None:
            target: str = self.fields.get("target", self.channel)
            return target
        return self.user.nick if self.user else ""


# What a reader yields: the event's name, its channel (None in private), its text, and its own fields.
_Found: TypeAlias = Iterator[tuple[str, str | None, str, dict[str, Any]]]
_Read: TypeAlias = Callable[[Network, Message, "Applied"], _Found]


def _text(network: Network, message: Message, applied: Applied) -> _Found:
    target, text = message.param(0), message.param(1)
    _, bare = network.roster.isupport.split_status(target)
    # Whatever 005 says of CHANTYPES later, a channel that we are in is one.
    channel = bare if network.roster.is_channel(bare) or network.roster.channel(bare) is not None else None
    name = "message" if message.command == "PRIVMSG" else "notice"
    if name == "message" and channel is None and not network.roster.is_me(target):
        return
    if not network.nick and not applied.past:
        return  # before 001 we have no nick to know our own words by, and are in no channel
    if text.startswith("\x01"):
        verb, _, rest = text.strip("\x01").partition(" ")
        if name != "message" or verb.upper() != "ACTION":
            return
        name, text = "action", rest
    yield name, channel, text, {"target": target, "text": text, "channel": channel}


def _join(network: Network, message: Message, applied: Applied) -> _Found:
    account, realname = (applied.member.account, applied.member.realname) if applied.member else (None, "")
    for channel in filter(None, message.param(0).split(",")):
        yield "join", channel, "", {"channel": channel, "account": account, "realname": realname}


def _part(network: Network, message: Message, applied: Applied) -> _Found:
    for channel in filter(None, message.param(0).split(",")):
        yield "part", channel, message.param(1), {"channel": channel, "reason": message.param(1)}


def _quit(network: Network, message: Message, applied: Applied) -> _Found:
    yield "quit", None, message.param(0), {"reason": message.param(0), "channels": applied.channels}


def _kick(network: Network, message: Message, applied: Applied) -> _Found:
    channel, kicked, reason = message.param(0), message.param(1), message.param(2)
    yield "kick", channel, reason, {"channel": channel, "kicked": kicked, "reason": reason}


def _nick(network: Network, message: Message, applied: Applied) -> _Found:
    old = message.source.nick if message.source else ""
    yield "nick", None, message.param(0), {"old": old, "new": message.param(0), "channels": applied.channels}


def _topic(network: Network, message: Message, applied: Applied) -> _Found:
    yield "topic", message.param(0), message.param(1), {"channel": message.param(0), "topic": message.param(1)}


def _mode(network: Network, message: Message, applied: Applied) -> _Found:
    target, modes = message.param(0), " ".join(message.params[1:])
    channel = target if network.roster.is_channel(target) else None
    yield "mode", channel, modes, {"target": target, "channel": channel, "modes": modes}


def _invite(network: Network, message: Message, applied: Applied) -> _Found:
    yield "invite", message.param(1), "", {"invited": message.param(0), "channel": message.param(1)}


def _account(network: Network, message: Message, applied: Applied) -> _Found:
    account = None if message.param(0) in ("", "*") else message.param(0)
    yield "account", None, account or "", {"account": account}


def _away(network: Network, message: Message, applied: Applied) -> _Found:
    yield "away", None, message.param(0), {"reason": message.param(0) or None}


def _chghost(network: Network, message: Message, applied: Applied) -> _Found:
    yield "chghost", None, "", {"ident": message.param(0), "host": message.param(1)}


def _setname(network: Network, message: Message, applied: Applied) -> _Found:
    yield "setname", None, message.param(0), {"realname": message.param(0)}


# What a handler of each event may take by name, besides `nick` and `user`.
FIELDS: Mapping[str, frozenset[str]] = {
    "message": frozenset({"target", "text", "channel"}),
    "action": frozenset({"target", "text", "channel"}),
    "notice": frozenset({"target", "text", "channel"}),
    "join": frozenset({"channel", "account", "realname"}),
    "part": frozenset({"channel", "reason"}),
    "quit": frozenset({"reason", "channels"}),
    "kick": frozenset({"channel", "kicked", "reason"}),
    "nick": frozenset({"old", "new", "channels"}),
    "topic": frozenset({"channel", "topic"}),
    "mode": frozenset({"target", "channel", "modes"}),
    "invite": frozenset({"invited", "channel"}),
    "account": frozenset({"account"}),
    "away": frozenset({"reason"}),
    "chghost": frozenset({"ident", "host"}),
    "setname": frozenset({"realname"}),
    "netsplit": frozenset({"channel", "nicks", "servers"}),
    "netjoin": frozenset({"channel", "nicks", "servers"}),
    "fail": frozenset({"command", "code", "context", "text"}),
    "warn": frozenset({"command", "code", "context", "text"}),
    "note": frozenset({"command", "code", "context", "text"}),
    "connected": frozenset(),
    "ready": frozenset(),
    "disconnected": frozenset({"reason"}),
    "numeric": frozenset({"params"}),
}


def _own(network: Network, message: Message, nick: str) -> bool:
    # The roster has already followed a change of our own nick, so then we are known by the new one.
    return network.roster.is_me(message.param(0) if message.command == "NICK" else nick)


READERS: Mapping[str, _Read] = {
    "PRIVMSG": _text,
    "NOTICE": _text,
    "JOIN": _join,
    "PART": _part,
    "QUIT": _quit,
    "KICK": _kick,
    "NICK": _nick,
    "TOPIC": _topic,
    "MODE": _mode,
    "INVITE": _invite,
    "ACCOUNT": _account,
    "AWAY": _away,
    "CHGHOST": _chghost,
    "SETNAME": _setname,
}

STANDARD_REPLIES = frozenset({"FAIL", "WARN", "NOTE"})


def _of_the_server(message: Message) -> dict[str, Any] | None:
    """Return the fields of a numeric or a standard reply (`FAIL COMMAND CODE [CONTEXT...] :text`), None for others."""
    if message.command.isdigit():
        return {"params": message.params}
    if message.command not in STANDARD_REPLIES:
        return None
    words = (*message.params[:-1], "", "")
    return {"command": words[0], "code": words[1], "context": message.params[2:-1], "text": message.param(-1)}


def read(network: Network, number: str, message: Message, applied: Applied) -> list[Event]:
    """Return the events that one line stands for, none for lines that handlers must not see."""
    source = message.source
    reader = READERS.get(message.command)
    if reader is None:
        fields = _of_the_server(message)
        if fields is None:
            return []
        name = message.command if message.command.isdigit() else message.command.lower()
        fields |= {"nick": source.nick if source else "", "user": None}
        return [Event(name, network, number, message, None, None, message.param(-1), fields)]
    if source is None or not source.nick or applied.history or applied.split or _own(network, message, source.nick):
        return []  # `:!@` is nobody, and there is no place to answer to
    account = applied.account if applied.past else network.roster.account_of(message)
    user = User(source.nick, source.ident, source.host, account, bool(applied.member and applied.member.bot))
    events = []
    for name, channel, text, own in reader(network, message, applied):
        fields = {**own, "nick": user.nick, "user": user}
        event = Event(name, network, number, message, user, channel, text, fields)
        if not event.place or answerable(event.place):
            events.append(event)
    return events
