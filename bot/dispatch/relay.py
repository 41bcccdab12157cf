"""Where plain `def` handlers run: off the loop, on one warm thread that is replaced when a call keeps it.

A task per call on a thread pool costs more than most handlers do (31 us against 6), so calls go through one queue to
one thread, the lane, and results come back in batches, one wake-up of the loop for all that have piled up. A call
that takes over 20 ms keeps the thread it is on; a fresh lane takes the rest of the queue, and that function is
remembered as slow: from then on it goes to a few extra threads, so that it delays nobody but its like.

    loop: submit -> queue -> lane thread: call -> outcomes -> one call_soon_threadsafe -> loop: futures are set

All accounts are kept on the loop; a thread touches its job and the list of outcomes, nothing else. Threads are daemons:
a call that never returns holds up neither a reload nor the end of the program. Time-outs are the pipeline's; it cancels
the future and may then try `interrupt`. What a handler is, and which of them are plain, is decided there too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextvars import Context, copy_context
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Final
from weakref import WeakSet

from bot import atwork
from bot.dispatch.guard import ended_child

SLOW_SECONDS: Final = 0.02  # a call that takes longer keeps its thread: 5 times the interval at which threads switch
WRITTEN_OFF: Final = 64  # threads held by calls that nothing ends, before the extra threads are no longer replaced


class CallEnded(RuntimeError):
    """The call ended in a way that must not reach the loop (SystemExit, KeyboardInterrupt, StopIteration, ...).

    A task that is given SystemExit ends the program and StopIteration ends a coroutine, so the pipeline gets this in
    their place; the original is its `__cause__`.
    """


class Interrupted(BaseException):
    """Raised inside a call that has run out of time. Not an Exception: `except Exception` must not keep it."""


class _Job:
    """One call, from `submit` to its outcome."""

    def __init__(self, future: asyncio.Future[Any], function: Callable[..., Any], args: Any, kwargs: Any) -> None:
        self.future, self.function, self.args, self.kwargs = future, function, args, kwargs
        self.context: Context = copy_context()
        self.key: Hashable = None
        self.runner: _Runner | None = None  # set by its thread when the call begins
        self.pooled = False  # counts among the jobs of the extra threads
        self.retires = False  # its thread, one of those, ends with it
        self.ended: asyncio.Future[None] | None = None  # someone waits for the end of the call itself
        self.value: Any = None
        self.error: BaseException | None = None

    def call(self) -> None:
        try:
            self.value = self.context.run(self.function, *self.args, **self.kwargs)
        except BaseException as error:
            self.error = error
        ended_child()

    def settle(self) -> None:
        """Hand the outcome to whoever awaits it; on the loop."""
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)
        future, value, error = self.future, self.value, self.error
        # The trace of an error holds this job: without the cut it would be a circle, and keep an old generation.
        del self.future, self.value, self.error
        if future.done():
            return
        if error is None:
            future.set_result(value)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            future.set_exception(error)
        else:
            wrapped = CallEnded(f"it raised {type(error).__name__}: {error}".rstrip(": "))
            wrapped.__cause__ = error
            future.set_exception(wrapped)


class _Runner(Thread):
    """One thread that takes jobs from a queue until it finds None, or is retired."""

    def __init__(self, queue: SimpleQueue[_Job | None], post: Callable[[_Job], None]) -> None:
        super().__init__(name="handlers", daemon=True)
        self.queue, self.post = queue, post
        self.current: tuple[_Job, float] | None = None  # and when it began, on time.monotonic
        self.retired = False
        self.seat = 0  # in which the keeper sees whose call it is
        self.start()

    def run(self) -> None:
        self.seat = atwork.here.sit_down()
        try:
            while not self.retired:
                if (job := self.queue.get()) is None:
                    return
                self.one(job)
                # An idle thread must not keep the last call's function, and with it an old generation, alive.
                del job
        except Interrupted:
            pass  # it came too late for its call
        finally:
            atwork.here.stand_up(self.seat)

    def one(self, job: _Job) -> None:
        try:
            if not job.future.cancelled():
                self.current = (job, time.monotonic())
                job.runner = self
                atwork.here.work(self.seat, job.context.get(atwork.current, 0))
                job.call()
        finally:
            atwork.here.rest(self.seat)
            self.current = job.runner = None
            self.post(job)


class Relay:
    """Runs plain functions off the loop. Every method is called on the loop; the first `submit` binds it to that loop.

    Args:
        pool_size: how many extra threads run functions known as slow.
        slow_seconds: what counts as slow.
    """

    def __init__(self, pool_size: int = 8, *, slow_seconds: float = SLOW_SECONDS) -> None:
        self._pool_size, self._slow_seconds = pool_size, slow_seconds
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lane: _Runner | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._slow: WeakSet[Any] = WeakSet()
        self._jobs: dict[asyncio.Future[Any], _Job] = {}  # submitted, outcome not yet delivered
        self._pool_queue: SimpleQueue[_Job | None] = SimpleQueue()
        self._pool_threads = self._pool_jobs = self._written_off = 0
        self._outcomes: deque[_Job] = deque()
        self._waking = False
        self._stopped = False

    def submit(
        self, function: Callable[..., Any], *args: Any, remember_as: Hashable = None, **kwargs: Any
    ) -> asyncio.Future[Any]:
        """Call `function(*args, **kwargs)` off the loop, in a copy of the caller's context.

        Args:
            remember_as: what is remembered as slow, if `function` is a wrapper made for this one call.

        Returns:
            A future with its result or exception (see `CallEnded`). Cancelled before the call has begun, it never
            begins; later, the call runs on and its outcome is dropped.

        Raises:
            RuntimeError: after `stop`.
        """
        if self._stopped:
            raise RuntimeError("the relay has stopped")
        self._loop = loop = asyncio.get_running_loop()
        job = _Job(loop.create_future(), function, args, kwargs)
        # A bound method is a new object each time it is looked up.
        job.key = remember_as if remember_as is not None else getattr(function, "__func__", function)
        self._jobs[job.future] = job
        if self._is_slow(job):
            self._to_pool(job)
        else:
            if self._lane is None:
                self._lane = _Runner(SimpleQueue(), self._post)
            self._lane.queue.put(job)
            if self._watch is None:
                self._watch = loop.call_later(self._slow_seconds, self._look)
        return job.future

    async def interrupt(self, future: asyncio.Future[Any], grace_seconds: float = 0.5) -> bool:
        """Try to end a call that runs too long, by raising `Interrupted` in it; its future is cancelled.

        Only Python code can be ended so: a call that sleeps, waits for a socket or is deep in a C extension gets the
        exception when it comes back. Its thread is then written off and another takes its place.

        Returns:
            Whether the call is over (or never began) within `grace_seconds`.
        """
        future.cancel()
        job = self._jobs.get(future)
        if job is None or (runner := job.runner) is None:
            return True
        # What is retired takes no further job, so an exception that comes too late ends an idle thread.
        runner.retired = True
        if runner is self._lane and not self._stopped:
            self._replace_lane()
        elif job.pooled:
            job.retires = True
            if self._written_off < WRITTEN_OFF:
                self._write_off(job)
        job.ended = job.ended or asyncio.get_running_loop().create_future()
        if runner.ident is not None and job.runner is runner:
            _raise_in(runner.ident)
        await asyncio.wait([job.ended], timeout=grace_seconds)
        self._jobs.pop(future, None)
        return job.ended.done() or not runner.is_alive()

    def stop(self) -> None:
        """Cancel what has not begun; threads end with the call they are in. Idempotent."""
        self._stopped = True
        if self._watch is not None:
            self._watch.cancel()
        for job in self._jobs.values():
            if job.runner is None:
                job.future.cancel()
        if self._lane is not None:
            self._lane.queue.put(None)
        for _ in range(self._pool_threads):
            self._pool_queue.put(None)

    # --- the lane

    def _look(self) -> None:
        """Has the lane been with one call for too long? Runs while it has work, at most once per `slow_seconds`."""
        assert self._loop is not None
        self._watch = None
        lane = self._lane
        if lane is None or self._stopped:
            return
        busy, wait = lane.current, self._slow_seconds
        if busy is not None:
            job, began = busy
            wait = began + self._slow_seconds - time.monotonic()
            if wait <= 0:
                self._remember(job)
                self._replace_lane()
                wait = self._slow_seconds
        # `busy` may be None between two calls: then the queue tells.
        if busy is not None or not lane.queue.empty():
            self._watch = self._loop.call_later(wait, self._look)

    def _replace_lane(self) -> None:
        """Leave the lane's thread to the call that it is in, and give the rest of its queue to a fresh one."""
        assert self._lane is not None
        old, self._lane = self._lane.queue, None
        waiting: list[_Job] = []
        try:
            while (job := old.get_nowait()) is not None:
                waiting.append(job)
        except Empty:
            pass
        old.put(None)
        self._lane = _Runner(SimpleQueue(), self._post)
        for job in waiting:
            if self._is_slow(job):
                self._to_pool(job)
            else:
                self._lane.queue.put(job)

    def _remember(self, job: _Job) -> None:
        try:
            self._slow.add(job.key)
        except TypeError:
            pass  # it can't be hashed or weakly held, so each of its calls is met as the first

    def _is_slow(self, job: _Job) -> bool:
        try:
            return job.key in self._slow
        except TypeError:
            return False

    # --- the extra threads

    def _to_pool(self, job: _Job) -> None:
        job.pooled = True
        self._pool_jobs += 1
        self._pool_queue.put(job)
        self._fill_pool()

    def _fill_pool(self) -> None:
        while self._pool_threads < min(self._pool_jobs, self._pool_size) and not self._stopped:
            self._pool_threads += 1
            _Runner(self._pool_queue, self._post)

    def _write_off(self, job: _Job) -> None:
        """This job and the thread that it holds no longer count, so another thread may be made."""
        job.pooled = False
        self._written_off += 1
        self._pool_jobs -= 1
        self._pool_threads -= 1
        self._fill_pool()

    # --- outcomes

    def _post(self, job: _Job) -> None:
        """Pass an outcome to the loop; on the job's thread."""
        self._outcomes.append(job)
        if not self._waking and self._loop is not None:
            self._waking = True
            try:
                self._loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                pass  # the loop has closed: nobody is left to be told

    def _deliver(self) -> None:
        # Before the list is emptied: what is posted from here on finds it False and wakes us again.
        self._waking = False
        while self._outcomes:
            job = self._outcomes.popleft()
            self._jobs.pop(job.future, None)
            if job.pooled:
                self._pool_jobs -= 1
                if job.retires:
                    self._pool_threads -= 1
                    self._fill_pool()
            elif job.retires:
                self._written_off -= 1
            job.settle()


def _raise_in(thread: int) -> None:
    import ctypes  # 5 ms to import, for a call that hangs

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Interrupted))
