"""Units made of text, for tests that need no folder on disk."""

from __future__ import annotations

import hashlib
import textwrap
from pathlib import Path

from bot.live.discover import PACKAGE, Discovery, Source, Unit


def unit(name: str, text: str = "", **parts: str) -> Unit:
    """A plugin file; with `parts` (dotted names with `__` for the dot) a package whose `__init__` is `text`."""
    package = bool(parts)
    main = f"{name}/__init__.py" if package else f"{name}.py"
    module = f"{PACKAGE}.{name}"
    sources = {module: Source(module, f"/plugins/{main}", main, _bytes(text), package)}
    for part, content in parts.items():
        shown = f"{name}/{part.replace('__', '/')}.py"
        module = f"{PACKAGE}.{name}.{part.replace('__', '.')}"
        sources[module] = Source(module, f"/plugins/{shown}", shown, _bytes(content), False)
    return Unit(name, sources, hashlib.sha1(repr((name, text, parts)).encode()).hexdigest())


def _bytes(text: str) -> bytes:
    return textwrap.dedent(text).encode()


def write(folder: Path, **files: str) -> None:
    """Write plugin files: `write(folder, weather="...", pkg____init__="...", pkg__part="...")`."""
    for name, text in files.items():
        path = folder / f"{name.replace('__init__', '*').replace('__', '/').replace('*', '__init__')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")


def swept(folder: Path) -> dict[str, Unit]:
    """What a fresh look at a folder finds."""
    return Discovery([folder]).sweep().units
