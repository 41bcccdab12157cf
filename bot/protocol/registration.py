"""From the open socket to 001: capabilities, SASL, nick and user, as a machine that messages are fed to.

`start` and `feed` return what to send now; sending, deadlines, leaving and coming back are left to
`wire/connection.py`, which looks at `done` and `failure`. Capabilities go on changing after 001 (CAP NEW, DEL), so
feed it all lines of a connection; one machine serves one connection. What is enabled stands in `caps`, and whoever
trusts a tag asks there.

Follows https://ircv3.net/specs/extensions/capability-negotiation, https://ircv3.net/specs/extensions/sasl-3.2 and
RFC 4616 (PLAIN).
"""

from __future__ import annotations

import base64
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from bot.protocol import numerics as n
from bot.protocol.message import Message, is_target

# In the order they are asked for; together well below one line, so that the server's ACK is one line as well.
# `batch` is there so that replayed history can be told from what is said now.
WANTED = (
    *("message-tags", "server-time", "account-tag", "account-notify", "extended-join", "multi-prefix"),
    *("userhost-in-names", "away-notify", "chghost", "setname", "cap-notify", "invite-notify", "batch"),
    "standard-replies",
    *("echo-message", "labeled-response", "draft/multiline"),
)

_MAX_OFFERED = 256
_MADE_UP_NICKS = 6
_CHUNK = 400  # characters of base64 in one AUTHENTICATE, by the specification


