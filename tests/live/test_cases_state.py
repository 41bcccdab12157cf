"""Cases 54 to 63 of the reload catalogue, and P19 of the other: state, calls in flight, tasks, jobs."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from program import MODES
from stage import Stage, both_modes


async def test_54_a_kept_counter_goes_on(stage: Stage) -> None:
    """That it goes on without a hole, and nothing is counted twice, is checked in every case."""
    await stage.crowd.spare("!count")
    while not (await stage.ask("!count"))[0].endswith(" 7"):
        pass
    await stage.edit("count.py", 'f"count {calls', 'f"count {1 * calls')
    await stage.report(r"count g1 -> g2 .*: ~count, state kept, \d+ ms")
    assert await stage.ask("!count") == ["count 8"]


todo = pytest.mark.parametrize("stage", [{"before": "57_todo"}], indirect=True, ids=["todo"])
tasks = pytest.mark.parametrize("stage", [{"before": "P19_tasks"}], indirect=True, ids=["tasks"])

MIGRATE = """
STATE_VERSION = 2


def migrate(old_version, state):
    import logging
    import os

    logging.getLogger("todo").info("migrate of %d runs in %d", old_version, os.getpid())
    state["todo"] = {text: old_version for text in state["todo"]}
    return state
"""


@pytest.mark.parametrize(
    ("mode", "kill"), [*((mode, False) for mode in MODES), (next(iter(MODES)), True)], ids=[*MODES, "kill"]
)
@todo
async def test_55_a_stored_value_survives_the_end_of_the_process(stage: Stage, kill: bool) -> None:
    """What is kept in memory does not; nothing of the file is damaged, and it is written on."""
    assert await stage.ask("!todo tea") == ["todo {'tea': 1} stored {'tea': 1}"]
    await stage.restart(kill=kill)
    assert await stage.ask("!todo") == ["todo {} stored {'tea': 1}"]
    assert await stage.ask("!todo tea") == ["todo {'tea': 1} stored {'tea': 2}"]


async def test_56_a_name_that_was_never_kept_is_made_by_its_factory(stage: Stage) -> None:
    more = stage.edited("count.py", "calls = ", 'more = keep("more", lambda: {"made": True})\ncalls = ')
    await stage.write("count.py", more.replace('return f"count', 'assert more == {"made": True}\n    return f"count'))
    await stage.report(r"count g1 -> g2 .*: ~count, state kept, \d+ ms")
    assert re.fullmatch(r"count \d+", (await stage.ask("!count"))[0])


@todo
async def test_57_migrate_is_called_once_and_its_values_are_live(stage: Stage) -> None:
    await stage.ask("!todo tea")
    await stage.write("todo.py", stage.read("todo.py") + MIGRATE.replace("old_version for", "'of 1' for"))
    await stage.report(r"todo g1 -> g2 .*: state migrated, \d+ ms")
    assert await stage.ask("!todo") == ["todo {'tea': 'of 1'} stored {'tea': 1}"]
    await stage.edit("todo.py", "Keeps what", "Keeps all that")
    await stage.report(r"todo g2 -> g3 .*: state kept, \d+ ms")
    ran = [record for record in stage.program.log if f"migrate of 1 runs in {stage.process}" in record]
    assert len(ran) == 1


@todo
async def test_57_an_undo_gets_the_values_of_its_version_back(stage: Stage) -> None:
    await stage.ask("!todo tea")
    first = stage.read("todo.py")
    await stage.write("todo.py", first + MIGRATE)
    await stage.report(r"todo g1 -> g2 .*state migrated.*")
    await stage.ask("!todo milk")
    await stage.write("todo.py", first)
    await stage.report(r"todo g2 -> g3 .*: state restored, \d+ ms")
    assert await stage.ask("!todo") == ["todo {'tea': 1} stored {'tea': 1, 'milk': 1}"]


@todo
async def test_57_a_rollback_gets_the_values_of_its_version_back(stage: Stage) -> None:
    await stage.ask("!todo tea")
    await stage.write("todo.py", stage.read("todo.py") + MIGRATE)
    await stage.report(r"todo g1 -> g2 .*state migrated.*")
    await stage.ask("!todo milk")
    answer = await stage.order("!rollback todo")
    assert re.fullmatch(r"todo rolled back to .*; todo g2 -> g3 \(.*\): state restored, \d+ ms", answer)
    await stage.report(re.escape(answer))
    assert await stage.ask("!todo") == ["todo {'tea': 1} stored {'tea': 1, 'milk': 1}"]


@todo
async def test_57_without_migrate_another_version_begins_anew_and_says_so(stage: Stage) -> None:
    await stage.ask("!todo tea")
    await stage.edit("todo.py", "todo = keep", "STATE_VERSION = 5\ntodo = keep")
    await stage.report(r"todo g1 -> g2 .*: state reset, \d+ ms")
    assert await stage.ask("!todo") == ["todo {} stored {'tea': 1}"]
    await stage.ask("!todo milk")
    await stage.edit("todo.py", "STATE_VERSION = 5", "STATE_VERSION = 4")
    advice = "go on to 6 with a migrate, or !state drop todo and lose them; the old version goes on answering"
    await stage.report(rf"todo stays g2: todo\.py:5: STATE_VERSION 4 is lower than 5, .*; {advice}")
    assert await stage.ask("!todo") == ["todo {'milk': 1} stored {'tea': 1, 'milk': 1}"]
    answer = await stage.order("!state drop todo")
    assert re.match(r"todo: no longer kept: todo; todo g2 -> g3 \(", answer)
    await stage.report(re.escape(answer.removeprefix("todo: no longer kept: todo; ")))
    assert await stage.ask("!todo") == ["todo {} stored {'tea': 1, 'milk': 1}"]


@todo
async def test_58_migrate_that_raises_leaves_the_old_value(stage: Stage) -> None:
    """Although it had changed its copy."""
    await stage.ask("!todo tea")
    broken = MIGRATE.replace("    return state", "    state['todo']['milk'] = 1\n    return state['nothing']")
    await stage.write("todo.py", stage.read("todo.py") + broken)
    await stage.refused(r"todo stays g1: todo\.py:\d+: migrate: KeyError: 'nothing'; the old version goes on answering")
    await stage.trace("return state['nothing']")
    assert await stage.ask("!todo") == ["todo {'tea': 1} stored {'tea': 1}"]


@both_modes
@tasks
async def test_p19_objects_of_its_own_classes_are_those_of_the_new_version(stage: Stage) -> None:
    await stage.ask("!task tea")
    await stage.edit("tasks.py", "    colour: Colour\n", '    colour: Colour\n    due: str = "now"\n')
    await stage.report(r"tasks g1 -> g2 .*: (~task, )?state kept, \d+ ms")
    assert await stage.ask("!task") == ["tasks [{'text': 'tea', 'colour': 'RED', 'due': 'now'}] True"]


@both_modes
@tasks
async def test_p19_what_cannot_be_brought_over_is_refused_with_what_to_do(stage: Stage) -> None:
    await stage.ask("!task tea")
    await stage.edit("tasks.py", "    colour: Colour\n", "    colour: Colour\n    due: str\n")
    await stage.refused(
        r'tasks stays g1: tasks\.py:15: keep\("tasks"\) holds a Task of the old version, and its new field due has no '
        r"default; mend it, raise STATE_VERSION with a migrate, or !state drop tasks tasks and lose it; the old .*"
    )
    migrate = MIGRATE.replace('state["todo"] = {text: old_version for text in state["todo"]}', "{}").format(
        'state["tasks"] = [Task(each.text, Colour.RED, "soon") for each in state["tasks"]]'
    )
    await stage.write("tasks.py", stage.read("tasks.py") + migrate)
    await stage.report(r"tasks g1 -> g2 .*state migrated.*")
    assert await stage.ask("!task") == ["tasks [{'text': 'tea', 'colour': 'RED', 'due': 'soon'}] True"]
    stage.left_behind = {"old": "plugins.tasks."}  # a snapshot holds an object that fits no class now


NOTHING = {
    "factory": ('todo = keep("todo", dict)', "todo = keep('gone', lambda: None)"),
    "migrate": ("stored = store", "STATE_VERSION = 2\nmigrate = lambda old, state: {'todo': None}\nstored = store"),
}


@both_modes
@todo
async def test_p19_none_is_no_value_to_keep(stage: Stage) -> None:
    await stage.ask("!todo tea")
    good = stage.read("todo.py")
    for case in NOTHING.values():
        await stage.write("todo.py", good.replace(*case))
        await stage.refused(r"todo stays g1: todo\.py:\d: .*TypeError: .* NoneType.*: keep a dict or list.*")
        assert await stage.ask("!todo") == ["todo {'tea': 1} stored {'tea': 1}"]
    await stage.trace("todo = keep('gone', lambda: None)")


async def in_flight(stage: Stage, name: str) -> None:
    """Wait until a call of a plugin runs."""
    while not (await stage.order(f"!version {name}")).endswith(" 1 in flight"):
        pass


@both_modes
async def test_59_a_call_in_flight_ends_on_its_own_version(stage: Stage) -> None:
    await stage.crowd.spare("!slow 0")
    assert await stage.ask("!slow 2") == []
    await in_flight(stage, "slow")
    await stage.edit("slow.py", "slow 1", "slow 2")
    await stage.report(r"slow g1 -> g2 .*: ~slow, \d+ ms")
    assert await stage.ask("!slow 0") == ["slow 2 done"]
    assert await stage.talk.next() == "slow 1 done"
    assert await stage.ask("!slow 0") == ["slow 2 done"]


@both_modes
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


@both_modes
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


@both_modes
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


@both_modes
@pytest.mark.parametrize("stage", [{"before": "62_jobs"}], indirect=True, ids=["jobs"])
async def test_62_a_job_that_is_removed_runs_no_more(stage: Stage) -> None:
    while await stage.ticks.next() != "tick 1":
        pass
    await stage.edit("job.py", "@every(1)\n", "")
    await stage.report(r"job g1 -> g2 .*")
    stage.ticks.rest()
    assert [await stage.ticks.next() for _ in range(3)] == ["tock"] * 3


@both_modes
@pytest.mark.parametrize("stage", [{"before": "63_task"}], indirect=True, ids=["task"])
async def test_63_a_background_task_is_there_once(stage: Stage) -> None:
    for generation in range(2, 22):
        answer = await stage.order("!reload beat")
        assert answer.startswith(f"beat g{generation - 1} -> g{generation} ")
        await stage.report(re.escape(answer))
    begun, ended = await stage.program.logged("beat begins", 21), await stage.program.logged("beat ends", 20)
    assert (len(begun), len(ended)) == (21, 20)
    assert await stage.ask("!beating") == ["1"]
