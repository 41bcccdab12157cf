"""The names of live plugin modules in this process: `sys.modules` and the package `plugins`.

`import plugins.weather` from outside a build (a test, a debugger, pickle, `typing`) finds the live generation here.
Python's own machinery is kept away from plugin files: it would read them again, and write bytecode files beside them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

from bot.live.discover import PACKAGE

if TYPE_CHECKING:
    from bot.live.loader import Image


class Finder(MetaPathFinder):
    """Refuses what is not live."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """Refuse names below `plugins` that are not live; live ones are in `sys.modules` before this is asked."""
        if fullname.startswith(PACKAGE + "."):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
        return None


_finder = Finder()


def install(directories: Iterable[str]) -> None:
    """Make the package `plugins` ours for this process."""
    root = ModuleType(PACKAGE)
    root.__path__ = list(directories)
    sys.modules[PACKAGE] = root
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def uninstall() -> None:
    """Take all plugin modules out of this process's names again."""
    for name in [name for name in sys.modules if name == PACKAGE or name.startswith(PACKAGE + ".")]:
        del sys.modules[name]
    if _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


def publish(images: Mapping[str, Image], gone: Iterable[str], live: Mapping[str, Image]) -> None:
    """Put the live modules under their names, and take those away that are live no more."""
    root = sys.modules.get(PACKAGE)
    changed, below = {*images, *gone}, PACKAGE + "."
    for name in [name for name in list(sys.modules) if isinstance(name, str) and name.startswith(below)]:
        if name.split(".", 2)[1] in changed:
            del sys.modules[name]
    for name in gone:
        if root is not None and hasattr(root, name):
            delattr(root, name)
    for name, image in images.items():
        if name in live:
            sys.modules.update(image.modules)
            if root is not None:
                setattr(root, name, image.modules[f"{PACKAGE}.{name}"])
