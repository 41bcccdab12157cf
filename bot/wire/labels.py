"""Who answered what: labels on lines of ours, and what the server says to each (labeled-response, echo-message).

Where the network labels its answers, a line of ours carries a label, and what comes back with it belongs to that line:
its echo or an ACK (it was taken), or an error (404, 401, FAIL: it was refused, and why). So a refusal is logged with
the plugin that spoke, and whoever asked is told how a line fared. Where it only echoes, an echo of the same text is
taken as the answer; where it does neither, nobody is told anything, and all goes on as ever.

Pure but for the log: `now` is an argument, nothing is sent. Labels are bounded in number and in time. They are of this
worker and this connection: a label that nobody here gave (of the worker before) means nothing, and a line that the next
worker says again has another one, by which nothing is told apart: effects are known by (cause, handler, k).

Follows https://ircv3.net/specs/extensions/labeled-response, .../echo-message and .../standard-replies.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeAlias

from bot.protocol.clienttags import permitted
from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.outbox import NOT_SENT

log = logging.getLogger(__name__)

MAX_OPEN = 2048  # lines whose answer is awaited: more than the 64 that the keeper takes and what waits behind them
MAX_BATCHES = 64
MAX_TOLD = 256
SECONDS = 600.0  # a line may wait for minutes at 0.5 a second; after that it is as if the network had said nothing

#: What the bot says by itself and is answered to in a way that does not tell what is answered, as JOIN and NICK are.
ASKED = frozenset({"BATCH", "MODE", "NOTICE", "PRIVMSG", "WHO"})
#: What is not answered, or not to us, whoever says it.
UNANSWERED = frozenset({"AUTHENTICATE", "CAP", "PASS", "PING", "PONG", "QUIT", "TAGMSG", "USER"})

#: Told how a line fared, once: True it was taken, False it was refused (and why), None nobody knows.
Tell: TypeAlias = Callable[[bool | None, str], object]


class Awaited:
    """A line of ours whose answer is awaited.

    Attributes:
        fared: True, False or None as for `Tell`, once `over`.
    """

    __slots__ = ("_tells", "at", "command", "fared", "key", "over", "refusal", "target", "who", "why")

    def __init__(self, message: Message, who: str, at: float) -> None:
        self.who, self.at = who, at
        self.command, self.target = message.command, message.param(2 if message.command == "BATCH" else 0)
        self.key: Any = None  # among those that are open
        self.refusal: Message | None = None
        self.over = False
        self.fared: bool | None = None
        self.why = ""
        self._tells: list[Tell] = []

    def then(self, tell: Tell) -> None:
        """Have this told how the line fared: now, if that is known."""
        if self.over:
            tell(self.fared, self.why)
        else:
            self._tells.append(tell)

    def end(self, fared: bool | None, why: str = "") -> None:
        """It is known, or never will be."""
        if not self.over:
            self.over, self.fared, self.why = True, fared, why
            tells, self._tells = self._tells, []
            for tell in tells:
                tell(fared, why)


class Said(Awaitable[bool]):
    """What saying a line gives: awaiting it waits for room, as ever; `then` tells how it fared."""

    __slots__ = ("_room", "then")

    def __init__(self, room: Awaitable[bool], awaited: Awaited) -> None:
        self._room, self.then = room, awaited.then

    def __await__(self) -> Generator[Any, None, bool]:
        return self._room.__await__()


class Labels:
    """The lines of one connection whose answers are awaited.

    Args:
        network: its name, for the log.
        roster: the network's, read only: capabilities, ISUPPORT, own nick.
        salt: what labels begin with; another one for each worker.
    """

    def __init__(self, network: str, roster: Roster, salt: str = "") -> None:
        self._network, self._roster = network, roster
        self._salt, self._count = salt or secrets.token_hex(3), 0
        self._open: OrderedDict[Any, Awaited] = OrderedDict()  # by label, or by what its echo will look like
        self._batches: OrderedDict[str, tuple[str, bool]] = OrderedDict()  # open batch -> label, whether it is all
        self._told: OrderedDict[tuple[str, str], str] = OrderedDict()  # (who, target) -> the refusal that was logged

    def __len__(self) -> int:
        return len(self._open)

    @property
    def on(self) -> bool:
        """Whether the network labels its answers."""
        return {"labeled-response", "batch"} <= self._roster.caps

    # -- lines out

    def dress(self, message: Message, who: str, now: float) -> tuple[Message, Awaited | None]:
        """Return a line as it is to go out: without tags that the network refuses, with a label if that tells us more.

        Args:
            who: says it, `plugin.handler`; `-` for the bot itself.

        Raises:
            UnsafeText: a tag would not survive, whether the network takes it or not.
        """
        if message.tags:
            message.encode()
        tags = permitted(message.tags, self._roster.caps, self._roster.isupport.tokens) if message.tags else {}
        wanted = message.command in ASKED or (who != "-" and message.command not in UNANSWERED)
        awaited = self._await(message, who, now) if wanted else None
        if awaited is not None and isinstance(awaited.key, str):
            tags = {"label": awaited.key, **tags}
        if tags or message.tags:
            message = Message(message.command, message.params, message.source, tags)
        return message, awaited

    def leaves(self, room: Awaitable[bool], awaited: Awaited | None) -> Awaitable[bool]:
        """Return what saying a dressed line gives. One that is dropped on its way was refused."""
        if awaited is None:
            return room

        def look(left: asyncio.Future[bool]) -> None:
            if not left.cancelled() and not left.result():
                self._end(awaited, False, "dropped")

        if isinstance(room, asyncio.Future):  # it waits for room, and may be dropped for want of it
            room.add_done_callback(look)
        elif room is NOT_SENT:
            self._end(awaited, False, "dropped")
        return Said(room, awaited)

    def _await(self, message: Message, who: str, now: float) -> Awaited | None:
        awaited = Awaited(message, who, now)
        if self.on:
            self._count += 1
            awaited.key = f"{self._salt}{self._count:x}"
        elif "echo-message" in self._roster.caps and message.command in ("PRIVMSG", "NOTICE"):
            awaited.key = self._echo(message)
            # The same text twice is one: its echo means that the first has arrived, and the other will be soon.
            awaited = self._open.pop(awaited.key, awaited)
            awaited.at = now
        else:
            return None
        self._open[awaited.key] = awaited
        self._forget(now)
        return awaited

    def _echo(self, message: Message) -> tuple[str, ...]:
        return (message.command, self._roster.fold(message.param(0)), message.param(1))

    def _forget(self, now: float) -> None:
        while self._open:
            oldest = next(iter(self._open.values()))
            if len(self._open) <= MAX_OPEN and now - oldest.at < SECONDS:
                break
            self._end(oldest, None, "")

    # -- lines in

    def heard(self, message: Message, now: float) -> bool:
        """Take in a line of the server; tell whether it belongs to a line of ours. Never raises."""
        if not self._open:
            return False
        self._forget(now)
        tags = message.tags
        if message.command == "BATCH":
            return self._batch(message)
        if (label := tags.get("label", "")) in self._open:
            self._answer(label, message)
            self._finish(label)
            return True
        if (batch := tags.get("batch", "")) in self._batches:
            self._answer(self._batches[batch][0], message)
            return True
        if message.command in ("PRIVMSG", "NOTICE") and message.source and self._roster.is_me(message.source.nick):
            awaited = self._open.get(self._echo(message))
            if awaited is not None:
                self._end(awaited, True, "")
                return True
        return False

    def _batch(self, message: Message) -> bool:
        sign, name = message.param(0)[:1], message.param(0)[1:]
        if sign == "-":
            label, whole = self._batches.pop(name, ("", False))
            if whole:
                self._finish(label)
            return bool(label)
        label, outer = message.tags.get("label", ""), self._batches.get(message.tags.get("batch", ""))
        if sign != "+" or not name:  # a line without the tag is in no batch
            return False
        if label in self._open:
            self._batches[name] = (label, True)
        elif outer is not None:
            self._batches[name] = (outer[0], False)
        else:
            return False
        while len(self._batches) > MAX_BATCHES:
            self._batches.popitem(last=False)
        return True

    def _answer(self, label: str, message: Message) -> None:
        command = message.command
        refuses = command == "FAIL" or (command.isdecimal() and 400 <= int(command) < 600)
        if refuses and (awaited := self._open.get(label)) is not None:
            awaited.refusal = awaited.refusal or message

    def _finish(self, label: str) -> None:
        awaited = self._open.get(label)
        if awaited is None:
            return
        refusal = awaited.refusal
        if refusal is None:
            self._end(awaited, True, "")
            self._told.pop((awaited.who, awaited.target), None)
            return
        # FAIL has its command and code in front, a numeric our nick and mostly the target.
        code = refusal.param(1) if refusal.command == "FAIL" else refusal.command
        why = f"{refusal.param(-1)} ({code})"
        self._end(awaited, False, why)
        if awaited.who != "-":
            self._complain(awaited, why)

    def _complain(self, awaited: Awaited, why: str) -> None:
        """Log a refusal with the one who spoke: once, until something else is the matter."""
        key = awaited.who, awaited.target
        if self._told.get(key) != why:
            self._told[key] = why
            what = "speak" if awaited.command in ("PRIVMSG", "NOTICE", "BATCH") else awaited.command
            log.warning("%s: %s could not %s in %s: %s", self._network, awaited.who, what, awaited.target, why)
        self._told.move_to_end(key)
        while len(self._told) > MAX_TOLD:
            self._told.popitem(last=False)

    def _end(self, awaited: Awaited, fared: bool | None, why: str) -> None:
        if self._open.get(awaited.key) is awaited:
            del self._open[awaited.key]
        awaited.end(fared, why)

    # -- the end

    def clear(self) -> None:
        """The connection is gone: nobody will answer any more."""
        self._batches.clear()
        while self._open:
            self._end(next(iter(self._open.values())), None, "")
