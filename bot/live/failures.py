"""What failed to load, so that the same content is neither tried nor told again, and its end is told once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping

from bot.live import report
from bot.live.commit import step
from bot.live.discover import Unit
from bot.live.loader import Image
from bot.live.outcome import Failed
from bot.live.plan import Plan
from bot.live.report import FAILURE_WAITS_SECONDS, Entry

log = logging.getLogger(__name__)

Signature = frozenset[tuple[str, str]]  # (unit, digest) of all of a group; the digest of one that is gone is ""


def signature(names: Iterable[str], units: Mapping[str, Unit]) -> Signature:
    """Return what a group is, by content."""
    return frozenset((name, units[name].digest if name in units else "") for name in names)


def tell(failed: Failed, listeners: Iterable[Callable[[Failed], object]]) -> None:
    """Tell a failure to the log, with its traceback if it has one, and to those who listen."""
    error = failed.error
    if error.__cause__ is not None:
        log.warning("%s can't be loaded: %s", error.plugin, error, exc_info=error.__cause__)
    for listener in listeners:
        step(listener, failed)


class Failures:
    """Groups that failed as they are on disk. One writer: the reloader."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._since: dict[Signature, float] = {}

    def __contains__(self, what: Signature) -> bool:
        return what in self._since

    def note(self, what: Signature) -> None:
        """Remember a failure."""
        self._since[what] = self._clock()

    def names(self) -> set[str]:
        """Return the units that are part of a failure."""
        return {name for what in self._since for name, _ in what}

    def forget(self, names: Collection[str]) -> None:
        """These units have been tried again: an older failure of theirs would be news, should they come back to it."""
        self._since = {what: at for what, at in self._since.items() if not any(name in names for name, _ in what)}

    def undone(
        self, plan: Plan, live: Mapping[str, Image], missing: Collection[str], held: Collection[str] = ()
    ) -> list[Entry]:
        """Tell of failures that ended without a new version: the file holds again what is live, or is gone; of those in
        `held`, what a pin stands in for, and there is nothing to tell.
        """
        entries, now = [], self._clock()
        for what, since in list(self._since.items()):
            if any(name in plan.touched or name in missing for name, _ in what):
                continue
            del self._since[what]
            if now - since < FAILURE_WAITS_SECONDS:
                continue  # nobody has heard of it
            for name, _ in sorted(what):
                image = live.get(name)
                if name in held:
                    continue
                if image is not None and image.owner is not None:
                    entries.append(report.as_before(name, image.owner.generation, image.unit.digest))
                elif image is None and name not in plan.units and not name.startswith("_"):
                    entries.append(report.given_up(name))
        return entries
