"""The builder: one thread that executes plugin code before it is live, under a deadline.

A thread, so that a long import stalls nobody; one, so that two builds never meet in `sys.modules`. Python can't end a
thread: past the deadline an exception is put into it, which ends any loop of Python code. Code that waits inside C is
left behind with its thread, and the next build gets a fresh one.
"""

from __future__ import annotations

import asyncio
import ctypes
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from bot.dispatch.guard import ended_child

T = TypeVar("T")


class Builder:
    """Runs functions one after another in a thread of their own.

    Args:
        interruption: the exception class that is put into a function which passes its deadline.
    """

    def __init__(self, interruption: type[BaseException]) -> None:
        self._interruption = interruption
        self._jobs: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    async def run(self, function: Callable[[], T], deadline_seconds: float) -> T:
        """Run a function in the thread and return what it returns; cancelled, it interrupts the function.

        Raises:
            TimeoutError: it could not even be interrupted; its thread is left behind.
            BaseException: whatever it raised, the interruption included.
        """
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(
                target=_work, args=(self._jobs, self._interruption), name="builder", daemon=True
            )
            self._thread.start()
        loop, thread = asyncio.get_running_loop(), self._thread  # `stop` may come meanwhile
        future: asyncio.Future[Any] = loop.create_future()
        self._jobs.put((function, loop, future))
        try:
            done, _ = await asyncio.wait([future], timeout=deadline_seconds)
        except asyncio.CancelledError:
            self._interrupt(thread)
            try:
                await asyncio.wait([future], timeout=1.0)
            finally:
                self._leave()  # the interruption may have come too late for the function
            raise
        if not done:
            self._interrupt(thread)
            done, _ = await asyncio.wait([future], timeout=1.0)
        if not done:
            self._leave()
            raise TimeoutError
        failed, result = future.result()
        if failed:
            raise result
        return result  # type: ignore[no-any-return]  # the queue carries functions of any type

    def stop(self) -> None:
        """End the thread once it is idle."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _leave(self) -> None:
        """Leave the thread behind: it ends when its function does, if it ever does."""
        self.stop()
        self._jobs = queue.SimpleQueue()

    def _interrupt(self, thread: threading.Thread) -> None:
        assert thread.ident is not None
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(self._interruption))


def _work(jobs: queue.SimpleQueue[Any], interruption: type[BaseException]) -> None:
    try:
        _work_off(jobs)
    except interruption:  # it came after the function that it was meant for
        return


def _work_off(jobs: queue.SimpleQueue[Any]) -> None:
    while (job := jobs.get()) is not None:
        function, loop, future = job
        del job
        # The pair, not future.set_exception: a StopIteration or SystemExit would be refused or re-raised there.
        try:
            outcome = (False, function())
        except BaseException as error:
            outcome = (True, error)
        ended_child()  # or a child that the function forked would wait here for work, for ever
        del function  # before anyone hears of it: it may hold the version that has just been replaced
        try:
            loop.call_soon_threadsafe(_deliver, future, outcome)
        except RuntimeError:  # the loop is closed: the bot has ended meanwhile
            return
        del future, outcome


def _deliver(future: asyncio.Future[Any], outcome: tuple[bool, Any]) -> None:
    if not future.done():
        future.set_result(outcome)
