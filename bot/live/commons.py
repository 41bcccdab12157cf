"""The places of this process that plugin code may change though they are not its own, and what each was last seen to
hold: attributes of foreign modules and classes, lists such as `sys.path`, logging handlers, signals, single settings.

A place tells what has changed since the last look, and can be written back. Looking is cheap, since nearly nothing ever
changes: a namespace is compared with its copy in C, value by value, by identity first. Whose a change is, is decided in
`imprint.py`.

Borrowed private names, each with what happens without it (held by `tests/live/test_commons.py`): `_signal.getsignal`,
which takes a tenth of the time of `signal.getsignal`; `threading._trace_hook` and `_profile_hook`, by being names in
`threading`; the loop's `_signal_handlers`, without which handlers of `add_signal_handler` are not undone.
"""

from __future__ import annotations

import asyncio
import builtins
import copyreg
import gc
import logging
import operator
import os
import signal
import socket
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any, Final

getsignal: Callable[[int], Any] = getattr(sys.modules.get("_signal"), "getsignal", signal.getsignal)

MISSING: Final[Any] = type("Missing", (), {"__repr__": lambda _: "missing"})()
_BY_VALUE: Final = (str, tuple)
_HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: others can't be changed
_ADDS_HANDLERS = "addHandler addFilter removeHandler removeFilter handlers filters basicConfig dictConfig fileConfig"


class Place:
    """See the module's head; this one is a namespace.

    Attributes:
        known: what it held at the last look.
        hints: words in the code of a plugin that show it means to change this; empty: the changed name itself.
    """

    hints: frozenset[str] = frozenset()
    known: dict[Any, Any] = {}  # noqa: RUF012  # replaced, never written to

    def __init__(self, holder: Any, label: str) -> None:
        self.holder, self.label = holder, label
        self.known = self.read()

    def read(self) -> dict[Any, Any]:
        """Return what it holds, by name."""
        return dict(vars(self.holder))

    def write(self, name: Any, value: Any) -> None:
        """Put a value back; MISSING takes the name away."""
        if value is MISSING:
            delattr(self.holder, name)
        else:
            setattr(self.holder, name, value)

    def changed(self) -> bool:
        """Tell whether anything may have changed."""
        return bool(vars(self.holder) != self.known)

    def changes(self) -> Iterator[tuple[Any, Any, Any]]:
        """Yield (name, before, after) for what has changed since the last look."""
        try:
            if not self.changed():
                return
        except Exception:  # the __eq__ of some value
            pass
        before, self.known = self.known, self.read()
        for name, value in self.known.items():
            if before.get(name, MISSING) is not value:
                yield name, before.get(name, MISSING), value
        yield from ((name, value, MISSING) for name, value in before.items() if name not in self.known)

    def holds(self, name: Any, value: Any) -> bool:
        """Tell whether the name still has this value."""
        now = self.read().get(name, MISSING)
        return now is value or (isinstance(value, int | str | tuple) and bool(now == value))

    def lazy(self) -> bool:
        """Tell whether names may appear in it by being asked for."""
        return "__getattr__" in vars(self.holder)

    def made_once(self, name: Any) -> bool:
        """Tell whether a change of this name can be made by one version only: it is about an object of that version."""
        return False

    def content(self, value: Any) -> Any:
        """Return what a plugin has put there."""
        return value

    def say(self, name: Any, value: Any) -> str:
        return f"{self.label}.{name}"


class Entries(Place):
    """A mapping."""

    def __init__(self, holder: MutableMapping[Any, Any], label: str, hints: str = "") -> None:
        self.hints = frozenset(hints.split())
        super().__init__(holder, label)

    def read(self) -> dict[Any, Any]:
        return dict(self.holder)

    def write(self, name: Any, value: Any) -> None:
        if value is MISSING:
            self.holder.pop(name, None)
        else:
            self.holder[name] = value

    def changed(self) -> bool:
        return bool(self.holder != self.known)

    def lazy(self) -> bool:
        return False

    def say(self, name: Any, value: Any) -> str:
        return f"{self.label}[{getattr(name, '__name__', name)}]"


class Members(Place):
    """A list. Its members are their own names: texts and tuples by value, other objects by identity."""

    def __init__(self, owner: Any, attribute: str, label: str, hints: str) -> None:
        self.hints = frozenset(hints.split())
        self._attribute = attribute
        super().__init__(owner, label)

    @property
    def _list(self) -> list[Any]:
        members = getattr(self.holder, self._attribute)
        return members if isinstance(members, list) else []

    def read(self) -> dict[Any, Any]:
        return {each if type(each) in _BY_VALUE else id(each): each for each in self._list}

    def write(self, name: Any, value: Any) -> None:
        ours = [each for each in self._list if name == (each if type(each) in _BY_VALUE else id(each))]
        if value is MISSING:
            for each in ours:
                self._list.remove(each)
        elif not ours:
            self._list.append(value)
        if self.holder is warnings:
            with warnings.catch_warnings():  # it makes Python forget what it has decided by the old filters
                pass

    def made_once(self, name: Any) -> bool:
        return not isinstance(name, str | tuple)

    def thin(self, name: Any) -> None:
        """Leave one of several equal members."""
        while self._list.count(name) > 1:
            self._list.reverse()
            self._list.remove(name)
            self._list.reverse()

    def changed(self) -> bool:
        # By identity, in the common case: what stands there may be slow to compare.
        now, known = self._list, self.known.values()
        return len(now) != len(known) or any(map(operator.is_not, now, known))

    def lazy(self) -> bool:
        return False

    def say(self, name: Any, value: Any) -> str:
        return f"{self.label} {str(value if value is not MISSING else name)[:60]}"


