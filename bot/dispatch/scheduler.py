"""When things run: `@every` of the plugins, and one-shot calls at a point in time.

Intervals live on the monotonic clock, so setting the wall clock neither hurries nor delays them. Cron lines and
one-shot calls mean the wall clock (local time zone); while there are any it is looked at every 30 s, for it may be set
and the machine may sleep. Late is once: whatever was missed runs one time, and the next time is the one it always was.
A job that still runs when it is due again is passed over.

    replace(plugin, [Every(...), ...])    swaps a plugin's jobs; those that remain keep their time
    put(plugin, name, due)                gives one the time that it had in a process before
    schedule(at, run) -> Handle           one call, at seconds since the epoch

What a run is (its `ctx`, time-out, errors) is the pipeline's: `run()` gives a coroutine and `spawn` starts it. What
survives a restart is in `bot/storage.py`. Cron lines are read by cronsim, which no other file imports.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import math
import time
from collections.abc import Callable, Coroutine, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any, Final, Protocol

LOOK_SECONDS: Final = 30.0  # how late a step of the wall clock is noticed at most
STEP_SECONDS: Final = 1.0  # what counts as a step, rather than as the two clocks running apart
AGAIN_SECONDS: Final = 3_600.0  # a wall clock set back by less than this does not run a cron job a second time
SHORTEST_SECONDS: Final = 0.001
SLACK: Final = 64  # ended entries that may lie about in the heaps

Run = Callable[[], Coroutine[Any, Any, object]]
Spawn = Callable[[Coroutine[Any, Any, object]], "asyncio.Future[Any]"]  # `asyncio.create_task` is one

_log = logging.getLogger(__name__)


class Timer(Protocol):
    """What `Clock.call_at` gives."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """The two clocks; tests have their own."""

    def time(self) -> float:
        """Seconds since the epoch; may be set."""

    def monotonic(self) -> float:
        """Seconds that only go forward."""

    def call_at(self, monotonic: float, callback: Callable[[], None]) -> Timer:
        """Call once when `monotonic()` has got there."""


class LoopClock:
    """The clocks of the running event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        # Not the context of who arms a timer: one wakes the jobs of all plugins, and it outlives a version.
        self._context = copy_context()

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return self._loop.time()

    def call_at(self, monotonic: float, callback: Callable[[], None]) -> Timer:
        return self._loop.call_at(monotonic, callback, context=self._context)


@dataclass(frozen=True, slots=True)
class Every:
    """A periodic job of a plugin.

    Args:
        name: one of its kind in the plugin; under it the job keeps its time over reloads.
        when: seconds between runs, or a cron line (`0 9 * * 1-5`).

    Raises:
        ValueError: `when` is neither; the text is a sentence.
    """

    name: str
    when: float | str
    run: Run

    def __post_init__(self) -> None:
        if isinstance(self.when, str):
            next_cron(self.when, 0.0)
        elif not math.isfinite(self.when) or self.when < SHORTEST_SECONDS:
            raise ValueError(f"a job can't run every {self.when} seconds")


def next_cron(line: str, after: float) -> float:
    """When a cron line is due next.

    Args:
        after: seconds since the epoch; the result is later than this.

    Raises:
        ValueError: it is no cron line, or names a day that never comes.
    """
    from cronsim import CronSim, CronSimError  # most bots have no cron job

    try:
        moments = CronSim(line, datetime.fromtimestamp(after).replace(tzinfo=_Local()))
        # In the hour that the end of summer time repeats it may name the first of two moments, which is over.
        while (moment := next(moments).timestamp()) <= after:
            pass
    except CronSimError as error:
        raise ValueError(f"`{line}` is no cron line: {error}; the five are minute hour day month weekday") from error
    except StopIteration:
        raise ValueError(f"`{line}` is never due") from None
    return moment


