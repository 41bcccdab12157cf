"""What a connection says and how: the keeper's orders, who we are, commands in words. Pure.

The `open` frame carries JSON, because the keeper may be older than the worker: it takes the keys that it knows.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NoReturn

from bot.config import Network, Secret, Tls
from bot.errors import UnsafeText
from bot.keys import sign_ecdsa
from bot.protocol.identity import Identity
from bot.protocol.sasl import Sasl
from bot.wire.link import PLACE

#: Commands that overtake chatter when they come through the library's methods.
URGENT = {"AUTHENTICATE", "AWAY", "CAP", "JOIN", "KICK", "MODE", "NICK", "PART", "PASS", "PONG", "QUIT", "USER"}


@dataclass(frozen=True, slots=True)
class Limits:
    """Waits of one connection, in seconds."""

    connect_seconds: float = 30.0  # resolving, TCP and TLS together
    registration_seconds: float = 90.0  # up to 001; ident and reverse DNS take 45 s on some servers
    idle_seconds: float = 60.0  # silence before we ask with PING
    pong_seconds: float = 60.0  # silence after that
    stable_seconds: float = 60.0  # registered for so long, the back-off begins anew
    ask_seconds: float = 15.0  # for the answer to a WHO or MODE before the next is asked
    stop_seconds: float = 3.0  # for the keeper to close; it gives the server 2
    hello_seconds: float = 5.0  # in plain text, for the answer to CAP LS before we say who we are
    sasl_seconds: float = 20.0  # for all of SASL; services may be slow, the salting takes up to 1 s
    identify_seconds: float = 8.0  # for NickServ to answer before the channels are joined without


def orders(settings: Network, limits: Limits, secure: int | None = None, *, again: bool = False) -> bytes:
    """The payload of the `open` frame.

    Args:
        secure: the port to speak TLS on although the settings say plain text, or None.
        again: the attempt before this one failed, so that the log need not tell of it.
    """
    given = settings.tls or (Tls() if secure is not None else None)
    tls = given and {
        "ca_file": given.ca_file,
        "certificate": given.certificate,
        "key": given.key,
        "fingerprints": list(given.fingerprints),
        "verify_name": settings.host,
    }
    return json.dumps(
        {
            "host": settings.host,
            "port": secure or settings.port,
            "tls": tls,
            "bind": settings.bind,
            "burst": settings.flood.burst if settings.flood else 0,
            "per_second": settings.flood.per_second if settings.flood else 0,
            "connect_seconds": limits.connect_seconds,
            "idle_seconds": limits.idle_seconds,
            "pong_seconds": limits.pong_seconds,
            "stale_seconds": settings.reconnect.stale_seconds,
            "again": again,
        }
    ).encode()


def elsewhere(place: bytes, ordered: bytes) -> bool:
    """Whether a connection leads to another place than the one that was ordered.

    Args:
        place: the payload of an `up` frame; `ordered`: of an `open` frame.

    Raises:
        ValueError: one of these is no JSON.
    """
    found, wanted = json.loads(place), json.loads(ordered)
    return any(found[key] != wanted[key] for key in PLACE)


def differs(old: Network, new: Network) -> bool:
    """Tell whether an attempt with the new settings may work where one with the old has failed."""
    keys = ("host", "port", "tls", "bind", "password", "sasl")
    return any(getattr(old, key) != getattr(new, key) for key in keys)


def identity(settings: Network) -> Identity:
    """Who to register as."""
    sasl = None
    if given := settings.sasl:
        password = reveal(given.password) or ""
        sign = partial(sign_ecdsa, given.key) if given.key else None
        certificate = settings.tls is not None and settings.tls.certificate is not None
        how = (given.mechanisms, given.required, given.plain_without_tls)
        sasl = Sasl(given.username, password, *how, certificate=certificate, sign=sign)
    # Servers cut USER's first word to about ten characters, and refuse signs in it.
    ident = "".join(char for char in settings.nick.lower() if char.isascii() and char.isalnum())[:10] or "bot"
    return Identity(
        settings.nick, settings.alternative_nicks, ident, settings.realname, reveal(settings.password), sasl
    )


def reveal(secret: Secret | None) -> str | None:
    """The text itself, for the wire only."""
    return None if secret is None else secret.reveal()


def in_place(words: list[str]) -> str:
    """A command whose last word may be prose, with or without its colon; the other words must be words.

    Raises:
        UnsafeText: a space in a word that is not the last would make two of it: another target, say.
    """
    *middle, last = words
    if any(" " in word for word in middle):
        raise UnsafeText(f"only the last parameter of {words[0]} may hold spaces")
    # The library's `mode` takes the modes and their parameters as one text.
    prose = middle and " " in last and not last.startswith(":") and words[0] != "MODE"
    colon = ":" if prose else ""
    return " ".join([*middle, colon + last])


def refusal(why: str) -> Callable[..., NoReturn]:
    """Stand-in for a method of the library that would do harm here; says what to use."""

    def refuse(*_args: object, **_named: object) -> NoReturn:
        raise NotImplementedError(why)

    return refuse
