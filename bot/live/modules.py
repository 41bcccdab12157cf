"""Module objects for sources of plugins, with what Python and its tools ask of a module, and the lines of each
generation for as long as it lives: a traceback out of an old version shows the lines that ran.
"""

from __future__ import annotations

import importlib.util
import linecache
import weakref
from collections.abc import Mapping
from importlib.abc import InspectLoader
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

from bot.live.discover import Source


def new_module(source: Source, name_in_tracebacks: str, builtins: Mapping[str, Any]) -> ModuleType:
    """Return a module for a source, not executed yet, that sees these builtins."""
    module = ModuleType(source.module)
    spec = ModuleSpec(source.module, _Source(source), origin=source.path, is_package=source.is_package)
    spec.has_location = True
    module.__spec__, module.__loader__, module.__file__ = spec, spec.loader, source.path
    module.__package__ = source.module if source.is_package else source.module.rpartition(".")[0]
    if source.is_package:
        module.__path__ = spec.submodule_search_locations = [str(Path(source.path).parent)]
    module.__dict__["__builtins__"] = builtins
    try:
        text = importlib.util.decode_source(source.content)
    except (SyntaxError, UnicodeDecodeError):  # it compiled, so this is only the display of it
        text = source.content.decode("utf-8", "replace").replace("\r\n", "\n").replace("\r", "\n")
    lines = [f"{line}\n" for line in text.split("\n")]  # as Python counts them: a form feed ends none
    # The time None keeps linecache from ever comparing these lines with the file.
    linecache.cache[name_in_tracebacks] = (len(text), None, lines, name_in_tracebacks)
    _shown[name_in_tracebacks] = _shown.get(name_in_tracebacks, 0) + 1
    weakref.finalize(module, _forget_lines, name_in_tracebacks)
    return module


class _Source(InspectLoader):
    """What `inspect`, `importlib.resources` and debuggers ask a module's loader for."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def get_source(self, fullname: str) -> str:
        return importlib.util.decode_source(self._source.content)

    def get_filename(self, fullname: str) -> str:
        return self._source.path

    def is_package(self, fullname: str) -> bool:
        return self._source.is_package


_shown: dict[str, int] = {}


def _forget_lines(name: str) -> None:
    _shown[name] = _shown.get(name, 1) - 1
    if _shown[name] <= 0:
        _shown.pop(name, None)
        linecache.cache.pop(name, None)
