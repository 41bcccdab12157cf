"""Checkpoints: what is in one, what it costs the loop, and what a line is told as when it is finished."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from scripted import turns, until

from bot.protocol.people import Member
from bot.protocol.roster import Applied
from bot.wire import checkpoint
from bot.wire.checkpoint import Checkpoints
from bot.wire.link import Frame, MemoryLink
from bot.wire.reactor import Reactor


class Bench:
    def __init__(self, parts: int = 1, *, kept: bool = True) -> None:
        self.sent, self.made, self.parts = list[Frame](), 0, parts
        self.checkpoints = Checkpoints(self.sent.append, self.collect, self.note, kept=kept)

    def collect(self) -> Iterator[tuple[str, str, Any]]:
        for number in range(self.parts):
            yield "n", "head", {"since": 0, "number": number}

    def note(self) -> None:
        self.made += 1


@pytest.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part takes all of a step's time."""
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=itertools.count().__next__))


async def test_a_small_one_is_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "time", SimpleNamespace(monotonic=lambda: 0.0))  # however busy the machine is
    bench = Bench()
    bench.checkpoints.applied("7", "JOIN")
    bench.checkpoints.save()
    assert [frame.fields for frame in bench.sent] == [("7",)] and not bench.checkpoints.making


async def test_a_large_one_is_made_in_steps_with_turns_of_the_loop_between(slow: None) -> None:
    bench = Bench(5)
    bench.checkpoints.save()
    assert bench.checkpoints.making and bench.sent == []
    await turns(3)
    assert bench.checkpoints.making, "a step a turn"
    await until(lambda: not bench.checkpoints.making)
    assert bench.made == 1
    parts = json.loads(bench.sent[0].payload)
    assert [part["number"] for _, section, part in parts if section == "head"] == list(range(5))


async def test_who_leaves_makes_it_at_once_also_if_it_is_half_made(slow: None) -> None:
    bench = Bench(5)
    bench.checkpoints.save(at_once=True)
    assert len(bench.sent) == 1 and bench.made == 0
    bench.checkpoints.save()
    bench.checkpoints.save(at_once=True)
    assert len(bench.sent) == 2 and bench.made == 1
    await turns()
    assert len(bench.sent) == 2 and bench.made == 1


async def test_who_leaves_tells_how_things_stand_now_not_when_the_half_made_one_was_begun(slow: None) -> None:
    bench = Bench(2)
    bench.checkpoints.save()
    bench.parts = 1
    bench.checkpoints.save(at_once=True)
    parts = json.loads(bench.sent[0].payload)
    assert [part["number"] for _, section, part in parts if section == "head"] == [0]


async def test_while_one_is_made_frames_wait_and_keep_their_order(slow: None) -> None:
    link = MemoryLink()
    reactor = Reactor(link.worker, kept=True)
    reactor.by_name["n"] = Named(reactor)  # type: ignore[assignment]
    heard = list[str]()
    reactor.on_other = lambda frame: heard.append(frame.payload.decode())
    reactor.listen()
    reactor.checkpoints.save()
    for number in range(3):
        link.keeper.send(Frame("news", (), str(number).encode()))
    await asyncio.sleep(0)
    assert reactor.checkpoints.making and heard == []
    await until(lambda: not reactor.checkpoints.making)
    assert heard == ["0", "1", "2"]


class Named:
    """A registered connection with a large snapshot."""

    registered, name = True, "n"

    def __init__(self, reactor: Reactor) -> None:
        self.reactor = reactor

    def snapshot(self) -> Iterator[tuple[str, Any]]:
        for number in range(20):
            yield "users", [number]


async def test_one_that_fails_leaves_the_one_before(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()
    bench.parts = object()  # type: ignore[assignment]
    bench.checkpoints.save()
    assert bench.sent == [] and not bench.checkpoints.making and "could not be written down" in caplog.text


async def test_a_line_that_changed_the_state_is_seen_until_one_covers_it() -> None:
    checkpoints = Bench().checkpoints
    for number, command in (("1", "JOIN"), ("2", "PRIVMSG"), ("3", "PART"), ("4", "QUIT")):
        checkpoints.applied(number, command)
    assert checkpoints.finished("1").verb == "seen" and checkpoints.finished("2").verb == "done"
    checkpoints.save(at_once=True)
    assert checkpoints.finished("3").verb == "done", "it is in the checkpoint"
    checkpoints.applied("5", "JOIN")
    assert checkpoints.finished("5").verb == "seen"


async def test_lines_in_hand_are_in_it_until_they_are_finished() -> None:
    bench = Bench()
    author = Member("bob", "b", "home", "alice")
    for number in ("7", "8"):
        bench.checkpoints.applied(number, "PRIVMSG")
        bench.checkpoints.in_hand(number, Applied(("#a",), author), "alice")
    bench.checkpoints.finished("7")
    bench.checkpoints.save(at_once=True)
    after = Bench().checkpoints
    after.given(bench.sent[-1].fields[0], bench.sent[-1].payload)
    then = after.then("8")
    assert then is not None and (then.account, then.channels, then.past) == ("alice", ("#a",), True)
    assert after.then("7") is None and after.covers(8) and not after.covers(9)


async def test_what_is_still_to_come_is_carried_on_to_the_next_one() -> None:
    """The keeper may hand lines over one at a time, and the worker end before the last."""
    first, second, third = Bench(), Bench(), Bench()
    first.checkpoints.applied("7", "PRIVMSG")
    first.checkpoints.in_hand("7", Applied(), "alice")
    first.checkpoints.save(at_once=True)
    second.checkpoints.given("7", first.sent[-1].payload)
    second.checkpoints.save(at_once=True)
    third.checkpoints.given("7", second.sent[-1].payload)
    then = third.checkpoints.then("7")
    assert then is not None and then.account == "alice"
    third.checkpoints.live()
    assert third.checkpoints.then("7") is None


async def test_where_no_worker_follows_nothing_is_kept() -> None:
    bench = Bench(kept=False)
    bench.checkpoints.applied("1", "JOIN")
    bench.checkpoints.save()
    assert bench.sent == [] and bench.checkpoints.finished("1").verb == "done"


async def test_they_are_so_rare_that_making_them_is_not_felt(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = list[float]()
    loop = asyncio.get_running_loop()
    bench = Bench()
    bench.checkpoints.save()
    monkeypatch.setattr(bench.checkpoints, "_not_before", checkpoint.time.monotonic() + 30)
    monkeypatch.setattr(loop, "call_later", lambda seconds, _: waits.append(seconds))
    bench.checkpoints.soon()
    assert 29 < waits[0] <= 30
