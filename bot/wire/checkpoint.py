"""What a worker leaves behind all the time, in case it ends without a word: how each network stands.

A checkpoint is a blob that the keeper holds for the next worker: the snapshots of all connections after the line of a
certain number. Lines that change them are `seen`, not `done`, while no checkpoint covers them; the next worker gets
these once more, for the state alone. Checkpoints are made some seconds after a change, and never so often that making
them is felt. Where there will be no next worker (keeper and worker in one process), nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from bot.wire.link import Frame

log = logging.getLogger(__name__)

SAVE_SECONDS = 2.0  # from a change to the checkpoint
SHARE = 100  # of the time at most one part in so many is spent on checkpoints: 20,000 members take 30 ms

#: Lines that change nothing which a successor would miss.
STATELESS = frozenset({"PRIVMSG", "NOTICE", "TAGMSG", "PING", "PONG", "ERROR", "WALLOPS", "INVITE"})


class Checkpoints:
    """The checkpoints of one worker, and the one that it was given.

    Args:
        send: hands a frame to the link.
        collect: gives the snapshots of all connections that are registered, by network.
        kept: whether there will be a next worker.
    """

    def __init__(self, send: Callable[[Frame], None], collect: Callable[[], Mapping[str, Any]], *, kept: bool) -> None:
        self._send, self._collect, self._kept = send, collect, kept
        self._given: dict[str, Any] = {}
        self._given_upto = 0
        self._last = 0  # the newest line that was applied
        self._saved = 0
        self._stateful: set[str] = set()  # unfinished lines that changed the state
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0

    # -- the one that was given

    def given(self, number: str, blob: bytes) -> None:
        """Take what the worker before has left."""
        try:
            self._given = json.loads(blob) if blob else {}
            self._given_upto = self._last = self._saved = int(number)
        except ValueError:
            log.warning("what the worker before has left can't be read; the networks are registered anew")

    def of(self, net: str, since: str) -> Mapping[str, Any] | None:
        """Return the snapshot of a network's connection, the one that came up after line `since`; once."""
        snapshot = self._given.pop(net, None)
        return snapshot if isinstance(snapshot, dict) and snapshot.get("since") == since else None

    def covers(self, number: str) -> bool:
        """Whether the given checkpoint was made after this line was applied."""
        return number.isdecimal() and int(number) <= self._given_upto

    # -- our own

    def applied(self, number: str, command: str) -> None:
        """A line has been applied to the state."""
        if self._kept and number.isdecimal():
            self._last = max(self._last, int(number))
            if command not in STATELESS:
                self._stateful.add(number)
                self.soon()

    def finished(self, number: str) -> Frame:
        """Return what to tell the keeper of a line whose handlers have ended."""
        if number in self._stateful:
            self._stateful.discard(number)
            if int(number) > self._saved:
                return Frame("seen", (number,))
        return Frame("done", (number,))

    def soon(self) -> None:
        """Make one within seconds."""
        if self._kept and self._timer is None:
            wait = max(SAVE_SECONDS, self._not_before - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(wait, self.save)

    def save(self) -> None:
        """Make one now."""
        if not self._kept:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        began = time.monotonic()
        self._send(Frame("save", (str(self._last),), json.dumps(self._collect()).encode()))
        self._saved = self._last
        self._not_before = time.monotonic() + SHARE * (time.monotonic() - began)

    def stop(self) -> None:
        """Make none any more: the bot is ending."""
        self._kept = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
