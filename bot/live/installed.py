"""Plugins that were installed with pip: distributions with entry points in the group `neverquit.plugins`.

    [project.entry-points."neverquit.plugins"]
    weather = "nq_weather.plugin"

A distribution is one unit, built and committed as a whole like a package in a plugin directory. It has the name of its
entry point, or with several of them the distribution's. Below that name its modules lie under the names that they are
installed by: `nq_weather.plugin` is `plugins.weather.nq_weather.plugin`, and the loader answers the unit's own imports
of `nq_weather` from there. So generations stand beside each other, and what pip's files in `sys.modules` hold is
nobody's business. `plugins.weather` itself is a page of ours that takes in what the entry points name.

Nothing here is watched, since an installer removes and writes for seconds: a distribution is looked at when the bot
starts and when somebody asks for it. A compiled module (`.so`) can be loaded once in a process, by anyone; it is
imported under its own name, and a new one is refused with `restart first` (`loader.Build`).

Entry points: https://packaging.python.org/specifications/entry-points/
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.metadata import Distribution, EntryPoint, entry_points
from pathlib import Path

from bot.live.discover import IDENTIFIER, MAX_SOURCE_BYTES, OWN, PACKAGE, Disk, Source, Unit
from bot.live.drift import FIRST

GROUP = "neverquit.plugins"


class Installed:
    """The distributions that have plugins, as they were when they were last asked for. One writer: `Discovery`.

    Attributes:
        names: of all plugins found at the last `refresh`, read or not.
    """

    def __init__(self) -> None:
        self.names: frozenset[str] = frozenset()
        self._units: dict[str, Unit] = {}
        self._odd: dict[str, str] = {}
        self._began = False

    def refresh(self, asked: Collection[str] | None = None) -> None:
        """Look what is installed now, and read anew those that are asked for, or all."""
        self._began = True
        importlib.invalidate_caches()
        found, self._odd = _distributions()
        self.names = frozenset(found)
        self._units = {
            name: self._units[name] if asked is not None and name not in asked else _read(name, *found[name])
            for name in found
            if asked is None or name in asked or name in self._units
        }

    def add_to(self, disk: Disk) -> None:
        """Add what is installed to what was found in the folders, which win."""
        if not self._began:
            self.refresh()
        disk.odd.update(self._odd)
        for name, unit in self._units.items():
            if name in disk.units:
                here = next(iter(disk.units[name].sources.values())).shown
                disk.odd[f"{name} (installed)"] = (
                    f"{name}: {here} is taken, the installed plugin of this name is not; rename the file to have both"
                )
            else:
                disk.units[name] = unit


def _distributions() -> tuple[dict[str, tuple[Distribution, list[EntryPoint]]], dict[str, str]]:
    """Return the distributions with plugins by the name of their plugin, and what can't be one, each with why."""
    grouped: dict[str, tuple[Distribution, list[EntryPoint]]] = {}
    for entry in entry_points(group=GROUP):
        if entry.dist is not None:
            grouped.setdefault(entry.dist.name, (entry.dist, []))[1].append(entry)
    found: dict[str, tuple[Distribution, list[EntryPoint]]] = {}
    odd: dict[str, str] = {}
    for title, (distribution, entries) in sorted(grouped.items()):
        name = entries[0].name if len(entries) == 1 else re.sub(r"\W", "_", title)
        if not IDENTIFIER.fullmatch(name) or name.startswith("_") or name == OWN:
            odd[f"{title} (installed)"] = f"{title}: an installed plugin can't be called {name!r}"
        elif name in found:
            other = found[name][0].name
            odd[f"{title} (installed)"] = f"{title}: {other} has a plugin {name} as well, and is taken; uninstall one"
        else:
            found[name] = distribution, entries
    return found, odd


def _read(name: str, distribution: Distribution, entries: list[EntryPoint]) -> Unit:
    """Read all sources of a distribution."""
    base = f"{PACKAGE}.{name}"
    modules = sorted({entry.module for entry in entries})
    title = re.sub(r"[-_.]+", "_", distribution.name)
    points = f"{title}-{distribution.version}.dist-info/entry_points.txt"
    sources, native, roots, fault = dict[str, Source](), dict[str, str](), set[str](), ""
    for root in sorted({_root(module) for module in modules} | _others(distribution)):
        spec = _spec(root)
        if spec is None:
            why = f"the module {root} can't be found; if it was installed just now, {FIRST}"
            fault = fault or f"{points}: {why}"
            continue
        roots.add(root)
        for true, path, is_package in _files(root, spec):
            shown = str(Path(*path.parts[-(true.count(".") + 1 + is_package) :]))
            try:
                content = path.read_bytes()
            except OSError as error:
                fault = f"{shown}: {error.strerror or error}; only modules that lie in folders can be reloaded"
                continue
            if path.suffix != ".py":
                native[true] = hashlib.sha1(content, usedforsecurity=False).hexdigest()
            elif len(content) > MAX_SOURCE_BYTES:
                fault = f"{shown}: larger than {MAX_SOURCE_BYTES >> 20} MiB"
            else:
                sources[f"{base}.{true}"] = Source(f"{base}.{true}", str(path), shown, content, is_package)
    page = _page(base, points, str(distribution.locate_file(points)), modules, sources)
    sources = {base: page, **sources}
    _add_parents(sources, base)
    return Unit(name, sources, _digest(sources, native), fault, frozenset(roots), native)


