"""The keeper: it holds the sockets, answers PING, and remembers every line until the worker has finished with it.

It dials when told, numbers each line that comes, and paces what is said. Of IRC it understands PING and nothing else;
it has no settings but those the worker sends, so that it can run for years while everything above it is replaced.
Parsing, registration, channels and the decision to dial again are the worker's (`connection`).

Exactly once, the keeper's half: a line is an entry until `done`; a worker that attaches gets all that is not crossed
off, before anything new; an effect is known by (cause, handler, k) and accepted once. PONG and the keep-alive pass
through no queue, no credit and no worker. Lines for the server wait here, with the socket, or each new worker would
bring a fresh burst; they are held while the network is down and leave after `go`.

`dial` makes a connection, `session` is one; with `link` and `protocol.sendqueue` these are all it imports beside the
standard library.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Any

from bot.protocol.sendqueue import SendQueue
from bot.wire.dial import CannotDial, dial
from bot.wire.link import LINK_VERSION, WINDOW, Frame, LinkEnd
from bot.wire.session import Session

log = logging.getLogger(__name__)

MAX_HELD_BYTES = 64 * 1024 * 1024  # lines that no worker has finished
ENTRY_BYTES = 400  # what an entry costs beside its text: object, key, slot and dict of effects
QUIT_SECONDS = 2.0  # for the server to close after QUIT
ROOM_STEP = WINDOW // 4  # credits go back in handfuls; `_owe` says why nobody waits in vain

_FORBIDDEN = re.compile(rb"[\r\n\0]")


class Entry:
    """A line, or work that a worker began under a name of its own, until it is done."""

    __slots__ = ("accepted", "delivered", "net", "seen", "text")

    def __init__(self, net: str, text: bytes, delivered: bool) -> None:
        self.net, self.text, self.delivered = net, text, delivered
        self.seen = False
        self.accepted: dict[str, int] = {}  # handler -> how many effects, so the next k


class Net:
    """One network: its queue, which outlives connections, and its connection or the attempt at one."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue = SendQueue(0, 0)
        self.unfinished = 0  # entries that are neither done nor seen
        self.owed = 0  # credits not yet given back
        self.released = False  # `go` was said: paced lines may leave
        self.session: Session | None = None
        self.dial: asyncio.Task[None] | None = None
        self.deadline = 0.0  # of the dial
        self.settings: dict[str, Any] = {}
        self.why = "not opened"  # why it is down


