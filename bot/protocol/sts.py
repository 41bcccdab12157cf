"""Strict Transport Security: what a server says about TLS, and the hosts that are never spoken to in plain text.

Pure: `now` is an argument, in seconds since the epoch, and the mapping that the policies live in comes from outside
(a table on disk). `registration` reads what the server offers, `wire/registering.py` has it dialled accordingly.

A policy can only be set over TLS, with the server's certificate verified, so nobody on the way can forge one; and only
there can it be taken back (`duration=0`). Plain text that asks for an upgrade is followed at once, but remembered
only when the TLS side confirms it.

Follows https://ircv3.net/specs/extensions/sts.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any, NamedTuple

MOST_SECONDS = 10 * 365 * 86_400.0  # a longer policy is as good as this one, and no number is too large to store


class Offer(NamedTuple):
    """The value of the `sts` capability, as far as it makes sense."""

    port: int | None = None  # counts on a plain connection only: where TLS is
    duration: float | None = None  # counts over TLS only: for how many seconds from now; 0: no longer


def read(value: str) -> Offer:
    """Read `port=6697,duration=300`. Never raises; keys that nobody knows are passed over."""
    tokens = dict(token.partition("=")[::2] for token in reversed(value.split(",")))
    port, duration = tokens.get("port", ""), tokens.get("duration", "")
    return Offer(
        int(port) if re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 65536 else None,
        min(float(duration), MOST_SECONDS) if re.fullmatch(r"[0-9]{1,30}", duration) else None,
    )


class Policies:
    """The policies of all hosts.

    Args:
        rows: host -> JSON values; kept over restarts by whoever gave it.
    """

    def __init__(self, rows: MutableMapping[str, Any]) -> None:
        self._rows = rows

    def port(self, host: str, now: float) -> int | None:
        """Return the port to speak TLS on with a host that must not be spoken to in plain text, or None."""
        try:
            port, _, until = self._rows[_name(host)]
            return int(port) if now < float(until) and 0 < int(port) < 65536 else None
        except (KeyError, TypeError, ValueError):
            return None

    def learn(self, host: str, port: int, duration: float, now: float) -> None:
        """The server says so over TLS, on this port."""
        name = _name(host)
        if not duration:
            self._rows.pop(name, None)
        else:
            self._rows[name] = [port, duration, now + duration]

    def renew(self, host: str, now: float) -> None:
        """The connection closes: the time begins anew, as it has held all the while."""
        row = self._rows.get(_name(host))
        if isinstance(row, list) and len(row) == 3 and isinstance(row[1], int | float):
            self.learn(host, row[0], row[1], now)


def _name(host: str) -> str:
    return host.lower().removesuffix(".")