def _page(base: str, shown: str, path: str, modules: list[str], sources: Mapping[str, Source]) -> Source:
    """Make the source of `plugins.NAME`: it takes in what the entry points name."""
    lines = [f"import {base}.{module}" for module in modules]
    if len(modules) == 1:  # its help and its state are the plugin's
        name = f"{base}.{modules[0]}"
        lines = [f"from {name} import *", f"from {name} import __doc__"]
        lines += _of_state(name, sources[name].content) if name in sources else []
    return Source(base, path, shown, "\n".join(lines).encode(), True)


def _of_state(module: str, content: bytes) -> Iterator[str]:
    """Say on the page what a module says of its state: it is read from there before anything is executed."""
    try:
        body = ast.parse(content).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # which is told when it is compiled
        return
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == "migrate":
            yield f"from {module} import migrate"
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and target.id in ("STATE_NAME", "STATE_VERSION"):
                value = getattr(node, "value", None)
                yield f"{target.id} = {(value.value if isinstance(value, ast.Constant) else None)!r}"


def _root(module: str) -> str:
    """Return the outermost package of a module that is not a namespace, which other distributions share."""
    parts = module.split(".")
    for count in range(1, len(parts)):
        spec = _spec(root := ".".join(parts[:count]))
        if spec is None or spec.origin is not None or spec.submodule_search_locations is None:
            return root
    return module


def _others(distribution: Distribution) -> set[str]:
    """Return the distribution's other top-level modules, by its list of files; none for an editable installation."""
    found = set[str]()
    for file in distribution.files or ():
        name = file.parts[0].removesuffix(".py")
        is_top = file.suffix == ".py" and (len(file.parts) == 1 or file.parts[1:] == ("__init__.py",))
        if is_top and IDENTIFIER.fullmatch(name) and not name.startswith("__"):
            found.add(name)
    return found


def _spec(true: str) -> ModuleSpec | None:
    """Find a module as Python would, but import nothing: `importlib.util.find_spec` imports its parents."""
    parent = true.rpartition(".")[0]
    path: list[str] | None = None
    if parent:
        above = _spec(parent)
        if above is None or above.submodule_search_locations is None:
            return None
        path = list(above.submodule_search_locations)
    for finder in sys.meta_path:
        try:
            spec = finder.find_spec(true, path)
        except ImportError:  # from the finder of an editable installation, say
            continue
        if spec is not None:
            return spec
    return None


def _files(true: str, spec: ModuleSpec) -> Iterator[tuple[str, Path, bool]]:
    """Yield (module, file, whether it is a package) of all modules that a module or package consists of."""
    if spec.submodule_search_locations is None:
        if spec.origin:
            yield true, Path(spec.origin), False
        return
    for location in spec.submodule_search_locations:
        for folder, folders, files in os.walk(location):
            folders[:] = sorted(each for each in folders if IDENTIFIER.fullmatch(each) and each != "__pycache__")
            inner = ".".join((true, *Path(folder).relative_to(location).parts))
            for file in sorted(files):
                stem = file.partition(".")[0]
                if file == "__init__.py":
                    yield inner, Path(folder, file), True
                elif IDENTIFIER.fullmatch(stem) and file[len(stem) :] in (".py", *EXTENSION_SUFFIXES):
                    yield f"{inner}.{stem}", Path(folder, file), False


def _add_parents(sources: dict[str, Source], base: str) -> None:
    """A folder without `__init__.py` is a package all the same: an empty one stands for it."""
    for source in list(sources.values()):
        child = source
        while child.module != base and (parent := child.module.rpartition(".")[0]) not in sources:
            up = 1 if child.is_package else 0
            file = Path(child.path).parents[up] / "__init__.py"
            shown = Path(child.shown).parents[up] / "__init__.py"
            child = sources[parent] = Source(parent, str(file), str(shown), b"", True)


def _digest(sources: Mapping[str, Source], native: Mapping[str, str]) -> str:
    digest = hashlib.sha1(usedforsecurity=False)
    for module, source in sorted(sources.items()):
        digest.update(b"%s\0%d\0" % (module.encode(), len(source.content)))
        digest.update(source.content)
    digest.update(repr(sorted(native.items())).encode())
    return digest.hexdigest()
