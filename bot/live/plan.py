"""The plan of a transaction: what changed on disk, what has to be built again, and in which groups.

One sweep of the folders is compared with what is live. What is unsure waits: a file that is missing or empty may be
an editor's save in its middle, a new package may still be copied; whoever waits is looked at again when its patience
ends. Nothing here touches what is live.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeVar

from bot.config import Config
from bot.live.discover import Discovery, Disk, Unit
from bot.live.graph import Group, closure, groups
from bot.live.loader import Compiled, Image, compile_unit

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
        known: names of all plugins on disk at the last sweep.
        missing: live units whose file is missing or empty for the moment -> since when.
    """

    def __init__(
        self,
        discovery: Discovery,
        run: Run,
        patience: Callable[[], Patience],
        on_later: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        self.stopped: dict[str, str] = {}
        self.known: set[str] = set()
        self.missing: dict[str, float] = {}
        self._discovery, self._run, self._patience, self._on_later, self._clock = (
            discovery,
            run,
            patience,
            on_later,
            clock,
        )
        self._compiled: dict[str, Compiled] = {}
        self._odd: dict[str, str] = {}
        self._fresh: dict[str, tuple[str, float]] = {}  # new package -> (digest, since when)

    async def plan(
        self, live: Mapping[str, Image], off: Collection[str], force: set[str], *, everything: bool, first: bool
    ) -> Plan:
        """Sweep and compare.

        Args:
            off: plugins that are disabled.
            force: plugins to be built whether they changed or not, without any waiting; `everything` adds all but those
                that are unloaded.
            first: nothing was ever live, so nothing is worth waiting for.
        """
        if force or everything:
            await self._run(lambda: self.refresh(None if everything else force), 60.0)
        disk = await self._run(self.look, 60.0)
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

    async def foresee(self, live: Mapping[str, Image]) -> None:
        """Read and compile the live units that differ so far, so that the next plan finds them ready."""

        def look() -> list[Compiled]:
            units = self._discovery.sweep().units
            dirty = [unit for name, unit in units.items() if name in live and _is_dirty(unit, live[name])]
            return [compile_unit(unit) for unit in dirty if self.compiled(unit) is None]

        self._compiled.update((one.unit.name, one) for one in await self._run(look, 120.0))

    def compiled(self, unit: Unit) -> Compiled | None:
        """Return a unit's code if it has been compiled as it is."""
        known = self._compiled.get(unit.name)
        return known if known is not None and known.unit.digest == unit.digest else None

    async def compile(self, units: Iterable[Unit]) -> None:
        """Compile units, off the loop."""
        batch = sorted(units, key=lambda unit: unit.name)
        compiled = await self._run(lambda: [compile_unit(unit) for unit in batch], 120.0)
        self._compiled.update((one.unit.name, one) for one in compiled)

    def _present(
        self, disk: Disk, live: Mapping[str, Image], off: Collection[str], force: set[str], first: bool
    ) -> tuple[dict[str, Unit], set[str]]:
        """Sort what the sweep found into units to look at, and live units that are gone; the unsure wait."""
        units, gone, now = dict(disk.units), set[str](), self._clock()
        for name in [name for name, unit in units.items() if unit.is_plugin]:
            if name in off or self.stopped.get(name) == units[name].digest:
                del units[name]
                if name in live:
                    gone.add(name)
            else:
                self.stopped.pop(name, None)
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
        for name in gone:
            self.missing.pop(name, None)
        return units, gone

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
