"""Logging in to services: the mechanisms, which of them may be used here, and one attempt at a time.

A mechanism answers one challenge after the other; what takes long (the salting of SCRAM) it gives back as a call, for
the caller to make where it disturbs nobody. Which numeric means what is left to `registration`, time-outs and threads
to `wire/registering.py`.

The password leaves only by PLAIN, and PLAIN only over TLS or where the operator has said so. EXTERNAL is for who shows
a client certificate. Nobody is believed who has not done the last step: a server that says success before it has
proved what SCRAM makes it prove is an impostor, and gets no second mechanism to try.

Follows https://ircv3.net/specs/extensions/sasl-3.1 and -3.2, RFC 4616 (PLAIN), RFC 4422 appendix A (EXTERNAL),
`scram`, and the ecdsa-nist256p-challenge of Atheme (the account, then its challenge signed).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from bot.protocol.message import Message
from bot.protocol.scram import Scram, ScramError, ScramRefused

CHUNK = 400  # characters of base64 in one AUTHENTICATE, by the specification
MOST_CHALLENGE = 16 * 1024  # characters of base64 that a server may send for one challenge

#: What takes long, to be called in any thread; `Attempt.worked` takes what it gives.
Work = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Sasl:
    """How to log in to services.

    Attributes:
        mechanisms: in order of preference; empty: the strongest first, of those that the secrets below allow.
        required: without an account, rather leave than go on.
        plain_without_tls: allow the password to be sent in the clear.
        certificate: whether we show a client certificate to the server.
        sign: signs a challenge with the key for ECDSA-NIST256P-CHALLENGE; raises ValueError when it can't. Or None.
    """

    username: str
    password: str = field(repr=False)
    mechanisms: tuple[str, ...] = ()
    required: bool = True
    plain_without_tls: bool = False
    certificate: bool = False
    sign: Callable[[bytes], bytes] | None = field(default=None, repr=False)


class SaslError(Exception):
    """The login must not go on, by no mechanism: the server is not what it should be. Says why."""


class SaslUnfit(Exception):
    """This mechanism leads nowhere; another one may."""


class Mechanism(Protocol):
    """One exchange by one mechanism."""

    @property
    def convinced(self) -> bool:
        """Whether the server may be believed when it says that we are logged in."""

    def answer(self, challenge: bytes) -> bytes | Work:
        """Answer a challenge, at once or by work. Raises SaslError, SaslUnfit, ScramError, ScramRefused, ValueError."""

    def worked(self, result: bytes) -> bytes:
        """Answer with what the work has given."""


class _Simple:
    """A mechanism whose answers are computed at once; there is one for each challenge, in order."""

    convinced = True

    def __init__(self, *answers: Callable[[bytes], bytes | Work]) -> None:
        self._answers: Iterator[Callable[[bytes], bytes | Work]] = iter(answers)

    def answer(self, challenge: bytes) -> bytes | Work:
        step = next(self._answers, None)
        if step is None:
            raise SaslUnfit("the server asked once more than this mechanism has answers")
        return step(challenge)

    def worked(self, result: bytes) -> bytes:
        return result


class _Scram:
    def __init__(self, digest: str, sasl: Sasl, nonce: str) -> None:
        self._scram = Scram(digest, sasl.username, sasl.password, nonce)
        self._step = 0

    @property
    def convinced(self) -> bool:
        return self._scram.verified

    def answer(self, challenge: bytes) -> bytes | Work:
        self._step += 1
        if self._step == 1:
            _must_be_empty(challenge)
            return self._scram.first()
        if self._step == 2:
            return self._scram.salting(challenge)
        if self._step > 3:
            raise SaslError("the server asked once more than SCRAM has answers")
        self._scram.verify(challenge)
        return b""

    def worked(self, result: bytes) -> bytes:
        return self._scram.final(result)


def _must_be_empty(challenge: bytes) -> None:
    if challenge:
        raise SaslUnfit("the server began where it is our turn")


def _plain(sasl: Sasl, _nonce: str) -> Mechanism:
    def response(challenge: bytes) -> bytes:
        _must_be_empty(challenge)
        return f"\0{sasl.username}\0{sasl.password}".encode()

    return _Simple(response)


def _external(sasl: Sasl, _nonce: str) -> Mechanism:
    # Without a name the server takes the account that the certificate belongs to: all of them can do that.
    def response(challenge: bytes) -> bytes:
        _must_be_empty(challenge)
        return b""

    return _Simple(response)


def _ecdsa(sasl: Sasl, _nonce: str) -> Mechanism:
    sign = sasl.sign
    assert sign is not None

    def name(challenge: bytes) -> bytes:
        _must_be_empty(challenge)
        return sasl.username.encode()

    # The file is read, and a library loaded, at the time of need.
    return _Simple(name, lambda challenge: partial(sign, challenge))


@dataclass(frozen=True, slots=True)
class _Kind:
    make: Callable[[Sasl, str], Mechanism]
    usable: Callable[[Sasl], bool]
    why_not: str
    secret: str  # what the server may not have liked


def _has_password(sasl: Sasl) -> bool:
    return bool(sasl.password)


_PASSWORD = "sasl.username and sasl.password"

#: All that we speak, the strongest first: no secret crosses the wire, none that can be guessed is there, the password
#: stays here, the password is shown.
MECHANISMS: dict[str, _Kind] = {
    "EXTERNAL": _Kind(
        _external,
        lambda sasl: sasl.certificate,
        "EXTERNAL needs tls.certificate",
        "tls.certificate, whose fingerprint the account must know,",
    ),
    "ECDSA-NIST256P-CHALLENGE": _Kind(
        _ecdsa,
        lambda sasl: sasl.sign is not None,
        "ECDSA-NIST256P-CHALLENGE needs sasl.key",
        "sasl.key, whose public half the account must know,",
    ),
    "SCRAM-SHA-512": _Kind(
        lambda sasl, nonce: _Scram("sha512", sasl, nonce), _has_password, "SCRAM-SHA-512 needs a password", _PASSWORD
    ),
    "SCRAM-SHA-256": _Kind(
        lambda sasl, nonce: _Scram("sha256", sasl, nonce), _has_password, "SCRAM-SHA-256 needs a password", _PASSWORD
    ),
    "PLAIN": _Kind(_plain, _has_password, "PLAIN needs a password", _PASSWORD),
}


def choice(sasl: Sasl, tls: bool) -> list[str]:
    """Return the mechanisms to try on this connection, in order."""
    names = [name.upper() for name in sasl.mechanisms] or list(MECHANISMS)
    return [name for name in dict.fromkeys(names) if name in MECHANISMS and why_not(name, sasl, tls) is None]


def why_not(name: str, sasl: Sasl, tls: bool) -> str | None:
    """Return why a mechanism can't be used on this connection, as a sentence, or None."""
    kind = MECHANISMS[name]
    if not kind.usable(sasl):
        return kind.why_not
    if name == "PLAIN" and not tls and not sasl.plain_without_tls:
        return "SASL PLAIN would send the password in the clear; use TLS, or set plain_without_tls"
    if name == "EXTERNAL" and not tls:
        return "SASL EXTERNAL needs TLS: the client certificate is shown there"
    return None


