"""How kept values pass to a new version: as they are, brought over to its classes, or through its `migrate`.

A group of units is built over the values that it takes over. Where a unit's `STATE_VERSION` is another than that of the
values, they must be of the new version before its module asks for them, and `migrate` stands in that same module. So
such a unit is executed twice: once over nothing, for its `migrate` alone, which is called with a deep copy; then over
what that returned. The old version keeps its values, untouched, until the commit, and after it they stay as a snapshot
of their version. Without a `migrate` the values begin anew. A lower version than that of the values is an edit undone
or a rollback: it gets the snapshot of its own version, and without one it is refused.

All of this runs in the builder's thread, under the deadline of imports; the commit is `handoff.Staging`'s.
"""

from __future__ import annotations

import copy
import inspect
import logging
import pickle
import re
from array import array
from collections import deque
from collections.abc import Callable, Generator, Mapping
from types import ModuleType
from typing import Any

from bot.api import kept
from bot.dispatch.relay import Relay
from bot.errors import PluginError
from bot.live.carry import CannotCarry, Carry, Find, finder
from bot.live.compiled import Compiled
from bot.live.discover import PACKAGE
from bot.live.handoff import Shelf, Staging
from bot.live.loader import Build, Image, TookTooLong, place, sentence, shown
from bot.live.plan import needed

log = logging.getLogger(__name__)
SMALL_VALUES = 500  # of so many, the classes are found out in 0.3 ms
Migrate = Callable[[int, dict[str, Any]], Any]


def copied(values: Mapping[str, object]) -> dict[str, Any]:
    """Return a deep copy; what belongs to a library (a lock, a connection) can't be copied and is the same object.

    Raises:
        Exception: whatever a plugin's own `__deepcopy__` raises.
    """
    walk = Carry(values, lambda definition: definition)
    return copy.deepcopy(dict(values), {id(one): one for one in walk.libraries if not isinstance(one, array)})


def migrated(
    migrate: Migrate, old_version: int, values: Mapping[str, object], find: Find | None = None
) -> dict[str, Any]:
    """Call a plugin's `migrate` with a deep copy of its kept values; return all of them by name.

    Args:
        find: gives the plugin's class that an old one is now; objects that can't be brought over stay of the old one.

    Raises:
        TypeError: what it returned is not what `keep` could hold.
        BaseException: whatever it raised.
    """
    state = copied(values)
    if find is not None:
        Carry(state, find, lenient=True).apply()
    result = migrate(old_version, state)
    if inspect.isawaitable(result):
        getattr(result, "close", lambda: None)()
        raise TypeError("migrate is called off the loop and can't be awaited: write `def`, not `async def`")
    result = state if result is None else result  # it may change the dict that it was given
    if not isinstance(result, dict) or not all(isinstance(name, str) for name in result):
        raise TypeError(f"migrate returns the dict of all kept values by name, not {type(result).__name__}")
    for name, value in result.items():
        if isinstance(value, kept.IMMUTABLE):
            raise TypeError(f'migrate returned {type(value).__name__} for "{name}": keep a dict or list')
    return dict(result)


def to_rehearse(shelf: Shelf, one: Compiled) -> tuple[int, bytes] | None:
    """Return the version of the values that a unit's `migrate` is about to get, and these pickled, for its trial.

    None where it will not be called, or where the values can't be pickled: then the trial does without.
    """
    version, values = shelf.versions.get(one.state_name, 1), shelf.values.get(one.state_name)
    if not values or one.state_version <= version or not _may_migrate(one):
        return None
    try:
        return version, pickle.dumps(values)
    except Exception:  # the values' own code
        return None


