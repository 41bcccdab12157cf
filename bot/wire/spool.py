"""Standard error of a process that must never wait: written by a thread, read by whoever likes to.

A part of the keeper (standard library only). A terminal that is held with Ctrl-S, a pipe that nobody empties or a log
collector that is stuck would otherwise stop PONG on all networks. At most MOST_BYTES wait; what comes beyond that is
dropped, counted, and the count is said when writing goes on. Used as a stream, in place of `sys.stderr`.
"""

from __future__ import annotations

import logging
import os
import select
import threading
import time
from collections import deque

log = logging.getLogger(__name__)

MOST_BYTES = 1024 * 1024  # 8,000 lines, or sixteen workers' stacks
END_SECONDS = 0.2  # for what waits, when the process ends


class Spool:
    """A stream for text whose `write` returns at once. Any thread may call it.

    Args:
        descriptor: where it goes; it stays open.

    Attributes:
        dropped: texts that were dropped and not told of yet.
    """

    encoding = "utf-8"

    def __init__(self, descriptor: int) -> None:
        self.dropped = 0
        self._descriptor = descriptor
        self._texts: deque[bytes] = deque()
        self._bytes = 0  # of these, and of the one that is being written
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="spool", daemon=True).start()

    def write(self, text: str) -> int:
        """Have it written after all that was given before, unless too much waits already."""
        raw = text.encode(errors="backslashreplace")
        with self._changed:
            if self._bytes + len(raw) > MOST_BYTES:
                self.dropped += 1
            else:
                self._bytes += len(raw)
                self._texts.append(raw)
                self._changed.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: what was written leaves by itself."""

    def end(self, seconds: float = END_SECONDS) -> None:
        """Wait until all is written, but not for longer than that."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while (self._bytes or self.dropped) and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._texts:
                    self._changed.wait()
                raw = self._texts.popleft()
            _write(self._descriptor, raw)
            with self._changed:
                self._bytes -= len(raw)
                dropped = 0 if self._texts else self.dropped
            if dropped:
                log.error("nobody read this log for a while: %d entries were dropped", dropped)
            with self._changed:
                self.dropped -= dropped
                self._changed.notify_all()


def _write(descriptor: int, raw: bytes) -> None:
    while raw:
        try:
            raw = raw[os.write(descriptor, raw) :]
        except BlockingIOError:  # somebody who shares it wants it so
            select.select([], [descriptor], [])
        except OSError:  # nobody reads it any more, and never will
            return