class _Local(tzinfo):
    """The system's time zone with its changes: `astimezone()` alone would freeze the offset of one moment."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        assert moment is not None
        naive = moment.replace(tzinfo=None)
        return naive - datetime(1970, 1, 1) - timedelta(seconds=naive.timestamp())

    def fromutc(self, moment: datetime) -> datetime:
        return datetime.fromtimestamp(moment.replace(tzinfo=UTC).timestamp()).replace(tzinfo=self)

    def dst(self, moment: datetime | None) -> None:
        return None

    def tzname(self, moment: datetime | None) -> str:
        return "local"


async def _nothing() -> None:
    """What is left of an entry that has ended."""


class _Entry:
    """One job that is on: a periodic one, or one call."""

    __slots__ = ("called", "due", "ended", "last", "run", "running", "when")

    def __init__(self, called: str, when: float | str | None, run: Run, due: float) -> None:
        self.called, self.when, self.run = called, when, run
        self.due = due  # monotonic for an interval, else seconds since the epoch
        self.last = -math.inf  # the due time of the last run
        self.running = self.ended = False

    @property
    def on_wall(self) -> bool:
        return not isinstance(self.when, float)


class Handle:
    """One scheduled call."""

    def __init__(self, entry: _Entry, cancel: Callable[[], None]) -> None:
        self._entry, self._cancel = entry, cancel

    @property
    def due(self) -> float:
        """Seconds since the epoch."""
        return self._entry.due

    @property
    def pending(self) -> bool:
        """Neither begun nor cancelled."""
        return not self._entry.ended

    def cancel(self) -> bool:
        """Call it off; False when it has begun or was called off already."""
        if self._entry.ended:
            return False
        self._cancel()
        return True


class Scheduler:
    """The timers of all plugins. Every method is called on the loop.

    Args:
        spawn: starts a run and gives its future, which tells when the job may run again.
    """

    def __init__(self, clock: Clock, spawn: Spawn) -> None:
        self._clock, self._spawn = clock, spawn
        self._jobs: dict[str, dict[str, _Entry]] = {}  # by plugin and name
        # By due time, one heap for each clock. An item whose time is no longer its entry's is stale and passed over.
        self._on_wall: list[tuple[float, int, _Entry]] = []
        self._on_monotonic: list[tuple[float, int, _Entry]] = []
        self._order = itertools.count()
        self._timer: Timer | None = None
        self._stopped = self._held = False
        self._ended = 0
        self._apart = clock.time() - clock.monotonic()

    def replace(self, plugin: str, jobs: Sequence[Every]) -> None:
        """Make these the plugin's periodic jobs, in one step; none of them runs now.

        A job of the same name keeps its time, or comes sooner if its interval got shorter; one that is not among them
        never runs again; a new one runs first when its interval is over. A run in progress goes on.

        Raises:
            ValueError: two have one name. Then nothing has changed.
        """
        if len({job.name for job in jobs}) < len(jobs):
            raise ValueError(f"two jobs of `{plugin}` have one name")
        old = self._jobs.pop(plugin, {})
        new: dict[str, _Entry] = {}
        for job in jobs:
            when = job.when if isinstance(job.when, str) else float(job.when)
            entry = old.pop(job.name, None)
            if entry is None:
                entry = _Entry(f"{plugin}.{job.name}", when, job.run, self._first(when))
                self._push(entry)
            elif entry.when != when:
                first = self._first(when)
                keeps = isinstance(entry.when, float) and isinstance(when, float)
                entry.due = min(entry.due, first) if keeps else first
                entry.when, entry.last = when, -math.inf
                self._push(entry)
            entry.run = job.run
            new[job.name] = entry
        for entry in old.values():
            self._end(entry)
        if new:
            self._jobs[plugin] = new
        self._arm()

    def schedule(self, at: float, run: Run, *, called: str = "a scheduled call") -> Handle:
        """Run once at `at` seconds since the epoch; in the next turn of the loop if that is over.

        Args:
            called: what the log calls it.
        """
        entry = _Entry(called, None, run, at)
        self._push(entry)
        self._arm()
        return Handle(entry, lambda: self._end(entry))

    def seconds_until(self, plugin: str, name: str) -> float | None:
        """How long until a periodic job is due; None when there is no such job."""
        entry = self._jobs.get(plugin, {}).get(name)
        if entry is None:
            return None
        return entry.due - (self._clock.time() if entry.on_wall else self._clock.monotonic())

    def last_due(self, plugin: str, name: str) -> float:
        """When a periodic job should have begun that has just begun: seconds since the epoch."""
        entry = self._jobs[plugin][name]
        return entry.last if entry.on_wall else entry.last + self._clock.time() - self._clock.monotonic()

    def put(self, plugin: str, name: str, due: float) -> None:
        """Let a periodic job be due at this time, in seconds since the epoch; one that is over is now."""
        entry = self._jobs[plugin][name]
        entry.due = due if entry.on_wall else due - self._clock.time() + self._clock.monotonic()
        self._push(entry)
        self._arm()

    def hold(self) -> None:
        """Start nothing until `release`; what falls due meanwhile is late then."""
        self._held = True
        self._arm()

    def release(self) -> None:
        """Start what is due, and go on."""
        self._held = False
        self._arm()

    def stop(self) -> None:
        """Nothing is started from here on; what runs goes on. Idempotent."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()
        self._on_wall.clear()
        self._on_monotonic.clear()

    # --- the timer

    def _first(self, when: float | str) -> float:
        return next_cron(when, self._clock.time()) if isinstance(when, str) else self._clock.monotonic() + when

    def _push(self, entry: _Entry) -> None:
        heap = self._on_wall if entry.on_wall else self._on_monotonic
        heapq.heappush(heap, (entry.due, next(self._order), entry))

    def _end(self, entry: _Entry) -> None:
        """Take an entry away. It may lie in its heap until it would have been due; its function, and with that the
        generation of its plugin, must not."""
        entry.ended, entry.run = True, _nothing
        self._ended += 1
        if self._ended > SLACK + (len(self._on_wall) + len(self._on_monotonic)) // 2:
            self._ended = 0
            for heap in (self._on_wall, self._on_monotonic):
                heap[:] = [item for item in heap if not item[2].ended]
                heapq.heapify(heap)
        self._arm()

    def _next(self, heap: list[tuple[float, int, _Entry]]) -> _Entry | None:
        """The entry that is due first; what is stale goes."""
        while heap:
            due, _, entry = heap[0]
            in_place = heap is (self._on_wall if entry.on_wall else self._on_monotonic)
            if not entry.ended and entry.due == due and in_place:
                return entry
            heapq.heappop(heap)
        return None

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopped or self._held:
            return
        now, wall = self._read()
        wakes = []
        if (entry := self._next(self._on_monotonic)) is not None:
            wakes.append(entry.due)
        if (entry := self._next(self._on_wall)) is not None:
            wakes.append(now + min(max(entry.due - wall, 0.0), LOOK_SECONDS))
        if wakes:
            self._timer = self._clock.call_at(min(wakes), self._wake)

    def _wake(self) -> None:
        self._timer = None
        now, wall = self._read()
        # A timer may fire a hair early, and the two clocks are not read at one moment.
        due: list[_Entry] = []
        for heap, until in ((self._on_monotonic, now), (self._on_wall, wall)):
            while (entry := self._next(heap)) is not None and entry.due <= until + SHORTEST_SECONDS:
                heapq.heappop(heap)
                due.append(entry)
                self._put_off(entry, until)
        for entry in due:
            self._begin(entry)
        self._arm()

    def _read(self) -> tuple[float, float]:
        """Both clocks; a step back of the wall clock since the last look is dealt with."""
        now, wall = self._clock.monotonic(), self._clock.time()
        before, self._apart = self._apart, wall - now
        if self._apart < before - STEP_SECONDS:
            self._set_back(wall)
        return now, wall

    def _put_off(self, entry: _Entry, now: float) -> None:
        """Give an entry that is due its next time, in step with all its earlier ones."""
        entry.last = entry.due
        if entry.when is None:
            return
        if isinstance(entry.when, str):
            try:
                entry.due = next_cron(entry.when, max(now, entry.due))
            except ValueError:  # it was fine once; there is an end to the years that cronsim tries
                entry.ended = True
        else:
            missed = max(0, math.floor((now - entry.due) / entry.when))
            entry.due += (missed + 1) * entry.when
            if entry.due <= now + SHORTEST_SECONDS:
                entry.due = now + entry.when
        self._push(entry)

    def _set_back(self, wall: float) -> None:
        """The wall clock was set back: cron jobs are due by the new time, but none again for what it has just done."""
        for entry in [entry for jobs in self._jobs.values() for entry in jobs.values()]:
            if isinstance(entry.when, str) and not entry.ended:
                after = entry.last if 0 <= entry.last - wall <= AGAIN_SECONDS else wall
                entry.due = next_cron(entry.when, after)
                self._push(entry)

    def _begin(self, entry: _Entry) -> None:
        # One that ran in this very turn may have taken this one away.
        if entry.ended:
            return
        if entry.running:
            _log.info("%s is due again and still runs: passed over", entry.called)
            return
        run = entry.run
        if entry.when is None:
            entry.ended, entry.run = True, _nothing
        coroutine = None
        try:
            coroutine = run()
            future = self._spawn(coroutine)
        except Exception:
            if coroutine is not None:
                coroutine.close()
            _log.exception("%s could not be started", entry.called)
            return
        entry.running = True

        def over(_: object) -> None:
            entry.running = False

        future.add_done_callback(over)