class Takeover:
    """One build of a group over the values that it takes over; in place of a plain `loader.Build`.

    Args:
        staging: the values as this build sees them; told of what was migrated and what is to be brought over.

    Attributes:
        rehearsed: images that were made for their `migrate` only; who uses this lets go of what their import opened.
    """

    def __init__(
        self,
        compiled: Mapping[str, Compiled],
        live: Mapping[str, Image],
        staging: Staging,
        settings: Callable[[str], Mapping[str, Any]],
        import_seconds: float,
    ) -> None:
        self._compiled, self._live, self._staging = compiled, live, staging
        staging.begin_anew()  # one build may have been given up for another
        self._settings, self._seconds = settings, import_seconds
        self._now = Build(compiled, live, staging, settings, import_seconds)
        self.too_long = self._now.too_long
        self.rehearsed: dict[str, Image] = {}

    def discard(self) -> None:
        """Give `sys.modules` back what it held."""
        self._now.discard()

    def undo(self) -> None:
        """Undo what its code has changed in the process: it will never be live."""
        self._now.undo()

    def run(self) -> dict[str, Image]:
        """Execute all units over their values and collect what they declare.

        Raises:
            PluginError: one of them can't be taken, or its values can't; nothing is left of the build.
        """
        crossing = [one for one in self._compiled.values() if self._staging.crosses(one.state_name, one.state_version)]
        upwards = [one for one in crossing if not self._goes_back(one)]
        self._rehearse([one for one in upwards if _may_migrate(one)])
        for one in upwards:
            self._migrate(one)
        images = self._now.run()
        for name, one in self._compiled.items():
            self._carry(one, self._finder(name, images))
        return images

    @property
    def is_plain(self) -> bool:
        """Tell whether no value changes its version, and there are so few that looking through them takes no time."""
        states = {one.state_name for one in self._compiled.values()}
        crosses = any(self._staging.crosses(one.state_name, one.state_version) for one in self._compiled.values())
        return not crosses and all(_is_small(self._staging.values(state)) for state in states)

    def steps(self) -> Generator[str, None, dict[str, Image]]:
        """Do what `run` does where it is plain, one unit at a time; see `loader.Build.steps`."""
        images = yield from self._now.steps()
        for name, one in self._compiled.items():
            yield name
            self._carry(one, self._finder(name, images))
        return images

    def _goes_back(self, one: Compiled) -> bool:
        """Give a version that is lower than its values the snapshot of its own; tell whether it is lower."""
        version = self._staging.version(one.state_name)
        if one.state_version > version:
            return False
        snapshot = self._staging.snapshot(one.state_name, one.state_version)
        if snapshot is None:
            why = (
                f"STATE_VERSION {one.state_version} is lower than {version}, that of the kept values, and no snapshot "
                f"of them is left; go on to {version + 1} with a migrate, or !state drop {one.unit.name} and lose them"
            )
            raise PluginError(one.unit.name, shown(one.unit), _line(one, rb"STATE_VERSION\b"), why)
        self._staging.begin(one.state_name, copied(snapshot), "restored")
        return True

    # -- migrate

    def _rehearse(self, units: list[Compiled]) -> None:
        """Execute those that have a `migrate`, and what they import, for nothing but that."""
        if not units:
            return
        names = {one.unit.name for one in units}
        names |= needed(names, {name: one.imports for name, one in self._compiled.items()})
        some = {name: one for name, one in self._compiled.items() if name in names}
        real, self._now = self._now, Build(some, self._live, self._staging.empty(), self._settings, self._seconds)
        self.rehearsed = self._now.run()
        self._now = real

    def _migrate(self, one: Compiled) -> None:
        """Give a unit its values in its own version."""
        name, old = one.unit.name, self._staging.version(one.state_name)
        image = self.rehearsed.get(name)
        module = image.modules[f"{PACKAGE}.{name}"] if image is not None else None
        migrate = getattr(module, "migrate", None)
        if image is None or migrate is None:
            self._staging.begin(one.state_name, {}, "reset")
            return
        values, line = self._staging.values(one.state_name), _line(one, rb"(?:(?:async\s+)?def\s+)?migrate\b")
        token = kept.shelf.set(self._staging.empty())
        try:
            new = migrated(migrate, old, values, self._finder(name, self.rehearsed))
        except BaseException as error:  # a plugin's code: SystemExit and KeyboardInterrupt come out of it, too
            path, at = place(error.__traceback__, one.unit)
            if isinstance(error, TookTooLong):
                raise PluginError(name, path, at or line, f"migrate took longer than {self._seconds:g} s") from None
            cause = error if at else None  # no line of the plugin ran: it is about what `migrate` returned
            raise PluginError(name, path, at or line, f"migrate: {sentence(error)}") from cause
        finally:
            kept.shelf.reset(token)
        self._staging.begin(one.state_name, new, "migrated")

    # -- classes

    def _carry(self, one: Compiled, find: Find) -> None:
        """Find out what has to be brought over to the new classes; values that are ours alone are so at once."""
        values = self._staging.values(one.state_name)
        try:
            carry = Carry(values, find)
            for name in values:
                if carry.values[name] is not values[name]:  # its module has bound the one that there is
                    raise CannotCarry(f'keep("{name}") is an object that would have to be made anew', name)
            self._staging.carry(one.state_name, carry)
            for snapshot in self._staging.snapshots(one.state_name):
                self._staging.carry(None, Carry(snapshot, find, lenient=True))
        except CannotCarry as error:
            line = _line(one, rb"class\s+" + error.kind.encode() + rb"\b") if error.kind else 0
            drop = f"!state drop {one.unit.name} {error.value}"
            advice = f"mend it, raise STATE_VERSION with a migrate, or {drop} and lose it"
            raise PluginError(one.unit.name, shown(one.unit), line, f"{error}; {advice}") from None
        except Exception as error:  # a plugin's own code, a `__hash__` or a default factory
            raise PluginError(one.unit.name, *place(error.__traceback__, one.unit), sentence(error)) from error

    def _finder(self, plugin: str, images: Mapping[str, Image]) -> Find:
        """Return what finds the classes of a plugin's values among new modules and live ones."""

        def module_of(name: str) -> ModuleType | None:
            _, unit, *parts = name.split(".")
            if unit not in self._compiled and self._staging.is_earlier_name(plugin, unit):
                unit = plugin  # its file had this name, and STATE_NAME keeps the values
            image = images.get(unit) or self._live.get(unit)
            if image is None or image.build is None:
                return None
            try:
                return image.build.get(".".join((PACKAGE, unit, *parts)))  # nobody may have imported this part so far
            except ModuleNotFoundError:
                return None

        return finder(module_of)


