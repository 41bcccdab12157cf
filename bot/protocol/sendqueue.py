"""The order and pace in which lines leave for one IRC server: two lanes over one token bucket.

Pure: no socket, no clock (`now` is an argument, seconds of a clock that should be monotonic). It knows nothing of IRC;
the keeper owns one per network and writes what `pop` gives. Standard library only, because the keeper imports it.

Urgent lines (registration, JOIN, KICK, QUIT) leave at once and before all others. They spend tokens, so that the
chatter behind them slows down, but never the last one: the first answer after a burst of JOINs is not late.
Servers count lines in much this way (RFC 2813 section 5.8: a penalty per line against a clock that runs ahead).
"""

from __future__ import annotations

from collections import deque

#: A bucket refilled by floating point may hold 0.99999 tokens at the very moment that `next_at` named: a clock that has
#: run for years counts in steps of a tenth of a microsecond.
_WHOLE = 1 - 1e-4


class SendQueue:
    """Lines that wait to be sent to one server.

    Args:
        burst: lines that may leave at once after a silence; 0 or less: no pacing at all.
        per_second: lines per second after that; above 0 when `burst` is.
    """

    __slots__ = ("_burst", "_filled_at", "_paced", "_per_second", "_tokens", "_urgent")

    def __init__(self, burst: float, per_second: float) -> None:
        self._urgent: deque[bytes] = deque()
        self._paced: deque[bytes] = deque()
        self._filled_at: float | None = None
        self._tokens = self._burst = self._per_second = 0.0
        self.pace(burst, per_second)

    def pace(self, burst: float, per_second: float) -> None:
        """Change the limits; what waits keeps its place. A queue that was not paced so far starts with a full burst.

        Raises:
            ValueError: a bucket that would never fill again.
        """
        if burst > 0 and per_second <= 0:
            raise ValueError(f"a burst of {burst} lines needs a rate above 0, not {per_second}")
        before = self._burst
        # A bucket that holds less than one line would never open.
        self._burst = max(burst, 1.0) if burst > 0 else 0.0
        self._per_second = per_second
        self._tokens = min(self._tokens, self._burst) if before else self._burst

    def push(self, item: bytes, urgent: bool = False) -> None:
        """Put a line at the end of its lane."""
        (self._urgent if urgent else self._paced).append(item)

    def pop(self, now: float, *, paced: bool = True) -> bytes | None:
        """Take the line that may leave at `now`, or None.

        Args:
            paced: False takes from the urgent lane only (the chatter is held until the channels are joined).
        """
        self._refill(now)
        if self._urgent:
            self._tokens = max(self._tokens - 1, min(self._tokens, 1.0))
            return self._urgent.popleft()
        if not paced or not self._paced:
            return None
        if self._burst:
            if self._tokens < _WHOLE:
                return None
            self._tokens = max(0.0, self._tokens - 1)
        return self._paced.popleft()

    def next_at(self, now: float) -> float | None:
        """When `pop` will give a line: `now`, a later moment, or None when nothing waits."""
        if self._urgent:
            return now
        if not self._paced:
            return None
        self._refill(now)
        if not self._burst or self._tokens >= _WHOLE:
            return now
        return now + (1 - self._tokens) / self._per_second

    @property
    def urgent(self) -> int:
        """How many urgent lines wait; while it is above 0, `pop` gives one of these."""
        return len(self._urgent)

    @property
    def paced(self) -> int:
        """How many other lines wait."""
        return len(self._paced)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._paced)

    def clear(self) -> None:
        """Throw away what waits."""
        self._urgent.clear()
        self._paced.clear()

    def _refill(self, now: float) -> None:
        # A clock that steps backwards gives nothing and costs nothing: time counts on from where it is now.
        if self._filled_at is not None and now > self._filled_at:
            self._tokens = min(self._burst, self._tokens + (now - self._filled_at) * self._per_second)
        self._filled_at = now
