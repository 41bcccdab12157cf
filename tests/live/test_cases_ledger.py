"""Cases L11 and L13 of the reliability catalogue: several things at once."""

from __future__ import annotations

import asyncio
import re

import pytest
from stage import BOT, TALK, Stage, both_modes

ASK_SECONDS = 0.005  # 200 a second
SAVES = 50


@pytest.mark.parametrize("gap_ms", [0, 3, 10])
async def test_l11_one_broken_file_costs_the_other_nothing(stage: Stage, gap_ms: int) -> None:
    two = stage.edited("hello.py", "hello 1", "hello 2")
    broken = stage.edited("oops.py", "async def oops(ctx):", "async def oops(ctx)")
    before = await stage.ask("!p1", "!slow 0")
    await stage.do(("write", "plugins/oops.py", broken), ("wait", gap_ms), ("write", "plugins/hello.py", two))
    told = [await stage.report(".*")]
    while not (stage.generations["hello"] == 2 and "oops stays" in "; ".join(told)):
        told.append(await stage.report(".*"))
    assert re.search(r"oops stays g1: oops\.py:7: SyntaxError: expected ':'", "; ".join(told))
    assert await stage.ask("!hello", "!p1", "!slow 0") == ["hello 2", *before]


@both_modes
@pytest.mark.parametrize("stage", [{"before": "L13_ledger"}], indirect=True, ids=["ledger"])
async def test_l13_every_question_is_answered_once_by_versions_that_never_go_back(stage: Stage) -> None:
    """Each question has a number. Every fifth save is a broken one; each comes when 15 more questions are answered."""
    asked = 0
    loop = asyncio.get_running_loop()

    def ask() -> None:
        nonlocal asked, timer
        asked += 1
        stage.server.send_raw(BOT, f":usr!usr@home.example PRIVMSG {TALK} :!entry {asked}")
        timer = loop.call_at(timer.when() + ASK_SECONDS, ask)

    timer = loop.call_later(0.0, ask)
    version, good, heard = 1, stage.read("ledger.py"), [await stage.talk.next()]
    for save in range(1, SAVES + 1):
        if save % 5 == 0:
            await stage.write("ledger.py", good.replace("int):", "int)"))
            await stage.report(rf"ledger stays g{version}: .*")
        else:
            version += 1
            good = re.sub(r"VERSION = \d+", f"VERSION = {version}", good)
            await stage.write("ledger.py", good)
            await stage.report(rf"ledger g{version - 1} -> g{version} .*")
        while len(heard) < save * 15:
            heard.append(await stage.talk.next())
    timer.cancel()
    told = [re.fullmatch(r"entry (\d+) V(\d+)", answer) for answer in [*heard, *await stage.ask()]]
    ledger = [(int(each[1]), int(each[2])) for each in told if each]
    assert [number for number, _ in ledger] == list(range(1, asked + 1))
    versions = [version for _, version in ledger]
    assert versions == sorted(versions) and len(told) == asked
    assert set(versions) == set(range(1, version + 1))
