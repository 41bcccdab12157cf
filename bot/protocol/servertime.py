"""Which lines were said long before they came, where no batch says so.

Some bouncers replay what was said while nobody was there as plain lines; only the `time` tag tells. It is compared with
what the server itself says the time is, never with how long something took: our own clock may be wrong, and a line may
have waited for a worker that had ended. The server's time is the newest `time` seen on the connection, and exactly
that of a PONG, which nobody replays: so a server whose clock is set back is understood again at the next PONG. Before
the first PONG, when bouncers replay, our own clock counts as well; after it no longer. A single line that was said in
a future which cannot be yet (of a bridge with a wrong clock) is not taken for the time: everybody else would be late
after it, and for ever where PONG tells no time.

What is said (PRIVMSG, NOTICE, TAGMSG) is late after `SAID_SECONDS`: servers that are linked differ by up to a minute,
since they refuse to link where it is more. A JOIN or QUIT that lags behind is true all the same, so what tells of
people and channels is only taken for replayed after `TOLD_SECONDS`, when a server that lags would have been given up.

Follows https://ircv3.net/specs/extensions/server-time.
"""

from __future__ import annotations

import re
from calendar import timegm
from typing import Any

from bot.protocol.message import Message

SAID_SECONDS = 120.0
TOLD_SECONDS = 900.0

_TIME = re.compile(r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d{1,9})?Z", re.ASCII)
_SAID = frozenset({"PRIVMSG", "NOTICE", "TAGMSG"})


class ServerTime:
    """The time on the other side of one connection.

    Attributes:
        newest: seconds since 1970, or 0 while nothing is known.
        certain: a PONG has come.
        asked: one is on its way.
    """

    __slots__ = ("_since", "asked", "certain", "newest")

    def __init__(self) -> None:
        self.newest, self.certain, self.asked = 0.0, False, False
        self._since: float | None = None  # by the clock of `now`, when `newest` was seen; None: nobody knows

    def begin(self, now: float) -> None:
        """Take our own clock until the server has told its time."""
        self.newest = now

    def is_late(self, message: Message, now: float | None = None) -> bool:
        """Take in a line of the server or of somebody else, and tell whether it was said long before now.

        Args:
            now: seconds of any clock that never goes backwards; None: how long ago the line before came is not known.
        """
        at = seconds(message.tags.get("time", ""))
        if message.command == "PONG":
            if at is not None or not self.certain:
                self.newest, self._since = at or 0.0, now
            self.certain, self.asked = True, False
        elif at is not None:
            ahead = at - self.newest
            if message.source is not None and message.source.is_user:
                if -ahead > (SAID_SECONDS if message.command in _SAID else TOLD_SECONDS):
                    return True
                if None not in (now, self._since) and ahead > (now or 0.0) - (self._since or 0.0) + SAID_SECONDS:
                    return False
            if ahead > 0:
                self.newest, self._since = at, now
        return False

    def ask(self) -> tuple[Message, ...]:
        """Return the question for the server's time, unless it has been put and not answered."""
        if self.asked:
            return ()
        self.asked = True
        return (Message("PING", ("time",)),)

    def saved(self) -> list[Any]:
        """Return how things stand as JSON values, for `resume`."""
        return [self.newest, self.certain]

    def resume(self, saved: Any) -> None:
        """Go on where another worker was.

        Raises:
            ValueError, TypeError: this is not what `saved` gave.
        """
        newest, certain = saved
        self.newest, self.certain = float(newest), bool(certain)


def seconds(time: str) -> float | None:
    """Read a `time` tag, `2011-10-19T16:40:51.620Z`, as seconds since 1970; None for what is none."""
    match = _TIME.fullmatch(time)
    if match is None:
        return None
    try:
        return timegm(tuple(map(int, match.groups()[:6]))) + float(match[7] or 0)
    except ValueError:  # a month that there is not
        return None
