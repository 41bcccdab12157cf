"""Section P of the reliability catalogue: what plugins do to a bot, and that it costs nobody but themselves.

The stage's PING is answered within a second all along, the crowd gets each answer once. In one process (`--single`)
nobody can help where code holds the whole interpreter or ends the process (P07, P09, P05 in an `async def`); in two
the keeper replaces the worker.
"""

from __future__ import annotations

import asyncio
import re

import pytest
from crowd import ASKED
from stage import TALK, Stage, both_modes

SILENCE_SECONDS, HANDLER_SECONDS = 1.0, 1.0


def before(folder: str, **options: object) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("stage", [{"before": folder, **options}], indirect=True, ids=[folder])


short = {"handler_seconds": HANDLER_SECONDS}


async def claim(stage: Stage, pattern: str, count: int) -> None:
    """Wait for so many records of the log that nothing before has fitted; they are expected, and there are no more."""
    known = sum(re.search(pattern, stage.program.log[place]) is not None for place in stage._claimed)
    found = set(await stage.program.logged(pattern, known + count))
    assert len(found) == known + count, [stage.program.log[place] for place in found - stage._claimed]
    stage._claimed |= found


def now() -> float:
    return asyncio.get_running_loop().time()


# --- P01

OLD = "; the old version goes on answering"
FAULTY = {
    "if True\n": r"NAME\.py:1: SyntaxError: expected ':'",
    "from bot import nothing\n": r"NAME\.py:1: ImportError: cannot import name 'nothing' from 'bot'",
    "import nothing\n": r"NAME\.py:1: .*nothing.*",
    "nothing\n": r"NAME\.py:1: NameError: name 'nothing' is not defined",
    "\nraise RuntimeError('no')\n": r"NAME\.py:2: RuntimeError: no",
    "from bot import command\n@command('hello')\nasync def hello(): return 'no'\n": (
        r"NAME\.py:2: TypeError: hello\(\) must take ctx as its first argument"
    ),
    "from bot import setup\n@setup\ndef begin(): pass\n": r"NAME\.py:2: TypeError: begin\(\) must take ctx .*",
}


@both_modes
async def test_p01_whatever_is_wrong_with_a_file_the_old_version_stays_and_one_line_says_where(stage: Stage) -> None:
    """There is no entry point that could be missing: a file that declares nothing is a plugin without commands."""
    for text, why in FAULTY.items():
        await stage.write("hello.py", text)
        await stage.refused(rf"hello stays g1: {why.replace('NAME', 'hello')}{OLD}")
        await stage.write("fresh.py", text)
        await stage.report(rf"fresh not loaded: {why.replace('NAME', 'fresh')}")
        stage._claimed |= set(stage.program.errors())
    await stage.do(("delete", "plugins/fresh.py"))
    await stage.report("fresh: the file that could not be loaded is gone")


# --- P02, P04, P10, P21

RAISED = {
    "fails exception": "LookupError",
    "fails recursion": "RecursionError",
    "fails memory": "MemoryError",
    "fails speechless": "Speechless",
    "fails finally": "KeyError",
    "fails exit": "SystemExit",
    "fails interrupt": "KeyboardInterrupt",
    "fails cancelled": "CancelledError",
    "fails closed": "GeneratorExit",
    "fails own": "Own",
    "plain exit": "CallEnded",
    "plain stop": "RuntimeError",
    "huge": "MemoryError",
    "grow": "MemoryError",
    "here": "RecursionError",
    "plainly": "RecursionError",
}


@both_modes
@before("p04_fails", through=("prlimit", f"--as={3 << 30}"))
async def test_p02_p04_p10_p21_whatever_a_handler_raises_costs_one_line_and_no_other_handler(stage: Stage) -> None:
    """Memory that is not there, and commands of two plugins that call each other for ever, end like other mistakes.

    Where the kernel ends the worker for its memory the rule of P09 holds.
    """
    for line, error in RAISED.items():
        answer = await stage.order(f"!{line}", "usr")
        name = line.split()[0]
        assert re.fullmatch(rf"{name} failed \(error \w+\)", answer)
        await claim(stage, rf"\.{name} .* failed \(error {answer[-5:-1]}\): {error}", 1)
    assert await stage.order("!plain generator", "usr") == "before"
    assert (await stage.talk.next()).startswith("plain failed (error ")
    assert sorted([await stage.order("everybody", "usr"), await stage.talk.next()]) == ["hears", "third"]
    await claim(stage, r"fails\.(plain|first|second) .*LookupError", 3)
    assert await stage.ask("!aloud") == ["!aloud"]  # what the bot says itself is no command
    for answer in await stage.ask(*["!fails exception"] * 1000):
        assert re.fullmatch(r"fails failed \(error \w+\)", answer)
    await claim(stage, r"fails\.fails .* failed .*LookupError", 9)  # ten with the first; no flood


# --- P05, P06


