"""Plugins' jobs: periodic ones that keep their due time over reloads, and single ones, stored where they are marked
`@job`.

The scheduler holds the timers and the store the rows; this joins them to the live plugins. A stored job runs the
function of its name in whatever version is live when it is due; if its plugin is not live then, it runs as soon as it
is. A function that is not marked `@job` ends with the version that scheduled it, and with its worker.

Each run of the other two is an entry of the ledger from its beginning to its end, so it is neither lost nor doubled
when the worker dies in it: the keeper hands it to the next one (`again`), and a stored job keeps its row so long.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from bot.api.context import Owner as AnyOwner
from bot.api.context import Scheduled
from bot.api.declare import Every, Job, declarations
from bot.api.durations import parse_duration
from bot.api.values import encode
from bot.dispatch.owner import Owner, called
from bot.dispatch.scheduler import Every as Periodic
from bot.dispatch.scheduler import Handle, Scheduler
from bot.dispatch.table import Handler
from bot.errors import StoreError
from bot.ledger import Ledger, name_of, read_name
from bot.storage import Jobs as Rows

log = logging.getLogger(__name__)

AGAIN_SECONDS = 30.0  # until rows that could not be read are read again
LONGEST_SECONDS = 10 * 366 * 86400.0


class Run(Protocol):
    """Gives the coroutine of one job's run, a call of its own; `number` and `again` are those of its entry."""

    def __call__(
        self,
        owner: Owner,
        handler: Handler,
        args: tuple[Any, ...],
        address: str | None,
        number: str = "",
        again: bool = False,
    ) -> Coroutine[Any, Any, object]: ...