class Keeper:
    """All networks of one bot, and the link to its worker.

    Args:
        link_end: the keeper's end of the link to the first worker; `attach` takes the next one's.
        clock: seconds, never backwards. With a clock that is stepped by hand, call `tick` after each step.
    """

    def __init__(self, link_end: LinkEnd, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.lost = 0  # lines dropped because MAX_HELD_BYTES was reached
        self.duplicates = 0  # effects that had been accepted before
        self.refused = 0  # lines to send that held CR or NUL, or came without credit
        self._boot = secrets.token_hex(4)
        self._nets: dict[str, Net] = {}
        self._entries: dict[str, Entry] = {}  # in the order of arrival, which is the order of delivery
        self._number = 0
        self._held_bytes = 0
        self._saved: tuple[str, bytes] = ("0", b"")
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._reactions: dict[str, Callable[..., None]] = {
            "open": self._open, "go": self._go, "say": self._say, "begin": self._begin, "done": self._done,
            "seen": self._seen, "save": self._save, "close": self._close, "drop": self._drop,
            "beat": lambda _payload: None,
        }  # fmt: skip
        self._link: LinkEnd | None = None
        self.attach(link_end)

    # -- what the program and the test kit ask --

    @property
    def queued(self) -> int:
        """Lines that wait to be sent, over all networks."""
        return sum(len(net.queue) for net in self._nets.values())

    def idle(self, name: str) -> bool:
        """Whether no line of this network is unfinished and nothing waits to be sent to it."""
        net = self._nets.get(name)
        return net is None or (net.unfinished == 0 and len(net.queue) == 0)

    async def settled(self, name: str) -> None:
        """Wait until the network is `idle`: every line that came was finished, and every answer sent."""
        await self._until(lambda: self.idle(name))

    async def closed(self) -> None:
        """Wait until no connection is open and none is being made."""
        await self._until(lambda: not self._tasks and all(net.session is None for net in self._nets.values()))
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self._timer_at = None, float("inf")

    # -- the link --

    def attach(self, link: LinkEnd) -> None:
        """Serve this worker from now on: greet it, say how things stand, hand over what is not finished."""
        self._link = link
        link.on_frame = self._frame
        link.on_close = lambda: self._detach(link)
        self._send("hello", str(LINK_VERSION), self._boot, str(WINDOW))
        self._send("saved", self._saved[0], payload=self._saved[1])
        for net in self._nets.values():
            self._tell_state(net)
            # The credits that the last worker held are void; what it had said already still takes room.
            net.owed = 0
            if net.queue.paced:
                self._send("room", net.name, str(-net.queue.paced))
        for number, entry in self._entries.items():
            self._deliver(number, entry)
        self._send("live")

    def _detach(self, link: LinkEnd) -> None:
        if self._link is link:
            self._link = None

    def _send(self, verb: str, *fields: str, payload: bytes = b"") -> None:
        if self._link is not None:
            self._link.send(Frame(verb, fields, payload))

    def _frame(self, frame: Frame) -> None:
        try:
            self._reactions[frame.verb](*frame.fields, frame.payload)
        except Exception:
            log.exception("a frame %r from the worker failed", frame.verb)

    def _tell_state(self, net: Net) -> None:
        if net.session is not None:
            self._send("up", net.name)
        else:
            self._send("down", net.name, payload=_one_line(net.why))

    def _net(self, name: str) -> Net:
        net = self._nets.get(name)
        if net is None:
            net = self._nets[name] = Net(name)
        return net

    # -- entries --

    def arrived(self, session: Session, line: bytes) -> None:
        """Number a line from the server, remember it, and hand it over."""
        self._number += 1
        number = str(self._number)
        self._deliver(number, self._remember(number, self._net(session.name), line, delivered=False))

    def _remember(self, number: str, net: Net, text: bytes, delivered: bool) -> Entry:
        entry = self._entries[number] = Entry(net.name, text, delivered)
        net.unfinished += 1
        self._held_bytes += len(text) + ENTRY_BYTES
        while self._held_bytes > MAX_HELD_BYTES:
            self._forget(next(iter(self._entries)))
            self.lost += 1
            if self.lost.bit_count() == 1:  # told at 1, 2, 4, 8, ... lines
                log.error("the worker is too slow or gone: %d of the oldest lines dropped so far", self.lost)
        return entry

    def _deliver(self, number: str, entry: Entry) -> None:
        if self._link is not None:
            flag = "2" if entry.seen else "1" if entry.delivered else "0"
            entry.delivered = True
            self._send("line", entry.net, number, flag, payload=entry.text)

    def _forget(self, number: str) -> None:
        entry = self._entries.pop(number, None)
        if entry is not None:
            self._held_bytes -= len(entry.text) + ENTRY_BYTES
            if not entry.seen:
                self._net(entry.net).unfinished -= 1

    def _begin(self, name: str, number: str, text: bytes) -> None:
        # A worker that was given this entry by its predecessor begins it again: the same entry.
        if number not in self._entries:
            self._remember(number, self._net(name), text, delivered=True)

    def _done(self, number: str, _payload: bytes) -> None:
        self._forget(number)
        self._changed()

    def _seen(self, number: str, _payload: bytes) -> None:
        entry = self._entries.get(number)
        if entry is not None and not entry.seen:
            entry.seen = True
            entry.accepted.clear()
            self._net(entry.net).unfinished -= 1
            self._changed()

    def _save(self, number: str, blob: bytes) -> None:
        self._saved = (number, blob)
        upto = int(number)
        seen = [name for name, entry in self._entries.items() if entry.seen]
        for name in seen:
            if name.isdecimal() and int(name) <= upto:
                self._forget(name)

    # -- what is said --

    def _say(self, name: str, key: str, k: str, lane: str, line: bytes) -> None:
        net, paced = self._net(name), lane == "1"
        cause, _, handler = key.rpartition("/")
        entry = self._entries.get(cause)
        if entry is not None and not entry.seen:
            if int(k) < entry.accepted.get(handler, 0):
                self.duplicates += 1
                self._owe(net, paced)
                return
            entry.accepted[handler] = int(k) + 1
        if _FORBIDDEN.search(line) or (paced and net.queue.paced >= WINDOW):
            self.refused += 1
            log.error("refused a line for %s: it holds CR or NUL, or came without credit", name)
            self._owe(net, paced and net.queue.paced < WINDOW)
        elif paced or (net.session is not None and net.session.quit_by is None):
            # An urgent line is for the connection that was up when it was said; it waits for no other.
            net.queue.push(line, urgent=not paced)
            self._pump(net)

    def _owe(self, net: Net, paced: bool = True) -> None:
        # With fewer than ROOM_STEP owed, either the queue still holds lines, which will leave and be owed in turn, or
        # the worker holds all the others: it can't be stuck.
        net.owed += paced
        if net.owed >= ROOM_STEP:
            self._send("room", net.name, f"+{net.owed}")
            net.owed = 0

    def _go(self, name: str, _payload: bytes) -> None:
        net = self._net(name)
        if net.session is not None and net.session.quit_by is None:
            net.released = True
            self._pump(net)

    def _pump(self, net: Net) -> None:
        """Write whatever may leave now, and come back for the rest."""
        now, session, queue = self.clock(), net.session, net.queue
        while session is not None:
            paced = net.released and session.paused_at is None
            urgent = queue.urgent
            line = queue.pop(now, paced=paced)
            if line is None:
                due = queue.next_at(now) if paced else None
                if due is not None:
                    self.wake(due)
                break
            session.write(line)
            self._owe(net, not urgent)
        self._changed()

    # -- connections --

    def _open(self, name: str, payload: bytes) -> None:
        net = self._net(name)
        settings = json.loads(payload)
        net.queue.pace(settings["burst"], settings["per_second"])
        if net.session is None and net.dial is None:
            net.settings = settings
            net.deadline = self.clock() + settings["connect_seconds"]
            net.dial = asyncio.get_running_loop().create_task(self._dial(net), name=f"dial {name}")
            self._tasks.add(net.dial)
            net.dial.add_done_callback(self._dialled)
            self.wake(net.deadline)

    async def _dial(self, net: Net) -> None:
        wanted, task = net.settings, asyncio.current_task()
        try:
            await dial(wanted["host"], wanted["port"], wanted["tls"], lambda: Session(self, net.name, wanted, task))
            return
        except CannotDial as error:
            reason = str(error)
        except Exception as error:
            log.exception("dialling %s failed in a way that was not foreseen", net.name)
            reason = repr(error)
        if net.dial is task:  # else it was given up, and that was told
            self._down(net, reason)

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._changed()

    def connected(self, session: Session) -> None:
        """The session is up, its certificate approved, nothing sent yet."""
        net = self._net(session.name)
        if net.dial is not session.dial:
            session.end("given up meanwhile")
            return
        net.session, net.dial, net.released = session, None, False
        self._send("up", net.name)
        self.wake(session.check(self.clock()))

    def writable(self, session: Session) -> None:
        """The server reads again."""
        self._pump(self._net(session.name))

    def disconnected(self, session: Session, reason: str) -> None:
        """The socket is closed. The queue stays for the next connection."""
        net = self._net(session.name)
        if net.session is session or (net.session is None and net.dial is session.dial):
            self._down(net, reason)

    def _down(self, net: Net, reason: str) -> None:
        net.session, net.dial, net.why = None, None, reason
        # Nobody is in a channel any more: what was kept to rebuild that state is void.
        for number in [number for number, entry in self._entries.items() if entry.seen and entry.net == net.name]:
            self._forget(number)
        self._tell_state(net)
        self._changed()

    def _close(self, name: str, reason: bytes) -> None:
        net = self._net(name)
        if net.session is not None:
            net.released = False
            net.session.reason = reason.decode(errors="replace")
            net.session.quit_by = self.clock() + QUIT_SECONDS
            net.session.write(b"QUIT :" + reason.translate(None, b"\r\0"))
            self.wake(net.session.quit_by)
        else:
            if net.dial is not None:
                net.dial.cancel()
            self._down(net, reason.decode(errors="replace"))

    def _drop(self, name: str, _payload: bytes) -> None:
        net = self._net(name)
        net.queue.clear()
        net.owed = 0
        self._changed()

    # -- time --

    def wake(self, at: float) -> None:
        """Have `tick` called at this moment of the clock, if nothing calls it sooner."""
        if at < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = asyncio.get_running_loop().call_later(max(0.0, at - self.clock()), self.tick)

    def tick(self) -> None:
        """Do all that is due by the clock."""
        self._timer_at = float("inf")
        now = self.clock()
        for net in list(self._nets.values()):
            if net.session is not None:
                self.wake(net.session.check(now))
                self._pump(net)
            elif net.dial is not None and now >= net.deadline:
                net.dial.cancel()
                self._down(net, f"no connection within {net.settings['connect_seconds']:g} s")
            elif net.dial is not None:
                self.wake(net.deadline)

    def _changed(self) -> None:
        if self._waiters:
            for waiter in self._waiters[:]:
                if waiter[1].done() or waiter[0]():
                    self._waiters.remove(waiter)
                    if not waiter[1].done():
                        waiter[1].set_result(None)

    async def _until(self, true: Callable[[], bool]) -> None:
        if not true():
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append((true, future))
            await future


def _one_line(text: str) -> bytes:
    return " ".join(text.split()).encode(errors="replace")
