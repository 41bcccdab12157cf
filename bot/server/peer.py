"""The user behind a socket, and the channels they are in: what the server knows, and what the verbs look up.

A line that came in is parsed here and handed to its function in `VERBS`; this file says nothing by itself but that a
verb is unknown, early or short of parameters. All runs in callbacks of one event loop: who reads between two awaits
sees a consistent state.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bot.errors import MalformedLine
from bot.protocol.casemap import mask_match
from bot.protocol.message import Message, decode
from bot.server.lines import MAX_BODY, MAX_TAGS, PREFIXES, cut
from bot.server.link import Link
from bot.server.verbs import VERBS, Refused, spread

if TYPE_CHECKING:
    from bot.server.server import Server


@dataclass(slots=True, eq=False)
class Channel:
    """A channel; it exists while somebody is in it."""

    name: str
    created: int  # seconds since 1970
    members: dict[Peer, set[str]] = field(default_factory=dict)  # letters of PREFIXES
    modes: dict[str, str] = field(default_factory=lambda: {"n": "", "t": ""})  # letter -> its argument
    bans: dict[str, tuple[str, str]] = field(default_factory=dict)  # mask -> who set it, when
    topic: str = ""
    topic_by: tuple[str, str] = ("", "")  # mask, when


class Peer(Link):
    """A user: what the server knows of them, and what they may say."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.ident = self.realname = self.password = ""
        self.account = self.away = ""  # empty: not logged in, not away
        self.modes: set[str] = set()
        self.channels: dict[str, Channel] = {}  # by folded name
        self.invited: set[Channel] = set()
        self.registered = self.negotiating = False
        self.sasl: str | None = None  # base64 so far, while AUTHENTICATE PLAIN goes on
        self.since = self.spoke = server.seconds()
        self.heard = Message("PING")  # what is being handled
        self.pongs: dict[str, asyncio.Future[None]] = {}  # barriers that wait, by token

    @property
    def mask(self) -> str:
        return f"{self.nick}!{self.ident}@{self.host}"

    def line_received(self, line: bytes) -> None:
        tags, space, body = line.partition(b" ") if line.startswith(b"@") else (b"", b"", line)
        text = decode(tags[: MAX_TAGS + 1] + space + cut(body, MAX_BODY))
        self.server.note(self.nick, "in", text)
        try:
            self.heard = heard = Message.parse(text)
        except MalformedLine:
            return
        row, answers = VERBS.get(heard.command), heard.command not in ("NOTICE", "ERROR")
        if len(tags) > MAX_TAGS:
            self.reply("417")
        elif row is None:
            self.reply("421", heard.command)
        elif not self.registered and not row.early:
            self.reply("451")
        elif len(heard.params) < row.needs:
            if answers:
                self.reply(*row.missing)
        else:
            for params in spread(heard.params[: row.takes], row.split):
                try:
                    row.run(self, *params)
                except Refused as refused:
                    if answers:
                        self.reply(*refused.args)

    def leave(self, reason: str, abrupt: bool = False) -> None:
        if self.gone:
            return
        super().leave(reason, abrupt)
        self.gone = True
        if self.registered:
            self.server.relay(self.observers(), self, "QUIT", text=reason)
        for channel in list(self.channels.values()):
            self.server.remove(self, channel)
        if self.server.nicks.get(self.server.fold(self.nick)) is self:
            del self.server.nicks[self.server.fold(self.nick)]
        for waiting in [each for each in self.pongs.values() if not each.done()]:
            waiting.set_exception(ConnectionResetError(f"{self.nick} left: {reason}"))

    def observers(self, cap: str = "", me: bool = False) -> list[Peer]:
        """Everybody who shares a channel with me, each once; with `cap`, those of them who asked for it."""
        found = dict.fromkeys([self, *itertools.chain(*(channel.members for channel in self.channels.values()))])
        return [peer for peer in found if (me or peer is not self) and (not cap or cap in peer.caps)]

    def channel(self, name: str, member: bool = True, op: bool = False) -> Channel:
        """The channel of that name, where I must be a member, or its operator."""
        channel = self.server.channels.get(self.server.fold(name))
        if channel is None or not (self.sees(channel) or member):
            raise Refused("403", name)
        if member and self not in channel.members:
            raise Refused("442", channel.name)
        if op and "o" not in channel.members[self]:
            raise Refused("482", channel.name)
        return channel

    def peer(self, nick: str) -> Peer:
        found = self.server.find(nick)
        if found is None:
            raise Refused("401", nick)
        return found

    def sees(self, channel: Channel) -> bool:
        return "s" not in channel.modes or self in channel.members

    def banned(self, channel: Channel) -> bool:
        return any(mask_match(mask, self.mask, self.server.casemapping) for mask in channel.bans)

    def prefix(self, channel: Channel | None, reader: Peer) -> str:
        """`@+`, or only the highest for a reader without multi-prefix."""
        letters = channel.members.get(self, ()) if channel else ()
        symbols = "".join(symbol for letter, symbol in PREFIXES.items() if letter in letters)
        return symbols if "multi-prefix" in reader.caps else symbols[:1]

    def log_in(self, account: str) -> None:
        """Set the account, or with an empty one take it away, and tell whom it concerns."""
        self.account = account
        who = self.mask if self.registered else f"{self.nick or '*'}!*@*"
        if account:
            self.reply("900", who, account, text=f"You are now logged in as {account}")
        else:
            self.reply("901", who, text="You are now logged out")
        if self.registered:
            self.server.relay(self.observers("account-notify", me=True), self, "ACCOUNT", account or "*")

    def cap_reply(self, sub: str, *params: str, text: str) -> None:
        self.server.relay([self], self.server.name, "CAP", self.nick or "*", sub, *params, text=text)
