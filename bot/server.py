"""A small IRC server in one file: what `neverquit demo`, the tests and the plugin authors' test kit talk to.

It follows https://modern.ircdocs.horse/, https://ircv3.net/irc/ (what of it: `CAPS`) and the WHOX of ircu. One server,
no operators, no services, no flood penalties; accounts are a dictionary (SASL PLAIN) or what a test says with
`Server.login`. Parsing lines and folding names is left to `protocol/`; nothing here knows the bot.

`Link` is one socket: bytes to lines, lines to bytes, both bounded. `Peer` is the user behind it: one method per IRC
verb, entered into the table `VERBS`, called with that verb's parameters; it answers a mistake by raising `Refused`.
`Server` owns nicks, channels and the log, and is what a test holds. `Client` is the other end, for tests and for the
demo's prompt. All runs in callbacks of one event loop: who reads between two awaits sees a consistent state.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import inspect
import itertools
import logging
import re
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import NamedTuple

from bot.errors import MalformedLine
from bot.protocol.casemap import fold, mask_match
from bot.protocol.message import Message, decode, safe

_log = logging.getLogger(__name__)

MAX_BODY, MAX_TAGS = 510, 4096  # bytes of a line without CR LF: the classic 512, and the tags a client may send
MAX_TEXT = {"topic": 390, "away": 200, "kick": 300, "name": 100}  # bytes
NICKLEN, CHANNELLEN, MAX_CHANNELS, MAX_BANS, MAX_TARGETS, MAX_LOG = 30, 64, 100, 100, 20, 10_000
PREFIXES = {"o": "@", "v": "+"}  # in rank order
FLAGS = "imnst"  # channel modes without a parameter

_PLAIN_CAPS = """account-notify account-tag away-notify batch cap-notify chghost echo-message extended-join
invite-notify message-tags multi-prefix server-time setname userhost-in-names"""
CAPS = dict.fromkeys(_PLAIN_CAPS.split(), "") | {"sasl": "PLAIN"}
TAG_CAPS = {"time": "server-time", "account": "account-tag", "batch": "batch"}  # any other tag: message-tags
NO_TAGS: Mapping[str, str] = {}
TAG_ESCAPES = str.maketrans({";": r"\:", " ": r"\s", "\\": r"\\", "\r": r"\r", "\n": r"\n"})

_WORDS = """
401 No such nick/channel | 403 No such channel | 404 Cannot send to channel | 405 You have joined too many channels
| 406 There was no such nickname | 409 No origin specified | 410 Invalid CAP command | 411 No recipient given
| 412 No text to send | 417 Input line was too long | 421 Unknown command | 422 MOTD File is missing
| 431 No nickname given | 432 Erroneous nickname | 433 Nickname is already in use | 441 They aren't on that channel
| 442 You're not on that channel | 443 is already on channel | 451 You have not registered
| 461 Not enough parameters | 462 You may not reregister | 464 Password incorrect | 471 Cannot join channel (+l)
| 472 is unknown mode char to me | 473 Cannot join channel (+i) | 474 Cannot join channel (+b)
| 475 Cannot join channel (+k) | 478 Channel ban list is full | 481 Permission denied: you're not an IRC operator
| 482 You're not channel operator | 491 No operators on this server | 501 Unknown MODE flag
| 502 Can't change mode for other users | 904 SASL authentication failed | 905 SASL message too long
| 906 SASL authentication aborted | 907 You have already authenticated using SASL
"""
ERRORS = {row.strip()[:3]: row.strip()[4:] for row in _WORDS.split("|")}

# Verbs with one answer for everybody: numerics with their parameters, `{}` being that of the verb, and their text.
CANNED: dict[str, list[tuple[str, list[str], str | None]]] = {
    "ADMIN": [("256", [], "Who runs this server"), ("259", [], "The person at the keyboard")],
    "INFO": [("371", [], "The embedded server of neverquit"), ("374", [], "End of /INFO list")],
    "KILL": [("481", [], None)],
    "LINKS": [("365", ["{}"], "End of /LINKS list")],
    "MAP": [("017", [], "End of /MAP")],
    "OPER": [("491", [], None)],
    "STATS": [("219", ["{}"], "End of /STATS report")],
    "WHOWAS": [("406", ["{}"], None), ("369", ["{}"], "End of WHOWAS")],
}

_LINE_END = re.compile(rb"[\r\n]+")
_NICK = re.compile(r"[A-Za-z\[\]\\`_^{|}][A-Za-z0-9\[\]\\`_^{|}-]*")
_CHANNEL = re.compile(r"#[^\x00-\x20,:\x7f]+")


def cut(raw: bytes, limit: int) -> bytes:
    """The longest beginning of `raw` within `limit` bytes that does not end inside a UTF-8 sequence."""
    while len(raw) > limit > 0 and raw[limit] & 0xC0 == 0x80:
        limit -= 1
    return raw[:limit]


def shorten(text: str, what: str) -> str:
    return cut(text.encode("utf-8", "replace"), MAX_TEXT[what]).decode()


def compose(source: str, command: str, params: Iterable[str], text: str | None) -> str:
    """A line without its tags; a parameter that may not stand in the middle is bent until it may."""
    middle = [param.split(" ")[0].lstrip(":") or "*" for param in params]
    return " ".join([f":{source}", command, *middle, *([] if text is None else [f":{text}"])])


def chunks(words: Iterable[str], max_bytes: int = 400) -> Iterator[str]:
    """The words joined by spaces, in as few lines as fit; no words, no line."""
    line = ""
    for word in words:
        if line and len(f"{line} {word}".encode("utf-8", "replace")) > max_bytes:
            yield line
            line = ""
        line = f"{line} {word}" if line else word
    if line:
        yield line


class Logged(NamedTuple):
    """One line that passed; `direction` is `in` (the client said it) or `out` (the client was told it)."""

    nick: str  # `*` before the client has one
    direction: str
    line: str


class Refused(Exception):
    """The verb can't be done: the numeric to answer, and its parameters; the words are in `ERRORS`."""


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


