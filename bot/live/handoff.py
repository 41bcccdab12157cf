"""What one version of a plugin hands to the next: `keep` values, and the hooks of its life.

A build works on a `Staging`: it sees the values that are kept and may add new ones, which become real with the
commit, so a version that failed leaves nothing behind. Values of a plugin that went stay for two commits, so that a
delete and an undo lose nothing. Hooks run under a deadline, `def` ones off the loop; what a `setup` keeps goes to the
staging of its build.
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
from bot.dispatch.relay import Relay
from bot.dispatch.table import Handler, Table
from bot.errors import PluginError
from bot.live.imprint import entry, imprint_of
from bot.live.loader import Image, place, sentence

T = TypeVar("T")
log = logging.getLogger(__name__)

COMMITS_KEPT_AFTER_UNLOAD = 2


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
    """The kept values of all plugins, by state name. One writer: the commit."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.values: dict[str, dict[str, object]] = {}
        self.states: dict[str, str] = {}  # plugin -> its state name, as last committed
        self._commits_left: dict[str, int] = {}

    def keep(self, plugin: str, name: str, factory: Callable[[], T]) -> T:
        """Return a value outside of any build, for a handler that asks while it runs."""
        values = self.values.setdefault(self.states.get(plugin, plugin), {})
        if name not in values:
            values.setdefault(name, factory())  # handlers may ask in two threads at once; they get one object
        return cast(T, values[name])

    def store(self, plugin: str, name: str, per: str) -> Rows:
        """Return where a store of a plugin lies."""
        return self.disk.rows(self.states.get(plugin, plugin), name)

    def committed(self, live_states: set[str]) -> None:
        """Count a commit: values of plugins that are gone are forgotten after the second."""
        for state in list(self.values):
            if state in live_states:
                self._commits_left.pop(state, None)
            else:
                left = self._commits_left.get(state, COMMITS_KEPT_AFTER_UNLOAD + 1) - 1
                self._commits_left[state] = left
                if left <= 0:
                    del self.values[state], self._commits_left[state]


class Staging:
    """The shelf as one build and its `setup` see it. After the commit it is the shelf itself, for tasks of `setup`."""

    def __init__(self, shelf: Shelf, states: Mapping[str, str]) -> None:
        self._shelf, self._states = shelf, states
        self._new: dict[str, dict[str, object]] = {}
        self._found: set[str] = set()
        self._committed = False

    def keep(self, plugin: str, name: str, factory: Callable[[], T]) -> T:
        """Return the kept value, or a new one that the commit will keep."""
        if self._committed:
            return self._shelf.keep(plugin, name, factory)
        state = self._states.get(plugin, plugin)
        values = self._shelf.values.get(state, {})
        if name in values:
            self._found.add(plugin)
            return cast(T, values[name])
        new = self._new.setdefault(state, {})
        if name not in new:
            new[name] = factory()
        return cast(T, new[name])

    def store(self, plugin: str, name: str, per: str) -> Rows:
        """Return where a store of a plugin lies."""
        return self._shelf.disk.rows(self._states.get(plugin, plugin), name)

    def state_of(self, plugin: str) -> str:
        """Tell for the report: `kept` if values were carried over, else nothing."""
        return "kept" if plugin in self._found else ""

    def commit(self) -> None:
        """Keep what is new."""
        for state, values in self._new.items():
            self._shelf.values.setdefault(state, {}).update(values)
        self._shelf.states.update(self._states)
        self._committed = True


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
            except Overrun as error:
                raise PluginError(
                    image.unit.name, _file(image, hook), hook.line, f"{kind} took longer than {deadline_seconds:g} s"
                ) from error
            except BaseException as error:
                task = asyncio.current_task()
                if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                    raise
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
    await owner.finish_calls(grace_seconds)
    try:
        await run_hooks("teardown", image, context, relay, teardown_seconds)
    except PluginError as error:
        log.warning("%s g%d: teardown failed: %s", owner.plugin, owner.generation, error, exc_info=error.__cause__)
    await owner.let_go()
    if image.build is not None:
        image.build.forget(image.unit.name)
