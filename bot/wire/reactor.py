"""The worker's end of the link: each frame to the connection of its network, each finished line back to the keeper.

Shared by the connections of all networks. What is about the bot as a whole goes to `on_other`. A network that the
keeper has and we don't is closed, and its lines are crossed off: nobody else would.

While a checkpoint is being made no frame is taken, so that it shows one moment; a frame waits for some milliseconds.
"""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from bot.protocol.sts import Policies
from bot.wire.checkpoint import Checkpoints
from bot.wire.library import LibraryReactor
from bot.wire.link import LINK_VERSION, NOWHERE, Frame, LinkEnd

if TYPE_CHECKING:
    from bot.wire.connection import Connection

log = logging.getLogger(__name__)


class Reactor(LibraryReactor):
    """See the module's head.

    Args:
        link: the worker's end; `listen` takes its `on_frame`.
        kept: whether the keeper will outlive this worker.
        policies: the hosts that are dialled with TLS only, kept over restarts.

    Attributes:
        window: credits of each network; 0 until the keeper has greeted us.
        live: everything that a worker before had left has come.
        backlog: numbers of the lines and runs that came before that.
    """

    def __init__(self, link: LinkEnd, *, kept: bool = False, policies: Policies | None = None) -> None:
        super().__init__()
        self.kept = kept
        self.policies = policies if policies is not None else Policies({})
        self.checkpoints = Checkpoints(self.send, self._snapshots, self._take_held, kept=kept)
        self.window = 0
        self.live = False
        self.backlog = set[str]()
        self.by_name: dict[str, Connection] = {}
        self.on_other: Callable[[Frame], None] | None = None  # frames about the bot, not about one network
        self.on_boot: Callable[[str], object] | None = None  # told which run of the keeper numbers the lines
        self.on_live: Callable[[], object] | None = None  # what a worker before has left has all come
        self.on_done: Callable[[str], object] | None = None  # told of each line that is crossed off
        self._link = link
        self._held: deque[Frame] = deque()
        self._marks: dict[str, Callable[[], object]] = {}
        self._numbers = itertools.count(1)

    def listen(self) -> None:
        """Take what the keeper says: once all networks that it may speak of are attached."""
        self._link.on_frame = self._frame

    def _snapshots(self) -> Iterator[tuple[str, str, Any]]:
        for name, connection in list(self.by_name.items()):
            if connection.registered:
                for section, value in connection.snapshot():
                    yield name, section, value

    def send(self, frame: Frame) -> None:
        self._link.send(frame)

    def attach(self, connection: Connection) -> None:
        """Let this connection have the frames of its network from now on, and the credits of the one before."""
        if (former := self.by_name.get(connection.name)) is not None:
            connection.outbox.credit, connection.outbox.under_way = former.outbox.credit, former.outbox.under_way
        self.by_name[connection.name] = connection
        self.connections[:] = self.by_name.values()

    def detach(self, connection: Connection) -> None:
        """Forget a connection that has ended for good, and all that waits to be sent on it."""
        if self.by_name.get(connection.name) is connection:
            del self.by_name[connection.name]
            self.connections[:] = self.by_name.values()
            self.send(Frame("drop", (connection.name,)))

    # -- what is finished

    def done(self, number: str) -> None:
        """Cross a line off: all its handlers have ended. What they said goes first, on whatever network."""
        for connection in self.by_name.values():
            if connection.outbox.holds(number):
                connection.outbox.then(number, lambda: self.done(number))
                return
        self.send(self.checkpoints.finished(number))
        if self.on_done is not None:
            self.on_done(number)

    def when_heard(self, action: Callable[[], object]) -> None:
        """Have this called when the keeper has read all that was sent so far."""
        number = str(next(self._numbers))
        self._marks[number] = action
        self.send(Frame("mark", (number,)))

    # -- frames

    def _frame(self, frame: Frame) -> None:
        self._held.append(frame)
        self._take_held()

    def _take_held(self) -> None:
        while self._held and not self.checkpoints.making:
            frame = self._held.popleft()
            try:
                self._take(frame)
            except Exception:
                # Left to itself, an exception here would cost a network its supervision.
                log.exception("a frame %r from the keeper failed", frame.verb)

    def _take(self, frame: Frame) -> None:
        if frame.verb == "line" and not self.live:
            self.backlog.add(frame.fields[1])
        match frame.verb:
            case "hello":
                self._greeted(*frame.fields)
            case "saved":
                self.checkpoints.given(frame.fields[0], frame.payload)
            case "live":
                self.live = True
                self.checkpoints.live()
                for one in self.by_name.values():
                    one.caught_up()
                if self.on_live is not None:
                    self.on_live()
                self.backlog.clear()
            case "marked":
                self._marks.pop(frame.fields[0], lambda: None)()
            case _ if frame.fields and (connection := self.by_name.get(frame.fields[0])) is not None:
                connection.on_frame(frame)
            case "line" if frame.fields[0] != NOWHERE:
                self.done(frame.fields[1])
            case "up":
                self.send(Frame("close", (frame.fields[0],), b"neverquit: no longer configured here"))
                self.send(Frame("drop", (frame.fields[0],)))
            case _ if self.on_other is not None:
                self.on_other(frame)

    def _greeted(self, version: str, boot: str, window: str) -> None:
        if int(version) > LINK_VERSION:
            log.warning("the keeper speaks version %s of the link, this worker only up to %d", version, LINK_VERSION)
        self.window = int(window)
        for connection in self.by_name.values():
            connection.outbox.room("-", self.window)
        if self.kept and self.on_boot is not None:
            self.on_boot(boot)  # last, as it may fail: without credits the bot would be mute
