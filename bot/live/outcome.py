"""What a transaction came to: as values for who follows it, and plugin by plugin as entries of its report."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from bot.dispatch.table import Table
from bot.errors import PluginError
from bot.live import report
from bot.live.attempt import Attempt
from bot.live.discover import Unit
from bot.live.handoff import Shelf
from bot.live.loader import Image
from bot.live.report import Entry

START_FAILED = "its start failed"  # the cause of the commit that takes back what went live just before


@dataclass(frozen=True, slots=True)
class Commit:
    """What one commit made live (`new`) and took away (`before` are the images it replaced or ended)."""

    new: Mapping[str, Image]
    before: Mapping[str, Image]
    gone: frozenset[str]
    cause: str  # who or what asked for it


@dataclass(frozen=True, slots=True)
class Failed:
    """A group that was tried and stays as it was: its plugins, the one at fault first, as they are on disk."""

    plugins: tuple[str, ...]
    units: Mapping[str, Unit]
    error: PluginError
    cause: str
    was_live: bool = False  # for a moment: it was its `@start` that failed


def successes(
    good: Sequence[Attempt],
    before: Mapping[str, Image],
    gone: Collection[str],
    failed: Collection[str],
    shelf: Shelf,
    milliseconds: float,
) -> list[Entry]:
    """Tell of all that went live or away.

    Args:
        before: the images that were replaced or taken away.
        failed: plugins of `good` whose `start` failed after the commit; others tell of them.
    """
    entries = []
    for one in good:
        for name, image in one.images.items():
            if image.owner is None or name in failed:
                continue
            new, old = (image.owner.generation, image.unit.digest), before.get(name)
            if old is None or old.owner is None:
                entries.append(report.loaded(name, *new, _left_behind(image, before, gone, shelf)))
                continue
            was = (old.owner.generation, old.unit.digest)
            commands, state = report.difference(old.handlers, image.handlers), one.staging.state_of(name)
            entries.append(report.changed(name, was, new, commands, state, milliseconds))
    return entries + [report.unloaded(name) for name in sorted(gone) if name in before and before[name].owner]


def dropped_aliases(table: Table, images: Collection[str]) -> list[Entry]:
    """Tell which aliases of new versions belong to others."""
    return [
        Entry(f"{plugin}: the alias !{alias} belongs to {holder}; !{plugin}.{alias} works", (plugin,), True)
        for alias, plugin, holder in table.dropped
        if plugin in images
    ]


def _left_behind(image: Image, before: Mapping[str, Image], gone: Collection[str], shelf: Shelf) -> str:
    """Return the state name of the plugin whose file this newcomer's was, if kept values did not follow it."""
    for name in sorted(before.keys() & set(gone)):
        state = before[name].state_name
        if state != image.state_name and shelf.values.get(state) and before[name].commands == image.commands:
            return state
    return ""
