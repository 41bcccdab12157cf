"""Probation: a new version that fails in its first minutes far more often than the one before did is taken back.

Calls and failures of each version are counted as the pipeline tells of them: time-outs count as failures, a user's own
mistakes do not. What is far more often is `is_worse`, a pure rule. Going back is left to who is told of a `Verdict`
(`past.py`). A version is taken back once only for the same one before: if an admin takes it again, it stays.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bot.config import Reload
from bot.dispatch.owner import Owner
from bot.live.discover import Unit
from bot.live.history import PROBATION, ROLLBACK
from bot.live.outcome import START_FAILED, Commit
from bot.live.plan import needed

JUDGED_KEPT = 200  # pairs of versions


@dataclass(slots=True)
class Tally:
    """What became of the calls of one version."""

    generation: int
    calls: int = 0
    failures: int = 0

    def __str__(self) -> str:
        return f"{self.failures} of {self.calls}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A version is to be taken back.

    Attributes:
        back: the units that its commit changed for it, as they were before.
        why: `g5 failed 6 of 8 calls in 40 s (g4: 0 of 200)`.
    """

    plugin: str
    back: Mapping[str, Unit]
    why: str


def is_worse(new: Tally, old: Tally, failures: int, factor: float) -> bool:
    """Tell whether a new version fails far more often than the one before.

    It has to have failed at least so many times, and to fail at least `factor` times as often. The old version counts
    as if it had been called once more and failed, so that one which was hardly ever called proves little: with a factor
    of 5, after 4 calls without a failure it convicts a new version that fails every time, after 9 one that fails every
    second time, after none at all nobody.
    """
    if new.failures < failures:
        return False
    return new.failures / new.calls >= factor * (old.failures + 1) / (old.calls + 1)


@dataclass(slots=True)
class _Watched:
    """A live version, and what it took the place of."""

    digest: str
    tally: Tally
    since: float
    before: Tally | None = None
    pair: tuple[str, str, str] = ("", "", "")
    back: Mapping[str, Unit] = field(default_factory=dict)


class Probation:
    """Counts, and judges.

    Args:
        settings: gives those in force.
        condemn: called with each verdict, once.
    """

    def __init__(
        self,
        settings: Callable[[], Reload],
        condemn: Callable[[Verdict], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._condemn, self._clock = settings, condemn, clock
        self._watched: dict[str, _Watched] = {}
        self._judged: deque[tuple[str, str, str]] = deque(maxlen=JUDGED_KEPT)

    def committed(self, commit: Commit) -> None:
        """A commit has been made: its new versions are on probation, unless it went back to what had been live."""
        goes_back = commit.cause.startswith((ROLLBACK, PROBATION, START_FAILED))
        edges = {name: image.imports for name, image in commit.new.items()}
        for name, image in commit.new.items():
            if image.owner is None:
                continue
            watched = _Watched(image.owner.digest, Tally(image.owner.generation), self._clock())
            last = self._watched.get(name) if name in commit.before and not goes_back else None
            if last is not None:
                concerned = {name, *needed([name], edges)} & commit.before.keys()
                changed = {
                    each: commit.before[each].unit
                    for each in concerned
                    if each in commit.new and commit.before[each].unit.digest != commit.new[each].unit.digest
                }
                if not changed:  # built anew as it was: it goes on where it is
                    watched = replace(last, tally=replace(last.tally, generation=image.owner.generation))
                else:
                    watched.pair = (name, _content(changed, commit), "".join(unit.digest for unit in changed.values()))
                    watched.before, watched.back = last.tally, changed
            self._watched[name] = watched
        for name in commit.gone:
            self._watched.pop(name, None)

    def standing(self) -> list[dict[str, Any]]:
        """Return how each version stands, as plain values."""
        now = self._clock()
        return [
            {
                "plugin": plugin,
                "digest": each.digest,
                "tally": _plain(each.tally),
                "age": now - each.since,
                "before": _plain(each.before) if each.before is not None else None,
                "pair": each.pair,
                "back": {name: unit.digest for name, unit in each.back.items()},
                "judged": each.pair in self._judged,
            }
            for plugin, each in self._watched.items()
        ]

    def go_on(self, standing: Mapping[str, Any], back: Mapping[str, Unit]) -> None:
        """Judge a version that is live on from where it stood in the worker before.

        Args:
            standing: one of `standing`.
            back: the units that it names.
        """
        watched = self._watched.get(standing["plugin"])
        if watched is None or watched.digest != standing["digest"]:
            return
        _, calls, failures = standing["tally"]
        watched.tally.calls, watched.tally.failures = watched.tally.calls + calls, watched.tally.failures + failures
        watched.since = self._clock() - standing["age"]
        watched.before = Tally(*standing["before"]) if standing["before"] is not None else None
        watched.pair, watched.back = tuple(standing["pair"]), back
        if standing["judged"]:
            self._judged.append(watched.pair)

    def ended(self, owner: Owner, failed: bool) -> None:
        """A call has ended."""
        watched = self._watched.get(owner.plugin)
        if watched is None or (owner.generation, owner.digest) != (watched.tally.generation, watched.digest):
            return  # of a version that is live no more
        watched.tally.calls += 1
        if not failed:
            return
        watched.tally.failures += 1
        settings, passed = self._settings(), self._clock() - watched.since
        if (
            watched.before is not None
            and watched.back
            and watched.pair not in self._judged
            and passed <= settings.probation_seconds
            and is_worse(watched.tally, watched.before, settings.probation_failures, settings.probation_factor)
        ):
            self._judged.append(watched.pair)
            new, old = watched.tally, watched.before
            why = f"g{new.generation} failed {new} calls in {passed:.0f} s (g{old.generation}: {old})"
            self._condemn(Verdict(owner.plugin, watched.back, why))


def _plain(tally: Tally) -> tuple[int, int, int]:
    return tally.generation, tally.calls, tally.failures


def _content(changed: Mapping[str, Unit], commit: Commit) -> str:
    return "".join(commit.new[name].unit.digest for name in changed)
