"""Cases L05 and L25 of the reliability catalogue: plugins that come and go under names, and names that none can have.

The rule: a plugin's name is its file's, made of letters (of any script), digits and `_`, and begins with no digit.
"""

from __future__ import annotations

import re

import pytest
from stage import Stage

farewell = pytest.mark.parametrize("stage", [{"before": "L05_farewell"}], indirect=True, ids=["farewell"])
ENDS = "farewell ends"


@farewell
async def test_l05_a_plugin_leaves_and_comes_back(stage: Stage) -> None:
    source = stage.read("farewell.py")
    for generation in (2, 3):
        await stage.do(("delete", "plugins/farewell.py"))
        await stage.report("farewell unloaded")
        assert await stage.ask("!farewell") == []
        await stage.write("farewell.py", source)
        await stage.report(rf"farewell loaded g{generation} \(\w{{7}}\)")
        assert await stage.ask("!farewell") == ["still here"]
        assert len(await stage.program.logged(ENDS, generation - 1)) == generation - 1


@farewell
async def test_l05_a_plugin_that_is_renamed_ends_once(stage: Stage) -> None:
    await stage.do(("move", "plugins/farewell.py", "plugins/adieu.py"))
    await stage.report(r"adieu loaded g1 \(\w{7}\); farewell unloaded")
    assert await stage.ask("!farewell") == ["still here"]
    await stage.nothing_happens()
    assert len(await stage.program.logged(ENDS)) == 1


@farewell
async def test_l05_a_plugin_renamed_over_another_replaces_it(stage: Stage) -> None:
    """The other's commands go, and both have ended."""
    await stage.crowd.spare("!hello")
    await stage.do(("move", "plugins/farewell.py", "plugins/hello.py"))
    await stage.report(r"hello g1 -> g2 .*: \+farewell -hello, \d+ ms; farewell unloaded")
    assert await stage.ask("!farewell", "!hello") == ["still here"]
    await stage.nothing_happens()
    assert len(await stage.program.logged(ENDS)) == 1


@pytest.mark.parametrize(
    "name", ["My-Plugin.py", "1x.py", "a b.py", " .py", "a.b.py", "e\N{COMBINING ACUTE ACCENT}t.py", "bot.py", "-.py"]
)
async def test_l25_a_name_that_no_plugin_can_have_is_told_once(stage: Stage, name: str) -> None:
    await stage.write(name, stage.read("hello.py").replace('"hello"', '"odd"'))
    await stage.refused(rf"{re.escape(name)}: .*; rename the file")
    await stage.edit(name, "Says", "Said")
    await stage.nothing_happens()
    assert await stage.ask("!odd") == []
    await stage.do(("move", f"plugins/{name}", "plugins/even.py"))
    await stage.report(r"even loaded g1 \(\w{7}\)")
    assert await stage.ask("!odd") == ["hello 1"]


@pytest.mark.parametrize(
    "name", ["\N{LATIN SMALL LETTER E WITH ACUTE}t\N{LATIN SMALL LETTER E WITH ACUTE}", "Имя", "class"]
)
async def test_l25_letters_of_any_script_are_a_name(stage: Stage, name: str) -> None:
    await stage.write(f"{name}.py", stage.read("hello.py").replace('"hello"', '"odd"'))
    await stage.report(rf"{name} loaded g1 \(\w{{7}}\)")
    assert await stage.ask("!odd") == ["hello 1"]
    assert (await stage.order(f"!reload {name}")).startswith(f"{name} g1 -> g2 ")
    await stage.report(rf"{name} g1 -> g2 .*")


async def test_l25_a_rename_that_changes_only_the_case_is_a_rename(stage: Stage) -> None:
    await stage.do(("move", "plugins/hello.py", "plugins/Hello.py"))
    await stage.report(r"Hello loaded g1 \(\w{7}\); hello unloaded")
    assert await stage.ask("!hello") == ["hello 1"]
    assert await stage.order("!version hello") == "no such plugin: hello; did you mean Hello?"
