"""`python -m benchmarks [--quick] [NAME...]`: measure, and print tables. Exit 1 if a bot did not do its work.

The full run takes under a minute, the quick one under 15 s; both use loopback and the machine's scratch folder only.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measures import FULL, MEASURES, QUICK
from benchmarks.rig import Broken


def main() -> int:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure neverquit on this machine.")
    parser.add_argument("--quick", action="store_true", help="few repetitions: does it work, and about how fast")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(MEASURES)}; all by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - MEASURES.keys():
        parser.error(f"no measurement is called {', '.join(sorted(unknown))}; there are {', '.join(MEASURES)}")
    if sys.platform != "linux":
        parser.error("the floor and the memory are measured with what only Linux has")
    print(f"CPython {platform.python_version()}, {platform.system()}, {os.cpu_count()} cores\n", flush=True)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="neverquit-bench-") as scratch:
        for name in arguments.names or MEASURES:
            try:
                for table in MEASURES[name](Path(scratch), QUICK if arguments.quick else FULL):
                    print(table, end="\n\n", flush=True)
            except Broken as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 1
    print(f"{time.perf_counter() - began:.0f} s in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
