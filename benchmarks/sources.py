"""The plugins of the measurements: about 100 lines each, nine `async def` commands and one `def`.

The first command has the plugin's name and says its version, so the one who asks can tell which code answered.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

COMMANDS = 9

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
def version(ctx: Context) -> str:
    """Say which version this is."""
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


def plugin(name: str, version: int) -> str:
    """Return the source of one version of a plugin; all versions have the same length."""
    return HEAD.format(name=name, version=f"{version:06}") + "".join(
        BODY.format(name=name, i=i) for i in range(1, COMMANDS + 1)
    )


def write_all(folder: Path, count: int) -> None:
    """Write `count` plugins, p000 and on, into a new folder."""
    folder.mkdir(parents=True)
    for i in range(count):
        (folder / f"p{i:03}.py").write_text(plugin(f"p{i:03}", 0), encoding="utf-8")


def in_place(path: Path, source: str) -> None:
    """Save as nano does: the file is opened, cut to nothing, and written."""
    path.write_text(source, encoding="utf-8")


def renamed(path: Path, source: str) -> None:
    """Save as most editors do: into a file beside it, which then takes its name."""
    beside = path.with_suffix(".tmp")
    beside.write_text(source, encoding="utf-8")
    beside.replace(path)


WAYS: dict[str, Callable[[Path, str], None]] = {"in place": in_place, "tmp + rename": renamed}
