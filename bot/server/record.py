"""`Record`: every line that passed, bounded, and waiting for one; the part of `Server` that tests read."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from bot.server.lines import MAX_LOG
from bot.server.link import Logged


class Record:
    """The log of a server.

    Attributes:
        log: the last 10,000 lines, as the clients said or were told them.
        overlong: relayed lines that had to be cut to fit, whole; what a client of good manners never causes.
        crashes: exceptions of this server itself; a test wants none.
        arrivals: when connections were accepted, by `Server.now`.
    """

    def __init__(self) -> None:
        self.log: deque[Logged] = deque(maxlen=MAX_LOG)
        self.overlong: deque[str] = deque(maxlen=MAX_LOG)
        self.crashes: list[str] = []
        self.arrivals: deque[float] = deque(maxlen=MAX_LOG)
        self._passed = 0  # lines ever logged
        self._waiting: dict[asyncio.Future[Logged], Callable[[str, str, str], bool]] = {}

    def mark(self) -> int:
        """This moment in the log, for `wait_for(since=...)`."""
        return self._passed

    async def wait_for(
        self, predicate: Callable[[str, str, str], bool], *, since: int | None = None, timeout: float = 10
    ) -> Logged:
        """The first line from now on, or since a `mark`, for which `predicate(nick, direction, line)` holds.

        Raises:
            TimeoutError: none came; its text shows the last lines that did.
        """
        old = 0 if since is None else self._passed - since
        for entry in list(self.log)[max(0, len(self.log) - old) :]:
            if predicate(*entry):
                return entry
        found: asyncio.Future[Logged] = asyncio.get_running_loop().create_future()
        self._waiting[found] = predicate
        try:
            async with asyncio.timeout(timeout):
                return await found
        except TimeoutError:
            last = "\n  ".join(" ".join(entry) for entry in list(self.log)[-10:])
            raise TimeoutError(f"no such line within {timeout} s; the last ones:\n  {last}") from None
        finally:
            del self._waiting[found]

    def note(self, nick: str, direction: str, line: str) -> None:
        entry = Logged(nick or "*", direction, line)
        self.log.append(entry)
        self._passed += 1
        for found, predicate in [item for item in self._waiting.items() if not item[0].done()]:
            try:
                if predicate(*entry):
                    found.set_result(entry)
            except Exception as error:  # the mistake is with whoever waits, not with whoever spoke
                found.set_exception(error)
