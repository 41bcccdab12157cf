"""What a plugin keeps in memory and stores on disk, told to an admin and forgotten at their word: the body of `!state`.

Names, kinds and sizes are told, never what is in a value, which may be anybody's. Dropping takes a kept value off the
shelf; the live version holds it still, so whoever drops has the plugin made anew, and that version begins with what
its factory makes. The rows of a store are gone at once.
"""

from __future__ import annotations

from bot.errors import UserError
from bot.live.handoff import Shelf
from bot.logs import clean
from bot.storage import Backend

MOST = 20  # names of each kind that are told


class Keepsakes:
    """The kept values and stores of all plugins, by plugin name."""

    def __init__(self, shelf: Shelf, backend: Backend) -> None:
        self._shelf, self._backend = shelf, backend

    def told(self, plugin: str) -> str:
        """Return one line about a plugin's state.

        Raises:
            UserError: it has none.
        """
        state = self._shelf.states.get(plugin, plugin)
        values, stores = self._shelf.values.get(state, {}), self._backend.stores(state)
        if not values and not stores:
            raise UserError(f"{plugin[:64]} keeps and stores nothing")
        parts = [f"version {self._shelf.versions.get(state, 1)}"]
        if values:
            parts.append("kept: " + _listed([f"{name} ({_kind(value)})" for name, value in values.items()]))
        if stores:
            parts.append("stored: " + _listed([f"{name} ({_counted(rows, 'row')})" for name, rows in stores.items()]))
        if snapshots := self._shelf.snapshots.get(state):
            parts.append(f"snapshots of version {', '.join(map(str, snapshots))}")
        called = plugin if state == plugin else f"{plugin} (as {state})"
        return clean(f"{called}: {'; '.join(parts)}")

    def drop(self, plugin: str, key: str) -> tuple[str, bool]:
        """Forget a kept value or the rows of a store; without a key all kept values, and their snapshots.

        Args:
            key: its name, after `kept` or `store` where both are called so.

        Returns:
            What was dropped, in words, and whether the plugin has to be made anew.

        Raises:
            UserError: there is no such thing, or there are two.
        """
        state = self._shelf.states.get(plugin, plugin)
        values, stores = self._shelf.values.get(state, {}), self._backend.stores(state)
        kind, _, name = key.partition(" ")
        if key in values or key in stores or kind not in ("kept", "store") or not name:
            kind, name = "", key
        if name and not kind and name in values and name in stores:
            which = f"`drop {plugin} kept {name}` or `drop {plugin} store {name}`"
            raise UserError(f"{plugin} has a kept value and a store of the name {name}; say {which}")
        if name and kind != "kept" and name in stores:
            return clean(
                f"{plugin}: the store {name} is empty now, {_counted(self._backend.drop(state, name), 'row')} gone"
            ), False
        gone = self._shelf.drop(state, name or None) if kind != "store" else []
        if not gone:
            raise UserError(f"{plugin[:64]} has no {name[:64] or 'kept value'}; see `!state {plugin[:64]}`")
        return clean(f"{plugin}: no longer kept: {_listed(gone)}"), True


def _listed(names: list[str]) -> str:
    more = len(names) - MOST
    return ", ".join(names[:MOST]) + (f", +{more} more" if more > 0 else "")


def _kind(value: object) -> str:
    """The class of a value, and how much is in it; of a plugin's own code nothing is called but `__len__`."""
    try:
        size = len(value)  # type: ignore[arg-type]  # what has no length raises
    except Exception:
        return type(value).__name__
    return f"{type(value).__name__} of {size}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
