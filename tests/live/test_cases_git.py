"""Case 38 of the reload catalogue, and L14 of the other: what git changes is one settled set, however long it takes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from stage import Stage

PLUGIN = """from bot import command

from ._shared import V


@command("q{number}")
async def q{number}(ctx):
    return f"{version} {{V}}"
"""

# git runs a filter for each file it writes, and holds its lock meanwhile: this one is as slow as a bad disk.
SLOW = "git config filter.slow.smudge 'sleep 0.06; cat' && echo 'plugins/q*.py filter=slow' > .git/info/attributes"
PLAIN = "git init -q && git add plugins && git commit -qm one"
# The same in a linked work tree, where `.git` is a file.
LINKED = (
    "git init -q main && cp -r plugins main/ && cd main && git add . && git commit -qm one"
    " && git worktree add -q --no-checkout -b linked ../tree && mv ../tree/.git .. && cd .. && git reset -q"
)
# Another commit, made elsewhere: nothing in the work tree changes.
TWO = (
    "git clone -q . two && cd two && sed -i 's/f\"1 /f\"2 /; s/V = 1/V = 2/' plugins/q*.py plugins/_shared.py"
    " && git commit -qam two && cd .. && git fetch -q ./two HEAD:two"
)


def crowd_of(count: int) -> dict[str, Any]:
    """A stage with this many plugins more, and a shared module of theirs."""
    plugins = {f"q{number}.py": PLUGIN.format(number=number, version=1) for number in range(count)}
    return {"more": {"_shared.py": "V = 1\n", **plugins}}


async def checked_out(stage: Stage, commit: str, count: int, before: int, after: int) -> None:
    """Check out while the plugins are asked; no answer is of both commits, and none goes back."""
    questions = [f"!q{number}" for number in range(count)]
    checkout = asyncio.create_task(stage.do(("shell", f"git checkout -q {commit}")))
    seen = []
    while not checkout.done():
        seen += await stage.ask(*questions[:5])
    await checkout
    await stage.report(r"q\w+ g\d+ -> g\d+ \(.*\): .*; \+%d more" % (count - 3))
    assert await stage.ask(*questions) == [f"{after} {after}"] * count
    assert re.fullmatch(f"({before} {before},)*({after} {after},)*", "".join(f"{answer}," for answer in seen)), seen


@pytest.mark.parametrize("stage", [crowd_of(50)], indirect=True, ids=["50"])
@pytest.mark.parametrize(
    ("make", "slow"), [(PLAIN, False), (LINKED, False), (PLAIN, True)], ids=["work tree", "linked work tree", "3 s"]
)
async def test_38_a_checkout_is_one_reload(stage: Stage, make: str, slow: bool) -> None:
    await stage.do(("shell", f"{make} && {TWO}" + (f" && {SLOW}" if slow else "")))
    await checked_out(stage, "two", 50, 1, 2)


@pytest.mark.parametrize("stage", [crowd_of(200)], indirect=True, ids=["200"])
async def test_l14_a_checkout_of_200_files_there_and_back_is_two_reloads(stage: Stage) -> None:
    await stage.do(("shell", f"{PLAIN} && {TWO}"))
    await checked_out(stage, "two", 200, 1, 2)
    await stage.do(("shell", "git checkout -q two~1"))
    await stage.reports.next()
    assert await stage.ask(*(f"!q{number}" for number in range(200))) == ["1 1"] * 200
    await stage.count_anew()
    assert {stage.generations[f"q{number}"] for number in range(200)} == {3}
