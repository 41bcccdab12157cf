"""What one version of a plugin hands to the next: `keep` values, and the hooks of its life.

A build works on a `Staging`: it sees the values that are kept and may add new ones, which become real with the
commit, so a version that failed leaves nothing behind. Values of a plugin that went stay for two commits, and so does
a value that a plugin no longer asks for: a delete and an undo lose nothing. How values become those of another version
or of other classes is found out by `state.py` and `carry.py`. Hooks run under a deadline, `def` ones off the loop; what
a `setup` keeps goes to the staging of its build.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar, cast

from bot.api import kept
from bot.api.context import Context
from bot.api.kept import Rows
from bot.dispatch.owner import Overrun, Owner
from bot.dispatch.relay import CallEnded, Relay
from bot.dispatch.table import Handler, Table
from bot.errors import PluginError
from bot.live.carry import Carry
from bot.live.compiled import Compiled
from bot.live.imprint import entry, imprint_of
from bot.live.loader import Image, place, sentence

T = TypeVar("T")
log = logging.getLogger(__name__)

COMMITS_KEPT_AFTER_UNLOAD = 2
BREATH_SECONDS = 0.002  # after a commit those are served first who wait for an answer; what has ended has time
COMMITS_KEPT_UNASKED = 2  # of the plugin: an edit that drops a name, and one more before it is missed
SNAPSHOTS = 5  # of one plugin's values, the latest


class Disk(Protocol):
    """Where `store` values lie."""

    def rows(self, plugin: str, name: str) -> Rows: ...


class Host(Protocol):
    """What the bot around lends to plugins."""

    def context(self, owner: Owner, key: str) -> Context:
        """Return a context without channel and user, for hooks."""

    def settings(self, plugin: str) -> Mapping[str, Any]: ...
    def committed(self, table: Table, plugins: Mapping[str, Image]) -> None:
        """Part of the commit, once for each plugin: jobs are replaced here. Must not await."""

    def unloaded(self, plugins: Collection[str]) -> None:
        """Part of the commit: jobs of these plugins end."""

    def notice(self, text: str) -> None:
        """Tell the admins a line that belongs to no report: a leak, a version that was taken back."""


class Shelf:
    """The kept values of all plugins, by state name. One writer: the commit.

    Attributes:
        values: by state name and name.
        versions: of the values, `STATE_VERSION` of the plugin that was committed with them.
        snapshots: by state name and version, the values as they were when a later version took over.
        states: plugin -> its state name, as last committed.
    """

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.values: dict[str, dict[str, object]] = {}
        self.versions: dict[str, int] = {}
        self.snapshots: dict[str, dict[int, dict[str, object]]] = {}
        self.states: dict[str, str] = {}
        self._commits_left: dict[str, int] = {}
        self._unasked: dict[tuple[str, str], int] = {}  # (state, name) -> commits that did not ask for it

    def keep(self, plugin: str, name: str, factory: Callable[[], T]) -> T:
        """Return a value outside of any build, for a handler that asks while it runs."""
        state = self.states.get(plugin, plugin)
        values = self.values.setdefault(state, {})
        if name not in values:
            values.setdefault(name, factory())  # handlers may ask in two threads at once; they get one object
        self._unasked.pop((state, name), None)
        return cast(T, values[name])

    def store(self, plugin: str, name: str, per: str) -> Rows:
        """Return where a store of a plugin lies."""
        return self.disk.rows(self.states.get(plugin, plugin), name)

    def begin(self, state: str, values: dict[str, object], version: int) -> None:
        """Part of a commit: these take the place of the values; the former ones stay as a snapshot of their version."""
        before, former = self.versions.get(state, 1), self.values.get(state, {})
        snapshots = {at: each for at, each in self.snapshots.get(state, {}).items() if at < version}
        if before < version:
            snapshots[before] = former
        self.snapshots[state] = dict(sorted(snapshots.items())[-SNAPSHOTS:])
        self.values[state] = values

    def asked(self, state: str, names: Collection[str]) -> None:
        """Part of a commit: the version that goes live has asked for these, and others may be forgotten."""
        values = self.values.get(state, {})
        for name in list(values):
            commits = 0 if name in names else self._unasked.get((state, name), 0) + 1
            self._unasked[state, name] = commits
            if commits > COMMITS_KEPT_UNASKED:
                del values[name]
            if commits in (0, COMMITS_KEPT_UNASKED + 1):
                del self._unasked[state, name]

    def drop(self, state: str, name: str | None = None) -> list[str]:
        """Forget one kept value, or all with their snapshots; the next version of the plugin begins with new ones.

        Returns:
            The names that are gone.
        """
        values = self.values.get(state, {})
        gone = sorted(values) if name is None else [name] if name in values else []
        for each in gone:
            del values[each]
        if not values:
            self._forget(state)
        return gone

    def committed(self, live_states: set[str]) -> None:
        """Count a commit: values of plugins that are gone are forgotten after the second."""
        for state in list(self.values):
            if state in live_states:
                self._commits_left.pop(state, None)
            else:
                left = self._commits_left.get(state, COMMITS_KEPT_AFTER_UNLOAD + 1) - 1
                self._commits_left[state] = left
                if left <= 0:
                    self._forget(state)

    def _forget(self, state: str) -> None:
        for book in (self.values, self.versions, self.snapshots, self._commits_left):
            book.pop(state, None)
        for key in [key for key in self._unasked if key[0] == state]:
            del self._unasked[key]


class Staging:
    """The shelf as one build and its `setup` see it. After the commit it is the shelf itself, for tasks of `setup`.

    Args:
        states: plugin -> state name, of those that are built.
        compiled: their code, which tells their `STATE_VERSION`.
    """

    def __init__(self, shelf: Shelf, states: Mapping[str, str], compiled: Mapping[str, Compiled] | None = None) -> None:
        self._shelf, self._states, self._compiled = shelf, states, compiled or {}
        self._committed = False
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what a build has asked for that was given up, and the values it made, of classes that are no more."""
        self._instead: dict[str, dict[str, object]] = {}  # by state: what takes the place of its values
        self._new: dict[str, dict[str, object]] = {}
        self._asked: dict[str, set[str]] = {}
        self._found: set[str] = set()
        self._words: dict[str, str] = {}
        self._carries: list[Carry] = []

    def keep(self, plugin: str, name: str, factory: Callable[[], T]) -> T:
        """Return the kept value, or a new one that the commit will keep."""
        if self._committed:
            return self._shelf.keep(plugin, name, factory)
        state = self._state(plugin)
        self._asked.setdefault(state, set()).add(name)
        values = self._values(state)
        if name in values:
            self._found.add(plugin)
            return cast(T, values[name])
        new = self._new.setdefault(state, {})
        if name not in new:
            new[name] = factory()
        return cast(T, new[name])

    def store(self, plugin: str, name: str, per: str) -> Rows:
        """Return where a store of a plugin lies."""
        return self._shelf.disk.rows(self._state(plugin), name)

    def state_of(self, plugin: str) -> str:
        """Tell for the report: `migrated`, `reset`, `restored`, `kept` if values were carried over, else nothing."""
        return self._words.get(self._state(plugin), "kept" if plugin in self._found else "")

    def _state(self, plugin: str) -> str:
        return self._states.get(plugin) or self._shelf.states.get(plugin, plugin)

    def _values(self, state: str) -> dict[str, object]:
        return self._instead[state] if state in self._instead else self._shelf.values.get(state, {})

    # -- what `state.Takeover` asks and decides

    def version(self, state: str) -> int:
        """Return the version of the values of a state."""
        return self._shelf.versions.get(state, 1)

    def crosses(self, state: str, version: int) -> bool:
        """Tell whether there are values, and of another version."""
        return bool(self._shelf.values.get(state)) and self.version(state) != version

    def values(self, state: str) -> dict[str, object]:
        """Return the values of a state by name, as this build has found them."""
        return dict(self._values(state))

    def snapshot(self, state: str, version: int) -> dict[str, object] | None:
        """Return the values as they were in an earlier version."""
        return self._shelf.snapshots.get(state, {}).get(version)

    def snapshots(self, state: str) -> list[dict[str, object]]:
        """Return all earlier values that the commit leaves in memory."""
        former = [dict(self._shelf.values.get(state, {}))] if state in self._instead else []
        return [*self._shelf.snapshots.get(state, {}).values(), *former]

    def begin(self, state: str, values: dict[str, object], word: str) -> None:
        """These take the place of a state's values with the commit; `word` is what the report tells."""
        self._instead[state], self._words[state] = values, word

    def carry(self, state: str | None, carry: Carry) -> None:
        """Bring objects over to the new classes: with the commit, or at once if only this build has the values."""
        if state in self._instead:
            carry.apply()
        elif carry:
            self._carries.append(carry)

    def empty(self) -> Staging:
        """Return one that has no values and is never committed."""
        return Staging(Shelf(self._shelf.disk), {**self._shelf.states, **self._states})

    def is_earlier_name(self, plugin: str, unit: str) -> bool:
        """Tell whether the values of `plugin` were those of `unit`."""
        return self._shelf.states.get(unit, unit) == self._state(plugin)

    # -- the commit

    def commit(self) -> None:
        """Make it so. Never raises."""
        for state, values in self._instead.items():
            self._shelf.begin(state, values, self._version_of(state))
        for state, values in self._new.items():
            self._shelf.values.setdefault(state, {}).update(values)
        for carry in self._carries:
            try:
                carry.apply()
            except Exception:
                log.exception("kept objects of %s stay of the old version", ", ".join(self._states))
        for plugin, state in self._states.items():
            self._shelf.states[plugin] = state
            self._shelf.versions[state] = self._version_of(state)
            self._shelf.asked(state, {*self._asked.get(state, ()), *self._mentioned(plugin, state)})
        self._instead, self._new, self._carries = {}, {}, []  # they know old versions; this lives on
        self._committed = True

    def _version_of(self, state: str) -> int:
        return next((one.state_version for one in self._compiled.values() if one.state_name == state), 1)

    def _mentioned(self, plugin: str, state: str) -> Iterator[str]:
        """A name that stands in the source is one that a handler may ask for while it runs."""
        one = self._compiled.get(plugin)
        for name in self._shelf.values.get(state, ()):
            if one is not None and any(name.encode() in source.content for source in one.unit.sources.values()):
                yield name


