"""Where it came from: a test.py, its test_new.py and its test_old.py, moved about below a running bot.

A 2011 article reloads one source file in a running process by moving files and loading again; here the moves alone do
it. `test` owns the command by its name, whatever stands in its file.
"""

from __future__ import annotations

import asyncio

import pytest
from stage import Stage

OLD, NEW = "Calling myfunction", "Calling (new) myfunction"
article = pytest.mark.parametrize("stage", [{"before": "article"}], indirect=True, ids=["article"])


@article
@pytest.mark.parametrize("gap_ms", [0, 2000])
async def test_the_three_files(stage: Stage, gap_ms: int) -> None:
    """The channel sees the new text, then the old, and no question is without its answer: there is no gap at all."""
    await stage.report(r"test_new not loaded: test_new\.py:5: !myfunction belongs to test; .*")
    assert await stage.order("!myfunction") == OLD
    for wanted, steps in (
        (NEW, [("test", "test_old"), ("test_new", "test")]),
        (OLD, [("test", "test_new"), ("test_old", "test")]),
    ):
        first, second = (("move", f"plugins/{name}.py", f"plugins/{to}.py") for name, to in steps)
        moving = asyncio.create_task(stage.do(first, ("wait", gap_ms), second))
        answers = [await stage.order("!myfunction")]
        while not (moving.done() and answers[-1] == wanted and "test" in stage.generations):
            answers.append(await stage.order("!myfunction"))
            while stage.reports.unread:
                await stage.report(".*")
        live = (await stage.order("!version test")).split()[1]
        while f"g{stage.generations['test']}" != live:  # the report comes behind the answers
            await stage.report(".*")
        began = answers.index(wanted)
        assert set(answers[:began]) == {OLD if wanted == NEW else NEW} and set(answers[began:]) == {wanted}
