"""`@start`: what can exist only once (a port) opens after the commit, when the old generation has let go of it.

A version whose `@start` fails is taken back: the one before, which has ended by then, is made anew from its own
sources and committed again under its number. Called by the reloader under its lock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping

from bot.dispatch.relay import Relay
from bot.errors import PluginError
from bot.live import report
from bot.live.attempt import Attempt
from bot.live.builder import Builder
from bot.live.commit import Live, without_orphans
from bot.live.failures import tell
from bot.live.handoff import Host, Shelf, run_hooks
from bot.live.loader import Image
from bot.live.outcome import START_FAILED, Failed
from bot.live.plan import Patience, Planner, needed
from bot.live.report import Entry

log = logging.getLogger(__name__)


class Starter:
    """Brings up what is committed, or what was live before it."""

    def __init__(
        self,
        live: Live,
        host: Host,
        relay: Relay,
        shelf: Shelf,
        planner: Planner,
        builder: Builder,
        on_failure: Collection[Callable[[Failed], object]] = (),
    ) -> None:
        self._live, self._host, self._relay, self._shelf = live, host, relay, shelf
        self._planner, self._builder, self._on_failure = planner, builder, on_failure

    async def start(
        self, names: Collection[str], images: Mapping[str, Image], before: Mapping[str, Image], patience: Patience
    ) -> dict[str, Entry]:
        """Run `@start`, each after the old generation has ended; return the ones that failed."""
        failed = {}
        for name in (name for name in images if name in names):
            old = before.get(name)
            if old is not None and old.owner is not None:
                await self._live.retire(old, patience.grace)
            try:
                await run_hooks("start", images[name], self._host.context, self._relay, patience.setup)
            except PluginError as error:
                failed[name] = await self._back(name, before, error, patience)
        return failed

    async def _back(self, name: str, before: Mapping[str, Image], error: PluginError, patience: Patience) -> Entry:
        """Bring the version before back, made anew from its own sources; it has ended, and can't go on as it was."""
        unit, why, old = self._live.images[name].unit, str(error), before.get(name)
        self._live.step_back(name)
        if old is None or old.owner is None:
            await self._take_out(name, patience)
        else:
            try:
                await self._again(name, before, patience)
            except PluginError as second:
                log.error("%s: the version before can't come back: %s", name, second, exc_info=second.__cause__)
                why += f"; the version before can't come back: {second}"
                await self._take_out(name, patience)
        # Only now: what is live again would make those who listen forget it.
        tell(Failed((name,), {name: unit}, error, START_FAILED, was_live=True), self._on_failure)
        return report.failed([(name, self._live.generation(name))], why, frozenset({(name, unit.digest)}))

    async def _again(self, name: str, before: Mapping[str, Image], patience: Patience) -> None:
        """Commit a version that was live, under its number, with the shared modules that it had.

        Raises:
            PluginError: it can't be built, set up or started any more.
        """
        edges = {other: image.imports for other, image in before.items()}
        shared = [before[other] for other in needed([name], edges) if other in before and before[other].owner is None]
        one = Attempt.again([*shared, before[name]], self._shelf)
        live = self._live
        try:
            await one.build(self._planner, self._builder, live.images, self._host.settings, patience.import_)
            if one.error is None:
                await one.prepare(self._host.context, self._relay, patience.setup)
            if one.error is not None:
                raise one.error
            failed, image = live.images[name], one.images[name]
            after = without_orphans({**live.images, name: image})
            table = await live.table_of(after)
            live.step_back(name)
            live.commit(table, after, {name: image}, live.images.keys() - after.keys(), [one], START_FAILED)
        finally:
            live.discarded(await one.discard())
        await live.retire(failed, patience.grace)
        await run_hooks("start", image, self._host.context, self._relay, patience.setup)

    async def _take_out(self, name: str, patience: Patience) -> None:
        live = self._live
        image = live.images[name]
        after = without_orphans({other: one for other, one in live.images.items() if other != name})
        gone = live.images.keys() - after.keys()
        live.commit(await live.table_of(after), after, {}, gone, [], START_FAILED)
        await live.retire(image, patience.grace)
