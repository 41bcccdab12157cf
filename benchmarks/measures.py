"""The measurements, one function each: it runs what it compares in turns, and gives tables.

A function is called with a scratch folder and with how often, and leaves no process behind. A wrong or missing answer
ends the run: a figure is worth nothing if the bot did not do the work.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path

from benchmarks import sources
from benchmarks.figures import Table, median, milliseconds, percentile, ratio
from benchmarks.rig import Asker, Broken, Running, asker, neverquit, relay, running

POLL_SECONDS = 0.001
PAUSES_SECONDS = (0.02, 0.04)  # between two saves, uniformly: no rhythm that a timer of the bot could fall in with
WARM_UP = 3  # saves and commands that are not counted
IN_FLIGHT = 500  # pipelined commands that are not answered yet
MANY = 100


@dataclass(frozen=True, slots=True)
class Times:
    """How often each thing is measured."""

    saves: int
    clocked_saves: int
    rounds: int
    commands_a_round: int
    pipelined: int
    reloads: int
    starts: int


FULL = Times(saves=100, clocked_saves=30, rounds=5, commands_a_round=300, pipelined=2000, reloads=30, starts=3)
QUICK = Times(saves=10, clocked_saves=10, rounds=2, commands_a_round=50, pipelined=500, reloads=5, starts=1)


@dataclass(frozen=True, slots=True)
class Save:
    """The moments of one save, on the machine's monotonic clock: its writing began and ended, its answer came."""

    began: float
    written: float
    answered: float

    @property
    def seconds(self) -> float:
        return self.answered - self.began


class Saver:
    """Saves plugins and asks until the new version answers. No version is ever written twice."""

    _versions = count(1)

    def __init__(self, folder: Path, who: Asker) -> None:
        self._folder, self._asker = folder, who
        self._names = sorted(path.stem for path in folder.glob("p*.py"))
        self._random = random.Random(1)

    def save(self, way: Callable[[Path, str], None]) -> Save:
        """Save one plugin, ask for it until its new version answers.

        Raises:
            Broken: that took longer than 5 s.
        """
        name, version = self._random.choice(self._names), next(self._versions)
        source, wanted = sources.plugin(name, version), f"{version:06}".encode()
        began = time.perf_counter()
        way(self._folder / f"{name}.py", source)
        written = time.perf_counter()
        while self._asker.ask(f"!{name}") != wanted:
            if time.perf_counter() > began + 5:
                raise Broken(f"version {version} of {name} never answered")
            time.sleep(POLL_SECONDS)
        return Save(began, written, time.perf_counter())

    def saves(self, way: Callable[[Path, str], None], times: int) -> list[Save]:
        """Save so many `times` with pauses, after a few that are not counted."""
        found = []
        for _ in range(WARM_UP + times):
            time.sleep(self._random.uniform(*PAUSES_SECONDS))
            found.append(self.save(way))
        return found[WARM_UP:]


def saves(scratch: Path, times: Times) -> Iterator[Table]:
    """From the first byte of a save to the first answer of the new version; and where that time goes."""
    table = Table("save to first new answer, ms", ("plugins", "saves", "p50", "p99", "x floor"))
    with relay() as port, asker(port) as who:
        for plugins in (1, MANY):
            home = _home(scratch / f"saves-{plugins}", plugins)
            least: dict[str, float] = {}
            with running(["-m", "benchmarks.floor", str(port), str(home / "plugins")], "floor", who):
                _save_both_ways("floor", home, who, times.saves, plugins, least, table)
            with neverquit(home, port, who):
                _save_both_ways("neverquit", home, who, times.saves, plugins, least, table)
        yield table
        yield _stages(_home(scratch / "stages", MANY), port, who, times.clocked_saves)


def _save_both_ways(
    name: str, home: Path, who: Asker, saves: int, plugins: int, least: dict[str, float], table: Table
) -> None:
    saver = Saver(home / "plugins", who)
    for way, write in sources.WAYS.items():
        seconds = [save.seconds for save in saver.saves(write, saves)]
        p50, p99 = median(seconds), percentile(seconds, 99)
        least.setdefault(way, p50)
        cells = (str(plugins), str(saves), milliseconds(p50), milliseconds(p99), ratio(p50, least[way]))
        table.rows.append((f"{name}, {way}", *cells))


# Moments of the probe in their order, and what the time up to each is spent on.
STAGES = (
    ("written", "write the file"),
    ("event>", "kernel and watchdog: the event is there"),
    ("foresee>", "thread to loop; the quiet window of 4 ms begins"),
    ("compile>", "hop, sweep, read the file"),
    ("compile<", "compile"),
    ("settle>", "rest of the quiet window"),
    ("sweep>", "hop to the builder's thread"),
    ("sweep<", "sweep again"),
    ("build>", "compare, plan the groups, hops"),
    ("build<", "execute, find what is declared"),
    ("table>", "claims, setup, hops"),
    ("table<", "build the table"),
    ("commit>", "hop back"),
    ("commit<", "commit"),
    ("answered", "next question, its answer"),
)


