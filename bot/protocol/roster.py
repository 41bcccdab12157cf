"""Who is where on one network, what we know of them, and which account the server vouches for.

Fed with every line of a connection, in order, by `wire/connection.py`, the only writer; everybody else reads. It asks
for what it can't know (`Applied.asks`), but sends nothing itself, and no line makes it raise. Here stands what each
line means; how users and channels are kept in step stands in `people`, what the server says when asked in `answers`,
netsplits in `splits`, and what was said long ago in `batches` and `servertime`.

An account decides who is an admin, so the rule is to forget early. An account is kept only while account-notify would
tell of its end, and only of people who share a channel with us, since of others we would not hear. Whatever could
mean that a nick has changed hands ends it: QUIT, the last common channel, a NICK onto it, another ident or host
without CHGHOST, the capability going away. Answers to WHO that were asked for before such a change are not believed.
Where account-tag is enabled nothing kept counts at all: each line brings its own account or none. When it is withdrawn
nothing of before counts either.

Follows https://modern.ircdocs.horse, https://ircv3.net/irc (account-notify, account-tag, extended-join, away-notify,
chghost, setname, bot-mode).
"""

from __future__ import annotations

from collections.abc import Callable

from bot.protocol import numerics as n
from bot.protocol.answers import NOTHING, Answers
from bot.protocol.batches import Batch, Batches
from bot.protocol.message import Message, Source, is_target
from bot.protocol.people import Applied, Channel, Member, account_name
from bot.protocol.servertime import ServerTime
from bot.protocol.splits import Splits, two_servers

__all__ = ["Applied", "Channel", "Member", "Roster"]

_BOT_TAGS = frozenset({"bot", "draft/bot", "inspircd.org/bot"})  # the last two by servers of the time before the first


