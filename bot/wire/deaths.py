"""What the deaths of workers mean: whose fault each was, how long the next one waits, whether it comes without plugins.

A part of the keeper (standard library only; pure, `now` is an argument). A worker that is killed from outside is
replaced at once, however often. What it does itself counts: after a few deaths the next worker waits, longer and
longer, and after some more it comes in safe mode, until an admin says otherwise.
"""

from __future__ import annotations

import signal
from collections import deque

FAULT_WINDOW_SECONDS = 120.0
FAULTS_AT_ONCE = 3  # own faults within the window that are answered with a new worker at once
FAULTS_TO_SAFETY = 6  # and after so many the next one comes without plugins
KILLS_AS_FAULT = 5  # kills from outside in a row that got nowhere: that is the memory running out, or a plugin
LINES_TO_SAFETY = 100  # skipped within the window: deaths that lines have caused are known, and their plugins out
BACKOFF_SECONDS = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0)

#: Ends that somebody outside has asked for: these replace the worker (SIGUSR1 has it write its stacks first) ...
_FROM_OUTSIDE = (-signal.SIGKILL, -signal.SIGHUP, -signal.SIGUSR1) if hasattr(signal, "SIGHUP") else (-9,)
#: ... and these end the bot. A worker whose loop is held ends by the code when its time to end is over.
ASKED_TO_END = 128 + signal.SIGTERM
_TO_END = (-signal.SIGTERM, -signal.SIGINT, ASKED_TO_END)


def asked_to_end(code: int) -> bool:
    """Tell whether a worker that ended like this was told to end, the bot with it."""
    return code in _TO_END


def in_words(code: int) -> str:
    """Say how a worker ended."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"was ended by signal {-code}"


def strikes(code: int, silent: bool) -> int:
    """Return at how many deaths a line must have been in hand, alone at the last, to be guilty of this one."""
    return KILLS_AS_FAULT if code in _FROM_OUTSIDE and not silent else 2


class Deaths:
    """The deaths of one bot's workers.

    Attributes:
        count: all of them, whoever caused them.
        safe: the next worker loads no plugins.
    """

    def __init__(self) -> None:
        self.count = 0
        self.safe = False
        self._faults: deque[tuple[float, bool]] = deque()  # when, and whether plugins may be to blame
        self._lines: deque[float] = deque()
        self._waits = False
        self._kills = 0
        self._last: tuple[int, str | None] = (0, None)

    def own_fault(self, code: int, *, silent: bool, stopped: bool, finished: int, oldest: str | None) -> bool:
        """Tell whether a worker has caused its own death.

        Args:
            code: as `os.waitstatus_to_exitcode` has it.
            silent: we killed it, since it gave no sign of life; `stopped`: because somebody had stopped it.
            finished: how many lines were finished so far, by whatever worker.
            oldest: the line that it had in hand for longest.
        """
        if silent and not stopped:
            return True
        if not silent and code not in _FROM_OUTSIDE:
            return True
        # Five that finished nothing, or that all had the same line in hand, were not killed by chance.
        before, self._last = self._last, (finished, oldest)
        stuck = before[0] == finished or (oldest is not None and before[1] == oldest)
        self._kills = self._kills + 1 if stuck else 1
        return self._kills >= KILLS_AS_FAULT

    def died(self, now: float, *, own_fault: bool, spoken: bool = True, by_line: int = 0) -> None:
        """Count a death.

        Args:
            spoken: it had come so far as to say a word, before which it executes no plugin: without one, its code is
                broken (an update that is half done) or can't be started at all, and safe mode would not help.
            by_line: so many deaths, this one the last, were caused by a line, which is skipped from now on: they say
                nothing of the next worker.
        """
        self.count += 1
        self._waits = own_fault and not by_line
        if own_fault:
            self._faults.append((now, spoken))
        if by_line:
            for _ in range(min(by_line, len(self._faults))):
                self._faults.pop()
            self._lines.append(now)
        while self._faults and now - self._faults[0][0] > FAULT_WINDOW_SECONDS:
            self._faults.popleft()
        while self._lines and now - self._lines[0] > FAULT_WINDOW_SECONDS:
            self._lines.popleft()
        by_plugins = sum(spoken for _, spoken in self._faults)
        self.safe = self.safe or by_plugins >= FAULTS_TO_SAFETY or len(self._lines) >= LINES_TO_SAFETY

    @property
    def recent(self) -> int:
        """Own faults within the window."""
        return len(self._faults)

    def pause(self) -> float:
        """Return for how many seconds the next worker waits."""
        late = len(self._faults) - FAULTS_AT_ONCE
        return BACKOFF_SECONDS[min(late, len(BACKOFF_SECONDS)) - 1] if self._waits and late > 0 else 0.0

    def forgive(self) -> None:
        """An admin takes the plugins back, or wants a new worker: begin to count anew."""
        self._faults.clear()
        self._lines.clear()
        self._kills, self.safe = 0, False
