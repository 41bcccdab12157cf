"""The catalogue of reloading and of what plugins do to a bot: every case that must hold, one line each, and that each
of them has its test. Those of the connection to IRC are in `tests/wire/test_catalogue_irc.py`.

Tests are named after their cases: `test_07_...` is case 7, `test_l13_...` is case L13, `test_p16_p17_...` is two. Those
of reloading are in `test_cases_*.py` beside this file. Each test there runs on the `stage` fixture, a running bot on a
real server, and so with every invariant that `stage.verify` looks at; those few that can't are named in `OFF_STAGE`,
each with why. Of the others some stand where the same processes are tested otherwise: `ELSEWHERE`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CASES = """
easy edits
  01 an edit in place is live, and told in one line
  02 a reload by command, nobody watching
  03 a stranger may not reload
  04 an unknown name is answered with the nearest
  05 an unchanged file is a new generation if asked for, its counter untouched
  06 the same content saved again, touched, or back within the quiet window is no change
  07 a new file is a new plugin
  08 a deleted file takes its commands along, after a grace
  09 made again, it is live again with its kept state
  10 a renamed file keeps its command without a gap; state follows STATE_NAME alone
  11 a renamed command changes its name in one instant
  12 a command that the new version has not is gone, the other answers
  13 alias, permission, limit and help are live, the counter goes on
  14 by-products of editors are no plugins
  15 all that import a shared module change in one instant
broken edits
  16 a syntax error: the old version answers, one line says where
  17 mended, it is live
  18 the same broken content is told once
  19 an error after good definitions takes none of them live
  20 a missing module is named
  21 no import ends the bot: exit, interrupt
  22 an endless import: the old version answers all the while, one line after the deadline
  23 an import that kills its process: one line says so
  24 endless recursion and absurd sizes: one line
  25 a setup that fails closes what it had opened
  26 a teardown that fails holds nothing up
  27 what is no Python source is told in one line
  28 every form of a source is live with its characters
  29 a command belongs to who had it first; the newcomer waits whole
  30 a built-in command is nobody's
  31 one broken plugin at the start costs the others nothing
how files get written
  32 in two chunks: one reload, of the whole
  33 emptied, closed and written again: never unloaded
  34 renamed or linked over, from inside and outside
  35 by vim, nano, emacs and sed, in each of their ways
  36 an edit at once after a file left is not held up
  37 a package that is copied file by file loads once, when it is whole
  38 a checkout of many files is one transaction
  39 the whole folder gone and restored: no command lost, still watched
  40 the folder is a symlink, and is swapped
  41 a folder of symlinks is swapped as Kubernetes does it
  42 two edits of one size within one second
  43 an edit whose size and time are put back
  44 two hundred saves at twenty a second: the last is live
imports
  45 however a shared module is imported, its change shows
  46 importers are rebuilt in order, and nobody else
  47 two plugins that import each other reload both, once
  48 a module that becomes a package, and back, without a gap
  49 a package reloads as one, whatever changes in it
  50 a package's side effect happens once a commit in the bot, and the trial says nothing
  51 a shared module that is still imported can't go
  52 a user saved before what it imports is live without another save
  53 a base method in another file changes; super() and isinstance hold
state
  54 a kept counter goes on
  55 stored values survive a restart and a kill
  56 a name that was never kept has its factory's value
  57 migrate is called once a commit
  58 a migrate that fails leaves the old value, whatever it did to its copy
calls, tasks, jobs
  59 a call in flight ends on its own version
  60 an asynchronous generator says all its lines from its own version, in order
  61 a job that is edited keeps its due time
  62 a job that is removed runs no more
  63 a background task is there once, and the old one ends properly
  64 a port that can be open only once passes from the old version to the new, or stays
the command
  65 a save, a reload and a second reload at once: one step, all answered
  66 a handler that reloads its own plugin and waits for it
reliability
  L01 a file written in twenty pieces over a second
  L02 every way to write a file: one reload each
  L03 by-products of editors and tools, at length
  L04 symlinks: swapped, edited at their target, broken
  L05 deleted, made again, renamed to another's name: teardown once
  L06 the folder deleted, moved away, missing at the start
  L07 a file that can't be read, then can
  L08 forty edits of one size, with bytecode files allowed
  L10 touch, chmod, the same bytes: state kept, no reload
  L11 two files at once, one broken
  L12 a call in flight while three reloads pass
  L13 two hundred questions a second over fifty saves: a ledger of answers and versions
  L14 two hundred files at once, twice
  L16 a module behind modules and in packages: no mixed versions
  L17 imports in circles: a coherent set, or the circle named
  L19 good, broken, broken again, broken otherwise, good: two reports of failure
  L20 a setup that fails half-way is undone whole
  L21 a name that is gone, a module that fails in the middle: nothing is left of either
  L23 odd encodings, huge and deep sources: compiled, or one clear line
  L25 odd file names: by rule, told once
  L26 no watches to be had: polling, and said so
  L27 an edit while there is no connection
  L28 a command at the moment of the file event, from two admins
  L29 idling after a load is no reload
  L30 a bad plugin at the start, all bad, none at all
