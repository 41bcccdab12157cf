"""Cases 16 to 31 of the reload catalogue: broken edits."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable

import pytest
from stage import Stage, both_modes, files_of

OLD = "; the old version goes on answering"


async def test_16_a_syntax_error_keeps_the_old_version(stage: Stage) -> None:
    await stage.edit("hello.py", "async def hello(ctx):", "async def hello(ctx)")
    await stage.refused(rf"hello stays g1: hello\.py:7: SyntaxError: expected ':'{OLD}")


async def test_17_mending_it_is_live(stage: Stage) -> None:
    await stage.edit("hello.py", "async def hello(ctx):", "async def hello(ctx)")
    await stage.refused(rf"hello stays g1: hello\.py:7: SyntaxError: .*{OLD}")
    await stage.write("hello.py", files_of("base")["hello.py"].replace("hello 1", "hello 2"))
    await stage.report(r"hello g1 -> g2 .*: ~hello, \d+ ms")
    assert await stage.ask("!hello") == ["hello 2"]


async def test_17_undoing_it_is_told_and_no_change(stage: Stage) -> None:
    await stage.edit("hello.py", "async def hello(ctx):", "async def hello(ctx)")
    await stage.refused(rf"hello stays g1: hello\.py:7: SyntaxError: .*{OLD}")
    await stage.write("hello.py", files_of("base")["hello.py"])
    await stage.report(r"hello g1 \(\w{7}\) is what the file holds again")
    await stage.nothing_happens()


async def test_18_the_same_broken_content_is_told_once(stage: Stage) -> None:
    broken = stage.edited("hello.py", "async def hello(ctx):", "async def hello(ctx)")
    await stage.write("hello.py", broken)
    await stage.refused(rf"hello stays g1: hello\.py:7: SyntaxError: .*{OLD}")
    for _ in range(2):
        await stage.write("hello.py", broken)
        await stage.nothing_happens()


async def test_19_an_error_at_import_keeps_all_of_the_old_version(stage: Stage) -> None:
    more = '\n\n@command("extra")\nasync def extra(ctx):\n    return "extra"\n\n\n1 / 0\n'
    await stage.write("hello.py", stage.read("hello.py").replace("hello 1", "hello 2") + more)
    await stage.refused(rf"hello stays g1: hello\.py:17: ZeroDivisionError: division by zero{OLD}")
    assert await stage.ask("!hello", "!extra") == ["hello 1"]
    await stage.trace("1 / 0")


async def test_20_a_missing_module_is_named(stage: Stage) -> None:
    await stage.edit("hello.py", "from bot", "import nosuchmodule\nfrom bot")
    why = "ModuleNotFoundError: No module named 'nosuchmodule'; if it is a package: pip install nosuchmodule"
    await stage.refused(rf"hello stays g1: hello\.py:3: {re.escape(why)}{OLD}")
    await stage.trace("import nosuchmodule")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("import sys; sys.exit()", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise SystemExit(3)", "SystemExit: 3"),
    ],
    ids=["exit", "interrupt", "system-exit"],
)
async def test_21_no_import_ends_the_bot(stage: Stage, statement: str, why: str) -> None:
    await stage.edit("hello.py", "from bot", f"{statement}\nfrom bot")
    await stage.refused(rf"hello stays g1: hello\.py:3: {why}{OLD}")
    await stage.trace(statement)


async def test_25_a_setup_that_fails_leaves_nothing_open(stage: Stage) -> None:
    await stage.put("25_setup")
    await stage.refused(rf"hello stays g1: hello\.py:20: setup: LookupError: no key{OLD}")
    await stage.program.logged("the door is closed")
    await stage.trace('raise LookupError("no key")')


@pytest.mark.parametrize("stage", [{"before": "26_teardown/before"}], indirect=True, ids=["farewell"])
async def test_26_a_teardown_that_fails_does_not_hold_up_the_new_version(stage: Stage) -> None:
    await stage.put("26_teardown/after")
    await stage.report(r"farewell g1 -> g2 .*: ~farewell, \d+ ms")
    assert await stage.ask("!farewell") == ["farewell 2"]
    await stage.trace('raise LookupError("no way out")')
    assert len(await stage.program.logged("warning .*farewell g1: teardown failed")) == 1


dup = pytest.mark.parametrize("stage", [{"before": "29_dup/before"}], indirect=True, ids=["dup"])
REFUSED = r"second not loaded: second\.py:\d+: !dup belongs to first; second loads by itself when first lets go of it"


@dup
async def test_29_a_command_belongs_to_who_had_it_first(stage: Stage) -> None:
    """The newcomer is refused as a whole, loads when the holder goes, and goes when the holder is back."""
    await stage.put("29_dup/newcomer")
    await stage.refused(REFUSED)
    assert await stage.ask("!dup", "!extra") == ["first"]
    await stage.do(("delete", "plugins/first.py"))
    await stage.report(r"second loaded g1 \(\w{7}\); first unloaded")
    assert await stage.ask("!dup", "!extra") == ["second", "extra"]
    await stage.put("29_dup/before")
    await stage.report(r"first loaded g2 \(\w{7}\); second unloaded")
    assert await stage.ask("!dup", "!extra") == ["first"]
    await stage.do(("delete", "plugins/second.py"))
    await stage.nothing_happens()
    assert await stage.ask("!dup", "!extra") == ["first"]


@dup
async def test_29_a_holder_that_gives_its_command_up_lets_the_newcomer_in(stage: Stage) -> None:
    await stage.put("29_dup/newcomer")
    await stage.refused(REFUSED)
    await stage.edit("first.py", '"dup"', '"sole"')
    await stage.report(r"first g1 -> g2 .*: \+sole -dup, \d+ ms; second loaded g1 \(\w{7}\)")
    assert await stage.ask("!dup", "!extra", "!sole") == ["second", "extra", "first"]


@pytest.mark.parametrize("stage", [{"before": "29_dup/both"}], indirect=True, ids=["both"])
async def test_29_at_the_very_first_start_the_name_decides(stage: Stage) -> None:
    await stage.report(REFUSED)
    assert await stage.ask("!dup", "!extra") == ["first"]
    await stage.do(("delete", "plugins/first.py"))
    await stage.report(r"second loaded g1 \(\w{7}\); first unloaded")
    assert await stage.ask("!dup", "!extra") == ["second", "extra"]


async def test_30_a_built_in_command_is_nobodys(stage: Stage) -> None:
    await stage.put("30_builtin")
    await stage.refused(r"grab not loaded: grab\.py:\d+: !reload is built in and can't be claimed; rename the command")
    answer = await stage.order("!reload hello")
    assert re.match("hello g1 -> g2 ", answer)
    await stage.report(re.escape(answer))


@pytest.mark.parametrize("stage", [{"before": "31_broken"}], indirect=True, ids=["ten"])
async def test_31_one_broken_plugin_at_the_start_costs_the_others_nothing(stage: Stage) -> None:
    await stage.refused(r"broken not loaded: broken\.py:11: ZeroDivisionError: division by zero")
    await stage.trace("1 / 0  # noqa: B018")
    await stage.edit("broken.py", "1 / 0", "1 / 1")
    await stage.report(r"broken loaded g1 \(\w{7}\)")
    assert await stage.ask("!broken") == ["mended"]


async def until(check: Callable[[], bool]) -> None:
    """Wait for something outside this process, for as long as case 22 allows."""
    async with asyncio.timeout(10):
        while not check():  # noqa: ASYNC110  # other processes set no events
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("stage", [{"timeouts": {"import_seconds": 1}}], indirect=True, ids=["short"])
@pytest.mark.parametrize("body", ["while True: pass", "import time; time.sleep(60)"], ids=["loop", "sleep"])
async def test_22_an_endless_import_is_broken_off_and_nobody_waits_for_it(stage: Stage, body: str) -> None:
    """The old version answers all the while, and nothing is left running."""
    await stage.edit("hello.py", "from bot", f"{body}\nfrom bot")
    for _ in range(3):
        assert await stage.ask("!hello", "!p1") == ["hello 1", "p1 V1"]
    tried_in = stage.program.tried_in()
    assert tried_in
    await stage.refused(rf"hello stays g1: hello\.py:3: the import took longer than 1 s{OLD}")
    await until(lambda: not tried_in & stage.program.tried_in())


@both_modes
@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("import os; os._exit(1)", r"hello\.py: ended the trial process \(exit code 1\)"),
        ("import os; os.abort()", r"hello\.py:3: killed the trial process \(signal 6, SIGABRT\)"),
        ("import ctypes; ctypes.string_at(0)", r"hello\.py:3: killed the trial process \(signal 11, SIGSEGV\)"),
    ],
    ids=["exit", "abort", "null"],
)
async def test_23_an_import_that_ends_its_process_costs_one_line(stage: Stage, statement: str, why: str) -> None:
    await stage.edit("hello.py", "from bot", f"{statement}\nfrom bot")
    await stage.refused(rf"hello stays g1: {why}{OLD}")


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("f = lambda: f(); f()", "RecursionError: maximum recursion depth exceeded"),
        ("x = 'a' * 10 ** 12", "MemoryError"),
    ],
    ids=["recursion", "memory"],
)
async def test_24_an_import_without_measure_costs_one_line(stage: Stage, statement: str, why: str) -> None:
    await stage.edit("hello.py", "from bot", f"{statement}\nfrom bot")
    await stage.refused(rf"hello stays g1: hello\.py:3: {why}{OLD}")
    await stage.trace(statement)


UNUSUAL = {
    "raise GeneratorExit": "GeneratorExit",
    "import asyncio; raise asyncio.CancelledError": "CancelledError",
    "raise type('Own', (BaseException,), {})('own')": "Own: own",
}


@both_modes
async def test_p02_no_exception_of_an_import_gets_out(stage: Stage) -> None:
    good = stage.read("hello.py")
    for statement, why in UNUSUAL.items():
        await stage.write("hello.py", good.replace("from bot", f"{statement}\nfrom bot"))
        await stage.refused(rf"hello stays g1: hello\.py:3: {why}{OLD}")
        await stage.trace(statement)


WAITING = {
    "input()": "EOFError: EOF when reading a line",
    "import socket; a, b = socket.socketpair(); a.recv(1)": "the import took longer than 1 s",
    "import time; time.sleep(60)": "the import took longer than 1 s",
}


@both_modes
@pytest.mark.parametrize("stage", [{"timeouts": {"import_seconds": 1}}], indirect=True, ids=["short"])
async def test_p03_an_import_that_waits_for_somebody_is_broken_off(stage: Stage) -> None:
    good = stage.read("hello.py")
    for statement, why in WAITING.items():
        await stage.write("hello.py", good.replace("from bot", f"{statement}\nfrom bot"))
        await stage.refused(rf"hello stays g1: hello\.py:3: {why}{OLD}")
        if why.startswith("EOF"):
            await stage.trace(statement)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = " + "(" * 500 + ")" * 500, r"hello\.py:1: SyntaxError: too many nested parentheses"),
        ("#" * (5 << 20), r"hello\.py: larger than 1 MiB"),
        ("x = " + "9" * 5000, r"hello\.py:1: SyntaxError: .*"),
    ],
    ids=["nesting", "size", "digits"],
)
async def test_l23_a_source_beyond_all_measure_is_one_clear_error(stage: Stage, text: str, why: str) -> None:
    await stage.write("hello.py", text)
    await stage.refused(rf"hello stays g1: {why}.*{OLD}")
