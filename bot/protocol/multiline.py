"""Several lines as one message (draft/multiline), in both directions. Pure.

Out: which lines fit into one batch, how a long line is cut so that its pieces are one line again, and the batch itself.
In: the lines of a batch become one message whose text has line feeds in it. Nothing of it is needed: a network that
does not offer it gets the same lines one by one, and a client without it reads them so.

Follows https://ircv3.net/specs/extensions/multiline (work in progress) and https://ircv3.net/specs/extensions/client-batch:
while our batch is open nothing else may be sent, so it must leave in one piece.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bot.protocol.batches import Batch
from bot.protocol.formatting import RESET, split, strip
from bot.protocol.message import Message, Source

CAPABILITY = "draft/multiline"
CONCAT = "draft/multiline-concat"  # joins a line to the one before without a line feed
REFERENCE = "neverquit"  # of our batches, of which one is open at most


class Room(NamedTuple):
    """What the server takes in one batch."""

    max_bytes: int
    max_lines: int


def room(caps: Collection[str], offered: Mapping[str, str]) -> Room | None:
    """Return what fits into one message here; None: each line is its own.

    Args:
        caps: what is enabled; offered: capability -> its value, `max-bytes=4096,max-lines=24`.
    """
    if CAPABILITY not in caps or "batch" not in caps:
        return None
    limits = dict(token.partition("=")[::2] for token in offered.get(CAPABILITY, "").split(","))
    most = _number(limits.get("max-bytes", ""))
    if most is None:  # it must be there
        return None
    lines = _number(limits.get("max-lines", "")) if "max-lines" in limits else most
    return Room(most, lines) if lines is not None else None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and 0 < len(text) < 10 else None


# --- out


def pieces(line: str, max_bytes: int) -> list[str]:
    """Cut a line as `formatting.split` does, so that its pieces, put together, are the line again.

    The space at a cut stays at the end of a piece; what is bold or coloured is switched off there, since the next piece
    switches it on again for who reads it as a line of its own.
    """
    cut = split(line, max_bytes)
    if len(cut) > 1:
        cut = split(line, max_bytes - 2)  # for what is added below
    letters = strip(line)
    dressed = letters != line
    joined, at = [], 0
    for index, piece in enumerate(cut):
        if index + 1 < len(cut):
            shown = strip(piece)
            at = letters.index(shown, at) + len(shown)
            piece += (" " if letters[at : at + 1] == " " else "") + (RESET if dressed else "")
        joined.append(piece)
    return joined


def groups(messages: Sequence[Message], limits: Room | None) -> Iterator[Sequence[Message]]:
    """Part lines to one target into those that can be one message; a group of one is a line as ever."""
    group: list[Message] = []
    size = 0
    for message in messages:
        more = len(message.param(1).encode("utf-8", "replace")) + 1
        fits = limits is not None and len(group) < limits.max_lines and size + more <= limits.max_bytes
        if group and not (fits and _can_join(message) and _can_join(group[0])):
            yield group
            group, size = [], 0
        group.append(message)
        size += more
    if group:
        yield group


def _can_join(message: Message) -> bool:
    # NOTICEs may join by the newest page only; a CTCP is one line.
    return message.command == "PRIVMSG" and not message.param(1).startswith("\x01")


def opening(group: Sequence[Message]) -> Message:
    """Return the first line of a group's batch; what is tagged is the whole."""
    return Message("BATCH", (f"+{REFERENCE}", CAPABILITY, group[0].param(0)), tags=_whole(group[0]))


def inside(group: Sequence[Message]) -> list[Message]:
    """Return the lines of a group's batch, and its end."""
    lines = []
    for index, message in enumerate(group):
        tags = {"batch": REFERENCE}
        if index and CONCAT in message.tags:
            tags[CONCAT] = ""
        lines.append(Message(message.command, message.params, tags=tags))
    return [*lines, Message("BATCH", (f"-{REFERENCE}",))]


def alone(message: Message) -> Message:
    """Return a line as one that is not part of a batch."""
    return message if CONCAT not in message.tags else Message(message.command, message.params, tags=_whole(message))


def _whole(message: Message) -> Mapping[str, str]:
    return {name: value for name, value in message.tags.items() if name != CONCAT}


# --- in

MAX_OPEN = 8
MAX_TEXT_BYTES = 40_000  # of a message; servers take 4,096 to 40,000 bytes
LINE_COST = 8  # letters that a line counts as, besides its own: empty ones are no way to have any number kept
CUT = " [cut]"


