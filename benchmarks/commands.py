"""A command's round trip, and how many are answered a second when they come at once; beside a bare bot."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import sources
from benchmarks.figures import Table, median, milliseconds, percentile, ratio
from benchmarks.rig import Asker, Broken, asker, neverquit, relay, running

PLUGINS = 100
WARM_UP = 3  # commands that are not counted
IN_FLIGHT = 500  # pipelined commands that are not answered yet


def answered(scratch: Path, rounds: int, commands_a_round: int, at_once: int) -> Iterator[Table]:
    """Measure the bots in turns, a round each: one question after another, then many at once."""
    home = scratch / "commands"
    sources.write_all(home / "plugins", PLUGINS)
    (home / "plugins" / "measured.py").write_text(sources.COMMAND, encoding="utf-8")
    with contextlib.ExitStack() as stack:

        def place() -> tuple[int, Asker]:
            port = stack.enter_context(relay())
            return port, stack.enter_context(asker(port))

        bots: dict[str, tuple[Asker, str]] = {}
        for kind in ("aio", "select"):
            port, who = place()
            stack.enter_context(running(["-m", "benchmarks.bare", kind, str(port)], kind, who))
            bots[f"bare irc, {kind}"] = who, "!echo"
        port, who = place()
        stack.enter_context(neverquit(home, port, who))
        bots |= {"neverquit, async def": (who, "!echo"), "neverquit, def": (who, "!plain")}
        seconds: dict[str, list[float]] = {name: [] for name in bots}
        rates: dict[str, list[float]] = {name: [] for name in bots}
        for _ in range(rounds):
            for name, (who, word) in bots.items():
                seconds[name] += round_trips(who, word, commands_a_round)
                rates[name].append(pipelined(who, word, at_once))
    table = Table("a command's round trip, ms", ("p50", "p99", "x aio", "answers/s", "of aio"))
    for name, each in seconds.items():
        p50, rate = median(each), median(rates[name])
        slower = ratio(p50, median(seconds["bare irc, aio"]))
        share = ratio(rate, median(rates["bare irc, aio"]))
        table.rows.append((name, milliseconds(p50), milliseconds(percentile(each, 99)), slower, f"{rate:,.0f}", share))
    yield table


def round_trips(who: Asker, word: str, count: int) -> list[float]:
    """Ask one question after another; return the seconds of each."""
    found = []
    for i in range(WARM_UP + count):
        began = time.perf_counter()
        answer = who.ask(f"{word} {i}")
        found.append(time.perf_counter() - began)
        if answer != str(i).encode():
            raise Broken(f"{word} {i} was answered by {answer!r}")
    return found[WARM_UP:]


def pipelined(who: Asker, word: str, count: int) -> float:
    """Ask with many questions under way; return answers a second. Each must be answered once, in order."""
    began, asked = time.perf_counter(), 0
    for answered in range(count):
        if asked - answered <= IN_FLIGHT // 2:
            batch = range(asked, min(count, answered + IN_FLIGHT))
            who.say(*(f"{word} {i}" for i in batch))
            asked = batch.stop
        answer = who.wait(b" PRIVMSG #bench ").partition(b" :")[2]
        if answer != str(answered).encode():
            raise Broken(f"{word} {answered} was answered by {answer!r}")
    return count / (time.perf_counter() - began)
