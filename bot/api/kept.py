"""What a plugin keeps: `keep` in memory across reloads, `store` on disk across restarts.

    asked = keep("asked", dict)            # the same object in every generation, made once
    homes = store("homes", per="user")     # a mapping of JSON values on disk

    homes[ctx]["town"] = "Paris"           # `ctx` picks the part that `per` names
    points = store("points")               # per="bot": a mapping itself, `points["x"]`
    points.add("x", 2)                     # atomic, as is
    with points.edit("list", list) as names: names.append("x")

Both belong to the plugin whose module calls them. Where the objects and rows really are is said by the `Shelf` of
the running bot (`live/` for `keep`, `bot/storage.py` for the rows); outside a bot, in a test or at a prompt, plain
memory serves. Values are JSON, checked when written, and what is read is a read-only view, so that a change which
would be lost is an error that names the way to make it. All of it is safe from threads and from the loop.

The parts: `bot` one for all; `network` by the network's name; `channel` by network and folded channel name, in
private the part of the user alone; `user` by network and services account (`account:alice`) while the server vouches
for one, else by folded nick (`nick:alice`). Someone who identifies later begins an empty part: a nick proves nothing.
"""

from __future__ import annotations

import enum
import json
import sys
import threading
import time
from collections.abc import Callable, Hashable, ItemsView, Iterator, MutableMapping, ValuesView
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal, Protocol, TypeVar, get_args

from bot.api.values import encode, frozen

T = TypeVar("T")
Per = Literal["bot", "network", "channel", "user"]

HOLD_SECONDS: Final = 2.0  # how long one edit waits for another: well under the 5 s of silence that end a worker
IMMUTABLE: Final = (str, int, float, complex, bytes, tuple, frozenset, enum.Enum, type(None))


# --- where it is kept


class Rows(Protocol):
    """The rows of one named store: JSON text by part and key. One key's changes are made under `hold`."""

    def read(self, part: str, key: str) -> str | None: ...
    def write(self, part: str, key: str, text: str) -> None: ...
    def delete(self, part: str, key: str) -> bool: ...
    def items(self, part: str) -> list[tuple[str, str]]: ...
    def count(self, part: str) -> int: ...
    def clear(self, part: str) -> None: ...
    def hold(self, part: str, key: str) -> AbstractContextManager[None]: ...


class Shelf(Protocol):
    """Where a running bot keeps things for its plugins; the same name gives the same thing in every generation."""

    def keep(self, plugin: str, name: str, factory: Callable[[], T]) -> T: ...
    def store(self, plugin: str, name: str, per: Per) -> Rows: ...


shelf: ContextVar[Shelf | None] = ContextVar("shelf", default=None)


class Holds:
    """Which keys are being changed, and by which thread: one edit of a key at a time, others go on."""

    def __init__(self) -> None:
        self._free = threading.Condition()
        self._owners: dict[Hashable, int] = {}

    @contextmanager
    def hold(self, key: Hashable, called: str) -> Iterator[None]:
        """Hold `key` for the body of a `with`.

        Raises:
            RuntimeError: this very thread holds it (an edit within an edit, or an await within one), or another has
                held it for over HOLD_SECONDS.
        """
        me, deadline = threading.get_ident(), time.monotonic() + HOLD_SECONDS
        with self._free:
            while (owner := self._owners.get(key)) is not None:
                if owner == me:
                    raise RuntimeError(f"`{called}` is being edited already; don't await or change it inside its edit")
                if not self._free.wait(deadline - time.monotonic()):
                    raise RuntimeError(f"`{called}` has been in edit by another call for over {HOLD_SECONDS:g} s")
            self._owners[key] = me
        try:
            yield
        finally:
            with self._free:
                del self._owners[key]
                self._free.notify_all()


