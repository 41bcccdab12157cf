"""`neverquit check` and `neverquit new`: plugin files looked at, or begun, without a running bot.

A check loads each plugin just as the bot would, in this process, and tells every fault instead of only the first.
"""

from __future__ import annotations

import asyncio
import keyword
import re
from collections.abc import Iterable
from pathlib import Path
from types import MappingProxyType

from bot.chat import built_in_names
from bot.errors import PluginError
from bot.live.attempt import line_of
from bot.live.builder import Builder
from bot.live.compiled import Compiled, compile_unit
from bot.live.discover import Discovery
from bot.live.graph import groups
from bot.live.handoff import Shelf, Staging
from bot.live.loader import Build, Image, TookTooLong, shown
from bot.live.names import install, uninstall
from bot.storage import Backend

NAME = re.compile(r"[A-Za-z]\w{0,63}")

IMPORT_SECONDS = 5.0  # as `timeouts.import_seconds`, which stands in a configuration that a check does not need

TEMPLATE = '''"""What this plugin is for, in a line."""

from bot import Context, command, keep

asked = keep("asked", dict)  # the same dict after every reload


@command("NAME", examples=[("!NAME you", "Hello, you!")])
def NAME(ctx: Context, name: str = "world") -> str:
    """Greet somebody."""  # what !help NAME shows
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
    faults += _claimed(directory, images, only is None)
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


def _claimed(directory: Path, images: dict[str, Image], every: bool) -> list[str]:
    """Tell commands that are built in, and with `every` plugin looked at, those that two of them have."""
    owners = dict.fromkeys(built_in_names(), "the bot itself")
    faults = []
    for name, image in images.items():
        for command in image.commands:
            holder = owners.setdefault(command, name)
            if holder != name and (every or holder == "the bot itself"):
                place = f"{directory / shown(image.unit)}:{line_of(command, image) or 1}:1"
                faults.append(f"{place}: !{command} belongs to {holder}; rename the command")
    return faults


def unfit(name: str, directory: Path) -> str:
    """Return why a new plugin, with a command of its name, can't be called so; "" if it can."""
    if not NAME.fullmatch(name):
        return f"{name!r} can't be a plugin: use letters, digits and _, and begin with a letter"
    if keyword.iskeyword(name):
        return f"{name!r} is a word of Python; take another name"
    if name.lower() in (*built_in_names(), "bot"):
        return f"{name} is the name of what is built in; take another name"
    compiled = {one: compile_unit(unit) for one, unit in Discovery([directory]).sweep().units.items()}
    images: dict[str, Image] = {}
    backend = Backend.memory()
    install([str(directory)])
    try:
        for group in groups(compiled, {one: unit.imports for one, unit in compiled.items()}):
            _check_group({one: compiled[one] for one in group.units}, images, Shelf(backend))
    finally:
        uninstall()
        backend.close()
    holder = next((one for one, image in images.items() if name.lower() in image.commands), None)
    return f"!{name} belongs to {holder}; take another name" if holder else ""