class Logging(Members):
    """The handlers and filters of all loggers, and the filters of the root's handlers."""

    def __init__(self) -> None:
        super().__init__(logging, "root", "the logging handler", _ADDS_HANDLERS)

    def _lists(self) -> Iterator[tuple[Any, list[Any]]]:
        loggers = logging.root.manager.loggerDict
        for logger in (logging.root, *loggers.values()):
            if isinstance(logger, logging.Logger):
                yield logger, logger.handlers
                yield logger, logger.filters
        for handler in logging.root.handlers:
            yield handler, handler.filters

    def read(self) -> dict[Any, Any]:
        return {
            (id(members), id(each)): (owner, members, each)
            for owner, members in self._lists()
            if members
            for each in members
        }

    def changes(self) -> Iterator[tuple[Any, Any, Any]]:
        before, self.known = self.known, self.read()
        if before.keys() != self.known.keys():
            yield from ((name, MISSING, value) for name, value in self.known.items() if name not in before)
            yield from ((name, value, MISSING) for name, value in before.items() if name not in self.known)

    def made_once(self, name: Any) -> bool:
        return True

    def content(self, value: Any) -> Any:
        return value[2] if value is not MISSING else value

    def holds(self, name: Any, value: Any) -> bool:
        return (name in self.read()) == (value is not MISSING)

    def write(self, name: Any, value: Any) -> None:
        _, members, each = value if value is not MISSING else self.read()[name]
        if value is not MISSING:
            members.append(each)
            return
        members.remove(each)
        if isinstance(each, logging.Handler) and all(each is not other for _, _, other in self.read().values()):
            each.close()

    def say(self, name: Any, value: Any) -> str:
        owner, _, each = value
        return f"{self.label} {each} of {getattr(owner, 'name', owner)}"[:100]


class Signals(Place):
    """What the process does on signals. Only the main thread can change that."""

    hints = frozenset({"signal", "add_signal_handler", "remove_signal_handler"})

    def __init__(self) -> None:
        self._numbers = tuple(int(number) for number in signal.valid_signals())
        super().__init__(None, "signal")

    def read(self) -> dict[Any, Any]:
        return {number: getsignal(number) for number in self._numbers}

    def write(self, name: Any, value: Any) -> None:
        signal.signal(name, value)

    def changed(self) -> bool:
        return threading.current_thread() is threading.main_thread() and self.read() != self.known

    def lazy(self) -> bool:
        return False

    def say(self, name: Any, value: Any) -> str:
        return f"the handler of {signal.Signals(name).name}"


class Settings(Place):
    """Single values with a function to ask for them and one to set them; a setting's name is the latter's."""

    _ALL: Final[dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]]] = {
        "setrecursionlimit": (sys.getrecursionlimit, sys.setrecursionlimit),
        "setswitchinterval": (sys.getswitchinterval, sys.setswitchinterval),
        "setdefaulttimeout": (socket.getdefaulttimeout, socket.setdefaulttimeout),
        "settrace": (sys.gettrace, sys.settrace),
        "setprofile": (sys.getprofile, sys.setprofile),
        "setLevel": (lambda: logging.root.level, logging.root.setLevel),
        "disable": (lambda: logging.root.manager.disable, logging.disable),
        "chdir": (os.getcwd, os.chdir),
    }

    def __init__(self) -> None:
        super().__init__(None, "")

    def read(self) -> dict[Any, Any]:
        try:
            return {name: get() for name, (get, _) in self._ALL.items()}
        except OSError:  # the working folder is gone
            return dict(self.known)

    def write(self, name: Any, value: Any) -> None:
        self._ALL[name][1](value)

    def changed(self) -> bool:
        return self.read() != self.known

    def lazy(self) -> bool:
        return False

    def say(self, name: Any, value: Any) -> str:
        return f"{name}({value!r})"[:80]


def common() -> list[Place]:
    """Return the places that are looked at whatever a plugin imports."""
    places: list[Place] = [Place(module, module.__name__) for module in (builtins, sys, threading, warnings)]
    places += [
        Members(sys, "path", "sys.path", "path"),
        Members(sys, "meta_path", "sys.meta_path", "meta_path"),
        Members(sys, "path_hooks", "sys.path_hooks", "path_hooks"),
        Members(warnings, "filters", "the warnings filter", "filterwarnings simplefilter filters captureWarnings"),
        Members(gc, "callbacks", "gc.callbacks", "callbacks"),
        Entries(copyreg.dispatch_table, "copyreg"),
        Logging(),
        Signals(),
        Settings(),
    ]
    try:
        handlers = getattr(asyncio.get_running_loop(), "_signal_handlers", None)
    except RuntimeError:
        handlers = None
    if handlers is not None:
        places.append(Entries(handlers, "add_signal_handler", "add_signal_handler remove_signal_handler"))
    return places


def may_change(value: Any) -> bool:
    """Tell whether attributes of this can be set, and it is a module or a class."""
    if isinstance(value, types.ModuleType):
        return True
    return isinstance(value, type) and bool(value.__flags__ & _HEAP_TYPE)
