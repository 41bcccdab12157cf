"""The owner: one generation of one plugin, and all that it started.

A context variable names the owner around every entry into plugin code (import, handler, job, hook). The loop's task
factory reads it, so that `asyncio.create_task` in a plugin is owned just like `ctx.spawn`; what tasks start inherits
it. At the end of a generation its background tasks are cancelled, the calls in flight finish, with the tasks that are
part of them, and what was entered is left in reverse order. A thread can't be ended from outside: one that is still
running is named in the log.
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


class Owner:
    """One generation of one plugin.

    `live` is set by the commit: before it, what `setup` starts waits. `calls` are the handler calls in flight, each
    with the function that tells its asker when the call has to be cut short. `timers` are the scheduled calls that end
    with it; one that has begun or was called off is taken out by who put it in.
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
        "live",
        "plugin",
        "retired",
        "since",
        "tasks",
        "threads",
        "timers",
    )

    def __init__(self, plugin: str, digest: str = "") -> None:
        self.plugin, self.digest = plugin, digest
        self.generation = 0  # given by the commit
        self.live = False
        self.retired = False
        self.since = 0.0  # when it went live, time.monotonic
        self.calls: dict[asyncio.Task[Any], Callable[[], object]] = {}
        self.tasks: set[asyncio.Task[Any]] = set()
        self._started_by: dict[asyncio.Task[Any], asyncio.Task[Any]] = {}  # a task -> the call that it is a part of
        self.threads: list[threading.Thread] = []
        self.timers: set[Timer] = set()
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
                "background task %s of %s failed: %r", _label(task), self.plugin, error, exc_info=error
            )

    def background(self) -> list[asyncio.Task[Any]]:
        """Return the tasks that are no part of a call in flight, as those of its `gather` and `wait_for` are."""
        return [task for task in self.tasks if self._started_by.get(task) not in self.calls]

    async def finish_calls(self, grace_seconds: float) -> int:
        """Wait for the calls in flight, then cancel the rest and tell their askers; return how many were cut short."""
        if self.calls:
            await asyncio.wait(list(self.calls), timeout=grace_seconds)
        late = dict(self.calls)
        for task, tell in late.items():
            tell()
            task.cancel()
        if late:
            await asyncio.wait(list(late), timeout=1.0)
        return len(late)

    def call_off(self) -> None:
        """Cancel the calls that it scheduled."""
        while self.timers:
            self.timers.pop().cancel()

    async def let_go(self) -> None:
        """Cancel what it scheduled and the background tasks, and leave what was entered, in reverse order.

        Failures are logged.
        """
        self.retired = True
        self.call_off()
        waiting, self._waiting = self._waiting, []
        for _, drop in waiting:
            drop()
        tasks = [task for task in self.tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        if tasks:
            _, stubborn = await asyncio.wait(tasks, timeout=1.0)
            for task in stubborn:
                log.warning("%s g%d: the task %s ignores its cancellation", self.plugin, self.generation, _label(task))
        stack, self._stack = self._stack, AsyncExitStack()
        try:
            await asyncio.wait_for(_guarded(stack.aclose(), "closing what it had entered"), 5.0)
        except BaseException as error:  # a plugin's own __exit__ may raise anything
            mine = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and mine is not None and mine.cancelling():
                raise
            log.warning("%s g%d: closing what it had entered failed: %r", self.plugin, self.generation, error)
        for thread in self.threads:
            if thread.is_alive():
                log.warning("%s g%d: the thread %s still runs", self.plugin, self.generation, thread.name)


def called(function: Callable[..., Any]) -> str:
    """Return the name of anything that can be called: of a partial that of its function, of an object its class's."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


def _label(task: asyncio.Task[Any]) -> str:
    # Python 3.13 names a task without a name "None", after the factory has made it.
    name = task.get_name()
    return name if name != "None" else getattr(task.get_coro(), "__qualname__", name)


async def _guarded(coroutine: Coroutine[Any, Any, Any], where: str = "a background task") -> Any:
    # asyncio lets these two leave the loop, whichever task raises them.
    try:
        return await coroutine
    except (SystemExit, KeyboardInterrupt) as error:
        raise RuntimeError(f"{type(error).__name__} in {where}") from error


def unowned(start: Callable[[Coroutine[Any, Any, Any]], T], coroutine: Coroutine[Any, Any, Any]) -> T:
    """Start a task of the bot's own with `start`: it belongs to no plugin, whoever's code runs now."""
    context = copy_context()
    context.run(current.set, None)
    return context.run(start, coroutine)


def task_factory(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """Make tasks that belong to the plugin in whose code they are created; for `loop.set_task_factory`."""
    owner = current.get()
    if owner is None:
        return asyncio.Task(coroutine, loop=loop, **options)
    guarded: Any = _guarded(coroutine)  # its names can be set, though its type does not say so
    guarded.__qualname__ = getattr(coroutine, "__qualname__", "task")
    task: asyncio.Task[Any] = asyncio.Task(guarded, loop=loop, **options)
    if not options.get("name"):
        task.set_name(guarded.__qualname__)
    # Cancelled before its first step it would never have been awaited, which Python warns of.
    task.add_done_callback(lambda _: coroutine.close())
    owner.adopt(task)
    return task
