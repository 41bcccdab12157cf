"""The transaction: what changed on disk becomes live as a whole, or nothing of it does.

    plan       sweep, compare with what is live, follow the imports, split into groups that live or die together
    build      each group beside the running code, in the builder's thread
    claim      who may have which command
    prepare    `setup` of the new versions; whatever fails up to here has touched nothing
    commit     one synchronous step: table, modules, kept values, jobs
    retire     the old generation finishes its calls, then lets go of all it had

Whoever wants a change taken calls `settle`: the watcher when files have settled, an admin's `!reload`, a start. One
runs at a time, in a task of the reloader's own; a second caller gets the next round, which sees every change made
before it began. This is the one writer of `table`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, MutableMapping, Sequence
from contextvars import copy_context
from typing import Any

from bot.dispatch.owner import current
from bot.dispatch.relay import Relay
from bot.dispatch.table import Handler, Table, build
from bot.errors import PluginError
from bot.live import report
from bot.live.attempt import Attempt, Clash, mark_clashes
from bot.live.builder import Builder
from bot.live.claims import Claims, Refusal
from bot.live.discover import Discovery, Unit
from bot.live.failures import Failures, signature
from bot.live.graph import Group
from bot.live.handoff import Host, Shelf, retire, run_hooks
from bot.live.loader import Image, TookTooLong
from bot.live.names import publish, uninstall
from bot.live.outcome import dropped_aliases, successes
from bot.live.plan import Patience, Plan, Planner, needed
from bot.live.report import Entry, Report
from bot.live.tidy import Tidy

log = logging.getLogger(__name__)


class Reloader:
    """Owns what is live. See the module's head.

    Attributes:
        table: the live handlers; replaced by the commit.
        live: by unit name, shared modules included.
        patience: times; may be replaced at any moment.
    """

    def __init__(
        self,
        discovery: Discovery,
        host: Host,
        relay: Relay,
        shelf: Shelf,
        claims: MutableMapping[str, Any],
        *,
        patience: Patience = Patience(),  # noqa: B008  # frozen
        built_in: Mapping[str, Handler] | None = None,
        disabled: Callable[[], Collection[str]] = tuple,
        recent: Callable[[], Sequence[str]] = tuple,
        on_later: Callable[[float], None] = lambda seconds: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.table = build((), built_in=built_in or {})
        self.live: dict[str, Image] = {}
        self.commits = 0
        self._host, self._relay, self._shelf = host, relay, shelf
        self._claims, self.patience, self._built_in = Claims(claims), patience, dict(built_in or {})
        self._disabled, self._recent = disabled, recent
        self._builder = Builder(TookTooLong)
        self._tidy = Tidy()
        self._planner = Planner(discovery, self._builder.run, lambda: self.patience, on_later, clock)
        self._lock = asyncio.Lock()
        self._generations: dict[str, int] = {}
        self._failures = Failures(clock)
        self._refused: dict[str, tuple[str, Refusal]] = {}  # plugin -> (digest, why)
        self._under_way: set[asyncio.Task[Report]] = set()
        self._retiring: set[asyncio.Task[None]] = set()

    # -- what others ask

    def plugins(self) -> dict[str, Image]:
        """Return the live plugins by name."""
        return {name: image for name, image in sorted(self.live.items()) if image.owner is not None}

    def known(self) -> set[str]:
        """Return the names of all plugins: on disk at the last sweep, or live."""
        return self._planner.known | set(self.plugins())

    async def look(self) -> set[str]:
        """Sweep, and return the names of all plugins on disk or live."""
        await self._builder.run(self._planner.look, 60.0)
        return self.known()

    def still_failed(self, entry: Entry) -> bool:
        """Tell whether a failure that was reported is still how things are."""
        return not entry.signature or entry.signature in self._failures

    async def settle(self, force: Collection[str] = (), *, everything: bool = False) -> Report:
        """Take what has changed on disk live, and rebuild what is forced; return what came of it.

        Args:
            force: plugin names to be taken at once, changed or not, whatever failed before.
            everything: force all of them.
        """
        return await self._run(lambda: self._transaction(set(force), everything))

    async def _run(self, transaction: Callable[[], Coroutine[Any, Any, Report]]) -> Report:
        """Run a transaction in a task of our own: a caller whose time is up, or who goes, cuts short only its wait."""
        context = copy_context()
        context.run(current.set, None)  # it belongs to no plugin, whoever asked
        task = context.run(asyncio.get_running_loop().create_task, self._guarded(transaction))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _guarded(self, transaction: Callable[[], Coroutine[Any, Any, Report]]) -> Report:
        async with self._lock:
            commits = self.commits
            try:
                return await transaction()
            except (Exception, TookTooLong):
                # A fault of ours must not cost the bot its reloading.
                stays = "everything stays as it was" if self.commits == commits else "what went live stays live"
                log.exception("a reload failed inside the bot; %s", stays)
                return Report((Entry(f"the reload failed inside the bot; {stays}, see the log", (), False),))

    async def foresee(self) -> None:
        """Read and compile what differs so far; `settle` is the quicker for it, and nothing else changes."""
        async with self._lock:
            try:
                await self._planner.foresee(self.live)
            except Exception:
                log.exception("looking ahead failed inside the bot; the reload does without it")

    async def unload(self, name: str) -> Report:
        """Take a plugin out until `load`, a change of its content, or a restart."""
        return await self._run(lambda: self._unload(name))

    async def _unload(self, name: str) -> Report:
        image = self.live.get(name)
        if image is None or image.owner is None:
            return Report()
        disk = await self._builder.run(self._planner.look, 60.0)
        # Stopped as it is on disk: that may be a version which could not be loaded.
        self._planner.stopped[name] = disk.units.get(name, image.unit).digest
        try:
            return await self._transaction({name}, False)
        finally:
            if name in self.live:  # refused: it is as if nobody had asked
                self._planner.stopped.pop(name, None)
                self._failures.forget([name])

    async def load(self, name: str) -> Report:
        """Load a plugin that is not live, or build it anew."""
        self._planner.stopped.pop(name, None)
        return await self.settle({name})

    async def close(self) -> None:
        """End all plugins, at most for a moment each: the bot is about to end."""
        for transaction in (under_way := list(self._under_way)):
            transaction.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        async with self._lock:
            images = [image for image in self.live.values() if image.owner is not None]
            self.live = {}
            self.table = build((), built_in=self._built_in)
            await asyncio.gather(*(self._retire(image, 0.5) for image in images))
            for task in self._retiring:
                task.cancel()
            self._builder.stop()
            self._tidy.stop()
            uninstall()

    # -- plan

    async def _transaction(self, force: set[str], everything: bool) -> Report:
        began = time.perf_counter()
        plan = await self._planner.plan(
            self.live, self._disabled(), force, everything=everything, first=self.commits == 0
        )
        entries = [Entry(why, (name,), False) for name, why in plan.odd.items()]
        entries += self._failures.undone(plan, self.live, self._planner.missing)
        worth = [group for group in plan.groups if self._worth_a_try(group, plan, force)]
        if not worth:
            return Report(tuple(entries))
        tried = [Attempt(group, plan, self._shelf) for group in worth]
        try:
            entries += await self._try(tried, plan, began, force)
        finally:
            for one in tried:
                await one.discard()
        await self._write_claims()
        return Report(tuple(entries))

    async def _try(self, tried: list[Attempt], plan: Plan, began: float, force: set[str]) -> list[Entry]:
        for one in tried:
            await one.build(self._planner, self._builder, self.live, self._host.settings, self.patience.import_)
        displaced = mark_clashes(tried, self.live, plan.units, self._built_in, self._claims)
        for one in tried:
            if one.error is None:
                await one.prepare(self._host.context, self._relay, self.patience.setup)
        if displaced:  # by a version whose setup may have failed since
            displaced = mark_clashes(tried, self.live, plan.units, self._built_in, self._claims)
        return await self._finish(tried, displaced, plan.units, began, force)

    def _worth_a_try(self, group: Group, plan: Plan, force: set[str]) -> bool:
        """Tell whether a group may fare better than the last time it was tried."""
        if force.intersection(group.units):
            return True
        for name in group.units:
            digest, loss = self._refused.get(name, ("", None))
            same = loss is not None and name in plan.units and digest == plan.units[name].digest
            if loss is not None and same and loss.holder in self.live and loss.holder not in plan.touched:
                return False  # it still waits for the same holder
        return signature(group.units, plan.units) not in self._failures

    # -- commit

    async def _finish(
        self,
        tried: list[Attempt],
        displaced: Mapping[str, Refusal],
        units: Mapping[str, Unit],
        began: float,
        force: set[str],
    ) -> list[Entry]:
        good = [one for one in tried if one.error is None]
        entries = [entry for one in tried if one.error is not None for entry in self._failure(one, units, force)]
        if not good and not displaced:
            self._note_waiting(tried)
            return entries
        images = {name: image for one in good for name, image in one.images.items()}
        gone = {name for one in good for name in one.group.gone} | displaced.keys()
        after = {name: image for name, image in {**self.live, **images}.items() if name not in gone}
        after = self._without_orphans(after)
        gone |= self.live.keys() - after.keys()
        table = await self._table_of(after)
        before = {name: self.live[name] for name in (*images, *gone) if name in self.live}
        self._commit(table, after, images, gone, good)
        self._note_waiting(tried)
        self._refused |= {name: (before[name].unit.digest, loss) for name, loss in displaced.items()}
        self._signatures_done(good, units)
        milliseconds = (time.perf_counter() - began) * 1000
        starting = {name for name, image in images.items() if image.found.hooks.get("start")}
        self._retire_later(image for name, image in before.items() if name not in starting)
        try:
            started = await self._start(starting, images, before)
        finally:
            self._retire_later(image for name, image in before.items() if name in starting)
        entries += started.values()
        entries += successes(good, before, gone, started, self._shelf, milliseconds)
        entries += dropped_aliases(self.table, images)
        return entries

    async def _table_of(self, images: Mapping[str, Image]) -> Table:
        handlers = [handler for image in self._in_claim_order(images) for handler in image.handlers]
        recent = self._recent()
        return await self._builder.run(lambda: self._warm(build(handlers, self.table, self._built_in), recent), 60.0)

    def _warm(self, table: Table, recent: Sequence[str]) -> Table:
        # Cold, a set of 1,000 rules takes 150 us a line instead of 3.
        if table.ruleset is not self.table.ruleset:
            table.ruleset.warm(recent)
        return table

    def _note_waiting(self, tried: list[Attempt]) -> None:
        """Write down the claims of those that were refused: after those of the commit, which came first."""
        for one in tried:
            if isinstance(one.error, Clash):
                for name, image in one.images.items():
                    if image.owner is not None:
                        self._claims.note(name, image.commands, live=False)

    def _without_orphans(self, after: dict[str, Image]) -> dict[str, Image]:
        """A shared module that no live plugin imports any more goes with the last one that did."""
        edges = {name: image.imports for name, image in after.items()}
        wanted = needed({name for name, image in after.items() if image.owner is not None}, edges)
        return {name: image for name, image in after.items() if image.owner is not None or name in wanted}

    def _in_claim_order(self, after: Mapping[str, Image]) -> list[Image]:
        # Live plugins before newcomers, so that an alias stays with who has it.
        return sorted(after.values(), key=lambda image: (image.unit.name not in self.live, image.unit.name))

    def _commit(
        self,
        table: Table,
        after: dict[str, Image],
        images: Mapping[str, Image],
        gone: Collection[str],
        good: list[Attempt],
    ) -> None:
        """Make it live. No await, nothing that can fail: everything was made ready before, and what others do in it
        is guarded, since half a commit would be neither the old version nor the new one."""
        self.table, self.live = table, after
        self.commits += 1
        for one in good:
            one.commit()
        _step(publish, images, gone, self.live)
        self._shelf.committed({image.state_name for image in self.live.values()})
        _step(self._host.unloaded, gone)
        for name, image in images.items():
            if image.owner is not None:
                self._generations[name] = self._generations.get(name, 0) + 1
                self._claims.note(name, image.commands, live=True)
                self._refused.pop(name, None)
                _step(image.owner.go_live, self._generations[name])
                _step(self._host.committed, table, {name: image})

    async def _write_claims(self) -> None:
        """Bring the ledger to disk, off the loop: a disk that is slow, full or locked costs nothing that is live."""
        if not self._claims.written:
            try:
                await self._builder.run(self._claims.write, 10.0)
            except (Exception, TookTooLong):
                log.exception("who has which command could not be written down; the next change tries again")

    def _signatures_done(self, good: list[Attempt], units: Mapping[str, Unit]) -> None:
        names = {name for one in good for name in one.group.units}
        self._failures.forget(names)

    async def _start(
        self, names: Collection[str], images: Mapping[str, Image], before: Mapping[str, Image]
    ) -> dict[str, Entry]:
        """Run `@start`, each after the old generation has ended; return the ones that failed."""
        failed = {}
        for name in (name for name in images if name in names):
            old = before.get(name)
            if old is not None and old.owner is not None:
                await self._retire(old, self.patience.grace)
            try:
                await run_hooks("start", images[name], self._host.context, self._relay, self.patience.setup)
            except PluginError as error:
                failed[name] = await self._back(name, before, error)
        return failed

    async def _back(self, name: str, before: Mapping[str, Image], error: PluginError) -> Entry:
        """Bring the version before back, made anew from its own sources; it has ended, and can't go on as it was."""
        digest, why, old = self.live[name].unit.digest, str(error), before.get(name)
        self._generations[name] -= 1
        if old is None or old.owner is None:
            await self._take_out(name)
        else:
            try:
                await self._again(name, before)
            except PluginError as second:
                log.error("%s: the version before can't come back: %s", name, second, exc_info=second.__cause__)
                why += f"; the version before can't come back: {second}"
                await self._take_out(name)
        self._failures.note(frozenset({(name, digest)}))
        return report.failed([(name, self._generation(name))], why)

    async def _again(self, name: str, before: Mapping[str, Image]) -> None:
        """Commit a version that was live, under its number, with the shared modules that it had.

        Raises:
            PluginError: it can't be built, set up or started any more.
        """
        edges = {other: image.imports for other, image in before.items()}
        shared = [before[other] for other in needed([name], edges) if other in before and before[other].owner is None]
        one = Attempt.again([*shared, before[name]], self._shelf)
        try:
            await one.build(self._planner, self._builder, self.live, self._host.settings, self.patience.import_)
            if one.error is None:
                await one.prepare(self._host.context, self._relay, self.patience.setup)
            if one.error is not None:
                raise one.error
            failed, image = self.live[name], one.images[name]
            after = self._without_orphans({**self.live, name: image})
            table = await self._table_of(after)
            self._generations[name] -= 1
            self._commit(table, after, {name: image}, self.live.keys() - after.keys(), [one])
        finally:
            await one.discard()
        await self._retire(failed, self.patience.grace)
        await run_hooks("start", image, self._host.context, self._relay, self.patience.setup)

    async def _take_out(self, name: str) -> None:
        image = self.live[name]
        after = self._without_orphans({other: one for other, one in self.live.items() if other != name})
        self._commit(await self._table_of(after), after, {}, self.live.keys() - after.keys(), [])
        await self._retire(image, self.patience.grace)

    # -- retire

    def _retire_later(self, images: Iterable[Image]) -> None:
        for image in images:
            if image.owner is not None and not image.owner.retired:
                task = asyncio.get_running_loop().create_task(self._retire(image, self.patience.grace))
                self._retiring.add(task)
                task.add_done_callback(self._retired)

    def _retired(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        self._tidy.soon()

    def _retire(self, image: Image, grace: float) -> Coroutine[Any, Any, None]:
        return retire(image, self._host.context, self._relay, grace, self.patience.setup)

    # -- report

    @property
    def stopped(self) -> Collection[str]:
        """Plugins that stay unloaded until `!load` or a change of their content."""
        return self._planner.stopped.keys()

    def _generation(self, name: str) -> int:
        return self._generations.get(name, 0) if name in self.live else 0

    def _failure(self, one: Attempt, units: Mapping[str, Unit], force: set[str]) -> list[Entry]:
        error, what = one.error, signature(one.group.units, units)
        assert error is not None
        if isinstance(error, Clash):
            return self._clash(error, one, force)
        # An older failure of the same files is no news any more, should they come back to it.
        self._failures.forget(one.group.units)
        self._failures.note(what)
        names = [name for name in one.group.units if not name.startswith("_")] or list(one.group.units)
        names.sort(key=lambda name: (name != error.plugin, name))
        if error.__cause__ is not None:
            log.warning("%s can't be loaded: %s", error.plugin, error, exc_info=error.__cause__)
        return [report.failed([(name, self._generation(name)) for name in names], str(error), what)]

    def _clash(self, error: Clash, one: Attempt, force: set[str]) -> list[Entry]:
        """A refused newcomer is told of once, and not at all while the holder's file is only missing for a moment."""
        name, loss = error.plugin, error.loss
        digest = one.compiled[name].unit.digest
        told = self._refused.get(name)
        self._refused[name] = (digest, loss)
        holder_is_unsure = loss.holder in self._planner.missing
        if holder_is_unsure:
            self._refused.pop(name, None)
        if (told == (digest, loss) or holder_is_unsure) and name not in force:
            return []
        others = [each for each in one.images if not each.startswith("_") and each != name]
        return [report.failed([(each, self._generation(each)) for each in (name, *sorted(others))], str(error))]


def _step(step: Callable[..., object], *arguments: object) -> None:
    try:
        step(*arguments)
    except Exception:
        log.exception("a step of the commit failed inside the bot; the others are done")
