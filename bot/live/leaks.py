"""What an ended generation left behind: threads, sockets, processes and tasks that go on, and code that can't be
collected, with what holds it. One line, once, some seconds after the end, since much ends by itself.

    weather g4 left behind: thread feed, socket ('0.0.0.0', 8080)
    weather g4 left behind: its code, held by json.loads

Whether code is gone is told by weak references to its functions and classes, after a collection. Only where one is
still alive the heap is searched for who holds it, which takes some milliseconds, from the code outwards to the first
thing that has a name. Objects that were there before the plugins are frozen and never found by that way, so the
attributes of modules are looked through one by one.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import logging
import re
import sys
import threading
import time
import types
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bot.dispatch.owner import Owner, label
from bot.live.discover import PACKAGE
from bot.live.handoff import Shelf
from bot.live.imprint import Imprint
from bot.live.loader import Image

log = logging.getLogger(__name__)

LOOKED_THROUGH = 400  # objects, on the way from old code to who holds it
NAMED = 4  # things in one line
REMEMBERED = 200  # lines that were told


@dataclass(slots=True)
class _Ended:
    """One generation that has ended, and how to see what is left of it."""

    unit: str
    who: str
    since: float
    code: list[weakref.ref[Any]]
    owner: Owner | None
    imprint: Imprint | None

    def alive(self) -> list[Any]:
        return [each for reference in self.code if (each := reference()) is not None]

    def left(self) -> list[str]:
        """Return what is still there, in words, but for code."""
        words = self.imprint.strays.left() if self.imprint is not None else []
        if self.owner is not None:
            words = [f"thread {thread.name}" for thread in self.owner.threads if thread.is_alive()] + words
            words += [f"task {label(task)}" for task in self.owner.stubborn if not task.done()]
        return list(dict.fromkeys(words))


class Leaks:
    """Watches ended generations until nothing is left of them, or tells what is.

    Args:
        tell: takes the line.
        restart: the command that ends a thread which nothing else can end, "" where there is none.
        seconds: gives how long a generation has to be gone before what is left of it is told.
    """

    def __init__(
        self,
        tell: Callable[[str], object],
        seconds: Callable[[], float],
        clock: Callable[[], float] = time.monotonic,
        restart: str = "",
    ) -> None:
        self._tell, self._seconds, self._clock, self._restart = tell, seconds, clock, restart
        self._ended: list[_Ended] = []
        self._told: deque[str] = deque(maxlen=REMEMBERED)

    def watch(self, image: Image) -> None:
        """A generation has ended."""
        owner, name = image.owner, image.unit.name
        who = f"{name} g{owner.generation}" if owner is not None and owner.generation else f"an old version of {name}"
        imprint = image.imprint if owner is None else owner.imprint
        imprint = imprint if isinstance(imprint, Imprint) else None
        self._ended.append(_Ended(name, who, self._clock(), _code(image.modules.values()), owner, imprint))

    def look(self) -> float | None:
        """Tell what is left of those that ended long enough ago; to be called after a collection.

        Returns:
            In how many seconds to look again; None: nothing is left to be watched.
        """
        due, later = self._clock() - self._seconds(), []
        for ended in self._ended:
            words, alive = ended.left(), ended.alive()
            if not words and not alive:
                continue
            if ended.since > due:
                later.append(ended)
                continue
            try:
                self._say(ended, words, alive)
            except Exception:  # odd objects of plugins are looked at there
                log.exception("%s left something behind that can't be told", ended.who)
        self._ended = later
        return max(min(ended.since for ended in later) - due, 0.05) if later else None

    def _say(self, ended: _Ended, words: list[str], alive: list[Any]) -> None:
        if alive and not any(word.startswith(("thread", "task")) for word in words):
            running = _threads_in(alive)
            words += running or [f"its code, held by {held_by(alive)}"]
        more = [f"+{len(words) - NAMED} more"] if len(words) > NAMED else []
        line = f"{ended.who} left behind: {', '.join([*words[:NAMED], *more])}"
        if self._restart and any(word.startswith("thread") for word in words):
            line += f"; {self._restart} ends it"
        # The next version of a plugin that leaks does so as well; who saves often is told once.
        kind = re.sub(r"\d+", "#", line)
        if kind in self._told:
            log.warning("%s", line)
        else:
            self._told.append(kind)
            self._tell(line)


def _code(modules: Iterable[ModuleType]) -> list[weakref.ref[Any]]:
    """Return weak references to the functions and classes that modules define."""
    found: list[weakref.ref[Any]] = []
    for module in modules:
        space = vars(module)
        for value in space.values():
            mine = isinstance(value, types.FunctionType) and value.__globals__ is space
            if mine or (isinstance(value, type) and getattr(value, "__module__", None) == module.__name__):
                found.append(weakref.ref(value))
    return found


def _spaces(alive: list[Any]) -> dict[int, Mapping[str, Any]]:
    """Return the namespaces of old code by identity."""
    functions = [each for each in alive if isinstance(each, types.FunctionType)]
    for each in alive:
        if isinstance(each, type):
            functions += [value for value in vars(each).values() if isinstance(value, types.FunctionType)]
    spaces = {id(each.__globals__): each.__globals__ for each in functions}
    return {number: space for number, space in spaces.items() if str(space.get("__name__")).startswith(PACKAGE + ".")}


def _threads_in(alive: list[Any]) -> list[str]:
    """Return the threads that are in this code, or were told to run it."""
    spaces = _spaces(alive)
    found = []
    frames = sys._current_frames()
    for thread in threading.enumerate():
        frame = frames.get(thread.ident or 0) if thread is not threading.current_thread() else None
        while frame is not None and id(frame.f_globals) not in spaces:
            frame = frame.f_back
        if frame is not None:
            found.append(f"thread {thread.name}, in {frame.f_code.co_name}")
    return found


def held_by(alive: list[Any]) -> str:
    """Return in words who holds old code: the first thing with a name on the way outwards from it."""
    spaces = _spaces(alive)
    own = {id(alive), id(spaces), *map(id, alive), *spaces}
    for name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and name.split(".")[0] != PACKAGE:
            for attribute, value in list(vars(module).items()):
                if _made_of(value, own, spaces):
                    return f"{name}.{attribute}"
    todo: deque[Any] = deque([*alive, *spaces.values()])
    seen = {*map(id, todo)}
    looked = 0
    while todo and looked < LOOKED_THROUGH:
        each = todo.popleft()
        looked += 1
        for holder in gc.get_referrers(each):
            if id(holder) in seen or id(holder) in own or holder is todo or isinstance(holder, types.FrameType):
                continue
            seen.add(id(holder))
            if (said := _said(holder, each)) is not None:
                return said
            todo.append(holder)
    return "something outside of Python: atexit, a codec, a C library"


def _made_of(value: Any, own: set[int], spaces: Mapping[int, Any]) -> bool:
    inner = getattr(value, "__func__", value) if isinstance(value, types.MethodType) else value
    return id(inner) in own or (isinstance(inner, types.FunctionType) and id(inner.__globals__) in spaces)


def _said(holder: Any, held: Any) -> str | None:
    """Return words for a holder that has a name; None: ask who holds it in turn."""
    if isinstance(holder, types.FunctionType):
        live = vars(sys.modules.get(str(holder.__module__), sys)) is holder.__globals__
        return f"the function {holder.__module__}.{holder.__qualname__}" if live else None
    if isinstance(holder, asyncio.Task):
        return f"task {label(holder)}"
    if isinstance(holder, asyncio.Handle):
        return "a timer of the loop" if isinstance(holder, asyncio.TimerHandle) else "a callback of the loop"
    if isinstance(holder, threading.Thread):
        return f"thread {holder.name}"
    if isinstance(holder, logging.Handler | logging.Filter | logging.Logger):
        return f"logging: {holder}"
    if isinstance(holder, types.CoroutineType | types.GeneratorType | types.AsyncGeneratorType):
        return f"{holder.__qualname__}, which has not ended"
    if isinstance(holder, ModuleType):
        return None
    if isinstance(holder, dict):
        return _said_of_dict(holder, held)
    if isinstance(holder, type) and not holder.__module__.startswith(PACKAGE + "."):
        return f"the class {holder.__module__}.{holder.__qualname__}"
    return "the values that it keeps" if isinstance(holder, Shelf) else None


def _said_of_dict(holder: dict[Any, Any], held: Any) -> str | None:
    name = holder.get("__name__")
    if not isinstance(name, str) or "__builtins__" not in holder or not inspect.ismodule(sys.modules.get(name)):
        return None
    if name.startswith(PACKAGE + ".") and vars(sys.modules[name]) is not holder:
        return None
    attribute = next((str(key) for key, value in holder.items() if value is held), "")
    return f"{name}.{attribute}".rstrip(".")
