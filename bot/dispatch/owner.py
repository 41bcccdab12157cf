"""The owner: one generation of one plugin, and all that it started.

A context variable names the owner around every entry into plugin code (import, handler, job, hook). The loop's task
factory (`guard.py`) reads it, so that `asyncio.create_task` in a plugin is owned just like `ctx.spawn`; what tasks
start inherits it. At the end of a generation its background tasks are cancelled, the calls in flight finish, with the
tasks that are part of them, what was entered is left in reverse order, and what it changed around it is undone
(`imprint`). What can't be ended from outside, a thread say, is left to `live/leaks.py` to name.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
log = logging.getLogger(__name__)

current: ContextVar[Owner | None] = ContextVar("owner", default=None)


class Timer(Protocol):
    """A call that is to run later, and ends with its version."""

    def cancel(self) -> object: ...


class Undoing(Protocol):
    """What a generation changed in the process around it; `live/imprint.py`."""

    def undo(self) -> list[str]:
        """Put it back as it was, and return what was undone, in words."""


class Overrun(Exception):
    """What a plugin was asked to do took too long. Not a TimeoutError: the author's own is an error like others."""


class Owner:
    """One generation of one plugin.

    `live` is set by the commit: before it, what `setup` starts waits. `calls` are the handler calls in flight, each
    with the function that tells its asker when the call has to be cut short. `timers` are the scheduled calls that end
    with it; one that has begun or was called off is taken out by who put it in. `stubborn` are the tasks that ignored
    their cancellation. `imprint` is what it changed in the process around it. A `trusted` owner is the bot itself.
    """

    __slots__ = (
        "_loop",
        "_stack",
        "_started_by",
        "_thread",
        "_waiting",
        "calls",
        "digest",
        "generation",
        "imprint",
        "live",
        "plugin",
        "retired",
        "since",
        "stubborn",
        "tasks",
        "threads",
        "timers",
        "trusted",
    )

    def __init__(self, plugin: str, digest: str = "", *, trusted: bool = False) -> None:
        self.plugin, self.digest, self.trusted = plugin, digest, trusted
        self.generation = 0  # given by the commit
        self.live = False
        self.retired = False
        self.since = 0.0  # when it went live, time.monotonic
        self.calls: dict[asyncio.Task[Any], Callable[[], object]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self._started_by: dict[asyncio.Task[Any], asyncio.Task[Any]] = {}  # a task -> the call that it is a part of
        self.threads: list[threading.Thread] = []
        self.timers: set[Timer] = set()
        self.stubborn: set[asyncio.Task[Any]] = set()
        self.imprint: Undoing | None = None
        self._stack = AsyncExitStack()
        self._loop: asyncio.AbstractEventLoop | None = None  # the bot's, and its thread; given by the commit
        self._thread = 0
        self._waiting: list[tuple[Callable[[], object], Callable[[], object]]] = []

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Make this the owner of what starts in the block."""
        token = current.set(self)
        try:
            yield
        finally:
            current.reset(token)

    # -- what plugins ask for through their context

    def spawn(self, coroutine: Coroutine[Any, Any, Any], name: str | None = None) -> asyncio.Task[Any] | None:
        """Run a coroutine in the background, from commit on.

        Returns:
            Its task; None before the commit, and in another thread than the loop's, which it is handed over to.

        Raises:
            RuntimeError: this version has ended.
        """
        try:
            self._not_over()
        except RuntimeError:
            coroutine.close()
            raise
        if not self.live:
            self.when_live(lambda: self._begin(coroutine, name), coroutine.close)
            return None
        if threading.get_ident() != self._thread:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(self._begin, coroutine, name)
            return None
        return self._begin(coroutine, name)

    def _not_over(self) -> None:
        if self.retired:
            raise RuntimeError(f"this version of {self.plugin} has ended; it can't start anything new")

    def _begin(self, coroutine: Coroutine[Any, Any, Any], name: str | None) -> asyncio.Task[Any] | None:
        if self.retired:  # while it was handed over
            coroutine.close()
            return None
        with self.entered():
            task = asyncio.get_running_loop().create_task(coroutine, name=name)  # adopted by the task factory
        self._started_by.pop(task, None)  # in the background, whoever asked for it
        return task

    def enter(self, opened: Any) -> Any:
        """Enter a context manager, left at the end of the generation; an async one gives an awaitable.

        Raises:
            RuntimeError: this version has ended, so nobody would leave it.
        """
        self._not_over()
        if hasattr(opened, "__aenter__"):
            return self._stack.enter_async_context(opened)
        return self._stack.enter_context(opened)

    def thread(self, function: Callable[..., Any], args: tuple[Any, ...] = ()) -> threading.Thread:
        """Make a daemon thread that inherits the context, and start it, from commit on.

        Raises:
            RuntimeError: this version has ended.
        """
        self._not_over()
        context = copy_context()
        context.run(current.set, self)
        thread = threading.Thread(target=context.run, args=(function, *args), name=f"{self.plugin}.{called(function)}")
        thread.daemon = True

        def begin() -> None:
            thread.start()
            self.threads = [*(t for t in self.threads if t.is_alive()), thread]

        self.when_live(begin)
        return thread

    def when_live(self, begin: Callable[[], object], drop: Callable[[], object] = lambda: None) -> None:
        """Do `begin`: with the commit, where that is still to come, and `drop` in its place if it never comes."""
        if self.live:
            begin()
        else:
            self._waiting.append((begin, drop))

    # -- what the bot does with it

    def adopt(self, task: asyncio.Task[Any]) -> None:
        """Own a task; one that fails is logged, one that ends is forgotten."""
        self.tasks.add(task)
        parent = asyncio.current_task()
        call = parent if parent in self.calls else self._started_by.get(parent) if parent else None
        if call is not None:
            self._started_by[task] = call
        task.add_done_callback(self._ended)

    def go_live(self, generation: int) -> None:
        """Part of the commit, on the loop: begin what `setup` asked for. Never awaits or raises."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self.live, self.generation, self.since = True, generation, time.monotonic()
        waiting, self._waiting = self._waiting, []
        for begin, _ in waiting:
            try:
                begin()
            except Exception:  # no thread to be had, the disk is full, ...; the rest goes live all the same
                log.exception("%s g%d: something that its setup asked for could not begin", self.plugin, generation)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self.tasks.discard(task)
        if self._started_by.pop(task, None) is not None:
            return  # what it raises goes to the call that waits for it; if none does, asyncio says so
        if not task.cancelled() and (error := task.exception()) is not None:
            logging.getLogger(f"plugins.{self.plugin}").error(
                "background task %s of %s failed: %r", label(task), self.plugin, error, exc_info=error
            )

    def background(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that are no part of a call in flight, as those of its `gather` and `wait_for` are."""
        return [task for task in self.tasks if self._started_by.get(task) not in self.calls]

    async def run(self, coroutine: Coroutine[Any, Any, Any], seconds: float) -> Any:
        """Run its code for the bot, a hook say, in a task of its own: it can cancel that, and nothing of the bot's.

        Raises:
            Overrun: it took longer.
            BaseException: whatever it raised, `SystemExit` and `CancelledError` included.
        """
        loop = asyncio.get_running_loop()
        with self.entered():
            task = asyncio.Task(_outcome(coroutine), loop=loop, name=getattr(coroutine, "__qualname__", None))
        try:
            done, _ = await asyncio.wait({task}, timeout=seconds)
        except asyncio.CancelledError:
            await self._end([task])
            raise
        if not done:
            await self._end([task])
            raise Overrun
        error, value = task.result()
        if error is not None:
            raise error
        return value

    async def finish_calls(self, grace_seconds: float) -> int:
        """Wait for the calls in flight, then cancel the rest and tell their askers; return how many were cut short."""
        if self.calls:
            await asyncio.wait(list(self.calls), timeout=grace_seconds)
        late = list(self.calls)
        self.cut_short()
        await self._end(late)
        return len(late)

    def cut_short(self) -> None:
        """Cancel the calls in flight and tell their askers."""
        for task, tell in list(self.calls.items()):
            if not task.cancelling():
                tell()
                task.cancel()

    async def _end(self, tasks: list[asyncio.Task[Any]]) -> None:
        """Cancel tasks and give them a moment to end; note those that don't."""
        for task in tasks:
            if not task.cancelling():
                task.cancel()
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=1.0)
            self.stubborn |= stubborn

    def call_off(self) -> None:
        """Cancel the calls that it scheduled."""
        while self.timers:
            self.timers.pop().cancel()

    async def let_go(self) -> None:
        """Cancel what it scheduled and the background tasks, leave what was entered, in reverse order, undo what it
        changed around it. Failures are logged.
        """
        self.retired = True
        self.call_off()
        waiting, self._waiting = self._waiting, []
        for _, drop in waiting:
            drop()
        await self._end([task for task in self.tasks if task is not asyncio.current_task()])
        stack, self._stack = self._stack, AsyncExitStack()
        try:
            await self.run(stack.aclose(), 5.0)
        except BaseException as error:  # a plugin's own __exit__ may raise anything
            mine = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and mine is not None and mine.cancelling():
                raise
            why = "it took longer than 5 s" if isinstance(error, Overrun) else repr(error)
            log.warning("%s g%d: closing what it had entered failed: %s", self.plugin, self.generation, why)
        if self.imprint is not None and (undone := self.imprint.undo()):
            log.info("%s g%d: undone: %s", self.plugin, self.generation, ", ".join(undone))


def called(function: Callable[..., Any]) -> str:
    """Return the name of anything that can be called: of a partial that of its function, of an object its class's."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def label(task: asyncio.Task[Any]) -> str:
    """Return a task's name, its function's where it was given none."""
    # Python 3.13 names a task without a name "None", after the factory has made it.
    name = task.get_name()
    return name if name != "None" else getattr(task.get_coro(), "__qualname__", name)


async def guarded_coroutine(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Await plugin code as a task of its own; asyncio lets these two leave the loop, whichever task raises them."""
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"{type(error).__name__} in a background task") from error


async def _outcome(coroutine: Coroutine[Any, Any, Any]) -> tuple[BaseException | None, Any]:
    try:
        return None, await coroutine
    except BaseException as error:
        return error, None


def unowned(start: Callable[[Coroutine[Any, Any, Any]], T], coroutine: Coroutine[Any, Any, Any]) -> T:
    """Start a task of the bot's own with `start`: it belongs to no plugin, whoever's code runs now."""
    context = copy_context()
    context.run(current.set, None)
    return context.run(start, coroutine)
