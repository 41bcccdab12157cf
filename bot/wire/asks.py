"""Questions to the server (WHO, MODE after our own JOIN), put one at a time.

Being in a hundred channels means two hundred questions, and servers count WHO dearly. Each waits for the answer to the
one before, or for a while, so that they are never a flood and never more than one line ahead of an answer to a person.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from bot.protocol.message import Message
from bot.wire.alarms import Alarms

#: What ends the answer to one of these questions, or refuses it: 315 end of WHO, 324 channel modes, and the errors
#: 263 try again, 401 403 no such thing, 421 unknown command, 442 not in it, 461 parameters, 482 not allowed.
ANSWERS = frozenset({"315", "324", "263", "401", "403", "421", "442", "461", "482"})


class Asks:
    """The questions of one network.

    Args:
        say: sends a message.
        alarms: the connection's; the name `ask` in it is used here.
        seconds: how long to wait for an answer before asking on.
    """

    def __init__(self, say: Callable[[Message], object], alarms: Alarms, seconds: float) -> None:
        self._say, self._alarms, self._seconds = say, alarms, seconds
        self._waiting: deque[Message] = deque()

    def add(self, questions: Iterable[Message]) -> None:
        """Ask these in their turn; one that waits already is not asked twice."""
        for question in questions:
            if question not in self._waiting:
                self._waiting.append(question)
        if self._waiting and self._alarms.next_at("ask") is None:
            self._next()

    def answered(self, command: str) -> None:
        """A line with this command came; perhaps it is what the question before waits for."""
        if command in ANSWERS and self._alarms.next_at("ask") is not None:
            self._next()

    def clear(self) -> None:
        """The connection is gone: forget them."""
        self._waiting.clear()
        self._alarms.cancel("ask")

    def _next(self) -> None:
        if self._waiting:
            self._say(self._waiting.popleft())
            self._alarms.after(self._seconds, "ask", self._next)
        else:
            self._alarms.cancel("ask")
