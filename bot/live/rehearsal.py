"""A ground on which all plugins have been tried before they are needed.

A worker that takes the place of another loads its plugins while lines wait, so all that takes its time is done before:
every unit is compiled and executed in a trial process, and the packages that plugins import are imported here. The
first transaction then finds it done and only executes. What has changed on disk since, or is not on disk (a version
that was rolled back to), is tried then as ever.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from bot.errors import PluginError
from bot.live.builder import Builder
from bot.live.compiled import Compiled
from bot.live.discover import Discovery, Unit
from bot.live.drift import packages
from bot.live.loader import TookTooLong
from bot.live.plan import Patience, Planner
from bot.live.trial import Ground, Kept, Settings, Verdict

log = logging.getLogger(__name__)

IMPORT_SECONDS = 30.0  # for all packages together; each passed its trial

Content = frozenset[tuple[str, str]]


class Rehearsal:
    """Tries all plugins, and remembers what came of it until the first transaction has ended."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._compiled: dict[tuple[str, str], Compiled] = {}
        self._verdicts: dict[Content, Verdict] = {}
        self._rehearsing = False

    async def rehearse(
        self, discovery: Discovery, off: Collection[str], settings: Settings, patience: Patience
    ) -> dict[str, tuple[str, PluginError]]:
        """Try all that is on disk.

        Args:
            off: plugins that are disabled.

        Returns:
            What can't be loaded: unit -> its digest, and why.
        """
        builder, self._rehearsing = Builder(TookTooLong), True
        try:
            planner = Planner(discovery, builder.run, lambda: patience, lambda _: None, lambda: 0.0, self)
            plan = await planner.plan({}, off, set(), everything=False, first=True)
            groups = [[plan.units[name] for name in group.units] for group in plan.groups]
            await planner.prove(groups, {}, settings, patience.import_)
            outside = {name for verdict in self._verdicts.values() for name in verdict.outside}
            try:
                await builder.run(lambda: _import(outside), IMPORT_SECONDS)
            except (Exception, TookTooLong) as error:
                log.warning("the packages of plugins could not all be imported ahead: %s", error)
            return {unit.name: (unit.digest, why) for group in groups for unit, why in self._failed(planner, group)}
        finally:
            self._rehearsing = False
            self._ground.rest()
            builder.stop()

    def _failed(self, planner: Planner, group: Sequence[Unit]) -> list[tuple[Unit, PluginError]]:
        whys = [one.error for unit in group if (one := planner.compiled(unit)) is not None]
        why = next((each for each in [*whys, planner.verdict(group).error] if each is not None), None)
        return [(unit, why) for unit in group] if why is not None else []

    # -- bot.live.trial.Ground

    async def compile(self, units: Sequence[Unit]) -> list[Compiled]:
        """Compile those that were not."""
        new = [unit for unit in units if (unit.name, unit.digest) not in self._compiled]
        found = dict(self._compiled)
        found.update(
            {(one.unit.name, one.unit.digest): one for one in (await self._ground.compile(new) if new else ())}
        )
        if self._rehearsing:
            self._compiled = found
        return [found[unit.name, unit.digest] for unit in units]

    async def prove(
        self,
        groups: Sequence[Sequence[Compiled]],
        around: Mapping[str, Compiled],
        settings: Settings,
        seconds: float,
        kept: Kept = MappingProxyType({}),
    ) -> list[Verdict]:
        """Execute those that were not; beside live units, or with values to migrate, all are."""
        known = {} if around else self._verdicts
        new = [group for group in groups if _content(group) not in known or any(one.unit.name in kept for one in group)]
        verdicts = await self._ground.prove(new, around, settings, seconds, kept) if new else []
        found = known | {_content(group): verdict for group, verdict in zip(new, verdicts, strict=True)}
        if self._rehearsing:
            # What failed may be well by the time of the transaction, hours later: a server was down, a disk was full.
            self._verdicts = {content: verdict for content, verdict in found.items() if verdict.error is None}
        return [found[_content(group)] for group in groups]

    def prepare(self) -> None:
        """Be ready soon."""
        self._ground.prepare()

    def over(self) -> None:
        """The transaction has ended: what comes later is tried as ever."""
        self._compiled, self._verdicts = {}, {}
        self._ground.over()

    def rest(self) -> None:
        """Let go of what trials need."""
        self._ground.rest()

    async def close(self) -> None:
        """End what trials need."""
        await self._ground.close()


def _content(group: Sequence[Compiled]) -> Content:
    return frozenset((one.unit.name, one.unit.digest) for one in group)


def _import(names: Collection[str]) -> None:
    for name in sorted(names):
        if packages([name]):
            try:
                importlib.import_module(name)
            except Exception as error:  # it is told when the plugin is loaded
                log.debug("%s can't be imported ahead: %r", name, error)
