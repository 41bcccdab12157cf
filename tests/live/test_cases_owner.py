"""Cases of ownership: 60, 64 and 66 of the reload catalogue, L12, L20, and plugins that leave something behind.

That nothing is left is checked in every case, by `verify`; here is what would be left if nobody saw to it.
"""

from __future__ import annotations

import asyncio
import re

import pytest
from stage import Stage, both_modes


def before(folder: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stage", [{"before": folder}], indirect=True, ids=[folder])


async def reload(stage: Stage, name: str) -> None:
    """Have a plugin reloaded by an admin."""
    answer = await stage.order(f"!reload {name}")
    assert re.match(rf"{name} g\d+ -> g\d+ ", answer), answer
    await stage.report(re.escape(answer))


# --- calls in flight


@both_modes
@before("60_lines")
async def test_60_an_async_generator_ends_on_its_own_version(stage: Stage) -> None:
    said = [await stage.order("!lines")]
    await stage.edit("lines.py", "lines 1", "lines 2")
    await stage.report(r"lines g1 -> g2 .*")
    said += [await stage.talk.next() for _ in range(4)]
    assert said == [f"lines 1: {number}" for number in range(5)]


@both_modes
@before("l12_many")
async def test_l12_calls_of_several_versions_end_each_on_its_own(stage: Stage) -> None:
    for version in range(1, 4):
        assert await stage.ask("!wait") == []
        await stage.edit("wait.py", f"waited {version}", f"waited {version + 1}")
        await stage.report(r"wait g\d -> g\d .*")
    answers = [await stage.order("!go"), *[await stage.talk.next() for _ in range(3)]]
    assert sorted(answers) == ["gone", "waited 1", "waited 2", "waited 3"]


@before("l12_many")
async def test_l12_beyond_eight_old_versions_the_oldest_is_cut_short_and_its_asker_told(stage: Stage) -> None:
    for _ in range(8):
        assert await stage.ask("!wait") == []
        await reload(stage, "wait")
    assert await stage.ask("!wait") == []
    stage._people["adm"].privmsg("#t", "!reload wait")
    said = sorted([await stage.talk.next(), await stage.talk.next()])
    assert said[0].startswith("wait g9 -> g10 ") and said[1] == "wait was cut short by a new version of wait"
    await stage.report(re.escape(said[0]))
    answers = [await stage.order("!go"), *[await stage.talk.next() for _ in range(8)]]
    assert sorted(answers) == ["gone", *["waited 1"] * 8]


@before("66_self")
async def test_66_a_plugin_may_reload_itself_and_wait_for_it(stage: Stage) -> None:
    answer = await stage.order("!again")
    assert re.fullmatch(r"own 1: own g1 -> g2 .*", answer)
    stage.generations["own"] = 2
    await stage.edit("own.py", "own 1: {report}", "own 2: {report}")
    await stage.report(r"own g2 -> g3 .*")
    assert re.fullmatch(r"own 2: own g3 -> g4 .*", await stage.order("!again"))
    stage.generations["own"] = 4


@both_modes
@before("66_self")
async def test_p23_a_plugin_may_unload_itself_and_still_answers(stage: Stage) -> None:
    assert await stage.order("!away") == "own 1: own unloaded"
    del stage.generations["own"]
    assert await stage.ask("!away") == []


# --- what can exist only once


async def heard_at(port: int) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    text = (await reader.read()).decode()
    writer.close()
    return text


@both_modes
@before("64_port")
async def test_64_a_port_passes_to_the_new_version_and_back_if_that_fails(stage: Stage) -> None:
    port = int(await stage.order("!port"))
    text = stage.edited("port.py", "PORT = 0", f"PORT = {port}").replace("port 1", "port 2")
    await stage.write("port.py", text)
    await stage.report(r"port g1 -> g2 .*")
    assert await heard_at(port) == "port 2"
    for number in range(3):
        await stage.edit("port.py", f"port {number + 2}", f"port {number + 3}")
        await stage.report(r"port g\d -> g\d .*")
        assert await heard_at(port) == f"port {number + 3}"
    taken = stage.server.port
    await stage.write("port.py", stage.read("port.py").replace(f"PORT = {port}", f"PORT = {taken}"))
    await stage.report(r"port stays g5: port\.py:\d+: start: OSError: .*address already in use.*")
    await stage.trace('server = await ctx.enter(await asyncio.start_server(greet, "127.0.0.1", PORT))')
    assert await heard_at(port) == "port 5"


# --- what is ended or undone


@before("l20_half")
async def test_l20_a_setup_that_fails_half_way_leaves_nothing(stage: Stage) -> None:
    await stage.write("half.py", stage.edited("half.py", "FAILS = False", "FAILS = True").replace("half 1", "half 2"))
    await stage.refused(r"half stays g1: half\.py:\d+: setup: LookupError: half-way; the old version goes on answering")
    await stage.trace('raise LookupError("half-way")')
    assert await stage.ask("!half") == ["half 1"]
    while stage.ticks.lines.count("half 1") < 2:
        await stage.ticks.next()
    assert "half 2" not in stage.ticks.lines
    assert len(await stage.program.logged("half . begins")) == 1
    await stage.do(("delete", "plugins/half.py"))
    await stage.report("half unloaded")


@both_modes
@before("p11_starts")
async def test_p11_what_is_started_at_each_load_ends_with_its_version(stage: Stage) -> None:
    for _ in range(10):
        await reload(stage, "starts")
    while await stage.ask("!handlers") != ["1"]:  # the last but one ends a moment after its successor is told
        pass
    await stage.do(("delete", "plugins/starts.py"))
    await stage.report("starts unloaded")


@both_modes
@before("p12_opens")
async def test_p12_what_is_opened_and_never_closed_is_closed_with_the_code(stage: Stage) -> None:
    for _ in range(20):
        await reload(stage, "opens")
    await stage.do(("delete", "plugins/opens.py"))
    await stage.report("opens unloaded")


ALL = "function method shout path limit filter hook signal handlers filters"


@before("changes")
async def test_what_a_version_changed_around_it_is_undone_when_it_goes(stage: Stage) -> None:
    assert await stage.ask("!later", "!look") == ["changed", ALL.replace("hook", "hook unraisable")]
    for version in range(1, 4):
        text = stage.read("changes.py")
        await stage.write("changes.py", text.replace(f"changed {version}", f"changed {version + 1}"))
        await stage.report(r"changes g\d -> g\d .*")
        while await stage.ask("!look") != [ALL]:  # the old version ends a moment after the new one is told
            pass
    await stage.write("changes.py", "")
    await stage.report(r"changes g4 -> g5 .*")
    while await stage.ask("!look") != ["nothing"]:
        pass
    await stage.program.logged(r"info .*changes g4: undone: .*sys\.displayhook")


LASTS = (
    'raise LookupError("no end")',
    "await ctx._services.reloader.settle({'end'})",
    "__import__('asyncio').get_running_loop().create_task(ctx._services.reloader.settle({'end'}))",
    "import asyncio; await asyncio.Event().wait()",
)


@both_modes
@before("p18_end")
async def test_p18_no_teardown_holds_up_the_new_version(stage: Stage) -> None:
    """One that raises, two that reload their own plugin, one that hangs."""
    good = stage.read("end.py")
    for number, last in enumerate(LASTS, 2):
        await stage.write("end.py", good.replace('ctx.log.info("teardown of end 1")', last))
        await stage.report(r"end g\d+ -> g\d+ .*")
        await stage.write("end.py", good.replace("end 1", f"end {number}"))
        await stage.report(r"end g\d+ -> g\d+ .*")
        assert await stage.ask("!end") == [f"end {number}"]
        if "settle" in last:
            stage.generations["end"] += 1
            while (await stage.order("!version end")).split()[1] != f"g{stage.generations['end']}":
                pass
        elif "raise" in last:
            await stage.trace(last)


# --- plugins that treat the bot as theirs


@both_modes
@before("p22_change")
async def test_p22_what_one_handler_changes_no_other_sees(stage: Stage) -> None:
    assert await stage.ask("!handed on") == ["usr test 2 {} on"]


@both_modes
@before("guard")
async def test_no_plugin_ends_the_bots_own_tasks_or_its_loop(stage: Stage) -> None:
    await stage.crowd.spare("!slow 0")
    assert await stage.ask("!cancel") == ["cancelled"]
    assert await stage.ask("!exit") == ["exits"]
    for word in ("stop", "close", "factory", "handler"):
        (answer,) = await stage.ask(f"!{word}")
        assert re.fullmatch(rf"{word} failed \(error \w+\)", answer)
    assert await stage.order("!limit") == "timed out"
    await stage.program.logged("warning .*rough g1 may not cancel a task of the bot")
    for place in stage.program.errors():
        assert re.search("rough may not call|a plugin tried to end the bot", stage.program.log[place])
        stage._claimed.add(place)


@both_modes
@before("guard")
async def test_p13_a_plugin_that_takes_the_streams_away_silences_nothing(stage: Stage) -> None:
    assert await stage.ask("!silence") == ["silence"]
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.report(r"hello g1 -> g2 .*")
    await stage.program.logged(r"info .*hello g1 -> g2")


@before("guard")
async def test_a_mistake_whose_text_fails_is_answered_all_the_same(stage: Stage) -> None:
    (answer,) = await stage.ask("!unsayable")
    assert re.fullmatch(r"unsayable failed \(error \w+\)", answer)
    await stage.trace('raise ValueError("unsayable")')


@both_modes
@before("p15_fork")
async def test_p15_a_forked_child_that_comes_back_ends_and_says_nothing(stage: Stage) -> None:
    assert await stage.ask("!fork") == ["parent"]
    await stage.program.logged("a forked process, .* came back into the bot and was ended", 1)
    assert await stage.order("!apart") == "parent"
    await stage.program.logged("a forked process, .* came back into the bot and was ended", 2)
    assert await stage.ask("!children") == ["none"]


@both_modes
async def test_what_is_forked_while_a_file_is_executed_ends_and_says_nothing(stage: Stage) -> None:
    text = "import os\n\nos.fork()\n"
    await stage.do(("write", "plugins/forks.py", text), ("write", "plugins/odd.py", "import os\n\nos._exit(5)\n"))
    await stage.report(r"odd not loaded: odd\.py: ended the trial process \(exit code 5\); forks loaded g1 .*")
    await stage.program.logged("a forked process, .* came back into the bot and was ended")


# --- what can't be ended is told


@both_modes
@before("leaks")
async def test_what_a_version_left_behind_is_told_once(stage: Stage, mode: str) -> None:
    assert await stage.order("!hasten 0.5") == "hastened"
    await stage.write("leaks.py", stage.edited("leaks.py", "LEAK = True", "LEAK = False"))
    await stage.report(r"leaks g1 -> g2 .*")
    advice = "; !restart ends it" if mode == "two" else ""
    await stage.report(rf"leaks g1 left behind: thread feed, socket \('127\.0\.0\.1', \d+\), task mule{advice}")
    assert await stage.ask("!free") == ["free"]
    stage.left_behind = {"descriptors": 1, "old": "plugins.leaks."}  # a server that nobody closes


@before("leaks")
async def test_code_that_cannot_be_collected_is_told_with_who_holds_it(stage: Stage) -> None:
    assert await stage.order("!hasten 0.1") == "hastened"
    await stage.edit("holds.py", "asyncio.held = hold", "vars(asyncio)['held'] = [hold]")
    await stage.report(r"holds g1 -> g2 .*")
    await stage.edit("holds.py", "vars(asyncio)['held'] = [hold]", "")
    await stage.report(r"holds g2 -> g3 .*")
    await stage.report(r"holds g2 left behind: its code, held by asyncio\.held")
    stage.left_behind = {"old": "plugins.holds."}
