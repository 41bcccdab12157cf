"""Lines that have come and have no number yet, by network, and whose turn it is.

A part of the keeper (standard library only, no clock, no sockets). A line gets its number when a worker may have it
(`entries`), and the networks take turns: a flood on one of them is a queue of its own, which no other stands in. Here a
line costs little more than its text, so that a flood is held in full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

LINE_BYTES = 60  # what a line costs here beside its text: an object and a slot


class Arrivals:
    """See the module's head.

    Attributes:
        held_bytes: what all of them cost.
    """

    def __init__(self) -> None:
        self.held_bytes = 0
        self._lines: dict[str, deque[bytes]] = {}
        self._turns: deque[str] = deque()  # the networks that have lines, the next one first

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __bool__(self) -> bool:
        return bool(self._turns)

    def add(self, net: str, text: bytes) -> None:
        """Keep a line."""
        lines = self._lines.get(net)
        if lines is None:
            lines = self._lines[net] = deque()
            self._turns.append(net)
        lines.append(text)
        self.held_bytes += len(text) + LINE_BYTES

    def next(self, ready: Callable[[str], bool]) -> tuple[str, bytes] | None:
        """Take the first line of the first network that is ready; then the others have their turn."""
        for _ in range(len(self._turns)):
            net = self._turns[0]
            if ready(net):
                text = self.take(net)
                if net in self._lines:
                    self._turns.rotate(-1)
                return net, text
            self._turns.rotate(-1)
        return None

    def take(self, net: str) -> bytes:
        """Take the first line of a network that has one."""
        lines = self._lines[net]
        text = lines.popleft()
        self.held_bytes -= len(text) + LINE_BYTES
        if not lines:
            del self._lines[net]
            self._turns.remove(net)
        return text

    def of(self, net: str) -> int:
        """How many lines a network has here."""
        return len(self._lines.get(net, ()))

    def longest(self) -> str:
        """The network that has the most lines; there are some."""
        return max(self._lines, key=self.of)
