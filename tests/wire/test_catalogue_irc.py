"""The catalogue of the connection to IRC: every case that must hold, one line each, and that each has its test.

Tests are named after their cases: `test_r05_...` is case R05, `test_w01_w02_...` is two. Most stand in
`test_cases_*.py` beside this file; some where the same part is tested otherwise, anywhere below `tests/`.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

CASES = """
what comes
  W01 bytes that are no UTF-8: decoded otherwise, the line handled, and those after it
  W02 lines of spaces, of a source or a tag alone: ignored
  W03 verbs without the parameters that they need: ignored
  W05 LF alone, lines cut between segments, one byte a segment, 500 lines in one: the same events in order
  W07 control characters and Unicode's line ends in texts and nicks: handled, never sent back as line ends
  W08 ten megabytes without an end of line: bounded memory, and on
  W09 the longest tags that may be, and a command
  W10 tags far too long, and 5,000 of them
  W11 all escapes of tags, keys twice, empty values
  W12 numerics and verbs that nobody knows, verbs in lower case, tabs
  W14 005 with values that make no sense, that take others back, that come again
  W15 case mappings: equal only what the server says is equal
  W17 channel types, messages to those of a rank, no TARGMAX
  W18 twenty thousand members, five hundred channels: the right roster, and PING answered meanwhile
  W19 two hundred thousand lines at full speed: PING answered within a second, memory flat
  W20 sources of every form; a server is never an admin
  W21 CTCP: one bounded answer a line, at a limited rate, none to NOTICE
  W22 own lines, notices, another bot that answers: nothing runs, no loop
  W24 what was said before and is played back never runs
what is sent
  O01 line ends and NUL in what a handler says: never a second command
  O02 the same in targets, keys, nicks, topics, reasons, tags, raw lines
  O04 long texts behind a long prefix: whole as the server relays them
  O05 code points, graphemes, words and colours at a cut
  O07 tags have room of their own; LINELEN is used
  O08 a burst, then a steady rate: none lost, the server does not end the connection
  O09 PONG and an admin's action overtake what waits
  O11 an end with a full queue: QUIT within a second
  O12 what waits when the connection is lost: by rule
  O13 whatever a handler returns: text by rule, or an error
  O14 a server that refuses what was sent: told once, no storm
  O15 far too much text: cut, with a note, in bounded memory
registration
  R01 the nick is taken: another at once, and the wanted one back when it is free
  R02 no nick is accepted: a bounded number of tries
  R03 the server gives another nick: it is ours
  R04 capabilities over several lines, with values
  R05 capabilities refused, granted in part, taken away in the answer
  R06 servers that know nothing of capabilities
  R08 capabilities go and come back; what relied on them ends
  R09 SASL PLAIN: chunks, and never without TLS
  R10 SASL refused, in each way: leave or go on, as configured
  R12 only mechanisms that need no password, or none that we know: it is never sent
  R14 EXTERNAL with a client certificate; files that can't be read
  R15 banned and throttled at each attempt: later and later, the reason once, for ever
  R16 a server that takes its time
  R17 a server that says nothing
  R18 no end of the message of the day; identification after 001: joins once, after both
  R19 001 and 005 once more: nothing is joined twice
  R20 STS: once TLS was asked for, never plain again
the connection's life
  C01 refused a thousand times: later and later, with a cap, never given up
  C02 names that don't resolve yet, addresses that are dead, IPv6 alone
  C03 a connection attempt that is not answered holds nothing up
  C04 a server that says nothing any more is left
  C06 TLS that proves nothing: not a byte of IRC is sent, the cause is named
  C08 a server that does not read: bounded, then left
  C09 kicked, and kicked again: back later and later
  C10 channels that can't be joined: each is tried again by itself
  C11 netsplits: the right roster, no greetings, accounts forgotten
  C12 channels joined while it ran are joined again, with their keys, once
  C13 the connection is lost while a reload is under way, and the reverse
  C14 signals in each state of the connection
  C16 more than 1,024 open files
  C17 stopped for a while: it notices at once that the connection is dead
  C18 connections that end at once don't count as success
"""
WANTED = {line.split()[0].lower(): line.split(maxsplit=1)[1] for line in CASES.splitlines() if line.startswith("  ")}
TESTS = Path(__file__).parents[1]


def cases_of(name: str) -> list[str]:
    """Return the cases that a test is named after: `test_w01_w02_a_line...` is two."""
    found = re.match(r"test((?:_[worc]\d\d(?=_))+)", name)
    return found[1].strip("_").split("_") if found else []


def cases_with_tests() -> set[str]:
    kinds = (ast.AsyncFunctionDef, ast.FunctionDef)
    trees = [ast.parse(file.read_bytes()) for file in TESTS.rglob("test_*.py")]
    names = [each.name for tree in trees for each in ast.walk(tree) if isinstance(each, kinds)]
    return {case for name in names for case in cases_of(name)}


TESTED = cases_with_tests()


def test_the_catalogue_is_whole() -> None:
    """The numbers have holes; these are all of the four sections."""
    counts = {section: sum(case.startswith(section) for case in WANTED) for section in "worc"}
    assert counts == {"w": 19, "o": 12, "r": 17, "c": 15}


@pytest.mark.parametrize("case", WANTED)
def test_each_case_has_its_test(case: str) -> None:
    assert case in TESTED, f"case {case}, {WANTED[case]}: no test_{case}_... below tests/"


def test_no_test_names_a_case_that_is_not_there() -> None:
    assert set(WANTED) >= TESTED
