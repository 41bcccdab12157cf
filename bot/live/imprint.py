"""What a generation changed in the process around it, and how that is undone when it ends.

Around every execution of a module and every hook the places of `commons.py` are looked at: cheap, since one copy of
each is shared by all. What has changed belongs to the version that was entered if its code names it, or whose functions
and classes it is made of; so what a handler patches is found as well, at the next look. What changed by itself, a
lazily filled module or a cache, is nobody's and left alone.

Two versions of a plugin overlap for a moment, the new one built while the old one answers, and several plugins may
patch the same thing. So changes of a name are a stack: taking one out of the middle lets the one above it fall back to
what was below. A value that does not stem from the old version's code (a folder in `sys.path`, a limit) and that the
new version's code names as well is handed on to it. A name that no longer has our value is left as it is.
"""

from __future__ import annotations

import atexit
import functools
import gc
import sys
import threading
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import CodeType, ModuleType
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from bot.dispatch.owner import Owner
from bot.live.commons import MISSING, Members, Place, common, may_change
from bot.live.discover import PACKAGE
from bot.live.strays import Strays

_LONGEST_WORD = 200  # of a text constant that may name something, as in `mock.patch("json.loads")`


@dataclass(eq=False, slots=True)
class _Change:
    """One name of one place that has another value since."""

    place: Place
    name: Any
    before: Any
    after: Any


class Imprint:
    """The changes of one generation of a unit. Made before its code runs; `undo` ends it.

    Attributes:
        strays: what its code started or opened by itself.
        spaces: the identities of its modules' namespaces.
        number: later ones are higher.
    """

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.words: set[str] = set()
        self.spaces: set[int] = set()
        self.strays = Strays()
        self._places: list[Place] = []
        self.seen: set[int] = set()
        self._changes: list[_Change] = []
        self._exits = _exits()
        self.over = False
        with _world.lock:
            _world.made += 1
            self.number = _world.made
            _world.imprints.setdefault(unit, WeakSet()).add(self)

    def runs(self, code: CodeType, space: dict[str, Any]) -> None:
        """This code of it is about to run, in the namespace of its module."""
        with _world.lock:
            self.words |= _words(code)
            self.spaces.add(id(space))
            _world.spaces[id(space)] = self

    def imported(self, module: ModuleType) -> None:
        """Its code has imported a module, which it may patch from now on, with the classes that it names."""
        if id(module) in self.seen:
            return
        self.seen.add(id(module))
        if module.__name__.split(".")[0] in (PACKAGE, "bot"):
            return
        with _world.lock:
            found = [_world.place(module, module.__name__)]
            space = vars(module)
            for value in [space[word] for word in self.words if word in space]:
                if isinstance(value, type) and may_change(value) and not value.__module__.startswith(PACKAGE + "."):
                    found.append(_world.place(value, f"{module.__name__}.{value.__name__}"))
            for place in found:
                _world.look_at(place, None)  # what others have done to it is none of its doing
            self._places += found

    def undo(self) -> list[str]:
        """Undo what is still as it left it; return what was undone, in words. Idempotent."""
        with _world.lock:
            if self.over:
                return []
            self.over = True
            _world.look(self._places, _world.entered[-1] if _world.entered else None)
            ended = self.strays.end(lambda value: _world.maker(value) is self)
            newer = (one for one in _world.imprints[self.unit] if one.number > self.number)
            heir = max(newer, key=lambda one: one.number, default=None)
            _world.imprints[self.unit].discard(self)
            changes, self._changes = self._changes, []
            undone: list[str] = [
                words for change in reversed(changes) if (words := _world.take_back(change, self, heir))
            ]
            undone += [*self._unregister(), *ended]
            for space in self.spaces:
                _world.spaces.pop(space, None)
            self.spaces = set()
        return undone

    def _unregister(self) -> list[str]:
        """Take its functions out of what is called at exit, if anything came there in its time."""
        if _exits() == self._exits:
            return []
        for each in gc.get_objects():
            if type(each) is types.FunctionType and id(each.__globals__) in self.spaces:
                atexit.unregister(each)
            elif (methods := _methods(type(each), self.spaces)) is not None:
                for name in methods:
                    atexit.unregister(types.MethodType(vars(type(each))[name], each))
        return ["what it had registered with atexit"]

    def names(self, place: Place, name: Any) -> bool:
        """Tell whether its code shows that it means to change this."""
        return not self.words.isdisjoint(place.hints) if place.hints else name in self.words

    def add(self, change: _Change) -> None:
        stack = _world.stacks.setdefault((id(change.place), change.name), [])
        if stack and stack[-1] in self._changes and stack[-1].before is change.after:
            self._changes.remove(stack.pop())  # it has undone it by itself
            if not stack:
                del _world.stacks[id(change.place), change.name]
            return
        self._changes.append(change)
        stack.append(change)

    def take(self, change: _Change) -> None:
        """Have a change that an older version made."""
        self._changes.append(change)
        if isinstance(change.place, Members):
            change.place.thin(change.name)

    def has(self, place: Place, name: Any) -> bool:
        return any(change.place is place and change.name == name for change in self._changes)