async def run_hooks(
    kind: str,
    image: Image,
    context: Callable[[Owner, str], Context],
    relay: Relay,
    deadline_seconds: float,
    staging: Staging | None = None,
) -> None:
    """Run the `setup`, `start` or `teardown` functions of an image in their order.

    Args:
        staging: where `keep` and `store` lead for `setup`, whose version may never go live.

    Raises:
        PluginError: one raised, or took too long.
    """
    for hook in image.found.hooks.get(kind, ()):
        assert image.owner is not None
        with _shelf(staging), entry(imprint_of(image.owner)):
            try:
                await image.owner.run(_call(hook, context(image.owner, hook.key), relay), deadline_seconds)
            except Overrun:
                raise PluginError(
                    image.unit.name, _file(image, hook), hook.line, f"{kind} took longer than {deadline_seconds:g} s"
                ) from None
            except BaseException as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise
                if isinstance(error, CallEnded) and error.__cause__ is not None:
                    error = error.__cause__
                shown, line = place(error.__traceback__, image.unit)
                raise PluginError(image.unit.name, shown, line or hook.line, f"{kind}: {sentence(error)}") from error


@contextmanager
def _shelf(staging: Staging | None) -> Iterator[None]:
    if staging is None:
        yield
        return
    token = kept.shelf.set(staging)
    try:
        yield
    finally:
        kept.shelf.reset(token)


