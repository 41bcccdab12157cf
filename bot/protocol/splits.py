"""Netsplits: who was lost with a server, and that they are back is no news for a greeting.

When the link between two servers breaks, everybody on the other side quits at once; when it is mended they all join
again. `roster` says which lines are of that kind: those in a `netsplit` or `netjoin` batch, a QUIT with the names of
two servers as its reason, and the JOIN of somebody from the same nick!user@host into the same channel within
`REMEMBERED_SECONDS`. Here they are gathered, to be told as one `Split` for each channel: when the batch has ended, or
when none has come for `QUIET_SECONDS`. Pure: `now` is an argument; waking at `next_at` is `wire/presence.py`'s.

Follows https://ircv3.net/specs/batches/netsplit and, for the reason, the custom since RFC 1459 section 4.1.6.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

REMEMBERED_SECONDS = 15 * 60.0
QUIET_SECONDS = 3.0
LONGEST_SECONDS = 30.0  # then what has come is told, even if more is coming
_MOST = 100_000  # remembered; the largest networks have fewer users on one server

_LABELS = r"[\w*-]+(?:\.[\w*-]+)+"
_TWO_SERVERS = re.compile(f"({_LABELS}) ({_LABELS})", re.ASCII)


class Split(NamedTuple):
    """What happened in one channel."""

    name: str  # netsplit or netjoin
    channel: str
    nicks: tuple[str, ...]
    servers: tuple[str, ...]  # on both sides of the broken link, ours first; empty where the server does not tell


def two_servers(reason: str) -> tuple[str, ...]:
    """Return the servers that a QUIT of a netsplit names, or nothing.

    Servers put something in front of a person's reason (`Quit: `), so that nobody can write this; where they don't,
    whoever does is taken for split, which gives no right and ends their session.
    """
    match = _TWO_SERVERS.fullmatch(reason)
    return (match[1], match[2]) if match and match[1] != match[2] else ()


class Splits:
    """What is known of the netsplits of one connection.

    Args:
        fold: the network's case mapping as it is now.

    Attributes:
        next_at: when to ask `due`, or None.
    """

    def __init__(self, fold: Callable[[str], str]) -> None:
        self._fold = fold
        self.clear()

    def clear(self) -> None:
        """The connection is gone, or names are folded in another way now: who comes is new."""
        # nick!user@host as it was -> when, the channels as the server writes them, the servers; the oldest first
        self._lost: dict[str, tuple[float, list[str], tuple[str, ...]]] = {}
        self._found: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
        self._began = 0.0
        self.next_at: float | None = None

    def lost(self, mask: str, nick: str, channels: Iterable[str], servers: tuple[str, ...], now: float) -> None:
        """Somebody was lost with a server."""
        channels = list(channels)
        self._forget(now)
        self._lost.pop(mask, None)
        self._lost[mask] = (now, channels, servers)
        for channel in channels:
            self._gather("netsplit", channel, servers, nick, now)

    def is_back(self, mask: str, channel: str, now: float) -> bool:
        """Tell whether this JOIN is the end of a split."""
        at, channels, _ = self._lost.get(mask, (now, (), ()))
        return now - at <= REMEMBERED_SECONDS and any(self._fold(one) == self._fold(channel) for one in channels)

    def back(self, mask: str, nick: str, channel: str, servers: tuple[str, ...], now: float) -> None:
        """Somebody is in a channel again. `servers`: where a batch names them."""
        known = self._lost.get(mask)
        if known is not None:
            servers = servers or known[2]
            known[1][:] = [one for one in known[1] if self._fold(one) != self._fold(channel)]
            if not known[1]:
                del self._lost[mask]
        self._gather("netjoin", channel, servers, nick, now)

    def complete(self, now: float) -> None:
        """A batch has ended: nothing more is to come."""
        if self._found:
            self.next_at = now

    def told(self) -> None:
        """What is gathered was told by the worker before."""
        self._found, self.next_at = {}, None

    def due(self, now: float) -> list[Split]:
        """Return what is to be told, each once."""
        if self.next_at is None or now < self.next_at:
            return []
        found, self._found, self.next_at = self._found, {}, None
        self._forget(now)
        return [Split(name, channel, tuple(nicks), servers) for (name, channel, servers), nicks in found.items()]

    def _gather(self, name: str, channel: str, servers: tuple[str, ...], nick: str, now: float) -> None:
        if not self._found:
            self._began = now
        self._found.setdefault((name, channel, servers), []).append(nick)
        self.next_at = min(now + QUIET_SECONDS, self._began + LONGEST_SECONDS)

    def _forget(self, now: float) -> None:
        if self._lost and (len(self._lost) >= _MOST or now - next(iter(self._lost.values()))[0] > REMEMBERED_SECONDS):
            recent = {mask: one for mask, one in self._lost.items() if now - one[0] <= REMEMBERED_SECONDS}
            self._lost = recent if len(recent) < _MOST else {}

    # For the next worker; what is gathered and not told yet is lost with this one, which costs one event

    def saved(self) -> list[Any]:
        """Return who was lost, as JSON values, for `resume`; each stands for itself."""
        return [[mask, at, channels, servers] for mask, (at, channels, servers) in self._lost.items()]

    def resume(self, saved: Iterable[Any]) -> None:
        """Remember these, too.

        Raises:
            ValueError, TypeError: this is not what `saved` gave.
        """
        for mask, at, channels, servers in saved:
            self._lost[str(mask)] = (float(at), [str(one) for one in channels], tuple(map(str, servers)))
