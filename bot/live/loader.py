"""Source bytes to fresh modules and handlers, beside the running ones.

Every build makes new module objects and executes compiled bytes in them: never `importlib.reload` (deleted names would
live on), never bytecode files (two saves of equal size within a second would be taken for one). The modules of one
build see each other through their own `__import__`, so a function that imports while it runs gets its own generation,
whatever has been committed since. `sys.modules` holds the new modules only while they execute, since dataclasses and
typing look there; the commit publishes them for good, a failure leaves everything as it was. How plugin code is found
by name: language reference, section 5.

Each generation's code has a file name of its own (`weather.py@5d6e7f8`) with its lines kept in `linecache`, so that a
traceback out of an old call shows the lines that ran, not the lines that are in the file now.
"""

from __future__ import annotations

import builtins
import importlib
import importlib.util
import inspect
import marshal
import sys
import threading
import traceback
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType, TracebackType
from typing import Any

from bot.api import kept
from bot.api import settings as settings_of_plugins
from bot.api.declare import ledger
from bot.dispatch.owner import Owner, current
from bot.dispatch.table import Handler
from bot.errors import PluginError
from bot.live.compiled import Compiled, file_name
from bot.live.declared import Found, find
from bot.live.discover import PACKAGE, Source, Unit
from bot.live.drift import FIRST
from bot.live.imprint import Imprint, entry, imported, imprint_of
from bot.live.modules import new_module

LONGEST_TEXT = 300  # of what an error says: a report is one line; the log has all of it

_import = builtins.__import__
# As they were before any plugin: one that adds to them must not be in the modules of all others.
_BUILTINS = dict(vars(builtins))


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """A unit loaded, perhaps not live. `found` is empty for shared modules, which have no owner either.

    `build` made it, and executes those of its modules that are imported later.
    """

    unit: Unit
    modules: Mapping[str, ModuleType]
    imports: frozenset[str]
    state_name: str
    owner: Owner | None = None
    found: Found = field(default_factory=Found)
    doc: str = ""
    build: Build | None = None
    imprint: Imprint | None = None  # of a shared module; a plugin's is its owner's

    @property
    def handlers(self) -> tuple[Handler, ...]:
        return self.found.handlers

    @property
    def commands(self) -> tuple[str, ...]:
        """The names (not aliases) of its commands, in the order of the file."""
        return self.found.commands


