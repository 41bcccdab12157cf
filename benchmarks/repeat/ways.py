"""Ways in which one file gets written: by hand, and by the editors and tools that are installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks.rig import PATIENCE_SECONDS, Broken
from benchmarks.sources import Way


class Missing(Exception):
    """The case needs a program that is not installed."""


def run(*arguments: str | Path) -> None:
    """Run a program to its end."""
    if shutil.which(str(arguments[0])) is None:
        raise Missing(str(arguments[0]))
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_SECONDS)
    if done.returncode:
        raise Broken(f"{arguments[0]} ended with {done.returncode}: {done.stderr[-300:]!r}")


# -- one file


def truncated_first(path: Path, source: str) -> None:
    path.write_bytes(b"")
    time.sleep(0.02)
    path.write_text(source, encoding="utf-8")


def from_outside(path: Path, source: str) -> None:
    beside = outside(path, source)
    beside.replace(path)


def hard_linked(path: Path, source: str) -> None:
    beside = outside(path, source)
    path.unlink()
    os.link(beside, path)


def with_old_times(path: Path, source: str) -> None:
    stat = path.stat()
    path.write_text(source, encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def by_sed(path: Path, source: str) -> None:
    old, new = _versions(path, source)
    run("sed", "-i", f"s/{old}/{new}/g", path)


def by_vim(backupcopy: str) -> Way:
    def way(path: Path, source: str) -> None:
        old, new = _versions(path, source)
        options = f"set backup backupskip= backupcopy={backupcopy}"
        run("vim", "-Nu", "NONE", "-i", "NONE", "-es", "-c", options, "-c", f"%s/{old}/{new}/g", "-c", "wq!", path)

    return way


def by_emacs(path: Path, source: str) -> None:
    other = outside(path, source)
    run("emacs", "-Q", "--batch", path, "--eval", f'(progn (erase-buffer) (insert-file "{other}") (save-buffer))')


def _versions(path: Path, source: str) -> tuple[str, str]:
    """Return the numbers that the file has and that it is to have."""
    old, new = (re.search(r'VERSION = "(\d+)"', text) for text in (path.read_text(), source))
    assert old is not None and new is not None
    return old[1], new[1]


def outside(path: Path, source: str) -> Path:
    """Write a file outside the plugin folder, on the same disk."""
    beside = path.parent.parent / f"outside-{path.name}"
    beside.unlink(missing_ok=True)
    beside.write_text(source, encoding="utf-8")
    return beside
