"""Objects of a plugin's own classes, brought over to the classes of its new version.

What `keep` holds outlives the module that defined the classes in it, and to new code an object of the old class
`Task` is no `Task`. So kept values are walked before the commit, off the loop: dicts, lists, sets, deques, tuples, the
attributes of plugins' objects, all that these hold. Nothing is touched then; `apply` does it in one synchronous step,
and undoes itself should a plugin's own code (a `__hash__`, say) fail in it. How each kind is brought over:

    class            the object stays the same one and its `__class__` is the new one; fields that a new dataclass has
                     besides are added with their defaults, what it has no longer stays on the object unseen
    with __slots__   a dataclass whose fields became more is made anew; the containers that held the old one hold it
    NamedTuple       made anew, with defaults
    Enum             the member of the same name
    class, function  that of the same name (a `defaultdict(Task)`)

Containers themselves stay the objects they are. Whatever can't be brought over is a `CannotCarry`, in words. Objects
of libraries are neither changed nor looked into. (Assigning `__class__`: data model, section 3.2.10.)
"""

from __future__ import annotations

import dataclasses
import enum
from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, ModuleType
from typing import Any, Final

from bot.live.discover import PACKAGE

MAX_OBJECTS: Final = (
    100_000  # that one walk looks into: about 0.2 s, in the builder's thread; texts, numbers not counted
)

_ATOMS: Final = frozenset({type(None), bool, int, float, complex, str, bytes, range, type(...)})
_CONTAINERS: Final = (dict, list, set, deque)
_PLAIN_MODULES: Final = frozenset({"builtins", "collections"})

Find = Callable[[Any], Any]  # gives what a plugin's class or function is in the new version


class CannotCarry(Exception):
    """An object can't become one of the new version; the text says why.

    Attributes:
        value: the name in `keep` that holds it.
        kind: the name of its class.
    """

    def __init__(self, text: str, value: str = "", kind: str = "") -> None:
        super().__init__(text)
        self.value, self.kind = value, kind


def finder(module_of: Callable[[str], ModuleType | None]) -> Find:
    """Return what finds the class or function of the same name.

    Args:
        module_of: gives the new module of a name, None where there is none.
    """

    def find(old: Any) -> Any:
        found: Any = module_of(old.__module__)
        for part in old.__qualname__.split("."):
            found = vars(found).get(part) if isinstance(found, ModuleType | type) else None
        if found is None:
            raise CannotCarry(f"the new version has no {old.__qualname__} any more")
        return found

    return find


