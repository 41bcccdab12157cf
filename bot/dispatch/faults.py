"""The last errors, for an admin who asks what `failed (error ab12)` was: texts with the source lines that ran.

Only texts are kept, cleaned of secrets: an exception would hold its frames, and with them the old code of a plugin.
The log has the same in full; who writes there is the pipeline, and the reloader for what could not be loaded.
"""

from __future__ import annotations

import re
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bot.errors import PluginError
from bot.logs import clean

KEPT = 50
MAX_FRAMES = 20  # of one exception, the innermost
MAX_CAUSES = 4
MAX_LETTERS = 300  # of one line

_FRAME = re.compile(r'File "(.+)", line (\d+), in (.+)\n {4,}(.*)')


@dataclass(frozen=True, slots=True)
class Fault:
    """One error. `number` is what the chatter was told, "" for a plugin that could not be loaded."""

    number: str
    plugin: str
    what: str  # `weather.forecast g5 for alice in #t`
    at: float  # seconds since 1970
    lines: tuple[str, ...]  # the error, then its frames from the innermost outwards


class Faults:
    """The last errors of calls, and of each plugin that could not be loaded its last."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        self._wall = wall
        self._calls: deque[Fault] = deque(maxlen=KEPT)
        self._loads: dict[str, Fault] = {}

    def note(self, number: str, plugin: str, what: str, error: BaseException) -> None:
        """A call has failed."""
        self._calls.append(Fault(number, plugin, what, self._wall(), tuple(map(_short, told(error)))))

    def not_loaded(self, plugin: str, error: PluginError) -> None:
        """A plugin's file could not be loaded; its trace is that of the error's cause, if there is one."""
        self._loads.pop(plugin, None)
        trace = told(error.__cause__) if error.__cause__ is not None else ()
        lines = tuple(map(_short, (str(error), *trace)))
        self._loads[plugin] = Fault("", plugin, f"{plugin} could not be loaded", self._wall(), lines)
        while len(self._loads) > KEPT:
            del self._loads[next(iter(self._loads))]

    def loaded(self, plugin: str) -> None:
        """Its new version is live: why the one before could not be loaded is no news."""
        self._loads.pop(plugin, None)

    def last(self, which: str = "") -> Fault | None:
        """Return the last error; or that of a number; or why a plugin could not be loaded, else its last call's."""
        if not which:
            return max([*self._calls, *self._loads.values()], key=lambda fault: fault.at, default=None)
        if which in self._loads:
            return self._loads[which]
        return next((fault for fault in reversed(self._calls) if which in (fault.number, fault.plugin)), None)


def told(error: BaseException) -> Iterator[str]:
    """Tell an exception in lines: what it is, its frames from the innermost outwards, then what caused it."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen and len(seen) < MAX_CAUSES:
        what = traceback.format_exception_only(cause)[-1].strip()
        frames = [
            (frame.filename, str(frame.lineno), frame.name, frame.line or "")
            for frame in traceback.extract_tb(cause.__traceback__, -MAX_FRAMES)
        ]
        if found := _FRAME.findall(what):  # a whole traceback as text: it was raised in another process
            what, frames = what.splitlines()[-1].strip(), found[-MAX_FRAMES:]
        yield f"after {what}" if seen else what
        for path, line, name, source in reversed(frames):
            yield f"{'/'.join(Path(path).parts[-2:])}:{line} in {name}" + (f": {source}" if source else "")
        seen.add(id(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def _short(line: str) -> str:
    line = clean(line)
    return line if len(line) <= MAX_LETTERS else f"{line[:MAX_LETTERS]}..."