class Build:
    """One build: new modules over the live ones. The caller discards or publishes it.

    Args:
        compiled: what to build, by unit name, each without error.
        live: images that are not built anew, which imports are answered from.
        shelf, settings: where `keep`, `store` and `settings` of these plugins lead.
    """

    def __init__(
        self,
        compiled: Mapping[str, Compiled],
        live: Mapping[str, Image],
        shelf: kept.Shelf,
        settings: Callable[[str], Mapping[str, Any]],
        import_seconds: float,
    ) -> None:
        self._compiled, self._shelf, self._settings = compiled, shelf, settings
        # Only what is imported: functions hold their build, and a build that held every image of its day would keep
        # all generations of all plugins alive in one long chain.
        imported = {name for one in compiled.values() for name in one.imports}
        self._live = {name: live[name] for name in imported if name in live and name not in compiled}
        self.modules: dict[str, ModuleType] = {}
        self.outside: set[str] = set()  # modules that are no units, as they were imported by name
        self.too_long = too_long(import_seconds)
        self._root = ModuleType(PACKAGE)
        self._root.__path__ = []
        self._builtins = {**_BUILTINS, "__import__": self.import_}
        self._owners = {name: Owner(name, one.unit.digest) for name, one in compiled.items() if one.unit.is_plugin}
        self._imprints: dict[str, Imprint] = {}  # by unit
        self._replaced: dict[str, ModuleType | None] = {}
        self._marked: dict[str, list[Callable[..., Any]]] = {}  # by module, until the images are made
        self._executing = False
        self._unwound: list[str] = []  # modules that an error of the unit went through, innermost first
        self._lock = threading.RLock()  # a lazy import may come from any thread of a plugin

    def run(self) -> dict[str, Image]:
        """Execute all units and collect what they declare.

        Raises:
            PluginError: one of them can't be taken; nothing is left of the build.
        """
        steps = self.steps()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                images: dict[str, Image] = end.value
                return images

    def steps(self, names: Collection[str] | None = None) -> Generator[str, None, dict[str, Image]]:
        """Do what `run` does, one unit at a time; who stops half-way closes the generator.

        Args:
            names: the units that are meant; others are executed only as far as these import them.

        Yields:
            A unit's name, before it is executed, and again before its declarations are collected.
        """
        names = self._compiled.keys() if names is None else names
        before = dict(sys.modules)
        tokens = (kept.shelf.set(self._shelf), settings_of_plugins.source.set(self._settings))
        self._executing = True
        images = {}
        try:
            for name in names:
                yield name
                self._load_unit(name)
            for name in names:
                yield name
                images[name] = self._image(self._compiled[name])
            return images
        except BaseException:
            self.undo()
            raise
        finally:
            self._executing = False
            self._marked = {}
            self.discard()
            builtins.__import__ = _import  # another one would be in the way of every import and pickle from now on
            for name in before.keys() - sys.modules.keys():  # of what is gone from there nothing can be pickled
                sys.modules[name] = before[name]
            kept.shelf.reset(tokens[0])
            settings_of_plugins.source.reset(tokens[1])

    def discard(self) -> None:
        """Give `sys.modules` back what it held before this build."""
        replaced, self._replaced = self._replaced, {}
        for name, module in replaced.items():
            if module is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = module

    def undo(self) -> None:
        """Undo what its code has changed in the process: it will never be live."""
        for imprint in self._imprints.values():
            imprint.undo()

    def ran(self, file: str) -> bool:
        """Tell whether a file of a traceback is one of this build's."""
        return any(
            file == file_name(source, one.unit)
            for one in self._compiled.values()
            for source in one.unit.sources.values()
        )

    def forget(self, name: str) -> None:
        """Let go of a unit that has ended. Its neighbours may live on for long, and their functions hold this build."""
        for each in [each for each in list(self.modules) if each.split(".")[1] == name]:
            del self.modules[each]
        self._compiled = {other: one for other, one in self._compiled.items() if other != name}
        self._owners.pop(name, None)
        self._imprints.pop(name, None)
        vars(self._root).pop(name, None)
        imported = {other for one in self._compiled.values() for other in one.imports}
        for other in [other for other in self._live if other not in imported]:
            del self._live[other]
            vars(self._root).pop(other, None)

    # -- imports

    def import_(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Iterable[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """The `__import__` of this build's modules: `plugins.*` from here, everything else as ever."""
        if level:
            package = (globals or {}).get("__package__") or ""
            absolute = importlib.util.resolve_name("." * level + name, package)
        else:
            absolute = self._below(name, globals)
        if absolute != PACKAGE and not absolute.startswith(PACKAGE + "."):
            if not level:
                self.outside.add(name)
            names = tuple(fromlist or ())
            found = _import(name, globals, locals, names, level)
            imported(globals, name, found, names)
            return found
        module = self.get(absolute)
        if not fromlist:
            return (
                self._root if absolute == name or level else self.get(absolute.removesuffix(name) + name.split(".")[0])
            )
        for wanted in fromlist:
            names = getattr(module, "__all__", ()) if wanted == "*" else (wanted,)
            for child in names:
                if not hasattr(module, child):
                    self._get_if_there(f"{absolute}.{child}")
        return module

    def _below(self, name: str, globals: Mapping[str, Any] | None) -> str:
        """An installed plugin calls its own modules by the names that they are installed under; see `installed.py`."""
        package, _, rest = str((globals or {}).get("__name__", "")).partition(".")
        compiled = self._compiled.get(rest.split(".")[0]) if package == PACKAGE else None
        roots = compiled.unit.roots if compiled is not None else ()
        if any(name == root or name.startswith(root + ".") for root in roots):
            return f"{PACKAGE}.{rest.split('.')[0]}.{name}"
        return name

    def get(self, name: str) -> ModuleType:
        """Return a module below `plugins` as this build sees it, executing it first where that has not been done.

        Raises:
            ModuleNotFoundError: no such file.
        """
        if name == PACKAGE:
            return self._root
        module = self.modules.get(name)
        if module is not None:
            return module
        with self._lock:
            if name in self.modules:
                return self.modules[name]
            unit = name.split(".")[1]
            compiled, image = self._compiled.get(unit), self._live.get(unit)
            if compiled is not None:
                return self._execute(compiled, name)
            if image is not None and image.build is not None:
                if name.count(".") > 1:
                    self.get(name.rpartition(".")[0])  # `import plugins.a.b` names `a` on the way
                module = image.build.get(name)  # nobody may have imported this part of it so far
                if name.count(".") == 1:
                    setattr(self._root, unit, module)
                return module
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def _get_if_there(self, name: str) -> None:
        try:
            self.get(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                raise

    def _execute(self, compiled: Compiled, name: str) -> ModuleType:
        source, code = compiled.unit.sources.get(name), compiled.codes.get(name)
        parent_name, _, child = name.rpartition(".")
        if (true := ".".join(name.split(".")[2:])) in compiled.unit.native:
            setattr(self.get(parent_name), child, native := _native(compiled.unit, true))
            return native
        if source is None or code is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        parent = self.get(parent_name)
        module = new_module(source, file_name(source, compiled.unit), self._builtins)
        self.modules[name] = module
        if self._executing:
            self._replaced.setdefault(name, sys.modules.get(name))
            sys.modules[name] = module
        elif sys.modules.get(parent_name) is parent:  # a part of what is live, imported late
            sys.modules[name] = module
        declared: list[Callable[..., Any]] = []
        tokens = (current.set(self._owners.get(compiled.unit.name)), ledger.set(declared))
        imprint = self._imprint(compiled.unit.name)
        try:
            imprint.runs(body := marshal.loads(code), module.__dict__)
            with entry(imprint):
                exec(body, module.__dict__)
            _refuse_twins(compiled.unit, source, declared)
            if self._executing:
                self._marked[name] = declared
        except BaseException:
            if self._executing:
                self._unwound.append(name)
            del self.modules[name]
            if not self._executing and sys.modules.get(name) is module:
                del sys.modules[name]
            raise
        finally:
            current.reset(tokens[0])
            ledger.reset(tokens[1])
        setattr(parent, child, module)
        return module

    def _imprint(self, name: str) -> Imprint:
        if name not in self._imprints:
            owner = self._owners.get(name)
            self._imprints[name] = imprint_of(owner) if owner is not None else Imprint(name)
        return self._imprints[name]

    # -- units

    def _load_unit(self, name: str) -> None:
        unit = self._compiled[name].unit
        self._unwound = []
        try:
            self.get(f"{PACKAGE}.{name}")
        except PluginError:
            raise
        except BaseException as error:  # SystemExit and KeyboardInterrupt come out of plugins, too
            if isinstance(error, TookTooLong):
                path, line = place(error.__traceback__, unit)
                raise PluginError(name, path, line, self.too_long) from None
            raise self._fault(unit, error) from error

    def _image(self, compiled: Compiled) -> Image:
        unit, owner = compiled.unit, self._owners.get(compiled.unit.name)
        modules = {name: module for name, module in self.modules.items() if name.split(".")[1] == unit.name}
        if owner is None:
            imprint = self._imprints.get(unit.name)
            return Image(unit, modules, compiled.imports, compiled.state_name, build=self, imprint=imprint)
        with owner.entered():
            try:
                found = find(unit, modules, owner, self._marked)
            except PluginError:
                raise
            except BaseException as error:  # a class's own __init__ ran there
                raise self._fault(unit, error) from error
        main = modules[f"{PACKAGE}.{unit.name}"]
        doc = str(main.__doc__ or "").strip()
        return Image(unit, modules, compiled.imports, compiled.state_name, owner, found, doc, self)

    def _fault(self, unit: Unit, error: BaseException) -> PluginError:
        path, line = place(error.__traceback__, unit, *(one.unit for one in self._compiled.values()))
        return PluginError(unit.name, path, line, sentence(error) + self._circle(error))

    def _circle(self, error: BaseException) -> str:
        """Return what to add to an error about a name that a half-executed module has not got yet."""
        name = error.name if isinstance(error, ImportError) else None
        if isinstance(error, AttributeError) and isinstance(error.obj, ModuleType):
            name = error.obj.__name__
        if name not in self._unwound[1:]:
            return ""
        circle = [*reversed(self._unwound[: self._unwound.index(name) + 1]), name]
        return f"; they import each other: {' -> '.join(each.removeprefix(f'{PACKAGE}.') for each in circle)}"


_natives: dict[str, str] = {}  # compiled modules of installed plugins that this process has -> what file they were


def _native(unit: Unit, true: str) -> ModuleType:
    """Import a module that is no source, once and for all generations: no process can load another one of its name."""
    if _natives.setdefault(true, unit.native[true]) != unit.native[true]:
        why = f"the compiled module {true} has changed, which no running program can take; {FIRST}"
        raise PluginError(unit.name, shown(unit), 0, why)
    return importlib.import_module(true)


class TookTooLong(BaseException):
    """Put into the builder's thread when an import passes its deadline."""


def _refuse_twins(unit: Unit, source: Source, declared: list[Callable[..., Any]]) -> None:
    """Two declared functions with one name: the second has replaced the first, which nobody ever means."""
    seen: dict[str, int] = {}
    for function in declared:
        code = getattr(inspect.unwrap(function), "__code__", None)
        name, line = getattr(function, "__qualname__", ""), code.co_firstlineno if code else 0
        if "<locals>" in name or function.__module__ != source.module:
            continue
        if name in seen:
            raise PluginError(
                unit.name, source.shown, line, f"{name} is declared twice; the first is in line {seen[name]}"
            )
        seen[name] = line


def too_long(seconds: float) -> str:
    """Return what is told of an import that passed its deadline."""
    return f"the import took longer than {seconds:g} s"


def shown(unit: Unit) -> str:
    """Return the path of a unit's main file as reports name it."""
    return unit.sources[f"{PACKAGE}.{unit.name}"].shown


def place(trace: TracebackType | None, unit: Unit, *others: Unit) -> tuple[str, int]:
    """Return the innermost (file, line) of a trace that lies in one of the units."""
    names = {file_name(source, one): source.shown for one in (*others, unit) for source in one.sources.values()}
    path, line = shown(unit), 0
    for frame, number in traceback.walk_tb(trace):
        if frame.f_code.co_filename in names:
            path, line = names[frame.f_code.co_filename], number
    return path, line


def sentence(error: BaseException) -> str:
    """Return what is told of an error: its class and text, cut where a report would become many lines."""
    try:
        text = str(error)
    except BaseException:  # it is the plugin's own code
        text = "(its text can't be shown)"
    if len(text) > LONGEST_TEXT:
        text = f"{text[:LONGEST_TEXT]}..."
    if isinstance(error, ImportError) and isinstance(error.path, str):
        text = text.replace(f" ({error.path})", "")  # where the bot's files lie is nobody's business
    name = error.name if isinstance(error, ModuleNotFoundError) else None
    if isinstance(name, str) and name and name.split(".")[0] != PACKAGE:
        top = name.split(".")[0]
        return f"{type(error).__name__}: {text}; if it is a package: pip install {top}"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