class Roster(Answers):
    """One network as seen over one connection; its attributes are those of `People`, and:

    Attributes:
        batches: those that are open.
        time: what the server says the time is.
        splits: who was lost with another server.
    """

    def __init__(self) -> None:
        self.splits = Splits(self.fold)
        super().__init__()

    def clear(self) -> None:
        super().clear()
        self.batches, self.time = Batches(), ServerTime()
        self.splits.clear()
        self._now = 0.0

    def account_of(self, message: Message) -> str | None:
        """Return the account that the server vouches for as the author's of this very message, or None.

        Ask when the line has been applied and before the next one is: later it may be somebody else's nick.
        """
        source = message.source
        batch = self.batches.of(message)
        if source is None or not source.is_user or (batch is not None and batch.history):
            return None
        if "account-tag" in self.caps:
            return account_name(message.tags.get("account", ""))
        user = self.users.get(self.fold(source.nick))
        if user is None or "account-notify" not in self.caps:
            return None
        return user.account if (user.ident, user.host) == (source.ident, source.host) else None

    # Writing

    def apply(self, message: Message, now: float = 0.0) -> Applied:
        """Take in one line. Never raises.

        Args:
            now: seconds of any clock that never goes backwards.
        """
        self._now = now
        batch = self.batches.of(message)
        if batch is not None and batch.history and message.command != "BATCH":
            return self._replayed(message)
        if "server-time" in self.caps and self._may_be_late(message, batch) and self.time.is_late(message, now):
            return self._replayed(message)._replace(says=self.time.ask())
        change = _CHANGES.get(message.command)
        if change is not None:
            return change(self, message)
        return Applied((), self._author(message))

    def _replayed(self, message: Message) -> Applied:
        source = message.source
        author = Member(source.nick, source.ident, source.host) if source is not None else None
        return Applied(member=author, history=True)

    def _may_be_late(self, message: Message, batch: Batch | None) -> bool:
        """Of ourselves we believe everything, and that a netsplit is over also of those who had joined long ago."""
        ours = message.source is not None and self.is_me(message.source.nick)
        return not ours and (batch is None or batch.kind not in ("netsplit", "netjoin"))

    def _author(self, message: Message) -> Member | None:
        source = message.source
        if source is None:
            return None
        user = self.known(source)
        if user is None and source.is_user:
            account = message.tags.get("account", "") if "account-tag" in self.caps else ""
            user = Member(source.nick, source.ident, source.host, account_name(account))
        if user is not None and message.tags and "message-tags" in self.caps and not _BOT_TAGS.isdisjoint(message.tags):
            user.bot = True
        return user

    # Lines of users

    def _on_join(self, message: Message) -> Applied:
        source = message.source
        if source is None or not source.nick:
            return NOTHING
        names, asks, user, back = [], [], None, []
        for name in filter(self.is_channel, message.param(0).split(",")):
            if not is_target(name):  # what is asked about a channel must be one line
                continue
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
            back.append(self._is_back(message, source, channel.name))
        return Applied(tuple(names), user or self._author(message), tuple(asks), split=bool(back) and all(back))

    def _is_back(self, message: Message, source: Source, channel: str) -> bool:
        """Tell whether this JOIN is the end of a netsplit, and note it."""
        batch, mask = self.batches.of(message), str(source)
        announced = batch is not None and batch.kind == "netjoin"
        if self.is_me(source.nick) or not (announced or self.splits.is_back(mask, channel, self._now)):
            return False
        self.splits.back(mask, source.nick, channel, batch.params[:2] if batch and announced else (), self._now)
        return True

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
        names, servers = self.names(member), self._severed(message)
        if names:
            self.forget(member)
            if servers is not None:
                self.splits.lost(str(message.source), member.nick, names, servers, self._now)
        return Applied(names, member, split=servers is not None and bool(names))

    def _severed(self, message: Message) -> tuple[str, ...] | None:
        """Return the two servers of the netsplit that a QUIT is part of (none where they are not told), or None."""
        batch = self.batches.of(message)
        if batch is not None and batch.kind == "netsplit":
            return batch.params[:2]
        return two_servers(message.param(0)) or None

    def _on_nick(self, message: Message) -> Applied:
        user, nick = self._author(message), message.param(0)
        if not nick or (user is not None and self.is_me(user.nick) and not is_target(nick)):
            return Applied((), user)
        if user is not None and self.user(user.nick) is user:
            self.rename(user, nick)
            return Applied(self.names(user), user)
        holder = self.user(nick)
        if holder is not None and not self.is_me(nick):  # whoever has this nick now, it is no longer the one we knew
            self.forget(holder)
        if user is not None:
            user.nick = nick
        return Applied((), user)

    def _on_account(self, message: Message) -> Applied:
        user = self._author(message)
        if user is None:
            return NOTHING
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
            return NOTHING
        user.away = bool(message.param(0))
        return Applied(self.names(user), user)

    def _on_setname(self, message: Message) -> Applied:
        user = self._author(message)
        if user is None:
            return NOTHING
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

    def _on_mode(self, message: Message) -> Applied:
        channel, member = self.channel(message.param(0)), self._author(message)
        if channel is None:
            return Applied((), member)
        self.change_modes(channel, message.params[1:])
        return Applied((channel.name,), member)

    # The connection

    def _on_welcome(self, message: Message) -> Applied:
        nick = message.param(0)
        if is_target(nick):  # else it is the text, of a server that leaves the nick out
            me = self.user(self.nick) or self.meet(Source(nick))
            self.rename(me, nick)
            self.nick = nick
        return Applied(says=self.time.ask()) if "server-time" in self.caps else NOTHING

    def _on_isupport(self, message: Message) -> Applied:
        mapping, bot = self.isupport.casemapping, self.isupport.bot
        # Our nick comes first and prose last; where a server leaves the prose out, the last is a token.
        last = -1 if " " in message.param(-1) else None
        self.isupport.apply(message.params[1:last])
        if self.isupport.casemapping != mapping:
            self.refold()
            self.splits.clear()
        if not self.isupport.bot or self.isupport.bot == bot or not self.nick:
            return NOTHING
        return Applied(says=(Message("MODE", (self.nick, f"+{self.isupport.bot}")),))

    def _on_visible_host(self, message: Message) -> Applied:
        """396: our own host has changed; without CHGHOST nobody else tells us."""
        me = self.user(self.nick)
        ident, _, host = message.param(1).rpartition("@")
        if me is not None and host:
            me.ident, me.host = ident or me.ident, host
        return NOTHING

    def _on_cap(self, message: Message) -> Applied:
        """When account-notify comes or goes, what is known of accounts is worth nothing; ask again when it came.

        Also when account-tag goes: something is wrong with the services, and who was logged in has to show it anew.
        """
        verb, names = message.param(1).upper(), " ".join(message.params[2:]).split(" ")
        came = verb == "ACK" and "account-notify" in names
        gone = names if verb == "DEL" else [name[1:] for name in names if name[:1] == "-"] if verb == "ACK" else []
        if came or "account-notify" in gone or "account-tag" in gone:
            self.ask_no_more()
            for user in self.users.values():
                user.account = None
        if not came:
            return NOTHING
        return Applied(asks=tuple([self.ask_who(channel) for channel in self.channels.values() if channel.asked]))

    def _on_batch(self, message: Message) -> Applied:
        ended: Batch | None = self.batches.turn(message)
        if ended is not None and ended.kind in ("netsplit", "netjoin"):
            self.splits.complete(self._now)
        return NOTHING


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
    n.RPL_ENDOFWHO: Roster.on_end_of_who,
    n.RPL_CHANNELMODEIS: Roster.on_mode_reply,
    n.RPL_NOTOPIC: Roster.on_topic_reply,
    n.RPL_TOPIC: Roster.on_topic_reply,
    n.RPL_TOPICWHOTIME: Roster.on_topic_reply,
    n.RPL_WHOREPLY: Roster.on_who,
    n.RPL_NAMREPLY: Roster.on_names,
    n.RPL_WHOSPCRPL: Roster.on_whox,
    n.RPL_ENDOFNAMES: Roster.on_end_of_names,
    n.RPL_VISIBLEHOST: Roster._on_visible_host,
}
