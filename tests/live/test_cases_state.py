"""Cases 54 to 63 of the reload catalogue: state, calls in flight, tasks, jobs."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from stage import Stage


async def test_54_a_kept_counter_goes_on(stage: Stage) -> None:
    """That it goes on without a hole, and nothing is counted twice, is checked in every case."""
    await stage.crowd.spare("!count")
    while not (await stage.ask("!count"))[0].endswith(" 7"):
        pass
    await stage.edit("count.py", 'f"count {calls', 'f"count {1 * calls')
    await stage.report(r"count g1 -> g2 .*: ~count, state kept, \d+ ms")
    assert await stage.ask("!count") == ["count 8"]


async def in_flight(stage: Stage, name: str) -> None:
    """Wait until a call of a plugin runs."""
    while not (await stage.order(f"!version {name}")).endswith(" 1 in flight"):
        pass


async def test_59_a_call_in_flight_ends_on_its_own_version(stage: Stage) -> None:
    await stage.crowd.spare("!slow 0")
    assert await stage.ask("!slow 2") == []
    await in_flight(stage, "slow")
    await stage.edit("slow.py", "slow 1", "slow 2")
    await stage.report(r"slow g1 -> g2 .*: ~slow, \d+ ms")
    assert await stage.ask("!slow 0") == ["slow 2 done"]
    assert await stage.talk.next() == "slow 1 done"
    assert await stage.ask("!slow 0") == ["slow 2 done"]


async def test_59_a_call_in_flight_keeps_the_tasks_that_it_waits_for(stage: Stage) -> None:
    """`wait_for` and `gather` make tasks: they belong to the call, and don't end with the commit."""
    await stage.crowd.spare("!slow 0")
    await stage.edit("slow.py", "await asyncio.sleep(seconds)", "await asyncio.wait_for(asyncio.sleep(seconds), 60)")
    await stage.report(r"slow g1 -> g2 .*")
    await stage.ask("!slow 0.5")
    await in_flight(stage, "slow")
    await stage.edit("slow.py", "slow 1", "slow 2")
    await stage.report(r"slow g2 -> g3 .*")
    assert await stage.talk.next() == "slow 1 done"


async def test_59_an_error_of_an_old_version_is_logged_with_its_own_lines(stage: Stage) -> None:
    """The lines that ran, not those which stand in the file now (I8)."""
    slow = stage.read("oops.py").replace("    raise", "    await asyncio.sleep(0.5)\n    raise")
    await stage.write("oops.py", f"import asyncio\n\n{slow}")
    await stage.report(r"oops g1 -> g2 .*")
    assert await stage.ask("!oops") == []
    await in_flight(stage, "oops")
    newer = stage.read("oops.py").replace("oops 1", "oops 2").replace("0.5", "0")
    await stage.write("oops.py", f"# one line more\n{newer}")
    await stage.report(r"oops g2 -> g3 .*")
    assert re.fullmatch(r"oops failed \(error \w+\)", await stage.talk.next())
    record = await stage.trace('raise RuntimeError("oops 1")')
    assert re.search(r"oops\.py@\w{7}\", line 12,", record)
    await stage.write("oops.py", stage.read("oops.py").replace("    await asyncio.sleep(0)\n", ""))
    await stage.report(r"oops g3 -> g4 .*")


async def test_61_a_job_that_is_edited_keeps_its_due_time(stage: Stage) -> None:
    """The edit falls halfway between two ticks: a job that began anew would be half a second early or late."""
    text = stage.edited("job.py", "tick 1", "tick 2")
    await stage.ticks.next()
    await stage.do(("wait", 500), ("write", "plugins/job.py", text))
    await stage.report(r"job g1 -> g2 .*")
    before = len(stage.ticks.lines)
    while stage.ticks.lines.count("tick 2") < 2:
        await stage.ticks.next()
    assert stage.ticks.lines == ["tick 1"] * before + ["tick 2"] * 2
    gaps = [after - before for before, after in pairwise(stage.ticks.times)]
    assert all(0.7 < gap < 1.3 for gap in gaps), gaps


@pytest.mark.parametrize("stage", [{"before": "62_jobs"}], indirect=True, ids=["jobs"])
async def test_62_a_job_that_is_removed_runs_no_more(stage: Stage) -> None:
    while await stage.ticks.next() != "tick 1":
        pass
    await stage.edit("job.py", "@every(1)\n", "")
    await stage.report(r"job g1 -> g2 .*")
    stage.ticks.rest()
    assert [await stage.ticks.next() for _ in range(3)] == ["tock"] * 3


@pytest.mark.parametrize("stage", [{"before": "63_task"}], indirect=True, ids=["task"])
async def test_63_a_background_task_is_there_once(stage: Stage) -> None:
    for generation in range(2, 22):
        answer = await stage.order("!reload beat")
        assert answer.startswith(f"beat g{generation - 1} -> g{generation} ")
        await stage.report(re.escape(answer))
    begun, ended = await stage.program.logged("beat begins", 21), await stage.program.logged("beat ends", 20)
    assert (len(begun), len(ended)) == (21, 20)
    assert await stage.ask("!beating") == ["1"]
