"""bot/wire/supervisor.py: when workers are started, ended and replaced, and what each is told.

The rules are tested with workers that are played (`staff.py`), to the second; what the system does with real processes
at the end of this file. The whole bot: tests/test_life.py and tests/test_poison.py."""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path
from time import monotonic_ns

import pytest
from staff import Actor, Staff, staged

from bot import atwork
from bot.wire import process
from bot.wire.deaths import ASKED_TO_END, BACKOFF_SECONDS, FAULTS_AT_ONCE, FAULTS_TO_SAFETY
from bot.wire.supervisor import NEWS

LIMITS = {"silence_seconds": 5, "hold_seconds": 600, "level": "info", "format": "text"}
SEGFAULT, KILLED = -signal.SIGSEGV, -signal.SIGKILL


async def ready(staff: Staff, number: int = 1, **limits: float) -> Actor:
    """The n-th worker, ready; it beats from now on."""
    worker = await staff.started(number)
    worker.says("limits", payload=json.dumps(LIMITS | limits).encode())
    worker.opens()
    worker.says("ready")
    worker.beats()
    await staff.settled()
    return worker


@pytest.fixture(autouse=True)
def logs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Those of this process stay as they are."""
    monkeypatch.setattr("bot.logs.setup", lambda *_: None)
    caplog.set_level(logging.DEBUG)


# --- the first worker


@staged
async def test_a_worker_is_given_its_settings_before_all_else(staff: Staff) -> None:
    worker = await staff.started(1)
    await staff.settled()
    assert (worker.command, worker.verbs) == (["bot", "--x"], ["config", "hello", "saved", "live"])
    assert worker.told("config") == ["settings"]


@pytest.mark.parametrize(("code", "why"), [(3, "ended with exit code 3"), (SEGFAULT, "was ended by signal 11")])
def test_a_first_worker_that_ends_before_it_speaks_ends_the_bot(
    code: int, why: str, staff: Staff, capsys: pytest.CaptureFixture[str]
) -> None:
    @staged
    async def test(staff: Staff) -> None:
        (await staff.started(1)).ends(code)
        assert await staff.code() == 1
        assert len(staff.workers) == 1

    test(staff)
    assert f"neverquit: the bot did not start: its worker {why}" in capsys.readouterr().err


@staged
async def test_a_first_worker_that_never_speaks_has_thirty_seconds(
    staff: Staff, capsys: pytest.CaptureFixture[str]
) -> None:
    worker = await staff.started(1)
    assert await staff.code() == 1
    assert staff.signals == [(30.0, worker.pid, signal.SIGKILL)]  # nobody would take SIGUSR1 yet
    assert "its worker was silent, as said above" in capsys.readouterr().err


@staged
async def test_a_first_worker_that_can_not_be_started_ends_the_bot(
    staff: Staff, capsys: pytest.CaptureFixture[str]
) -> None:
    staff.refuse = OSError("no more processes")
    assert await staff.code() == 1
    assert "neverquit: a worker can't be started: no more processes" in capsys.readouterr().err


@staged
async def test_a_first_worker_that_spoke_and_ends_is_replaced(staff: Staff) -> None:
    """It may have been a line that ended it."""
    first = await staff.started(1)
    first.says("limits", payload=json.dumps(LIMITS).encode())
    await staff.settled()
    first.ends(SEGFAULT)
    await ready(staff, 2)


@staged
async def test_a_later_one_that_can_not_be_started_is_tried_again(staff: Staff) -> None:
    first = await ready(staff)
    staff.refuse = OSError("no more processes")
    first.ends(KILLED)
    await staff.at(1 + 2 + 0.5)  # two waits of the back-off are over, the third is not
    staff.refuse = None
    assert (await staff.started(2)).began == 1 + 2 + 4


# --- its death


@staged
async def test_a_dead_worker_is_replaced_at_once_and_the_next_one_is_told_how_it_ended(staff: Staff) -> None:
    for number, code, words in (
        (1, SEGFAULT, "was ended by signal 11 (SIGSEGV)"),
        (2, 0, "ended with exit code 0"),
        (3, -50, "was ended by signal 50"),
    ):
        worker = await ready(staff, number)
        await staff.at(number * 10)
        worker.ends(code)
        following = await staff.started(number + 1)
        await staff.settled()
        assert following.began == number * 10
        assert following.told("news") == [f"the bot's worker {words} and was replaced"]
        assert following.verbs[:3] == ["config", "news", "hello"]


@staged
async def test_what_a_dead_worker_has_said_last_is_not_heard(staff: Staff) -> None:
    """What it was not heard to say is said again by the next one."""
    first = await ready(staff)
    first.says("config", payload=b"others")
    first.ends(KILLED)
    assert (await staff.started(2)).told("config") == ["settings"]


@staged
async def test_a_worker_is_given_the_settings_that_the_one_before_has_told(staff: Staff) -> None:
    first = await ready(staff)
    first.says("config", payload=b"others")
    await staff.settled()
    first.ends(KILLED)
    assert (await staff.started(2)).told("config") == ["others"]


@staged
async def test_news_are_told_until_a_worker_was_ready(staff: Staff) -> None:
    (await ready(staff)).ends(-9)
    second = await staff.started(2)
    second.says("beat")
    await staff.settled()
    second.ends(-1)
    third = await ready(staff, 3)
    assert [text.split()[7] for text in third.told("news")] == ["9", "1"]
    third.ends(-9)
    fourth = await staff.started(4)
    await staff.settled()
    assert [text.split()[7] for text in fourth.told("news")] == ["9"]


@staged
async def test_no_more_news_are_kept_than_anybody_reads(staff: Staff) -> None:
    for number in range(1, NEWS + 10):
        worker = await staff.started(number)
        worker.says("ready") if number == 1 else worker.says("done", str(number))  # killed, but each got somewhere
        await staff.settled()
        worker.ends(KILLED)
    last = await staff.started(NEWS + 10)
    await staff.settled()
    assert len(last.told("news")) == NEWS and last.began == 0


@staged
async def test_a_line_that_ends_workers_is_told_with_the_stacks_of_the_last(staff: Staff) -> None:
    for number in (1, 2):
        worker = await ready(staff, number)
        worker.says("begin", "-", "t:a.b/1", payload=b"t:a.b/1")
        await staff.settled()
        worker.writes(f"stack of worker {number}".encode())
        worker.ends(SEGFAULT)
    third = await staff.started(3)
    await staff.settled()
    assert third.verbs[:5] == ["config", "news", "stacks", "skipped", "hello"]
    assert [json.loads(text) for text in third.told("stacks")] == ["stack of worker 2"]
    skipped = third.heard[3]
    assert (skipped.fields, skipped.payload) == (("-", "t:a.b/1"), b"t:a.b/1")
    third.ends(KILLED)  # before it could make anything of that
    assert (await staff.started(4)).verbs[:6] == ["config", "news", "stacks", "skipped", "news", "hello"]
    assert staff.supervisor.deaths.recent == 0, "deaths by a line say nothing of the next worker"


@staged
async def test_the_time_of_a_suspect_begins_when_its_worker_is_ready(staff: Staff) -> None:
    """Until then it reads nothing, and its beats prove nothing."""
    first = await ready(staff)
    for name in ("t:a/1", "t:b/1"):
        first.says("begin", "-", name, payload=name.encode())
    await staff.settled()
    first.ends(SEGFAULT)
    second = await staff.started(2)
    second.opens()
    second.beats()
    await staff.at(7)
    assert second.told("line") == ["t:a/1"]
    second.says("ready")
    await staff.at(7.5)
    assert second.told("line") == ["t:a/1"]
    await staff.at(8.5)
    assert second.told("line") == ["t:a/1", "t:b/1"]


@staged
async def test_the_stacks_of_a_dead_worker_are_one_record_of_the_log(
    staff: Staff, caplog: pytest.LogCaptureFixture
) -> None:
    first = await ready(staff)
    first.writes(b"Thread 1:\n  File x\n")
    first.ends(SEGFAULT)
    await staff.started(2)
    (record,) = [record for record in caplog.records if record.stack_info]
    assert record.getMessage() == "where the worker 101 was when it ended"
    assert record.stack_info == "Thread 1:\n  File x"


@staged
async def test_what_a_worker_leaves_behind_is_ended_with_a_word_and_a_second_later_without(staff: Staff) -> None:
    first = await ready(staff)
    await staff.at(7)
    first.ends(SEGFAULT)
    await staff.at(20)
    assert staff.strays == [(7, first.pid, signal.SIGTERM), (8, first.pid, signal.SIGKILL)]


# --- its silence


@staged
async def test_a_silent_worker_writes_its_stacks_and_is_killed(staff: Staff, caplog: pytest.LogCaptureFixture) -> None:
    first = await ready(staff, silence_seconds=3)
    first.stacks = b"it hangs here"
    await staff.at(10)
    first.falls_silent()
    second = await staff.started(2)
    assert staff.signals == [(13.0, first.pid, signal.SIGUSR1), (13.5, first.pid, signal.SIGKILL)]
    assert second.began == 13.5
    assert second.told("news") == ["the bot's worker was silent and was replaced"]
    assert "the worker 101 has been silent for 3 s and is ended" in caplog.messages
    assert "it hangs here" in [record.stack_info for record in caplog.records]


@staged
async def test_a_silent_worker_that_ends_before_its_time_is_sent_nothing_more(
    staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its number may be somebody else's by then."""
    monkeypatch.setattr("bot.atwork.look_at", lambda *_: asyncio.sleep(0.2))
    for number, ends_at, sent in ((1, 5.1, []), (2, 10.5, [102])):  # while it is looked at, while it writes
        worker = await ready(staff, number)
        worker.falls_silent()
        await staff.at(ends_at)
        worker.ends(-signal.SIGUSR1)
        await staff.started(number + 1)
        assert [pid for _, pid, _ in staff.signals] == sent


