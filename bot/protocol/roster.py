"""Who is where on one network, what we know of them, and which account the server vouches for.

Fed with every line of a connection, in order, by `wire/connection.py`, the only writer; everybody else reads. It asks
for what it can't know (`Applied.asks`), but sends nothing itself, and no line makes it raise. Here stands what each
line means; how users and channels are kept in step stands in `people`.

An account decides who is an admin, so the rule is to forget early. An account is kept only while account-notify would
tell of its end, and only of people who share a channel with us, since of others we would not hear. Whatever could
mean that a nick has changed hands ends it: QUIT, the last common channel, a NICK onto it, another ident or host
without CHGHOST, the capability going away. Answers to WHO that were asked for before such a change are not believed.
Where account-tag is enabled nothing kept counts at all: each line brings its own account or none.

Follows https://modern.ircdocs.horse, https://ircv3.net/irc (account-notify, account-tag, extended-join, away-notify,
chghost, setname, batch, multi-prefix, userhost-in-names) and https://ircv3.net/specs/extensions/whox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from bot.protocol import numerics as n
from bot.protocol.message import Message, Source
from bot.protocol.modes import parse_modes
from bot.protocol.people import Channel, Member, People, account_name

__all__ = ["Applied", "Channel", "Member", "Roster"]

# Batches whose lines were said before; bouncers have one of their own.
_HISTORY = frozenset({"chathistory", "draft/chathistory", "znc.in/playback"})
_MAX_BATCHES = 64

_WHOX_FIELDS = "%tcuhnfar"
_WHOX_PARAMS = 9  # our nick, and one for each of the fields
_MAX_TOKEN = 999  # three digits by the specification


class Applied(NamedTuple):
    """What a line changed, and what it calls for."""

    channels: tuple[str, ...] = ()  # that a JOIN, QUIT, NICK, ACCOUNT... touched, as it was before; none for a PRIVMSG
    member: Member | None = None  # the author as known now (after QUIT and PART: as last known); None for servers
    asks: tuple[Message, ...] = ()  # to send now
    history: bool = False  # replayed: it changed nothing here and must run nothing
    past: bool = False  # the line is of an earlier moment than the roster; ask `account`, not the roster
    account: str | None = None  # that the server vouched for as the author's, where `past`


_NOTHING = Applied()


class Roster(People):
    """One network as seen over one connection; its attributes are those of `People`."""

    def clear(self) -> None:
        super().clear()
        self._token = 0
        self._asked: dict[str, tuple[int, str]] = {}  # WHOX token -> count when asked, folded channel
        self.batches: dict[str, None] = {}  # open batches of history

    def account_of(self, message: Message) -> str | None:
        """Return the account that the server vouches for as the author's of this very message, or None.

        Ask when the line has been applied and before the next one is: later it may be somebody else's nick.
        """
        source = message.source
        if source is None or not source.is_user or self._is_history(message):
            return None
        if "account-tag" in self.caps:
            return account_name(message.tags.get("account", ""))
        user = self.users.get(self.fold(source.nick))
        if user is None or "account-notify" not in self.caps:
            return None
        return user.account if (user.ident, user.host) == (source.ident, source.host) else None

    def questions(self) -> list[Any]:
        """Return what is asked about users and not answered, as JSON values, for `resume`."""
        return [self._token, {token: list(asked) for token, asked in self._asked.items()}, self.count]

    def resume(self, questions: Iterable[Any]) -> None:
        """Take answers to what was asked before us.

        Raises:
            ValueError, TypeError: this is not what `questions` gave.
        """
        token, asked, count = questions
        self._token, self.count = int(token), int(count)
        self._asked = {str(token): (int(at), str(channel)) for token, (at, channel) in asked.items()}

    def _is_history(self, message: Message) -> bool:
        return bool(self.batches) and message.tags.get("batch") in self.batches

    # Writing

    def apply(self, message: Message) -> Applied:
        """Take in one line. Never raises."""
        if self.batches and message.command != "BATCH" and self._is_history(message):
            source = message.source
            author = Member(source.nick, source.ident, source.host) if source is not None else None
            return Applied(member=author, history=True)
        change = _CHANGES.get(message.command)
        if change is not None:
            return change(self, message)
        return Applied((), self._author(message))

    def _author(self, message: Message) -> Member | None:
        source = message.source
        if source is None:
            return None
        user = self.known(source)
        if user is None and source.is_user:
            account = message.tags.get("account", "") if "account-tag" in self.caps else ""
            user = Member(source.nick, source.ident, source.host, account_name(account))
        return user

    def _ask_who(self, channel: Channel) -> Message:
        channel.asked = True
        if not self.isupport.whox:
            return Message("WHO", (channel.name,))
        self._token = self._token % _MAX_TOKEN + 1
        self._asked[str(self._token)] = (self.count, self.fold(channel.name))
        return Message("WHO", (channel.name, f"{_WHOX_FIELDS},{self._token}"))

    # Lines of users

    def _on_join(self, message: Message) -> Applied:
        source = message.source
        if source is None or not source.nick:
            return _NOTHING
        names, asks, user = [], [], None
        for name in filter(self.is_channel, message.param(0).split(",")):
            folded = self.fold(name)
            if self.is_me(source.nick):
                if folded in self.channels:
                    self.leave(self.channels[folded])
                self.channels[folded] = Channel(name)
                asks.append(Message("MODE", (name,)))
            channel = self.channels.get(folded)
            if channel is None:
                continue
            user = self._joined(channel, folded, message, source)
            names.append(channel.name)
        return Applied(tuple(names), user or self._author(message), tuple(asks))

    def _joined(self, channel: Channel, folded: str, message: Message, source: Source) -> Member:
        nick = self.fold(source.nick)
        known = self.users.get(nick)
        if known is not None and not self.is_me(nick) and self.is_elsewhere(known, source):
            # We missed that the nick changed hands: its new owner is where it joins, and nowhere else.
            self.forget(known)
        user = self.meet(source)
        if nick in channel.members:  # we missed that this one left, or was another
            user.account = None
        user.nick = source.nick
        if "extended-join" in self.caps:
            user.account = self.believed(message.param(1))
            user.realname = message.param(2)
        self.mark(user)
        channel.members[nick] = set()
        user.channels.add(folded)
        return user

    def _on_part(self, message: Message) -> Applied:
        member = self._author(message)
        gone = [self._gone(name, member.nick) for name in message.param(0).split(",")] if member else []
        return Applied(tuple(name for name in gone if name), member)

    def _on_kick(self, message: Message) -> Applied:
        member = self._author(message)
        gone = self._gone(message.param(0), message.param(1))
        return Applied((gone,) if gone else (), member)

    def _gone(self, name: str, nick: str) -> str:
        """Take somebody out of a channel; return the channel's name, or nothing if we are not there."""
        channel = self.channel(name)
        if channel is None:
            return ""
        if self.is_me(nick):
            self.leave(channel)
        else:
            user = self.user(nick)
            if user is not None:
                self.separate(user, self.fold(name))
        return channel.name

    def _on_quit(self, message: Message) -> Applied:
        member = self._author(message)
        if member is None or self.is_me(member.nick):
            return Applied((), member)
        names = self.names(member)
        if names:
            self.forget(member)
        return Applied(names, member)

    def _on_nick(self, message: Message) -> Applied:
        user, nick = self._author(message), message.param(0)
        if not nick:
            return Applied((), user)
        if user is not None and self.user(user.nick) is user:
            self.rename(user, nick)
            return Applied(self.names(user), user)
        holder = self.user(nick)
        if holder is not None:  # whoever has this nick now, it is no longer the one we knew
            self.forget(holder)
        if user is not None:
            user.nick = nick
        return Applied((), user)

    def _on_account(self, message: Message) -> Applied:
        user = self._author(message)
        if user is None:
            return _NOTHING
        user.account = self.believed(message.param(0))
        self.mark(user)
        return Applied(self.names(user), user)

    def _on_chghost(self, message: Message) -> Applied:
        user = self._author(message)
        if user is None or len(message.params) < 2:
            return Applied((), user)
        user.ident, user.host = message.params[:2]
        return Applied(self.names(user), user)

    def _on_away(self, message: Message) -> Applied:
        user = self._author(message)
        if user is None:
            return _NOTHING
        user.away = bool(message.param(0))
        return Applied(self.names(user), user)

    def _on_setname(self, message: Message) -> Applied:
        user = self._author(message)
        if user is None:
            return _NOTHING
        user.realname = message.param(0)
        return Applied(self.names(user), user)

    # Channels

    def _on_topic(self, message: Message) -> Applied:
        channel, member = self.channel(message.param(0)), self._author(message)
        if channel is None:
            return Applied((), member)
        channel.topic = message.param(1)
        channel.topic_by = message.source.nick if message.source is not None else ""
        return Applied((channel.name,), member)

    def _on_topic_reply(self, message: Message) -> Applied:
        channel = self.channel(message.param(1))
        if channel is not None:
            if message.command == n.RPL_TOPICWHOTIME:
                channel.topic_by = Source.parse(message.param(2)).nick
            else:
                channel.topic = message.param(2) if message.command == n.RPL_TOPIC else ""
        return _NOTHING

    def _on_mode(self, message: Message) -> Applied:
        channel, member = self.channel(message.param(0)), self._author(message)
        if channel is None:
            return Applied((), member)
        self._change_modes(channel, message.params[1:])
        return Applied((channel.name,), member)

    def _on_mode_reply(self, message: Message) -> Applied:
        channel = self.channel(message.param(1))
        if channel is not None:
            channel.modes.clear()
            self._change_modes(channel, message.params[2:])
        return _NOTHING

    def _change_modes(self, channel: Channel, params: tuple[str, ...]) -> None:
        ranks = set(self.isupport.prefixes.values())
        for change in parse_modes(params, self.isupport):
            on, mode, argument = change.sign == "+", change.mode, change.argument
            if mode in ranks:
                held = channel.members.get(self.fold(argument or ""))
                if held is not None:
                    (held.add if on else held.discard)(mode)
                continue
            if mode in self.isupport.chanmodes.lists or not (mode.isascii() and mode.isalnum()):
                continue
            if mode == "k" and (not on or argument not in (None, "", "*")):  # servers hide it from those outside
                channel.key = argument if on else None
            if on:
                channel.modes[mode] = argument
            else:
                channel.modes.pop(mode, None)

    def _on_names(self, message: Message) -> Applied:
        channel = self.channel(message.param(2))
        if channel is None:
            return _NOTHING
        prefixes, folded = self.isupport.prefixes, self.fold(channel.name)
        signs = "".join(prefixes)
        for entry in message.param(3).split(" "):
            source = Source.parse(entry.lstrip(signs) if signs else entry)
            if source.nick:
                user = self.meet(source)
                user.channels.add(folded)
                ranks = {prefixes[sign] for sign in entry[: len(entry) - len(entry.lstrip(signs))]} if signs else ()
                channel.members.setdefault(self.fold(user.nick), set()).update(ranks)
        return _NOTHING

    def _on_end_of_names(self, message: Message) -> Applied:
        """Ask who they are only now: an answer then is about people whom we have met before we asked."""
        channel = self.channel(message.param(1))
        return Applied(asks=(self._ask_who(channel),)) if channel is not None and not channel.asked else _NOTHING

    def _on_who(self, message: Message) -> Applied:
        if len(message.params) >= 8:
            _, _, ident, host, _, nick, flags, rest = message.params[:8]
            user = self.user(nick)
            if user is not None and (not user.host or (user.ident, user.host) == (ident, host)):
                user.ident, user.host, user.away = ident, host, flags.startswith("G")
                user.realname = rest.partition(" ")[2]
        return _NOTHING

    def _on_whox(self, message: Message) -> Applied:
        """Take an answer to our own question, about a nick that has had one owner and account since we asked."""
        asked = self._asked.get(message.param(1))
        if asked is None or len(message.params) != _WHOX_PARAMS:
            return _NOTHING
        _, _, _, ident, host, nick, flags, account, realname = message.params
        user = self.user(nick)
        if user is None or user.changed > asked[0] or (user.host and (user.ident, user.host) != (ident, host)):
            return _NOTHING
        user.ident, user.host, user.realname, user.away = ident, host, realname, flags.startswith("G")
        user.account = self.believed(account)
        return _NOTHING

    def _on_end_of_who(self, message: Message) -> Applied:
        folded = self.fold(message.param(1))
        token = next((token for token, (_, channel) in self._asked.items() if channel == folded), None)
        if token is not None:
            del self._asked[token]
        return _NOTHING

    # The connection

    def _on_welcome(self, message: Message) -> Applied:
        nick = message.param(0)
        if nick:
            me = self.user(self.nick) or self.meet(Source(nick))
            self.rename(me, nick)
            self.nick = nick
        return _NOTHING

    def _on_isupport(self, message: Message) -> Applied:
        mapping = self.isupport.casemapping
        # Our nick comes first and prose last; where a server leaves the prose out, the last is a token.
        last = -1 if " " in message.param(-1) else None
        self.isupport.apply(message.params[1:last])
        if self.isupport.casemapping != mapping:
            self.refold()
        return _NOTHING

    def _on_visible_host(self, message: Message) -> Applied:
        """396: our own host has changed; without CHGHOST nobody else tells us."""
        me = self.user(self.nick)
        ident, _, host = message.param(1).rpartition("@")
        if me is not None and host:
            me.ident, me.host = ident or me.ident, host
        return _NOTHING

    def _on_cap(self, message: Message) -> Applied:
        """When account-notify comes or goes, what is known of accounts is worth nothing; ask again when it came."""
        verb, names = message.param(1).upper(), message.param(2).split(" ")
        came = verb == "ACK" and "account-notify" in names
        went = (verb == "DEL" and "account-notify" in names) or (verb == "ACK" and "-account-notify" in names)
        if came or went:
            self._asked.clear()
            for user in self.users.values():
                user.account = None
        if not came:
            return _NOTHING
        return Applied(asks=tuple([self._ask_who(channel) for channel in self.channels.values() if channel.asked]))

    def _on_batch(self, message: Message) -> Applied:
        sign, name = message.param(0)[:1], message.param(0)[1:]
        if sign == "-":
            self.batches.pop(name, None)
        elif sign == "+" and (message.param(1).lower() in _HISTORY or self._is_history(message)):
            if len(self.batches) >= _MAX_BATCHES:
                del self.batches[next(iter(self.batches))]
            self.batches[name] = None
        return _NOTHING


