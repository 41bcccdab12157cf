"""Cases 45 to 53 of the reload catalogue: imports."""

from __future__ import annotations

import re

import pytest
from stage import Stage, files_of

P = ["p1", "p2", "p3", "p4", "p5"]


def before(folder: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stage", [{"before": folder}], indirect=True, ids=[folder[3:].partition("/")[0]])


@before("45_imports")
async def test_45_however_a_shared_module_is_imported_its_change_shows(stage: Stage) -> None:
    questions = ["!w", "!x", "!y", "!z"]
    assert await stage.ask(*questions) == ["fn 1"] * 4
    await stage.edit("_shared.py", "fn 1", "fn 2")
    await stage.report(r"w g1 -> g2 .*; x g1 -> g2 .*; y g1 -> g2 .*; \+1 more")
    assert await stage.ask(*questions) == ["fn 2"] * 4


@before("46_chain")
async def test_46_what_imports_an_edited_module_is_built_after_it_and_nobody_else(stage: Stage) -> None:
    await stage.edit("_c.py", "V = 1", "V = 2")
    await stage.report(r"a g1 -> g2 \(\w{7} -> \w{7}\): \d+ ms")
    assert await stage.ask("!a") == ["a V2"]
    ran = [found[1] for record in stage.program.log if (found := re.search(r"ran (\w), V2", record))]
    assert ran == ["c", "b", "a"]


@before("49_package/before")
async def test_49_a_package_is_one_plugin(stage: Stage) -> None:
    await stage.edit("parts/words.py", "one", "two")
    await stage.report(r"parts g1 -> g2 .*")
    assert await stage.ask("!parts") == ["parts 1 two"]
    await stage.edit("parts/__init__.py", "parts 1", "parts 2")
    await stage.report(r"parts g2 -> g3 .*")
    assert await stage.ask("!parts") == ["parts 2 two"]
    await stage.put("49_package/unused")
    await stage.report(r"parts g3 -> g4 .*")
    await stage.do(("delete", "plugins/parts/unused.py"))
    await stage.report(r"parts g4 -> g5 .*")
    assert await stage.ask("!parts") == ["parts 2 two"]


async def test_51_a_shared_module_that_is_still_imported_can_not_go(stage: Stage) -> None:
    await stage.do(("delete", "plugins/_common.py"))
    why = r"_common\.py: the file is gone, but p1, p2, p3, p4, p5 still import it"
    await stage.refused(rf"p1 stays g1 \(also p2, p3, \+2\): {why}; the old version goes on answering")


async def test_51_a_shared_module_goes_with_the_last_that_imports_it(stage: Stage) -> None:
    """Gone in one step with the imports of it; until then it was there, and undoing the deletion is no change."""
    await stage.do(("delete", "plugins/_common.py"))
    await stage.refused(r"p1 stays g1 \(also p2, p3, \+2\): .*")
    await stage.write("_common.py", files_of("base")["_common.py"])
    again = r"g1 \(\w{7}\) is what the file holds again"
    await stage.report(rf"p1 {again}; p2 {again}; p3 {again}; \+2 more")
    alone = {name: stage.edited(f"{name}.py", "from ._common import V", "V = 2") for name in P}
    await stage.do(
        *(("write", f"plugins/{name}.py", text) for name, text in alone.items()), ("delete", "plugins/_common.py")
    )
    await stage.report(r"p1 g1 -> g2 .*; p2 g1 -> g2 .*; p3 g1 -> g2 .*; \+2 more")
    assert await stage.ask(*(f"!{name}" for name in P)) == [f"{name} V2" for name in P]


@before("53_classes")
async def test_53_a_method_of_a_base_class_in_another_file_changes(stage: Stage) -> None:
    assert await stage.ask("!leaf") == ["leaf middle root 1 True"]
    await stage.edit("_root.py", "root 1", "root 2")
    await stage.report(r"leaf g1 -> g2 .*")
    assert await stage.ask("!leaf") == ["leaf middle root 2 True"]


@before("47_circle")
async def test_47_two_plugins_that_import_each_other_reload_both_once(stage: Stage) -> None:
    assert await stage.ask("!ping", "!pong") == ["ping 1, pong 1", "pong 1, ping 1"]
    await stage.edit("ping.py", "ping 1", "ping 2")
    step = r"g1 -> g2 \(\w{7} -> \w{7}\): (~\w+, )?\d+ ms"
    await stage.report(rf"ping {step}; pong {step}|pong {step}; ping {step}")
    assert await stage.ask("!ping", "!pong") == ["ping 2, pong 1", "pong 1, ping 2"]
    await stage.edit("pong.py", "from . import ping", "from . import ping, nothing")
    await stage.refused(r"p(ing|ong) stays g2 \(also p(ing|ong)\): pong\.py:5: ImportError: .*nothing.*")
    await stage.trace("from . import ping, nothing")
    assert await stage.ask("!ping", "!pong") == ["ping 2, pong 1", "pong 1, ping 2"]


@before("L16_parts")
async def test_l16_all_that_use_a_module_by_any_way_reload_in_order(stage: Stage) -> None:
    """Three questions in one packet, again and again: no two of their answers are ever of two versions."""
    questions = ["!near", "!far", "!parts"]
    assert await stage.ask(*questions) == ["V1"] * 3
    for version in range(2, 6):
        answers = [await stage.ask(*questions)]
        await stage.edit("_words.py", f"V = {version - 1}", f"V = {version}")
        while stage.reports.unread == 0:
            answers.append(await stage.ask(*questions))
        step = rf"g{version - 1} -> g{version} \(\w{{7}}( -> \w{{7}})?\): \d+ ms"
        await stage.report(rf"far {step}; near {step}; parts {step}")
        answers.append(await stage.ask(*questions))
        assert {len(set(each)) for each in answers} == {1}
        assert set(answers[-1]) == {f"V{version}"}


@before("L16_parts")
async def test_l16_a_submodule_is_its_packages_own(stage: Stage) -> None:
    await stage.edit("parts/inner.py", "import V", "import V as W\n\nV = W + 10")
    await stage.report(r"parts g1 -> g2 .*")
    assert await stage.ask("!near", "!far", "!parts") == ["V1", "V1", "V11"]


@before("L17_shared")
async def test_l17_shared_modules_that_import_each_other_change_together(stage: Stage) -> None:
    await stage.edit("_right.py", "V = 1", "V = 2")
    await stage.report(r"circle g1 -> g2 .*")
    assert await stage.ask("!circle") == ["left 1, right 2"]
    await stage.edit("_left.py", "V = 1", "V = 2")
    await stage.report(r"circle g2 -> g3 .*")
    assert await stage.ask("!circle") == ["left 2, right 2"]


@before("L17_shared")
async def test_l17_a_circle_that_can_not_be_imported_is_named(stage: Stage) -> None:
    """Whichever of the two is imported first, it needs a name of the other that needs one of its own."""
    left, right = stage.read("_left.py"), stage.read("_right.py")
    await stage.do(
        ("write", "plugins/_left.py", left.replace("from . import _right", "from ._right import V as other")),
        ("write", "plugins/_right.py", right.replace("from . import _left", "from ._left import V as other")),
    )
    why = r"_(\w+)\.py:1: ImportError: cannot import name 'V' from 'plugins\._(\w+)'"
    line = await stage.refused(rf"circle stays g1: {why}; they import each other: _\2 -> _\1 -> _\2; .*")
    found = re.search(why, line)
    assert found and set(found.groups()) == {"left", "right"}
    await stage.trace(f"from ._{found[2]} import V as other")
    assert await stage.ask("!circle") == ["left 1, right 1"]


@before("47_circle")
async def test_l17_two_plugins_stay_together_when_one_of_them_goes(stage: Stage) -> None:
    await stage.do(("delete", "plugins/pong.py"))
    await stage.refused(r"p(ing|ong) stays g1 \(also p(ing|ong)\): .*pong.*")
    assert await stage.ask("!ping", "!pong") == ["ping 1, pong 1", "pong 1, ping 1"]


async def test_l21_a_name_that_the_new_source_has_not_is_gone(stage: Stage) -> None:
    """Nothing of the old module lives on in the new one."""
    await stage.edit("hello.py", "@command", "LEFT = 1\n\n\n@command")
    await stage.report(r"hello g1 -> g2 .*")
    text = stage.edited("hello.py", "LEFT = 1\n\n\n", "")
    await stage.write("hello.py", text.replace('"hello 1"', "f\"hello {sorted({*globals()} & {'LEFT'})}\""))
    await stage.report(r"hello g2 -> g3 .*")
    assert await stage.ask("!hello") == ["hello []"]


@before("L21_value")
async def test_l21_a_module_that_fails_in_the_middle_has_changed_nothing(stage: Stage) -> None:
    """Neither for its own plugin nor for another that imports it."""
    await stage.edit("source.py", 'VALUE = ["old"]', 'VALUE = ["new"]\nraise LookupError("half-way")')
    await stage.refused(r"source stays g1 \(also user\): source\.py:6: LookupError: half-way; .*")
    await stage.trace('raise LookupError("half-way")')
    assert await stage.ask("!value", "!used") == ["old", "old"]
    await stage.edit("source.py", 'raise LookupError("half-way")\n', "")
    await stage.report(r"source g1 -> g2 .*; user g1 -> g2 .*")
    assert await stage.ask("!value", "!used") == ["new", "new"]


ONCE = """import os

from bot import command

with open("ran.txt", "a") as file:
    file.write(os.environ.get("NEVERQUIT_TRIAL", "bot") + "\\n")


@command("once")
async def once(ctx):
    return "once 1"
"""


@pytest.mark.parametrize("stage", [{"more": {"once/__init__.py": ONCE}}], indirect=True, ids=["once"])
async def test_50_a_package_is_executed_once_per_commit_and_its_trial_says_nothing(stage: Stage) -> None:
    for number in (1, 2):
        await stage.edit("once/__init__.py", f"once {number}", f"once {number + 1}")
        await stage.report(r"once g\d -> g\d .*")
        assert await stage.ask("!once") == [f"once {number + 1}"]
    ran = (stage.folder / "ran.txt").read_text().split()
    assert ran.count("bot") == 3 and ran.count("1") >= 3
