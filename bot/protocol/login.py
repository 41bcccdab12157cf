"""Where a connection stands with its services account: which mechanism is tried, what came of it, who we are there.

`registration` feeds it with what the server says about SASL and decides what an end of it means (leave, or go on
without); the mechanisms themselves are in `sasl`. After 001 the same goes on: services that were away come back, and
then we log in again.

Follows https://ircv3.net/specs/extensions/sasl-3.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bot.protocol.message import Message
from bot.protocol.sasl import MECHANISMS, Attempt, Sasl, Work, choice, why_not

_MOST_OFFERED = 80  # characters of a list of mechanisms, in words for the log

ABORT = Message("AUTHENTICATE", ("*",))


class Login:
    """The login of one connection.

    Args:
        sasl: how; None for not at all.
        tls: whether the connection is encrypted.
        nonce: gives fresh random text, printable ASCII without comma.

    Attributes:
        account: the services account we are logged in to, or None.
        attempt: the one under way, or None.
        lost: the mechanism of an attempt that another worker began; nobody can finish it.
        barred: the server has shown that it is not to be trusted with another attempt.
        stale: services were away since we logged in, so they may have forgotten us.
    """

    def __init__(self, sasl: Sasl | None, tls: bool, nonce: Callable[[], str]) -> None:
        self.sasl = sasl
        self.account: str | None = None
        self.attempt: Attempt | None = None
        self.lost = ""
        self.barred = self.stale = False
        self._tls, self._nonce = tls, nonce
        self._tried: set[str] = set()
        self._unfit = ""  # why the mechanism before led nowhere

    def saved(self) -> list[Any]:
        """Return how things stand as JSON values, for `resume`. An attempt under way can't be handed over."""
        name = self.attempt.name if self.attempt is not None else self.lost
        return [name, self.stale, sorted(self._tried - {name}), self.barred]

    def resume(self, saved: Iterable[Any]) -> None:
        """Take what `saved` gave in another worker.

        Raises:
            ValueError, TypeError: this is not what it gave.
        """
        lost, stale, tried, *barred = saved
        self.lost, self.stale, self._tried = str(lost), bool(stale), {str(name) for name in tried}
        self.barred = any(barred)  # what was left by a version before this one does not say

    @property
    def busy(self) -> bool:
        """Whether we wait for the server."""
        return self.attempt is not None or bool(self.lost)

    @property
    def wanted(self) -> bool:
        """Whether there is something to log in to that we are not logged in to for certain."""
        return self.sasl is not None and (self.account is None or self.stale)

    @property
    def work(self) -> Work | None:
        """What is to be called before the attempt goes on, then handed to `worked`."""
        return self.attempt.work if self.attempt is not None else None

    def next(self, offered: str | None) -> str:
        """Return the first mechanism that both sides speak, that may be used here and was not tried, or nothing.

        Args:
            offered: the value of the capability; empty: a server of the time before CAP 302, which doesn't say.
        """
        if self.sasl is None or self.barred or offered is None:
            return ""
        there = offered.upper().split(",") if offered else list(MECHANISMS)
        return next((name for name in choice(self.sasl, self._tls) if name in there and name not in self._tried), "")

    def begin(self, offered: str | None) -> list[Message]:
        """Begin the next attempt; return nothing where there is none left."""
        assert self.sasl is not None
        while name := self.next(offered):
            self._tried.add(name)
            self.attempt = Attempt(name, self.sasl, self._nonce())
            if not self.attempt.unfit:
                return [Message("AUTHENTICATE", (name,))]
            self._unfit = self.attempt.unfit
        self.attempt = None
        return []

    def challenged(self, chunk: str) -> list[Message]:
        """Answer what came with AUTHENTICATE. Afterwards look at the attempt's `work` and `fault`."""
        if self.lost:
            return [ABORT]
        if self.attempt is None or self.attempt.unfit:  # it is broken off already; another 906 would hit the next one
            return []
        return self._answered(self.attempt.challenged(chunk))

    def worked(self, result: bytes | Exception) -> list[Message]:
        """Take what `work` has given, or raised."""
        return self._answered(self.attempt.worked(result)) if self.attempt is not None else []

    def _answered(self, answers: list[Message]) -> list[Message]:
        assert self.attempt is not None
        if self.attempt.unfit:  # a 906 follows, and then the next mechanism
            self._unfit = f"{self.attempt.name}: {self.attempt.unfit}"
            return [ABORT]
        return answers

    @property
    def _convinced(self) -> bool:
        """Whether the server owes us no proof."""
        return self.attempt.convinced if self.attempt is not None else not self.lost.startswith("SCRAM-")

    def told(self, account: str) -> None:
        """The server names our account (900). While it owes a proof that means nothing, whatever it does next."""
        if self._convinced:
            self.account = account or None

    def succeeded(self) -> bool:
        """The server says that we are logged in. Return whether that can be believed."""
        convinced = self._convinced
        self.attempt, self.lost = None, ""
        if not convinced:
            self.account, self.barred = None, True
            return False
        self.known()
        return True

    def known(self) -> None:
        """We are logged in, now or since before."""
        assert self.sasl is not None
        self.attempt, self.lost, self.stale = None, "", False
        self.account = self.account or self.sasl.username

    def refused(self) -> str:
        """The attempt has failed, and others may follow. Return why it did if we know better than the server."""
        why, self._unfit = self._unfit, ""
        self.attempt, self.lost = None, ""
        return why

    def services_gone(self) -> None:
        """The server withdrew SASL: what services refuse or know when they are back is open."""
        self.attempt, self.lost = None, ""
        self.stale = True
        self._tried.clear()

    def services_back(self) -> None:
        """The server offers SASL anew: what was refused before counts no more."""
        if not self.busy:
            self._tried.clear()

    def why_not(self, offered: str | None) -> str:
        """Return why there is no mechanism, as a sentence."""
        assert self.sasl is not None
        if offered is None:
            return "the server offers no SASL (its services may be down)"
        if self._unfit:
            return f"SASL is not possible: {self._unfit}"
        there = offered.upper().split(",") if offered else list(MECHANISMS)
        meant = [name.upper() for name in self.sasl.mechanisms] or ["PLAIN"] * bool(self.sasl.password)
        for name in MECHANISMS:
            if name in meant and name in there and (why := why_not(name, self.sasl, self._tls)):
                return why
        return f"the server offers SASL only by {offered[:_MOST_OFFERED] or 'unknown ways'}; {self._instead(there)}"

    def _instead(self, there: list[str]) -> str:
        """Return what the configuration allows, and what it lacks for that which is there."""
        assert self.sasl is not None
        allowed = ", ".join(choice(self.sasl, self._tls)) or "nothing"
        lacking = [
            why_not(name, self.sasl, self._tls) or f"{name} is missing in sasl.mechanisms"
            for name in MECHANISMS
            if name in there and name not in self._tried
        ]
        return "; ".join([f"what is configured allows {allowed}", *(lacking or ["the bot speaks none of the others"])])

    def to_mend(self) -> str:
        """Return what to look at after all attempts were refused, in words."""
        secrets = dict.fromkeys(MECHANISMS[name].secret for name in MECHANISMS if name in self._tried)
        return f"check {' and '.join(secrets)} in the configuration" if secrets else ""