class _Unfinished:
    """A batch whose end has not come: its BATCH line, then its lines as far as there is room for them."""

    def __init__(self, lines: list[Message]) -> None:
        self.lines = lines
        self._room = MAX_TEXT_BYTES - sum(map(self._cost, lines[1:]))

    def takes(self, line: Message) -> bool:
        """Tell whether a line is of who began the batch; of all others each speaks for themselves."""
        author = _author(self.lines[:2])
        return author is None or not author.is_user or line.source in (None, author)

    def add(self, line: Message) -> None:
        """Keep a line. The first tells who and what for; of the others only the text counts."""
        if self._room > 0:
            self._room -= self._cost(line)
            concat = {CONCAT: ""} if CONCAT in line.tags else {}
            self.lines.append(line if len(self.lines) == 1 else Message(line.command, line.params[:2], tags=concat))

    @staticmethod
    def _cost(line: Message) -> int:
        return len(line.param(1)) + LINE_COST


class Gathering:
    """Messages of several lines, while their lines come and until their handlers have ended.

    A line that is part of one is kept; the line that ends the batch stands for the whole. What is kept here is part of
    a checkpoint, since the next worker gets none of these lines again but the last.
    """

    def __init__(self) -> None:
        self._open: dict[str, _Unfinished] = {}  # by reference
        self._whole: dict[str, Message] = {}  # number of the line that ended it -> the message, until it is done

    def take(self, number: str, message: Message, batches: Mapping[str, Batch]) -> Message | None:
        """Take in a line; return what it stands for: itself, the message that it completes, or nothing yet.

        Args:
            batches: those that are open, this line taken into account.
        """
        if message.command == "BATCH":
            return self._turn(number, message, batches)
        unfinished = self._open.get(message.tags.get("batch", "")) if self._open else None
        if unfinished is None or message.command not in ("PRIVMSG", "NOTICE") or not unfinished.takes(message):
            return message
        unfinished.add(message)
        return None

    def _turn(self, number: str, message: Message, batches: Mapping[str, Batch]) -> Message:
        sign, name = message.param(0)[:1], message.param(0)[1:]
        # A reference that is given again is another batch, perhaps one of history: what was open under it is void.
        unfinished = self._open.pop(name, None) if sign in ("+", "-") else None
        if sign == "-" and unfinished is not None and len(unfinished.lines) > 1:
            self._whole[number] = joined(unfinished.lines)
            return self._whole[number]
        batch = batches.get(name)
        if sign == "+" and batch is not None and batch.kind == CAPABILITY and not batch.history:
            while len(self._open) >= MAX_OPEN:
                del self._open[next(iter(self._open))]
            self._open[name] = _Unfinished([message])
        return message

    def known(self, number: str) -> Message | None:
        """Return the message that this line stood for when it came, if it was one of several lines."""
        return self._whole.get(number)

    def done(self, number: str) -> None:
        """The handlers of this line have ended."""
        self._whole.pop(number, None)

    def clear(self) -> None:
        """The connection is gone: what has not been completed never will be."""
        self._open.clear()

    def saved(self) -> list[Any]:
        """Return all as JSON values, for `resume`."""
        return [
            {name: [_values(line) for line in unfinished.lines] for name, unfinished in self._open.items()},
            {number: _values(message) for number, message in self._whole.items()},
        ]

    def resume(self, saved: Iterable[Any]) -> None:
        """Go on where another worker was.

        Raises:
            ValueError, TypeError, AttributeError: this is not what `saved` gave.
        """
        unfinished, whole = saved
        self._open = {str(name): _Unfinished([_message(line) for line in lines]) for name, lines in unfinished.items()}
        self._whole = {str(number): _message(message) for number, message in whole.items()}


def joined(lines: Sequence[Message]) -> Message:
    """Return a batch as one message: who and what for is said by its first line, its text by the others."""
    opening, first, *more = lines
    text = first.param(1)
    for line in more:
        text += ("" if CONCAT in line.tags else "\n") + line.param(1)
    raw = text.encode("utf-8", "replace")
    if len(raw) > MAX_TEXT_BYTES:
        text = raw[:MAX_TEXT_BYTES].decode("utf-8", "ignore") + CUT
    tags = {name: value for name, value in {**first.tags, **opening.tags}.items() if name not in ("batch", CONCAT)}
    return Message(first.command, (first.param(0), text), _author([opening, first]), tags)


def _author(lines: Iterable[Message]) -> Source | None:
    """Return whose a batch is: a user's, also where their server has begun it."""
    sources = [line.source for line in lines if line.source is not None]
    return next((source for source in sources if source.is_user), sources[0] if sources else None)


def _values(message: Message) -> list[Any]:
    source = None if message.source is None else [message.source.nick, message.source.ident, message.source.host]
    return [message.command, list(message.params), source, dict(message.tags)]


def _message(values: Any) -> Message:
    command, params, source, tags = values
    return Message(command, tuple(params), Source(*source) if source is not None else None, dict(tags))