class Carry:
    """What has to change so that these values hold objects of the new version only.

    Args:
        values: by their name in `keep`; not touched before `apply`.
        find: see `finder`.
        lenient: objects that can't be brought over stay what they are, instead of raising.

    Attributes:
        libraries: the objects of others that were met, which are never copied or changed.
        complete: False if there are more objects than a walk looks into.

    Raises:
        CannotCarry: names the value and the class.
    """

    def __init__(self, values: Mapping[str, object], find: Find, *, lenient: bool = False) -> None:
        self._find, self._lenient = find, lenient
        self.libraries: list[object] = []
        self.complete = True
        # By id: the object, which must stay alive as long as its id counts, and what takes its place.
        self._places: dict[int, tuple[object, Any]] = {}
        self._touched: set[int] = set()  # what may have another hash than before
        self._turns: list[tuple[object, type, dict[str, object]]] = []
        self._remakes: dict[int, tuple[object, object, dict[str, object]]] = {}
        self._holders: list[Any] = []
        self._fits: dict[tuple[type, type], bool] = {}
        self._todo: list[Any] = []
        self.values: dict[str, Any] = {}  # what takes the place of each value
        for name, value in values.items():
            try:
                self.values[name] = self._place(value)
                while self._todo:
                    self._look_into(self._todo.pop())
            except CannotCarry as error:
                raise CannotCarry(f'keep("{name}") holds {error}', name, error.kind) from None

    def __bool__(self) -> bool:
        return bool(self._turns or self._remakes or self._holders)

    # -- the walk: what takes the place of what

    def _place(self, value: Any) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            return value
        known = self._places.get(id(value))
        if known is None:
            if len(self._places) >= MAX_OBJECTS:
                self.complete = False
                return value
            known = self._places[id(value)] = (value, self._new(value, kind))
        return known[1]

    def _new(self, value: Any, kind: type) -> Any:
        if is_of_plugin(kind):
            return self._object(value, kind)
        if isinstance(value, _CONTAINERS) and kind.__module__ in _PLAIN_MODULES:
            self._todo.append(value)
        elif kind is tuple or kind is frozenset:
            parts = [self._place(part) for part in value]
            if any(new is not old for new, old in zip(parts, value, strict=True)):
                self._touched.add(id(value))
                return kind(parts)
            if any(id(part) in self._touched for part in parts):
                self._touched.add(id(value))
        elif isinstance(value, type | FunctionType):
            return self._definition(value)
        elif kind.__module__ != "builtins":
            self.libraries.append(value)
        return value

    def _definition(self, value: Any) -> Any:
        """A class or function that is itself a value; one that has no name in the module stays as it is."""
        if not is_of_plugin(value):
            return value
        try:
            found = self._find(value)
        except CannotCarry:
            return value
        return found if type(found) is type(value) else value

    def _object(self, value: Any, kind: type) -> Any:
        try:
            return self._of_new_class(value, kind)
        except CannotCarry as error:
            if not self._lenient:
                name = kind.__qualname__
                raise CannotCarry(f"a {name} of the old version, and {error}", kind=kind.__name__) from None
            self._todo.append(value)
            return value

    def _of_new_class(self, value: Any, kind: type) -> Any:
        new = self._find(kind)
        if new is kind:
            self._todo.append(value)
            return value
        if not isinstance(new, type) or issubclass(new, enum.Enum) != issubclass(kind, enum.Enum):
            raise CannotCarry(f"{kind.__qualname__} is something else in the new one")
        self._touched.add(id(value))
        if isinstance(value, enum.Enum):
            return _member(value, new)
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return self._named_tuple(value, new)
        have = dict(_attributes(value))
        missing = _defaults(new, have.keys())
        if self._can_turn(kind, new):
            self._turns.append((value, new, missing))
            self._todo.append(value)
            return value
        fields = [each.name for each in dataclasses.fields(new)] if dataclasses.is_dataclass(new) else []
        if have.keys() - fields:
            raise CannotCarry(f"{new.__qualname__} is built differently in the new one (__slots__, bases)")
        made: Any = object.__new__(new)
        self._remakes[id(value)] = (value, made, missing)
        self._todo.append(value)
        return made

    def _named_tuple(self, value: Any, new: Any) -> Any:
        parts, defaults = dict(zip(value._fields, value, strict=True)), getattr(new, "_field_defaults", {})
        fields = getattr(new, "_fields", ())
        if gone := sorted(parts.keys() - set(fields)):
            raise CannotCarry(f"its field {gone[0]} is gone in the new one")
        if bare := [name for name in fields if name not in parts and name not in defaults]:
            raise CannotCarry(f"its new field {bare[0]} has no default")
        return tuple.__new__(new, [self._place(parts[name]) if name in parts else defaults[name] for name in fields])

    def _can_turn(self, old: type, new: type) -> bool:
        """Tell whether objects of one class can become ones of the other where they are; tried with an empty one."""
        if (old, new) not in self._fits:
            try:
                base: Any = next(each for each in old.__mro__ if not is_of_plugin(each))
                object.__setattr__(base.__new__(old), "__class__", new)
                self._fits[old, new] = True
            except TypeError:
                self._fits[old, new] = False
        return self._fits[old, new]

    def _look_into(self, holder: Any) -> None:
        changed = False
        if isinstance(holder, dict):
            for key, value in list(dict.items(holder)):
                if type(value) not in _ATOMS:
                    changed |= self._place(value) is not value
                if type(key) not in _ATOMS:
                    changed |= self._place(key) is not key or id(key) in self._touched
            if isinstance(holder, defaultdict):
                changed |= self._place(holder.default_factory) is not holder.default_factory
        elif isinstance(holder, set):
            for value in list(set.__iter__(holder)):
                changed |= self._place(value) is not value or id(value) in self._touched
        elif isinstance(holder, list | deque):
            for value in [each for each in list(iter(holder)) if type(each) not in _ATOMS]:
                changed |= self._place(value) is not value
        if is_of_plugin(type(holder)):
            for _, value in _attributes(holder):
                changed |= self._place(value) is not value
        if changed and id(holder) not in self._remakes:
            self._holders.append(holder)

    # -- the deed

    def apply(self) -> None:
        """Do all of it, or none.

        Raises:
            Exception: code of the plugin failed in it; everything is as it was.
        """
        undo: list[Callable[[], object]] = []
        try:
            for value, new, missing in self._turns:
                undo.append(_turned(value, new, missing))
            for old, made, missing in self._remakes.values():
                for name, part in [*missing.items(), *_attributes(old)]:
                    object.__setattr__(made, name, self._now(part))
            for holder in self._holders:
                self._refill(holder, undo)
        except Exception:
            for step in undo:  # in this order: keys are hashed by their classes again before a dict is filled with them
                step()
            raise

    def _now(self, value: Any) -> Any:
        known = self._places.get(id(value))
        return known[1] if known is not None and known[0] is value else value

    def _refill(self, holder: Any, undo: list[Callable[[], object]]) -> None:
        now = self._now
        if isinstance(holder, dict):
            before = list(dict.items(holder))
            undo.append(lambda: _fill_dict(holder, before))
            _fill_dict(holder, [(now(key), now(value)) for key, value in before])
            if isinstance(holder, defaultdict):
                holder.default_factory = now(holder.default_factory)
        elif isinstance(holder, set):
            members = list(set.__iter__(holder))
            undo.append(lambda: (set.clear(holder), set.update(holder, members)))
            after = {now(value) for value in members}
            set.clear(holder)
            set.update(holder, after)
        elif isinstance(holder, list):
            kept = list(list.__iter__(holder))
            undo.append(lambda: list.__setitem__(holder, slice(None), kept))
            list.__setitem__(holder, slice(None), [now(value) for value in kept])
        elif isinstance(holder, deque):
            queued = list(deque.__iter__(holder))
            undo.append(lambda: (deque.clear(holder), deque.extend(holder, queued)))
            deque.clear(holder)
            deque.extend(holder, [now(value) for value in queued])
        if is_of_plugin(type(holder)):
            for name, value in _attributes(holder):
                if now(value) is not value:
                    undo.append(lambda name=name, value=value: object.__setattr__(holder, name, value))  # type: ignore[misc]
                    object.__setattr__(holder, name, now(value))


