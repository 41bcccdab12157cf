"""One network, as the keeper has it: its queue and credits, which outlive connections, and the connection itself.

A part of the keeper (standard library only). Which line is new and may be said is `keeper`'s; here it waits for its
turn, leaves, and its credit goes back. Order and pace are those of `protocol.sendqueue`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from bot.protocol.sendqueue import SendQueue, Waiting
from bot.wire.link import WINDOW
from bot.wire.session import Session

log = logging.getLogger(__name__)

ROOM_STEP = WINDOW // 4  # credits go back in handfuls; `_owe` says why nobody waits in vain


class Owner(Protocol):
    """What a network asks of the keeper."""

    def clock(self) -> float: ...
    def wake(self, at: float) -> None: ...
    def changed(self) -> None: ...
    def send(self, verb: str, *fields: str, payload: bytes = b"") -> None: ...


class Net:
    """One network.

    Attributes:
        owed: credits not yet given back, by flow.
        dial: the attempt at a connection; `deadline`: of that. `settings`: what it was made with.
        waits_for: what that attempt waits for, in words.
        why: why it is down.
        since: the number of the last line before its connection came up.
        spoken: a worker has said something on this connection: it began to register.
        given_up: the worker wants it no more; it is forgotten when it is down.
    """

    def __init__(self, name: str, owner: Owner) -> None:
        self.name = name
        self.queue = SendQueue(0, 0)
        self.owed = Counter[str]()
        self.session: Session | None = None
        self.dial: asyncio.Task[None] | None = None
        self.deadline = self.up_at = 0.0
        self.settings: dict[str, Any] = {}
        self.why, self.waits_for = "not opened", ""
        self.since = 0
        self.spoken = self.given_up = False
        self._owner = owner

    def tell_where(self) -> None:
        """Write into the log where we go; of a server that is away for a night once, not a thousand times."""
        level = logging.DEBUG if self.settings.get("again") else logging.INFO
        tls = "by TLS" if self.settings["tls"] is not None else "without TLS"
        log.log(level, "%s: connecting to %s:%d %s", self.name, self.settings["host"], self.settings["port"], tls)

    def waits(self, what: str) -> None:
        """The attempt at a connection has come so far that it waits for this."""
        self.waits_for = what

    @property
    def up(self) -> bool:
        """Whether there is a connection that is not being ended."""
        return self.session is not None and self.session.quit_by is None

    @property
    def idle(self) -> bool:
        """Whether there is neither a connection nor an attempt at one."""
        return self.session is None and self.dial is None

    # -- lines out; `lane` and `flow` as in `say` frames

    def has_room(self, lane: str) -> bool:
        """Whether a line of this lane came within its credit; some need none."""
        return lane not in "12" or self.queue.paced < WINDOW

    def say(self, line: bytes, lane: str, flow: str) -> None:
        """Take a line, to send it now or in its turn."""
        now, paced = self._owner.clock(), lane in "12"
        if lane == "3":
            self._hint(line, now)
        elif lane == "1" or self.up:
            # An urgent line is for the connection that was up when it was said; it waits for no other.
            self.spoken = self.spoken or not paced
            self.queue.push(line, flow if paced else None, now, lasting=lane == "1")
            self.pump()
        else:
            self.not_taken(lane, flow)

    def not_taken(self, lane: str, flow: str) -> None:
        """A line is not sent: give back its credit, if it took one."""
        if lane in "12":
            self._owe(flow)

    def _hint(self, line: bytes, now: float) -> None:
        """Send a line that matters little, if nothing waits."""
        if self.up and self.session is not None and self.session.paused_at is None and self.queue.spare(now):
            self.session.write(line)

    def pump(self) -> None:
        """Write whatever may leave now, and come back for the rest."""
        now, session, queue = self._owner.clock(), self.session, self.queue
        while session is not None:
            paced = session.paused_at is None
            popped = queue.pop(now, paced=paced)
            if popped is None:
                due = queue.next_at(now) if paced else None
                if due is not None:
                    self._owner.wake(due)
                break
            line, flow = popped
            session.write(line.replace(b"\r", b"\r\n"))  # several, where they belong together
            if flow is not None:
                self._owe(flow)
        if queue.paced:  # else a flow that finds no place here would have to wait for a handful of credits
            self._pay()
        self._owner.changed()

    def forget(self, which: Callable[[str, Waiting], bool]) -> int:
        """Drop lines that wait, and give their credits back; return how many."""
        dropped = self.queue.drop(which)
        self.owed.update(dropped)
        self._pay()
        self._owner.changed()
        return dropped.total()

    # -- credits

    def _owe(self, flow: str) -> None:
        # With fewer than ROOM_STEP owed, either the queue still holds lines, which will leave and be owed in turn, or
        # the worker holds all the others: it can't be stuck.
        self.owed[flow] += 1
        if self.owed.total() >= ROOM_STEP:
            self._pay()

    def _pay(self) -> None:
        for flow, lines in self.owed.items():
            self._owner.send("room", self.name, flow, f"+{lines}")
        self.owed.clear()
