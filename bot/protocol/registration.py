"""From the open socket to 001: capabilities, SASL, nick and user, as a machine that messages are fed to.

`start` and `feed` return what to send now; sending, deadlines, leaving and coming back are left to `wire/`, which looks
at `done`, `failure` and `upgrade`. Capabilities go on changing after 001 (CAP NEW, DEL), so feed it all lines of a
connection; one machine serves one connection. What is enabled stands in `caps`, and whoever trusts a tag asks there.

In plain text nothing but CAP LS is said before the server has answered that: it may want TLS (`sts`), and then the
password, and who we are, should not have been readable. A server that is silent gets the rest by `introduce`.

Follows https://ircv3.net/specs/extensions/capability-negotiation, https://ircv3.net/specs/extensions/sasl-3.2 and
https://ircv3.net/specs/extensions/sts.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from secrets import token_hex
from typing import Any

from bot.protocol import numerics as n
from bot.protocol import sts
from bot.protocol.identity import NICKS_PAUSE_SECONDS, Identity
from bot.protocol.login import ABORT, Login
from bot.protocol.message import Message, is_target
from bot.protocol.sasl import Work

# What we ask for where it is offered, in this order. `sasl` is asked for when there is something to log in to.
# `batch` is there so that replayed history can be told from what is said now.
WANTED = (
    *("message-tags", "server-time", "account-tag", "account-notify", "extended-join", "multi-prefix"),
    *("userhost-in-names", "away-notify", "chghost", "setname", "cap-notify", "invite-notify", "batch"),
    "standard-replies",
    *("echo-message", "labeled-response", "draft/multiline"),
)

REFUSED_SECONDS = 60.0  # to stay away from who does not take our password: servers count, and may ban

_MAX_OFFERED = 256  # of any names; those that mean something to us are never crowded out
_REQUEST_BYTES = 400  # of names in one CAP REQ, so that its ACK fits into a line, too


class Registration:
    """The registration of one connection.

    Args:
        identity: who we want to be.
        tls: whether the connection is encrypted, the server's certificate verified.
        nonce: gives fresh random text for SASL; a test passes one that it knows.

    Attributes:
        nick: the nick last asked for; after 001 the one the server gave us (later changes are the roster's).
        nick_refused: why we could not have the one that we want, in the server's words; empty: nobody said no.
        caps: what is enabled now.
        offered: what the server has, with values.
        login: the services account we are logged in to, and the way there.
        done: 001 has come.
        failure: why this connection is of no use, as a sentence, or None. Nothing is sent any more: leave.
        pause_seconds: after a failure, how long to stay away at least.
        least_seconds: the same where the configured maximum of pauses may be shorter.
        upgrade: the port that the server speaks TLS on and wants us to come to, or None. Nothing is sent any more.
        policy_seconds: over TLS, for how long the server wants to be spoken to by TLS only (0: no longer), or None.
        tls: as above.
        remark: what went wrong without ending it (SASL that was not required), for the log, or None.
    """

    def __init__(self, identity: Identity, tls: bool, nonce: Callable[[], str] = token_hex) -> None:
        self.identity = identity
        self.nick, self.nick_refused = identity.nick, ""
        self.caps: set[str] = set()
        self.offered: dict[str, str] = {}
        self.login = Login(identity.sasl, tls, nonce)
        self.done = False
        self.failure: str | None = None
        self.pause_seconds = self.least_seconds = 0.0
        self.upgrade: int | None = None
        self.policy_seconds: float | None = None
        self.remark: str | None = None
        self.tls = tls
        self._nicks = identity.nicks()
        self._requests: deque[tuple[str, ...]] = deque()  # sent, not yet answered; servers answer in order
        self._introduced = False  # PASS, NICK and USER have been sent
        self._listing = True  # LS is not complete yet
        self._negotiating = True  # CAP END has not been sent

    @property
    def account(self) -> str | None:
        """The services account we are logged in to, or None."""
        return self.login.account

    def saved(self) -> list[Any]:
        """Return how things stand as JSON values, for `resumed`; ask when it is done."""
        asked = [list(request) for request in self._requests]
        return [
            *(self.nick, sorted(self.caps), dict(self.offered), self.account, asked, self.login.saved()),
            *(self.tls, self.policy_seconds),
        ]

    @classmethod
    def resumed(cls, identity: Identity, tls: bool, saved: Iterable[Any]) -> Registration:
        """Return the registration of a connection that another worker has registered.

        Args:
            tls: as configured; what the connection was made with counts, where `saved` tells.

        Raises:
            ValueError, TypeError: this is not what `saved` gave.
        """
        nick, caps, offered, account, asked, login, *more = saved
        self = cls(identity, bool(more[0]) if more else tls)
        self.nick, self.caps, self.offered = str(nick), set(caps), dict(offered)
        self._requests.extend(tuple(request) for request in asked)
        self.login.account = account
        self.login.resume(login)
        self.policy_seconds = more[1] if len(more) > 1 else None
        self.done, self._introduced, self._listing, self._negotiating = True, True, False, False
        return self

    def start(self) -> list[Message]:
        """Return what to send first, on the open connection. CAP LS comes first: it holds registration open."""
        return [Message("CAP", ("LS", "302")), *(self.introduce() if self.tls else [])]

    def introduce(self) -> list[Message]:
        """Return who we are, once: call it when a server in plain text has not answered CAP LS for a while."""
        if self._introduced or self.upgrade is not None:
            return []
        self._introduced = True
        identity = self.identity
        self.nick = next(self._nicks)
        password = [Message("PASS", (identity.password,))] if identity.password else []
        return [
            *password,
            Message("NICK", (self.nick,)),
            Message("USER", (identity.ident or "neverquit", "0", "*", identity.realname or identity.nick)),
        ]

    def feed(self, message: Message) -> list[Message]:
        """Take in a line of the server and return what to send now. Never raises."""
        react = _REACTIONS.get(message.command)
        if react is None or self.failure is not None or self.upgrade is not None:
            return []
        answers = react(self, message)
        return [] if self.upgrade is not None else answers

    # Capabilities

    def _on_cap(self, message: Message) -> list[Message]:
        names = dict(_capabilities(message.params[2:]))
        match message.param(1).upper():
            case "LS":
                self._offer(names)
                if len(message.params) > 3 and message.params[2] == "*":
                    return []
                self._listing = False
                return self.introduce() + (self._request() or self._go_on())
            case "NEW":
                self._offer(names)
                if "sasl" in names:
                    self.login.services_back()
                return self._request() or self._go_on()
            case "DEL":
                return self._withdraw(names)
            case "ACK":
                return self._on_ack(names)
            case "NAK":
                return self._on_nak(names)
        return []

    def _offer(self, names: dict[str, str]) -> None:
        for name, value in names.items():
            if name in self.offered or _is_known(name) or len(self.offered) < _MAX_OFFERED:
                self.offered[name] = value
        if "sts" in names:
            policy = sts.read(names["sts"])
            if self.tls:
                self.policy_seconds = policy.duration if policy.duration is not None else self.policy_seconds
            else:
                self.upgrade = policy.port

    def _request(self) -> list[Message]:
        """Ask for all that we want, that is offered, and that is neither enabled nor asked for."""
        pending = {name for request in self._requests for name in request}
        wanted = [name for name in WANTED if name in self.offered]
        if self.login.wanted and self.login.next(self.offered.get("sasl")):
            wanted.append("sasl")
        return self._ask(_lines([name for name in wanted if name not in self.caps and name not in pending]))

    def _ask(self, requests: Iterable[tuple[str, ...]]) -> list[Message]:
        requests = list(requests)
        self._requests.extend(requests)
        return [Message("CAP", ("REQ", " ".join(names))) for names in requests]

    def _on_ack(self, names: dict[str, str]) -> list[Message]:
        for name in names:
            if name.startswith("-"):
                self.caps.discard(name[1:])
            elif _is_known(name):  # what nobody asked for means nothing here, and would never end
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
        names.pop("sts", None)  # by its specification not withdrawn in this way
        for name in names:
            self.offered.pop(name, None)
            self.caps.discard(name)
        if "sasl" in names and self.identity.sasl is not None:
            busy = self.login.busy
            self.login.services_gone()
            if busy:
                return self._sasl_over("the server withdrew SASL")
        return []

    def _go_on(self) -> list[Message]:
        """When no answer is open: log in, or end the negotiation."""
        if self._listing or self._requests or self.login.busy:
            return []
        if self.login.wanted and "sasl" in self.caps and (begun := self.login.begin(self.offered.get("sasl"))):
            return begun
        if self._negotiating and not self.done and self.identity.sasl and self.account is None:
            return self._sasl_over(self._why_no_sasl())
        return self._end()

    def _end(self) -> list[Message]:
        if self.done or not self._negotiating:
            return []
        self._negotiating = False
        return [Message("CAP", ("END",))]

    def _on_refused_command(self, message: Message) -> list[Message]:
        """421, 410 or 451: a server that has never heard of CAP registers us without."""
        if self.done or not self._listing:
            return []
        refused = message.param(1).upper()
        if message.command == n.ERR_NOTREGISTERED:
            return self.introduce()
        if refused not in ("CAP", "LS"):
            return []
        self._listing = False
        if refused == "LS":
            return self.introduce() + self._go_on()
        self._negotiating = False
        over = self._sasl_over(self._why_no_sasl()) if self.identity.sasl else []
        return over if self.failure is not None else self.introduce() + over

    # SASL

    def _why_no_sasl(self) -> str:
        offered = self.offered.get("sasl")
        if "sasl" not in self.caps and self.login.next(offered):
            return "the server refused to enable SASL"
        return _printable(self.login.why_not(offered))

    def _on_authenticate(self, message: Message) -> list[Message]:
        return self._answered(self.login.challenged(message.param(0)))

    @property
    def work(self) -> Work | None:
        """What takes so long that it should be called elsewhere, then handed to `worked`; None mostly."""
        return self.login.work

    def worked(self, result: bytes | Exception) -> list[Message]:
        """Go on with what `work` has given, or raised; return what to send now."""
        return self._answered(self.login.worked(result)) if self.failure is None else []

    def _answered(self, answers: list[Message]) -> list[Message]:
        fault = self.login.attempt.fault if self.login.attempt is not None else ""
        if not fault:
            return answers
        self.login.barred = True
        return self._sasl_over(f"SASL was broken off: {fault}", abort=True)

    def sasl_timed_out(self) -> list[Message]:
        """The server has left us waiting for an answer within SASL; return what to send now."""
        if not self.login.busy or self.failure is not None:
            return []
        return self._sasl_over("SASL: the server or its services did not answer in time", abort=True)

    def _on_mechanisms(self, message: Message) -> list[Message]:
        """908: the mechanisms that there are. A 904 mostly follows; where it can't change anything, don't wait."""
        if not self.login.busy:
            return []
        self.offered["sasl"] = there = message.param(1)
        known = self.login.attempt is not None and self.login.attempt.name in there.upper().split(",")
        return [] if known or self.login.next(there) else self._sasl_over(self._why_no_sasl())

    def _on_sasl_refused(self, message: Message) -> list[Message]:
        if not self.login.busy:
            return []
        why = self.login.refused()
        if begun := self.login.begin(self.offered.get("sasl")):
            return begun
        account = self.login.sasl.username if self.login.sasl is not None else ""
        reason = _printable(why or message.param(-1)) or message.command
        words = f"SASL as {account} was refused: {reason}"
        if message.command != n.ERR_SASLABORTED or why:  # else services had a bad moment; a wrong password stays wrong
            self.least_seconds = REFUSED_SECONDS
            words += f"; {self.login.to_mend()}"
        return self._sasl_over(words)

    def _on_sasl_success(self, message: Message) -> list[Message]:
        if not self.login.busy:
            return []
        if not self.login.succeeded():
            return self._sasl_over("SASL: the server claims a success without the proof that it knows the password")
        return self._go_on()

    def _on_sasl_already(self, message: Message) -> list[Message]:
        if not self.login.busy:
            return []
        self.login.known()
        return self._go_on()

    def _sasl_over(self, why: str, *, abort: bool = False) -> list[Message]:
        """Go on without an account, unless the operator wants none of that."""
        self.login.refused()
        sasl = self.identity.sasl
        if sasl is not None and sasl.required and not self.done:
            self.failure = why
            return []
        if not self.done or self.account is None:  # else it was for good measure: we are still logged in
            self.remark = why
        return [*([ABORT] if abort else []), *self._end()]

    def _on_logged_in(self, message: Message) -> list[Message]:
        self.login.told(message.param(2))
        return []

    def _on_logged_out(self, message: Message) -> list[Message]:
        self.login.account = None
        return []

    # Nick, and the end

    def _on_nick_refused(self, message: Message) -> list[Message]:
        if self.done or not self._introduced:
            return []
        refused, nick = self.nick, next(self._nicks, None)
        why = _printable(message.param(-1)) or message.command
        self.nick_refused = self.nick_refused or why
        if nick is None:
            self.failure = f"the server accepted none of our nicks, at last {refused}: {why}"
            self.pause_seconds = NICKS_PAUSE_SECONDS
            return []
        self.nick = nick
        return [Message("NICK", (nick,))]

    def _on_refused(self, message: Message) -> list[Message]:
        """ERROR, or one of the numerics that come before it: the server's own words are the best we have."""
        if not self.done:
            self.failure = f"the server refused us: {_printable(message.param(-1)) or message.command}"
            if message.command == n.ERR_PASSWDMISMATCH:
                self.failure += "; check `password` of this network in the configuration"
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
    n.ERR_INVALIDCAPCMD: Registration._on_refused_command,
    n.ERR_NOTREGISTERED: Registration._on_refused_command,
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
    n.ERR_SASLALREADY: Registration._on_sasl_already,
    n.RPL_SASLMECHS: Registration._on_mechanisms,
}
HEARD = frozenset(_REACTIONS)  #: the commands that `feed` looks at; all others it need not be given


def _is_known(name: str) -> bool:
    return name in WANTED or name == "sasl"


def _lines(names: Iterable[str]) -> Iterator[tuple[str, ...]]:
    """Split the names for requests, each of which fits into a line."""
    line: list[str] = []
    for name in names:
        if line and len(" ".join([*line, name]).encode()) > _REQUEST_BYTES:
            yield tuple(line)
            line = []
        line.append(name)
    if line:
        yield tuple(line)


def _capabilities(params: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Read `a b=c ~d`; the signs before a name are of an older specification and say nothing to us."""
    for item in " ".join(params).split(" "):
        name, _, value = item.lstrip("~=").partition("=")
        if name and name != "*":
            yield name, value


def _printable(text: str) -> str:
    """Make a server's words fit for one line of a log."""
    return "".join(char if char.isprintable() else " " for char in text[:300]).strip()
