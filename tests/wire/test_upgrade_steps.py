"""bot/wire/upgrade.py: one worker takes the place of another, step by step, with workers that are played (`staff.py`).

The whole of it, with real bots and changed code: tests/test_upgrade.py."""

from __future__ import annotations

import json
import signal
from types import SimpleNamespace
from typing import Any, cast

import pytest
from staff import Actor, Staff, staged

from bot.wire.upgrade import GONE_SECONDS, LEAVE_SECONDS, PREPARE_SECONDS

SEGFAULT, KILLED = -signal.SIGSEGV, -signal.SIGKILL


async def ready(staff: Staff, number: int = 1) -> Actor:
    """The n-th worker, which serves."""
    worker = await staff.started(number)
    worker.says("limits", payload=b'{"silence_seconds": 0, "hold_seconds": 600, "level": "info", "format": "text"}')
    worker.opens()
    worker.says("ready")
    await staff.settled()
    return worker


async def asked(staff: Staff, **before: str) -> tuple[Actor, Actor]:
    """The worker that serves, which has asked for another, and that one."""
    first = await ready(staff)
    first.says("restart", payload=json.dumps(before).encode())
    return first, await staff.started(2)


async def both_ready(staff: Staff, **before: str) -> tuple[Actor, Actor]:
    """The same, when the other could take over."""
    first, second = await asked(staff, **before)
    second.says("ready")
    await first.hears("retire")
    return first, second


async def hands_over(staff: Staff, first: Actor) -> None:
    """The first leaves as it should."""
    first.says("hold")
    await first.hears("hold")
    first.says("hand", payload=b"what it leaves")
    await staff.settled()
    first.ends(0)
    await staff.settled()