async def bring_over(shelf: Shelf, ended: Image, live: Mapping[str, Image], relay: Relay) -> None:
    """Bring over what the last calls of an ended version have left of its classes in the values. Never raises."""
    values = shelf.values.get(ended.state_name)
    if not values or not any(image.state_name == ended.state_name for image in live.values()):
        return

    def module_of(name: str) -> ModuleType | None:
        image = live.get(name.split(".")[1])
        return image.modules.get(name) if image is not None else None

    try:
        carry = await relay.submit(lambda: Carry(dict(values), finder(module_of), lenient=True))
        carry.apply()
    except Exception:
        log.exception("%s: what its last calls have kept stays of the old version", ended.unit.name)


def _is_small(values: Mapping[str, object]) -> bool:
    """Tell whether values hold few others, and none that has to be asked."""
    todo: list[Any] = [*values.values()]
    seen = 0
    while todo and seen <= SMALL_VALUES:
        each = todo.pop()
        if type(each) in (dict, list, set, tuple, frozenset, deque):
            seen += len(each)
            todo += each.values() if type(each) is dict else each
        elif not isinstance(each, kept.IMMUTABLE):
            return False
    return seen <= SMALL_VALUES


def _may_migrate(one: Compiled) -> bool:
    return b"migrate" in one.unit.sources[f"{PACKAGE}.{one.unit.name}"].content


def _line(one: Compiled, pattern: bytes) -> int:
    """Return the first line of a unit's main file that begins with this, or 0."""
    lines = one.unit.sources[f"{PACKAGE}.{one.unit.name}"].content.splitlines()
    return next((number for number, line in enumerate(lines, 1) if re.match(rb"\s*" + pattern, line)), 0)
