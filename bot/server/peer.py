"""The user behind a socket, and the channels they are in: what the server knows, and what the verbs look up.

A line that came in is parsed here and handed to its function in `VERBS`; this file says nothing by itself but that a
verb is unknown, early or short of parameters. All runs in callbacks of one event loop: who reads between two awaits
sees a consistent state.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from bot.errors import MalformedLine
from bot.protocol.casemap import mask_match
from bot.protocol.message import Message, decode
from bot.server.lines import MAX_TAGS, NO_TAGS, cut
from bot.server.link import Link
from bot.server.verbs import Refused, find, spread

if TYPE_CHECKING:
    from bot.server.multiline import Batch
    from bot.server.sasl import Exchange
    from bot.server.server import Server

MAX_LABEL = 64  # bytes; https://ircv3.net/specs/extensions/labeled-response


class Said(NamedTuple):
    """One line of a channel's history."""

    at: float  # seconds since 1970
    mask: str
    command: str
    text: str
    tags: Mapping[str, str]  # `msgid`, and what else was relayed


@dataclass(slots=True, eq=False)
class Channel:
    """A channel; it exists while somebody is in it."""

    name: str
    created: int  # seconds since 1970
    members: dict[Peer, set[str]] = field(default_factory=dict)  # letters of Server.prefixes
    modes: dict[str, str] = field(default_factory=lambda: {"n": "", "t": ""})  # letter -> its argument
    bans: dict[str, tuple[str, str]] = field(default_factory=dict)  # mask -> who set it, when
    topic: str = ""
    topic_by: tuple[str, str] = ("", "")  # mask, when
    history: deque[Said] = field(default_factory=deque)  # as long as Server.history


