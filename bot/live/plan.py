"""The plan of a transaction: what changed on disk, what has to be built again, and in which groups.

One sweep of the folders is compared with what is live. What is unsure waits: a file that is missing or empty may be
an editor's save in its middle, a new package may still be copied; whoever waits is looked at again when its patience
ends. Nothing here touches what is live.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from bot.config import Config
from bot.live.compiled import Compiled
from bot.live.discover import Discovery, Disk, Unit
from bot.live.drift import Drift
from bot.live.graph import Group, closure, groups
from bot.live.loader import Image
from bot.live.safety import Safety
from bot.live.trial import Ground, Settings, Untried, Verdict
from bot.live.window import OPEN_SECONDS, STEADY_SECONDS

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Patience:
    """Times of reloading, all in seconds."""

    delete_grace: float = 0.15  # a file that is missing may be an editor's save: vim, emacs and git remove it first
    package_quiet: float = 0.25  # a new package folder is taken once it has not changed for this long
    import_: float = 5.0
    setup: float = 5.0
    grace: float = 30.0  # calls in flight may finish on their version this long
    collect: float = 3.0  # after an end; a full collection takes 6 ms, so one does for many
    leak: float = 5.0  # what is left of a generation so long after its end is told

    @classmethod
    def of(cls, config: Config) -> Patience:
        """Return the times that a configuration asks for."""
        times = config.timeouts
        return cls(
            delete_grace=config.reload.delete_grace_ms / 1000,
            import_=times.import_seconds,
            setup=times.setup_seconds,
            grace=times.grace_seconds,
        )


Tried = frozenset[tuple[str, str]]  # (unit, digest) of a group


@dataclass(frozen=True, slots=True)
class Pin:
    """A version that stands in for what a file holds, until the file changes: a rollback, or a broken file at a start.

    Attributes:
        disk_digest: what the file holds, "" where there is none.
        others: digests of more files that end it when they change: those that are broken together.
        kept: whether it outlives a restart, and its end is told.
    """

    unit: Unit
    disk_digest: str
    others: Mapping[str, str] = field(default_factory=dict)
    kept: bool = True

    def holds(self, units: Mapping[str, Unit]) -> bool:
        """Tell whether the files are still what they were. Others that are missing or empty may be saves in their
        middle, and change nothing yet."""
        mine = units.get(self.unit.name)
        there = [(unit, digest) for name, digest in self.others.items() if (unit := units.get(name)) is not None]
        same = all(unit.digest == digest or unit.is_blank for unit, digest in there)
        return same and (mine.digest if mine is not None else "") == self.disk_digest


class Run(Protocol):
    """Runs a function in the builder's thread."""

    def __call__(self, function: Callable[[], T], deadline_seconds: float) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What one sweep asks for.

    Attributes:
        units: what would be live, by name; the unsure ones as they are live now.
        gone: live units to be taken away.
        touched: what differs from what is live, the gone included.
        edges: who imports whom, on disk where that can be read, else as it is live.
        groups: what has to be built or taken away, in groups connected by imports.
        odd: files that can't be plugins by their name and were not told of yet: name -> why.
        off: those of `gone` whose file is there: unloaded or disabled.
    """

    units: Mapping[str, Unit]
    gone: frozenset[str]
    touched: frozenset[str]
    edges: Mapping[str, frozenset[str]]
    groups: tuple[Group, ...]
    odd: Mapping[str, str]
    off: frozenset[str] = frozenset()


class Planner:
    """Makes plans; one writer, the reloader under its lock.

    Attributes:
        stopped: plugins that stay unloaded until they are asked for or their content changes: name -> digest.
        safety: may leave plugins out.
        known: names of all plugins on disk at the last sweep.
        missing: live units whose file is missing or empty for the moment -> since when.
        drift: tells which packages on disk are not what runs.
        pinned: versions that stand in for what their files hold, by name. Written by the reloader.
    """

    def __init__(
        self,
        discovery: Discovery,
        run: Run,
        patience: Callable[[], Patience],
        on_later: Callable[[float], None],
        clock: Callable[[], float],
        ground: Ground | None = None,
        to_rehearse: Callable[[Compiled], tuple[int, bytes] | None] = lambda one: None,
    ) -> None:
        self.stopped: dict[str, str] = {}
        self.safety = Safety()
        self.known: set[str] = set()
        self.missing: dict[str, float] = {}
        self.pinned: dict[str, Pin] = {}
        self._discovery, self._run, self._patience, self._on_later, self._clock = (
            discovery,
            run,
            patience,
            on_later,
            clock,
        )
        self.drift = Drift()
        self._to_rehearse = to_rehearse
        self._ground = ground or Untried(run)
        self._compiled: dict[str, Compiled] = {}
        self._verdicts: dict[Tried, Verdict] = {}  # of this transaction, or of the look ahead before it
        self._odd: dict[str, str] = {}
        self._fresh: dict[str, tuple[str, float]] = {}  # new package -> (digest, since when)
        self._written: dict[str, tuple[str, float]] = {}  # held open by a writer -> (digest, since when)

    async def plan(
        self,
        live: Mapping[str, Image],
        off: Collection[str],
        force: set[str],
        *,
        everything: bool,
        first: bool,
        hint: Collection[str] = (),
    ) -> Plan:
        """Sweep and compare.

        Args:
            off: plugins that are disabled.
            force: plugins to be built whether they changed or not, without any waiting; `everything` adds all but those
                that are unloaded.
            first: nothing was ever live, so nothing is worth waiting for.
            hint: file events named these units and no others: it is enough to look at them.
        """
        if first:
            self._ground.prepare()  # while the folders are swept
        asked = {name for name in force if name not in live or live[name].unit.roots}
        if (asked or everything) and self._discovery.elsewhere is not None:
            await self._run(lambda: self.refresh(None if everything else asked), 60.0)
        disk = self._glance(hint) if hint and not everything else await self._run(self.look, 60.0)
        if everything:
            force |= self.known
        odd = {name: why for name, why in disk.odd.items() if self._odd.get(name) != why}
        self._odd = disk.odd
        units, gone = self._present(disk, live, off, force, first)
        dirty = {name for name, unit in units.items() if _is_dirty(unit, live.get(name))} | (force & units.keys())
        if not dirty and not gone:
            return Plan(units, frozenset(), frozenset(), {}, (), odd)
        await self._compile(units, live, dirty)
        edges = self._edges(units, live)
        affected = self._affected(units, live, dirty, gone, edges)
        found = groups(affected | gone, edges, gone)
        off_there = frozenset(gone & disk.units.keys())
        return Plan(units, frozenset(gone), frozenset(dirty | gone), edges, tuple(found), odd, off_there)

    def look(self) -> Disk:
        """Sweep the folders; for the builder's thread."""
        disk = self._discovery.sweep()
        self.known = {name for name, unit in disk.units.items() if unit.is_plugin}
        if self._discovery.elsewhere is not None:
            self.known |= self._discovery.elsewhere.names
        return disk

    def refresh(self, asked: Collection[str] | None = ()) -> None:
        """See what is installed by now, and take these (None: all) as they are; for the builder's thread."""
        if self._discovery.elsewhere is not None:
            self._discovery.elsewhere.refresh(asked)

    def _glance(self, names: Collection[str]) -> Disk:
        """Look at a few units only. Not in the builder's thread: their events came from a disk of this machine, which
        answers in 0.1 ms, and a busy loop gets a thread's answer a millisecond late."""
        unsure = {*names, *self.missing, *self._fresh, *self._written}
        disk = self._discovery.look(unsure)
        self.known -= unsure
        self.known |= {name for name in unsure if name in disk.units and disk.units[name].is_plugin}
        return disk

    async def foresee(
        self, live: Mapping[str, Image], names: Collection[str], settings: Settings, seconds: float
    ) -> None:
        """Begin with live units that have changed: compile them, and try what has to be built if nothing else comes."""
        units = {name: image.unit for name, image in live.items()}
        there = self._pinned(self._glance(names).units)
        units |= {name: there[name] for name in names if name in live and name in there and not there[name].is_blank}
        dirty = {name for name, unit in units.items() if _is_dirty(unit, live.get(name))}
        if dirty:
            await self._compile(units, live, dirty)
            edges = self._edges(units, live)
            found = groups(self._affected(units, live, dirty, set(), edges), edges)
            await self.prove([[units[name] for name in group.units] for group in found], live, settings, seconds)

    async def prove(
        self, groups: Sequence[Sequence[Unit]], live: Mapping[str, Image], settings: Settings, seconds: float
    ) -> None:
        """Try groups, but for those that have been tried as they are and those with an error already."""
        await self.compile(unit for group in groups for unit in group if self.compiled(unit) is None)
        new = [group for group in groups if group and _content(group) not in self._verdicts]
        ready = [[one for unit in group if (one := self.compiled(unit)) is not None] for group in new]
        whole = [group for group in ready if all(one.error is None for one in group)]
        if whole:
            around = await self._around(whole, live)
            kept = {one.unit.name: crossing for group in whole for one in group if (crossing := self._to_rehearse(one))}
            verdicts = await self._ground.prove(whole, around, settings, seconds, kept)
            for group, verdict in zip(whole, verdicts, strict=True):
                self._verdicts[_content(one.unit for one in group)] = verdict

    def verdict(self, group: Iterable[Unit]) -> Verdict:
        """Return what came of trying a group, just now."""
        return self._verdicts.get(_content(group), Verdict())

    def over(self) -> None:
        """The transaction has ended. What was tried may fare otherwise the next time."""
        self._verdicts.clear()
        self._ground.over()

    async def close(self) -> None:
        """End what trials need."""
        await self._ground.close()

    async def _around(self, groups: Iterable[Iterable[Compiled]], live: Mapping[str, Image]) -> dict[str, Compiled]:
        """Return the live units that groups import, over any number of steps."""
        inside = {one.unit.name: one.imports for group in groups for one in group}
        edges = {name: image.imports for name, image in live.items()} | inside
        names = {name for name in needed(inside, edges) if name in live} - inside.keys()
        await self.compile(live[name].unit for name in names if self.compiled(live[name].unit) is None)
        return {name: one for name in names if (one := self.compiled(live[name].unit)) is not None}

    def compiled(self, unit: Unit) -> Compiled | None:
        """Return a unit's code if it has been compiled as it is."""
        known = self._compiled.get(unit.name)
        return known if known is not None and known.unit.digest == unit.digest else None

    async def compile(self, units: Iterable[Unit]) -> None:
        """Compile units, where nothing of them can do harm."""
        batch = sorted(units, key=lambda unit: unit.name)
        if batch:
            self._compiled.update((one.unit.name, one) for one in await self._ground.compile(batch))

    def _present(
        self, disk: Disk, live: Mapping[str, Image], off: Collection[str], force: set[str], first: bool
    ) -> tuple[dict[str, Unit], set[str]]:
        """Sort what the sweep found into units to look at, and live units that are gone; the unsure wait."""
        units, gone, now = dict(disk.units), set[str](), self._clock()
        for name in [name for name, unit in units.items() if unit.is_plugin]:
            if name in off or self.safety.leaves_out(name) or self.stopped.get(name) == units[name].digest:
                del units[name]
                if name in live:
                    gone.add(name)
            else:
                self.stopped.pop(name, None)
        units = self._pinned(disk.units, {name for name in disk.units if name not in units})
        for name, image in live.items():
            unit = units.get(name)
            vanished = unit is None and name not in gone
            changed = unit if unit is not image.unit else None
            emptied = changed is not None and changed.is_blank and not image.unit.is_blank
            moved = changed is not None and _root(changed) != _root(image.unit)  # one that it hid shows for a moment
            if not vanished and not emptied and not moved:
                self.missing.pop(name, None)
            elif name not in force and self._wait(
                self.missing.setdefault(name, now), self._patience().delete_grace, now
            ):
                units[name] = image.unit  # it may be an editor's save; the old version answers meanwhile
            elif vanished:
                gone.add(name)
        for name in list(units):
            if name not in live and name not in force and not first and self._unripe(units[name], now):
                del units[name]
        self._fresh = {name: since for name, since in self._fresh.items() if name in disk.units and name not in live}
        self._written = {name: since for name, since in self._written.items() if name in disk.written}
        for name in disk.written & units.keys():
            if name not in force and not first and self._unfinished(units[name], now):
                del units[name]
                if name in live:
                    units[name] = live[name].unit
        for name in gone:
            self.missing.pop(name, None)
        return units, gone

    def _pinned(self, units: Mapping[str, Unit], off: Collection[str] = ()) -> dict[str, Unit]:
        """Return what is on disk, but for those that are off, with pinned versions in place of their files."""
        pins = {name: pin.unit for name, pin in self.pinned.items() if name not in off and pin.holds(units)}
        return {name: unit for name, unit in units.items() if name not in off} | pins

    def _unripe(self, unit: Unit, now: float) -> bool:
        """A new package may still be copied; a new empty file is about to be written."""
        is_package = any(source.is_package for source in unit.sources.values())
        wait = self._patience().delete_grace if unit.is_blank else self._patience().package_quiet if is_package else 0.0
        if not wait:
            return False
        known = self._fresh.get(unit.name)
        if known is None or known[0] != unit.digest:
            known = self._fresh[unit.name] = (unit.digest, now)
        return self._wait(known[1], wait, now)

    def _unfinished(self, unit: Unit, now: float) -> bool:
        """Its writer may be half-way: it is looked at again soon, since no event may tell of the end."""
        known = self._written.get(unit.name)
        if known is None or known[0] != unit.digest:
            known = self._written[unit.name] = (unit.digest, now)
        if now - known[1] >= OPEN_SECONDS:
            return False
        self._on_later(STEADY_SECONDS)
        return True

    def _wait(self, since: float, patience: float, now: float) -> bool:
        left = since + patience - now
        if left > 0:
            self._on_later(left)
        return left > 0

    async def _compile(self, units: Mapping[str, Unit], live: Mapping[str, Image], dirty: set[str]) -> None:
        """Compile the dirty units, and the shared modules that they import and nobody has loaded yet."""
        self._compiled = {name: one for name, one in self._compiled.items() if name in units}
        todo, seen = set(dirty), set[str]()
        while todo:
            seen |= todo
            fresh = [units[name] for name in todo if self.compiled(units[name]) is None]
            if fresh:
                await self.compile(fresh)
            imported = {other for name in todo for other in self._compiled[name].imports}
            todo = {name for name in imported if name in units and name not in live} - seen

    def _edges(self, units: Mapping[str, Unit], live: Mapping[str, Image]) -> dict[str, frozenset[str]]:
        edges = {name: image.imports for name, image in live.items()}
        for name, unit in units.items():
            compiled = self.compiled(unit)
            if compiled is not None:
                # What can't be compiled imports what it did when it could.
                edges[name] = compiled.imports | (edges.get(name, frozenset()) if compiled.error else frozenset())
        return edges

    def _affected(
        self,
        units: Mapping[str, Unit],
        live: Mapping[str, Image],
        dirty: set[str],
        gone: set[str],
        edges: Mapping[str, frozenset[str]],
    ) -> set[str]:
        """Return what has to be built: the dirty, their importers, and what these need for the first time."""
        affected = {name for name in closure(dirty | gone, edges) if name in units} - gone
        # A shared module alone is nothing: it is built where a plugin imports it.
        affected |= {name for name in needed(affected, edges) if name in units and name not in live}
        wanted = needed({name for name in affected if units[name].is_plugin}, edges)
        return {name for name in affected if units[name].is_plugin or name in wanted}


def _content(group: Iterable[Unit]) -> Tried:
    return frozenset((unit.name, unit.digest) for unit in group)


def _root(unit: Unit) -> str:
    source = next(iter(unit.sources.values()))
    return source.path.removesuffix(source.shown)


def _is_dirty(unit: Unit, image: Image | None) -> bool:
    return unit.is_plugin if image is None else image.unit.digest != unit.digest


def needed(names: Iterable[str], edges: Mapping[str, Collection[str]]) -> set[str]:
    """Return all that units import, over any number of steps."""
    reached, todo = set[str](), list(names)
    while todo:
        for other in edges.get(todo.pop(), ()):
            if other not in reached:
                reached.add(other)
                todo.append(other)
    return reached
