"""The plugins of the measurements, of any length, and the ways in which they are saved.

The first command has the plugin's name and says its version, so the one who asks can tell which code answered; it says
`torn` if the end of its file is of another version, or missing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

Way = Callable[[Path, str], None]

LINES = 100  # of a plugin, unless said otherwise

HEAD = '''"""Plugin {name} of the measurements, version {version}."""

from __future__ import annotations

from bot import Context, command, keep

VERSION = "{version}"
LIMIT = 10

counts = keep("counts", dict)


def shorten(words: list[str], limit: int = LIMIT) -> str:
    """Join words, and say how many are missing."""
    if len(words) <= limit:
        return " ".join(words)
    return " ".join(words[:limit]) + f" (+{{len(words) - limit}} more)"


@command("{name}")
async def version(ctx: Context) -> str:
    """Say which version this is."""
    return VERSION if globals().get("TAIL") == VERSION else "torn"


@command("{name}d")
def off(ctx: Context) -> str:
    """Say which version this is, off the loop."""
    return VERSION
'''

BODY = '''

@command("{name}c{i}")
async def number{i}(ctx: Context, what: str = "", *, times: int = 1) -> str:
    """Say something {i} times, and count it."""
    counts["{i}"] = counts.get("{i}", 0) + 1
    words = (what.split() or ["nothing"]) * times
    return f"{i}: " + shorten(words)
'''

TAIL = """

TAIL = "{version}"
"""

COMMAND = '''"""The two commands whose round trip is measured."""

from bot import Context, command


@command("echo")
async def echo(ctx: Context, text: str = "") -> str:
    """Say it again, on the loop."""
    return text


@command("plain")
def plain(ctx: Context, text: str = "") -> str:
    """Say it again, off the loop."""
    return text
'''


def plugin(name: str, version: int, lines: int = LINES) -> str:
    """Return the source of one version of a plugin, of about so many lines; all versions have the same length."""
    fixed, each = (HEAD + TAIL).count("\n"), BODY.count("\n")
    shown = {"name": name, "version": said(version)}
    bodies = "".join(BODY.format(i=i, **shown) for i in range(1, max(1, round((lines - fixed) / each)) + 1))
    return HEAD.format(**shown) + bodies + TAIL.format(**shown)


def said(version: int) -> str:
    """Return what a version answers."""
    return f"{version:06}"


def write_all(folder: Path, count: int, version: int = 0, lines: int = LINES) -> None:
    """Write `count` plugins, p000 and on."""
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (folder / f"p{i:03}.py").write_text(plugin(f"p{i:03}", version, lines), encoding="utf-8")


def in_place(path: Path, source: str) -> None:
    """Save as nano does: the file is opened, cut to nothing, and written."""
    path.write_text(source, encoding="utf-8")


def renamed(path: Path, source: str) -> None:
    """Save as most editors do: into a file beside it, which then takes its name."""
    beside = path.with_suffix(".tmp")
    beside.write_text(source, encoding="utf-8")
    beside.replace(path)


def like_vim(path: Path, source: str) -> None:
    """Save as vim does by default: the old file is moved aside, a new one written, the old one deleted."""
    backup = path.with_name(path.name + "~")
    path.replace(backup)
    path.write_text(source, encoding="utf-8")
    backup.unlink()


def in_two_chunks(path: Path, source: str, gap_seconds: float = 0.01) -> None:
    """Write through one descriptor, with a gap behind a first chunk that is valid Python."""
    raw = source.encode()
    first = first_chunk(raw)
    with path.open("wb", buffering=0) as file:
        file.write(first)
        time.sleep(gap_seconds)
        file.write(raw[len(first) :])


def first_chunk(raw: bytes) -> bytes:
    """Return about the first half of a plugin, up to the end of a function."""
    return raw[: raw.index(b"\n\n\n@command", len(raw) // 2)]


WAYS: dict[str, Way] = {
    "in place": in_place,
    "tmp + rename": renamed,
    "like vim": like_vim,
    "two chunks": in_two_chunks,
}


def git(folder: Path, *arguments: str) -> list[str]:
    """Return the command line of a git that knows no configuration but its own."""
    who = ("-c", "user.name=bench", "-c", "user.email=bench@bench.test", "-c", "init.defaultBranch=v0")
    return ["git", "-C", str(folder), *who, "-c", "gc.auto=0", "-c", "core.hooksPath=/dev/null", *arguments]


GIT_ENVIRONMENT = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
