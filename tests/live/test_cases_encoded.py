"""Cases 27 and 28 of the reload catalogue: what bytes a source may be made of, and what happens to the others."""

from __future__ import annotations

import codecs
import re

import pytest
from stage import Stage

HELLO = '''"""Says hello."""

from bot import command


@command("hello")
async def hello(ctx):
    """Say hello."""
    return "h\N{LATIN SMALL LETTER E WITH ACUTE}llo 2"
'''
PLAIN, LATIN_1 = HELLO.encode(), ("# -*- coding: latin-1 -*-\n" + HELLO).encode("latin-1")

# what is in the file -> where and what is told
REFUSED: dict[str, tuple[bytes, str]] = {
    "tabs": (
        b"if True:\n        x = 1\n\tx = 2\n" + PLAIN,
        r":3: TabError: inconsistent use of tabs and spaces in indentation",
    ),
    "unknown-cookie": (b"# coding: nosuch\n" + PLAIN, r":1: SyntaxError: unknown encoding: nosuch"),
    "unknown-cookie-on-the-second-line": (
        b"#!/usr/bin/env python\n# coding: nosuch\n" + PLAIN,
        r":2: SyntaxError: unknown encoding: nosuch",
    ),
    "nul": (PLAIN.replace(b"Say ", b"Say\0 "), r":8: SyntaxError: source code .*null bytes"),
    "nul-in-a-blank-line": (PLAIN.replace(b"\n\n\n", b"\n\0\n\n"), r":4: SyntaxError: source code .*null bytes"),
    "utf-16": (codecs.BOM_UTF16_LE + HELLO.encode("utf-16-le"), r":1: SyntaxError: source code .*null bytes"),
    "utf-16-big": (codecs.BOM_UTF16_BE + HELLO.encode("utf-16-be"), r":1: SyntaxError: source code .*null bytes"),
    "utf-32": (HELLO.encode("utf-32"), r":1: SyntaxError: source code .*null bytes"),
    "bad-utf-8": (PLAIN.replace("é".encode(), b"\xe9"), r":9: SyntaxError: .*'utf-?8'.*0xe9.*"),
    "mark-and-cookie": (codecs.BOM_UTF8 + LATIN_1, r":1: SyntaxError: encoding problem: .* with BOM"),
    "no-text-encoding": (b"# coding: rot13\n" + PLAIN, r":1: SyntaxError: 'rot13' is not a text encoding.*"),
}

LIVE: dict[str, bytes] = {
    "mark": codecs.BOM_UTF8 + PLAIN,
    "mark-and-utf-8-cookie": codecs.BOM_UTF8 + b"# coding: utf-8\n" + PLAIN,
    "crlf": PLAIN.replace(b"\n", b"\r\n"),
    "bare-cr": PLAIN.replace(b"\n", b"\r"),
    "mixed-line-ends": PLAIN.replace(b"\n", b"\r\n", 3).replace(b"command\r\n", b"command\r"),
    "latin-1": LATIN_1,
    "latin-1-on-the-second-line": b"#!/usr/bin/env python\n" + LATIN_1,
    "cp1252-crlf": ("# coding: cp1252\n" + HELLO).encode("cp1252").replace(b"\n", b"\r\n"),
    "no-final-newline": PLAIN.rstrip(),
    "form-feed": PLAIN.replace(b"\n\n\n", b"\n\x0c\n\n"),
    "control-z-in-a-comment": PLAIN + b"# \x1a\n",
}


def table(rows: dict[str, object]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", rows.values(), ids=rows)


async def save(stage: Stage, source: bytes, name: str = "hello.py") -> None:
    await stage.write(name, source.decode("utf-8", "surrogateescape"))


@table(REFUSED)
async def test_27_what_is_no_python_source_is_told_in_one_line(stage: Stage, row: tuple[bytes, str]) -> None:
    source, why = row
    await save(stage, source)
    line = await stage.refused(rf"hello stays g1: hello\.py{why}; the old version goes on answering")
    assert line.isprintable()


@table(LIVE)
async def test_28_every_form_of_a_source_is_live_with_its_characters(stage: Stage, row: bytes) -> None:
    await stage.crowd.spare("!hello")  # it knows no héllo
    await save(stage, row)
    await stage.report(r"hello g1 -> g2 \(\w{7} -> \w{7}\): ~hello, \d+ ms")
    assert await stage.ask("!hello") == ["héllo 2"]


FAILS = """# {cookie}
from bot import command

odd = "{odd}"
# {remark}


@command("fail")
async def fail(ctx):
    raise RuntimeError("été")
"""


@table(
    {
        "latin-1": FAILS.format(cookie="coding: latin-1", odd="é", remark="é").encode("latin-1"),
        "bare-cr": FAILS.format(cookie="", odd="", remark="").replace("\n", "\r").encode(),
        "form-feed": FAILS.format(cookie="", odd="", remark="\f").encode(),
        "line-separator": FAILS.format(cookie="", odd="\N{LINE SEPARATOR}\N{NEXT LINE}\x1c", remark="").encode(),
    }
)
async def test_28_a_trace_shows_the_line_that_ran(stage: Stage, row: bytes) -> None:
    await save(stage, row, "fail.py")
    await stage.report(r"fail loaded g1 \(\w{7}\)")
    (answer,) = await stage.ask("!fail")
    assert re.fullmatch(r"fail failed \(error \w+\)", answer)
    assert re.search(r'fail\.py@\w{7}", line 10,', await stage.trace('raise RuntimeError("été")'))