def _stages(home: Path, port: int, who: Asker, times: int) -> Table:
    """Save with clocks in the bot: the median of each stage."""
    moments = home / "moments"
    os.environ["BENCH_PROBE"] = str(moments)  # for the one process that reads it
    with neverquit(home, port, who, module="benchmarks.probe"):
        found = Saver(home / "plugins", who).saves(sources.in_place, times)
    del os.environ["BENCH_PROBE"]
    clocked = [(name, float(at)) for name, at in map(str.split, moments.read_text().splitlines())]
    spent: list[list[float]] = []
    for save in found:
        at = {"began": save.began, "written": save.written, "answered": save.answered}
        for name, when in clocked:
            # The last of each before the commit: an earlier sweep may have seen the file half written.
            if save.began <= when <= save.answered and "commit<" not in at:
                at[name] = when
        if all(name in at for name, _ in STAGES):  # else the safety sweep was there before the event
            spent.append([later - earlier for earlier, later in pairwise([at["began"], *(at[n] for n, _ in STAGES)])])
    table = Table("where a save's time goes, ms", ("p50", "p99"))
    for (_, what), each in zip(STAGES, zip(*spent, strict=True), strict=True):
        table.rows.append((what, milliseconds(median(each)), milliseconds(percentile(each, 99))))
    whole = [save.seconds for save in found]
    table.rows.append(("all (with clocks)", milliseconds(median(whole)), milliseconds(percentile(whole, 99))))
    return table


def commands(scratch: Path, times: Times) -> Iterator[Table]:
    """A command's round trip, one after another, and how many are answered a second when they come at once."""
    home = _home(scratch / "commands", MANY)
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
        for _ in range(times.rounds):
            for name, (who, word) in bots.items():
                seconds[name] += _round_trips(who, word, times.commands_a_round)
                rates[name].append(_pipelined(who, word, times.pipelined))
    table = Table("a command's round trip, ms", ("p50", "p99", "x aio", "answers/s", "of aio"))
    for name, each in seconds.items():
        p50, rate = median(each), median(rates[name])
        slower = ratio(p50, median(seconds["bare irc, aio"]))
        share = ratio(rate, median(rates["bare irc, aio"]))
        table.rows.append((name, milliseconds(p50), milliseconds(percentile(each, 99)), slower, f"{rate:,.0f}", share))
    yield table


def _round_trips(who: Asker, word: str, count: int) -> list[float]:
    found = []
    for i in range(WARM_UP + count):
        began = time.perf_counter()
        answer = who.ask(f"{word} {i}")
        found.append(time.perf_counter() - began)
        if answer != str(i).encode():
            raise Broken(f"{word} {i} was answered by {answer!r}")
    return found[WARM_UP:]


def _pipelined(who: Asker, word: str, count: int) -> float:
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


def reload(scratch: Path, times: Times) -> Iterator[Table]:
    """`!reload NAME` after a change, without watching: to the line that says that it is live."""
    table = Table("!reload of a changed plugin, ms", ("plugins", "reloads", "p50", "p99"))
    with relay() as port, asker(port) as who:
        for plugins in (1, MANY):
            home = _home(scratch / f"reload-{plugins}", plugins)
            with neverquit(home, port, who, watch=False):
                seconds = [_reload(home, who, version) for version in range(1, WARM_UP + times.reloads + 1)][WARM_UP:]
            cells = (str(plugins), str(times.reloads), milliseconds(median(seconds)))
            table.rows.append(("neverquit", *cells, milliseconds(percentile(seconds, 99))))
    yield table


def _reload(home: Path, who: Asker, version: int) -> float:
    time.sleep(PAUSES_SECONDS[0])
    sources.in_place(home / "plugins" / "p000.py", sources.plugin("p000", version))
    began = time.perf_counter()
    answer = who.ask("!reload p000")
    took = time.perf_counter() - began
    if b" -> " not in answer:
        raise Broken(f"!reload was answered by {answer!r}")
    return took


def start(scratch: Path, times: Times) -> Iterator[Table]:
    """From the start of the process to its JOIN, and the memory that it has then."""
    table = Table("start to joined", ("plugins", "starts", "ms", "x aio", "MB (PSS)"))
    seconds: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}

    def note(name: str, bot: Running) -> None:
        time.sleep(0.1)  # the answers to its JOIN are still coming
        seconds.setdefault(name, []).append(bot.seconds)
        memory.setdefault(name, []).append(bot.megabytes())

    with relay() as port, asker(port) as who:
        homes = {str(plugins): _home(scratch / f"start-{plugins}", plugins) for plugins in (1, MANY)}
        for _ in range(times.starts):
            with running(["-m", "benchmarks.bare", "aio", str(port)], "aio", who) as bot:
                note("-", bot)
            for plugins, home in homes.items():
                with neverquit(home, port, who) as bot:
                    note(plugins, bot)
    for plugins, each in seconds.items():
        name = "bare irc, aio" if plugins == "-" else "neverquit"
        slower = ratio(median(each), median(seconds["-"]))
        cells = (str(times.starts), f"{median(each) * 1e3:.0f}", slower, f"{median(memory[plugins]):.1f}")
        table.rows.append((name, plugins, *cells))
    yield table


def _home(home: Path, count: int) -> Path:
    sources.write_all(home / "plugins", count)
    return home


MEASURES: dict[str, Callable[[Path, Times], Iterator[Table]]] = {
    "saves": saves,
    "commands": commands,
    "reload": reload,
    "start": start,
}
