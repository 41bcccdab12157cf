"""Cases 45 to 53 of the reload catalogue: imports."""

from __future__ import annotations

import re

import pytest
from stage import Stage


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


@before("53_classes")
async def test_53_a_method_of_a_base_class_in_another_file_changes(stage: Stage) -> None:
    assert await stage.ask("!leaf") == ["leaf middle root 1 True"]
    await stage.edit("_root.py", "root 1", "root 2")
    await stage.report(r"leaf g1 -> g2 .*")
    assert await stage.ask("!leaf") == ["leaf middle root 2 True"]
