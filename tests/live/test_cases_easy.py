"""Cases 1 to 15 of the reload catalogue: easy edits."""

from __future__ import annotations

import re

import pytest
from stage import Stage, both_modes

unwatched = pytest.mark.parametrize("stage", [{"watch": False}], indirect=True, ids=["unwatched"])
# A window that no pause of the writer outlasts, where two writes must be seen as one.
patient = pytest.mark.parametrize("stage", [{"settle_ms": 150}], indirect=True, ids=["patient"])


@both_modes
async def test_01_an_edit_in_place_is_live(stage: Stage) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.report(r"hello g1 -> g2 \(\w{7} -> \w{7}\): ~hello, \d+ ms")
    assert await stage.ask("!hello") == ["hello 2"]


@unwatched
async def test_02_a_reload_by_command(stage: Stage) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")
    assert await stage.ask("!hello") == ["hello 1"]
    answer = await stage.order("!reload hello")
    assert re.fullmatch(r"hello g1 -> g2 \(\w{7} -> \w{7}\): ~hello, \d+ ms", answer)
    await stage.report(re.escape(answer))
    assert await stage.ask("!hello") == ["hello 2"]


async def test_03_a_stranger_may_not_reload(stage: Stage) -> None:
    assert await stage.order("!reload hello", by="usr") == "reload: admins only"


async def test_04_an_unknown_plugin_is_answered_with_the_nearest_name(stage: Stage) -> None:
    assert await stage.order("!reload helo") == "no such plugin: helo; did you mean hello?"
    assert await stage.order("!reload nosuch") == "no such plugin: nosuch"


async def test_05_an_unchanged_file_is_a_new_generation_if_asked_for(stage: Stage) -> None:
    await stage.ask("!count")
    for name in ("hello", "count"):
        answer = await stage.order(f"!reload {name}")
        assert re.match(rf"{name} g1 -> g2 ", answer)
        await stage.report(re.escape(answer))
    assert len(await stage.ask("!hello", "!count")) == 2


@patient
async def test_06_the_same_content_is_no_change(stage: Stage) -> None:
    hello = stage.read("hello.py")
    await stage.write("hello.py", hello)
    await stage.nothing_happens()
    await stage.do(("touch", "plugins/hello.py"))
    await stage.nothing_happens()
    await stage.do(("chmod", "plugins/hello.py", "600"))
    await stage.nothing_happens()
    other = hello.replace("hello 1", "hello 2")
    for text in (other, hello):  # as git does it
        await stage.do(("delete", "plugins/hello.py"), ("write", "plugins/hello.py", text))
    await stage.nothing_happens()


async def test_07_a_new_file_is_a_new_plugin(stage: Stage) -> None:
    await stage.put("07_bye")
    await stage.report(r"bye loaded g1 \(\w{7}\)")
    assert await stage.ask("!bye") == ["bye 1"]


async def test_08_a_deleted_file_takes_its_commands_along(stage: Stage) -> None:
    await stage.crowd.spare("!hello")
    await stage.do(("delete", "plugins/hello.py"))
    await stage.report("hello unloaded")
    assert await stage.ask("!hello", "!p1") == ["p1 V1"]
    assert "hello" not in await stage.order("!help")
    assert await stage.order("!version hello") == "no such plugin: hello"


async def test_09_a_file_that_comes_back_has_its_state_back(stage: Stage) -> None:
    await stage.crowd.spare("!count")
    (before,) = await stage.ask("!count")
    source = stage.read("count.py")
    await stage.do(("delete", "plugins/count.py"))
    await stage.report("count unloaded")
    await stage.write("count.py", source)
    await stage.report(r"count loaded g2 \(\w{7}\)")
    (after,) = await stage.ask("!count")
    assert int(after.split()[1]) == int(before.split()[1]) + 1


async def test_10_a_renamed_file_keeps_its_command_without_a_gap(stage: Stage) -> None:
    """The crowd asks `!hello` all the time, and gets each answer once."""
    await stage.do(("move", "plugins/hello.py", "plugins/hi.py"))
    await stage.report(r"hi loaded g1 \(\w{7}\); hello unloaded")
    assert await stage.ask("!hello") == ["hello 1"]
    assert re.match("hi g1 ", await stage.order("!version hi"))
    assert await stage.order("!version hello") == "no such plugin: hello"


async def test_10_state_follows_a_renamed_file_that_names_it(stage: Stage) -> None:
    await stage.edit("count.py", "calls =", 'STATE_NAME = "count"\ncalls =')
    await stage.report(r"count g1 -> g2 .*state kept.*")
    await stage.do(("move", "plugins/count.py", "plugins/tally.py"))
    await stage.report(r"tally loaded g1 \(\w{7}\); count unloaded")
    await stage.ask("!count")  # that the counter goes on without a hole is checked in every case


