"""Reports to the place that `reload.report_to` names: once to each reader, and kept while the place can't be
reached."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from bot.errors import UserError
from bot.live.report import Report

log = logging.getLogger(__name__)

HELD = 20  # the newest reports, while the place that they go to is not reached yet

Place = tuple[str, str]  # network, target


class Announcer:
    """Tells reports to the log and to the configured place.

    Args:
        place: gives the place in force, None for the log alone; raises `UserError` for one that can't be.
        reachable: tells whether a network is up and its channels are joined.
        same: tells whether two targets on a network are one.
        say: says a line at a place.
    """

    def __init__(
        self,
        place: Callable[[], Place | None],
        reachable: Callable[[str], bool],
        same: Callable[[str, str, str], bool],
        say: Callable[[Place, str], object],
    ) -> None:
        self._place, self._reachable, self._same, self._say = place, reachable, same, say
        self._held: deque[str] = deque(maxlen=HELD)

    def report(self, report: Report, *, starting: bool = False, asked_at: Place | None = None) -> None:
        """Tell a report.

        Args:
            starting: of a start only what went wrong is worth a line in a channel.
            asked_at: where an admin asked for it and is answered already.
        """
        if not report:
            return
        log.log(logging.INFO if report.ok else logging.WARNING, "%s", report)
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