@both_modes
@before("p05_blocks", timeouts={"handler_seconds": HANDLER_SECONDS})
async def test_p05_p06_calls_that_block_are_ended_or_left_behind_and_others_are_answered(stage: Stage) -> None:
    """In `def` handlers; one that computes for ever is really ended, so that the processor is free again."""
    ways = ["sleep", "socket", "lock", *["spin"] * 10]
    began = now()
    assert await stage.ask("!hello", *(f"!block {way}" for way in ways), "!await", "!hello") == ["hello 1"] * 2
    assert now() - began < 2
    told = sorted([await stage.talk.next() for _ in range(len(ways) + 1)])
    late = f" took longer than {HANDLER_SECONDS:g} s and was stopped"
    assert told == [f"await{late}", *[f"block{late}"] * len(ways)]
    await claim(stage, r"blocks\.block .* could not be stopped; its thread is left behind", 3)
    await claim(stage, rf"blocks\.(block|wait) .* took longer than {HANDLER_SECONDS:g} s", 11)
    used, since = stage.program.cpu_seconds(), now()
    for _ in range(2):
        await stage.ticks.next()
    assert stage.program.cpu_seconds() - used < 0.3 * (now() - since)
    assert await stage.ask("!hello") == ["hello 1"]


# --- P05, P06, P07 where only another process can help


async def is_out(stage: Stage, name: str, workers: int = 1) -> None:
    """A plugin was found out: it is said why, where it hung is logged, and it answers no more."""
    for _ in range(workers):
        await stage.report("the bot's worker was silent and was replaced")
    line = await stage.reports.next()
    assert re.fullmatch(rf"{name} ended the bot's worker with «!{name}» .*: it is unloaded until it changes, .*", line)
    del stage.generations[name]
    assert await stage.ask(f"!{name}") == []
    await claim(stage, "has been silent for|was silent; starting another|not delivered again", 2 * workers + 1)
    await claim(stage, rf"(?s)where the worker \d+ was when it ended.*{name}\.py", workers)


@pytest.mark.parametrize("mode", ["two"])
@before("p07_holds", timeouts={"silence_seconds": SILENCE_SECONDS})
async def test_p05_p06_p07_code_that_holds_the_process_costs_one_worker_and_its_plugin(stage: Stage) -> None:
    """`async def` handlers that block, and a regular expression: the next answer comes within the silence and 3 s."""
    await stage.crowd.spare(*ASKED)
    stage.counter_begins_anew()
    await stage.ticks.next()  # what the server tells of the channels has come by then
    ends = 0
    for name in ("asleep", "deaf", "spins", "matches"):
        began, stage.process = now(), 0
        stage._people["usr"].privmsg(TALK, f"!{name}")
        await stage.program.logged("was silent; starting another", ends := ends + 1)
        assert await stage.ask("!hello") == ["hello 1"]
        assert now() - began < SILENCE_SECONDS + 3 + 1  # one for a busy machine
        await is_out(stage, name)
    stage.process = 0
    assert await stage.ask("!p1", "!jams", "!p2") == ["p1 V1", "p2 V1"]  # then the rest of them is suspected, too
    await is_out(stage, "jams", workers=2)
    assert await stage.ask("!count") == ["count 1"]


# --- P13


@both_modes
@before("p13_floods")
async def test_p13_a_hundred_thousand_lines_of_log_and_of_print_hold_nobody_up(stage: Stage) -> None:
    for way, count in {"info": 100_000, "error": 1000, "print": 100_000}.items():
        began = now()
        said = await stage.ask(f"!flood {way} {count}", "!hello")
        assert "hello 1" in said and now() - began < 2
        assert sorted([*said, *([await stage.talk.next()] if len(said) == 1 else [])]) == sorted(
            [f"{way} {count}", "hello 1"]
        )
    await claim(stage, r"error .* logged \d", 10)
    assert len(await stage.program.logged(r"info .* logged \d", 1000)) == 1000


# --- P16, P17

SECOND = """from bot import command

@command("two", "shared")
async def two(ctx): return "two"
"""
NAMES = ("", " ", "a b", "a\r\nb", "a\0b", "a\x01b", "a.b", "a" * 1000, "a\u2028b", "a\u200bb", "a\x9bb", "\ud800")
ODD = ("C++(*|", "[a", "GRÖSSE", "ß", "日本")


@both_modes
@before("p16_alias")
async def test_p16_p17_a_command_or_alias_is_its_first_owners_and_can_be_typed(stage: Stage) -> None:
    """It passes on when its owner goes; the same with names of commands in all their turns: case 29."""
    third = SECOND.replace("two", "one").replace("shared", "other")
    await stage.do(("write", "plugins/two.py", SECOND), ("write", "plugins/three.py", third))
    await stage.report(
        r"three not loaded: three\.py:3: !one belongs to one; three loads by itself when one lets go of it; "
        r"two loaded g1 \(\w{7}\); two: the alias !shared belongs to one; !two\.shared works"
    )
    assert await stage.ask("!shared", "!two.shared", "!one", "!other") == ["one", "two", "one"]
    await stage.do(("delete", "plugins/one.py"))
    await stage.report(r"three loaded g1 \(\w{7}\); one unloaded")
    assert await stage.ask("!shared", "!one", "!other") == ["two", "one", "one"]
    for number, name in enumerate(NAMES):
        await stage.write("odd.py", f"# {number}\nfrom bot import command\n@command({name!a})\ndef odd(ctx): pass\n")
        await stage.report(r"odd not loaded: odd\.py:3: ValueError: '.*' can't be a command: .*")
    await claim(stage, "Traceback", 10)  # the log holds the others back
    for version, name in enumerate(ODD, 1):
        text = f"from bot import command\n@command({name!r})\nasync def odd(ctx): return {name!r}\n"
        await stage.write("odd.py", text)
        await stage.report(rf"odd g{version - 1} -> g{version} .*" if version > 1 else "odd loaded g1 .*")
        assert await stage.ask(f"!{name}", f"!{name.lower()}", f"!{name}x", "!odd") == [name] * 2
