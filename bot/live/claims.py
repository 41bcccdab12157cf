"""Which plugin a command belongs to.

A command belongs to the plugin name that first had it. The ledger holds, for each command, the plugin names that ever
claimed it in the order of their claims: the first is its owner. A newcomer that claims a command which someone has is
refused as a whole; it goes live by itself once the holder goes. An owner that comes back under its name takes its
command back. The ledger survives restarts; `resolve` is pure. A commit changes it in memory, which can't fail; it is
written afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """A plugin can't go live because `holder` has one of its commands."""

    plugin: str
    command: str
    holder: str


class Claims:
    """The ledger. One writer: the reloader.

    Args:
        ledger: command -> list of plugin names; a mapping that is kept on disk.
    """

    def __init__(self, ledger: MutableMapping[str, Any]) -> None:
        self._disk = ledger
        self._ledger: dict[str, list[str]] = {command: list(names) for command, names in ledger.items()}
        self._claimed: dict[str, set[str]] = {}  # the same by plugin
        for command, names in self._ledger.items():
            for name in names:
                self._claimed.setdefault(name, set()).add(command)
        self._unwritten: dict[str, None] = {}

    def order(self, command: str) -> Sequence[str]:
        """Return who ever claimed a command, its owner first."""
        return self._ledger.get(command, ())

    def commands(self) -> list[str]:
        """Return every command that is claimed."""
        return list(self._ledger)

    def resolve(
        self,
        wanted: Mapping[str, Collection[str]],
        live: Mapping[str, Collection[str]],
        absent: Collection[str],
    ) -> dict[str, Refusal]:
        """Decide who of the candidates can't be live.

        Args:
            wanted: the commands of every plugin that would be live, the claimants in the order of their claims.
            live: the commands of those that are live now.
            absent: plugins that own nothing any more: deleted, disabled or unloaded.
        """
        candidates = dict(wanted)
        refused: dict[str, Refusal] = {}
        while True:
            claimants = _claimants(candidates)
            losers = [
                loss for plugin in candidates if (loss := self._loss(plugin, candidates, claimants, live, absent))
            ]
            if not losers:
                return refused
            # One at a time, since without it others may fit: first who loses to somebody that stays, the latest claim
            # before the others.
            losing = {loss.plugin for loss in losers}
            certain = [loss for loss in losers if loss.holder not in losing] or losers
            last = max(
                certain, key=lambda loss: (self._rank(loss.command, loss.plugin), list(wanted).index(loss.plugin))
            )
            refused[last.plugin] = last
            del candidates[last.plugin]

    def _loss(
        self,
        plugin: str,
        candidates: Mapping[str, Collection[str]],
        claimants: Mapping[str, list[str]],
        live: Mapping[str, Collection[str]],
        absent: Collection[str],
    ) -> Refusal | None:
        for command in candidates[plugin]:
            holder = self._holder(command, claimants[command], candidates, live, absent)
            if holder != plugin:
                return Refusal(plugin, command, holder)
        return None

    def _holder(
        self,
        command: str,
        claimants: list[str],
        candidates: Collection[str],
        live: Mapping[str, Collection[str]],
        absent: Collection[str],
    ) -> str:
        order = self._ledger.get(command, [])
        if order and order[0] not in absent:
            owner = order[0]
            if owner in claimants:
                return owner
            # Its file is there but did not load: no newcomer gets its command, or an error would cost it for good; but
            # who has had it meanwhile goes on answering.
            if owner not in candidates and not any(command in live.get(name, ()) for name in claimants):
                return owner
        for name in claimants:
            if command in live.get(name, ()):
                return name
        return min(claimants, key=lambda name: (self._rank(command, name), claimants.index(name)))

    def _rank(self, command: str, plugin: str) -> int:
        order = self._ledger.get(command, [])
        return order.index(plugin) if plugin in order else len(order)

    def note(self, plugin: str, commands: Collection[str], *, live: bool) -> None:
        """Take down, in memory, what a plugin claims; a live one gives up what it no longer has."""
        claimed = self._claimed.setdefault(plugin, set())
        for command in commands:
            if command not in claimed:
                self._ledger.setdefault(command, []).append(plugin)
                claimed.add(command)
                self._unwritten[command] = None
        if live:
            for command in sorted(claimed.difference(commands)):
                self._ledger[command].remove(plugin)
                claimed.remove(command)
                self._unwritten[command] = None
                if not self._ledger[command]:
                    del self._ledger[command]

    @property
    def written(self) -> bool:
        """Whether the disk has it all."""
        return not self._unwritten

    def write(self) -> None:
        """Write what has changed; what can't be written is written the next time.

        Raises:
            Exception: whatever the mapping on disk raises.
        """
        for command in list(self._unwritten):
            if command in self._ledger:
                self._disk[command] = list(self._ledger[command])
            else:
                self._disk.pop(command, None)
            del self._unwritten[command]


def _claimants(candidates: Mapping[str, Collection[str]]) -> dict[str, list[str]]:
    """Return by command who claims it, in their order."""
    found: dict[str, list[str]] = {}
    for plugin, commands in candidates.items():
        for command in dict.fromkeys(commands):
            found.setdefault(command, []).append(plugin)
    return found
