"""Case 38 of the reload catalogue, and L14 of the other: what git changes is one settled set, however long it takes."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest
from stage import Stage

PLUGIN = """from bot import command

from ._shared import V as SHARED
# parts

V = 1
parts = ()


@command("q{number}")
async def q{number}(ctx):
    return " ".join(map(str, sorted({{V, SHARED, *(part.V for part in parts)}})))
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
    "git clone -q . two && cd two && sed -i 's/V = 1/V = 2/' plugins/_shared.py $(git ls-files plugins | grep /q)"
    " && git commit -qam two && cd .. && git fetch -q ./two HEAD:two"
)


def crowd_of(count: int, parts: int = 0) -> dict[str, Any]:
    """A stage with this many plugins more, with a shared module of theirs; packages of so many parts, or files."""
    plugins = {}
    for number in range(count):
        code = PLUGIN.format(number=number)
        if parts:
            names = [f"part{part}" for part in range(parts)]
            plugins |= {f"q{number}/{name}.py": "V = 1\n" for name in names}
            code = code.replace("from ._", "from .._").replace("# parts", f"from . import {', '.join(names)}")
            code = code.replace("parts = ()", f"parts = ({', '.join(names)})")
            plugins[f"q{number}/__init__.py"] = code
        else:
            plugins[f"q{number}.py"] = code
    return {"more": {"_shared.py": "V = 1\n", **plugins}}


async def checked_out(stage: Stage, commit: str, count: int, before: int, after: int) -> None:
    """Check out while the plugins are asked; no answer is of both commits, and none goes back."""
    questions = [f"!q{number}" for number in range(count)]
    checkout = asyncio.create_task(stage.do(("shell", f"git checkout -q {commit}")))
    seen = []
    while not checkout.done():
        seen += await stage.ask(*questions[:5])
    await checkout
    await stage.report(rf"q\w+ g\d+ -> g\d+ \(.*\): .*; \+{count - 3} more")
    assert await stage.ask(*questions) == [str(after)] * count
    assert re.fullmatch(f"{before}*{after}*", "".join(seen)), seen  # of both commits it would be "1 2"


@pytest.mark.parametrize("stage", [crowd_of(50)], indirect=True, ids=["50"])
@pytest.mark.parametrize(
    ("make", "slow"), [(PLAIN, False), (LINKED, False), (PLAIN, True)], ids=["work tree", "linked work tree", "3 s"]
)
async def test_38_a_checkout_is_one_reload(stage: Stage, make: str, slow: bool) -> None:
    await stage.do(("shell", f"{make} && {TWO}" + (f" && {SLOW}" if slow else "")))
    await checked_out(stage, "two", 50, 1, 2)


@pytest.mark.parametrize("stage", [crowd_of(40, 4)], indirect=True, ids=["200"])
async def test_l14_a_checkout_of_200_files_there_and_back_is_two_reloads(stage: Stage) -> None:
    await stage.do(("shell", f"{PLAIN} && {TWO}"))
    await checked_out(stage, "two", 40, 1, 2)
    await stage.count_anew()
    await checked_out(stage, "two~1", 40, 2, 1)
