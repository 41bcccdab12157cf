"""Going back: to a version before because an admin says so or its probation asks for it, and at a start to the last
good version of what can't be loaded.

Old sources go through the same transaction as a saved file, and are pinned: they stand in for what the file holds until
the file changes. What versions there were is `history.py`, which this hangs on the reloader together with the
probation.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any

from bot.config import Reload
from bot.dispatch.faults import Faults
from bot.dispatch.owner import unowned
from bot.errors import UserError
from bot.live import report
from bot.live.discover import Unit
from bot.live.failures import signature
from bot.live.history import PROBATION, ROLLBACK, START, Archive, History, Version, earlier
from bot.live.loader import shown
from bot.live.outcome import Commit, Failed
from bot.live.plan import Pin
from bot.live.probation import Probation, Verdict
from bot.live.reload import Reloader
from bot.live.report import Entry, Report


class Past:
    """What was live before, of one reloader.

    Args:
        archive, pins: where versions and pins lie on disk.
        faults: is told what can't be loaded.
        settings: gives those in force.
        tell: is given the report when the probation takes a version back.
        spawn: starts a task that ends with the bot at the latest.
    """

    def __init__(
        self,
        reloader: Reloader,
        archive: Archive,
        pins: MutableMapping[str, Any],
        faults: Faults,
        settings: Callable[[], Reload],
        tell: Callable[[Report], object],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reloader, self._faults, self._tell, self._spawn = reloader, faults, tell, spawn
        self.history = History(archive, pins, lambda: reloader.live)
        self.probation = Probation(settings, self._condemned, clock)
        reloader.on_commit += [self.history.committed, self.probation.committed, self._loaded]
        reloader.on_failure += [self.history.failed, self._not_loaded]
        reloader.on_pins.append(self.history.pinned)

    async def close(self) -> None:
        """End; what is not written yet is."""
        await self.history.close()

    async def go_on(self, standing: Sequence[Mapping[str, Any]]) -> None:
        """Judge on from where the worker before stood; see `Probation.standing`."""
        for each in standing:
            units = {name: await self.history.unit(name, digest) for name, digest in each["back"].items()}
            # Without the sources of all of them there is no way back, and nothing to judge.
            self.probation.go_on(
                each, {name: unit for name, unit in units.items() if unit} if all(units.values()) else {}
            )

    def _loaded(self, commit: Commit) -> None:
        for name in commit.new:
            self._faults.loaded(name)

    def _not_loaded(self, failed: Failed) -> None:
        for name in failed.plugins:
            self._faults.not_loaded(name, failed.error)

    # -- at a start

    async def begin(self) -> Report:
        """Take all plugins live for the first time; where that fails, the last good version is live instead."""
        failed: list[Failed] = []
        self._reloader.on_failure.append(failed.append)
        try:
            pins = await self.history.pins()
            first = await self._reloader.settle(cause=START, pins=pins)
        finally:
            self._reloader.on_failure.remove(failed.append)
        ended = [pin.unit for name, pin in pins.items() if name not in self._reloader.pinned]
        if ended:  # their files were changed while the bot was down
            self.history.pinned(self._reloader.pinned)
            first = Report((*first.entries, *(report.unpinned(unit.name, unit.digest) for unit in ended)))
        sets = [found for each in failed if not each.was_live and (found := await self._last_good(each)) is not None]
        if not sets:
            return first
        pins = {name: pin for found in sets for name, pin in found.pins.items()}
        good = {name for found in sets for name in found.versions}
        without = {name for found in sets for name in found.failed.plugins} - good
        # What fails once more was reported the first time.
        second = await self._reloader.settle(good, cause=START, pins={**self._reloader.pinned, **pins}, without=without)
        entries = [entry for entry in first.entries if entry.signature not in {found.signature for found in sets}]
        for found in sets:
            entries += self._fallen_back(found)
        told = {name for entry in entries for name in entry.plugins}
        return Report((*entries, *(entry for entry in second.entries if not told.issuperset(entry.plugins))))

    async def _last_good(self, failed: Failed) -> _Set | None:
        """Find what was live together last of the plugins in a group that failed."""
        disk = {name: unit.digest for name, unit in failed.units.items()}
        versions: dict[str, Version] = {}
        for name in failed.plugins:
            known = earlier(await self.history.versions(name), ())
            if known:
                versions[name] = known[0]
        wanted: dict[str, str] = {}
        for version in sorted(versions.values(), key=lambda version: version.at):
            wanted |= {other: digest for other, digest in version.imports.items() if other.startswith("_")}
        wanted |= {name: version.digest for name, version in versions.items()}
        pins = {}
        for name, digest in wanted.items():
            if disk.get(name) == digest:
                continue
            unit = await self.history.unit(name, digest)
            if unit is None:
                return None
            pins[name] = Pin(unit, disk.get(name, ""), disk, kept=False)
        return _Set(failed, versions, pins) if pins else None

    def _fallen_back(self, found: _Set) -> list[Entry]:
        why, entries, live = str(found.failed.error), [], self._reloader.live
        runs = [name for name in found.failed.plugins if name in found.versions and name in live]
        lost = [name for name in found.failed.plugins if name not in runs]
        if runs:
            days = [(name, live[name].unit.digest, _day(found.versions[name].at)) for name in runs]
            entries.append(report.fell_back(days, why, found.signature))
        if lost:
            entries.append(report.failed([(name, 0) for name in lost], why, found.signature))
        return entries

    # -- for admins, and the probation

    async def rollback(self, name: str, which: str, who: str) -> Report:
        """Go back to a version of a plugin or shared module that was good.

        Args:
            which: how many versions back, from 1; or the hash of one, as `!history` shows it.

        Raises:
            UserError: there is no such version.
        """
        live = self._reloader.live.get(name)
        disk = await self._reloader.on_disk([name])
        now = live.unit.digest if live is not None else disk[name].digest if name in disk else ""
        choices = earlier(await self.history.versions(name), {now})
        version = _chosen(choices, which)
        if version is None:
            raise UserError(f"{name}: {_offer(choices)}")
        unit = await self.history.unit(name, version.digest)
        if unit is None:
            raise UserError(f"{name}: the sources of {version.digest[:7]} are not kept any more")
        _, done = await self._back({name: unit}, disk, f"{ROLLBACK} by {who}", f"rolled back by {who}", "")
        return done

    async def _back(
        self, units: Mapping[str, Unit], disk: Mapping[str, Unit], cause: str, sin: str, why: str
    ) -> tuple[bool, Report]:
        """Take these versions live and pin them; return whether that went, and what to tell."""
        missing = next((name for name in units if name not in disk), None)
        if missing is not None:
            raise UserError(f"{missing}: its file is gone; put any file of that name there first")
        before = {name: image.unit for name, image in self._reloader.live.items() if name in units}
        pins = {name: Pin(unit, disk[name].digest) for name, unit in units.items() if unit.digest != disk[name].digest}
        done = await self._reloader.settle(units, cause=cause, pins=pins)
        live = self._reloader.live
        if any(name not in live or live[name].unit.digest != unit.digest for name, unit in units.items()):
            return False, done
        for name, unit in before.items():
            self.history.judge(name, unit.digest, sin)
        entries = [
            report.rolled_back(name, unit.digest, _all_of(disk[name]), why if name == list(units)[-1] else "")
            for name, unit in units.items()
        ]
        return True, Report((*entries, *done.entries))

    def _condemned(self, verdict: Verdict) -> None:
        unowned(self._spawn, self._take_back(verdict))  # it is the version's own call that led to this

    async def _take_back(self, verdict: Verdict) -> None:
        why, disk = verdict.why, await self._reloader.on_disk(verdict.back)
        try:
            went, done = await self._back(verdict.back, disk, PROBATION, f"taken back: {why}", why)
        except UserError as error:
            went, done = False, Report((Entry(str(error), (verdict.plugin,), False),))
        self._tell(done if went else Report((report.not_back(verdict.plugin, why), *done.entries)))


class _Set:
    """What was live together, to run in place of a group that failed."""

    def __init__(self, failed: Failed, versions: Mapping[str, Version], pins: Mapping[str, Pin]) -> None:
        self.failed, self.versions, self.pins = failed, versions, pins
        self.signature = signature([*failed.units], failed.units)


def _chosen(choices: Sequence[Version], which: str) -> Version | None:
    if which.isdecimal() and len(which) < 4:
        return choices[int(which) - 1] if 0 < int(which) <= len(choices) else None
    return next((version for version in choices if len(which) >= 4 and version.digest.startswith(which)), None)


def _all_of(unit: Unit) -> str:
    """Return the file of a unit, or the folder of a package: a change of any file in it ends a pin."""
    main = shown(unit)
    return f"{unit.name}/" if main.endswith("/__init__.py") else main


def _offer(choices: Sequence[Version]) -> str:
    if not choices:
        return "there is no good version to go back to"
    listed = ", ".join(f"{number}: {each.digest[:7]}" for number, each in enumerate(choices[:8], 1))
    return f"no such version; you can go back to {listed}"


def _day(at: float) -> str:
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d")
