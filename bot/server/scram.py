"""SCRAM-SHA-256 and SCRAM-SHA-512, the server's side of them, for `sasl`.

Written from RFC 5802 and RFC 7677 by itself, so that the bot's client is tried against another reading of them than its
own. No channel binding: what is said over the wire is `n,,` or `y,,`. A real server keeps the two keys and no password;
this one has the password and makes them for each exchange.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Generator

from bot.server.peer import Peer
from bot.server.verbs import Refused

ITERATIONS = 4096  # the least that RFC 7677 allows


def scram(me: Peer, digest: str) -> Generator[bytes, bytes, str]:
    """One exchange; returns the account, raises `Refused` or ValueError."""
    fault = me.server.faults.sasl
    first = (yield b"").decode()
    binding, _, rest = first.partition(",")
    authorize, _, bare = rest.partition(",")
    fields = _fields(bare)
    if binding not in ("n", "y") or "m" in fields or not fields["r"]:
        raise Refused("904")
    account = fields["n"].replace("=2C", ",").replace("=3D", "=")
    if authorize not in ("", f"a={fields['n']}"):
        raise Refused("904")

    def keyed(key: bytes, text: bytes) -> bytes:
        return hmac.digest(key, text, digest)

    salt = secrets.token_bytes(16)
    iterations = 1 if fault == "iterations" else ITERATIONS
    nonce = ("" if fault == "nonce" else fields["r"]) + secrets.token_urlsafe(18)
    challenge = f"r={nonce},s={base64.b64encode(salt).decode()},i={iterations}"
    final = (yield challenge.encode()).decode()

    unproved, _, proof = final.rpartition(",p=")
    said = _fields(unproved)
    header = base64.b64encode(f"{binding},{authorize},".encode()).decode()
    if said["c"] != header or said["r"] != nonce:
        raise Refused("904")
    # An account that is not there takes as long as one that is, and has a password that nobody can know.
    password = me.server.accounts.get(account, secrets.token_hex())
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, iterations)
    transcript = f"{bare},{challenge},{unproved}".encode()
    stored = hashlib.new(digest, keyed(salted, b"Client Key")).digest()
    signature = keyed(stored, transcript)
    shown = base64.b64decode(proof, validate=True)
    if len(shown) != len(signature):
        raise Refused("904")
    client_key = bytes(a ^ b for a, b in zip(shown, signature, strict=True))
    if not hmac.compare_digest(hashlib.new(digest, client_key).digest(), stored):
        raise Refused("904")
    ours = keyed(keyed(salted, b"Server Key"), transcript)
    ours = bytes(len(ours)) if fault == "signature" else ours
    yield b"v=" + base64.b64encode(ours)
    return account


def _fields(text: str) -> dict[str, str]:
    """`n=alice,r=abc` as a dictionary, empty for a letter that is missing; ValueError for a field that is none."""
    pairs = [part.partition("=") for part in text.split(",")]
    if any(not letter or not equals for letter, equals, _ in pairs):
        raise ValueError(f"not the fields of SCRAM: {text!r}")
    return dict.fromkeys("ncr", "") | {letter: value for letter, _, value in pairs}
