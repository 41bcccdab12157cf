"""What one network's connection says: a line, several as one message, a question, a hint.

A part of `connection`. Every line out, by whatever method, is made safe here: one that holds CR, LF or NUL is refused.
When it leaves, and whether it may, is `speech`'s; what becomes of it is told by `labels`; how much fits is known here,
cutting texts to that is done above.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from bot.errors import UnsafeText
from bot.protocol import multiline
from bot.protocol.message import Message, safe
from bot.protocol.registration import Registration
from bot.protocol.roster import Roster
from bot.wire.labels import Labels, Said
from bot.wire.library import LibraryConnection
from bot.wire.link import Frame
from bot.wire.outbox import NOT_SENT, SENT, Outbox
from bot.wire.reactor import Reactor
from bot.wire.speech import Speech

TAG_BYTES = 4095  # 4,094 of tags that a client may send, and the sign before them; apart from the line's own length


class Talking(LibraryConnection):
    """The attributes are those of `Connection`."""

    name: str
    reactor: Reactor
    roster: Roster
    registered: bool
    labels: Labels
    outbox: Outbox
    speech: Speech
    _clock: Callable[[], float]
    _state: str

    @property
    def registration(self) -> Registration | None:
        raise NotImplementedError

    def say(
        self, message: Message, *, cause: str = "-", handler: str = "-", k: int = 0, urgent: bool = False
    ) -> Awaitable[bool]:
        """Send a message: now if `urgent`, else at the network's pace.

        Args:
            cause: the number of the line (or the name of the work) that this is an effect of; `-` for none.
            handler: which handler says it, without spaces or `/`.
            k: from 0, counted within that handler of that line.
            urgent: for what keeps the connection in order. Lost when there is none; words to channels wait for the
                next one, all else is lost with it as well.

        Returns:
            Need not be awaited; gives True when the keeper has it, False when it was dropped. It is a `Said` where
            the network tells how a line fares.

        Raises:
            UnsafeText: the message is more than one line, or its parameters don't fit the grammar.
        """
        awaited = None
        if self.registered or message.tags:
            message, awaited = self.labels.dress(message, handler, self._clock())
        try:
            room = self._put(message.encode(), f"{cause}/{handler}", k, urgent)
        except UnsafeText:
            self.labels.leaves(NOT_SENT, awaited)
            raise
        if awaited is not None and room is NOT_SENT:
            awaited.end(False, "dropped")
        return self.labels.leaves(room, awaited)

    def say_together(
        self, messages: Sequence[Message], *, cause: str = "-", handler: str = "-", k: int = 0
    ) -> list[Awaitable[bool]]:
        """Say lines to one target: as one message where the network takes that, else one by one.

        Args:
            k: of the first; as many numbers are taken as there are lines. A message of several has the last of its own.
        """
        said: list[Awaitable[bool]] = []
        for group in multiline.groups(messages, self.multiline):
            if len(group) == 1:
                said.append(self.say(multiline.alone(group[0]), cause=cause, handler=handler, k=k))
            else:
                for each in group:
                    each.encode()  # what can't be said is refused before it is awaited
                first, awaited = self.labels.dress(multiline.opening(group), handler, self._clock())
                lines = (first, *multiline.inside(group))
                raw = b"\r".join(safe(line.encode()).encode(errors="replace") for line in lines)
                room = self.speech.say(group[0].encode(), raw, f"{cause}/{handler}", k + len(group) - 1, "batch")
                said.append(self.labels.leaves(room, awaited))
            k += len(group)
        return said

    @property
    def multiline(self) -> multiline.Room | None:
        """What fits into one message of several lines; None: each line is its own."""
        return multiline.room(self.roster.caps, self.registration.offered) if self.registration is not None else None

    def hint(self, target: str, tag: str, value: str) -> bool:
        """Tell clients something by a tag alone, if nothing waits to be said; tell whether it is on its way.

        It may still be lost, and nobody is told.
        """
        message, _ = self.labels.dress(Message("TAGMSG", (target,), tags={tag: value}), "-", self._clock())
        if not (self.registered and message.tags) or len(self.outbox):
            return False
        self.reactor.send(Frame("say", (self.name, "-/-", "0", "3", "-"), safe(message.encode()).encode()))
        return True

    def ask(self, question: Message, then: Callable[[], None]) -> bool:
        """Say this; tell whether `then` will be called when its answer is complete: the network must label answers."""
        said = self.say(question)
        if isinstance(said, Said):
            said.then(lambda _fared, _why: then())
        return isinstance(said, Said)

    async def drained(self) -> None:
        """Wait until no line waits for room on its way to the keeper."""
        await self.outbox.drained()

    def room_for(self, command: str, target: str) -> int:
        """How many bytes of text fit into a PRIVMSG or NOTICE to `target` as the server relays it, prefix and all."""
        frame = f":{self.roster.me_source()} {command} {target} :\r\n"
        # Names that leave no room are no server's: rather a line that is cut than hundreds with a letter each.
        return max(100, self.roster.isupport.linelen - len(frame.encode()))

    def _put(self, line: str, key: str, k: int, urgent: bool) -> Awaitable[bool]:
        # A lone surrogate has no bytes; it becomes `?`, as in any other text that can't be shown.
        raw = safe(line).encode(errors="replace")
        if raw.startswith(b"@") and raw.find(b" ") > TAG_BYTES:
            raise UnsafeText(f"the tags of a line take more than {TAG_BYTES - 1} bytes, which no server takes")
        if not urgent and self._state != "ended":
            return self.speech.say(line, raw, key, k)
        if not self.connected:
            return NOT_SENT
        self.reactor.send(Frame("say", (self.name, key, str(k), "0", "-"), raw))
        return SENT