@staged
async def test_whatever_a_worker_says_is_a_sign_of_life(staff: Staff) -> None:
    first = await ready(staff)
    first.falls_silent()
    for moment in range(4, 60, 4):
        await staff.at(moment)
        first.says("status", payload=b"busy")
    await staff.started(2)
    assert staff.signals[0] == (56 + 5, first.pid, signal.SIGUSR1)


@staged
async def test_no_silence_is_too_long_if_the_limit_is_zero(staff: Staff) -> None:
    first = await ready(staff, silence_seconds=0)
    first.falls_silent()
    await staff.at(4000)
    assert (staff.signals, len(staff.workers)) == ([], 1)


@staged
async def test_a_machine_that_slept_leaves_a_worker_as_much_time_as_ever(staff: Staff) -> None:
    """Its beats are in the socket, or it had no time to make any."""
    first = await ready(staff)
    first.falls_silent()
    await staff.at(4)
    staff.loop.held_up = 3600.0
    await staff.started(2)
    (moment, pid, number), _ = staff.signals
    assert (pid, number) == (first.pid, signal.SIGUSR1)
    assert 3600 + 4 + 5 <= moment <= 3600 + 4 + 5 + 1


@staged
async def test_a_worker_that_beats_survives_any_sleep(staff: Staff) -> None:
    await ready(staff)
    for moment in range(10, 100, 10):
        await staff.at(staff.loop.now + moment)
        staff.loop.held_up = moment * 3.0
    await staff.at(2000)
    assert (staff.signals, len(staff.workers)) == ([], 1)


