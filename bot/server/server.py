"""`Server`: nicks, channels and the log; what a test or the demo holds, and what peers and verbs act on."""

from __future__ import annotations

import asyncio
import itertools
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime

from bot.protocol.casemap import fold
from bot.protocol.message import safe
from bot.server.lines import (
    CAPS,
    CHANNELLEN,
    FLAGS,
    MAX_BANS,
    MAX_BODY,
    MAX_CHANNELS,
    MAX_LOG,
    MAX_TARGETS,
    MAX_TEXT,
    NICKLEN,
    NO_TAGS,
    compose,
)
from bot.server.link import Link, Logged
from bot.server.peer import Channel, Peer


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
        self.crashes: list[str] = []  # exceptions of this server itself; a test wants none
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
