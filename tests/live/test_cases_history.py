"""What was live before: going back, broken files at a start, and cases L19, L30 and 31 of the catalogues."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from program import PATIENCE_SECONDS, Program
from stage import REPORTS, TALK, Stage, both_modes, config, files_of

from bot.server import Client, Server

OLD = "; the old version goes on answering"
WORKING = files_of("base")["hello.py"]
BROKEN = WORKING.replace("async def hello(ctx):", "async def hello(ctx)")
FAILING = WORKING.replace('return "hello 1"', "return 1 / 0")


async def test_l19_each_broken_content_is_told_once(stage: Stage) -> None:
    await stage.write("hello.py", BROKEN)
    await stage.refused(rf"hello stays g1: hello\.py:7: SyntaxError: expected ':'{OLD}")
    await stage.write("hello.py", BROKEN)
    await stage.nothing_happens()
    await stage.write("hello.py", WORKING.replace('return "hello 1"', "return ("))
    await stage.refused(rf"hello stays g1: hello\.py:9: SyntaxError: '\(' was never closed{OLD}")
    await stage.write("hello.py", WORKING.replace("hello 1", "hello 2"))
    await stage.report(r"hello g1 -> g2 .*: ~hello, \d+ ms")
    assert len([line for line in stage.reports.lines if "hello stays" in line]) == 2


async def test_a_rollback_is_one_commit_and_lasts_until_the_file_changes(stage: Stage) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.report(r"hello g1 -> g2 .*: ~hello, \d+ ms")
    answer = await stage.order("!rollback hello")
    pinned = r"hello rolled back to \w{7}, pinned until hello\.py changes; hello g2 -> g3 \(.*\): ~hello, \d+ ms"
    assert re.fullmatch(pinned, answer)
    await stage.report(pinned)
    assert await stage.ask("!hello") == ["hello 1"]
    assert re.fullmatch(
        r"hello g3 \w{7}, age .*, \d+ in flight, pinned until its file changes", await stage.order("!version hello")
    )
    await stage.edit("hello.py", "hello 2", "hello 3")
    await stage.report(r"hello g3 -> g4 .*: ~hello, \d+ ms; hello is no longer pinned to \w{7}")
    assert await stage.ask("!hello") == ["hello 3"]


async def test_a_rollback_of_a_shared_module_rebuilds_all_that_import_it(stage: Stage) -> None:
    await stage.write("_common.py", "V = 2\n")
    await stage.report(r"p1 g1 -> g2 .*; p2 g1 -> g2 .*; p3 g1 -> g2 .*; \+2 more")
    answer = await stage.order("!rollback _common")
    assert answer.startswith("_common rolled back to ")
    await stage.report(
        r"_common rolled back to \w{7}, pinned until _common\.py changes; p1 g2 -> g3 .*; p2 g2 -> g3 .*; \+3 more"
    )
    assert await stage.ask("!p1", "!p5") == ["p1 V1", "p5 V1"]


async def test_a_version_that_fails_far_more_often_is_taken_back_by_itself(stage: Stage) -> None:
    for _ in range(10):
        await stage.ask("!hello")
    await stage.crowd.spare("!hello")
    await stage.write("hello.py", FAILING)
    await stage.report(r"hello g1 -> g2 .*: ~hello, \d+ ms")
    for _ in range(5):
        (answer,) = await stage.ask("!hello")
        assert re.fullmatch(r"hello failed \(error \w{4}\)", answer)
        assert answer[-5:-1] in await stage.trace("return 1 / 0")
    await stage.report(
        r"hello rolled back to \w{7}, pinned until hello\.py changes: "
        r"g2 failed 5 of 5 calls in \d+ s \(g1: 0 of \d+\); hello g2 -> g3 .*: ~hello, \d+ ms"
    )
    assert await stage.ask("!hello") == ["hello 1"]


@both_modes
async def test_31_a_broken_file_at_a_start_runs_its_last_good_version(stage: Stage) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.report(r"hello g1 -> g2 .*: ~hello, \d+ ms")
    await stage.restart(kill=False, hello=BROKEN, _common="V = = 2\n")
    assert await stage.ask("!hello", "!p1", "!p5") == ["hello 2", "p1 V1", "p5 V1"]
    day = r"\d{4}-\d\d-\d\d"
    await stage.report(
        rf"p1 runs its last good version \w{{7}} of {day} \(also p2, p3, \+2\): _common\.py:1: SyntaxError: .*; "
        rf"hello runs its last good version \w{{7}} of {day}: hello\.py:7: SyntaxError: expected ':'"
    )
    assert (await stage.order("!plugins")).endswith("; failed: hello, p1, p2, p3, p4, p5")
    await stage.write("_common.py", "V = 2\n")
    await stage.report(r"p1 g1 -> g2 .*; p2 g1 -> g2 .*; p3 g1 -> g2 .*; \+2 more")
    await stage.write("hello.py", WORKING.replace("hello 1", "hello 3"))
    await stage.report(r"hello g1 -> g2 .*: ~hello, \d+ ms")
    assert await stage.ask("!hello", "!p1") == ["hello 3", "p1 V2"]


@both_modes
async def test_a_rollback_survives_a_restart(stage: Stage) -> None:
    await stage.edit("hello.py", "hello 1", "hello 2")
    await stage.report(r"hello g1 -> g2 .*: ~hello, \d+ ms")
    await stage.order("!rollback hello")
    await stage.report(r"hello rolled back to \w{7}.*; hello g2 -> g3 .*")
    await stage.restart(kill=False)
    assert await stage.ask("!hello") == ["hello 1"]
    await stage.edit("hello.py", "hello 2", "hello 3")
    await stage.report(r"hello g1 -> g2 .*: ~hello, \d+ ms; hello is no longer pinned to \w{7}")


GOOD = 'from bot import command\n\n\n@command("good")\nasync def good(ctx):\n    return "good"\n'
BAD = "def ("


@pytest.mark.parametrize(
    ("files", "reports", "plugins"),
    [
        ({"good.py": GOOD, "bad.py": BAD}, 1, "plugins: good; failed: bad"),
        ({"bad.py": BAD, "worse.py": "1 / 0\n"}, 1, "no plugin is live; failed: bad, worse"),
        ({}, 0, "no plugin is live"),
        (None, 0, "no plugin is live"),
    ],
    ids=["one", "all", "none", "no folder"],
)
async def test_l30_it_starts_connects_and_reports(
    tmp_path: Path, files: dict[str, str] | None, reports: int, plugins: str
) -> None:
    if files is not None:
        (tmp_path / "plugins").mkdir()
        for name, text in files.items():
            (tmp_path / "plugins" / name).write_text(text)
    server = Server(network="test")
    await server.start()
    program = Program(tmp_path, config(server.port, {}))
    client = await Client.connect("127.0.0.1", server.port, "usr")
    for channel in (TALK, REPORTS):
        client.send(f"JOIN {channel}")
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await program.start()
            await client.expect(lambda line: re.match(rf":neverquit!\S+ JOIN :?{TALK}", line))
            told = [await client.expect(f"PRIVMSG {REPORTS} :") for _ in range(reports)]
            client.privmsg(TALK, "!plugins")
            assert (await client.expect(f"PRIVMSG {TALK} :")).endswith(f":{plugins}")
            (tmp_path / "plugins").mkdir(exist_ok=True)
            (tmp_path / "plugins" / "new.py").write_text(GOOD.replace("good", "new"))
            await client.expect(f"PRIVMSG {REPORTS} :new loaded g1")
        broken = [name.removesuffix(".py") for name, text in (files or {}).items() if text != GOOD]
        assert [line for line in told if not all(f"{name} not loaded: {name}.py:1: " in line for name in broken)] == []
    finally:
        code = await program.stop()
        await client.close()
        await server.stop()
    assert code == 0