plugin faults
  P01 an import that fails, in each way: the old version or none, with file and line, told once
  P02 no exception gets out, those that are no Exception either
  P03 an import that waits, for a person, a peer or the time, is broken off
  P04 a handler that raises costs one short line, others run; a thousand times is no flood
  P05 a handler that blocks: PING and others are answered, it is ended or left behind, and told
  P06 one that computes for ever, ten at once: the processor is free again
  P07 a regular expression that holds the interpreter costs one worker (two processes alone can help)
  P09 a plugin that ends the process: another worker within 5 s, the plugin is out (in two processes)
  P10 memory that is not there is missed by the plugin alone; or the rule of P09 holds
  P11 threads, timers and tasks end with their version
  P12 files, sockets and processes are closed with theirs
  P13 a hundred thousand lines of log and of print, streams taken away: nobody waits, nothing is silenced
  P15 a forked child that comes back ends, says nothing, and is buried
  P16 a command or alias of two plugins: the first has it, the other is told, and gets it when that goes
  P17 names that nobody can type are refused at registration
  P18 a teardown that raises, hangs or reloads holds nothing up
  P19 kept values of another shape: brought over, or refused with what to do
  P21 commands that call each other end at a depth
  P22 what one handler changes no other sees
  P23 a plugin unloads itself and still answers
"""
WANTED = {line.split()[0].lower(): line.split(maxsplit=1)[1] for line in CASES.splitlines() if line.startswith("  ")}
OFF_STAGE = {
    "test_l06_a_folder_that_is_missing_at_the_start_is_waited_for": "the stage has plugins",
    "test_l27_an_edit_does_not_wait_for_the_network": "the stage has a network",
    "test_l29_a_bot_that_idles_reloads_nothing_and_costs_nothing": "on stage it is asked all the time",
    "test_l30_it_starts_connects_and_reports": "the stage has plugins",
}
FOLDER = Path(__file__).parent


TESTS_FOLDER = FOLDER.parent
ELSEWHERE = ("test_poison.py",)  # of cases P


def functions_of(file: Path) -> list[ast.AsyncFunctionDef | ast.FunctionDef]:
    found = ast.walk(ast.parse(file.read_bytes()))
    kinds = (ast.AsyncFunctionDef, ast.FunctionDef)
    return [each for each in found if isinstance(each, kinds) and each.name.startswith("test_")]


def cases_of(name: str) -> list[str]:
    """Return the cases that a test is named after: `test_p16_p17_names...` is two."""
    found = re.match(r"test((?:_(?:\d\d|[lp]\d\d)(?=_))+)", name)
    return found[1].strip("_").split("_") if found else []


TESTS = {file.name: functions_of(file) for file in sorted(FOLDER.glob("test_cases_*.py"))}
OTHERS = {name: functions_of(TESTS_FOLDER / name) for name in ELSEWHERE}
TESTED = {case for tests in (*TESTS.values(), *OTHERS.values()) for each in tests for case in cases_of(each.name)}


def test_the_catalogue_is_whole() -> None:
    """66 cases of reloading, and of reliability those which there are: the numbers have holes."""
    reload = [f"l{each:02}" for each in range(1, 31) if each not in (9, 15, 18, 22, 24)]
    plugins = [f"p{each:02}" for each in range(1, 24) if each not in (8, 14, 20)]
    assert list(WANTED) == [*(f"{each:02}" for each in range(1, 67)), *reload, *plugins]


@pytest.mark.parametrize("case", WANTED)
def test_each_case_has_its_test(case: str) -> None:
    where = f"{FOLDER.name}/test_cases_*.py" + (f" or {', '.join(ELSEWHERE)}" if case[0] == "p" else "")
    assert case in TESTED, f"case {case}, {WANTED[case]}: no test_{case}_... in {where}"


def test_no_test_names_a_case_that_is_not_there() -> None:
    assert set(WANTED) >= TESTED


def test_elsewhere_is_where_cases_are() -> None:
    """A file that has none is not named; and cases of reloading stand on stage."""
    for name, tests in OTHERS.items():
        cases = {case for each in tests for case in cases_of(each.name)}
        assert cases and not [case for case in cases if case[0] != "p"], name


def test_each_test_of_a_case_is_on_stage() -> None:
    every = [each for tests in TESTS.values() for each in tests]
    elsewhere = [each.name for each in every if "stage" not in [argument.arg for argument in each.args.args]]
    assert sorted(elsewhere) == sorted(OFF_STAGE), "without the `stage` fixture no invariant is looked at"