class _Stored:
    """The handle of a stored job; it has a number once it is stored."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self.id: int | None = None
        self.cancelled = False

    def cancel(self) -> None:
        """Let it never run."""
        self.cancelled = True
        if self.id is not None:
            self._jobs.cancel(self.id)


class _Passing:
    """The handle of a job that ends with its version; made and cancelled in any thread."""

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timers = owner.timers  # not the owner: a handle that is kept must not keep its version alive
        self.handle: Handle | None = None
        self.cancelled = False

    def cancel(self) -> None:
        """Let it never run."""
        self.cancelled = True
        self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self.handle is not None:
            self.handle.cancel()
            self._timers.discard(self.handle)


class Jobs:
    """All jobs of all plugins. Called on the loop; `schedule` from any thread, too.

    Attributes:
        left: this worker is leaving; runs that have not ended by now are made again by the next one.
    """

    def __init__(
        self,
        rows: Rows,
        scheduler: Scheduler,
        run: Run,
        ledger: Ledger,
        spawn: Callable[[Coroutine[Any, Any, object]], object],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._rows, self._scheduler, self._run, self._wall = rows, scheduler, run, wall
        self._ledger, self._spawn, self.left = ledger, spawn, False
        self._begun_before: set[str] = set()  # runs that the keeper has handed over
        self._later: dict[str, Mapping[str, Handler]] = {}
        self._periodics: dict[str, Sequence[Handler]] = {}
        self._owners: dict[str, Owner] = {}
        # Stored jobs whose timer runs, and what it will run.
        self._armed: dict[int, tuple[Handle, Callable[[], Coroutine[Any, Any, None]]]] = {}
        self._running: set[int] = set()  # those that run: their rows are still there
        self._loop = asyncio.get_running_loop()

    def schedule(
        self,
        owner: AnyOwner,
        when: float | str,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        address: str | None,
    ) -> Scheduled:
        """Run `function(ctx, *args)` once; what a `setup` schedules is nowhere before its version goes live.

        Raises:
            ValueError: not a time, or one in over ten years.
            TypeError: an argument of a `@job` function that JSON can't hold.
        """
        seconds = parse_duration(when)
        if seconds > LONGEST_SECONDS:
            raise ValueError(f"{when} is too far away; ten years is the limit")
        due = self._wall() + seconds
        assert isinstance(owner, Owner)
        if any(isinstance(mark, Job) for mark in declarations(function)):
            # As `live.declared` names functions: the same name in every version.
            key = f"{function.__module__.removeprefix('plugins.')}.{function.__qualname__}"
            encode(list(args))  # a mistake is told to who makes it, not to the commit
            stored = _Stored(self)
            owner.when_live(lambda: self._keep(stored, owner.plugin, key, due, args, address))
            return stored
        is_async = asyncio.iscoroutinefunction(function)
        handler = Handler(owner.plugin, f"{owner.plugin}.{called(function)}", function, Job(), owner, is_async)
        passing = _Passing(owner, self._loop)
        owner.when_live(
            lambda: self._loop.call_soon_threadsafe(self._pass, passing, owner, handler, due, args, address)
        )
        return passing

    def _keep(
        self, stored: _Stored, plugin: str, key: str, due: float, args: tuple[Any, ...], address: str | None
    ) -> None:
        if not stored.cancelled:
            stored.id = self._rows.add(plugin, key, due, args, address)
            self._loop.call_soon_threadsafe(self._arm_kept, plugin, key, stored.id, due, args, address)

    def _arm_kept(self, plugin: str, key: str, number: int, *rest: Any) -> None:
        try:
            if self._rows.there(number):  # a call that is made again gets the row of the first time: it may have run
                self._arm(plugin, key, number, *rest)
        except StoreError:
            self._arm_all(plugin)  # as soon as rows can be read

    def _pass(
        self, passing: _Passing, owner: Owner, handler: Handler, due: float, args: tuple[Any, ...], address: str | None
    ) -> None:
        def run() -> Coroutine[Any, Any, object]:
            owner.timers.discard(handle)
            return self._run(owner, handler, args, address)

        if not passing.cancelled and not owner.retired:
            handle = passing.handle = self._scheduler.schedule(due, run)
            owner.timers.add(handle)

    def cancel(self, number: int) -> None:
        """Cross a stored job off."""
        self._rows.remove(number)
        self._loop.call_soon_threadsafe(self._disarm, number)

    def _disarm(self, number: int) -> None:
        armed = self._armed.pop(number, None)
        if armed is not None:
            armed[0].cancel()
        for name in self._begun_before:
            if (found := read_name(name)) is not None and found[1] == number:
                self._ledger.done(name)

    # -- from one worker to the next

    def open(self, boot: str) -> None:
        """Go on in the time of the worker before, under the keeper of this name."""
        self._ledger.open(boot)
        for plugin in self._periodics:
            self._recall(plugin)

    def again(self, name: str) -> None:
        """A run was begun by a worker that is gone, and not ended."""
        self._begun_before.add(name)
        key, row = read_name(name) or ("", None)
        plugin = key.partition(".")[0]
        if row is not None:
            if row in self._armed and plugin in self._owners:
                timer, run = self._armed[row]
                timer.cancel()
                self._spawn(run())  # now: the keeper may want to see it alone
            else:  # its row waits for the plugin, or the run had ended
                self._ledger.done(name)
            return
        handler = next((one for one in self._periodics.get(plugin, ()) if one.key == key), None)
        if handler is None:
            self._ledger.done(name)
        else:
            self._spawn(self._entered(name, self._run(handler.owner, handler, (), None, name, True)))

    def forget(self, name: str) -> None:
        """A run has ended workers: it is not to be made again."""
        _, row = read_name(name) or ("", None)
        if row is not None:
            self._running.add(row)  # never armed again, even if its row can't be removed
            self._cross_off(row)
            self._disarm(row)

    async def _entered(self, name: str, run: Coroutine[Any, Any, object], row: int | None = None) -> None:
        """Run a job as an entry."""
        if row is not None:
            self._running.add(row)
        try:
            await run
        finally:
            if not self.left:
                if row is not None:
                    self._cross_off(row)
                self._ledger.done(name)

    def _cross_off(self, row: int) -> None:
        try:
            self._rows.remove(row)
            self._running.discard(row)
        except StoreError as error:
            log.error("a stored job that is over can't be crossed off: %s", error)

    def _recall(self, plugin: str) -> None:
        """Give a plugin's periodic jobs the time that they had under the worker before, if there was one."""
        for handler in self._periodics.get(plugin, ()) if self._ledger.kept else ():
            due = self._ledger.due(handler.key, _when(handler))
            if due is not None and due != self._next(plugin, handler):
                self._scheduler.put(plugin, handler.key, due)
            self._remember(plugin, handler)

    def _remember(self, plugin: str, handler: Handler) -> None:
        if (due := self._next(plugin, handler)) is not None:
            self._ledger.remember(handler.key, _when(handler), due)

    def _next(self, plugin: str, handler: Handler) -> float | None:
        seconds = self._scheduler.seconds_until(plugin, handler.key)
        return None if seconds is None else round(self._wall() + seconds, 3)

    # -- commits

    def replace(
        self, plugin: str, owner: Owner | None, periodic: Sequence[Handler], later: Mapping[str, Handler]
    ) -> None:
        """Part of a commit: a plugin's jobs are those of its new version. Never raises: the rest is live already."""
        assert owner is not None
        before = self._owners.get(plugin)
        if before is not None and before is not owner:
            before.call_off()
        self._later[plugin], self._owners[plugin] = later, owner
        try:
            self._scheduler.replace(plugin, [self._periodic(handler, owner) for handler in periodic])
        except ValueError:  # the loader has seen to their names and times, so this is a fault of ours
            log.exception("the periodic jobs of %s can't be run", plugin)
            self._scheduler.replace(plugin, [])
            periodic = ()
        self._periodics[plugin] = periodic
        self._recall(plugin)
        self._arm_all(plugin)

    def _arm_all(self, plugin: str) -> None:
        if plugin not in self._owners:
            return
        try:
            rows = self._rows.all(plugin)
        except StoreError as error:
            log.error("the stored jobs of %s can't be read and wait: %s", plugin, error)

            async def again() -> None:
                self._arm_all(plugin)

            self._scheduler.schedule(self._wall() + AGAIN_SECONDS, again)
            return
        for job in rows:
            if job.id not in self._armed:
                self._arm(plugin, job.function, job.id, job.due, job.args, job.address)

    def remove(self, plugin: str) -> None:
        """Part of a commit: a plugin has gone; its stored jobs wait for it."""
        self._later.pop(plugin, None)
        self._periodics.pop(plugin, None)
        before = self._owners.pop(plugin, None)
        if before is not None:
            before.call_off()
        self._scheduler.replace(plugin, [])

    def _periodic(self, handler: Handler, owner: Owner) -> Periodic:
        return Periodic(handler.key, _when(handler), lambda: self._due(handler, owner))

    def _due(self, handler: Handler, owner: Owner) -> Coroutine[Any, Any, object]:
        name = name_of(handler.key, self._scheduler.last_due(owner.plugin, handler.key))
        if name in self._begun_before:
            return _nothing()
        self._ledger.begin(name)  # first: a run that is known twice is made once, one that nobody knows never
        self._remember(owner.plugin, handler)
        return self._entered(name, self._run(owner, handler, (), None, name))

    def _arm(self, plugin: str, key: str, number: int, due: float, args: tuple[Any, ...], address: str | None) -> None:
        async def run() -> None:
            self._armed.pop(number, None)
            handler, owner, name = (
                self._later.get(plugin, {}).get(key),
                self._owners.get(plugin),
                name_of(key, due, number),
            )
            if owner is None or handler is None:
                if owner is not None:  # else the row stays, and is armed again with the plugin
                    self._cross_off(number)
                    log.warning("%s has no @job function %s any more; its stored job is dropped", plugin, key)
                if name in self._begun_before:
                    self._ledger.done(name)
                return
            self._ledger.begin(name)
            again = name in self._begun_before
            await self._entered(name, self._run(owner, handler, args, address, name, again), number)

        if number not in self._armed and number not in self._running:
            self._armed[number] = self._scheduler.schedule(due, run), run


def _when(handler: Handler) -> float | str:
    assert isinstance(handler.declaration, Every)
    when = handler.declaration.cron if handler.declaration.cron is not None else handler.declaration.seconds
    assert when is not None
    return when


async def _nothing() -> None:
    """A run that is under way already, since the keeper handed it over."""