@dataclass(frozen=True, slots=True)
class Sasl:
    """How to log in to services.

    Attributes:
        mechanisms: in order of preference; those that we don't speak are passed over.
        required: without an account, rather leave than go on.
        plain_without_tls: allow the password to be sent in the clear.
    """

    username: str
    password: str = field(repr=False)
    mechanisms: tuple[str, ...] = ("PLAIN",)
    required: bool = True
    plain_without_tls: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we want to be on a network."""

    nick: str
    alternatives: tuple[str, ...] = ()
    ident: str = ""
    realname: str = ""
    password: str | None = field(default=None, repr=False)
    sasl: Sasl | None = None


def _plain(sasl: Sasl) -> bytes:
    return f"\0{sasl.username}\0{sasl.password}".encode()


# Mechanism -> its first and only response. A mechanism with several steps will be one more row.
MECHANISMS: dict[str, Callable[[Sasl], bytes]] = {"PLAIN": _plain}


class Registration:
    """The registration of one connection.

    Attributes:
        nick: the nick last asked for; after 001 the one the server gave us (later changes are the roster's).
        caps: what is enabled now.
        offered: what the server has, with values.
        done: 001 has come.
        failure: why this connection is of no use, as a sentence, or None. Nothing is sent any more: leave.
        remark: what went wrong without ending it (SASL that was not required), for the log, or None.
        account: the services account we are logged in to, or None.
    """

    def __init__(self, identity: Identity, tls: bool) -> None:
        self.identity = identity
        self.nick = identity.nick
        self.caps: set[str] = set()
        self.offered: dict[str, str] = {}
        self.done = False
        self.failure: str | None = None
        self.remark: str | None = None
        self.account: str | None = None
        self._tls = tls
        self._nicks = _nicks(identity)
        self._requests: deque[tuple[str, ...]] = deque()  # sent, not yet answered; servers answer in order
        self._listing = True  # LS is not complete yet
        self._negotiating = True  # CAP END has not been sent
        self._mechanism = ""  # the one being tried
        self._responded = False  # its response is on the way
        self._tried: set[str] = set()

    def saved(self) -> list[Any]:
        """Return how things stand as JSON values, for `resumed`; ask when it is done."""
        asked = [list(request) for request in self._requests]
        login = [self._mechanism, self._responded, sorted(self._tried)]
        return [self.nick, sorted(self.caps), dict(self.offered), self.account, asked, login]

    @classmethod
    def resumed(cls, identity: Identity, tls: bool, saved: Iterable[Any]) -> Registration:
        """Return the registration of a connection that another worker has registered.

        Raises:
            ValueError, TypeError: this is not what `saved` gave.
        """
        self = cls(identity, tls)
        nick, caps, offered, self.account, asked, (mechanism, responded, tried) = saved
        self.nick, self.caps, self.offered = str(nick), set(caps), dict(offered)
        self._requests.extend(tuple(request) for request in asked)
        self._mechanism, self._responded, self._tried = str(mechanism), bool(responded), set(tried)
        self.done, self._listing, self._negotiating = True, False, False
        return self

    def start(self) -> list[Message]:
        """Return what to send first, on the open connection. CAP LS comes first: it holds registration open."""
        identity = self.identity
        self.nick = next(self._nicks)
        password = [Message("PASS", (identity.password,))] if identity.password else []
        return [
            Message("CAP", ("LS", "302")),
            *password,
            Message("NICK", (self.nick,)),
            Message("USER", (identity.ident or "neverquit", "0", "*", identity.realname or identity.nick)),
        ]

    def feed(self, message: Message) -> list[Message]:
        """Take in a line of the server and return what to send now. Never raises."""
        react = _REACTIONS.get(message.command)
        return react(self, message) if react is not None and self.failure is None else []

    # Capabilities

    def _on_cap(self, message: Message) -> list[Message]:
        names = dict(_capabilities(message.params[2:]))
        match message.param(1).upper():
            case "LS":
                self._offer(names)
                if len(message.params) > 3 and message.params[2] == "*":
                    return []
                self._listing = False
                return self._request() or self._go_on()
            case "NEW":
                self._offer(names)
                if "sasl" in names:  # services are back: what they refused before counts no more
                    self._tried.clear()
                return self._request()
            case "DEL":
                return self._withdraw(names)
            case "ACK":
                return self._on_ack(names)
            case "NAK":
                return self._on_nak(names)
        return []

    def _offer(self, names: dict[str, str]) -> None:
        for name, value in names.items():
            if name in self.offered or len(self.offered) < _MAX_OFFERED:
                self.offered[name] = value

    def _request(self) -> list[Message]:
        """Ask for all that we want, that is offered, and that is neither enabled nor asked for."""
        pending = {name for request in self._requests for name in request}
        wanted = [name for name in WANTED if name in self.offered]
        if self.account is None and self._next_mechanism():
            wanted.append("sasl")
        wanted = [name for name in wanted if name not in self.caps and name not in pending]
        return self._ask([tuple(wanted)]) if wanted else []

    def _ask(self, requests: Iterable[tuple[str, ...]]) -> list[Message]:
        requests = list(requests)
        self._requests.extend(requests)
        return [Message("CAP", ("REQ", " ".join(names))) for names in requests]

    def _on_ack(self, names: dict[str, str]) -> list[Message]:
        for name in names:
            if name.startswith("-"):
                self.caps.discard(name[1:])
            else:
                self.caps.add(name)
        if self._requests and not (names and set(self._requests[0]).isdisjoint(names)):
            self._requests.popleft()
        return self._go_on()

    def _on_nak(self, names: dict[str, str]) -> list[Message]:
        """Ask again without what was refused. Servers repeat the whole request, so it is found out one by one."""
        if not self._requests:
            return self._go_on()
        refused = self._requests.popleft()
        kept = tuple(name for name in refused if name not in names)
        if kept and len(kept) < len(refused):
            return self._ask([kept])
        if len(refused) > 1:
            return self._ask((name,) for name in refused)
        return self._go_on()

    def _withdraw(self, names: dict[str, str]) -> list[Message]:
        for name in names:
            self.offered.pop(name, None)
            self.caps.discard(name)
        if "sasl" in names and self._mechanism:
            return self._sasl_over("the server withdrew SASL")
        return []

    def _go_on(self) -> list[Message]:
        """When no answer is open: log in, or end the negotiation."""
        if self._listing or self._requests or self._mechanism:
            return []
        if self.account is None and "sasl" in self.caps and self._next_mechanism():
            return self._authenticate()
        if self._negotiating and not self.done and self.identity.sasl and self.account is None:
            return self._sasl_over(self._why_no_sasl())
        return self._end()

    def _end(self) -> list[Message]:
        if self.done or not self._negotiating:
            return []
        self._negotiating = False
        return [Message("CAP", ("END",))]

    def _on_refused_command(self, message: Message) -> list[Message]:
        """421 or 410: a server that has never heard of CAP registers us without."""
        refused = message.param(1).upper()
        if refused in ("CAP", "LS") and self._listing and not self.done:
            self._listing = False
            if refused == "CAP":
                self._negotiating = False
                return self._sasl_over(self._why_no_sasl()) if self.identity.sasl else []
            return self._go_on()
        return []

    # SASL

    def _next_mechanism(self) -> str:
        """Return the first mechanism that both sides speak, that may be used here and was not tried, or nothing."""
        sasl = self.identity.sasl
        if sasl is None or "sasl" not in self.offered:
            return ""
        # A server of the time before CAP 302 doesn't say which mechanisms it has.
        offered = self.offered["sasl"].upper().split(",") if self.offered["sasl"] else list(MECHANISMS)
        for name in map(str.upper, sasl.mechanisms):
            if name in MECHANISMS and name in offered and name not in self._tried and self._permitted(name, sasl):
                return name
        return ""

    def _permitted(self, mechanism: str, sasl: Sasl) -> bool:
        return mechanism != "PLAIN" or self._tls or sasl.plain_without_tls

    def _why_no_sasl(self) -> str:
        sasl = self.identity.sasl
        assert sasl is not None
        if "sasl" not in self.offered:
            return "the server offers no SASL (its services may be down)"
        if "PLAIN" in map(str.upper, sasl.mechanisms) and not self._permitted("PLAIN", sasl):
            return "SASL PLAIN would send the password in the clear; use TLS"
        if "sasl" not in self.caps and self._next_mechanism():
            return "the server refused to enable SASL"
        return f"the server offers SASL only by {_printable(self.offered['sasl']) or 'unknown ways'}"

    def _authenticate(self) -> list[Message]:
        self._mechanism = self._next_mechanism()
        self._tried.add(self._mechanism)
        self._responded = False
        return [Message("AUTHENTICATE", (self._mechanism,))]

    def _on_authenticate(self, message: Message) -> list[Message]:
        """Answer the server's `+`, once: the response holds the password."""
        sasl = self.identity.sasl
        if sasl is None or not self._mechanism or self._responded or message.param(0) != "+":
            return []
        self._responded = True
        text = base64.b64encode(MECHANISMS[self._mechanism](sasl)).decode()
        # A chunk of full length means that more follows, so a text that ends with one is ended by an empty one.
        chunks = [text[at : at + _CHUNK] or "+" for at in range(0, len(text) + 1, _CHUNK)]
        return [Message("AUTHENTICATE", (chunk,)) for chunk in chunks]

    def _on_mechanisms(self, message: Message) -> list[Message]:
        """908: the mechanisms that there are. A 904 mostly follows; where it can't change anything, don't wait."""
        if not self._mechanism:
            return []
        self.offered["sasl"] = message.param(1)
        return [] if self._next_mechanism() else self._sasl_over(self._why_no_sasl())

    def _on_sasl_refused(self, message: Message) -> list[Message]:
        if not self._mechanism:
            return []
        self._mechanism = ""
        if self._next_mechanism():
            return self._authenticate()
        return self._sasl_over(f"SASL was refused: {_printable(message.param(-1)) or message.command}")

    def _on_sasl_success(self, message: Message) -> list[Message]:
        if not self._mechanism or self.identity.sasl is None:
            return []
        self._mechanism = ""
        self.account = self.account or self.identity.sasl.username
        return self._go_on()

    def _sasl_over(self, why: str) -> list[Message]:
        """Go on without an account, unless the operator wants none of that."""
        self._mechanism = ""
        sasl = self.identity.sasl
        if sasl is not None and sasl.required and not self.done:
            self.failure = why
            return []
        self.remark = why
        return self._end()

    def _on_logged_in(self, message: Message) -> list[Message]:
        self.account = message.param(2) or None
        return []

    def _on_logged_out(self, message: Message) -> list[Message]:
        self.account = None
        return []

    # Nick, and the end

    def _on_nick_refused(self, message: Message) -> list[Message]:
        if self.done:
            return []
        refused, nick = self.nick, next(self._nicks, None)
        if nick is None:
            self.failure = f"the server accepted none of our nicks, at last {refused}: {_printable(message.param(-1))}"
            return []
        self.nick = nick
        return [Message("NICK", (nick,))]

    def _on_refused(self, message: Message) -> list[Message]:
        """ERROR, or one of the numerics that come before it: the server's own words are the best we have."""
        if not self.done:
            self.failure = f"the server refused us: {_printable(message.param(-1)) or message.command}"
        return []

    def _on_welcome(self, message: Message) -> list[Message]:
        self.nick = message.param(0) if is_target(message.param(0)) else self.nick
        sasl = self.identity.sasl
        if not self.done and sasl is not None and sasl.required and self.account is None:
            self.failure = "the server registered us without SASL"
            return []
        self.done = True
        return []


_REACTIONS: dict[str, Callable[[Registration, Message], list[Message]]] = {
    "CAP": Registration._on_cap,
    "AUTHENTICATE": Registration._on_authenticate,
    "ERROR": Registration._on_refused,
    "410": Registration._on_refused_command,
    n.RPL_WELCOME: Registration._on_welcome,
    n.ERR_UNKNOWNCOMMAND: Registration._on_refused_command,
    n.ERR_NONICKNAMEGIVEN: Registration._on_nick_refused,
    n.ERR_ERRONEUSNICKNAME: Registration._on_nick_refused,
    n.ERR_NICKNAMEINUSE: Registration._on_nick_refused,
    n.ERR_NICKCOLLISION: Registration._on_nick_refused,
    n.ERR_UNAVAILRESOURCE: Registration._on_nick_refused,
    n.ERR_NOPERMFORHOST: Registration._on_refused,
    n.ERR_PASSWDMISMATCH: Registration._on_refused,
    n.ERR_YOUREBANNEDCREEP: Registration._on_refused,
    n.RPL_LOGGEDIN: Registration._on_logged_in,
    n.RPL_LOGGEDOUT: Registration._on_logged_out,
    n.ERR_NICKLOCKED: Registration._on_sasl_refused,
    n.RPL_SASLSUCCESS: Registration._on_sasl_success,
    n.ERR_SASLFAIL: Registration._on_sasl_refused,
    n.ERR_SASLTOOLONG: Registration._on_sasl_refused,
    n.ERR_SASLABORTED: Registration._on_sasl_refused,
    n.ERR_SASLALREADY: Registration._on_sasl_success,
    n.RPL_SASLMECHS: Registration._on_mechanisms,
}


def _nicks(identity: Identity) -> Iterator[str]:
    """Give the nicks to try, each once: the wanted one, the alternatives, and a few made up.

    Servers cut a long nick silently, and then refuse the same one again: the made-up ones end inside the nine
    characters that every server takes.
    """
    nick = identity.nick
    made = [f"{nick}_", f"{nick[:7]}__", *(f"{nick[:7]}_{number}" for number in range(1, _MADE_UP_NICKS - 1))]
    yield from dict.fromkeys((nick, *identity.alternatives, *made))


def _capabilities(params: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Read `a b=c ~d`; the signs before a name are of an older specification and say nothing to us."""
    for item in " ".join(params).split(" "):
        name, _, value = item.lstrip("~=").partition("=")
        if name and name != "*":
            yield name, value


def _printable(text: str) -> str:
    """Make a server's words fit for one line of a log."""
    return "".join(char if char.isprintable() else " " for char in text[:300]).strip()