class Memory:
    """Rows in plain memory, for use outside a bot."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, str]] = {}
        self._holds = Holds()

    def read(self, part: str, key: str) -> str | None:
        return self._parts.get(part, {}).get(key)

    def write(self, part: str, key: str, text: str) -> None:
        self._parts.setdefault(part, {})[key] = text

    def delete(self, part: str, key: str) -> bool:
        return self._parts.get(part, {}).pop(key, None) is not None

    def items(self, part: str) -> list[tuple[str, str]]:
        return list(self._parts.get(part, {}).items())

    def count(self, part: str) -> int:
        return len(self._parts.get(part, {}))

    def clear(self, part: str) -> None:
        self._parts.pop(part, None)

    def hold(self, part: str, key: str) -> AbstractContextManager[None]:
        return self._holds.hold((part, key), key)


class _PlainShelf:
    """The shelf outside a bot."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], Any] = {}
        self._stores: dict[tuple[str, str], Memory] = {}

    def keep(self, plugin: str, name: str, factory: Callable[[], T]) -> T:
        if (plugin, name) not in self._kept:
            self._kept[plugin, name] = factory()
        kept: T = self._kept[plugin, name]
        return kept

    def store(self, plugin: str, name: str, per: Per) -> Rows:
        return self._stores.setdefault((plugin, name), Memory())


_plain: Final = _PlainShelf()


# --- the two names that plugins call


def keep(name: str, factory: Callable[[], T]) -> T:
    """The object of this name, made by `factory` the first time and the same one in every later generation.

    Raises:
        TypeError: what the factory made can't be changed in place, so a new value could never be kept.
    """
    if not callable(factory):
        raise TypeError(f'keep("{name}", ...) takes what makes the value: keep("{name}", dict)')

    def make() -> T:
        made = factory()
        if isinstance(made, IMMUTABLE):
            raise TypeError(f'keep("{name}", ...) of {type(made).__name__}: keep a dict or list and change it in place')
        return made

    return (shelf.get() or _plain).keep(_caller(), name, make)


def store(name: str, per: Per = "bot") -> Store:
    """The mapping of this name on disk; see `Store`.

    Raises:
        ValueError: `per` is none of bot, network, channel, user.
    """
    if per not in get_args(Per):
        raise ValueError(f'store("{name}", per="{per}"): per must be one of {", ".join(get_args(Per))}')
    return Store(name, per, (shelf.get() or _plain).store(_caller(), name, per))


def _caller() -> str:
    """The plugin that calls `keep` or `store`: `plugins.weather` and `plugins.weather.towns` are both `weather`."""
    return plugin_of(str(sys._getframe(2).f_globals.get("__name__", "")))


def plugin_of(module: str) -> str:
    """The plugin that a module belongs to: `plugins.weather.towns` to `weather`; any other module is its own."""
    return module.split(".")[1] if module.startswith("plugins.") else module


# --- the part that a context picks


class Place(Protocol):
    """A network as `Store` needs it."""

    @property
    def name(self) -> str: ...
    def fold(self, text: str, /) -> str: ...


class Person(Protocol):
    """A user as `Store` needs them."""

    @property
    def nick(self) -> str: ...
    @property
    def account(self) -> str | None: ...


class Located(Protocol):
    """Anything that says where it is: the `ctx` of a handler."""

    @property
    def network(self) -> Place | None: ...
    @property
    def channel(self) -> str | None: ...
    @property
    def user(self) -> Person | None: ...


def part_of(where: Located, per: Per) -> str:
    """The name of the part that `per` picks at `where`, `libera/#chan` or `libera/account:alice`.

    Raises:
        LookupError: there is none, as in a timer's context.
    """
    if per == "bot":
        return ""
    network, user = where.network, where.user
    if network is not None and per == "network":
        return network.name
    if network is not None and per == "channel" and where.channel:
        return f"{network.name}/{network.fold(where.channel)}"
    if network is not None and user is not None:
        known = f"account:{network.fold(user.account)}" if user.account else f"nick:{network.fold(user.nick)}"
        return f"{network.name}/{known}"
    raise LookupError(f"a part per {per} was asked for where there is no {per} (a timer's call, say)")


# --- the mapping


