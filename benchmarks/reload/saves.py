"""How long a save takes to be live: by way of saving, length and number of plugins; many files at once; by command."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks import sources
from benchmarks.figures import Table, median, milliseconds, percentile, ratio
from benchmarks.reload.saver import PAUSES_SECONDS, POLL_SECONDS, WARM_UP, Saver, in_order, versions
from benchmarks.rig import Answer, Asker, Broken, asker, neverquit, relay, running

FLOORS = {"floor": (), "floor with a trial": ("trial",)}


def saved(scratch: Path, saves: int, lengths: Sequence[int], numbers: Sequence[int]) -> Table:
    """Save one file of so many lines, among so many, in each way, beside the floors."""
    table = Table("save to live, ms", ("lines", "plugins", "saves", "p50", "p99", "x floor with a trial"))
    with relay() as port, asker(port) as who:
        for lines in lengths:
            least: dict[str, float] = {}  # by way of saving: the median of the floor that tries first, as we do
            home = scratch / f"floor-{lines}"
            sources.write_all(home / "plugins", 1, lines=lines)
            for floor, options in FLOORS.items():
                arguments = ["-m", "benchmarks.reload.floor", str(port), str(home / "plugins"), *options]
                with running(arguments, "floor", who):
                    _each_way(table, floor, Saver(home / "plugins", who, lines), saves, (lines, 1), least)
            for plugins in numbers:
                home = scratch / f"saves-{lines}-{plugins}"
                sources.write_all(home / "plugins", plugins, lines=lines)
                with neverquit(home, port, who):
                    _each_way(table, "neverquit", Saver(home / "plugins", who, lines), saves, (lines, plugins), least)
    return table


def _each_way(
    table: Table, name: str, saver: Saver, saves: int, what: tuple[int, int], least: dict[str, float]
) -> None:
    for way, write in sources.WAYS.items():
        seconds = [save.seconds for save in saver.saves(write, saves)]
        p50 = median(seconds)
        if name in FLOORS:
            least[way] = p50
        share = "-" if name in FLOORS else ratio(p50, least[way])
        figures = milliseconds(p50), milliseconds(percentile(seconds, 99)), share
        table.rows.append((f"{name}, {way}", *map(str, what), str(saves), *figures))


def checked_out(scratch: Path, checkouts: int, files: Sequence[tuple[int, int]]) -> Table:
    """Check out branches of a real git: so many files change, of so many."""
    columns = ("plugins", "times", "git took", "p50 live", "p99 live", "settled sets", "worst answer")
    table = Table("git checkout to live, ms", columns)
    with relay() as port, asker(port) as who:
        for changing, plugins in files:
            home = scratch / f"checkout-{changing}-{plugins}"
            branches = history(home, plugins, changing, checkouts + 1)
            with neverquit(home, port, who):
                runs = [checkout(home, branch, old, who, changing) for old, branch in branches]
            took, seconds, sets, worst = zip(*runs[1:], strict=True)  # the first makes the bot's memory grow
            live = milliseconds(median(seconds)), milliseconds(percentile(seconds, 99))
            cells = (str(plugins), str(checkouts), milliseconds(median(took)), *live, f"{max(sets)} at most")
            table.rows.append((f"{changing} files", *cells, milliseconds(max(worst))))
    return table


def history(home: Path, plugins: int, changing: int, count: int) -> list[tuple[int, int]]:
    """Make a repository with a branch for each version of the first `changing` plugins; return (before, after)."""
    sources.write_all(home / "plugins", plugins)
    environment = {**os.environ, **sources.GIT_ENVIRONMENT}

    def git(*arguments: str) -> None:
        subprocess.run(sources.git(home, *arguments), env=environment, check=True, stdout=subprocess.DEVNULL)

    git("init", "-q")
    git("add", "plugins")
    git("commit", "-q", "-m", "0")
    made = [0]
    for _ in range(count):
        made.append(next(versions))
        git("checkout", "-q", "-b", f"v{made[-1]}")
        sources.write_all(home / "plugins", changing, made[-1])
        git("commit", "-q", "-a", "-m", str(made[-1]))
    git("checkout", "-q", "v0")
    return list(pairwise(made))


def checkout(home: Path, branch: int, old: int, who: Asker, changing: int) -> tuple[float, float, int, float]:
    """Check a branch out and ask meanwhile.

    Returns:
        Seconds that git took and from its end to the first new answer; how many reports there were; and the longest
        that an answer took.

    Raises:
        Broken: an answer was of neither version, or a plugin was still old when another was new.
    """
    time.sleep(PAUSES_SECONDS[1] * 5)
    before, new = sources.said(old).encode(), sources.said(branch).encode()
    who.reports.clear()
    began = time.perf_counter()
    ended: list[float] = []
    environment = {**os.environ, **sources.GIT_ENVIRONMENT}
    with subprocess.Popen(sources.git(home, "checkout", "-q", f"v{branch}"), env=environment) as child:

        def wait() -> None:
            child.wait()
            ended.append(time.perf_counter())

        waiting = threading.Thread(target=wait)
        waiting.start()
        answers = who.poll("!p000", lambda answer: answer.text == new, POLL_SECONDS)
        waiting.join()
    if child.returncode:
        raise Broken(f"git checkout ended with {child.returncode}")
    live = in_order(answers, before, new)
    who.say(*(f"!p{i:03}" for i in range(changing)))
    if others := {answer for _ in range(changing) if (answer := who.answer()) != new}:
        raise Broken(f"of {changing} plugins that changed together one was live, another answered {others}")
    worst = max(_waited(answer) for answer in answers)
    return ended[0] - began, live - ended[0], len(who.reports), worst


def _waited(answer: Answer) -> float:
    return answer.came - answer.asked


def commanded(scratch: Path, reloads: int, lengths: Sequence[int], numbers: Sequence[int]) -> Table:
    """`!reload NAME` after a change, without watching: to the line that says that it is live."""
    table = Table("!reload of a changed plugin, ms", ("lines", "plugins", "reloads", "p50", "p99"))
    with contextlib.ExitStack() as stack:
        who = stack.enter_context(asker(port := stack.enter_context(relay())))
        for lines in lengths:
            for plugins in numbers:
                home = scratch / f"reload-{lines}-{plugins}"
                sources.write_all(home / "plugins", plugins, lines=lines)
                with neverquit(home, port, who, watch=False):
                    seconds = [command(home, who, lines) for _ in range(WARM_UP + reloads)][WARM_UP:]
                figures = milliseconds(median(seconds)), milliseconds(percentile(seconds, 99))
                table.rows.append(("neverquit", str(lines), str(plugins), str(reloads), *figures))
    return table


def command(home: Path, who: Asker, lines: int) -> float:
    """Change a plugin, have it reloaded by command; return the seconds until the answer."""
    time.sleep(PAUSES_SECONDS[0])
    sources.in_place(home / "plugins" / "p000.py", sources.plugin("p000", next(versions), lines))
    began = time.perf_counter()
    answer = who.ask("!reload p000")
    took = time.perf_counter() - began
    if b" -> " not in answer:
        raise Broken(f"!reload was answered by {answer!r}")
    return took
