"""`neverquit check` and `neverquit new`: plugin files looked at, or begun, without a running bot.

A check loads each plugin just as the bot would, in this process, and tells every fault instead of only the first.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

from bot.errors import PluginError
from bot.live.builder import Builder
from bot.live.discover import Discovery
from bot.live.graph import groups
from bot.live.handoff import Shelf, Staging
from bot.live.loader import Build, Compiled, Image, TookTooLong, compile_unit, shown
from bot.live.names import install, uninstall
from bot.storage import Backend

NAME = re.compile(r"[A-Za-z]\w{0,63}")

IMPORT_SECONDS = 5.0  # as `timeouts.import_seconds`, which stands in a configuration that a check does not need

TEMPLATE = '''"""What NAME does, in a line: this is what !help NAME shows."""

from bot import Context, command, keep

asked = keep("asked", dict)  # the same dict after every reload


@command("NAME", examples=[("!NAME you", "Hello, you!")])
def NAME(ctx: Context, name: str = "world") -> str:
    """Greet somebody."""
    asked["times"] = asked.get("times", 0) + 1
    return f"Hello, {name}!"
'''


def check(paths: Iterable[Path]) -> list[str]:
    """Load plugins and return what is wrong, `FILE:LINE:COL: text` each, in the order of the files.

    Args:
        paths: plugin directories, plugin files, or plugin packages.
    """
    faults: list[str] = []
    for path in paths:
        is_directory = path.is_dir() and not (path / "__init__.py").exists()
        directory, only = (path, None) if is_directory else (path.parent, path.name.removesuffix(".py"))
        faults += _check_directory(directory, only)
    return faults


def _check_directory(directory: Path, only: str | None) -> list[str]:
    disk = Discovery([directory]).sweep()
    faults = [f"{directory / name}:1:1: {why}" for name, why in disk.odd.items() if only is None or name == only]
    compiled = {name: compile_unit(unit) for name, unit in disk.units.items()}
    edges = {name: one.imports for name, one in compiled.items()}
    images: dict[str, Image] = {}
    backend = Backend.memory()
    install([str(directory)])
    try:
        for group in groups(disk.units.keys(), edges):
            members = {name: compiled[name] for name in group.units}
            if only is not None and only not in members:
                continue
            found = _check_group(members, images, Shelf(backend))
            faults += [
                f"{directory / fault.path}:{fault.line or 1}:{fault.column or 1}: {fault.text}" for fault in found
            ]
    finally:
        uninstall()
        backend.close()
    if only is None:
        faults += _twice(directory, images)
    return faults


def _check_group(members: dict[str, Compiled], images: dict[str, Image], shelf: Shelf) -> list[PluginError]:
    faults = [one.error for one in members.values() if one.error is not None]
    if faults:
        return faults
    staging = Staging(shelf, {name: one.state_name for name, one in members.items()})
    new = Build(members, {}, staging, lambda plugin: MappingProxyType({}), IMPORT_SECONDS)
    first = next(iter(members.values())).unit
    try:
        images.update(asyncio.run(Builder(TookTooLong).run(new.run, IMPORT_SECONDS)))
    except PluginError as error:
        return [error]
    except (TimeoutError, TookTooLong):
        new.discard()
        return [PluginError(first.name, shown(first), 0, new.too_long)]
    return []


def _twice(directory: Path, images: dict[str, Image]) -> list[str]:
    owners: dict[str, str] = {}
    faults = []
    for name, image in images.items():
        for command in image.commands:
            if command in owners:
                handler = next(h for h in image.handlers if getattr(h.declaration, "name", "") == command)
                path = next(iter(image.unit.sources.values())).shown
                faults.append(f"{directory / path}:{handler.line}:1: !{command} belongs to {owners[command]}")
            else:
                owners[command] = name
    return faults
