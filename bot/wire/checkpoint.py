"""What a worker leaves behind all the time, in case it ends without a word: how each network stands.

A checkpoint is a blob that the keeper holds for the next worker: the snapshots of all connections after the line of a
certain number, and what the lines in hand were when they came. Lines that change a snapshot are `seen`, not `done`,
while no checkpoint covers them; the next worker gets these once more, for the state alone.

Checkpoints are made some seconds after a change, and never so often that making them is felt. A large one is written
in steps of 2 ms, with a turn of the loop after each; meanwhile `reactor` takes no line, so it shows one moment. Where
there will be no next worker (keeper and worker in one process), nothing is kept.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

from bot.protocol.roster import Applied
from bot.protocol.snapshot import Part, head, of_line
from bot.protocol.snapshot import line as line_of
from bot.wire.link import Frame

log = logging.getLogger(__name__)

SAVE_SECONDS = 2.0  # from a change to the checkpoint
STEP_SECONDS = 0.002  # how long the loop is kept at a time
SHARE = 100  # of the time at most one part in so many is spent on checkpoints: 20,000 members take 60 ms

#: Lines that change nothing which a successor would miss.
STATELESS = frozenset({"PRIVMSG", "NOTICE", "TAGMSG", "PING", "PONG", "ERROR", "WALLOPS", "INVITE"})


class Checkpoints:
    """The checkpoints of one worker, and the one that it was given.

    Args:
        send: hands a frame to the link.
        collect: gives (network, section, values) for all connections that are registered.
        made: called when one that took several turns of the loop is made.
        kept: whether there will be a next worker.
    """

    def __init__(
        self,
        send: Callable[[Frame], None],
        collect: Callable[[], Iterator[tuple[str, str, Any]]],
        made: Callable[[], None],
        *,
        kept: bool,
    ) -> None:
        self._send, self._collect, self._made, self._kept = send, collect, made, kept
        self._given: dict[str, list[Part]] = {}
        self._given_lines: dict[str, Any] = {}
        self._given_upto = 0
        self._last = 0  # the newest line that was applied
        self._saved = 0
        self._stateful: set[str] = set()  # unfinished lines that changed the state
        self._in_hand: dict[str, tuple[Applied, str | None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._not_before = 0.0
        self._making: Iterator[tuple[str, str, Any]] | None = None
        self._texts: list[str] = []
        self._spent = 0.0

    # -- the one that was given

    def given(self, number: str, blob: bytes) -> None:
        """Take what the worker before has left."""
        try:
            self._given_upto = self._last = self._saved = int(number)
            for net, section, value in json.loads(blob) if blob else ():
                if section == "lines":
                    self._given_lines.update(value)
                else:
                    self._given.setdefault(net, []).append((section, value))
        except (ValueError, TypeError):
            self._given.clear()
            log.warning("what the worker before has left can't be read; the networks are registered anew")

    def of(self, net: str, since: int) -> list[Part]:
        """Return the snapshot of a network's connection, the one that came up after line `since`; once.

        Raises:
            ValueError: there is none.
        """
        snapshot = self._given.pop(net, [])
        if head(snapshot).get("since") != since:
            raise ValueError("what was left is of an earlier connection")
        return snapshot

    def covers(self, number: int) -> bool:
        """Whether the given checkpoint was made after this line was applied."""
        return number <= self._given_upto

    def then(self, number: str) -> Applied | None:
        """Return what a line was when it came, if the given checkpoint says so."""
        return line_of(self._given_lines.pop(number)) if number in self._given_lines else None

    def live(self) -> None:
        """All that it tells of has come."""
        self._given.clear()
        self._given_lines.clear()

    # -- our own

    @property
    def making(self) -> bool:
        """Whether one is half made, so that nothing may change."""
        return self._making is not None

    def applied(self, number: str, command: str) -> None:
        """A line has been applied to the state."""
        if self._kept:
            self._last = max(self._last, int(number))
            if command not in STATELESS:
                self._stateful.add(number)
                self.soon()

    def in_hand(self, number: str, applied: Applied, account: str | None) -> None:
        """A line's handlers go on; the next worker may have to run them again."""
        if self._kept:
            self._in_hand[number] = applied, account

    def finished(self, number: str) -> Frame:
        """Return what to tell the keeper of a line whose handlers have ended."""
        self._in_hand.pop(number, None)
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

    def save(self, *, at_once: bool = False) -> None:
        """Begin to make one now; a small one is made when this returns.

        Args:
            at_once: a large one, too: the worker is about to leave. One that is half made is begun anew, since what is
                no line's doing (a question that was asked, a channel we were thrown out of) may have changed meanwhile.
        """
        half = self._making is not None
        if self._kept and (at_once or not half):
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._making, self._texts, self._spent = self._collect(), [], 0.0
            self._step()
        while at_once and self._making is not None:
            self._step()
        if half and self._making is None:
            self._made()

    def _go_on(self) -> None:
        if self._making is not None:
            self._step()
            if self._making is None:
                self._made()

    def _step(self) -> None:
        began = now = time.monotonic()
        assert self._making is not None
        try:
            while now < began + STEP_SECONDS:
                self._texts.append(json.dumps(next(self._making)))
                now = time.monotonic()
        except StopIteration:
            self._finish()
        except Exception:  # the one before stays good: what is `seen` since then is kept
            log.exception("how the networks stand could not be written down")
            self._making = None
        else:
            asyncio.get_running_loop().call_soon(self._go_on)
        self._spent += time.monotonic() - began
        if self._making is None:
            self._not_before = time.monotonic() + SHARE * self._spent

    def _finish(self) -> None:
        # What is still to come (the keeper may hand lines over one at a time) was already in hand then.
        lines = self._given_lines | {number: of_line(*each) for number, each in self._in_hand.items()}
        texts, self._texts, self._making = self._texts, [], None
        blob = f"[{','.join([*texts, json.dumps(['', 'lines', lines])])}]"
        self._send(Frame("save", (str(self._last),), blob.encode()))
        self._saved = self._last
