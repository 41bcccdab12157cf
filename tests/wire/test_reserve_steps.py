"""bot/wire/reserve.py: when a worker in reserve is started, taken and ended, with workers that are played (`staff.py`).

With real processes: tests/test_reserve.py."""

from __future__ import annotations

import json
import signal

import pytest
from staff import Actor, Staff, staged

from bot.wire.deaths import FAULTS_TO_SAFETY
from bot.wire.reserve import QUIET_SECONDS

LIMITS = {"silence_seconds": 0, "hold_seconds": 600, "reserve": True, "level": "info", "format": "text"}
SEGFAULT, KILLED = -signal.SIGSEGV, -signal.SIGKILL


async def ready(staff: Staff, worker: Actor, **limits: object) -> None:
    worker.says("limits", payload=json.dumps(LIMITS | limits).encode())
    worker.says("ready")
    await staff.settled()


async def both(staff: Staff) -> tuple[Actor, Actor]:
    """One that serves, and one in reserve."""
    first = await staff.started(1)
    await ready(staff, first)
    return first, await staff.started(2)


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of this process stay as they are."""
    monkeypatch.setattr("bot.logs.setup", lambda *_: None)


@staged
async def test_one_is_started_when_a_worker_has_served_for_a_moment_and_waits(staff: Staff) -> None:
    first, second = await both(staff)
    assert (second.began, second.command) == (QUIET_SECONDS, ["bot", "--x"])
    first.says("ready")  # after a reload
    await staff.at(100)
    assert (second.verbs, second.told("reserve")) == (["reserve"], ["settings"])
    assert len(staff.workers) == 2, "never two"


@staged
async def test_there_is_none_where_none_is_wanted_and_it_goes_when_it_is_no_more(staff: Staff) -> None:
    first = await staff.started(1)
    await ready(staff, first, reserve=False)
    await staff.at(100)
    assert len(staff.workers) == 1
    await ready(staff, first)
    second = await staff.started(2)
    await ready(staff, first, reserve=False)
    await staff.at(200)
    assert staff.signals[0][1:] == (second.pid, signal.SIGKILL) and len(staff.workers) == 2


@staged
async def test_it_takes_the_place_of_one_that_ends_as_any_worker_would(staff: Staff) -> None:
    first, second = await both(staff)
    first.says("config", payload=b"others")
    await staff.at(10)
    first.ends(KILLED)
    await second.hears("live")
    assert second.verbs == ["reserve", "config", "news", "hello", "saved", "live"]
    assert second.told("config") == ["others"] and len(staff.workers) == 2
    await ready(staff, second)
    assert (await staff.started(3)).began == 10 + QUIET_SECONDS


@staged
async def test_one_that_ends_itself_is_no_death_of_the_bots(staff: Staff) -> None:
    first, second = await both(staff)
    second.ends(SEGFAULT)
    await staff.settled()
    assert staff.supervisor.deaths.count == 0 and "news" not in first.verbs
    first.ends(KILLED)
    third = await staff.started(3)
    assert third.verbs[0] == "config"


@staged
async def test_safe_mode_needs_another(staff: Staff) -> None:
    """The one that waits has been started without `--safe`."""
    first, second = await both(staff)
    for moment in range(FAULTS_TO_SAFETY):
        staff.supervisor.deaths.died(float(moment), own_fault=True)
    first.ends(SEGFAULT)
    third = await staff.started(3)
    assert (third.command, third.began) == (["bot", "--x", "--safe"], QUIET_SECONDS + 8)
    assert second.verbs == ["reserve"]
    assert staff.signals[0][1:] == (second.pid, signal.SIGKILL)


@staged
async def test_a_successor_ends_it(staff: Staff) -> None:
    """It may be of other code than the one that waits."""
    first, second = await both(staff)
    first.says("restart", payload=b"{}")
    third = await staff.started(3)
    third.says("ready")
    await first.hears("retire")
    assert staff.signals == []
    first.ends(KILLED)
    await third.hears("live")
    assert staff.signals == [(staff.loop.now, second.pid, signal.SIGKILL)]


@staged
async def test_the_end_of_the_bot_ends_it(staff: Staff) -> None:
    first, second = await both(staff)
    staff.supervisor.stop("bye")
    await first.hears("stop")
    first.ends(0)
    assert await staff.code() == 0
    assert second.pid in [pid for _, pid, _ in staff.signals]