class _World:
    """All places, and whose changes are in force. One for the process, since the process is what is changed."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.common: list[Place] = []
        self.places: dict[int, Place] = {}  # by the identity of what they are about, which they keep alive
        self.imprints: dict[str, WeakSet[Imprint]] = {}  # of all that has not ended, by unit
        self.made = 0
        self.spaces: WeakValueDictionary[int, Imprint] = WeakValueDictionary()
        self.stacks: dict[tuple[int, Any], list[_Change]] = {}
        self.entered: list[Imprint] = []  # innermost last; a hook of one may run while another is built

    def place(self, holder: Any, label: str) -> Place:
        if id(holder) not in self.places:
            self.places[id(holder)] = Place(holder, label)
        return self.places[id(holder)]

    def look(self, places: list[Place], entered: Imprint | None) -> None:
        """Note what has changed, each as its maker's, or as that of the version that was entered."""
        if not self.common:
            self.common = common()
            self.places |= {id(place.holder): place for place in self.common if type(place) is Place}
        for place in (*self.common, *places):
            self.look_at(place, entered)

    def look_at(self, place: Place, entered: Imprint | None) -> None:
        for name, before, after in place.changes():
            who = self.maker(place.content(after))
            if who is None and entered is not None and entered.names(place, name):
                grew = before is MISSING and (isinstance(after, ModuleType) or place.lazy())
                who = None if grew else entered
            if who is not None:
                who.add(_Change(place, name, before, after))

    def maker(self, value: Any, depth: int = 3) -> Imprint | None:
        """Return whose code a value is made of, if it is a plugin's."""
        if isinstance(value, types.FunctionType):
            who = self.spaces.get(id(value.__globals__))
            inner = getattr(value, "__wrapped__", None)
        elif isinstance(value, types.MethodType):
            who, inner = self.maker(value.__func__, depth - 1), value.__self__
        elif isinstance(value, functools.partial | staticmethod | classmethod):
            who, inner = None, getattr(value, "func", None) or value.__func__  # type: ignore[union-attr]
        elif isinstance(value, property):
            who, inner = None, value.fget
        elif isinstance(value, type):
            return self._maker_of_class(value)
        else:
            who, inner = self._maker_of_class(type(value)), getattr(value, "__wrapped__", None)
        if who is None and inner is not None and depth:
            return self.maker(inner, depth - 1)
        return who

    def _maker_of_class(self, cls: type) -> Imprint | None:
        if not str(getattr(cls, "__module__", "")).startswith(PACKAGE + "."):
            return None
        for value in vars(cls).values():
            if isinstance(value, types.FunctionType) and (who := self.spaces.get(id(value.__globals__))):
                return who
        space = vars(sys.modules.get(cls.__module__, sys))
        return self.spaces.get(id(space)) if space.get(cls.__name__) is cls else None

    def take_back(self, change: _Change, of: Imprint, heir: Imprint | None) -> str:
        """Undo one change, or hand it on; return what was undone, in words."""
        place, name = change.place, change.name
        stack = self.stacks.get((id(place), name), [])
        if change not in stack:
            return ""
        above = stack[stack.index(change) + 1 :]
        lasting = self.maker(place.content(change.after)) is not of and not place.made_once(name)
        if heir is not None and lasting and not heir.has(place, name) and heir.names(place, name):
            heir.take(change)
            return ""
        stack.remove(change)
        if not stack:
            del self.stacks[id(place), name]
        if above:
            if above[0].before is change.after:
                above[0].before = change.before
            return ""
        if not place.holds(name, change.after):
            return ""
        words = place.say(name, change.after if change.after is not MISSING else change.before)
        try:
            place.write(name, change.before)
        except (AttributeError, KeyError, TypeError, ValueError, OSError):
            return ""  # it has become something that can't be set
        place.known = place.read()
        return words


def _words(code: CodeType) -> set[str]:
    """Return the names that stand in a code, and those in its short texts."""
    words = {*code.co_names}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            words |= _words(constant)
        elif isinstance(constant, str) and len(constant) < _LONGEST_WORD:
            words.update(part for part in constant.split(".") if part.isidentifier())
    return words


def _exits() -> int:
    """Return how many functions were registered with atexit. Borrowed; without it they stay, and are named."""
    return getattr(atexit, "_ncallbacks", int)()


def _methods(cls: type, spaces: set[int]) -> list[str] | None:
    if not str(getattr(cls, "__module__", "")).startswith(PACKAGE + "."):
        return None
    return [
        name
        for name, value in vars(cls).items()
        if isinstance(value, types.FunctionType) and id(value.__globals__) in spaces
    ]


_world = _World()


@contextmanager
def entry(imprint: Imprint) -> Iterator[None]:
    """Enter a version's code: what changes meanwhile is its doing, unless it is made of another's functions."""
    with _world.lock:
        _world.look(imprint._places, _world.entered[-1] if _world.entered else None)
        _world.entered.append(imprint)
        threads = set(threading.enumerate())
    try:
        yield
    finally:
        with _world.lock:
            _world.look(imprint._places, imprint)
            _world.entered.remove(imprint)
            imprint.strays.threads.update(each for each in threading.enumerate() if each not in threads and _bare(each))


def _bare(thread: threading.Thread) -> bool:
    """Tell whether a thread is none that the bot, its watcher or its loop has begun meanwhile."""
    ours = type(thread).__module__.startswith(("bot.", "watchdog.")) or thread.name.startswith(("asyncio", "builder"))
    return not ours


def imprint_of(owner: Owner) -> Imprint:
    """Return the imprint of a plugin's generation."""
    if not isinstance(owner.imprint, Imprint):
        owner.imprint = Imprint(owner.plugin)
    return owner.imprint


def imported(space: Any, name: str, module: ModuleType, names: Iterable[str]) -> None:
    """Plugin code has imported a module: `import NAME`, or `from NAME import NAMES`."""
    who = _world.spaces.get(id(space))
    if who is not None and id(sys.modules.get(name)) not in who.seen:
        for each in (module, sys.modules.get(name), *(getattr(module, one, None) for one in names)):
            if isinstance(each, ModuleType):
                who.imported(each)
