"""The lines that one call says: cut to what fits one IRC line, numbered, and only so many at once.

The effects of a call are numbered k = 0, 1, 2 ... in the order said, so that the keeper can accept each once. Lines
that go back to the asker are limited to `reply_lines`; the rest waits for `!more`. So the last line of the allowance
is held back until it is known whether more follows. What is more than can wait is dropped unread, with a note. Speaking
is allowed from any thread: other threads hand their lines to the loop.

Where a network takes several lines as one message, the lines of one text are one, and take a number each all the same.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Protocol

from bot.api.events import User
from bot.api.sent import Sent
from bot.protocol.clienttags import in_reply_to
from bot.protocol.formatting import lines, split
from bot.protocol.message import Message
from bot.protocol.multiline import CONCAT, alone, pieces

# 64 KiB of text and 500 waiting lines are far beyond what a channel reads, and little enough to keep for 1,000 askers.
MAX_TEXT_CHARACTERS = 65_536
MAX_WAITING_LINES = 500
MAX_ASKERS = 1_000
CUT = "[the rest is cut]"


class Sender(Protocol):
    """How lines leave; implemented by the application over its connections."""

    loop: asyncio.AbstractEventLoop
    thread: int  # the loop's thread, threading.get_ident()

    def room(self, network: str, command: str, target: str) -> int:
        """Bytes of text that fit into one relayed line."""

    def together(self, network: str) -> bool:
        """Whether several lines may be one message there."""

    def deliver(
        self, network: str, messages: Sequence[Message], cause: str, handler: str, k: int
    ) -> Sequence[Awaitable[object] | None]:
        """Queue lines to one target; the first is effect k, each takes a number. The results can be awaited for room.

        Where `together`, they are one message as far as they fit into one.
        """


def asker_of(place: tuple[str, str], user: User, fold: Callable[[str], str]) -> tuple[str, str, str]:
    """Return who asks where, as a key. A nick alone would do for whoever has it next, and an answer may be private."""
    return (*place, fold(f"{user.nick}!{user.ident}@{user.host}"))


class Pending:
    """What is left to say to whom, for `!more`: by network, place and nick!ident@host, the newest 1,000 askers."""

    def __init__(self) -> None:
        self._left: OrderedDict[tuple[str, str, str], list[Message]] = OrderedDict()

    def put(self, key: tuple[str, str, str], messages: list[Message]) -> None:
        """Remember lines for an asker; what they had waiting before is dropped."""
        self._left.pop(key, None)
        if messages:
            self._left[key] = messages
            while len(self._left) > MAX_ASKERS:
                self._left.popitem(last=False)

    def all(self) -> dict[tuple[str, str, str], list[str]]:
        """Return all that waits, as lines."""
        return {key: [message.encode() for message in messages] for key, messages in self._left.items()}

    def take(self, key: tuple[str, str, str]) -> list[Message]:
        """Take all that waits for an asker."""
        return self._left.pop(key, [])


class CallOutlet:
    """The lines of one call of one handler.

    Args:
        cause: number of the IRC line that is answered; "-" for none.
        place: (network, target) of the asker; lines to there count against `limit`. None: nothing is counted.
        asker: key in `pending` under which the rest waits.
        hint: how the asker gets the rest, `!more`.
        silent: say nothing at `place`, whatever the call says.
        answered: called with each text that is said there.
    """

    __slots__ = (
        *(
            "_answered",
            "_asker",
            "_cause",
            "_count",
            "_cut",
            "_ended",
            "_extra",
            "_handed",
            "_handler",
            "_held",
            "_hint",
            "_k",
        ),
        *("_limit", "_pending", "_place", "_sender", "_silent", "said"),
    )

    def __init__(
        self,
        sender: Sender,
        cause: str,
        handler: str,
        place: tuple[str, str] | None = None,
        *,
        limit: int = 8,
        pending: Pending | None = None,
        asker: tuple[str, str, str] | None = None,
        hint: str = "!more",
        silent: bool = False,
        answered: Callable[[str], object] | None = None,
    ) -> None:
        self._sender, self._cause, self._handler, self._place = sender, cause, handler, place
        self._limit, self._pending, self._asker, self._hint = limit, pending, asker, hint
        self._silent, self._answered = silent, answered
        self._k = self._count = 0
        self._held: list[Message] = []
        self._extra: list[Message] = []
        self._handed = 0  # texts from other threads
        self._cut = self._ended = False
        self.said: list[tuple[str, str]] | None = None  # network and lines, where somebody wants to know

    def send(self, network: str, target: str, kind: str, text: str, answers: Message | None = None) -> Sent:
        """Say a text; see `api.context.Outlet`. Safe from any thread.

        Raises:
            UnsafeText: the target is more than a name, in whatever thread that is seen.
        """
        Message("PRIVMSG", (target, "")).encode()
        sent = Sent(self._sender.loop, self._sender.thread)
        tags = in_reply_to(answers)
        if threading.get_ident() == self._sender.thread:
            self._send(sent, network, target, kind, text, tags)
            return sent
        # A thread may be far ahead of the loop; each text is a line at least, so from here on they will be cut.
        if self._counts(network, target) and text.strip():
            self._handed += 1
            if self._handed > self._limit + MAX_WAITING_LINES + 1:
                return sent
        self._sender.loop.call_soon_threadsafe(self._send, sent, network, target, kind, text, tags)
        return sent

    def _counts(self, network: str, target: str) -> bool:
        return self._place == (network, target) and self._limit > 0 and not self._ended

    def _send(self, sent: Sent, network: str, target: str, kind: str, text: str, tags: Mapping[str, str]) -> None:
        counted = self._counts(network, target)
        if counted and self._cut:
            sent.lines.append(None)
            return
        if len(text) > MAX_TEXT_CHARACTERS:
            text = text[:MAX_TEXT_CHARACTERS] + " [cut]"
        command = "NOTICE" if kind == "notice" else "PRIVMSG"
        room = self._sender.room(network, command, target) - (len(_ACTION) + 1 if kind == "action" else 0)
        together = kind == "say" and self._sender.together(network)
        cut = pieces if together else split
        now: list[Message] = []
        for index, piece in ((index, piece) for line in lines(text) for index, piece in enumerate(cut(line, room))):
            message = _message(command, target, piece, kind == "action", {CONCAT: ""} if index and together else tags)
            tags = {}  # the first line is the answer, those after it belong to it
            if not counted or self._count < self._limit - 1:
                now.append(message)
            else:
                sent.lines.append(None)
                if not self._held:
                    self._held = [*now, message] if together else [message]  # what is one message waits as one
                    now = [] if together else now
                elif len(self._extra) < MAX_WAITING_LINES:
                    self._extra.append(alone(message))
                else:
                    self._extra[-1] = _message(command, target, CUT, False)
                    self._cut = True
                    break
            self._count += counted
        for group in [now] if together and now else [[message] for message in now]:
            sent.lines += self._deliver(network, group)

    def _deliver(self, network: str, messages: Sequence[Message]) -> Sequence[Awaitable[object] | None]:
        # Once the call has ended its line is crossed off, so late words answer nothing in particular.
        cause = "-" if self._ended else self._cause
        k, self._k = self._k, self._k + len(messages)
        if (network, messages[0].params[0]) == self._place:
            if self._silent:
                return (None,)
            if self._answered is not None:
                for message in messages:
                    self._answered(text_of(message))
        if self.said is not None:
            self.said.append((network, "\n".join(message.encode() for message in messages)))
        return self._sender.deliver(network, messages, cause, self._handler, k)

    def again(self, said: Iterable[tuple[str, str]]) -> None:
        """Say what an earlier run of this call has said; the keeper drops what it had heard of it."""
        for network, line in said:
            self._deliver(network, [Message.parse(each) for each in line.split("\n")])
        self._ended = True

    def finish(self) -> None:
        """The call has ended: say the line held back, with `(+N more: !more)` where more waits."""
        held, self._held = self._held, []
        if held and self._place is not None:
            if self._extra:
                held[-1] = self._with_hint(held[-1])
            self._deliver(self._place[0], held)
            if self._extra and self._pending is not None and self._asker is not None:
                self._pending.put(self._asker, self._extra)
        self._extra, self._ended = [], True

    def _with_hint(self, held: Message) -> Message:
        """The last line with `(+N more: !more)` behind it; what no longer fits waits first."""
        assert self._place is not None
        network, target = self._place
        action = is_action(held)
        body = text_of(held)
        room = self._sender.room(network, held.command, target) - (len(_ACTION) + 1 if action else 0)
        hint = f" (+{len(self._extra)} more: {self._hint})"
        if len(body.encode()) + len(hint.encode()) > room:
            # Of a line that is nothing but codes no piece is left.
            body, *rest = split(body, room - len(hint.encode()) - 1) or [""]
            self._extra[:0] = [_message(held.command, target, piece, action) for piece in rest]
            hint = f" (+{len(self._extra)} more: {self._hint})"
        return _message(held.command, target, body + hint, action, held.tags)


_ACTION = "\x01ACTION "


def is_action(message: Message) -> bool:
    """Tell whether a line is `/me`."""
    return message.params[1].startswith(_ACTION)


def text_of(message: Message) -> str:
    """The text of a line, without the frame that makes it an action."""
    return message.params[1][len(_ACTION) : -1] if is_action(message) else message.params[1]


def _message(command: str, target: str, text: str, action: bool, tags: Mapping[str, str] | None = None) -> Message:
    return Message(command, (target, f"{_ACTION}{text}\x01" if action else text), tags=tags or {})
