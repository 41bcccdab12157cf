"""`python -m benchmarks [--quick] [--markdown] [NAME...]`: measure, and print tables.

Exit 1 if a bot did not do its work, and where the measurement ends with a verdict (`repeat`, `soak`, `chaos`, `fuzz`,
`flood`) if that is bad. All use loopback and the machine's scratch folder only.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks import commands, flood, networks, start
from benchmarks.chaos import verdict as chaos
from benchmarks.chaos.beside import beside
from benchmarks.figures import Table
from benchmarks.fuzz import verdict as fuzzing
from benchmarks.reload import inside, saves
from benchmarks.repeat import cases
from benchmarks.rig import Broken
from benchmarks.soak import verdict


class Bad(Exception):
    """A verdict: what was measured must not be; the text has a line for each fault."""


def reload(scratch: Path, arguments: argparse.Namespace) -> Iterator[Table]:
    """Save to live, checkouts, `!reload`, stalls, and where the time goes."""
    if arguments.quick:
        yield saves.saved(scratch, 8, (100,), (100,))
        yield saves.checked_out(scratch, 1, ((50, 100),))
        yield saves.commanded(scratch, 5, (100,), (100,))
        yield from inside.stages_and_stalls(scratch, 8, 1)
        return
    yield saves.saved(scratch, 100, (50, 100, 150, 500), (1, 100, 400))
    yield saves.checked_out(scratch, 10, ((50, 100), (300, 400)))
    yield saves.commanded(scratch, 100, (50, 100, 150, 500), (1, 100, 400))
    yield from inside.stages_and_stalls(scratch, 100, 10)


def round_trips(scratch: Path, arguments: argparse.Namespace) -> Iterator[Table]:
    """A command's round trip, beside a bare bot's."""
    yield from commands.answered(scratch, *((2, 50, 500) if arguments.quick else (5, 300, 2000)))


def starts(scratch: Path, arguments: argparse.Namespace) -> Iterator[Table]:
    """Time and memory of a start."""
    yield from start.started(scratch, 1 if arguments.quick else 3)


def repeated(scratch: Path, arguments: argparse.Namespace) -> Iterator[Table]:
    """The ways in which files are written, many times each: no torn load may be seen."""
    table, faults = cases.repeated(scratch, 1 if arguments.quick else 20)
    yield table
    if faults:
        raise Bad("\n".join(faults))


def soaked(scratch: Path, arguments: argparse.Namespace) -> Iterator[Table]:
    """Load and reloads together; with a verdict."""
    minutes = arguments.minutes if arguments.minutes is not None else 0.3 if arguments.quick else 10.0
    found = verdict.soak(scratch, minutes, 360 if minutes < 2 else 1200)
    yield from found.tables
    if found.faults:
        raise Bad("\n".join(found.faults))


def chaotic(scratch: Path, arguments: argparse.Namespace) -> Iterator[Table]:
    """Workers that die and hang under load, and what two processes cost; with a verdict."""
    minutes = arguments.minutes if arguments.minutes is not None else 0.3 if arguments.quick else 10.0
    faults: list[str] = []
    yield from chaos.chaos(scratch, minutes, faults)
    yield beside(scratch, 2 if minutes < 1 else 5)
    if faults:
        raise Bad("\n".join(faults))


def fuzzed(scratch: Path, arguments: argparse.Namespace) -> Iterator[Table]:
    """Lines at random, spoiled, and chosen by coverage; with a verdict."""
    lines = arguments.lines if arguments.lines is not None else 60_000 if arguments.quick else 1_000_000
    seed = arguments.seed if arguments.seed is not None else int(time.time())
    faults: list[str] = []
    yield from fuzzing.fuzz(scratch, lines, seed, faults)
    yield fuzzing.guided(scratch, lines // 20, seed, faults)
    if faults:
        raise Bad("\n".join(faults))


def networked(scratch: Path, arguments: argparse.Namespace) -> Iterator[Table]:
    """Fifty networks in one bot beside one: start, memory, round trip."""
    yield from networks.beside(scratch, *((1, 100) if arguments.quick else (3, 1000)))


def flooded(scratch: Path, arguments: argparse.Namespace) -> Iterator[Table]:
    """A channel at full speed; with a verdict on PONG, commands and memory."""
    faults: list[str] = []
    yield from flood.flooded(scratch, 20_000 if arguments.quick else 200_000, faults)
    if faults:
        raise Bad("\n".join(faults))


MEASURES: dict[str, Callable[[Path, argparse.Namespace], Iterator[Table]]] = {
    "reload": reload,
    "commands": round_trips,
    "start": starts,
    "repeat": repeated,
    "soak": soaked,
    "chaos": chaotic,
    "fuzz": fuzzed,
    "flood": flooded,
    "networks": networked,
}
USUAL = ("reload", "commands", "start")  # without a name; the others take long and give a verdict rather than figures


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure neverquit on this machine.")
    parser.add_argument("--quick", action="store_true", help="few repetitions: does it work, and about how fast")
    parser.add_argument("--markdown", action="store_true", help="tables to be pasted into docs/measurements.md")
    parser.add_argument("--minutes", type=float, help="how long `soak` and `chaos` run; 10 by default")
    parser.add_argument("--lines", type=int, help="how many lines `fuzz` feeds; a million by default")
    parser.add_argument("--seed", type=int, help="of `fuzz`, to play a run again; by default another one each time")
    told = "; ".join(f"{name}: {(run.__doc__ or '').strip().rstrip('.')}" for name, run in MEASURES.items())
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{told}. By default {', '.join(USUAL)}")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - MEASURES.keys():
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    if sys.platform != "linux":
        parser.error("the floor and the memory are measured with what only Linux has")
    print(f"CPython {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores\n", flush=True)
    began = time.perf_counter()
    bad = 0
    with tempfile.TemporaryDirectory(prefix="neverquit-bench-") as scratch:
        for name in arguments.names or USUAL:
            try:
                for table in MEASURES[name](Path(scratch), arguments):
                    print(table.markdown() if arguments.markdown else table, end="\n\n", flush=True)
            except (Broken, Bad) as error:
                bad += 1
                print(f"{name}: {error}", file=sys.stderr, flush=True)
    print(f"{time.perf_counter() - began:.0f} s in all{f'; {bad} went wrong' if bad else ''}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
