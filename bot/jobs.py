"""Plugins' jobs: periodic ones that keep their due time over reloads, and single ones, stored where they are marked
`@job`.

The scheduler holds the timers and the store the rows; this joins them to the live plugins. A stored job runs the
function of its name in whatever version is live when it is due; if its plugin is not live then, it runs as soon as it
is. A function that is not marked `@job` ends with the version that scheduled it.
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
from bot.storage import Jobs as Rows

log = logging.getLogger(__name__)

AGAIN_SECONDS = 30.0  # until rows that could not be read are read again
LONGEST_SECONDS = 10 * 366 * 86400.0


class Run(Protocol):
    """Gives the coroutine of one job's run, a call of its own."""

    def __call__(
        self, owner: Owner, handler: Handler, args: tuple[Any, ...], address: str | None
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
    """All jobs of all plugins. Called on the loop; `schedule` from any thread, too."""

    def __init__(self, rows: Rows, scheduler: Scheduler, run: Run, wall: Callable[[], float] = time.time) -> None:
        self._rows, self._scheduler, self._run, self._wall = rows, scheduler, run, wall
        self._later: dict[str, Mapping[str, Handler]] = {}
        self._owners: dict[str, Owner] = {}
        self._armed: dict[int, Handle] = {}  # stored jobs whose timer runs
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
            self._loop.call_soon_threadsafe(self._arm, plugin, key, stored.id, due, args, address)

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
        timer = self._armed.pop(number, None)
        if timer is not None:
            timer.cancel()

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
        before = self._owners.pop(plugin, None)
        if before is not None:
            before.call_off()
        self._scheduler.replace(plugin, [])

    def _periodic(self, handler: Handler, owner: Owner) -> Periodic:
        assert isinstance(handler.declaration, Every)
        mark = handler.declaration
        when = mark.cron if mark.cron is not None else mark.seconds
        assert when is not None
        return Periodic(handler.key, when, lambda: self._run(owner, handler, (), None))

    def _arm(self, plugin: str, key: str, number: int, due: float, args: tuple[Any, ...], address: str | None) -> None:
        async def run() -> None:
            self._armed.pop(number, None)
            handler, owner = self._later.get(plugin, {}).get(key), self._owners.get(plugin)
            if owner is None:
                return  # not live: the row stays, and is armed again with the plugin
            self._rows.remove(number)
            if handler is None:
                log.warning("%s has no @job function %s any more; its stored job is dropped", plugin, key)
                return
            await self._run(owner, handler, args, address)

        if number not in self._armed:
            self._armed[number] = self._scheduler.schedule(due, run)
