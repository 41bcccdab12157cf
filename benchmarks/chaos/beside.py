"""What the two processes cost: a round trip, answers a second and memory, beside one process; in turns, in one run."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from benchmarks import sources
from benchmarks.commands import pipelined, round_trips
from benchmarks.figures import Table, median, milliseconds, percentile, ratio
from benchmarks.rig import Asker, Running, asker, neverquit, relay
from benchmarks.vitals import family, pss

WAYS = {"one process (--single)": ("--single",), "two processes": ()}


def beside(scratch: Path, rounds: int, plugins: int = 100) -> Table:
    """Measure both ways, a round each in turn."""
    with contextlib.ExitStack() as stack:
        bots: dict[str, tuple[Asker, Running]] = {}
        for number, (name, arguments) in enumerate(WAYS.items()):
            home = scratch / f"beside-{number}"
            sources.write_all(home / "plugins", plugins)
            (home / "plugins" / "measured.py").write_text(sources.COMMAND, encoding="utf-8")
            port = stack.enter_context(relay())
            who = stack.enter_context(asker(port))
            bots[name] = who, stack.enter_context(neverquit(home, port, who, arguments=arguments))
        seconds: dict[str, list[float]] = {name: [] for name in bots}
        rates: dict[str, list[float]] = {name: [] for name in bots}
        for _ in range(rounds):
            for name, (who, _bot) in bots.items():
                seconds[name] += round_trips(who, "!echo", 300)
                rates[name].append(pipelined(who, "!echo", 2000))
        time.sleep(1.0)
        columns = ("p50 ms", "p99 ms", "x", "answers/s", "MB (PSS)", "of these, by process")
        table = Table(f"beside one process, {plugins} plugins", columns)
        first = median(next(iter(seconds.values())))
        for name, (_who, bot) in bots.items():
            each, parts = seconds[name], [pss(pid) / 1024 for pid in family(bot.pid)]
            figures = (milliseconds(median(each)), milliseconds(percentile(each, 99)), ratio(median(each), first))
            memory = (f"{sum(parts):.1f}", " + ".join(f"{part:.1f}" for part in parts))
            table.rows.append((name, *figures, f"{median(rates[name]):,.0f}", *memory))
    return table