class Peer(Link):
    """A user: what the server knows of them, and what they may say."""

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.ident = self.realname = self.password = ""
        self.account = self.away = ""  # empty: not logged in, not away
        self.modes: set[str] = set()
        self.channels: dict[str, Channel] = {}  # by folded name
        self.invited: set[Channel] = set()
        self.negotiating = self.apart = False  # apart: beyond a netsplit
        self.cookie: str | None = None  # the PING to be answered before 001; empty: it was
        self.exchange: Exchange | None = None  # by AUTHENTICATE, while it goes on
        self.chunks = ""  # of one response, so far
        self.watched: dict[str, str] = {}  # nicks, by their folded form: the list of MONITOR
        self.batch: Batch | None = None  # that this client has opened
        self.label = ""  # of what is being handled
        self.answer: list[tuple[str, Mapping[str, str]]] | None = None  # to it, while it is collected
        self.times: deque[float] = deque()  # of lines, where a flood ends a connection
        self.since = self.spoke = server.seconds()
        self.heard = Message("PING")  # what is being handled
        self.pongs: dict[str, asyncio.Future[None]] = {}  # barriers that wait, by token

    @property
    def mask(self) -> str:
        return f"{self.nick}!{self.ident}@{self.host}"

    def line_received(self, line: bytes) -> None:
        tags, space, body = line.partition(b" ") if line.startswith(b"@") else (b"", b"", line)
        text = decode(tags[: MAX_TAGS + 1] + space + cut(body, self.server.max_body))
        self.server.note(self.nick, "in", text)
        try:
            self.heard = heard = Message.parse(text)
        except MalformedLine:
            return
        if self.floods():
            self.leave("Excess Flood")
        if self.gone or (self.apart and heard.command not in ("PING", "PONG", "QUIT")):
            return  # said to those beyond the split
        label = heard.tags.get("label", "") if "labeled-response" in self.caps else ""
        self.label = label if len(label.encode("utf-8", "replace")) <= MAX_LABEL else ""
        self.answer = [] if self.label else None
        if len(tags) > MAX_TAGS:
            self.reply("417")
        elif self.server.utf8_only and not _is_utf8(line):
            self.fail(heard.command, "INVALID_UTF8", text="Only UTF-8 is spoken here")
        elif self.batch and "batch" in heard.tags:
            self.batch.take(self, heard)
        else:
            self.handle(heard)
        self.answered()

    def floods(self) -> bool:
        if self.server.faults.flood is None:
            return False
        lines, seconds = self.server.faults.flood
        now = self.server.now()
        self.times.append(now)
        while self.times[0] < now - seconds:
            self.times.popleft()
        return len(self.times) > lines

    def handle(self, heard: Message) -> None:
        row, answers = find(heard.command), heard.command not in ("NOTICE", "ERROR")
        if row is None:
            self.reply("421", heard.command)
        elif not self.registered and not row.early:
            self.reply("451")
        elif len(heard.params) < row.needs:
            if answers:
                self.reply(*row.missing)
        else:
            for params in spread(heard.params[: row.takes], row.split):
                try:
                    if self.server.faults.answers:
                        self.misanswered(heard.command, params)
                    row.run(self, *params)
                except Refused as refused:
                    if answers:
                        self.reply(*refused.args)

    def misanswered(self, command: str, params: tuple[str, ...]) -> None:
        """Raise what a fault wants to be answered."""
        said, mapping = " ".join((command, *params[:1])), self.server.casemapping
        for mask, numeric in self.server.faults.answers.items():
            if mask_match(mask, said, mapping):
                raise Refused(numeric, *params[:1])

    def send(self, body: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        if self.answer is not None:
            self.answer.append((body, tags))
        else:
            super().send(body, tags)

    def answered(self) -> None:
        """Send what was collected as the answer to a labelled line: in a batch, unless it is one line or one batch."""
        label, lines, self.label, self.answer = self.label, self.answer, "", None
        if lines is None:
            return
        relay, name = self.server.relay, self.server.name
        if not lines:
            relay([self], name, "ACK", tags={"label": label})
        elif len(lines) == 1 or _is_one_batch(lines[0][0], lines[-1][0]):
            (body, tags), *rest = lines
            self.send(body, {**tags, "label": label})
            for body, tags in rest:
                self.send(body, tags)
        else:
            batch = self.server.new_batch()
            relay([self], name, "BATCH", f"+{batch}", "labeled-response", tags={"label": label})
            for body, tags in lines:
                self.send(body, {"batch": batch, **tags})
            relay([self], name, "BATCH", f"-{batch}")

    def leave(self, reason: str, abrupt: bool = False, quiet: bool = False) -> None:
        if self.gone:
            return
        self.answered()
        super().leave(reason, abrupt, quiet)
        self.gone = True
        if self.registered:
            self.server.relay(self.observers(), self, "QUIT", text=reason)
            self.server.spotted(self, False)
        for channel in list(self.channels.values()):
            self.server.remove(self, channel)
        self.server.forget(self)
        self.server.beyond.pop(self, None)
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
        if op and not self.has(channel, "o"):
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

    def has(self, channel: Channel, letter: str) -> bool:
        """Whether I have this status there, or a higher one; the highest counts where the server has no such letter."""
        ranks = list(self.server.prefixes)
        enough = ranks[: ranks.index(letter) + 1] if letter in ranks else ranks[:1]
        return not channel.members.get(self, set()).isdisjoint(enough)

    def prefix(self, channel: Channel | None, reader: Peer) -> str:
        """`@+`, or only the highest for a reader without multi-prefix."""
        letters = channel.members.get(self, ()) if channel else ()
        symbols = "".join(symbol for letter, symbol in self.server.prefixes.items() if letter in letters)
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

    def fail(self, command: str, code: str, *context: str, text: str, kind: str = "FAIL") -> None:
        """A standard reply, or for a client that does not know them a NOTICE with its words."""
        if "standard-replies" in self.caps:
            self.server.relay([self], self.server.name, kind, command, code, *context, text=text)
        else:
            self.server.relay([self], self.server.name, "NOTICE", self.nick or "*", text=f"{command}: {text}")

    def cap_reply(self, sub: str, *params: str, text: str) -> None:
        self.server.relay([self], self.server.name, "CAP", self.nick or "*", sub, *params, text=text)


def _is_one_batch(first: str, last: str) -> bool:
    """Whether these two lines begin and end the same batch."""
    opens, closes = first.split(" ")[1:3], last.split(" ")[1:3]
    return opens[0] == closes[0] == "BATCH" and opens[1][:1] == "+" and opens[1][1:] == closes[1][1:]


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
