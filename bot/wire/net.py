"""One network, as the keeper has it. A part of the keeper (standard library only)."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from bot.protocol.sendqueue import SendQueue
from bot.wire.session import Session


class Net:
    """Its queue, which outlives connections, and its connection or the attempt at one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue = SendQueue(0, 0)
        self.owed = Counter[str]()  # credits not yet given back, by flow
        self.session: Session | None = None
        self.dial: asyncio.Task[None] | None = None
        self.deadline = 0.0  # of the dial
        self.settings: dict[str, Any] = {}
        self.why = "not opened"  # why it is down
        self.since = 0  # the number of the last line before its connection came up
        self.up_at = 0.0
        self.spoken = False  # a worker has said something on this connection: it began to register

    @property
    def up(self) -> bool:
        """Whether there is a connection that is not being ended."""
        return self.session is not None and self.session.quit_by is None

    def hint(self, line: bytes, now: float) -> None:
        """Send a line that matters little, if nothing waits."""
        if self.up and self.session is not None and self.session.paused_at is None and self.queue.spare(now):
            self.session.write(line)
