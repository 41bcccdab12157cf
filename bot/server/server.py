"""`Server`: nicks, channels and the log; what a test or the demo holds, and what peers and verbs act on."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

from bot.protocol.casemap import fold
from bot.protocol.message import safe
from bot.server.faults import Faults
from bot.server.lines import CAPS, MAX_BODY, NO_TAGS, compose
from bot.server.link import Link
from bot.server.peer import Channel, Peer, Said
from bot.server.record import Record
from bot.server.registering import welcome

if TYPE_CHECKING:
    from bot.server.services import NickServ
    from bot.server.splits import Places


class Server(Record):
    """The server, as a test or the demo holds it.

    Args:
        accounts: name -> password, for SASL and `services`; without any login `sasl` is not offered.
        tls: a server's context; then every connection is TLS.
        casemapping: `ascii`, `rfc1459` or `rfc1459-strict`; what 005 says.
        password: what PASS must say; None: an open server.
        max_sendq: bytes that may wait for a client that does not read.
        now: seconds since 1970, for `time` tags and ages.
    """

    # What else may be set, best before anybody connects.
    cap_bytes = 400  # of capabilities in one line of CAP LS 302; lower it to see several lines
    max_body = MAX_BODY  # bytes of a line without its tags and CR LF; told as LINELEN
    motd: tuple[str, ...] = ("Welcome.",)
    chantypes = "#"
    denied_tags = ""  # CLIENTTAGDENY: `*,-typing`
    utf8_only = False
    history = 0  # lines of each channel that CHATHISTORY can tell; 0: none, and it is not offered
    playback = 0  # lines of its history that who joins a channel is told at once
    sts_seconds: int | None = None  # how long clients shall keep to TLS; None: `sts` is not offered

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
        super().__init__()
        self.faults = Faults()
        self.caps = dict(CAPS)
        self.prefixes = {"o": "@", "v": "+"}  # in rank order; who is alone in a channel gets `o`, or else the first
        self.fingerprints: dict[str, str] = {}  # SHA-256 of a client's certificate, in hexadecimal -> account
        self.public_keys: dict[str, str] = {}  # account -> key of ECDSA-NIST256P-CHALLENGE, see `ecdsa`
        self.held: dict[str, str] = {}  # folded nicks that nobody may take -> the numeric that says so
        self.nickserv: NickServ | None = None
        self.watchers: dict[str, dict[Peer, None]] = {}  # by folded nick: who has it in their list of MONITOR
        self.beyond: dict[Peer, Places] = {}  # a netsplit
        self._away: tuple[NickServ | None, str | None] | None = None  # services: their user, and the offer of sasl
        self.nicks: dict[str, Peer] = {}  # folded; also of those who still register
        self.channels: dict[str, Channel] = {}  # by folded name
        self.links: set[Link] = set()
        self._listeners: list[asyncio.Server] = []  # the second one is that of `start_tls`
        self._ids = itertools.count(1)
        self._closing: asyncio.Future[None] | None = None

    # -- for those who hold it ------------------------------------------------------------------------------------

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; after `stop` it may be started again, on the same port too."""
        await self._listen(host, port, self.tls)

    async def start_tls(self, tls: ssl.SSLContext, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen on one more port, for TLS alone; after `start`."""
        await self._listen(host, port, tls)

    async def _listen(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        loop = asyncio.get_running_loop()
        self._listeners.append(await loop.create_server(lambda: Peer(self), host, port, ssl=tls))

    @property
    def port(self) -> int:
        """The port it listens on; RuntimeError while it does not."""
        if not self._listeners:
            raise RuntimeError("the server is not listening: await server.start() first")
        return int(self._listeners[0].sockets[0].getsockname()[1])

    @property
    def tls_port(self) -> int:
        """The port of `start_tls`."""
        return int(self._listeners[1].sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Stop listening and close every connection; returns when all are closed, within a second or so."""
        if not self._listeners:
            return
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()
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

    def send_raw(self, nick: str, line: str | bytes, end: bytes = b"\r\n") -> None:
        """Send a client these very bytes and `end`, however wrong they are; half a line is one with the end `b""`."""
        raw = line if isinstance(line, bytes) else line.encode("utf-8", "surrogateescape")
        self.client(nick).send_bytes(raw, end)

    def cut_off(self, nick: str, rest: bytes = b"") -> None:
        """Close a client's socket in the middle of a line, of which it gets this much; nothing else is said."""
        peer = self.client(nick)
        peer.send_bytes(rest, b"")
        peer.leave("Connection reset by peer", quiet=True)

    def mute(self, nick: str, on: bool = True) -> None:
        """Say nothing more to a client, whatever it asks; with `on` false, again."""
        self.client(nick).muted = on

    def deafen(self, nick: str, on: bool = True) -> None:
        """Read nothing more from a client; with `on` false, again."""
        transport = self.client(nick).transport
        if transport:
            (transport.pause_reading if on else transport.resume_reading)()

    def let_in(self) -> None:
        """End `Faults.hold_welcome`: who waits for their 001 gets it."""
        self.faults.hold_welcome = False
        for peer in list(self.nicks.values()):
            welcome(peer)

    def replay(self, nick: str, channel: str, said: Iterable[tuple[str, str]], age: float = 0) -> None:
        """Send a client `(mask, text)` lines as the channel's history, all of them `age` seconds old: in a
        `chathistory` batch if it knows batches."""
        at = self.now() - age
        self.play_back(self.client(nick), channel, [Said(at, mask, "PRIVMSG", safe(text), {}) for mask, text in said])

    def populate(self, nicks: Iterable[str], *channels: str, letters: str = "") -> None:
        """Have people without a socket here and in these channels; who hears nothing says nothing. They come silently,
        with these channel modes, and can be split off, renamed or made to `leave` as others can."""
        for nick in nicks:
            peer = Peer(self)
            peer.nick, peer.ident, peer.realname, peer.registered = nick, "people", nick, True
            self.nicks[self.fold(nick)] = peer
            for name in channels:
                channel = self.channels.setdefault(self.fold(name), Channel(name, self.seconds()))
                channel.members[peer], peer.channels[self.fold(name)] = set(letters), channel

    def split(self, nicks: Iterable[str], near: str = "", far: str = "far.demo") -> None:
        """Take clients beyond a netsplit: the others see them quit, until `rejoin`. See `splits`."""
        import_module("bot.server.splits").split(self, nicks, near or self.name, far)

    def rejoin(self, near: str = "", far: str = "far.demo") -> None:
        """Bring all back from beyond the split."""
        import_module("bot.server.splits").rejoin(self, near or self.name, far)

    def services_leave(self) -> None:
        """The services go away: `sasl` is withdrawn and answers 904, `nickserv` is nobody any more."""
        if self._away is None:
            self._away = self.nickserv, self.caps.get("sasl")
            for link in self.links:
                if isinstance(link, Peer) and link.exchange:
                    link.exchange = None
                    link.reply("904")
            if "sasl" in self.caps:
                self.withdraw("sasl")
            if self.nickserv:
                self.nicks.pop(self.fold(self.nickserv.nick), None)
                self.nickserv = None

    def services_return(self) -> None:
        """They are back, with what they offered before."""
        if self._away is not None:
            (self.nickserv, offer), self._away = self._away, None
            if offer is not None:
                self.offer("sasl", offer)
            if self.nickserv:
                self.nicks[self.fold(self.nickserv.nick)] = self.nickserv

    def change_host(self, nick: str, ident: str, host: str) -> None:
        """Give a client another ident and host; tells those who asked for chghost."""
        peer = self.client(nick)
        self.relay(peer.observers("chghost", me=True), peer, "CHGHOST", ident, host)
        peer.ident, peer.host = ident, host

    def offer(self, cap: str, value: str = "") -> None:
        """Offer a capability from now on, with CAP NEW."""
        self.caps[cap] = value
        for peer in [peer for peer in self._peers() if "cap-notify" in peer.caps]:
            peer.cap_reply("NEW", text=f"{cap}={value}" if value else cap)

    def withdraw(self, cap: str) -> None:
        """Offer a capability no longer, with CAP DEL."""
        del self.caps[cap]
        for peer in self._peers():
            peer.caps.discard(cap)
            if "cap-notify" in peer.caps:
                peer.cap_reply("DEL", text=cap)

    def kill(self, nick: str) -> None:
        """Close a client's socket without a word, as a broken network would."""
        self.client(nick).leave("Connection reset by peer", abrupt=True)

    def standard_reply(self, nick: str, kind: str, command: str, code: str, *context: str, text: str) -> None:
        """Send a client FAIL, WARN or NOTE."""
        self.client(nick).fail(command, code, *context, text=text, kind=kind)

    # -- for its links and peers ----------------------------------------------------------------------------------

    def _peers(self) -> list[Peer]:
        """Those with a socket, also while they register."""
        return [link for link in self.links if isinstance(link, Peer)]

    @property
    def operator(self) -> str:
        """The letter of who may do what operators may."""
        return "o" if "o" in self.prefixes else next(iter(self.prefixes), "o")

    def is_channel(self, target: str) -> bool:
        return target[:1] != "" and target[0] in self.chantypes

    def account_named(self, name: str) -> str:
        """The account of that name, however it is written; empty: there is none."""
        return next((account for account in self.accounts if self.fold(account) == self.fold(name)), "")

    def seconds(self) -> int:
        return int(self.now())

    def new_id(self) -> dict[str, str]:
        return {"msgid": f"{self.started:x}-{next(self._ids):x}"}

    def fold(self, text: str) -> str:
        return fold(text, self.casemapping)

    def find(self, nick: str) -> Peer | None:
        peer = self.nicks.get(self.fold(nick))
        return peer if peer and peer.registered else None

    def new_batch(self) -> str:
        return f"b{next(self._ids):x}"

    def rename(self, peer: Peer, nick: str) -> None:
        """Give a peer another nick, as they wished or not, and tell whom it concerns."""
        if nick == peer.nick:
            return
        if peer.registered:
            self.relay(peer.observers(me=True), peer, "NICK", text=nick)
        other = self.fold(nick) != self.fold(peer.nick)
        if peer.registered and other:
            self.spotted(peer, False)
        if self.nicks.get(self.fold(peer.nick)) is peer:
            del self.nicks[self.fold(peer.nick)]
        peer.nick, self.nicks[self.fold(nick)] = nick, peer
        if peer.registered and other:
            self.spotted(peer, True)

    def spotted(self, peer: Peer, here: bool) -> None:
        """Tell those who watch this nick that it is here now, or no longer."""
        for watcher in list(self.watchers.get(self.fold(peer.nick), ())):
            watcher.reply("730" if here else "731", text=peer.mask if here else peer.nick)
        if here and self.nickserv:
            self.nickserv.meet(peer)

    def forget(self, watcher: Peer) -> None:
        """Empty somebody's list of MONITOR."""
        for folded in watcher.watched:
            self.watchers.get(folded, {}).pop(watcher, None)
        watcher.watched.clear()

    def remember(self, channel: Channel, said: Said) -> None:
        if self.history:
            channel.history.append(said)
            while len(channel.history) > self.history:
                channel.history.popleft()

    def play_back(self, peer: Peer, channel: Channel | str, lines: Iterable[Said] | None = None) -> None:
        """Tell somebody these lines of a channel, or the last ones of it."""
        if lines is None:
            lines = list(channel.history)[-self.playback :] if isinstance(channel, Channel) else []
            if not lines:
                return
        name, batch = channel.name if isinstance(channel, Channel) else channel, self.new_batch()
        knows = [peer] if "batch" in peer.caps else []
        self.relay(knows, self.name, "BATCH", f"+{batch}", "chathistory", name)
        for at, mask, command, text, tags in lines:
            self.relay([peer], mask, command, name, text=text, tags={**tags, "time": _stamp(at), "batch": batch})
        self.relay(knows, self.name, "BATCH", f"-{batch}")

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
        stamp = {"time": _stamp(self.now())}
        if peer and peer.account:
            stamp["account"] = peer.account
        if peer and "B" in peer.modes:
            stamp["bot"] = ""
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


def _stamp(at: float) -> str:
    """Seconds since 1970 as the tag `time` has it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
