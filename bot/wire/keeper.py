"""The keeper: it holds the sockets, answers PING, and remembers every line until the worker has finished with it.

It dials when told, numbers each line that comes, and paces what is said. Of IRC it understands PING and nothing else;
it has no settings but those the worker sends, so that it can run for years while everything above it is replaced.
Parsing, registration, channels and the decision to dial again are the worker's (`connection`).

Exactly once, the keeper's half: a line is an entry until `done`; a worker that attaches gets all that is not crossed
off, before anything new; an effect is known by (cause, handler, k) and accepted once. PONG and the keep-alive pass
through no queue, no credit and no worker. Lines for the server wait here, with the socket, or each new worker would
bring a fresh burst; they are held while the network is down and leave after `go`.

`net` is one network with what waits for it, `dial` makes a connection, `session` is one; beside these and its other
parts it imports `link`, `protocol.sendqueue` and the standard library only.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Callable

from bot.wire.bare import bare, in_turn
from bot.wire.dial import CannotDial, dial
from bot.wire.entries import Entry
from bot.wire.handing import Handing
from bot.wire.link import LINK_VERSION, PLACE, WINDOW, Frame, LinkEnd, one_line
from bot.wire.net import Net
from bot.wire.session import Session

log = logging.getLogger(__name__)

QUIT_SECONDS = 2.0  # for the server to close after QUIT

_FORBIDDEN = re.compile(rb"[\r\n\0]")
_FORBIDDEN_TOGETHER = re.compile(rb"\0")


class Keeper:
    """All networks of one bot, and the link to its worker.

    Args:
        link_end: the keeper's end of the link to the first worker, if there is one; `attach` takes the next one's.
        clock: seconds, never backwards. With a clock that is stepped by hand, call `tick` after each step.
    """

    def __init__(self, link_end: LinkEnd | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.duplicates = 0  # effects that had been accepted before
        self.refused = 0  # lines to send that held CR or NUL, or came without credit
        self._boot = secrets.token_hex(4)
        self._nets: dict[str, Net] = {}
        self._handing = Handing(clock, self._hand, lambda: self.send("live"), self._slow, self.wake)
        self.entries, self.blame = self._handing.entries, self._handing.blame
        self.entries.on_lost = self._lost
        self.heard_at = clock()  # when the worker last sent anything
        self.finished = 0  # entries that were done
        self._saved: tuple[str, bytes] = ("0", b"")
        self.on_other: Callable[[Frame], None] | None = None  # frames that are about the worker, not about IRC
        self._waiters: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")
        self._reactions: dict[str, Callable[..., None]] = {
            "open": self._open, "free": self._free, "go": self._go, "say": self._say, "batch": self._batch,
            "cut": self._cut, "begin": self._begin, "done": self._done, "seen": self._seen, "save": self._save,
            "close": self._close, "drop": self._drop, "mark": self._mark, "beat": lambda _payload: None,
        }  # fmt: skip
        self._link: LinkEnd | None = None
        if link_end is not None:
            self.attach(link_end)

    # -- what the program and the test kit ask --

    @property
    def queued(self) -> int:
        """Lines that wait to be sent, over all networks."""
        return sum(len(net.queue) for net in self._nets.values())

    def uptimes(self) -> dict[str, float | None]:
        """By network, for how many seconds its connection is up; None where there is none."""
        now = self.clock()
        return {name: now - net.up_at if net.session is not None else None for name, net in self._nets.items()}

    def idle(self, name: str) -> bool:
        """Whether no line of this network is unfinished and nothing waits to be sent to it."""
        net = self._nets.get(name)
        return net is None or (self.entries.unfinished[name] == 0 and len(net.queue) == 0)

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
        self.heard_at = self.clock()
        link.on_frame = lambda frame: self._frame(link, frame)
        link.on_close = lambda: self.detach(link)
        link.on_room = self._handing.hand_over
        self.send("hello", str(LINK_VERSION), self._boot, str(WINDOW))
        self.send("saved", self._saved[0], payload=self._saved[1])
        for net in self._nets.values():
            if net.up:  # what is down is told when it is opened
                self._tell_state(net)
            # The credits that the last worker held are void; what it had said already still takes room.
            net.owed.clear()
            for flow, lines in net.queue.flows.items():
                self.send("room", net.name, flow, str(-lines))
        self._handing.begin(link)

    def detach(self, link: LinkEnd) -> None:
        """Serve this worker no more: what it still says is not heard."""
        if self._link is link:
            self._link = None
            self._handing.end()

    def hold(self) -> None:
        """Hand nothing more to the present worker; what it has in hand it may finish. The next one gets the rest."""
        self._handing.hold()

    def died(self, *, own_fault: bool, strikes: int = 2, known: str | None = None) -> tuple[str, str, bytes] | None:
        """The worker has ended; find out by what, and return (network, number, line) of what is skipped for it.

        Args:
            own_fault: no signal from outside ended it.
            strikes, known: see `Blame.died`.
        """
        skipped = self._handing.died(own_fault=own_fault, strikes=strikes, known=known)
        self.changed()
        return skipped

    def send(self, verb: str, *fields: str, payload: bytes = b"") -> None:
        if self._link is not None:
            self._link.send(Frame(verb, fields, payload))

    def _frame(self, link: LinkEnd, frame: Frame) -> None:
        if link is not self._link:
            return
        self.heard_at = self.clock()
        self.blame.heard(self.heard_at)
        try:
            reaction = self._reactions.get(frame.verb)
            if reaction is not None:
                reaction(*frame.fields, frame.payload)
            elif self.on_other is not None:
                self.on_other(frame)
        except Exception:
            log.exception("a frame %r from the worker failed", frame.verb)

    def _mark(self, number: str, _payload: bytes) -> None:
        self.send("marked", number)

    def _tell_state(self, net: Net) -> None:
        if net.up:
            place = json.dumps({key: net.settings.get(key) for key in PLACE}).encode()
            self.send("up", net.name, str(net.since), "0" if net.spoken else "1", payload=place)
        else:
            self.send("down", net.name, payload=one_line(net.why))

    def _net(self, name: str) -> Net:
        net = self._nets.get(name)
        if net is None:
            net = self._nets[name] = Net(name, self)
        return net

    # -- entries --

    def arrived(self, session: Session, line: bytes) -> None:
        """Keep a line from the server; it gets its number when a worker may have it."""
        self.entries.arrive(session.name, line)

    def arrived_all(self) -> None:
        """What the server sent in one piece has arrived: hand it over."""
        self._handing.hand_over()

    def _lost(self, name: str, number: str, matters: bool) -> None:
        self.blame.finished(number)
        if matters and (net := self._nets.get(name)) is not None:
            # Who took this connection over would be wrong about who is where: no checkpoint suits it any more.
            net.since = self.entries.last

    def _hand(self, name: str, number: str, flag: str, text: bytes) -> None:
        self.send("line", name, number, flag, payload=text)

    def _slow(self, name: str) -> bool:
        net = self._nets.get(name)
        return net is not None and net.queue.paced >= WINDOW // 4  # one flow alone takes half of it

    def _begin(self, name: str, number: str, text: bytes) -> None:
        # A worker that was given this entry by its predecessor begins it again: the same entry.
        if number not in self.entries:
            self.entries.add(number, name, text, begun=True)

    def _done(self, number: str, _payload: bytes) -> None:
        self.finished += 1
        entry = self.entries.get(number)
        self.entries.remove(number)
        self._finished(number, entry)

    def _seen(self, number: str, _payload: bytes) -> None:
        if self.entries.see(number):
            self._finished(number, self.entries.get(number))

    def _finished(self, number: str, entry: Entry | None) -> None:
        if entry is not None:
            self._handing.finished(number, entry.net)
        self.changed()

    def _save(self, number: str, blob: bytes) -> None:
        upto = int(number)  # what is no number is not kept: each worker to come would be given it
        self._saved = (number, blob)
        self.entries.saved(upto)

    # -- what is said --

    def _say(self, name: str, key: str, k: str, lane: str, flow: str, line: bytes) -> None:
        self._said(name, key, int(k), lane, flow, line, _FORBIDDEN)

    def _batch(self, name: str, key: str, k: str, lane: str, flow: str, lines: bytes) -> None:
        self._said(name, key, int(k), lane, flow, in_turn(lines), _FORBIDDEN_TOGETHER)

    def _said(
        self, name: str, key: str, k: int, lane: str, flow: str, line: bytes, forbidden: re.Pattern[bytes]
    ) -> None:
        net = self._net(name)
        cause, _, handler = key.rpartition("/")
        if not self.entries.is_new(name, cause, handler, k, flow):
            self.duplicates += 1
            net.not_taken(lane, flow)
        elif forbidden.search(line) or not net.has_room(lane):
            self.refused += 1
            log.error("refused a line for %s: it holds CR or NUL, or came without credit", name)
            if net.has_room(lane):
                net.not_taken(lane, flow)
        else:
            net.say(line, lane, flow)

    def _free(self, name: str, flow: str, _payload: bytes) -> None:
        net = self._net(name)
        if net.up:
            net.queue.free(flow)
            net.pump()

    def _go(self, name: str, _payload: bytes) -> None:
        net = self._net(name)
        if net.up:
            net.queue.go()
            net.pump()

    def _cut(self, name: str, flow: str, _payload: bytes) -> None:
        if lines := self._net(name).forget(lambda each, _: each == flow):
            log.info("%s: %d lines that waited for %s were dropped", name, lines, flow)

    # -- connections --

    def _open(self, name: str, payload: bytes) -> None:
        self._handing.reading = True
        net = self._net(name)
        net.given_up = False
        settings = json.loads(payload)
        net.queue.pace(settings["burst"], settings["per_second"])
        if net.idle:
            net.settings = settings
            net.deadline = self.clock() + settings["connect_seconds"]
            net.tell_where()
            net.dial = asyncio.get_running_loop().create_task(self._dial(net), name=f"dial {name}")
            self._tasks.add(net.dial)
            net.dial.add_done_callback(self._dialled)
            self.wake(net.deadline)
        elif net.up:
            self._tell_state(net)

    async def _dial(self, net: Net) -> None:
        wanted, task = net.settings, asyncio.current_task()
        try:
            await dial(
                wanted["host"],
                wanted["port"],
                wanted["tls"],
                lambda: Session(self, net.name, wanted, task),
                wanted.get("bind"),
                net.waits,
            )
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
        self.changed()

    def connected(self, session: Session) -> None:
        """The session is up, its certificate approved, nothing sent yet."""
        net = self._net(session.name)
        if net.dial is not session.dial:
            session.end("given up meanwhile")
            return
        self.entries.number_all(net.name)
        net.session, net.dial, net.spoken, net.since = session, None, False, self.entries.last
        net.up_at = self.clock()
        stale = net.up_at - net.settings.get("stale_seconds", float("inf"))
        if lines := net.forget(lambda _, waiting: waiting.at < stale):
            log.warning("%s: %d lines had waited for too long when the connection was back; not sent", net.name, lines)
        self._tell_state(net)
        self.wake(session.check(self.clock()))

    def writable(self, session: Session) -> None:
        """The server reads again."""
        self._net(session.name).pump()

    def disconnected(self, session: Session, reason: str) -> None:
        """The socket is closed. The queue stays for the next connection."""
        net = self._net(session.name)
        if net.session is session or (net.session is None and net.dial is session.dial):
            self._down(net, reason)

    def _down(self, net: Net, reason: str) -> None:
        net.session, net.dial, net.why = None, None, reason
        net.queue.hold()
        net.forget(lambda _, waiting: not waiting.lasting)
        net.queue.change(bare)
        # Nobody is in a channel any more: what was kept to rebuild that state is void.
        self.entries.void(net.name)
        self._tell_state(net)
        self._forget(net)
        self.changed()

    def _close(self, name: str, reason: bytes) -> None:
        net = self._net(name)
        if net.session is not None:
            net.queue.hold()
            net.session.reason = reason.decode(errors="replace")
            net.session.quit_by = self.clock() + QUIT_SECONDS
            net.session.write(b"QUIT :" + reason.translate(None, b"\r\0"))
            self.wake(net.session.quit_by)
        else:
            if net.dial is not None:
                net.dial.cancel()
            self._down(net, reason.decode(errors="replace"))

    def quit(self, reason: str) -> None:
        """Say QUIT everywhere and close, as `close` frames would."""
        for name, net in list(self._nets.items()):
            if net.session is None or net.session.quit_by is None:
                self._close(name, one_line(reason))

    def _drop(self, name: str, _payload: bytes) -> None:
        net = self._net(name)
        net.queue.clear()
        net.owed.clear()
        net.given_up = True
        self._forget(net)
        self.changed()

    def _forget(self, net: Net) -> None:
        """Know nothing more of a network that is given up, once it is down."""
        if net.given_up and net.idle:
            self._nets.pop(net.name, None)

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
                net.pump()
            elif net.dial is not None and now >= net.deadline:
                net.dial.cancel()
                self._down(net, f"no connection within {net.settings['connect_seconds']:g} s: {net.waits_for}")
            elif net.dial is not None:
                self.wake(net.deadline)
        self._handing.tick()

    def changed(self) -> None:
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
