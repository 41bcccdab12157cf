"""Questions to the server (WHO, MODE after our own JOIN), put one at a time.

Being in a hundred channels means two hundred questions, and servers count WHO dearly. Each waits for the answer to the
one before, or for a while, so that they are never a flood and never more than one line ahead of an answer to a person.
Where the network labels its answers we are told when one is complete; elsewhere it is guessed from the numerics.

A worker that takes a connection over goes on with the questions of the one before: held until it knows all answers
that have come meanwhile, so that at most the one that was on its way is put twice.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial

from bot.errors import UnsafeText
from bot.protocol.message import Message
from bot.wire.alarms import Alarms

#: What ends the answer to one of these questions, or refuses it: 315 end of WHO, 324 channel modes, and the errors
#: 263 try again, 401 403 no such thing, 421 unknown command, 442 not in it, 461 parameters, 482 not allowed.
ANSWERS = frozenset({"315", "324", "263", "401", "403", "421", "442", "461", "482"})


class Asks:
    """The questions of one network.

    Args:
        ask: sends a question; True if the callable that it is given will be called when the answer is complete.
        alarms: the connection's; the name `ask` in it is used here.
        seconds: how long to wait for an answer before asking on.
    """

    def __init__(self, ask: Callable[[Message, Callable[[], None]], bool], alarms: Alarms, seconds: float) -> None:
        self._ask, self._alarms, self._seconds = ask, alarms, seconds
        self._told = False  # whether we are told of the end of the present answer
        self._waiting: OrderedDict[str, Message] = OrderedDict()  # by the line that it is
        self._asked: Message | None = None
        self._held = self._asking = False

    @property
    def open(self) -> list[Message]:
        """What has no answer yet, in order."""
        return [*([self._asked] if self._asked is not None else ()), *self._waiting.values()]

    def release(self) -> None:
        """Ask, beginning with the first that has no answer."""
        self._held = False
        if self._asked is None:
            self._next()

    def add(self, questions: Iterable[Message], *, held: bool = False) -> None:
        """Ask these in their turn; one that waits already is not asked twice.

        Args:
            held: ask nothing until `release`; each answer that comes is the answer to the first question.
        """
        self._held = self._held or held
        for question in questions:
            with suppress(UnsafeText):  # a server may tell of a channel whose name no line can hold
                self._waiting.setdefault(question.encode(), question)
        if self._waiting and self._asked is None and not self._held:
            self._next()

    def answered(self, command: str) -> None:
        """A line with this command came; perhaps it is what the question before waits for."""
        if command not in ANSWERS:
            return
        if self._asked is not None:
            if not self._told:
                self._next()
        elif self._held and self._waiting:
            self._waiting.popitem(last=False)

    def clear(self) -> None:
        """The connection is gone: forget them."""
        self._waiting.clear()
        self._asked, self._held = None, False
        self._alarms.cancel("ask")

    def _answered(self, question: Message) -> None:
        if question is not self._asked:  # it took too long, and we have asked on
            return
        if self._asking:  # it could not be said; `_next` goes on with its loop
            self._asked = None
        else:
            self._next()

    def _next(self) -> None:
        self._asked = None
        while self._waiting and self._asked is None:
            _, question = self._waiting.popitem(last=False)
            self._asked = question
            self._asking = True
            try:
                self._told = self._ask(question, partial(self._answered, question))
            finally:
                self._asking = False
        if self._asked is not None:
            self._alarms.after(self._seconds, "ask", self._next)
        else:
            self._alarms.cancel("ask")
