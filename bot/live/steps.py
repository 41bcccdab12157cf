"""Work done on the event loop in steps, with the loop's turn in between.

For what is known to be quick, and cheaper done here than handed to a thread. The knowledge may be wrong: code that has
been tried in another process may sleep in this one. So each step has an alarm: what takes its time after all is broken
off by a signal, between two instructions of Python or in a system call, and somebody else does it. Without signals,
off the main thread, or when the plugins use the alarm themselves, nothing is done here at all.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import time
from collections.abc import Generator
from typing import Final, TypeVar

from bot.live.loader import TookTooLong

T = TypeVar("T")

TURN_SECONDS: Final = 0.002  # after so much work the loop has its turn
ALARM_SECONDS: Final = 0.25  # for one step; on a machine with much else to do, 50 ms pass without one being done


async def in_steps(steps: Generator[object, None, T]) -> T | None:
    """Run a generator to its end and return its result; None if it could not be done here.

    Raises:
        Exception: whatever the generator raised.
    """
    result: list[T] = []
    turn = time.perf_counter()
    try:
        while not result:
            if not _step(steps, result):
                return None
            if not result and time.perf_counter() - turn > TURN_SECONDS:
                await asyncio.sleep(0)
                turn = time.perf_counter()
        return result[0]
    finally:
        steps.close()


def _step(steps: Generator[object, None, T], result: list[T]) -> bool:
    """Do one step, the last one into `result`; tell whether it could be done."""
    alarm = Alarm()
    try:
        if not alarm.set():
            return False
        try:
            next(steps)
        except StopIteration as end:
            result.append(end.value)
        finally:
            alarm.stop()
    except BaseException:
        if not alarm.rang:
            raise
        alarm.stop()  # it may have rung in the moment of stopping
    return not alarm.rang


class Alarm:
    """Puts `TookTooLong` into the main thread once the time is up."""

    def __init__(self) -> None:
        self.rang = False

    def set(self) -> bool:
        """Begin; tell whether that was possible."""
        if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
            return False
        if signal.getsignal(signal.SIGALRM) is not signal.SIG_DFL or signal.getitimer(signal.ITIMER_REAL)[0]:
            return False
        signal.signal(signal.SIGALRM, self._ring)
        signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS)
        return True

    def _ring(self, number: int, frame: object) -> None:
        self.rang = True
        signal.setitimer(signal.ITIMER_REAL, ALARM_SECONDS)  # again: this one may be caught
        raise TookTooLong

    def stop(self) -> None:
        """End it."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
