"""The sign that a command is being worked on: `+typing=active` while it takes long, `done` if it ends without a word.

Shown from the second second on, and again every four, since clients show one sign for six; never closer than three
seconds to another sign at the same place, as the page has it. What is said there ends the sign by itself, so `done` is
for calls that end in silence. Only commands show it: a person has asked and waits. Whether the network takes such tags,
and whether there is room for a line that matters so little, is decided by who sends it; a sign that is not sent is
never made up for.

Follows https://ircv3.net/specs/client-tags/typing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from bot.dispatch.scheduler import Clock, Timer

AFTER_SECONDS = 1.0
EVERY_SECONDS = 4.0
LEAST_SECONDS = 3.0

Place = tuple[str, str]  # network and target

#: Sends one sign, `active` or `done`, to a target on a network; tells whether it left.
Send = Callable[[str, str, str], bool]


class Typist:
    """The signs of one bot; on the loop's thread.

    Args:
        clock: tells the time and wakes.
    """

    def __init__(self, clock: Clock, send: Send) -> None:
        self._clock, self._send = clock, send
        self._places: dict[Place, _Sign] = {}

    @contextmanager
    def working(self, place: Place) -> Iterator[None]:
        """While this is entered, somebody at this place waits for an answer."""
        sign = self._places.get(place)
        if sign is None:
            sign = self._places[place] = _Sign(self, place)
        sign.begin()
        try:
            yield
        finally:
            sign.end()

    def said(self, network: str, target: str) -> None:
        """Something is said there: clients take the sign down by themselves."""
        sign = self._places.get((network, target))
        if sign is not None:
            sign.shown = False

    # -- for the signs

    def now(self) -> float:
        return self._clock.monotonic()

    def at(self, moment: float, action: Callable[[], None]) -> Timer:
        return self._clock.call_at(moment, action)

    def send(self, place: Place, state: str) -> bool:
        return self._send(*place, state)

    def forget(self, place: Place) -> None:
        del self._places[place]


class _Sign:
    """The sign at one place; it lives while a call goes on there, and for three seconds after its last change.

    Attributes:
        shown: clients that can show it do.
    """

    __slots__ = ("_calls", "_last", "_place", "_timer", "_typist", "shown")

    def __init__(self, typist: Typist, place: Place) -> None:
        self._typist, self._place = typist, place
        self._calls = 0
        self._last = float("-inf")  # when one was sent
        self._timer: Timer | None = None
        self.shown = False

    def begin(self) -> None:
        self._calls += 1
        if self._calls == 1:
            self._wake(max(self._typist.now() + AFTER_SECONDS, self._last + LEAST_SECONDS), self._active)

    def end(self) -> None:
        self._calls -= 1
        if not self._calls:
            # Not at once: the last line of the call may be said only now that it has ended.
            self._wake(max(self._typist.now(), self._last + LEAST_SECONDS), self._over)

    def _active(self) -> None:
        now = self._typist.now()
        if self._typist.send(self._place, "active"):
            self._last, self.shown = now, True
        self._wake(now + EVERY_SECONDS, self._active)

    def _over(self) -> None:
        if self.shown:
            self.shown = False
            if self._typist.send(self._place, "done"):
                self._last = self._typist.now()
                self._wake(self._last + LEAST_SECONDS, self._over)
                return
        self._typist.forget(self._place)

    def _wake(self, moment: float, action: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._typist.at(moment, action)
