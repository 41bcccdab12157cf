"""The quiet window: what has changed since the last settle, and how long its end is waited for.

Values and rules only: `now` is an argument, in seconds of a monotonic clock; waiting is the watcher's. The times come
from measurements (docs/architecture.md, «Watching»).
"""

from __future__ import annotations

from dataclasses import dataclass, field

BURST_SECONDS = 0.008  # at 3 ms one sweep in six fell into the middle of a git checkout; at 8 ms none did
OPEN_SECONDS = 2.0  # how long a file that its writer holds open is waited for since its last write
HOLD_SECONDS = 10.0  # how long in all; from then on a pause in the writing has to do
STEADY_SECONDS = 0.1  # between two looks that must be equal, where no event tells that a file was closed
ALONE_SECONDS = 0.5  # how long a file that is complete waits for others that are being written


@dataclass(slots=True)
class Window:
    """One settled set in the making.

    Attributes:
        names: of the units that changed; empty with `is_odd` for what has no name.
        last: when anything changed last.
        began: when the first change of this set came; None before it.
        writing: files that their writers hold open, by path: the unit, and when it was written last.
        is_odd: something happened that names do not say: a folder, a link, lost events.
        is_lost: events were lost, and may be still; the watches must be looked after.
        is_unsure: what changed was seen only by looking, so that nobody tells when its writer is done.
    """

    names: set[str] = field(default_factory=set)
    last: float = float("-inf")
    began: float | None = None
    writing: dict[str, tuple[str, float]] = field(default_factory=dict)
    is_odd: bool = False
    is_lost: bool = False
    is_unsure: bool = False

    def mark(self, path: str, unit: str, now: float, *, is_writing: bool = False, is_odd: bool = False) -> None:
        """Note a change of one file or folder of a unit."""
        self.begin(now)
        self.last = now
        self.names.add(unit)
        self.is_odd |= is_odd
        if is_writing:
            self.writing[path] = unit, now
        else:
            self.writing.pop(path, None)

    def lose(self, now: float) -> None:
        """Note that anything may have changed, and that who writes where is no longer known."""
        self.begin(now)
        self.last, self.is_odd, self.is_lost, self.is_unsure = now, True, True, True
        self.writing.clear()

    def begin(self, now: float) -> None:
        """Count the time of this set from now, if nothing has begun it yet."""
        if self.began is None:
            self.began = now

    @property
    def is_empty(self) -> bool:
        return not self.names and not self.is_odd

    @property
    def one(self) -> str:
        """The unit that changed, if nothing else did."""
        return next(iter(self.names)) if len(self.names) == 1 and not self.is_odd else ""

    def age(self, now: float) -> float:
        """Return for how long this set has been in the making, in seconds."""
        return 0.0 if self.began is None else now - self.began

    def written_until(self, now: float) -> float:
        """Return until when to wait for writers that hold files open; forgets those that were waited for enough."""
        patience = OPEN_SECONDS if self.age(now) < HOLD_SECONDS else STEADY_SECONDS
        self.writing = {path: one for path, one in self.writing.items() if now - one[1] < patience}
        return max((at + patience for _, at in self.writing.values()), default=now)

    def complete(self, now: float) -> frozenset[str]:
        """Return the units that are complete when others are held open for so long that these need not wait."""
        if self.is_odd or self.is_unsure or self.age(now) < ALONE_SECONDS:
            return frozenset()
        return frozenset(self.names - {unit for unit, _ in self.writing.values()})

    def take(self, names: frozenset[str] = frozenset()) -> None:
        """Begin the next set: without these names or, where none is given, from nothing."""
        self.names = self.names - names if names else set()
        if not names:
            self.writing = {}
            self.is_odd = self.is_unsure = False
        if not self.names and not self.is_unsure:
            self.began = None
