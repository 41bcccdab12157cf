"""The transaction: what changed on disk becomes live as a whole, or nothing of it does.

    plan       sweep, compare with what is live, follow the imports, split into groups that live or die together
    trial      each group in a process of its own, where it can do no harm
    build      each group beside the running code
    claim      who may have which command
    prepare    `setup` of the new versions; whatever fails up to here has touched nothing
    commit     one synchronous step: table, modules, kept values, jobs
    retire     the old generation finishes its calls, then lets go of all it had

Whoever wants a change taken calls `settle`: the watcher when files have settled, an admin's `!reload`, a start. One
runs at a time, in a task of the reloader's own; a second caller gets the next round, which sees every change made
before it began. What is live, and the commit itself, is `commit.py`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, MutableMapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from bot.dispatch.owner import unowned
from bot.dispatch.relay import Relay
from bot.dispatch.table import Handler, Table
from bot.errors import UserError
from bot.live import report
from bot.live.attempt import Attempt, Clash, mark_clashes
from bot.live.builder import Builder
from bot.live.claims import Refusal
from bot.live.commit import Live, step, without_orphans
from bot.live.discover import Discovery, Unit
from bot.live.drift import FIRST, advised
from bot.live.failures import Failures, signature, tell
from bot.live.graph import Group, closure
from bot.live.handoff import BREATH_SECONDS, Host, Shelf
from bot.live.loader import Image, TookTooLong
from bot.live.names import uninstall
from bot.live.outcome import Failed, dropped_aliases, successes
from bot.live.plan import Patience, Pin, Plan, Planner
from bot.live.refused import Refused
from bot.live.report import Entry, Report
from bot.live.start import Starter
from bot.live.state import to_rehearse
from bot.live.trial import Ground

log = logging.getLogger(__name__)
FEW = 8  # versions whose commands are compared on the loop; of 300 that takes 0.1 s


class Reloader:
    """Owns what is live. See the module's head.

    Attributes:
        patience: times; may be replaced at any moment.
        stopped: plugins that stay unloaded until `!load` or a change of their content, which was this: name -> digest.
        on_commit, on_failure: called after each commit, and for each group that was tried and stays as it was.
        on_pins: called with all pins when they have changed.
        generations: the number of each plugin's last one.
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
        ground: Ground | None = None,
        restart: str = "",
    ) -> None:
        self._host, self._relay, self._shelf, self.patience = host, relay, shelf, patience
        self._disabled, self._restart = disabled, restart
        self._builder = Builder(TookTooLong)
        self._live = Live(
            host, relay, shelf, claims, self._builder, built_in or {}, recent, lambda: self.patience, restart
        )
        self._planner = Planner(
            discovery, self._builder.run, lambda: self.patience, on_later, clock, ground, partial(to_rehearse, shelf)
        )
        self.on_failure: list[Callable[[Failed], object]] = []
        self._starter = Starter(self._live, host, relay, shelf, self._planner, self._builder, self.on_failure)
        self._lock, self._failures = asyncio.Lock(), Failures(clock)
        self._outlived: set[str] = set()  # pins of what their file holds by itself
        self._refused = Refused()
        self._under_way: set[asyncio.Task[Report]] = set()
        self._closed, self._rounds = False, 0  # of transactions
        self._news: dict[str, tuple[int, tuple[Entry, ...]]] = {}  # plugin -> in which round, what was told of it
        self.on_commit, self.generations = self._live.on_commit, self._live.generations
        self.on_pins: list[Callable[[Mapping[str, Pin]], object]] = []
        self.safety, self.stopped = self._planner.safety, self._planner.stopped

    @property
    def table(self) -> Table:
        """The live handlers."""
        return self._live.table

    @property
    def live(self) -> Mapping[str, Image]:
        """What is live, by unit name, shared modules included."""
        return self._live.images

    @property
    def commits(self) -> int:
        """How many commits there were."""
        return self._live.commits

    # -- what others ask

    def plugins(self) -> dict[str, Image]:
        """Return the live plugins by name."""
        return {name: image for name, image in sorted(self.live.items()) if image.owner is not None}

    def known(self) -> set[str]:
        """Return the names of all plugins: on disk at the last sweep, or live."""
        return self._planner.known | set(self.plugins())

    async def look(self) -> set[str]:
        """Sweep, and return the names of all plugins on disk, installed or live."""
        await self.on_disk(())
        return self.known()

    async def on_disk(self, names: Collection[str]) -> Mapping[str, Unit]:
        """Sweep, and return what the files hold; of what is installed, these as they are by now."""
        await self._builder.run(lambda: self._planner.refresh(names), 60.0)
        return (await self._builder.run(self._planner.look, 60.0)).units

    def busy(self) -> bool:
        """Tell whether a transaction, or the trial before one, is under way."""
        return self._lock.locked()

    def still_failed(self, entry: Entry) -> bool:
        """Tell whether a failure that was reported is still how things are."""
        return not entry.signature or entry.signature in self._failures

    async def settle(
        self,
        force: Collection[str] = (),
        *,
        everything: bool = False,
        cause: str = "saved",
        pins: Mapping[str, Pin] | None = None,
        without: Collection[str] = (),
        hint: Collection[str] = frozenset(),
        loaded: Collection[str] = (),
    ) -> Report:
        """Take what has changed on disk live, and rebuild what is forced; return what came of it.

        Args:
            force: names to be taken at once, as their files are, changed or not, whatever failed before.
            everything: force all plugins, but leave what is pinned as it is.
            cause: who or what asks, for the history: "saved", "reload by alice".
            pins: versions to be taken in place of what the files hold, if that works.
            without: plugins to be left out this time.
            hint: file events named these units and no others; without it everything is looked at.
            loaded: plugins that are unloaded no more, should an `unload` have come before.
        """
        since, wanted = self._rounds, set(force)
        self.safety.asked(wanted, everything)

        async def transact(force: set[str]) -> Report:
            for name in loaded:
                self.stopped.pop(name, None)
            return await self._transaction(force, everything, cause, pins, without, hint)

        return await self._run(lambda: self._forced(wanted, since, transact) if not pins else transact(wanted))

    async def _run(self, transaction: Callable[[], Coroutine[Any, Any, Report]]) -> Report:
        """Run a transaction in a task of our own: a caller whose time is up, or who goes, cuts short only its wait."""
        task = unowned(asyncio.get_running_loop().create_task, self._guarded(transaction))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    async def _guarded(self, transaction: Callable[[], Coroutine[Any, Any, Report]]) -> Report:
        async with self._lock:
            if self._closed:
                raise UserError("the bot is about to end")  # or what has ended would begin anew
            commits = self.commits
            try:
                return await transaction()
            except (Exception, TookTooLong):
                # A fault of ours must not cost the bot its reloading.
                stays = "everything stays as it was" if self.commits == commits else "what went live stays live"
                log.exception("a reload failed inside the bot; %s", stays)
                return Report((Entry(f"the reload failed inside the bot; {stays}, see the log", (), False),))
            finally:
                self._planner.over()

    async def foresee(self, names: Collection[str]) -> None:
        """Begin the trial of live units that are being saved; `settle` is the quicker for it, nothing else changes."""
        async with self._lock:
            try:
                await self._planner.foresee(self.live, names, self._host.settings, self.patience.import_)
            except Exception:
                log.exception("looking ahead failed inside the bot; the reload does without it")

    async def unload(self, name: str, cause: str = "unload") -> Report:
        """Take a plugin out until `load`, a change of its content, or a restart."""
        return await self._run(lambda: self._unload(name, cause))

    async def _unload(self, name: str, cause: str) -> Report:
        image = self.live.get(name)
        if image is None or image.owner is None:
            return Report()
        disk = await self._builder.run(self._planner.look, 60.0)
        # Stopped as it is on disk: that may be a version which could not be loaded.
        self.stopped[name] = disk.units.get(name, image.unit).digest
        try:
            return await self._transaction({name}, False, cause, self._pin_of(name))
        finally:
            if name in self.live:  # refused: it is as if nobody had asked
                self.stopped.pop(name, None)
                self._failures.forget([name])

    async def load(self, name: str, cause: str = "load") -> Report:
        """Load a plugin that is not live, or build it anew."""
        return await self.settle({name}, cause=cause, pins=self._pin_of(name), loaded=[name])

    def _pin_of(self, name: str) -> dict[str, Pin]:
        return {name: self._planner.pinned[name]} if name in self._planner.pinned else {}

    async def close(self) -> None:
        """End all plugins, at most for a moment each: the bot is about to end."""
        for transaction in (under_way := list(self._under_way)):
            transaction.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        async with self._lock:
            self._closed = True
            await self._live.close()
            await self._planner.close()
            self._builder.stop()
            uninstall()

    # -- plan

    async def _forced(
        self, force: set[str], since: int, transact: Callable[[set[str]], Coroutine[Any, Any, Report]]
    ) -> Report:
        """What was tried while this waited for its turn is not tried once more, unless its files changed again: who
        asks for it in that moment means the same change, and hears what came of it."""
        told = {name: news for name in force for at, news in [self._news.get(name, (0, ()))] if at > since}
        done = {name for name, news in told.items() if name in self.live or not news[-1].ok} - self.pinned.keys()
        report = await transact(force - done)
        named = {name for entry in report.entries for name in entry.plugins}
        again = {entry: replace(entry, again=True) for name in sorted(done - named) for entry in told[name]}
        return Report((*report.entries, *again.values()))

    async def _transaction(
        self,
        force: set[str],
        everything: bool,
        cause: str,
        pins: Mapping[str, Pin] | None = None,
        without: Collection[str] = (),
        hint: Collection[str] = (),
    ) -> Report:
        pinned = self._planner.pinned
        self._planner.pinned = {name: pin for name, pin in pinned.items() if name not in force} | dict(pins or {})
        self._outlived = set()
        try:
            report = await self._planned(force, everything, cause, without, hint)
        finally:
            ended = self._settle_pins(pinned)
        self._rounds += 1
        for name, entry in ((name, each) for each in report.entries for name in each.plugins):
            at, told = self._news.get(name, (0, ()))
            self._news[name] = self._rounds, (*(told if at == self._rounds else ()), entry)
        return Report((*report.entries, *ended))

    def _settle_pins(self, before: Mapping[str, Pin]) -> list[Entry]:
        """A pin lasts while what it holds is live, or nothing is: one that was asked for in vain gives way to the one
        before. Tell which have ended."""
        asked = self._planner.pinned
        self._planner.pinned = {
            name: pin
            for name in ({**before, **asked}.keys() - self._outlived)
            for pin in [before.get(name), asked.get(name)]  # the last that fits
            if pin is not None and (name not in self.live or self.live[name].unit.digest == pin.unit.digest)
        }
        if self._planner.pinned != before:
            for listener in self.on_pins:
                step(listener, self._planner.pinned)
        ended = (pin for name, pin in before.items() if pin.kept and name not in self._planner.pinned)
        return [report.unpinned(pin.unit.name, pin.unit.digest) for pin in ended]

    async def _planned(
        self, force: set[str], everything: bool, cause: str, without: Collection[str], hint: Collection[str]
    ) -> Report:
        began = time.perf_counter()
        off = {*self._disabled(), *without}
        plan = await self._planner.plan(
            self.live, off, force, everything=everything, first=self.commits == 0, hint=hint
        )
        held = self._held(plan)
        self._refused.keep(self._planner.known)
        entries = [Entry(why, (name,), False) for name, why in plan.odd.items()]
        if everything and self._planner.drift.own_changed():
            entries.append(Entry(advised(f"the bot itself is another one on disk: {FIRST}", self._restart), (), True))
        entries += self._failures.undone(plan, self.live, self._planner.missing, held)
        worth = [group for group in plan.groups if self._worth_a_try(group, plan, force)]
        if not worth:
            return Report(tuple(entries))
        tried = [Attempt(group, plan, self._shelf) for group in worth]
        try:
            entries += await self._try(tried, plan, began, force, cause)
        finally:
            for one in tried:
                self._live.discarded(await one.discard())
        await self._live.write_claims()
        return Report(tuple(entries))

    async def _try(self, tried: list[Attempt], plan: Plan, began: float, force: set[str], cause: str) -> list[Entry]:
        groups = [one.members for one in tried]
        await self._planner.prove(groups, self.live, self._host.settings, self.patience.import_)
        for one in tried:
            await one.build(self._planner, self._builder, self.live, self._host.settings, self.patience.import_)
        displaced = mark_clashes(tried, self.live, plan.units, self._live.built_in, self._live.claims)
        for one in tried:
            if one.error is None:
                await one.prepare(self._host.context, self._relay, self.patience.setup)
        if displaced:  # by a version whose setup may have failed since
            displaced = mark_clashes(tried, self.live, plan.units, self._live.built_in, self._live.claims)
        return await self._finish(tried, displaced, plan.units, began, force, cause)

    def _held(self, plan: Plan) -> set[str]:
        """Return the units that a pin stands in for, and note pins of what the file itself holds by now."""
        pinned = self._planner.pinned
        held = {name for name, pin in pinned.items() if plan.units.get(name) is pin.unit}
        self._outlived = {
            name
            for name in pinned.keys() & plan.units.keys() - held
            if plan.units[name].digest == pinned[name].unit.digest
        }
        return held

    def _worth_a_try(self, group: Group, plan: Plan, force: set[str]) -> bool:
        """Tell whether a group may fare better than the last time it was tried."""
        if force.intersection(group.units):
            return True
        if any(self._refused.waits(name, plan.units, self.live, plan.touched) for name in group.units):
            return False
        return signature(group.units, plan.units) not in self._failures

    # -- commit

    async def _finish(
        self,
        tried: list[Attempt],
        displaced: Mapping[str, Refusal],
        units: Mapping[str, Unit],
        began: float,
        force: set[str],
        cause: str,
    ) -> list[Entry]:
        good = [one for one in tried if one.error is None]
        entries = [entry for one in tried if one.error is not None for entry in self._failure(one, units, force, cause)]
        if not good and not displaced:
            self._note_waiting(tried)
            return entries
        images = {name: image for one in good for name, image in one.images.items()}
        gone = {name for one in good for name in one.group.gone} | displaced.keys()
        after = without_orphans({name: one for name, one in {**self.live, **images}.items() if name not in gone})
        gone |= self.live.keys() - after.keys()
        before = {name: self.live[name] for name in (*images, *gone) if name in self.live}
        self._live.commit(await self._live.table_of(after), after, images, gone, good, cause)
        self._note_waiting(tried)
        self._refused.committed(images, {name: (before[name].unit, loss) for name, loss in displaced.items()})
        self._failures.forget({name for one in good for name in one.group.units})
        milliseconds = (time.perf_counter() - began) * 1000
        starting = {name for name, image in images.items() if image.found.hooks.get("start")}
        self._live.retire_later(image for name, image in before.items() if name not in starting)
        try:
            started = await self._starter.start(starting, images, before, self.patience)
        finally:
            self._live.retire_later(image for name, image in before.items() if name in starting)
        for entry in started.values():
            self._failures.note(entry.signature)
            entries.append(entry)
        if not force:  # nobody waits for the report
            await asyncio.sleep(BREATH_SECONDS)
        told = partial(successes, good, before, gone, started, self._shelf, milliseconds)
        entries += await self._builder.run(told, 60.0) if len(images) > FEW else told()
        entries += dropped_aliases(self.table, images)
        return entries

    def _note_waiting(self, tried: list[Attempt]) -> None:
        """Write down the claims of those that were refused: after those of the commit, which came first."""
        for one in tried:
            if isinstance(one.error, Clash):
                for name, image in one.images.items():
                    if image.owner is not None:
                        self._live.claims.note(name, image.commands, live=False)

    # -- report

    @property
    def pinned(self) -> Mapping[str, Pin]:
        """Versions that stand in for what their files hold, until these change."""
        return self._planner.pinned

    @property
    def failed(self) -> set[str]:
        """Plugins whose files, as they are, could not go live."""
        broken = [name for name, pin in self._planner.pinned.items() if not pin.kept]
        users = [user for name in broken for user in self.importers(name)]
        return {name for name in {*self._failures.names(), *self._refused, *broken, *users} if name[0] != "_"}

    def importers(self, name: str) -> list[str]:
        """Return the live plugins that import a unit, over any number of steps."""
        edges = {other: image.imports for other, image in self.live.items()}
        return sorted(other for other in closure([name], edges) if other != name and self.live[other].owner is not None)

    def _failure(self, one: Attempt, units: Mapping[str, Unit], force: set[str], cause: str) -> list[Entry]:
        error, what = one.error, signature(one.group.units, units)
        assert error is not None
        if isinstance(error, Clash):
            return self._refused.entries(error, one, force, self._planner.missing, self._live.generation)
        # An older failure of the same files is no news any more, should they come back to it.
        self._failures.forget(one.group.units)
        self._failures.note(what)
        names = [name for name in one.group.units if not name.startswith("_")] or list(one.group.units)
        names.sort(key=lambda name: (name != error.plugin, name))
        there = {name: units[name] for name in one.group.units if name in units}
        tell(Failed(tuple(names), there, error, cause), self.on_failure)
        each = [(name, self._live.generation(name)) for name in names]
        return [report.failed(each, advised(str(error), self._restart), what)]
