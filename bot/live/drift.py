"""Packages that differ on disk from what this process runs: they can't be had without a restart.

A package is loaded once in a process; an upgrade on disk changes nothing here, but a trial process, which is younger,
runs the new files. So a version that passed there might fail here, or worse, half work. What a plugin imports by name
is therefore compared with its files as they were when it was first seen loaded. The standard library goes with the
interpreter and is left out. `bot` itself may be upgraded before a restart without harm: plugins go on loading until
one needs what only one of the two has.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Final

Stamp = tuple[int, int]  # mtime in ns, size in bytes

FIRST: Final = "restart first"  # in what is told of them; who tells it adds how

_OWN: Final = "bot"
_LACKING: Final = ("ImportError", "AttributeError", "ModuleNotFoundError", "TypeError")


class Drift:
    """Remembers the files that loaded packages came from. `bot` is known from the beginning."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, Stamp]] = {}  # by package, by path
        self._note(_OWN)

    def note(self, names: Iterable[str]) -> None:
        """Modules of these names have been imported: take down what their packages are made of."""
        for package in packages(names):
            self._note(package)

    def changed(self, names: Iterable[str]) -> str:
        """Return the first package of these modules whose files are not what they were, or ""."""
        return next((package for package in packages(names) if self._has_changed(package)), "")

    def explains(self, text: str) -> bool:
        """Tell whether an error, as it is reported, may come from a `bot` on disk that is not the one that runs."""
        return text.partition(":")[0] in _LACKING and self._has_changed(_OWN)

    def own_changed(self) -> bool:
        """Tell whether the `bot` on disk is not the one that runs."""
        return self._has_changed(_OWN)

    def _note(self, package: str) -> None:
        files = self._files.setdefault(package, {})
        for name, module in list(sys.modules.items()):
            if name == package or name.startswith(f"{package}."):
                path = _path(module)
                if path and path not in files and (stamp := _stamp(path)) is not None:
                    files[path] = stamp

    def _has_changed(self, package: str) -> bool:
        return any(_stamp(path) != stamp for path, stamp in self._files.get(package, {}).items())


def advised(text: str, restart: str) -> str:
    """Return what is told with the way to restart.

    Args:
        restart: the command that does it, "" where there is none.
    """
    return text.replace(FIRST, f"{FIRST} ({restart or 'by hand: end the bot and run it again'})")


def packages(names: Iterable[str]) -> list[str]:
    """Return the packages that modules are in, without the standard library and `bot`."""
    found = {name.partition(".")[0] for name in names}
    return sorted(found - sys.stdlib_module_names - {_OWN, "__main__"})


def _path(module: ModuleType) -> str:
    path = getattr(module, "__file__", None)
    return path if isinstance(path, str) else ""


def _stamp(path: str) -> Stamp | None:
    try:
        stat = Path(path).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size