async def test_10_state_stays_behind_when_a_renamed_file_does_not_name_it(stage: Stage) -> None:
    await stage.crowd.spare("!count")
    await stage.do(("move", "plugins/count.py", "plugins/tally.py"))
    await stage.report(r'tally loaded g1 \(\w{7}\), its state begins anew; STATE_NAME = "count" in .*; count unloaded')
    stage.counter_begins_anew()
    assert await stage.ask("!count") == ["count 1"]


async def test_11_a_command_is_renamed_in_one_instant(stage: Stage, mode: str) -> None:
    """Both names are asked in one packet, again and again: there is always exactly one of them. A keeper hands lines
    over one by one, so there the one instant may come between the two."""
    await stage.crowd.spare("!hello")
    answers = [await stage.ask("!hello", "!hey")]
    await stage.edit("hello.py", '"hello")', '"hey")')
    while len(answers) < 1000 and stage.reports.unread == 0:
        answers.append(await stage.ask("!hello", "!hey"))
    await stage.report(r"hello g1 -> g2 .*: \+hey -hello, \d+ ms")
    assert sum(len(each) != 1 for each in answers) <= (mode == "two")
    assert await stage.ask("!hello") == []
    assert await stage.ask("!hey") == ["hello 1"]


@pytest.mark.parametrize("stage", [{"before": "12_two/before"}], indirect=True, ids=["two"])
async def test_12_a_command_that_the_new_version_has_not_is_gone(stage: Stage) -> None:
    assert await stage.ask("!one", "!other") == ["one", "other"]
    await stage.put("12_two/after")
    await stage.report(r"two g1 -> g2 .*: -other, \d+ ms")
    assert await stage.ask("!one", "!other") == ["one"]
    listed = await stage.order("!help")
    assert " one," in listed and " other" not in listed


async def test_13_what_a_decorator_says_is_live(stage: Stage) -> None:
    await stage.edit("count.py", '"count")', '"count", "tally")')
    await stage.report(r"count g1 -> g2 .*: ~count, state kept, \d+ ms")
    assert len(await stage.ask("!tally")) == 1
    await stage.edit("count.py", "Count one further.", "Count on.")
    await stage.report(r"count g2 -> g3 .*: ~count, state kept, \d+ ms")
    assert await stage.order("!help count") == "!count: Count on. - also !tally"
    await stage.crowd.spare("!count")
    await stage.edit("count.py", '"tally")', '"tally", limit="1/1h")')
    await stage.report(r"count g3 -> g4 .*: ~count, state kept, \d+ ms")
    first, second = await stage.ask("!count", "!count")
    assert first.startswith("count ") and second.startswith("count: not so fast, try again in ")
    await stage.edit("count.py", 'limit="1/1h")', "admin=True)")
    await stage.report(r"count g4 -> g5 .*: ~count, state kept, \d+ ms")
    assert await stage.ask("!count") == ["count: admins only"]
    assert (await stage.order("!count", by="adm")).startswith("count ")


async def test_14_by_products_of_editors_are_no_plugins(stage: Stage) -> None:
    names = [".hello.py", "#hello.py#", "#bye.py", "hello.py~", ".hello.py.swp", "hello.tmp", "hello.py.orig"]
    for name in names:
        await stage.write(name, "this is no Python")
        await stage.write(name, stage.read("hello.py").replace("hello 1", "hello 2"))
    await stage.nothing_happens()


async def test_15_all_that_import_a_shared_module_change_in_one_instant(stage: Stage) -> None:
    """Five questions in one packet, again and again: their answers are all of one version, never an older one again."""
    questions = [f"!p{number}" for number in range(1, 6)]
    for version in range(2, 12):
        answers = [await stage.ask(*questions)]
        await stage.edit("_common.py", f"{version - 1}", f"{version}")
        while len(answers) < 1000 and stage.reports.unread == 0:
            answers.append(await stage.ask(*questions))
        answers.append(await stage.ask(*questions))
        step = rf"g{version - 1} -> g{version} \(.*\): \d+ ms"
        await stage.report(rf"p1 {step}; p2 {step}; p3 {step}; \+2 more")
        told = [{answer.split()[1] for answer in batch} for batch in answers]
        assert [len(each) for each in told] == [1] * len(told)
        versions = [each.pop() for each in told]
        assert versions == sorted(versions, key=versions.index) and set(versions) == {f"V{version - 1}", f"V{version}"}
