"""Where a save's time goes, and how long the bot's loop stands still meanwhile: with clocks inside the bot."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from benchmarks import sources
from benchmarks.figures import Table, median, milliseconds, percentile
from benchmarks.reload.saver import POLL_SECONDS, Save, Saver
from benchmarks.reload.saves import checkout, command, history
from benchmarks.rig import Asker, asker, neverquit, relay

# Moments in their order, and what the time up to each is spent on. One that comes before an earlier one (a trial that
# ends before the window does) costs nothing.
STAGES = (
    ("written", "write the file"),
    ("event>", "kernel: the event is there"),
    ("mark>", "event to the watcher, on the loop"),
    ("foresee>", "until the look ahead begins"),
    ("compile>", "look ahead: look, read"),
    ("compile<", "trial: compile, in its process"),
    ("prove<", "trial: execute, declare, build the table, in its process"),
    ("foresee<", "look ahead: the rest"),
    ("settle>", "rest of the settle window"),
    ("plan>", "until the plan begins"),
    ("plan<", "plan: look, read, compare, follow the imports"),
    ("build>", "until the build begins"),
    ("build<", "build: execute, find what is declared"),
    ("prepare>", "claims"),
    ("prepare<", "setup"),
    ("table>", "claims once more"),
    ("table<", "build the table"),
    ("commit>", "until the commit"),
    ("commit<", "commit"),
    ("answered", "next question, its answer"),
)


@dataclass(frozen=True, slots=True)
class Late:
    """The loop's timer came at this moment, so many seconds late."""

    at: float
    seconds: float


@contextlib.contextmanager
def _clocked(
    home: Path, port: int, who: Asker, *, watch: bool = True
) -> Iterator[Callable[[], tuple[list[tuple[str, float]], list[Late]]]]:
    """Run the bot with clocks; what is given reads them: moments, and when the loop was late."""
    file = home / "moments"

    def read() -> tuple[list[tuple[str, float]], list[Late]]:
        moments = [(name, float(at)) for name, at in map(str.split, file.read_text().splitlines())]
        late = file.with_name(file.name + ".late").read_text().splitlines()
        return moments, [Late(float(at), float(seconds)) for at, seconds in map(str.split, late)]

    with neverquit(
        home, port, who, watch=watch, module="benchmarks.reload.clocks", environment={"BENCH_CLOCKS": str(file)}
    ):
        yield read


def stages_and_stalls(scratch: Path, times: int, checkouts: int) -> Iterator[Table]:
    """The two tables: where the time of a save goes, and how late the loop is in a save, a checkout, a `!reload`."""
    stalls = Table("longest stall of the loop, ms", ("times", "p50", "p99", "worst", "longest wait for an answer"))
    with relay() as port, asker(port) as who:
        home = _home(scratch / "stages")
        with _clocked(home, port, who) as read:
            saver = Saver(home / "plugins", who)
            saver.saves(sources.in_place, 1)
            quiet = [_quiet(who) for _ in range(times)]
            found = saver.saves(sources.in_place, times)
            moments, late = read()
        yield _stages(found, moments)
        still = [(began, ended) for began, ended, _ in quiet]
        _row(stalls, "asked, nothing saved", still, late, [waited for _, _, waited in quiet])
        _row(stalls, "a save", [(save.began, save.answered) for save in found], late, [save.worst for save in found])
        _row(stalls, "between saves", [(one.answered, next.began) for one, next in pairwise(found)], late, [])
        with _clocked(_home(home := scratch / "stall-command"), port, who, watch=False) as read:
            command(home, who, sources.LINES)
            spans = [_span(lambda: command(home, who, sources.LINES)) for _ in range(times)]
            _row(stalls, "!reload", spans, read()[1], [])
        home = scratch / "stall-checkout"
        branches = history(home, 400, 300, checkouts + 1)
        with _clocked(home, port, who) as read:
            worst: list[float] = []
            spans = [_span(lambda: worst.append(checkout(home, new, old, who, 300)[3])) for old, new in branches]  # noqa: B023
            _row(stalls, "checkout of 300 files", spans[1:], read()[1], worst[1:])
    yield stalls


def _home(home: Path, plugins: int = 100) -> Path:
    sources.write_all(home / "plugins", plugins)
    return home


def _quiet(who: Asker) -> tuple[float, float, float]:
    """Ask for 20 ms while nothing happens: when it began and ended, and the longest wait."""
    began = time.perf_counter()
    answers = who.poll("!p000", lambda answer: answer.came > began + 0.02, POLL_SECONDS)
    return began, time.perf_counter(), max(answer.came - answer.asked for answer in answers)


def _span(act: Callable[[], object]) -> tuple[float, float]:
    began = time.perf_counter()
    act()
    return began, time.perf_counter()


def _row(table: Table, name: str, spans: Sequence[tuple[float, float]], late: list[Late], waits: list[float]) -> None:
    worst = [max((each.seconds for each in late if began <= each.at <= ended), default=0.0) for began, ended in spans]
    figures = map(milliseconds, (median(worst), percentile(worst, 99), max(worst)))
    table.rows.append((name, str(len(spans)), *figures, milliseconds(max(waits)) if waits else "-"))


def _stages(saves: list[Save], moments: list[tuple[str, float]]) -> Table:
    table = Table("where a save's time goes, ms", ("p50", "p99"))
    known = {name for name, _ in moments} | {"written", "answered"}
    shown = [(name, what) for name, what in STAGES if name in known]
    spent: list[list[float]] = []
    for save in saves:
        at = {"written": save.written, "answered": save.answered}
        for name, when in moments:
            # The last of each before the commit: an earlier look may have seen the file half written.
            if save.began <= when <= save.answered and "commit<" not in at:
                at[name] = when
        passed = [save.began]
        for name, _ in shown:
            passed.append(max(passed[-1], at.get(name, 0.0)))
        spent.append([later - earlier for earlier, later in pairwise(passed)])
    for (_, what), each in zip(shown, zip(*spent, strict=True), strict=True):
        table.rows.append((what, milliseconds(median(each)), milliseconds(percentile(each, 99))))
    whole = [save.answered - save.began for save in saves]
    table.rows.append(("all (with clocks)", milliseconds(median(whole)), milliseconds(percentile(whole, 99))))
    table.rows += [(f"not clocked: {what}", "-", "-") for name, what in STAGES if name not in known]
    return table
