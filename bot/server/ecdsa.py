"""ECDSA-NIST256P-CHALLENGE for `sasl`: the client signs 32 bytes with the key whose other half the account has.

The account's public key is in `Server.public_keys` as services take it: base64 of the compressed point. The curve is
computed here, in plain integers: a few milliseconds, and no package that a test kit would ask everybody to install. It
only verifies, so there is no secret that its timing could tell.

Follows https://github.com/ircv3/ircv3-specifications (SASL mechanisms as Atheme and libera.chat have this one), SEC 1
section 4.1.4 (verifying) and 2.3.4 (points), FIPS 186-4 D.1.2.3 (the curve).
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Generator

from bot.server.peer import Peer
from bot.server.verbs import Refused

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
A = P - 3
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
G = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)

Point = tuple[int, int] | None  # None: the point at infinity


def challenge(me: Peer) -> Generator[bytes, bytes, str]:
    """One exchange; returns the account, raises `Refused` or ValueError."""
    account, _, wanted = (yield b"").decode().partition("\0")
    key = me.server.public_keys.get(account)
    if not key or wanted not in ("", account):
        raise Refused("904")
    asked = secrets.token_bytes(32)
    signature = yield asked
    if not verify(decompress(base64.b64decode(key)), asked, signature):
        raise Refused("904")
    return account


def verify(public: Point, digest: bytes, signature: bytes) -> bool:
    """Whether a signature in DER is by this key; ValueError for one that is no such structure."""
    r, s = _integers(signature)
    if not (0 < r < N and 0 < s < N):
        return False
    z, inverse = int.from_bytes(digest), pow(s, -1, N)
    point = _add(_times(z * inverse % N, G), _times(r * inverse % N, public))
    return point is not None and point[0] % N == r


def decompress(raw: bytes) -> Point:
    """A point from its 33 bytes: the sign of y, and x."""
    x = int.from_bytes(raw[1:])
    square = (x**3 + A * x + B) % P
    y = pow(square, (P + 1) // 4, P)
    if len(raw) != 33 or raw[0] not in (2, 3) or y * y % P != square:
        raise ValueError("not a compressed point of the curve P-256")
    return x, y if y % 2 == raw[0] % 2 else P - y


def _add(one: Point, other: Point) -> Point:
    if one is None or other is None:
        return one or other
    (x1, y1), (x2, y2) = one, other
    if x1 == x2 and (y1 + y2) % P == 0:
        return None
    slope = (3 * x1 * x1 + A) * pow(2 * y1, -1, P) if one == other else (y2 - y1) * pow(x2 - x1, -1, P)
    x = (slope * slope - x1 - x2) % P
    return x, (slope * (x1 - x) - y1) % P


def _times(factor: int, point: Point) -> Point:
    total: Point = None
    while factor:
        if factor & 1:
            total = _add(total, point)
        point, factor = _add(point, point), factor >> 1
    return total


def _integers(der: bytes) -> tuple[int, int]:
    """The two of SEQUENCE { INTEGER, INTEGER }, all lengths being below 128."""
    if len(der) < 8 or der[0] != 0x30 or der[1] != len(der) - 2 or der[2] != 2:
        raise ValueError("not a signature in DER")
    middle = 4 + der[3]
    if der[middle : middle + 1] != b"\x02" or der[middle + 1] != len(der) - middle - 2:
        raise ValueError("not a signature in DER")
    return int.from_bytes(der[4:middle]), int.from_bytes(der[middle + 2 :])