class Link(asyncio.Protocol):
    """One socket: splits what comes in, bounds what goes out."""

    def __init__(self, server: Server) -> None:
        self.server, self.nick, self.host = server, "", "localhost"
        self.transport: asyncio.Transport | None = None
        self.caps: set[str] = set()
        self.gone = False
        self._rest, self._skip = b"", False  # the line that has not ended; whether its beginning was dropped

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        address = str((transport.get_extra_info("peername") or ("localhost",))[0])
        self.host = f"0{address}" if address.startswith(":") else address  # `::1` would end the middle parameters
        self.server.links.add(self)
        if len(self.server.links) > self.server.max_clients:
            self.leave("Too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave("Connection closed" if exc is None else "Connection reset by peer", abrupt=True)
        self.server.unlink(self)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = _LINE_END.split(self._rest + data)
        for line in lines:
            skipped, self._skip = self._skip, False
            if skipped or len(line) > MAX_TAGS + MAX_BODY:
                self.reply("417")
            elif line and not self.gone:
                try:
                    self.line_received(line.replace(b"\0", b""))
                except Exception as error:  # a fault of this server; the client must not pay for it
                    _log.exception("%s sent %r", self.nick or "*", line)
                    self.server.faults.append(f"{line!r}: {error!r}")
        if len(self._rest) > MAX_TAGS + MAX_BODY:
            self._rest, self._skip = b"", True

    def line_received(self, line: bytes) -> None:
        raise NotImplementedError

    def send(self, body: str, tags: Mapping[str, str] = NO_TAGS) -> None:
        """Queue one line, cut to size; of the tags only those that this client asked for."""
        wanted = [
            f"{name}={value.translate(TAG_ESCAPES)}" if value else name
            for name, value in tags.items()
            if TAG_CAPS.get(name, "message-tags") in self.caps
        ]
        head = f"@{';'.join(wanted)} " if wanted else ""
        self.send_bytes(head.encode("utf-8", "replace") + cut(body.encode("utf-8", "replace"), MAX_BODY))

    def send_bytes(self, line: bytes) -> None:
        """Queue one line as it is; a client that does not read is dropped."""
        if self.gone or self.transport is None:
            return
        self.transport.write(line + b"\r\n")
        self.server.note(self.nick, "out", decode(line))
        if self.transport.get_write_buffer_size() > self.server.max_sendq:
            # Not at once: the caller may be walking through the members of a channel.
            asyncio.get_running_loop().call_soon(self.leave, "Max SendQ exceeded", True)

    def reply(self, numeric: str, *params: str, text: str | None = None) -> None:
        """Send a numeric; without `text`, with the words that `ERRORS` has for it."""
        words = ERRORS.get(numeric) if text is None else text
        self.server.relay([self], self.server.name, numeric, self.nick or "*", *params, text=words)

    def leave(self, reason: str, abrupt: bool = False) -> None:
        """Close the socket, after an ERROR line unless `abrupt`."""
        if self.transport is None or self.gone:
            return
        if not abrupt:
            self.send(f"ERROR :Closing link: {self.host} ({reason})")
        self.gone = True
        close = self.transport.abort if abrupt else self.transport.close
        close()


class Verb(NamedTuple):
    run: Callable[..., None]
    needs: int  # parameters
    takes: int
    split: tuple[int, ...]  # the parameters that are comma lists: one call for each item, side by side
    early: bool  # allowed before registration
    missing: tuple[str, ...]  # the answer to too few parameters


VERBS: dict[str, Verb] = {}


def verb(
    *names: str, split: tuple[int, ...] = (), early: bool = False, missing: str = ""
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter a method into `VERBS`; its signature says how many parameters the verb needs and takes."""

    def enter(run: Callable[..., None]) -> Callable[..., None]:
        arguments = list(inspect.signature(run).parameters.values())[1:]
        rest = any(argument.kind == argument.VAR_POSITIONAL for argument in arguments)
        needs = sum(argument.default is argument.empty for argument in arguments) - rest
        takes = MAX_BODY if rest else len(arguments)
        for name in names:
            VERBS[name] = Verb(run, needs, takes, split, early, (missing,) if missing else ("461", name))
        return run

    return enter


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
            for params in _each(heard.params[: row.takes], row.split):
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

    # -- registration and account ---------------------------------------------------------------------------------

    @verb("CAP", early=True)
    def cap(self, sub: str, argument: str = "") -> None:
        sub, offered = sub.upper(), self.server.caps_offered()
        self.negotiating |= sub in ("LS", "REQ") and not self.registered
        if sub in ("LS", "LIST"):
            modern = sub == "LS" and argument.isdecimal() and int(argument[:9]) >= 302
            self.caps |= {"cap-notify"} if modern else set()
            shown = {name: value for name, value in offered.items() if sub == "LS" or name in self.caps}
            words = (f"{name}={value}" if value and modern else name for name, value in shown.items())
            *lines, last = list(chunks(words, self.server.cap_bytes if modern else MAX_BODY)) or [""]
            for line in lines:
                self.cap_reply(sub, "*", text=line)
            self.cap_reply(sub, text=last)
        elif sub == "REQ":
            names = argument.split()
            good = all(name.removeprefix("-") in offered for name in names)
            for name in names if good else ():
                (self.caps.discard if name.startswith("-") else self.caps.add)(name.removeprefix("-"))
            self.cap_reply("ACK" if good else "NAK", text=argument)
        elif sub == "END":
            self.negotiating = False
            self.welcome()
        else:
            raise Refused("410", sub)

    def cap_reply(self, sub: str, *params: str, text: str) -> None:
        self.server.relay([self], self.server.name, "CAP", self.nick or "*", sub, *params, text=text)

    @verb("AUTHENTICATE", early=True)
    def authenticate(self, chunk: str) -> None:
        so_far, self.sasl = self.sasl, None
        if self.account or "sasl" not in self.caps:
            raise Refused("907" if self.account else "904")
        if chunk == "*":
            raise Refused("906")
        if so_far is None:
            if chunk.upper() != "PLAIN":
                self.reply("908", "PLAIN", text="are available SASL mechanisms")
                raise Refused("904")
            self.sasl = ""
            return self.send("AUTHENTICATE +")
        if len(chunk) > 400 or len(so_far) > MAX_TAGS:
            raise Refused("905")
        so_far += "" if chunk == "+" else chunk
        if len(chunk) == 400:
            self.sasl = so_far
            return None
        try:
            _, name, password = base64.b64decode(so_far, validate=True).decode().split("\0")
        except ValueError:
            raise Refused("904") from None
        if not hmac.compare_digest(self.server.accounts.get(name, "\0").encode(), password.encode()):
            raise Refused("904")
        self.log_in(name)
        return self.reply("903", text="SASL authentication successful")

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

    @verb("PASS", early=True)
    def set_password(self, password: str) -> None:
        if self.registered:
            raise Refused("462")
        self.password = password

    @verb("USER", early=True)
    def user(self, ident: str, _mode: str, _unused: str, realname: str) -> None:
        if self.ident:
            raise Refused("462")
        self.ident = re.sub(r"[^A-Za-z0-9._~-]", "", ident)[:10] or "user"
        self.realname = shorten(realname, "name")
        self.welcome()

    @verb("NICK", early=True, missing="431")
    def change_nick(self, nick: str) -> None:
        nicks, folded = self.server.nicks, self.server.fold(nick)
        if not _NICK.fullmatch(nick) or len(nick) > NICKLEN:
            raise Refused("432" if nick else "431", *([nick] if nick else []))
        if nicks.get(folded) not in (None, self):
            raise Refused("433", nick)
        if nick == self.nick:
            return
        if self.registered:
            self.server.relay(self.observers(me=True), self, "NICK", text=nick)
        nicks.pop(self.server.fold(self.nick), None)
        self.nick, nicks[folded] = nick, self
        self.welcome()

    def welcome(self) -> None:
        """End the registration, once NICK and USER are there and CAP, if it was begun, has ended."""
        server = self.server
        if self.registered or self.negotiating or not self.nick or not self.ident:
            return None
        if server.password is not None and not hmac.compare_digest(server.password.encode(), self.password.encode()):
            self.reply("464")
            return self.leave("Bad password")
        if self.sasl is not None:
            self.sasl = None
            self.reply("906")
        self.registered = True
        self.reply("001", text=f"Welcome to the {server.network} IRC network, {self.mask}")
        self.reply("002", text=f"Your host is {server.name}, the embedded server of neverquit")
        self.reply("003", text=f"This server was started {time.strftime('%c', time.gmtime(server.started))} UTC")
        self.reply("004", server.name, "neverquit", "Bi", f"bklov{FLAGS}", "bklov")
        self.tokens()
        self.lusers()
        return self.motd()

    def tokens(self) -> None:
        words = self.server.isupport()
        for first in range(0, len(words), 12):
            self.reply("005", *words[first : first + 12], text="are supported by this server")

    @verb("PING", early=True, missing="409")
    def ping(self, token: str) -> None:
        self.server.relay([self], self.server.name, "PONG", self.server.name, text=token)

    @verb("PONG", early=True)
    def pong(self, *tokens: str) -> None:
        waiting = self.pongs.pop(tokens[-1] if tokens else "", None)
        if waiting and not waiting.done():
            waiting.set_result(None)

    @verb("QUIT", early=True)
    def quit(self, reason: str = "") -> None:
        self.leave(f"Quit: {reason}" if reason else "Client quit")

    @verb("ERROR", early=True)
    def error(self, *_: str) -> None:
        """For servers among themselves."""

    # -- channels -------------------------------------------------------------------------------------------------

    @verb("JOIN", split=(0, 1))
    def join(self, name: str, key: str = "") -> None:
        folded = self.server.fold(name)
        channel = self.server.channels.get(folded)
        if name == "0":
            for each in list(self.channels.values()):
                self.part(each.name)
            return
        if not _CHANNEL.fullmatch(name) or len(name.encode("utf-8", "replace")) > CHANNELLEN:
            raise Refused("403", name)
        if len(self.channels) >= MAX_CHANNELS:
            raise Refused("405", name)
        if channel is None:
            channel = self.server.channels[folded] = Channel(name, self.server.seconds())
        elif self in channel.members:
            return
        elif (numeric := self.obstacle(channel, key)) is not None:
            raise Refused(numeric, channel.name)
        channel.members[self] = set() if channel.members else {"o"}
        self.channels[folded] = channel
        self.invited.discard(channel)
        relay, extended = self.server.relay, [peer for peer in channel.members if "extended-join" in peer.caps]
        relay(extended, self, "JOIN", channel.name, self.account or "*", text=self.realname)
        relay((peer for peer in channel.members if peer not in extended), self, "JOIN", channel.name)
        if self.away:
            others = [peer for peer in channel.members if "away-notify" in peer.caps and peer is not self]
            relay(others, self, "AWAY", text=self.away)
        if channel.topic:
            self.topic(channel.name)
        self.names(channel.name)

    def obstacle(self, channel: Channel, key: str) -> str | None:
        """The numeric that says why I may not join; an invitation lifts all but the key."""
        if channel.modes.get("k", key) != key:
            return "475"
        if self in channel.members or channel in self.invited:
            return None
        if len(channel.members) >= int(channel.modes.get("l", MAX_LOG)):
            return "471"
        return "473" if "i" in channel.modes else "474" if self.banned(channel) else None

    @verb("PART", split=(0,))
    def part(self, name: str, reason: str = "") -> None:
        channel = self.channel(name)
        self.server.relay(channel.members, self, "PART", channel.name, text=reason or None)
        self.server.remove(self, channel)

    @verb("TOPIC")
    def topic(self, name: str, text: str | None = None) -> None:
        channel = self.channel(name, member=text is not None)
        if text is not None:
            self.channel(name, op="t" in channel.modes)
            channel.topic, channel.topic_by = shorten(text, "topic"), (self.mask, str(self.server.seconds()))
            self.server.relay(channel.members, self, "TOPIC", channel.name, text=channel.topic)
        elif channel.topic:
            self.reply("332", channel.name, text=channel.topic)
            self.reply("333", channel.name, *channel.topic_by)
        else:
            self.reply("331", channel.name, text="No topic is set")

    @verb("NAMES", split=(0,))
    def names(self, name: str = "*") -> None:
        channel = self.server.channels.get(self.server.fold(name))
        if channel and self.sees(channel):
            name, full = channel.name, "userhost-in-names" in self.caps
            room = MAX_BODY - len(f":{self.server.name} 353 {self.nick} = {name} :".encode("utf-8", "replace"))
            shown = (peer.prefix(channel, self) + (peer.mask if full else peer.nick) for peer in channel.members)
            for line in chunks(shown, room):
                self.reply("353", "@" if "s" in channel.modes else "=", name, text=line)
        self.reply("366", name, text="End of /NAMES list")

    @verb("KICK", split=(1,))
    def kick(self, name: str, nick: str, reason: str = "") -> None:
        channel, peer = self.channel(name, op=True), self.peer(nick)
        if peer not in channel.members:
            raise Refused("441", peer.nick, channel.name)
        text = shorten(reason or self.nick, "kick")
        self.server.relay(channel.members, self, "KICK", channel.name, peer.nick, text=text)
        self.server.remove(peer, channel)

    @verb("INVITE")
    def invite(self, nick: str, name: str) -> None:
        peer, channel = self.peer(nick), self.channel(name)
        self.channel(name, op="i" in channel.modes)
        if peer in channel.members:
            raise Refused("443", peer.nick, channel.name)
        peer.invited.add(channel)
        self.reply("341", peer.nick, channel.name)
        told = [each for each in channel.members if "invite-notify" in each.caps and each is not self]
        self.server.relay([peer, *told], self, "INVITE", peer.nick, text=channel.name)

    @verb("LIST")
    def list_channels(self, masks: str = "*") -> None:
        self.reply("321", "Channel", text="Users  Name")
        for channel in filter(self.sees, self.server.channels.values()):
            if any(mask_match(mask, channel.name, self.server.casemapping) for mask in masks.split(",")):
                self.reply("322", channel.name, str(len(channel.members)), text=channel.topic)
        self.reply("323", text="End of /LIST")

    @verb("MODE")
    def mode(self, name: str, letters: str = "", *arguments: str) -> None:
        if not name.startswith("#"):
            return self.user_mode(name, letters)
        channel = self.channel(name, member=False)
        if not letters:
            keys = sorted(channel.modes)
            values = [value if self in channel.members else "*" for key in keys if (value := channel.modes[key])]
            self.reply("324", channel.name, f"+{''.join(keys)}", *values)
            return self.reply("329", channel.name, str(channel.created))
        sign, left, changes = "+", list(arguments), list[tuple[str, str, str]]()
        for letter in letters:
            if letter in "+-":
                sign = letter
            elif letter == "b" and not left:
                self.show_bans(channel)
            elif letter not in f"bklov{FLAGS}":
                self.reply("472", letter)
            else:
                self.channel(name, op=not changes)  # asked once: `-o+v me you` is one request
                takes = letter in "bkov" or (letter == "l" and sign == "+")
                argument = left.pop(0) if takes and left else ""
                shown = self.set_mode(channel, sign == "+", letter, argument)
                changes += [(sign, letter, shown)] if shown is not None else []
        if changes:
            runs = itertools.groupby(changes, key=lambda change: change[0])
            summary = "".join(sign + "".join(change[1] for change in run) for sign, run in runs)
            values = [shown for _, _, shown in changes if shown]
            self.server.relay(channel.members, self, "MODE", channel.name, summary, *values)
        return None

    def set_mode(self, channel: Channel, on: bool, letter: str, argument: str) -> str | None:
        """Change one mode; the argument as others shall see it, or None when nothing changed."""
        wants = {"b": ".+", "o": ".+", "v": ".+"} | ({"k": ".+", "l": "0*[1-9][0-9]{0,5}"} if on else {})
        if letter in wants and not re.fullmatch(wants[letter], argument):
            self.reply("461", "MODE")
            return None
        if letter == "b":
            return self.set_ban(channel, on, argument)
        if letter in PREFIXES:
            peer = self.server.find(argument)
            if peer is None or peer not in channel.members:
                self.reply("441" if peer else "401", argument, *([channel.name] if peer else []))
                return None
            return peer.nick if _change(channel.members[peer], letter, on) else None
        value = argument.replace(",", "").lstrip(":")[:23] if letter in "kl" else ""
        if not on:
            before = channel.modes.pop(letter, None)
            return before if before is None or letter == "k" else ""
        before, channel.modes[letter] = channel.modes.get(letter), value
        return None if before == value else value

    def set_ban(self, channel: Channel, on: bool, mask: str) -> str | None:
        if "@" not in mask:
            mask = f"{mask}@*" if "!" in mask else f"{mask}!*@*"
        mask = mask if "!" in mask else f"*!{mask}"
        if not on:
            return mask if channel.bans.pop(mask, None) else None
        if len(channel.bans) >= MAX_BANS:
            self.reply("478", channel.name, mask)
        elif mask not in channel.bans:
            channel.bans[mask] = (self.nick, str(self.server.seconds()))
            return mask
        return None

    def show_bans(self, channel: Channel) -> None:
        for mask, (setter, at) in channel.bans.items():
            self.reply("367", channel.name, mask, setter, at)
        self.reply("368", channel.name, text="End of channel ban list")

    def user_mode(self, nick: str, letters: str) -> None:
        if self.peer(nick) is not self:
            raise Refused("502")
        if not letters:
            return self.reply("221", f"+{''.join(sorted(self.modes))}")
        sign, changes = "+", ""
        for letter in letters:
            if letter in "+-":
                sign = letter
            elif letter not in "iB":
                self.reply("501")
            elif _change(self.modes, letter, sign == "+"):
                changes += sign + letter
        return self.server.relay([self], self, "MODE", self.nick, text=changes) if changes else None

    # -- talking --------------------------------------------------------------------------------------------------

    @verb("PRIVMSG", "NOTICE", "TAGMSG", split=(0,), missing="411")
    def speak(self, target: str, text: str | None = "") -> None:
        command, server = self.heard.command, self.server
        if command == "TAGMSG":
            text = None
        elif not text:
            raise Refused("412")
        self.spoke = server.seconds()
        bare = target.lstrip("@+")
        if bare.startswith("#"):
            channel = self.channel(bare, member=False)
            have = channel.members.get(self)
            outside = have is None and "n" in channel.modes
            if not have and (outside or "m" in channel.modes or self.banned(channel)):
                raise Refused("404", channel.name)
            least = {"": "", "@": "o", "+": "ov"}[target.removesuffix(bare)[:1]]
            to = [peer for peer, letters in channel.members.items() if not least or letters.intersection(least)]
            to, shown = [peer for peer in to if peer is not self], target.removesuffix(bare)[:1] + channel.name
        else:
            peer = self.peer(target)
            to, shown = [peer], peer.nick
            if peer.away and command == "PRIVMSG":
                self.reply("301", peer.nick, text=peer.away)
        tags = server.new_id() | {tag: value for tag, value in self.heard.tags.items() if tag.startswith("+")}
        for reader in [*to, self] if "echo-message" in self.caps else to:
            if command != "TAGMSG" or "message-tags" in reader.caps:
                server.relay([reader], self, command, shown, text=text, tags=tags)

    @verb("AWAY")
    def set_away(self, text: str = "") -> None:
        self.away = shorten(text, "away")
        words = "You have been marked as being away" if self.away else "You are no longer marked as being away"
        self.reply("306" if self.away else "305", text=words)
        self.server.relay(self.observers("away-notify"), self, "AWAY", text=self.away or None)

    @verb("SETNAME")
    def set_name(self, text: str) -> None:
        self.realname = shorten(text, "name")
        self.server.relay(self.observers("setname", me=True), self, "SETNAME", text=self.realname)

    # -- asking ---------------------------------------------------------------------------------------------------

    @verb("WHO")
    def who(self, mask: str = "*", fields: str = "") -> None:
        channel = self.server.channels.get(self.server.fold(mask))
        shared, mapping = self.observers(me=True), self.server.casemapping
        if mask.startswith("#"):
            found = list(channel.members) if channel and self.sees(channel) else []
        else:
            found = [
                peer
                for peer in self.server.clients.values()
                if any(mask_match(mask, part, mapping) for part in (peer.nick, peer.ident, peer.host))
                and ("i" not in peer.modes or peer in shared or self.server.find(mask) is peer)
            ]
        for peer in found:
            where, here = channel.name if channel else "*", "G" if peer.away else "H"
            flags = here + ("B" if "B" in peer.modes else "") + peer.prefix(channel, self)
            if fields.startswith("%"):
                self.whox(peer, where, flags, *fields[1:].partition(",")[::2])
            else:
                user = (peer.ident, peer.host, self.server.name, peer.nick)
                self.reply("352", where, *user, flags, text=f"0 {peer.realname}")
        self.reply("315", mask, text="End of /WHO list")

    def whox(self, peer: Peer, where: str, flags: str, letters: str, token: str) -> None:
        """354: the fields asked for, in the order that WHOX fixes."""
        idle = str(self.server.seconds() - peer.spoke)
        values = (token or "0", where, peer.ident, peer.host, peer.host, self.server.name, peer.nick, flags, "0", idle)
        rows = zip("tcuihsnfdlao", (*values, peer.account or "0", "n/a"), strict=True)
        shown = [value for letter, value in rows if letter in letters]
        self.reply("354", *shown, text=peer.realname if "r" in letters else None)

    @verb("WHOIS", missing="431")
    def whois(self, nick: str, after_server: str = "") -> None:
        peer = self.server.find(after_server or nick)
        rows = self.describe(peer) if peer else [("401", [], ERRORS["401"])]
        for numeric, words, text in [*rows, ("318", [], "End of /WHOIS list")]:
            if text:
                self.reply(numeric, peer.nick if peer else after_server or nick, *words, text=text)

    def describe(self, peer: Peer) -> list[tuple[str, list[str], str]]:
        """The rows of a WHOIS; one without text has nothing to say."""
        name, idle = self.server.name, str(self.server.seconds() - peer.spoke)
        seen = (peer.prefix(each, self) + each.name for each in peer.channels.values() if self.sees(each))
        secure = peer.transport is not None and peer.transport.get_extra_info("ssl_object") is not None
        return [
            ("311", [peer.ident, peer.host, "*"], peer.realname or peer.nick),
            *(("319", list[str](), line) for line in chunks(seen)),
            ("312", [name], self.server.network),
            ("301", [], peer.away),
            ("335", [], "is a bot" if "B" in peer.modes else ""),
            ("330", [peer.account], "is logged in as" if peer.account else ""),
            ("671", [], "is using a secure connection" if secure else ""),
            ("317", [idle, str(peer.since)], "seconds idle, signon time"),
        ]

    @verb("USERHOST")
    def userhost(self, nick: str, *more: str) -> None:
        found = filter(None, map(self.server.find, (nick, *more)))
        self.reply("302", text=" ".join(f"{p.nick}={'-' if p.away else '+'}{p.ident}@{p.host}" for p in found))

    @verb("ISON")
    def ison(self, nick: str, *more: str) -> None:
        found = filter(None, map(self.server.find, " ".join((nick, *more)).split()))
        self.reply("303", text=" ".join(peer.nick for peer in found))

    @verb("MOTD")
    def motd(self) -> None:
        if not self.server.motd:
            raise Refused("422")
        self.reply("375", text=f"- {self.server.name} Message of the day -")
        for line in self.server.motd:
            self.reply("372", text=f"- {line}")
        self.reply("376", text="End of /MOTD command")

    @verb("LUSERS")
    def lusers(self) -> None:
        users = str(len(self.server.clients))
        self.reply("251", text=f"There are {users} users and 0 invisible on 1 server")
        self.reply("254", str(len(self.server.channels)), text="channels formed")
        self.reply("255", text=f"I have {users} clients and 0 servers")

    @verb("TIME")
    def tell_time(self) -> None:
        now = time.strftime("%A %B %d %Y %H:%M:%S UTC", time.gmtime(self.server.seconds()))
        self.reply("391", self.server.name, text=now)

    @verb("VERSION")
    def version(self) -> None:
        self.reply("351", "neverquit", self.server.name, text="the embedded server of neverquit")
        self.tokens()

    @verb(*CANNED)
    def canned(self, argument: str = "*") -> None:
        for numeric, words, text in CANNED[self.heard.command]:
            self.reply(numeric, *(word.format(argument) for word in words), text=text)


def _each(params: tuple[str, ...], split: tuple[int, ...]) -> Iterator[tuple[str, ...]]:
    """The parameters, once for each item of the comma lists at `split`; a list that is too short ends in empty ones."""
    lists = [params[place].split(",")[:MAX_TARGETS] for place in split if place < len(params)]
    if not lists:
        yield params
    for items in itertools.zip_longest(*lists, fillvalue=""):
        if items[0]:
            yield tuple(items[split.index(n)] if n in split else param for n, param in enumerate(params))


def _change(held: set[str], letter: str, on: bool) -> bool:
    """Put a letter into a set or take it out; whether that changed the set."""
    if (letter in held) == on:
        return False
    (held.add if on else held.discard)(letter)
    return True


class Server:
    """The server, as a test or the demo holds it.

    Args:
        accounts: name -> password for SASL PLAIN; while it is empty, `sasl` is not offered.
        tls: a server's context; then every connection is TLS.
        casemapping: `ascii`, `rfc1459` or `rfc1459-strict`; what 005 says.
        password: what PASS must say; None: an open server.
        max_sendq: bytes that may wait for a client that does not read.
        now: seconds since 1970, for `time` tags and ages.
    """

    cap_bytes = 400  # of capabilities in one line of CAP LS 302; lower it to see several lines
    motd: tuple[str, ...] = ("Welcome.",)

    def __init__(
        self,
        name: str = "irc.demo",
        network: str = "demo",
        accounts: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
        casemapping: str = "rfc1459",
        *,
        password: str | None = None,
        max_clients: int = 256,
        max_sendq: int = 1 << 20,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.name, self.network, self.accounts, self.tls = name, network, {} if accounts is None else accounts, tls
        self.casemapping, self.password, self.now = casemapping, password, now
        self.max_clients, self.max_sendq, self.started = max_clients, max_sendq, int(now())
        self.caps = dict(CAPS)
        self.nicks: dict[str, Peer] = {}  # folded; also of those who still register
        self.channels: dict[str, Channel] = {}  # by folded name
        self.links: set[Link] = set()
        self.log: deque[Logged] = deque(maxlen=MAX_LOG)
        self.faults: list[str] = []  # exceptions of this server itself; a test wants none
        self._listener: asyncio.Server | None = None
        self._passed = 0  # lines ever logged
        self._ids = itertools.count(1)
        self._waiting: dict[asyncio.Future[Logged], Callable[[str, str, str], bool]] = {}
        self._closing: asyncio.Future[None] | None = None

    # -- for those who hold it ------------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; after `stop` it may be started again, on the same port too."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Peer(self), host, port, ssl=self.tls)

    @property
    def port(self) -> int:
        """The port it listens on; RuntimeError while it does not."""
        if self._listener is None:
            raise RuntimeError("the server is not listening: await server.start() first")
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and close every connection; returns when all are closed, within a second or so."""
        if self._listener is None:
            return
        self._listener.close()
        self._listener = None
        self._closing = asyncio.get_running_loop().create_future()
        for link in list(self.links):
            link.leave("Server shutting down")
        if self.links:
            late = asyncio.get_running_loop().call_later(1, self.abort)  # those who don't read their ERROR
            await self._closing
            late.cancel()

    def abort(self) -> None:
        """Close every socket at once, what is unsent being lost; their users quit as soon as the loop turns."""
        for link in list(self.links):
            if link.transport:
                link.transport.abort()

    @property
    def clients(self) -> dict[str, Peer]:
        """The registered clients by nick."""
        return {peer.nick: peer for peer in self.nicks.values() if peer.registered}

    def client(self, nick: str) -> Peer:
        """The registered client of that nick; KeyError without one."""
        peer = self.find(nick)
        if peer is None:
            raise KeyError(f"nobody is called {nick} here; there are {', '.join(self.clients) or 'no clients'}")
        return peer

    async def barrier(self, nick: str, timeout: float = 10) -> None:
        """Return once all that this client sent before is handled: it has answered a PING sent now.

        Raises:
            ConnectionError: it left instead. TimeoutError: it does not answer.
        """
        peer, token = self.client(nick), f"barrier-{next(self._ids)}"
        peer.pongs[token] = asyncio.get_running_loop().create_future()
        try:
            peer.send(f"PING :{token}")
            async with asyncio.timeout(timeout):  # not `wait_for`, which may swallow a cancellation (Python 3.11)
                await peer.pongs[token]
        finally:
            peer.pongs.pop(token, None)

    def mark(self) -> int:
        """This moment in the log, for `wait_for(since=...)`."""
        return self._passed

    async def wait_for(
        self, predicate: Callable[[str, str, str], bool], *, since: int | None = None, timeout: float = 10
    ) -> Logged:
        """The first line from now on, or since a `mark`, for which `predicate(nick, direction, line)` holds.

        Raises:
            TimeoutError: none came; its text shows the last lines that did.
        """
        old = 0 if since is None else self._passed - since
        for entry in list(self.log)[max(0, len(self.log) - old) :]:
            if predicate(*entry):
                return entry
        found: asyncio.Future[Logged] = asyncio.get_running_loop().create_future()
        self._waiting[found] = predicate
        try:
            async with asyncio.timeout(timeout):
                return await found
        except TimeoutError:
            last = "\n  ".join(" ".join(entry) for entry in list(self.log)[-10:])
            raise TimeoutError(f"no such line within {timeout} s; the last ones:\n  {last}") from None
        finally:
            del self._waiting[found]

    def login(self, nick: str, account: str) -> None:
        """Log a client in, as services would; tells those who asked for account-notify."""
        self.client(nick).log_in(account)

    def logout(self, nick: str) -> None:
        self.client(nick).log_in("")

    def say(self, source: str, target: str, text: str, command: str = "PRIVMSG") -> None:
        """Say something as `source`, a client's nick or any `nick!ident@host`, to a channel or a nick."""
        origin = self.find(source) or (source if "!" in source else f"{source}!{source}@{self.name}")
        channel = self.channels.get(self.fold(target))
        to = [peer for peer in channel.members if peer is not origin] if channel else [self.client(target)]
        shown = channel.name if channel else to[0].nick
        self.relay(to, origin, safe(command), shown, text=safe(text), tags=self.new_id())

    def send_raw(self, nick: str, line: str | bytes) -> None:
        """Send a client these very bytes and CR LF, however wrong they are."""
        self.client(nick).send_bytes(line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape"))

    def replay(self, nick: str, channel: str, said: Iterable[tuple[str, str]]) -> None:
        """Send a client `(mask, text)` lines as the channel's history: in a `chathistory` batch if it knows batches."""
        peer, batch = self.client(nick), f"history{next(self._ids)}"
        self.relay([peer] if "batch" in peer.caps else [], self.name, "BATCH", f"+{batch}", "chathistory", channel)
        for mask, text in said:
            self.relay([peer], mask, "PRIVMSG", channel, text=safe(text), tags={"batch": batch})
        self.relay([peer] if "batch" in peer.caps else [], self.name, "BATCH", f"-{batch}")

    def change_host(self, nick: str, ident: str, host: str) -> None:
        """Give a client another ident and host; tells those who asked for chghost."""
        peer = self.client(nick)
        self.relay(peer.observers("chghost", me=True), peer, "CHGHOST", ident, host)
        peer.ident, peer.host = ident, host

    def offer(self, cap: str, value: str = "") -> None:
        """Offer a capability from now on, with CAP NEW."""
        self.caps[cap] = value
        for peer in [peer for peer in self.clients.values() if "cap-notify" in peer.caps]:
            peer.cap_reply("NEW", text=f"{cap}={value}" if value else cap)

    def withdraw(self, cap: str) -> None:
        """Offer a capability no longer, with CAP DEL."""
        del self.caps[cap]
        for peer in self.clients.values():
            peer.caps.discard(cap)
            if "cap-notify" in peer.caps:
                peer.cap_reply("DEL", text=cap)

    def kill(self, nick: str) -> None:
        """Close a client's socket without a word, as a broken network would."""
        self.client(nick).leave("Connection reset by peer", abrupt=True)

    # -- for its links and peers ----------------------------------------------------------------------------------

    def seconds(self) -> int:
        return int(self.now())

    def new_id(self) -> dict[str, str]:
        return {"msgid": f"{self.started:x}-{next(self._ids):x}"}

    def fold(self, text: str) -> str:
        return fold(text, self.casemapping)

    def find(self, nick: str) -> Peer | None:
        peer = self.nicks.get(self.fold(nick))
        return peer if peer and peer.registered else None

    def caps_offered(self) -> dict[str, str]:
        return {name: value for name, value in self.caps.items() if name != "sasl" or self.accounts}

    def isupport(self) -> list[str]:
        """The tokens of 005."""
        return (
            f"AWAYLEN={MAX_TEXT['away']} BOT=B CASEMAPPING={self.casemapping} CHANLIMIT=#:{MAX_CHANNELS} "
            f"CHANMODES=b,k,l,{FLAGS} CHANNELLEN={CHANNELLEN} CHANTYPES=# KEYLEN=23 "
            f"KICKLEN={MAX_TEXT['kick']} LINELEN={MAX_BODY + 2} MAXLIST=b:{MAX_BANS} MAXTARGETS={MAX_TARGETS} MODES=20 "
            f"NAMELEN={MAX_TEXT['name']} NETWORK={self.network} NICKLEN={NICKLEN} PREFIX=(ov)@+ STATUSMSG=@+ "
            f"TOPICLEN={MAX_TEXT['topic']} USERLEN=10 WHOX"
        ).split()

    def relay(
        self,
        to: Iterable[Link],
        origin: Peer | str,
        command: str,
        *params: str,
        text: str | None = None,
        tags: Mapping[str, str] = NO_TAGS,
    ) -> None:
        """Tell some clients one line from a peer or a mask; `text` is the last parameter, behind a colon."""
        peer = origin if isinstance(origin, Peer) else None
        body = compose(peer.mask if peer else str(origin), command, params, text)
        at = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="milliseconds")
        stamp = {"time": at.removesuffix("+00:00") + "Z"} | ({"account": peer.account} if peer and peer.account else {})
        for link in list(to):
            link.send(body, stamp | dict(tags))

    def remove(self, peer: Peer, channel: Channel) -> None:
        """Take a peer out of a channel; the last one closes it."""
        del channel.members[peer], peer.channels[self.fold(channel.name)]
        if not channel.members:
            del self.channels[self.fold(channel.name)]

    def unlink(self, link: Link) -> None:
        self.links.discard(link)
        if self._closing and not self._closing.done() and not self.links:
            self._closing.set_result(None)

    def note(self, nick: str, direction: str, line: str) -> None:
        entry = Logged(nick or "*", direction, line)
        self.log.append(entry)
        self._passed += 1
        for found, predicate in [item for item in self._waiting.items() if not item[0].done()]:
            try:
                if predicate(*entry):
                    found.set_result(entry)
            except Exception as error:  # the mistake is with whoever waits, not with whoever spoke
                found.set_exception(error)


class Client:
    """A small IRC client for tests and the demo's prompt: it registers, answers PING and keeps what it hears."""

    def __init__(self, nick: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.nick, self._reader, self._writer = nick, reader, writer
        self.lines: list[str] = []  # raw, as heard; the oldest go when there are many
        self.on_line: Callable[[str], None] | None = None
        self._next = 0  # where `expect` goes on
        self._more = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def connect(
        cls,
        host: str,
        port: int,
        nick: str,
        tls: ssl.SSLContext | None = None,
        account: str | None = None,
        password: str | None = None,
        caps: str = "",
    ) -> Client:
        """Connect and register, with SASL PLAIN if there is an account; `caps` as in CAP REQ.

        Raises:
            ConnectionRefusedError: the server does not want it; the text is its line.
        """
        client = cls(nick, *await asyncio.open_connection(host, port, ssl=tls))
        plain = base64.b64encode(f"\0{account}\0{password}".encode()).decode()
        lines = [f"CAP REQ :{caps}{' sasl' * bool(account)}"] if caps or account else []
        lines += ["AUTHENTICATE PLAIN", f"AUTHENTICATE {plain}"] if account else []
        for line in [*lines, f"NICK {nick}", f"USER {nick} 0 * :{nick}", "CAP END"]:
            client.send(line)
        answer = await client.expect(re.compile(r" (001|43[1-7]|46[45]|90[24-7]|CAP \S+ NAK) |^ERROR ").search)
        if " 001 " not in answer:
            await client.close()
            raise ConnectionRefusedError(answer)
        return client

    def send(self, line: str) -> None:
        self._writer.write(safe(line).encode("utf-8", "surrogateescape") + b"\r\n")

    def privmsg(self, target: str, text: str) -> None:
        self.send(f"PRIVMSG {target} :{text}")

    async def expect(self, wanted: str | Callable[[str], object], timeout: float = 10) -> str:
        """The next line, after the one expected before, that holds this text or for which this is true.

        Raises:
            TimeoutError: none came. ConnectionError: the server closed the connection first.
        """
        fits = (lambda line: wanted in line) if isinstance(wanted, str) else wanted
        try:
            async with asyncio.timeout(timeout):
                while True:
                    while self._next < len(self.lines):
                        self._next += 1
                        if fits(self.lines[self._next - 1]):
                            return self.lines[self._next - 1]
                    if self._reading.done():
                        raise ConnectionResetError(f"{self.nick}: closed; the last line: {self.lines[-1:]}")
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            last = "\n  ".join(self.lines[-10:])
            raise TimeoutError(f"{self.nick} heard no {wanted!r} within {timeout} s; the last:\n  {last}") from None

    async def close(self) -> None:
        """Say QUIT and wait until the server has closed."""
        if not self._reading.done():
            self.send("QUIT")
        await self._reading
        self._writer.close()

    async def _read(self) -> None:
        try:
            while line := await self._reader.readline():
                text = decode(line.rstrip(b"\r\n"))
                if text.startswith("PING "):
                    self.send(f"PONG {text[5:]}")
                self.lines.append(text)
                if len(self.lines) > MAX_LOG:
                    del self.lines[0]
                    self._next = max(0, self._next - 1)
                self._more.set()
                if self.on_line:
                    self.on_line(text)
        except (OSError, ValueError):  # reset, or a line without end
            pass
        finally:
            self._more.set()
