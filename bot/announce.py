"""Reports to the place that `reload.report_to` names: once to each reader, and kept while the place can't be
reached."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable

from bot.errors import UserError
from bot.live.report import FAILURE_WAITS_SECONDS, Entry, Report

log = logging.getLogger(__name__)

HELD = 20  # the newest reports, while the place that they go to is not reached yet
AGAIN_SECONDS = 0.01  # until a failure is looked at again while a reload is under way

Place = tuple[str, str]  # network, target


class Announcer:
    """Tells reports to the log and to the configured place.

    Args:
        place: gives the place in force, None for the log alone; raises `UserError` for one that can't be.
        reachable: tells whether a network is up and its channels are joined.
        same: tells whether two targets on a network are one.
        say: says a line at a place.
        still: tells whether a failure is still how things are.
        busy: tells whether a reload is under way, which may mend what failed.
    """

    def __init__(
        self,
        place: Callable[[], Place | None],
        reachable: Callable[[str], bool],
        same: Callable[[str, str, str], bool],
        say: Callable[[Place, str], object],
        still: Callable[[Entry], bool] = lambda entry: True,
        busy: Callable[[], bool] = lambda: False,
    ) -> None:
        self._busy = busy
        self._place, self._reachable, self._same, self._say, self._still = place, reachable, same, say, still
        self._unsure = Report()
        self._sure_at: asyncio.TimerHandle | None = None
        self._told: asyncio.Future[None] | None = None
        self._held: deque[str] = deque(maxlen=HELD)

    def settled(self, report: Report) -> None:
        """Tell what came of files that settled; a failure waits for a moment, in case the next write mends it."""
        if report.ok:
            self.report(report)
        else:
            self._tell_unsure()
            self._unsure = report
            self._sure_at = asyncio.get_running_loop().call_later(FAILURE_WAITS_SECONDS, self._time_is_up)

    async def certain(self) -> None:
        """Wait until no failure is waiting to be told; for tests."""
        while self._sure_at is not None:
            told = self._told = asyncio.get_running_loop().create_future()
            await told

    def _time_is_up(self) -> None:
        if self._busy():
            self._sure_at = asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._time_is_up)
        else:
            self._tell_unsure()

    def _tell_unsure(self) -> None:
        if self._sure_at is not None:
            self._sure_at.cancel()
        if self._told is not None and not self._told.done():
            self._told.set_result(None)
        report, self._unsure, self._sure_at = self._unsure, Report(), None
        self.report(Report(tuple(entry for entry in report.entries if entry.ok or self._still(entry))))

    def report(self, report: Report, *, starting: bool = False, asked_at: Place | None = None) -> None:
        """Tell a report; one that waits is told before it.

        Args:
            starting: of a start only what went wrong is worth a line in a channel.
            asked_at: where an admin asked for it and is answered already.
        """
        report = Report(tuple(entry for entry in report.entries if not entry.again))
        if not report:
            return
        self._tell_unsure()
        # The report itself, not its text as an argument: no two are the same record, of which the log folds bursts.
        log.log(logging.INFO if report.ok else logging.WARNING, report)
        if starting:
            report = Report(tuple(entry for entry in report.entries if not entry.ok))
        if report:
            self.tell(str(report), asked_at)

    def tell(self, text: str, asked_at: Place | None = None) -> None:
        """Say a line at the configured place, unless that is where it was answered."""
        try:
            place = self._place()
        except UserError as error:
            log.warning("reload.report_to: %s", error)
            return
        if place is None:
            return
        if not self._reachable(place[0]):
            self._held.append(text)
        elif asked_at is None or asked_at[0] != place[0] or not self._same(place[0], asked_at[1], place[1]):
            self._say(place, text)

    def release(self) -> None:
        """Say what was held: a network has come up."""
        held = list(self._held)
        self._held.clear()
        for text in held:
            self.tell(text)