def is_of_plugin(definition: Any) -> bool:
    """Tell whether a class or function was defined in a plugin or a shared module of plugins."""
    return str(getattr(definition, "__module__", "")).startswith(f"{PACKAGE}.")


def _fill_dict(holder: Any, items: list[tuple[Any, Any]]) -> None:
    # An ordered one keeps a second book, which only its own methods write.
    base: Any = OrderedDict if isinstance(holder, OrderedDict) else dict
    fresh = dict(items)  # whatever a key's __hash__ raises, it raises here
    base.clear(holder)
    for key, value in fresh.items():
        base.__setitem__(holder, key, value)


def _turned(value: Any, new: type, missing: Mapping[str, object]) -> Callable[[], object]:
    """Make an object one of another class, and return what undoes it."""
    old, added = type(value), []
    object.__setattr__(value, "__class__", new)
    for name, default in missing.items():
        if not hasattr(value, "__dict__") or name not in vars(value):
            object.__setattr__(value, name, default)
            added.append(name)

    def undo() -> None:
        for name in added:
            object.__delattr__(value, name)
        object.__setattr__(value, "__class__", old)

    return undo


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """What is set on an object itself, in its `__dict__` and its slots."""
    yield from list(getattr(value, "__dict__", {}).items())
    for each in type(value).__mro__:
        slots = each.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            name = f"_{each.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
            if name not in ("__dict__", "__weakref__"):
                try:
                    yield name, object.__getattribute__(value, name)
                except AttributeError:
                    continue


def _defaults(new: type, have: Any) -> dict[str, object]:
    """Values for the fields of a dataclass that an object has not."""
    found: dict[str, object] = {}
    for field in dataclasses.fields(new) if dataclasses.is_dataclass(new) else ():
        if field.name in have:
            continue
        if field.default is not dataclasses.MISSING:
            found[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = field.default_factory()
        else:
            raise CannotCarry(f"its new field {field.name} has no default")
    return found


def _member(value: enum.Enum, new: Any) -> Any:
    try:
        if isinstance(value, enum.Flag):
            parts = [new[name] for name in (value.name or "").split("|") if name]
            combined = new(0)
            for part in parts:
                combined |= part
            return combined
        return new[value.name]
    except (KeyError, ValueError):
        raise CannotCarry(f"it has no member {value.name} in the new one") from None
