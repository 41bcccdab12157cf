"""SCRAM: logging in without the password on the wire, and with a proof that the server knows it, too.

The client's half, without channel binding, as pure steps. The salted password is the one thing that takes time (some
50 ms on purpose), so it is left to the caller as a call without arguments that may run in any thread: `Salting`.

What a hostile server could do with it is bounded: fewer iterations than the standard asks for would make the proof
cheap to guess from, so they are refused, and so are more than MOST_ITERATIONS. Only a right signature of the server
makes an exchange `verified`.

Follows RFC 5802, RFC 7677 (SHA-256; 4096 iterations at least) and RFC 4013 (SASLprep).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import stringprep
from dataclasses import dataclass
from unicodedata import ucd_3_2_0 as unicode_of_stringprep

LEAST_ITERATIONS = 4096  # RFC 7677 section 4
MOST_ITERATIONS = 1_000_000  # 0.4 s for SHA-256 and 0.8 s for SHA-512; services use 4,096 to 120,000
LONGEST = 4096  # characters of a message or salt; real ones have about 100

_HEADER = "n,,"  # no channel binding, no other identity
_NONCE = re.compile(r"[!-+\--~]+")
_PROHIBITED = (
    stringprep.in_table_a1, stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3,
    stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7,
    stringprep.in_table_c8, stringprep.in_table_c9,
)  # fmt: skip


class ScramError(ValueError):
    """The server's part of the exchange is not what it must be; says what is wrong with it."""


class ScramRefused(Exception):
    """The server says, within the exchange, that it does not let us in; its word for why."""


def prepared(text: str) -> str:
    """Return a password or user name as both sides must spell it (SASLprep).

    Raises:
        ValueError: it holds what may not be in one.
    """
    spaced = "".join(" " if stringprep.in_table_c12(c) else c for c in text if not stringprep.in_table_b1(c))
    result = unicode_of_stringprep.normalize("NFKC", spaced)
    if any(prohibited(char) for char in result for prohibited in _PROHIBITED):
        raise ValueError("a sign in it is not allowed in user names and passwords (RFC 4013)")
    if any(map(stringprep.in_table_d1, result)):
        right_to_left = stringprep.in_table_d1(result[0]) and stringprep.in_table_d1(result[-1])
        if not right_to_left or any(map(stringprep.in_table_d2, result)):
            raise ValueError("signs written from right to left are mixed with others in it (RFC 3454 section 6)")
    return result


@dataclass(frozen=True, slots=True)
class Salting:
    """The slow step, to be called once, in any thread; gives the salted password."""

    digest: str
    password: bytes
    salt: bytes
    iterations: int

    def __call__(self) -> bytes:
        return hashlib.pbkdf2_hmac(self.digest, self.password, self.salt, self.iterations)

    def __repr__(self) -> str:
        return f"<salting of {self.iterations} iterations>"


class Scram:
    """One exchange: `first`, `salting`, `final`, `verify`, in this order.

    Args:
        digest: as hashlib names it, `sha256`.
        nonce: fresh random text of printable ASCII without comma.

    Attributes:
        verified: the server has proved that it knows the password.

    Raises:
        ValueError: the user name or password can't be used with SCRAM.
    """

    def __init__(self, digest: str, username: str, password: str, nonce: str) -> None:
        self._digest, self._nonce = digest, nonce
        self._password = prepared(password).encode()
        name = prepared(username).replace("=", "=3D").replace(",", "=2C")
        self._bare = f"n={name},r={nonce}"
        self._expected = b""
        self._server_first = self._final_nonce = ""
        self.verified = False

    def first(self) -> bytes:
        """The client's first message."""
        return (_HEADER + self._bare).encode()

    def salting(self, server_first: bytes) -> Salting:
        """Read the server's first message; return what has to be computed for `final`.

        Raises:
            ScramError, ScramRefused
        """
        self._server_first, fields = _read(server_first, "rsi")
        nonce, iterations = fields["r"], fields["i"]
        if not (_NONCE.fullmatch(nonce) and nonce.startswith(self._nonce) and nonce != self._nonce):
            raise ScramError("the server answered another question than ours")
        if not re.fullmatch(r"[1-9][0-9]{0,8}", iterations):
            raise ScramError("the server's number of iterations is none")
        if not LEAST_ITERATIONS <= int(iterations) <= MOST_ITERATIONS:
            raise ScramError(
                f"the server asks for {iterations} iterations; {LEAST_ITERATIONS} to {MOST_ITERATIONS} are accepted"
            )
        salt = _unbase64(fields["s"])
        if not salt:
            raise ScramError("the server sent no salt")
        self._final_nonce = nonce
        return Salting(self._digest, self._password, salt, int(iterations))

    def final(self, salted: bytes) -> bytes:
        """The client's last message, from what the salting gave."""
        bare = f"c={base64.b64encode(_HEADER.encode()).decode()},r={self._final_nonce}"
        signed = f"{self._bare},{self._server_first},{bare}".encode()
        client_key = self._mac(salted, b"Client Key")
        signature = self._mac(hashlib.new(self._digest, client_key).digest(), signed)
        proof = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        self._expected = self._mac(self._mac(salted, b"Server Key"), signed)
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    def verify(self, server_final: bytes) -> None:
        """Read the server's last message.

        Raises:
            ScramError: it can't prove that it knows the password.
            ScramRefused
        """
        _, fields = _read(server_final, "v")
        if not self._expected or not hmac.compare_digest(_unbase64(fields["v"]), self._expected):
            raise ScramError("the server could not prove that it knows the password; it may be an impostor")
        self.verified = True

    def _mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, self._digest)


def _read(message: bytes, names: str) -> tuple[str, dict[str, str]]:
    """Split `r=...,s=...` into its fields, which must begin with these names in this order; later ones may follow."""
    if len(message) > LONGEST:
        raise ScramError("the server's message is too long")
    try:
        text = message.decode()
    except UnicodeDecodeError as error:
        raise ScramError("the server's message is not text") from error
    fields = [field.partition("=") for field in text.split(",")]
    if fields[0][0] == "e":
        raise ScramRefused(fields[0][2])
    if [name for name, _, _ in fields[: len(names)]] != list(names):
        raise ScramError("the server's message has not the fields that it must have")
    return text, {name: value for name, _, value in fields[: len(names)]}


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError as error:
        raise ScramError("the server's message is not base64 where it must be") from error
