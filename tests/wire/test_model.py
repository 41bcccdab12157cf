"""The link, the keeper and what a worker does at its end, against a model: lines, effects, deaths, in any order.

The keeper, the link, the reactor with its outboxes and its checkpoints are real. Played are the server (it writes down
what it is sent), the connections of the worker, and its handlers: each line has a script of effects, made again from
the beginning by the next worker. What is promised is numbered as in docs/architecture.md, «Exactly once».
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scripted import FakeClock

from bot.wire import keeper as keeping
from bot.wire import net as nets
from bot.wire.keeper import Keeper
from bot.wire.link import Frame, MemoryLink
from bot.wire.outbox import Outbox
from bot.wire.reactor import Reactor

NETS = ("a", "b")
FLOWS = ("#x", "#y", "bob")  # what is said to bob ends with its connection
WINDOW = 6  # small, so that it is soon used up
Effect = tuple[str, str, str, int]  # network, handler, flow, k


class Server:
    """A session as the keeper sees one: what is written to it is sent."""

    def __init__(self, name: str, sent: list[bytes]) -> None:
        self.name, self.dial, self.quit_by, self.paused_at, self.reason = name, None, None, None, ""
        self.write = sent.append

    def check(self, now: float) -> float:
        return float("inf")


class Played:
    """A connection of the worker, as the reactor sees one."""

    registered = False

    def __init__(self, model: Model, name: str, reactor: Reactor) -> None:
        self.model, self.name, self.reactor = model, name, reactor
        self.outbox = Outbox(reactor.send, reactor.window, name)

    def caught_up(self) -> None:
        pass

    def on_frame(self, frame: Frame) -> None:
        match frame.verb:
            case "room":
                self.outbox.room(frame.fields[1], int(frame.fields[2]))
            case "up":
                self.reactor.send(Frame("go", (self.name,)))
            case "down":
                self.outbox.drop(lambda frame, _: frame.fields[3] == "2")
            case "line":
                self.model.delivered(*frame.fields[1:])

    def say(self, cause: str, handler: str, flow: str, k: int) -> None:
        fields = (self.name, f"{cause}/{handler}", str(k), "2" if flow == "bob" else "1", flow)
        self.outbox.say(Frame("say", fields, f"{cause} {handler} {flow} {k}".encode()))


class Model(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.window = keeping.WINDOW, nets.WINDOW, nets.ROOM_STEP
        keeping.WINDOW, nets.WINDOW, nets.ROOM_STEP = WINDOW, WINDOW, 2
        self.loop = asyncio.new_event_loop()
        self.clock = FakeClock()
        self.sent: dict[str, list[bytes]] = {net: [] for net in NETS}
        self.scripts: dict[str, list[Effect]] = {}
        self.home: dict[str, str] = {}
        self.to_come: dict[str, deque[list[Effect]]] = defaultdict(deque)  # of lines without a number yet
        self.finished: set[str] = set()  # done was said by some worker
        self.skipped: set[str] = set()
        self.cut_off = {(net, "bob") for net in NETS}  # flows that lines were dropped from
        self.new: list[int] = []  # numbers that were handed over as new, in that order
        self.link: MemoryLink | None = None
        self.hand: dict[str, list[Effect]] = {}  # of the present worker: what is left of each script
        self.handed: list[int] = []
        self.begun = 0
        self.too_early: list[Any] = []
        self.wrongly_handed: list[str] = []

    # -- machinery

    def do(self, action: Callable[[], Any], turns: int = 0) -> Any:
        async def run() -> Any:
            result = action()
            for _ in range(turns):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(run())

    @initialize()
    def begin(self) -> None:
        def begin() -> None:
            self.keeper = Keeper(clock=self.clock)
            self.keeper.entries._remember = self.noted(self.keeper.entries._remember)  # type: ignore[method-assign]
            for verb in ("done", "seen"):
                self.keeper._reactions[verb] = self.after_all_it_said(self.keeper._reactions[verb])

        self.do(begin)
        self.attach()

    def noted(self, remember: Callable[..., None]) -> Callable[..., None]:
        """Learn which script belongs to the number that a line is given."""

        def noting(number: str, net: str, text: bytes, begun: bool) -> None:
            if not begun:
                self.scripts[number], self.home[number] = self.to_come[net].popleft(), net
            remember(number, net, text, begun)

        return noting

    def after_all_it_said(self, reaction: Callable[..., None]) -> Callable[..., None]:
        """Look whether a line had said all when it was done."""

        def checked(number: str, payload: bytes) -> None:
            entry = self.keeper.entries.get(number)
            if entry is not None and not entry.seen:
                for net, handler, flow, _ in self.scripts[number]:
                    wanted = self.wanted(number, net, handler, flow)
                    accepted = (entry.accepted or {}).get((net, handler, flow))
                    if (net, flow) not in self.cut_off and accepted != wanted[-1] + 1:
                        self.too_early.append((number, net, handler))  # the keeper survives what is raised here
            reaction(number, payload)

        return checked

    @property
    def worker(self) -> bool:
        return self.link is not None

    def delivered(self, number: str, flag: str) -> None:
        """The worker is handed a line: it answers at once with `echo`, and has the rest of the script to do."""
        if number.isdecimal():
            self.handed.append(int(number))
            if flag == "0":
                self.new.append(int(number))
            self.reactor.checkpoints.applied(number, "JOIN" if int(number) % 3 == 0 else "PRIVMSG")
        if flag == "2":
            return
        if (number in self.finished and number not in self.unsaid) or number in self.skipped:
            self.wrongly_handed.append(number)
        if number.isdecimal():
            self.connections[self.home[number]].say(number, "echo", "#x", 0)
        self.hand[number] = list(self.scripts[number])

    # -- what happens

    @precondition(lambda self: not self.worker)
    @rule()
    def attach(self) -> None:
        """Another worker comes."""

        def attach() -> None:
            self.link = MemoryLink()
            self.hand, self.handed = {}, []
            self.given = int(self.keeper._saved[0])
            self.keeper.attach(self.link.keeper)
            self.reactor = Reactor(self.link.worker, kept=True)
            # What the one before said and nobody read is unsaid.
            self.unsaid = {number for number in self.finished if number in self.keeper.entries}
            self.connections = {net: Played(self, net, self.reactor) for net in NETS}
            for connection in self.connections.values():
                self.reactor.attach(connection)  # type: ignore[arg-type]
            self.reactor.on_other = self.other
            self.reactor.listen()
            self.keeper._handing.reading = True  # as after `open`

        self.do(attach)

    def other(self, frame: Frame) -> None:
        if frame.verb == "line":
            self.delivered(*frame.fields[1:])

    @precondition(lambda self: self.worker)
    @rule(own_fault=st.booleans(), silent=st.booleans(), held=st.integers(0, 99))
    def die(self, own_fault: bool, silent: bool, held: int) -> None:
        """The worker ends, with frames on their way in both directions; now and then it is known by what."""

        def die() -> None:
            assert self.link is not None
            self.keeper.detach(self.link.keeper)
            self.link.keeper.close()
            self.link = None
            in_hand = self.keeper.entries.in_hand()
            known = in_hand[held % len(in_hand)] if silent and held % 2 and in_hand else None
            skipped = self.keeper.died(own_fault=own_fault, known=known)
            if skipped is not None:
                self.skipped.add(skipped[1])

        self.do(die)

    @rule(net=st.sampled_from(NETS))
    def up_or_down(self, net: str) -> None:
        def change() -> None:
            known = self.keeper._net(net)
            if known.session is None:
                self.keeper.connected(Server(net, self.sent[net]))  # type: ignore[arg-type]
            else:
                self.keeper.disconnected(known.session, "gone")

        self.do(change)

    @rule(net=st.sampled_from(NETS))
    def pause_or_resume(self, net: str) -> None:
        """The server stops reading, or reads again."""

        def change() -> None:
            session = self.keeper._net(net).session
            if session is not None:
                session.paused_at = None if session.paused_at is not None else 1.0
                self.keeper.writable(session)

        self.do(change)

    @rule(
        net=st.sampled_from(NETS),
        script=st.lists(
            st.tuples(st.sampled_from(NETS), st.sampled_from(("x", "y")), st.sampled_from(FLOWS)), max_size=6
        ),
        times=st.sampled_from((1, 1, 30)),
    )
    def arrive(self, net: str, script: list[tuple[str, str, str]], times: int) -> None:
        """The server says lines; the script is what their handlers will say, and where."""
        session = self.keeper._net(net).session
        if session is None:
            return
        for _ in range(times):
            self.to_come[net].append(_numbered(script))
            self.do(lambda: (self.keeper.arrived(session, b"line"), self.keeper.arrived_all()))

    @precondition(lambda self: self.worker)
    @rule(net=st.sampled_from(NETS), flow=st.sampled_from(FLOWS[1:]))
    def refuse(self, net: str, flow: str) -> None:
        """Somebody can't be spoken to: what waits for them is dropped, here and in the keeper."""

        def cut() -> None:
            self.cut_off.add((net, flow))
            self.connections[net].outbox.drop(lambda frame, _: frame.fields[4] == flow)
            self.reactor.send(Frame("cut", (net, flow)))

        self.do(cut)

    @precondition(lambda self: self.worker)
    @rule(script=st.lists(st.tuples(st.sampled_from(NETS), st.just("job"), st.sampled_from(FLOWS)), max_size=3))
    def begin_work(self, script: list[tuple[str, str, str]]) -> None:
        """The worker begins work that no line caused."""
        self.begun += 1
        name = f"t:job/{self.begun}"
        self.scripts[name] = _numbered(script)
        self.hand[name] = list(self.scripts[name])
        self.do(lambda: self.reactor.send(Frame("begin", ("-", name), b"")))

    @precondition(lambda self: self.worker and self.hand)
    @rule(data=st.data(), steps=st.integers(1, 8))
    def handle(self, data: st.DataObject, steps: int) -> None:
        """A handler goes on: it says something, or ends."""
        number = data.draw(st.sampled_from(sorted(self.hand)))
        self.do(lambda: self._handle(number, steps))

    def _handle(self, number: str, steps: int) -> None:
        for _ in range(steps):
            left = self.hand[number]
            if not left:
                del self.hand[number]
                self.finished.add(number)
                self.reactor.done(number)
                return
            net, handler, flow, k = left.pop(0)
            self.connections[net].say(number, handler, flow, k)

    @precondition(lambda self: self.worker)
    @rule()
    def save(self) -> None:
        self.do(self.reactor.checkpoints.save)

    @rule(turns=st.integers(1, 3))
    def turn(self, turns: int) -> None:
        """Some frames arrive."""
        self.do(lambda: None, turns)

    @rule()
    def time_passes(self) -> None:
        self.clock.advance(1.1)
        self.do(lambda: self._beat_and_tick(), 3)

    def _beat_and_tick(self) -> None:
        if self.link is not None:
            self.reactor.send(Frame("beat"))
        self.keeper.tick()

    # -- what is promised at any time

    @invariant()
    def effects_are_accepted_in_order_once(self) -> None:
        """(3), (4): of each network, cause, handler and flow the server is sent each k once, in order."""
        for net, lines in self.sent.items():
            expected: dict[tuple[str, str, str], list[int]] = defaultdict(list)
            for line in lines:
                cause, handler, flow, k = line.decode().split()
                expected[cause, handler, flow].append(int(k))
            for (cause, handler, flow), numbers in expected.items():
                wanted = [0] if handler == "echo" else self.wanted(cause, net, handler, flow)
                if (net, flow) in self.cut_off:  # with gaps
                    assert numbers == sorted(set(numbers) & set(wanted)), (net, cause, handler, flow)
                else:
                    assert numbers == wanted[: len(numbers)], (net, cause, handler, flow)

    def wanted(self, cause: str, net: str, handler: str, flow: str) -> list[int]:
        return [k for where, who, whom, k in self.scripts[cause] if (where, who, whom) == (net, handler, flow)]

    @invariant()
    def lines_are_handed_over_in_order(self) -> None:
        """(1) each is new once, in order; (5) those delivered before come first; none that was done comes again."""
        assert self.new == sorted(set(self.new))
        assert self.handed == sorted(set(self.handed))
        assert not self.wrongly_handed

    @invariant()
    def what_is_answered_at_once_keeps_its_order(self) -> None:
        for lines in self.sent.values():
            echoes = [int(line.split()[0]) for line in lines if line.split()[1] == b"echo"]
            assert echoes == sorted(echoes)

    @invariant()
    def nothing_is_forgotten(self) -> None:
        """(2): what is in the keeper no more was done, or was skipped."""
        for number in self.scripts:
            if number.isdecimal():
                assert number in self.keeper.entries or number in self.finished | self.skipped

    @invariant()
    def the_worker_has_what_it_needs_for_the_state(self) -> None:
        """What changed the state is in the checkpoint that it was given, or was handed to it, or will be."""
        if self.worker and self.link is not None:
            waiting = set(self.keeper.entries._waiting)
            for number, net in self.home.items():
                given = int(number) <= self.given or int(number) in self.handed or number in waiting
                on_its_way = self.keeper.entries.get(number) is not None
                gone = int(number) <= self.keeper._net(net).since or self.keeper._net(net).session is None
                assert int(number) % 3 or given or on_its_way or gone, number

    @invariant()
    def done_follows_all_that_its_line_has_said(self) -> None:
        """(8)"""
        assert not self.too_early

    @invariant()
    def queues_are_bounded(self) -> None:
        for net in self.keeper._nets.values():
            assert net.queue.paced <= WINDOW
        assert self.keeper.refused == 0

    # -- and in the end

    def teardown(self) -> None:
        """Everything is said once, in full; the credits are all there."""
        if hasattr(self, "keeper"):
            self.finish()
            self.effects_are_accepted_in_order_once()
            self.what_is_answered_at_once_keeps_its_order()
        keeping.WINDOW, nets.WINDOW, nets.ROOM_STEP = self.window
        self.loop.close()

    def finish(self) -> None:
        for net in NETS:
            session = self.keeper._net(net).session
            if session is None:
                self.up_or_down(net)
            elif session.paused_at is not None:
                self.pause_or_resume(net)
        if not self.worker:
            self.attach()
        for _ in range(200 + 3 * len(self.scripts)):
            self.do(lambda: None, 4)
            for number in list(self.hand):
                self.do(lambda number=number: self._handle(number, 10))
            self.time_passes() if self.keeper.blame.careful else None
            if not any(self.keeper.entries.unfinished.values()) and not self.keeper.queued:
                break
        self.do(self.reactor.checkpoints.save, 6)
        assert len(self.keeper.entries) == 0
        for number, script in self.scripts.items():
            if number in self.skipped or number not in self.finished:
                continue  # found guilty; or work that was begun, and its worker dead before anybody heard
            for net, handler, flow in {effect[:3] for effect in script}:
                said = [line for line in self.sent[net] if line.startswith(f"{number} {handler} {flow} ".encode())]
                # (8) done follows all that its line has said
                complete = len(said) == len(self.wanted(number, net, handler, flow))
                assert complete or (net, flow) in self.cut_off, (number, net, handler)
        for name, net in self.keeper._nets.items():  # (6)
            if name in self.connections:
                outbox = self.connections[name].outbox
                assert net.queue.paced + net.owed.total() + outbox.credit == WINDOW
                assert len(outbox) == 0 and outbox.under_way == net.owed + Counter(net.queue.flows)


def _numbered(script: list[tuple[str, str, str]]) -> list[Effect]:
    """Give the effects of each handler their k: counted over all networks, as a call counts."""
    counts: dict[str, int] = defaultdict(int)
    effects = []
    for net, handler, flow in script:
        effects.append((net, handler, flow, counts[handler]))
        counts[handler] += 1
    return effects


TestModel = Model.TestCase
TestModel.settings = settings(
    max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