async def _call(hook: Handler, ctx: Context, relay: Relay) -> None:
    if hook.is_async:
        await hook.function(ctx)
        return
    future = relay.submit(hook.function, ctx)
    try:
        result = await future
    except asyncio.CancelledError:
        await relay.interrupt(future)
        raise
    if asyncio.iscoroutine(result):
        await result


def _file(image: Image, hook: Handler) -> str:
    module = getattr(hook.function, "__module__", "")
    source = image.unit.sources.get(module) or next(iter(image.unit.sources.values()))
    return source.shown


async def retire(
    image: Image,
    context: Callable[[Owner, str], Context],
    relay: Relay,
    grace_seconds: float,
    teardown_seconds: float,
) -> None:
    """Let one generation end: its calls finish, `teardown` runs, and all that it owns is let go. Never raises."""
    owner = image.owner
    assert owner is not None
    for task in owner.background():
        task.cancel()
    await asyncio.sleep(BREATH_SECONDS)
    await owner.finish_calls(grace_seconds)
    try:
        await run_hooks("teardown", image, context, relay, teardown_seconds)
    except PluginError as error:
        log.warning("%s g%d: teardown failed: %s", owner.plugin, owner.generation, error, exc_info=error.__cause__)
    await owner.let_go()
    if image.build is not None:
        image.build.forget(image.unit.name)