def arrives(staff: Staff, text: str) -> None:
    """A line comes from the network."""
    keeper = staff.supervisor.keeper
    keeper.arrived(cast(Any, SimpleNamespace(name="net")), text.encode())
    keeper.arrived_all()


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this process stay as they are."""
    monkeypatch.setattr("bot.logs.setup", lambda *_: None)


# --- as it should go


@staged
async def test_a_successor_gets_ready_beside_the_worker_that_serves(staff: Staff) -> None:
    first, second = await asked(staff, state_dir="here")
    assert second.command == ["bot", "--x", "--standby"]
    arrives(staff, "a line")
    await staff.settled()
    assert [(frame.verb, json.loads(frame.payload)) for frame in second.heard] == [("standby", {"state_dir": "here"})]
    assert first.told("line") == ["a line"] and "retire" not in first.verbs
    second.says("ready")
    await first.hears("retire")
    assert second.verbs == ["standby"], "its turn has not come"


@staged
async def test_from_hold_on_lines_wait_for_the_successor_which_begins_with_what_was_handed_over(staff: Staff) -> None:
    first, second = await both_ready(staff)
    arrives(staff, "unfinished")
    arrives(staff, "finished")
    await staff.settled()
    first.says("done", "2")
    first.says("hold")
    await first.hears("hold")
    arrives(staff, "waits")
    await staff.settled()
    assert first.told("line") == ["unfinished", "finished"]
    first.says("hand", payload=b"what it leaves")
    await staff.settled()
    assert first.link.closed, "it waits for that, to be sure that it was heard"
    first.ends(0)
    await staff.settled()
    assert second.verbs == ["standby", "hand", "hello", "saved", "line", "line", "live"]
    assert second.told("hand") == ["what it leaves"]
    lines = [(frame.payload, frame.fields[2]) for frame in second.heard if frame.verb == "line"]
    assert lines == [(b"unfinished", "1"), (b"waits", "0")]
    assert staff.supervisor.deaths.count == 0, "that was no death"


@staged
async def test_once_the_successor_is_ready_those_after_it_are_ordinary_ones(staff: Staff) -> None:
    first, second = await both_ready(staff)
    await hands_over(staff, first)
    second.says("config", payload=b"its own")
    second.says("ready")
    await staff.settled()
    second.ends(KILLED)
    third = await staff.started(3)
    await staff.settled()
    assert third.command == ["bot", "--x"]
    assert third.verbs == ["config", "news", "hello", "saved", "live"] and third.told("config") == ["its own"]


@staged
async def test_faults_of_other_code_are_forgiven(staff: Staff) -> None:
    staff.supervisor.deaths.safe = True
    first, _ = await both_ready(staff)
    await hands_over(staff, first)
    assert not staff.supervisor.deaths.safe


@staged
async def test_another_interpreter_starts_the_workers_from_the_take_over_on(staff: Staff) -> None:
    staff.supervisor.upgrade.command = ["python", "-c", "ours", "neverquit-worker", "--x"]
    first, second = await both_ready(staff, python="/other/python")
    elsewhere = second.command
    assert (elsewhere[0], elsewhere[1], elsewhere[3:]) == (
        "/other/python",
        "-c",
        ["neverquit-worker", "--x", "--standby"],
    )
    assert "spec_from_file_location" not in elsewhere[2], "its own packages, not ours"
    assert staff.supervisor.upgrade.command[0] == "python"
    await hands_over(staff, first)
    second.ends(KILLED)
    assert (await staff.started(3)).command == elsewhere[:-1]


# --- a successor that fails: everything stays as it is


@pytest.mark.parametrize(
    ("deed", "why"),
    [
        (lambda second: second.says("unfit", payload=b"no good"), "no good"),
        (lambda second: second.ends(3), "it ended with exit code 3 while it started; the log says more"),
        (lambda second: second.ends(-9), "it was ended by signal 9 (SIGKILL) while it started; the log says more"),
    ],
    ids=["unfit", "an exit", "a signal"],
)
def test_one_that_does_not_get_ready_is_ended_and_the_other_told_why(deed: Any, why: str, staff: Staff) -> None:
    @staged
    async def test(staff: Staff) -> None:
        first, second = await asked(staff, python="/other/python")
        deed(second)
        await first.hears("stays")
        await staff.at(10)
        assert first.told("stays") == [why] and first.verbs.count("retire") == 0
        assert second.worker.ended.done() and len(staff.workers) == 2
        assert [group for _, group, _ in staff.strays] == [second.pid, second.pid], "and what it has started, too"
        first.ends(KILLED)
        assert (await staff.started(3)).command[0] == "bot", "by the command that worked"

    test(staff)


@staged
async def test_one_that_takes_too_long_is_killed(staff: Staff) -> None:
    first, second = await asked(staff)
    await staff.at(PREPARE_SECONDS + 1)
    assert staff.signals == [(PREPARE_SECONDS, second.pid, signal.SIGKILL)]
    assert first.told("stays") == ["it was not ready within 120 s"]


@staged
async def test_one_that_can_not_be_started(staff: Staff) -> None:
    first = await ready(staff)
    staff.refuse = FileNotFoundError(2, "No such file or directory")
    first.says("restart", payload=b"{}")
    await first.hears("stays")
    assert first.told("stays") == ["it can't be started: No such file or directory"]


@staged
async def test_a_request_that_can_not_be_read(staff: Staff) -> None:
    first = await ready(staff)
    first.says("restart", payload=b"nonsense")
    await first.hears("stays")
    assert first.told("stays")[0].startswith("preparing it failed: JSONDecodeError")


@staged
async def test_after_one_that_failed_another_may_be_asked_for(staff: Staff) -> None:
    first, second = await asked(staff)
    second.says("unfit", payload=b"not yet")
    await first.hears("stays")
    first.says("restart", payload=b"{}")
    third = await staff.started(3)
    third.says("ready")
    await first.hears("retire")


@staged
async def test_one_at_a_time_gets_ready(staff: Staff) -> None:
    first, second = await asked(staff)
    first.says("restart", payload=b"{}")
    await staff.settled()
    second.says("ready")
    await first.hears("retire")
    first.says("restart", payload=b"{}")
    await staff.at(1)
    assert len(staff.workers) == 2 and first.verbs.count("retire") == 1


@staged
async def test_one_that_ends_before_its_turn(staff: Staff) -> None:
    first, second = await both_ready(staff)
    second.ends(SEGFAULT)
    await first.hears("stays")
    assert first.told("stays") == ["it was ended by signal 11 (SIGSEGV) before it took over"]
    first.says("hold")  # it had not heard yet
    arrives(staff, "a line")
    await staff.settled()
    assert "hold" not in first.verbs and first.told("line") == ["a line"]


# --- deaths on the way


@staged
async def test_a_worker_that_ends_while_another_gets_ready_is_replaced_by_an_ordinary_one(staff: Staff) -> None:
    first, second = await asked(staff)
    staff.agony = 0.5
    first.ends(KILLED)
    third = await ready(staff, 3)
    await staff.at(1)
    assert second.worker.ended.done() and third.command == ["bot", "--x"] and third.verbs[0] == "config"
    await staff.at(2 * PREPARE_SECONDS)
    assert "stays" not in third.verbs and "retire" not in third.verbs


@staged
async def test_one_that_ends_before_it_has_handed_over_is_followed_by_the_successor_with_nothing(staff: Staff) -> None:
    first, second = await both_ready(staff)
    first.ends(KILLED)
    await second.hears("live")
    assert second.told("hand") == [""] and len(staff.workers) == 2
    assert second.told("news") == ["the bot's worker was ended by signal 9 (SIGKILL) and was replaced"]


@staged
async def test_one_that_does_not_leave_in_time_is_killed(staff: Staff) -> None:
    first, second = await both_ready(staff)
    first.says("hold")
    await staff.at(LEAVE_SECONDS + 0.5)
    assert staff.signals == [(LEAVE_SECONDS, first.pid, signal.SIGKILL)]
    await second.hears("live")


@staged
async def test_one_that_has_handed_over_and_does_not_end_is_killed(staff: Staff) -> None:
    first, second = await both_ready(staff)
    first.says("hold")
    await staff.at(10)
    first.says("hand", payload=b"x")
    await second.hears("live")
    assert staff.signals == [(10 + GONE_SECONDS, first.pid, signal.SIGKILL)]
    await ready(staff, 2)
    await staff.at(100)
    assert len(staff.signals) == 1, "nobody else is killed for that"


@staged
async def test_what_was_handed_over_is_given_once_more_and_then_no_more(staff: Staff) -> None:
    first, second = await both_ready(staff)
    await hands_over(staff, first)
    second.ends(SEGFAULT)
    third = await staff.started(3)
    await staff.settled()
    assert third.verbs[:2] == ["hand", "config"] and third.told("hand") == ["what it leaves"]
    third.ends(SEGFAULT)
    fourth = await staff.started(4)
    await staff.settled()
    assert fourth.verbs[0] == "config" and "hand" not in fourth.verbs


@pytest.mark.parametrize("is_ready", [False, True])
def test_the_end_of_the_bot_ends_a_successor(is_ready: bool, staff: Staff) -> None:
    @staged
    async def test(staff: Staff) -> None:
        first, second = await (both_ready if is_ready else asked)(staff)
        staff.supervisor.stop("bye")
        await first.hears("stop")
        first.ends(0)
        assert await staff.code() == 0
        assert second.worker.ended.done() and len(staff.workers) == 2

    test(staff)
