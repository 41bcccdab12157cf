"""A fuzzer that watches which branches of the bot its lines reach: atheris (libFuzzer).

    python -m benchmarks.fuzz.guided [-runs=N] [-max_total_time=SECONDS] [-seed=N] [FOLDER...]

The options and the folders of inputs to begin with (and to keep what was found in) are libFuzzer's; a first folder
that is empty is given some. An input is a byte of ways and then lines, as they may come in one segment or many. A
fault ends the run, and the input that showed it is left in a file `crash-...`; the same command with that file as its
argument plays it once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from pathlib import Path
from random import Random

import atheris

from benchmarks.fuzz import grammar

with atheris.instrument_imports(include=["bot"]):
    from benchmarks.fuzz.stage import SASL, Stage, opened

FRESH, EARLY, KNOWN = 1, 2, 4  # bits of the first byte: begin with a new connection; before 001; with an account
SIZES = (0, 1, 7, 60)  # bytes of a segment, by the next two bits; 0: all at once
SEEDS = 300  # of the grammar, in an empty folder
OFTEN = 20  # inputs on one connection at most


class Target:
    """The bot, and one input after another."""

    def __init__(self, runner: asyncio.Runner, stage: Stage) -> None:
        self._runner, self._stage, self._count = runner, stage, 0

    def play(self, data: bytes) -> None:
        """One input.

        Raises:
            AssertionError: something that must not be, with all that is known of it.
        """
        self._runner.run(self._play(data[:1] or b"\0", data[1:]))
        if found := self._stage.faults.faults():
            raise AssertionError("\n".join(found))

    async def _play(self, way: bytes, data: bytes) -> None:
        stage, self._count = self._stage, self._count + 1
        if way[0] & FRESH or not stage.open or self._count % OFTEN == 0:
            await stage.fresh(SASL if way[0] & KNOWN else None)
            if not way[0] & EARLY:
                await stage.register()
        data = data.rstrip(b"\r\n") + b"\r\n"
        size = SIZES[way[0] >> 3 & 3] or len(data)
        await stage.feed(data[at : at + size] for at in range(0, len(data), size))


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """libFuzzer's own ways, and those of the grammar."""
    random = Random(seed)
    if random.randrange(2):
        return bytes(atheris.Mutate(data, max_size))
    way, lines = data[:1] or b"\0", data[1:].split(b"\n")
    at = random.randrange(len(lines))
    match random.randrange(6):
        case 0 | 1:
            lines[at] = grammar.spoil(random, lines[at])
        case 2 | 3:
            lines.insert(at, grammar.line(random))
        case 4:
            lines[at] = grammar.line(random)
        case 5:
            way = bytes([random.randrange(32)])
            del lines[at]
    return (way + b"\n".join(lines))[:max_size]


def begin(folder: Path, count: int) -> None:
    """Inputs to begin with: recorded lines, lines of the grammar, alone and a few together."""
    random = Random(0)
    for number in range(count):
        lines = [grammar.line(random) for _ in range(random.choice((1, 1, 5)))]
        (folder / f"seed-{number}").write_bytes(bytes([number % 32]) + b"\n".join(lines))
    for number, line in enumerate(grammar.SEEDS):
        (folder / f"real-{number}").write_bytes(b"\0" + line)


def main() -> None:
    folders = [Path(argument) for argument in sys.argv[1:] if not argument.startswith("-")]
    if folders and folders[0].is_dir() and not any(folders[0].iterdir()):
        begin(folders[0], SEEDS)
    with tempfile.TemporaryDirectory(prefix="neverquit-fuzz-") as scratch, asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        stage = runner.run(stack.enter_async_context(opened(Path(scratch) / "bot")))
        atheris.Setup(sys.argv, Target(runner, stage).play, custom_mutator=mutate)
        atheris.Fuzz()  # ends the process


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
