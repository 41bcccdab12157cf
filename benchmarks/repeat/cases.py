"""The cases, and how they are judged: no torn load, no lost command, no reload too many.

Each has a bot of its own. Some take commands away on purpose for a moment; there the reports tell when to ask again.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from benchmarks import sources
from benchmarks.figures import Table, median, milliseconds, percentile
from benchmarks.reload.saver import PAUSES_SECONDS, versions
from benchmarks.reload.saves import checkout, history
from benchmarks.repeat import ways
from benchmarks.repeat.play import NAME, PLUGINS, POLL_SECONDS, Play
from benchmarks.repeat.ways import run
from benchmarks.rig import PATIENCE_SECONDS, Broken, asker, neverquit, relay
from benchmarks.sources import Way

PACKAGE = """from bot import command
from .part import TEXT


@command("{name}")
async def say(ctx):
    return TEXT
"""


def after_a_move(play: Play) -> float:
    """Another plugin is moved out of the folder; the edit right after it must not wait behind that."""
    away, path = play.home / "away.py", play.folder / "p001.py"
    play.who.reports.clear()

    def way(target: Path, source: str) -> None:
        path.replace(away)
        sources.in_place(target, source)

    live = play.save(way)
    play.reported("p001 unloaded")
    away.replace(path)
    play.reported("p001 loaded")
    return live


# -- packages and folders


def _package(folder: Path, name: str, gap_seconds: float) -> float:
    """Make a package in the folder, file by file; return when its last byte was written."""
    folder.mkdir()
    files = {"__init__.py": PACKAGE.format(name=name), "part.py": f'TEXT = "{name} whole"\n'}
    for file, text in files.items():
        (folder / file).write_text(text, encoding="utf-8")
        time.sleep(gap_seconds)
    return time.perf_counter() - gap_seconds


def package(how: Callable[[Play, Path, str], float]) -> Callable[[Play], float]:
    """A new package comes; it must be loaded once, when it is complete, without a word before."""

    def act(play: Play) -> float:
        play.who.reports.clear()
        name = f"new{play.round}"
        written = how(play, play.folder / name, name)
        play.reported(f"{name} (loaded|not loaded)")
        live = time.perf_counter() - written
        if (said := play.who.ask(f"!{name}")) != f"{name} whole".encode() or len(play.who.reports) != 1:
            raise Broken(f"{name} came as {said!r}, reports: {play.who.reports}")
        return live

    return act


def copied(play: Play, folder: Path, name: str) -> float:
    _package(play.home / name, name, 0)
    run("cp", "-r", play.home / name, folder)
    return time.perf_counter()


def moved_in(play: Play, folder: Path, name: str) -> float:
    _package(play.home / name, name, 0)
    (play.home / name).rename(folder)
    return time.perf_counter()


def restored(play: Play) -> float:
    """The folder goes and comes back from an archive; the watch must live on: an edit after it is live as ever."""
    archive = play.home / "plugins.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(play.folder, "plugins")
    play.who.reports.clear()
    shutil.rmtree(play.folder)
    time.sleep(0.3)
    run("tar", "-xf", archive, "-C", play.home)
    written = time.perf_counter()
    play.reported(r"\bp\d\d\d loaded|\+2 more", 4)  # three by name, and `+2 more`
    live = time.perf_counter() - written
    play.save(sources.in_place)
    return live


def swapped_root(play: Play) -> float:
    """The plugin folder is a symlink, which is swapped to another tree: one set."""
    version = next(versions)
    tree = play.home / f"tree{version}"
    sources.write_all(tree, PLUGINS, version)
    live = play.becomes(version, lambda: _swap(play.folder, tree))
    _all_are(play, version)
    return live


def swapped_config_map(play: Play) -> float:
    """Each file is a link into `..data`, a link itself, which is swapped as Kubernetes does it."""
    version = next(versions)
    tree = play.folder / f"..v{version}"
    sources.write_all(tree, PLUGINS, version)
    old = (play.folder / "..data").resolve()

    def act() -> None:
        _swap(play.folder / "..data", Path(tree.name))
        shutil.rmtree(old)

    live = play.becomes(version, act)
    _all_are(play, version)
    return live


def as_symlink(play: Play) -> None:
    play.folder.rename(play.home / "tree0")
    play.folder.symlink_to("tree0")


def as_config_map(play: Play) -> None:
    play.folder.rename(play.home / "..v0")
    play.folder.mkdir()
    (play.home / "..v0").rename(play.folder / "..v0")
    (play.folder / "..data").symlink_to("..v0")
    for i in range(PLUGINS):
        (play.folder / f"p{i:03}.py").symlink_to(f"..data/p{i:03}.py")


def _swap(link: Path, to: Path) -> None:
    beside = link.with_name(f"{link.name}_tmp")
    beside.symlink_to(to)
    beside.replace(link)


def _all_are(play: Play, version: int) -> None:
    play.who.say(*(f"!p{i:03}" for i in range(PLUGINS)))
    found = {play.who.answer() for _ in range(PLUGINS)}
    if found != {sources.said(version).encode()}:
        raise Broken(f"a set that changed together answers {found}")


# -- many


def checked_out(play: Play) -> float:
    """A git checkout of 50 files: one set, from one version to the next."""
    old, new = int(play.old), int((play.home / "branches").read_text().split()[play.round])
    play.old = sources.said(new).encode()
    _, live, reports, _ = checkout(play.home, new, old, play.who, 50)
    if reports != 1:
        raise Broken(f"{reports} reports of one checkout: {play.who.reports}")
    return max(0.0, live)


def as_branches(play: Play) -> None:
    shutil.rmtree(play.folder)
    made = history(play.home, 50, 50, 22)
    (play.home / "branches").write_text(" ".join(str(new) for _, new in made))


def in_a_row(play: Play) -> float:
    """Saves at 20 a second: the last content is what stays live."""
    saves = 200
    made = [next(versions) for _ in range(saves)]

    def act() -> None:
        due = time.perf_counter()
        for version in made:
            sources.in_place(play.folder / f"{NAME}.py", sources.plugin(NAME, version))
            written.append(time.perf_counter())
            due += 0.05
            time.sleep(max(0.0, due - time.perf_counter()))

    written: list[float] = []
    thread = threading.Thread(target=act)
    thread.start()
    last = sources.said(made[-1]).encode()
    try:
        with play.who.patient(PATIENCE_SECONDS + saves * 0.05):
            answers = play.who.poll(f"!{NAME}", lambda answer: answer.text == last, POLL_SECONDS)
    finally:
        thread.join()
    heard = [answer.text for answer in answers]
    if heard != sorted(heard) or set(heard) - {sources.said(version).encode() for version in made} - {play.old}:
        raise Broken(f"versions went back, or were torn: {heard}")
    play.old = last
    return next(answer.came for answer in answers if answer.text == last) - written[-1]


class Case(NamedTuple):
    """Attributes:
    number: in the list of cases; what: is done. act: one round of it, returns the seconds until it was live.
    prepare: what is done to the plugin folder before the bot starts.
    reloads: how many times p000 is reloaded by a round, None where that may differ.
    """

    number: int
    what: str
    act: Callable[[Play], float]
    prepare: Callable[[Play], None] = lambda play: None
    reloads: int | None = 1


def _way(way: Way) -> Callable[[Play], float]:
    return lambda play: play.save(way)


CASES = (
    Case(32, "two chunks, 50 ms apart", _way(lambda path, source: sources.in_two_chunks(path, source, 0.05))),
    Case(33, "truncate, close, 20 ms later write", _way(ways.truncated_first)),
    Case(34, "tmp + rename beside it", _way(sources.renamed)),
    Case(34, "tmp + rename from outside", _way(ways.from_outside)),
    Case(34, "hard link", _way(ways.hard_linked)),
    Case(35, "vim", _way(ways.by_vim("auto"))),
    Case(35, "vim, backupcopy=yes", _way(ways.by_vim("yes"))),
    Case(35, "as vim, by moving aside", _way(sources.like_vim)),
    Case(35, "emacs", _way(ways.by_emacs)),
    Case(35, "sed -i", _way(ways.by_sed)),
    Case(36, "edit after another was moved out", after_a_move),
    Case(37, "cp -r of a package", package(copied), reloads=0),
    Case(37, "a package, file by file", package(lambda play, folder, name: _package(folder, name, 0.1)), reloads=0),
    Case(37, "a package renamed in", package(moved_in), reloads=0),
    Case(38, "git checkout of 50 files", checked_out, as_branches, reloads=None),
    Case(39, "rm -rf, restored 300 ms later", restored),
    Case(40, "the folder is a symlink, swapped", swapped_root, as_symlink, reloads=None),
    Case(41, "ConfigMap swap", swapped_config_map, as_config_map, reloads=None),
    Case(42, "in place, same size and second", _way(sources.in_place)),
    Case(43, "size and mtime as before", _way(ways.with_old_times)),
    Case(44, "200 saves at 20 a second", in_a_row, reloads=None),
)


def repeated(scratch: Path, rounds: int) -> tuple[Table, list[str]]:
    """Play each case so many times; return the figures, and what went wrong."""
    table = Table("to live, ms", ("case", "rounds", "p50", "p99", "faults"))
    faults: list[str] = []
    for place, case in enumerate(CASES):
        times = max(1, rounds // 4) if case.act is in_a_row else rounds  # 10 s each
        missing = ""
        try:
            seconds, fault = _play(scratch / f"repeat-{place}", case, times)
        except ways.Missing as program:
            seconds, fault, missing = [], "", f"no {program}"
        figures = (milliseconds(median(seconds)), milliseconds(percentile(seconds, 99))) if seconds else ("-", "-")
        table.rows.append((case.what, str(case.number), str(len(seconds)), *figures, missing or str(int(bool(fault)))))
        if fault:
            faults.append(f"{case.number}, {case.what}: {fault}")
    return table, faults


def _play(home: Path, case: Case, rounds: int) -> tuple[list[float], str]:
    sources.write_all(home / "plugins", PLUGINS)
    seconds: list[float] = []
    with relay() as port, asker(port) as who:
        play = Play(home, who)
        case.prepare(play)
        with neverquit(home, port, who):
            heard: list[str] = []
            try:
                for play.round in range(rounds):
                    time.sleep(PAUSES_SECONDS[1])
                    seconds.append(case.act(play))
                    heard += who.reports
                    who.reports.clear()
                time.sleep(0.2)  # for a report too many
                who.ask("!p001")
            except Broken as error:
                return seconds, str(error)
            heard += who.reports
    text = "; ".join(heard)
    reloads = len(re.findall(rf"\b{NAME} g\d+ -> g", text))
    if case.reloads is not None and reloads != case.reloads * rounds:
        return seconds, f"{reloads} reloads of {case.reloads * rounds}"
    if refused := re.search(r"[^;]* (?:stays g|not loaded)[^;]*", text):
        return seconds, refused[0]
    return seconds, ""