class Attempt:
    """One attempt to log in by one mechanism, from its name on.

    Args:
        nonce: see `scram.Scram`.

    Attributes:
        work: what is to be called before it goes on, or None; then `worked` with what it gives.
        fault: what is wrong with the server, if it is: then there must be no other attempt.
        unfit: why this mechanism leads nowhere; another one may.
    """

    def __init__(self, name: str, sasl: Sasl, nonce: str) -> None:
        self.name = name
        self.work: Work | None = None
        self.fault = self.unfit = ""
        self._heard = ""
        self._mechanism: Mechanism | None = None
        try:
            self._mechanism = MECHANISMS[name].make(sasl, nonce)
        except ValueError as error:
            self.unfit = f"{name} can't be used: {error}"

    @property
    def convinced(self) -> bool:
        """Whether a success may be believed now."""
        return self._mechanism is not None and self._mechanism.convinced

    def challenged(self, chunk: str) -> list[Message]:
        """Take what came with AUTHENTICATE; return the answer once the challenge is whole."""
        mechanism = self._mechanism
        if mechanism is None or self.work is not None or self.fault or self.unfit:
            return []
        self._heard += "" if chunk == "+" else chunk
        if len(chunk) == CHUNK and len(self._heard) <= MOST_CHALLENGE:
            return []
        whole, self._heard = self._heard, ""
        return self._run(lambda: mechanism.answer(_decoded(whole)))

    def worked(self, result: bytes | Exception) -> list[Message]:
        """Take what the work has given, or raised; return the answer."""
        mechanism, self.work = self._mechanism, None
        if isinstance(result, Exception):
            self.unfit = str(result)
            return []
        return self._run(lambda: mechanism.worked(result)) if mechanism is not None else []

    def _run(self, step: Callable[[], bytes | Work]) -> list[Message]:
        try:
            answer = step()
        except (SaslError, ScramError) as error:
            self.fault = str(error)
        except (SaslUnfit, ValueError) as error:
            self.unfit = str(error)
        except ScramRefused as error:
            self.unfit = str(error) or "no reason given"
        else:
            if isinstance(answer, bytes):
                return chunks(answer)
            self.work = answer
        return []


def chunks(response: bytes) -> list[Message]:
    """Return a response as AUTHENTICATE lines."""
    text = base64.b64encode(response).decode()
    # A chunk of full length means that more follows, so a text that ends with one is ended by an empty one.
    parts = [text[at : at + CHUNK] or "+" for at in range(0, len(text) + 1, CHUNK)]
    return [Message("AUTHENTICATE", (part,)) for part in parts]


def _decoded(text: str) -> bytes:
    if len(text) > MOST_CHALLENGE:
        raise SaslError("the server's challenge is too long")
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise SaslUnfit("the server's challenge is not base64") from error
