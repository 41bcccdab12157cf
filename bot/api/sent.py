"""What saying something gives back: a wait for room, and a way to learn whether it was delivered.

Who speaks need not look at it. A `Sent` holds the lines that the text became, as the outlet handed them over; what the
network said to each is known to the floors below (`wire/labels.py`), where it says anything.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any, Protocol, cast

DELIVERED_SECONDS = 10.0


class Line(Protocol):
    """A line on a network that tells how lines fare; others are plain awaitables, or None."""

    def then(self, tell: Callable[[bool | None, str], object]) -> None: ...


class Sent:
    """What a speaking call returns: nothing to look at, but it may be awaited, which waits for room in the queue."""

    __slots__ = ("_loop", "_thread", "lines")

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None, thread: int = 0) -> None:
        self._loop, self._thread = loop, thread  # the bot's loop, and the thread in which it runs
        self.lines: list[Awaitable[object] | None] = []  # filled on the loop's thread; None: nobody can tell of it

    def __await__(self) -> Generator[Any, None, None]:
        room = next((line for line in reversed(self.lines) if line is not None), None)
        if room is not None:
            yield from room.__await__()

    def delivered(self, seconds: float = DELIVERED_SECONDS) -> Delivered:
        """Learn whether the network took all of it.

        `await ctx.say("...").delivered()` in an `async def`, `ctx.say("...").delivered().wait()` in a `def`. Gives

        - True: the network has taken each line;
        - False: it refused one (banned, moderated, no such nick ...; the log has its reason), or one was dropped;
        - None: it does not say, or not within `seconds`; or the text is not said yet: it waits for the end of the call
          (the last line before `!more`), or for `!more`.
        """
        return Delivered(self, self._loop, self._thread, seconds)


class Delivered:
    """The answer to `Sent.delivered`: awaited, or waited for in a thread."""

    __slots__ = ("_loop", "_seconds", "_sent", "_thread")

    def __init__(self, sent: Sent, loop: asyncio.AbstractEventLoop | None, thread: int, seconds: float) -> None:
        self._sent, self._loop, self._thread, self._seconds = sent, loop, thread, seconds

    def __await__(self) -> Generator[Any, None, bool | None]:
        loop = self._loop
        if loop is None or loop is asyncio.get_running_loop():
            return self._learn().__await__()
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._learn(), loop)).__await__()

    def wait(self) -> bool | None:
        """Wait in a thread, which is where a `def` function runs.

        Raises:
            RuntimeError: this is the thread of the event loop, which would wait for itself: await it.
        """
        if self._loop is None:
            return None
        if self._thread == threading.get_ident():
            raise RuntimeError("in an `async def` function write: await ctx.say(...).delivered()")
        return asyncio.run_coroutine_threadsafe(self._learn(), self._loop).result()

    async def _learn(self) -> bool | None:
        """Runs on the bot's loop, after the lines of a text from a thread were handed over there."""
        lines = self._sent.lines
        if not lines or not all(hasattr(line, "then") for line in lines):
            # At least of what was dropped at once that is known; a future would have to be waited for.
            known = [line for line in lines if not (line is None or hasattr(line, "then") or asyncio.isfuture(line))]
            return False if False in [await line for line in known] else None
        answers = _answers(cast("Iterable[Line]", lines))
        await asyncio.wait(answers, timeout=self._seconds)
        fared = [answer.result() if answer.done() else None for answer in answers]
        return False if False in fared else None if None in fared else True


def _answers(lines: Iterable[Line]) -> list[asyncio.Future[bool | None]]:
    loop = asyncio.get_running_loop()
    answers = []
    for line in lines:
        answer: asyncio.Future[bool | None] = loop.create_future()
        line.then(lambda fared, _why, answer=answer: answer.done() or answer.set_result(fared))  # type: ignore[misc]
        answers.append(answer)
    return answers