class Store(MutableMapping[str, Any]):
    """JSON values by name, on disk. With `per` other than `bot` it is a mapping of parts: `homes[ctx]` is one.

    Reading gives read-only views. Every method takes some microseconds and may be called on the loop.

    Raises, from any method:
        TypeError: a key that is not text, a value that is not JSON; says what to write instead.
        StoreError: the disk is full, the file is damaged, ...
    """

    def __init__(self, name: str, per: Per, rows: Rows, part: str | None = None) -> None:
        self._name, self._per, self._rows = name, per, rows
        self._part = "" if part is None and per == "bot" else part

    def __repr__(self) -> str:
        return f"<store {self._name} per {self._per}" + (f", part {self._part}>" if self._part else ">")

    def __getitem__(self, key: str | Located) -> Any:
        if not isinstance(key, str) and hasattr(key, "network"):
            if self._part is not None and self._per != "bot":
                raise TypeError(f"this is one part of `{self._name}` already; its keys are text")
            return Store(self._name, self._per, self._rows, part_of(key, self._per))
        text = self._rows.read(*self._at(key))
        if text is None:
            raise KeyError(key)
        return frozen(json.loads(text))

    def __setitem__(self, key: str, value: Any) -> None:
        at = self._at(key)
        text = encode(value)
        with self._rows.hold(*at):
            self._rows.write(*at, text)

    def __delitem__(self, key: str) -> None:
        at = self._at(key)
        with self._rows.hold(*at):
            if not self._rows.delete(*at):
                raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter([key for key, _ in self._rows.items(self._here())])

    def __len__(self) -> int:
        return self._rows.count(self._here())

    def items(self) -> ItemsView[str, Any]:
        return _Items(self)

    def values(self) -> ValuesView[Any]:
        return _Values(self)

    def clear(self) -> None:
        self._rows.clear(self._here())

    def pop(self, key: str, *default: Any) -> Any:
        """As a dict's, and atomic: of two callers one gets the value."""
        at = self._at(key)
        with self._rows.hold(*at):
            text = self._rows.read(*at)
            if text is not None:
                self._rows.delete(*at)
                return json.loads(text)
        if default:
            return default[0]
        raise KeyError(key)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As a dict's, and atomic; what it returns is read-only like all that is read."""
        at = self._at(key)
        text = encode(default)
        with self._rows.hold(*at):
            if (found := self._rows.read(*at)) is None:
                self._rows.write(*at, text)
        return frozen(json.loads(found or text))

    def add(self, key: str, n: float = 1) -> Any:
        """Add to a number, 0 when there is none yet; gives the new one."""
        at = self._at(key)
        with self._rows.hold(*at):
            found = self._rows.read(*at)
            old = 0 if found is None else json.loads(found)
            if isinstance(old, bool) or not isinstance(old, int | float):
                raise TypeError(f"`{key}` in `{self._name}` is {type(old).__name__}, and add is for numbers")
            new = old + n
            self._rows.write(*at, encode(new))
        return new

    @contextmanager
    def edit(self, key: str, factory: Callable[[], Any] = dict) -> Iterator[Any]:
        """Change a dict or list in place: `with points.edit("x", list) as names: names.append("y")`.

        It is written when the body ends, and not at all when the body raises. Nobody else changes this key meanwhile,
        so keep the body short and don't await in it.

        Args:
            factory: makes the value when there is none yet.
        """
        at = self._at(key)
        with self._rows.hold(*at):
            found = self._rows.read(*at)
            value = factory() if found is None else json.loads(found)
            if not isinstance(value, dict | list):
                raise TypeError(f"edit changes a dict or list in place, and `{key}` is {type(value).__name__}: assign")
            yield value
            if (text := encode(value)) != found:
                self._rows.write(*at, text)

    def _here(self) -> str:
        if self._part is None:
            raise TypeError(f"`{self._name}` is kept per {self._per}: write `{self._name}[ctx]` first")
        return self._part

    def _at(self, key: object) -> tuple[str, str]:
        if not isinstance(key, str):
            raise TypeError(f"keys of `{self._name}` are text, not {type(key).__name__}: write str(key)")
        if not key.isascii():
            try:
                key.encode()
            except UnicodeEncodeError:
                raise TypeError(f"keys of `{self._name}` are text, and {key!a} has half a character in it") from None
        return self._here(), key

    def _decoded(self) -> Iterator[tuple[str, Any]]:
        for key, text in self._rows.items(self._here()):
            yield key, frozen(json.loads(text))


class _Items(ItemsView[str, Any]):
    """One read for all rows, so that a key removed meanwhile is no error."""

    _mapping: Store

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        return self._mapping._decoded()


class _Values(ValuesView[Any]):
    _mapping: Store

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._mapping._decoded())
