"""Who waits for a command that somebody else has, so that the wait is told once and tried again when it may end.

A newcomer that was refused is tried again once the holder of the command changes or goes; until then the same content
would fare the same. Who has which command is `claims.py`'s, the refusal itself `attempt.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from bot.live import report
from bot.live.attempt import Attempt, Clash
from bot.live.claims import Refusal
from bot.live.discover import Unit
from bot.live.report import Entry


class Refused:
    """The plugins that wait, as they were refused. One writer: the reloader."""

    def __init__(self) -> None:
        self._why: dict[str, tuple[str, Refusal]] = {}  # plugin -> (digest, why)

    def __iter__(self) -> Iterator[str]:
        return iter(self._why)

    def waits(self, name: str, units: Mapping[str, Unit], live: Collection[str], touched: Collection[str]) -> bool:
        """Tell whether a plugin, as it is on disk, still waits for the same holder."""
        digest, loss = self._why.get(name, ("", None))
        if loss is None or name not in units or digest != units[name].digest:
            return False
        return loss.holder in live and loss.holder not in touched

    def keep(self, known: Collection[str]) -> None:
        """Forget those that are on disk no more."""
        self._why = {name: why for name, why in self._why.items() if name in known}

    def committed(self, new: Collection[str], displaced: Mapping[str, tuple[Unit, Refusal]]) -> None:
        """A commit made these live, and sent others away since an owner has come back."""
        self._why = {name: why for name, why in self._why.items() if name not in new}
        self._why |= {name: (unit.digest, loss) for name, (unit, loss) in displaced.items()}

    def entries(
        self,
        error: Clash,
        one: Attempt,
        force: Collection[str],
        missing: Collection[str],
        generation: Callable[[str], int],
    ) -> list[Entry]:
        """Note a refusal and return what is told of it: once, unless asked for by name, and nothing at all while the
        holder's file is only missing for a moment."""
        name, loss = error.plugin, error.loss
        now = (one.compiled[name].unit.digest, loss)
        told = self._why.get(name) == now
        self._why[name] = now
        holder_is_unsure = loss.holder in missing
        if holder_is_unsure:
            del self._why[name]
        if (told or holder_is_unsure) and name not in force:
            return []
        others = sorted(each for each in one.images if not each.startswith("_") and each != name)
        return [report.failed([(each, generation(each)) for each in (name, *others)], str(error))]