@staged
async def test_one_that_somebody_stopped_is_replaced_and_nothing_is_blamed(
    staff: Staff, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1, 6):  # five in a row count, and still that is no hang of a line
        worker = await ready(staff, number)
        worker.says("begin", "-", "t:a.b/1", payload=b"t:a.b/1")
        worker.is_stopped(signal.SIGSTOP)
        worker.falls_silent()
        following = await staff.started(number + 1)
        await staff.settled()
        assert following.told("news") == ["the bot's worker was silent and was replaced"]
        assert "skipped" not in following.verbs
    assert staff.signals == [(moment, 100 + moment // 5, signal.SIGKILL) for moment in (5, 10, 15, 20, 25)], (
        "and no SIGUSR1"
    )
    assert "the worker 101 has been stopped by a signal for 5 s and is ended" in caplog.messages


@staged
async def test_a_line_that_is_seen_to_hold_a_silent_worker_is_skipped_at_its_first_death(staff: Staff) -> None:
    first = await ready(staff)
    for line in ("t:a.b/1", "t:c.d/1"):
        first.says("begin", "-", line, payload=line.encode())
    await staff.settled()
    now, long_ago = monotonic_ns(), monotonic_ns() - 10**10
    page = (atwork.name("t:c.d/1"), long_ago, first.pid, now, long_ago)
    os.pwrite(first.worker.stacks.fileno(), b"".join(word.to_bytes(8, sys.byteorder) for word in page), 0)
    first.falls_silent()
    second = await ready(staff, 2)
    assert [frame.fields for frame in second.heard if frame.verb == "skipped"] == [("-", "t:c.d/1")]
    assert second.told("line") == ["t:a.b/1"] and second.verbs[-1] == "live", "and no other is tried alone"


@staged
async def test_one_that_has_not_dealt_with_a_skipped_line_has_read_no_other(staff: Staff) -> None:
    """Whose fault it was may take it as long as the line took the one before."""
    for number in (1, 2):
        worker = await ready(staff, number)
        worker.says("begin", "-", "t:a.b/1", payload=b"t:a.b/1")
        await staff.settled()
        worker.ends(SEGFAULT)
    for number in (3, 4, 5):
        worker = await staff.started(number)
        worker.opens()
        worker.says("begin", "-", "t:c.d/1", payload=b"t:c.d/1")
        await staff.settled()
        assert worker.told("skipped") == ["t:a.b/1"]


@staged
async def test_one_that_was_stopped_and_goes_on_is_an_ordinary_one(staff: Staff) -> None:
    first = await ready(staff)
    first.is_stopped(signal.SIGSTOP)
    await staff.at(2)
    first.goes_on()
    first.falls_silent()
    await staff.started(2)
    assert staff.signals[0] == (7.0, first.pid, signal.SIGUSR1)


# --- when nothing works


@staged
async def test_after_many_faults_workers_wait_longer_and_come_in_safe_mode(staff: Staff) -> None:
    began = list[float]()
    for number in range(1, FAULTS_TO_SAFETY + 4):
        worker = await ready(staff, number)
        began.append(worker.began)
        assert worker.command == ["bot", "--x"] + ["--safe"] * (number > FAULTS_TO_SAFETY)
        worker.ends(SEGFAULT)
    waits = [later - sooner for sooner, later in itertools.pairwise(began)]
    assert waits == [0.0] * FAULTS_AT_ONCE + list(BACKOFF_SECONDS[: len(waits) - FAULTS_AT_ONCE])


@staged
async def test_workers_that_can_not_come_up_are_tried_later_and_later_but_keep_their_plugins(staff: Staff) -> None:
    """As when the bot's packages are being exchanged on disk."""
    (await ready(staff)).ends(KILLED)
    for number in range(2, FAULTS_TO_SAFETY + 4):
        (await staff.started(number)).ends(1)
    staff.refuse = OSError("no more processes")
    await staff.at(staff.loop.now + 500)
    assert staff.supervisor.deaths.count > 2 * FAULTS_TO_SAFETY
    staff.refuse = None
    last = await staff.started(FAULTS_TO_SAFETY + 4)
    assert "--safe" not in last.command


@staged
async def test_when_an_admin_takes_all_plugins_back_the_next_one_has_them_too(staff: Staff) -> None:
    for number in range(1, FAULTS_TO_SAFETY + 1):
        (await ready(staff, number)).ends(SEGFAULT)
    safe = await ready(staff, FAULTS_TO_SAFETY + 1)
    assert "--safe" in safe.command
    safe.says("sound")
    await staff.settled()
    safe.ends(SEGFAULT)
    following = await staff.started(FAULTS_TO_SAFETY + 2)
    assert "--safe" not in following.command and following.began == staff.loop.now


@staged
async def test_however_often_workers_are_killed_from_outside_the_next_one_comes_at_once(staff: Staff) -> None:
    for number in range(1, 30):
        worker = await ready(staff, number)
        worker.says("done", str(number))  # it got somewhere
        await staff.settled()
        worker.ends(KILLED)
    last = await staff.started(30)
    assert (last.began, last.command) == (0.0, ["bot", "--x"])


@staged
async def test_without_a_worker_that_is_ready_the_connections_are_held_so_long_and_no_longer(
    staff: Staff, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await ready(staff, hold_seconds=100)
    await staff.at(10)
    first.ends(SEGFAULT)
    second = await staff.started(2)
    second.beats()
    await staff.at(109)
    assert staff.signals == []
    assert await staff.code() == 1
    assert staff.signals[0] == (110.0, second.pid, signal.SIGKILL)
    assert "neverquit: no worker was ready for 100 s; the bot ends" in capsys.readouterr().err


@staged
async def test_the_time_to_hold_is_also_over_while_the_next_one_waits(staff: Staff) -> None:
    (await ready(staff, hold_seconds=6)).ends(SEGFAULT)
    number = 2
    while not staff.run.done():
        await staff.until(lambda: len(staff.workers) >= number or staff.run.done())  # noqa: B023
        if not staff.run.done():
            staff.workers[-1].says("beat")
            await staff.settled()
            staff.workers[-1].ends(SEGFAULT)
            number += 1
    assert (await staff.code(), staff.loop.now) == (1, 6.0)  # 0, 0, 0, 1, 3 and then 7 would be the next


@staged
async def test_the_first_worker_has_half_a_minute_at_least(staff: Staff) -> None:
    first = await staff.started(1)
    first.says("limits", payload=json.dumps(LIMITS | {"hold_seconds": 1}).encode())
    first.beats()
    assert await staff.code() == 1
    assert staff.signals[0] == (30.0, first.pid, signal.SIGKILL)


# --- the end


@staged
async def test_a_worker_that_says_so_ends_the_bot_with_its_exit_code(staff: Staff) -> None:
    first = await ready(staff)
    first.says("end", "69")
    await staff.settled()
    assert first.link.closed, "it waits for that, to be sure that it was heard"
    first.ends(0)
    assert await staff.code() == 69
    assert staff.systemd.states[-1] == "STOPPING=1"


@pytest.mark.parametrize("code", [-signal.SIGTERM, -signal.SIGINT, ASKED_TO_END])
def test_who_ends_the_worker_with_a_signal_that_asks_ends_the_bot(code: int, staff: Staff) -> None:
    @staged
    async def test(staff: Staff) -> None:
        (await ready(staff)).ends(code)
        assert (await staff.code(), len(staff.workers)) == (0, 1)

    test(staff)


@staged
async def test_a_worker_is_told_to_stop_and_killed_when_it_does_not(staff: Staff) -> None:
    first = await ready(staff)
    await staff.at(10)
    staff.supervisor.stop("bye")
    staff.supervisor.stop("once more")
    assert await staff.code() == 0
    assert first.told("stop") == ["bye"]
    assert staff.signals == [(14.0, first.pid, signal.SIGKILL)]
    assert staff.strays[-1][1:] == (None, signal.SIGKILL), "nobody stays behind"
    assert len(staff.workers) == 1 and staff.systemd.states.count("STOPPING=1") == 1


@staged
async def test_one_that_comes_while_the_end_is_asked_for_is_told_so(staff: Staff) -> None:
    staff.slow = 3.0
    await staff.at(1)
    staff.supervisor.stop("bye")
    worker = await staff.started(1)
    await worker.hears("stop")
    worker.ends(0)
    assert (await staff.code(), staff.loop.now) == (0, 3.0)


@staged
async def test_the_end_does_not_wait_for_a_next_worker(staff: Staff) -> None:
    for number in range(1, FAULTS_AT_ONCE + 2):
        (await ready(staff, number)).ends(SEGFAULT)
    await staff.at(0.5)
    staff.supervisor.stop("bye")
    assert (await staff.code(), staff.loop.now, len(staff.workers)) == (0, 0.5, FAULTS_AT_ONCE + 1)


@staged
async def test_nor_is_it_put_off_by_faults_before(staff: Staff) -> None:
    for number in range(1, FAULTS_AT_ONCE + 2):
        (await ready(staff, number)).ends(SEGFAULT)
    last = await ready(staff, FAULTS_AT_ONCE + 2)
    staff.supervisor.stop("bye")
    await last.hears("stop")
    last.ends(0)
    assert (await staff.code(), staff.loop.now) == (0, 1.0)


@staged
async def test_an_end_that_is_asked_for_is_no_giving_up(staff: Staff, capsys: pytest.CaptureFixture[str]) -> None:
    first = await staff.started(1)
    first.says("limits", payload=json.dumps(LIMITS | {"hold_seconds": 1}).encode())
    first.beats()
    await staff.at(29)
    staff.supervisor.stop("bye")
    assert await staff.code() == 0
    assert staff.signals == [(33.0, first.pid, signal.SIGKILL)] and capsys.readouterr().err == ""


# --- what a worker and the system are told


@staged
async def test_a_hang_up_goes_to_the_worker_unless_the_terminal_has_gone(staff: Staff) -> None:
    class Terminal(process.Terminal):
        gone = False

        def has_gone(self) -> bool:
            return self.gone

    first, terminal = await ready(staff), Terminal()
    staff.supervisor.hang_up(terminal)
    await staff.settled()
    assert first.verbs[-1] == "hangup" and staff.signals == []
    terminal.gone = True
    staff.supervisor.hang_up(terminal)
    await staff.settled()
    assert first.verbs[-1] == "stop"
    first.ends(0)
    assert await staff.code() == 0


@staged
async def test_a_hang_up_waits_for_a_worker_that_takes_it_up_and_no_worker_waits_after_it(staff: Staff) -> None:
    for number in range(1, FAULTS_AT_ONCE + 2):
        (await ready(staff, number)).ends(SEGFAULT)
    await staff.at(0.2)
    assert len(staff.workers) == FAULTS_AT_ONCE + 1, "the next one waits"
    staff.supervisor.hang_up(process.Terminal())
    asked = await staff.started(FAULTS_AT_ONCE + 2)
    await staff.settled()
    assert (asked.began, asked.verbs[0], asked.verbs.count("hangup")) == (0.2, "config", 1)
    asked.ends(SEGFAULT)  # before it could read anything again
    following = await staff.started(FAULTS_AT_ONCE + 3)
    assert following.began == 0.2 + 2, "one wait is cut short, not all"
    await following.hears("hangup")
    following.says("reloading")
    await staff.settled()
    following.ends(KILLED)
    last = await ready(staff, FAULTS_AT_ONCE + 4)
    assert "hangup" not in last.verbs


@staged
async def test_a_worker_that_asks_hears_how_the_keeper_is(staff: Staff) -> None:
    (await ready(staff)).ends(KILLED)
    second = await ready(staff, 2)
    await staff.at(25)
    second.says("vitals")
    await second.hears("vitals")
    (vitals,) = map(json.loads, second.told("vitals"))
    assert (vitals["up"], vitals["restarts"], vitals["safe"]) == (25.0, 1, False)
    assert {"networks", "queued", "held", "lost", "duplicates", "pid"} <= vitals.keys()


@staged
async def test_the_system_is_told_of_each_state_and_of_deaths(staff: Staff) -> None:
    first = await ready(staff)
    first.says("status", payload=b"1 of 1 networks")
    first.says("reloading")
    first.says("ready")
    await staff.settled()
    first.ends(KILLED)
    await ready(staff, 2)
    assert staff.systemd.states == [
        "READY=1",
        "STATUS=1 of 1 networks",
        "RELOADING=1",
        "READY=1",
        "STATUS=the worker was ended by signal 9 (SIGKILL); starting another",
        "READY=1",
    ]


@staged
async def test_the_watchdog_hears_from_a_keeper_whatever_its_workers_do(staff: Staff) -> None:
    staff.systemd.watchdog_seconds = 10.0
    await staff.started(1)
    await staff.at(29.0)
    assert staff.systemd.states == ["WATCHDOG=1"] * 3


@staged
async def test_the_log_follows_what_the_worker_says(staff: Staff, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = list[tuple[str, str]]()
    monkeypatch.setattr("bot.logs.setup", lambda level, form: seen.append((level, form)))
    await ready(staff, level="debug", format="json")
    assert seen == [("debug", "json")]


# --- real processes

WORKER = """
import faulthandler, json, os, signal, socket, subprocess, sys, time
link, stacks = socket.socket(fileno=int(sys.argv[-1])), int(sys.argv[-2])
link.sendall(b'limits :{"silence_seconds": 0.3, "hold_seconds": 60, "level": "info", "format": "text"}\\nready\\n')

def leave(code, **how):
    child = subprocess.Popen([sys.executable, "-SE", "-c", code + "; print(flush=True); " + how.pop("then")],
                             stdout=subprocess.PIPE, text=True, **how)
    child.stdout.readline()
    return child.pid

def stuck():
    time.sleep(600)

if not os.path.exists("facts"):
    wait = "import time; time.sleep(600)"
    told = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: (open('told', 'w'), sys.exit()))"
    nested = "import subprocess; child = subprocess.Popen(['sleep', '600'], start_new_session=True, "
    nested += "stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL); open('nested', 'w').write(str(child.pid))"
    facts = {
        "descriptors": len(os.listdir("/proc/self/fd")) - 1,  # one to read this
        "stdin": os.readlink("/proc/self/fd/0"),
        "leads": os.getsid(0) == os.getpid(),
        "polite": leave(told, then=wait),
        "rude": leave("import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)", then=wait),
        "elsewhere": leave("import os; os.setsid(); " + nested, then=wait),
    }
    with open("facts", "w") as file:
        json.dump(facts, file)
    faulthandler.register(signal.SIGUSR1, stacks, all_threads=True)
    stuck()
facts = json.load(open("facts"))
while any(os.path.exists(f"/proc/{facts[name]}") for name in ("polite", "rude")):
    link.sendall(b"beat\\n")
    time.sleep(0.02)
json.dump(os.path.exists(f"/proc/{facts['elsewhere']}"), open("still", "w"))
link.sendall(b"end 7\\n")
link.recv(1 << 16)
while link.recv(1 << 16):
    pass
"""


@pytest.mark.skipif(sys.platform != "linux", reason="who adopts orphans, /proc")
def test_a_process_that_hangs_is_replaced_and_its_children_are_ended_and_buried(tmp_path: Path) -> None:
    """One keeper, two workers: the first leaves three children, one of them in a session of its own, and hangs.

    A child that was there before the keeper, of the script that has started it, say, is none of its.
    """
    order, orders = os.pipe()
    command = [sys.executable, "-SE", "-c", WORKER]
    with os.fdopen(orders, "w") as file:
        json.dump({"command": command, "config": "", "log": {"level": "info", "format": "text"}}, file)
    code = "import subprocess, sys; quiet = subprocess.DEVNULL; "
    code += "before = subprocess.Popen(['sleep', '600'], stdout=quiet, stderr=quiet, start_new_session=True); "
    code += "open('before', 'w').write(str(before.pid)); "
    code += "from bot.wire.supervisor import main; sys.exit(main())"
    keeper = subprocess.run(
        [sys.executable, "-c", code, str(order)],
        pass_fds=[order],
        stdin=subprocess.PIPE,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    os.close(order)
    before = int((tmp_path / "before").read_text())
    assert Path(f"/proc/{before}/exe").exists()
    os.kill(before, signal.SIGKILL)
    assert keeper.returncode == 7, keeper.stderr
    assert "in stuck" in keeper.stderr and "was silent; starting another" in keeper.stderr
    facts = json.loads((tmp_path / "facts").read_text())
    assert (facts["descriptors"], facts["stdin"], facts["leads"]) == (5, os.devnull, True)
    assert (tmp_path / "told").exists(), "SIGTERM comes first"
    assert json.loads((tmp_path / "still").read_text()), "what has left the group is ended when the keeper ends"
    for pid in (facts["elsewhere"], int((tmp_path / "nested").read_text())):
        assert not Path(f"/proc/{pid}/exe").exists()


STALLED = """
import os, signal, socket, sys
link = socket.socket(fileno=int(sys.argv[-1]))
link.sendall(b'limits :{"silence_seconds": 0, "hold_seconds": 60, "level": "debug", "format": "text"}\\nready\\n')
if not os.path.exists("once"):
    open("once", "w").close()
    os.kill(os.getpid(), signal.SIGSEGV)
open("again", "w").close()
heard = link.recv(1 << 16)
os.kill(os.getppid(), signal.SIGTERM)
while b"stop" not in heard:
    heard += link.recv(1 << 16)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="how much a pipe holds")
def test_a_keeper_whose_log_nobody_reads_replaces_workers_and_ends(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    order = tmp_path / "order"
    log = {"level": "debug", "format": "text"}
    order.write_text(json.dumps({"command": [sys.executable, "-SE", "-c", STALLED], "config": "", "log": log}))
    code = "import sys; from bot.wire.supervisor import main; sys.exit(main())"
    with order.open("rb") as file:
        keeper = subprocess.run(
            [sys.executable, "-c", code, str(file.fileno())],
            pass_fds=[file.fileno()],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            stderr=writer,
            timeout=20,
            check=False,
        )
    os.close(writer), os.close(reader)
    assert (keeper.returncode, (tmp_path / "again").exists()) == (0, True)