_CHANGES: dict[str, Callable[[Roster, Message], Applied]] = {
    "ACCOUNT": Roster._on_account,
    "AWAY": Roster._on_away,
    "BATCH": Roster._on_batch,
    "CAP": Roster._on_cap,
    "CHGHOST": Roster._on_chghost,
    "JOIN": Roster._on_join,
    "KICK": Roster._on_kick,
    "MODE": Roster._on_mode,
    "NICK": Roster._on_nick,
    "PART": Roster._on_part,
    "QUIT": Roster._on_quit,
    "SETNAME": Roster._on_setname,
    "TOPIC": Roster._on_topic,
    n.RPL_WELCOME: Roster._on_welcome,
    n.RPL_ISUPPORT: Roster._on_isupport,
    n.RPL_ENDOFWHO: Roster._on_end_of_who,
    n.RPL_CHANNELMODEIS: Roster._on_mode_reply,
    n.RPL_NOTOPIC: Roster._on_topic_reply,
    n.RPL_TOPIC: Roster._on_topic_reply,
    n.RPL_TOPICWHOTIME: Roster._on_topic_reply,
    n.RPL_WHOREPLY: Roster._on_who,
    n.RPL_NAMREPLY: Roster._on_names,
    n.RPL_WHOSPCRPL: Roster._on_whox,
    n.RPL_ENDOFNAMES: Roster._on_end_of_names,
    n.RPL_VISIBLEHOST: Roster._on_visible_host,
}
