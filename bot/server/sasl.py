"""AUTHENTICATE: a client proves which account is theirs.

A mechanism is a generator: it yields what the server says (bytes), is sent what the client answers, and returns the
account, or raises `Refused`. PLAIN and EXTERNAL stand here, `scram` and `ecdsa` are imported when first named. Which
are offered is the value of the capability, `Server.caps["sasl"]`; without a value it is all that there are.

Follows https://ircv3.net/specs/extensions/sasl-3.2, RFC 4616 (PLAIN) and RFC 4422 appendix A (EXTERNAL).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Generator

from bot.server.announced import capabilities
from bot.server.lines import MAX_TAGS
from bot.server.peer import Peer
from bot.server.verbs import Refused, verb

Exchange = Generator[bytes, bytes, str]

CHUNK = 400  # letters of base64 in one line


@verb("AUTHENTICATE", early=True)
def authenticate(me: Peer, chunk: str) -> None:
    exchange, so_far, fault = me.exchange, me.chunks, me.server.faults.sasl
    me.exchange, me.chunks = None, ""
    if me.account or "sasl" not in me.caps or "sasl" not in capabilities(me):
        raise Refused("907" if me.account else "904")
    if fault == "silent":
        return None
    if fault.isdecimal():
        _list_mechanisms(me, fault)
        raise Refused(fault)
    if chunk == "*":
        raise Refused("906")
    if exchange is None:
        me.exchange = _begin(me, chunk.upper())
        return _say(me, next(me.exchange))
    if len(chunk) > CHUNK or len(so_far) > MAX_TAGS:
        raise Refused("905")
    me.chunks = so_far + ("" if chunk == "+" else chunk)
    if len(chunk) == CHUNK:
        me.exchange = exchange
        return None
    try:
        said = base64.b64decode(me.chunks, validate=True)
        me.chunks = ""
        _say(me, exchange.send(said))
        me.exchange = exchange
    except StopIteration as end:
        me.log_in(str(end.value))
        me.reply("903", text="SASL authentication successful")
    except (ValueError, binascii.Error):  # not base64, not UTF-8, not the fields it should have
        raise Refused("904") from None


def _begin(me: Peer, name: str) -> Exchange:
    offered = me.server.caps["sasl"]
    if name in (offered.split(",") if offered else MECHANISMS) and name in MECHANISMS:
        return MECHANISMS[name](me)
    _list_mechanisms(me, "908")
    raise Refused("904")


def _list_mechanisms(me: Peer, numeric: str) -> None:
    if numeric == "908":
        me.reply("908", me.server.caps["sasl"] or ",".join(MECHANISMS), text="are available SASL mechanisms")


def _say(me: Peer, challenge: bytes) -> None:
    text = base64.b64encode(challenge).decode()
    for at in range(0, len(text) + 1, CHUNK):
        me.send(f"AUTHENTICATE {text[at : at + CHUNK] or '+'}")


def plain(me: Peer) -> Exchange:
    _, name, password = (yield b"").decode().split("\0")
    if not hmac.compare_digest(me.server.accounts.get(name, "\0").encode(), password.encode()):
        raise Refused("904")
    return name


def external(me: Peer) -> Exchange:
    """The account is that of the certificate in `Server.fingerprints`; who asks for another gets none."""
    wanted = (yield b"").decode()
    account = me.server.fingerprints.get(me.fingerprint)
    if not account or wanted not in ("", account):
        raise Refused("904")
    return account


def scram_sha_256(me: Peer) -> Exchange:
    from bot.server.scram import scram

    return scram(me, "sha256")


def scram_sha_512(me: Peer) -> Exchange:
    from bot.server.scram import scram

    return scram(me, "sha512")


def ecdsa_nist256p_challenge(me: Peer) -> Exchange:
    from bot.server.ecdsa import challenge

    return challenge(me)


# In the order in which a server lists them, which is not that of their strength.
MECHANISMS = {
    function.__name__.upper().replace("_", "-"): function
    for function in (plain, external, scram_sha_256, scram_sha_512, ecdsa_nist256p_challenge)
}
