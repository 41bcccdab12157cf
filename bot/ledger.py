"""Runs of jobs as the keeper knows them: entries like lines, under names that the next worker can make again.

    t:weather.poll/1700000000.000        a periodic job, by when it was due
    t:remind.due/1700000000.000#17       a stored job, by its row as well

So a run that a worker began and did not end is handed to the next one, what it has said by then is not said again, and
one that ends workers is found out. When a periodic job is due next is written down, for as long as one keeper lives: a
worker that comes after another goes on in its time. What a run is is `jobs.py`'s.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, MutableMapping
from typing import Any

from bot.errors import StoreError
from bot.wire.link import NOWHERE, Frame

log = logging.getLogger(__name__)


def name_of(key: str, due: float, row: int | None = None) -> str:
    """Return the name of a run.

    Args:
        key: of the function, `weather.poll`.
        due: seconds since the epoch.
        row: of a stored job.
    """
    return f"t:{key}/{due:.3f}" + (f"#{row}" if row is not None else "")


def read_name(name: str) -> tuple[str, int | None] | None:
    """Return the function's key and the row (None for a periodic job); None if this is no name of a run."""
    key, slash, rest = name.removeprefix("t:").rpartition("/")
    row = rest.partition("#")[2]
    if not name.startswith("t:") or not slash or (row and not row.isdecimal()):
        return None
    return key, int(row) if row else None


class Ledger:
    """The entries of one worker's runs.

    Args:
        send: hands a frame to the link.
        done: crosses a run off; what it said goes first.
        dues: where due times lie on disk.
    """

    def __init__(
        self, send: Callable[[Frame], object], done: Callable[[str], object], dues: MutableMapping[str, Any]
    ) -> None:
        self._send, self.done, self._dues = send, done, dues
        self._boot, self._fails = "", False
        self._known: dict[str, Any] = {}

    @property
    def kept(self) -> bool:
        """Whether there is a keeper that will outlive this worker."""
        return bool(self._boot)

    def open(self, boot: str) -> None:
        """Go on where the worker before, under the same keeper, was; what others have written down is void."""
        self._boot = boot
        self._known = {key: value for key, value in self._dues.items() if value[0] == boot}
        try:
            for key in [key for key in self._dues if key not in self._known]:
                del self._dues[key]
        except StoreError as error:
            log.warning("times of jobs of an earlier run of the bot stay written down: %s", error)

    def begin(self, name: str) -> None:
        """A run begins, or begins again."""
        self._send(Frame("begin", (NOWHERE, name), name.encode()))

    def due(self, key: str, when: float | str) -> float | None:
        """Return when a job is due next, in seconds since the epoch, if a worker before has written that down.

        Args:
            when: its interval or cron line; another one begins anew.
        """
        known = self._known.get(key)
        return float(known[2]) if known is not None and known[1] == when else None

    def remember(self, key: str, when: float | str, due: float) -> None:
        """Write down when a job is due next; if that fails it is logged, once."""
        if self._boot and (value := [self._boot, when, due]) != self._known.get(key):
            try:
                self._dues[key] = value
            except StoreError as error:  # the job runs all the same
                if not self._fails:
                    log.error("when jobs are due next can't be written down: %s", error)
                self._fails = True
            else:
                self._known[key], self._fails = value, False
