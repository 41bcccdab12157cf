"""Which files are plugins, and what is in them: the truth that file events only hint at.

A *unit* is what is built, loaded and reported as one: a file `NAME.py` or a package `NAME/` in a plugin directory.
Units whose names begin with `_` are shared modules, never plugins. A sweep lists and stats everything (0.3 ms for 100
files) and reads only files whose stat changed; what counts as a change is the content. Editors' by-products are not
looked at.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG
from typing import Protocol

from bot.live.writers import is_open_for_writing

PACKAGE = "plugins"  # the name all plugin modules are imported under, wherever they lie
MAX_SOURCE_BYTES = 1 << 20

# Two writes of one size within a tick of the kernel's clock (4 ms; 10 at 100 Hz) leave the same times. So what was
# written only just now is read again at the next sweep (git calls such an entry racily clean).
TICK_NS = 20_000_000

IDENTIFIER = re.compile(r"[^\W\d]\w*")
_Stat = tuple[int, int, int, int]  # inode, size, mtime and ctime in ns: the four that an edit can't all restore
_Stats = dict[str, _Stat]  # of a unit's files, by path


OWN = "bot"  # under this plugin name the built-in commands have their keys and settings


@dataclass(frozen=True, slots=True)
class Source:
    """One module's source as it was read."""

    module: str  # "plugins.weather", "plugins.pkg.part"
    path: str  # absolute
    shown: str  # relative to the plugin directory, as reports name it
    content: bytes
    is_package: bool


@dataclass(frozen=True, slots=True)
class Unit:
    """A plugin or shared module as it is on disk; two with the same digest are the same."""

    name: str
    sources: Mapping[str, Source]  # by module name
    digest: str  # 40 hex digits
    fault: str = ""  # why it can't be loaded whatever is in it: unreadable, too large
    roots: frozenset[str] = frozenset()  # of an installed plugin: its packages, as pip installed them
    native: Mapping[str, str] = field(default_factory=dict)  # its modules that are no source -> what file they are

    @property
    def is_plugin(self) -> bool:
        """Shared modules are loaded only where a plugin imports them."""
        return not self.name.startswith("_")

    @property
    def is_blank(self) -> bool:
        """An empty file is what many writers leave for an instant before they write."""
        return any(not source.content.strip() for source in self.sources.values() if not source.is_package) and (
            len(self.sources) == 1
        )


@dataclass(slots=True)
class Disk:
    """What one sweep found: units by name, and files that can't be plugins by their name, each with why.

    `written` names the units that somebody wrote while they were read.
    """

    units: dict[str, Unit] = field(default_factory=dict)
    odd: dict[str, str] = field(default_factory=dict)
    written: set[str] = field(default_factory=set)


def is_noise(name: str) -> bool:
    """Tell whether a file or folder is an editor's or a tool's by-product."""
    return name.startswith((".", "#")) or name.endswith(("~", ".swp", ".tmp", ".orig", ".bak")) or name == "__pycache__"


class Elsewhere(Protocol):
    """Plugins that lie in no plugin directory: `installed.Installed`."""

    names: frozenset[str]

    def refresh(self, asked: Collection[str] | None = None) -> None: ...
    def add_to(self, disk: Disk) -> None: ...


class _Entry:
    """A path that was not listed, in the shape of one that was."""

    def __init__(self, path: Path) -> None:
        self.name, self.path = path.name, str(path)

    def is_dir(self) -> bool:
        return Path(self.path).is_dir()

    def stat(self) -> os.stat_result:
        return Path(self.path).stat()


_AnyEntry = _Entry | os.DirEntry[str]


class Discovery:
    """Sweeps plugin directories. One writer: the reloader calls it under its lock.

    Args:
        now_ns: the wall clock that files are stamped by, in nanoseconds.
        elsewhere: more plugins, which a sweep adds as they were when they were last asked for.
    """

    def __init__(
        self,
        directories: Iterable[Path],
        now_ns: Callable[[], int] = time.time_ns,
        elsewhere: Elsewhere | None = None,
    ) -> None:
        self.directories = tuple(directories)
        self.elsewhere = elsewhere
        self._now_ns = now_ns
        self._known: dict[str, tuple[_Stats, Unit]] = {}  # by path of the file or package folder, at the last sweep
        self._disk: Disk | None = None  # at the last look

    def sweep(self) -> Disk:
        """Return what is on disk now. Earlier directories win; a folder that is missing is empty."""
        disk, before = Disk(), self._known
        self._known = {}
        for directory in self.directories:
            for entry in _entries(directory):
                self._look(directory, entry, disk, before)
        if self.elsewhere is not None:
            self.elsewhere.add_to(disk)
        self._disk = disk
        return disk

    def look(self, names: Iterable[str]) -> Disk:
        """Return what is on disk, as the last look found it but for these names: they are looked at now."""
        if self._disk is None:
            return self.sweep()
        disk, before = Disk(dict(self._disk.units), dict(self._disk.odd), set(self._disk.written)), self._known
        self._known = dict(before)
        for name in names:
            disk.units.pop(name, None)
            disk.written.discard(name)
            for directory in self.directories:
                for entry in (_Entry(directory / name), _Entry(directory / f"{name}.py")):  # in the order of a sweep
                    self._known.pop(entry.path, None)
                    self._look(directory, entry, disk, before)
        self._disk = disk
        return disk

    def _look(self, directory: Path, entry: _AnyEntry, disk: Disk, before: Mapping[str, tuple[_Stats, Unit]]) -> None:
        name = entry.name.removesuffix(".py")
        try:
            is_package = entry.is_dir()
        except OSError:
            return
        if is_package:
            name = entry.name
            files: list[_AnyEntry] = list(_package_files(entry.path, directory))
            if not any(file.path == f"{entry.path}{os.sep}__init__.py" for file in files):
                return  # not a package yet, or a folder of data
        elif entry.name.endswith(".py"):
            files = [entry]
        else:
            return
        if not IDENTIFIER.fullmatch(name):
            disk.odd.setdefault(entry.name, f"{entry.name}: a plugin's name is letters, digits and _; rename the file")
            return
        if name == OWN:
            disk.odd.setdefault(entry.name, f"{entry.name}: {OWN} is the name of what is built in; rename the file")
            return
        if name in disk.units and not (is_package and self._same_directory(disk.units[name], directory)):
            return  # an earlier directory, or a package beside a file of the same name: the package is Python's choice
        stats = {file.path: stat for file in files if (stat := _stat(file)) is not None}
        known = before.get(entry.path)
        unit = known[1] if known is not None and known[0] == stats else _read(name, directory, stats)
        if unit is not None:
            disk.units[name] = unit
            if (known is None or unit is not known[1]) and _is_being_written(stats):
                disk.written.add(name)
            elif max((max(stat[2:]) for stat in stats.values()), default=0) < self._now_ns() - TICK_NS:
                self._known[entry.path] = stats, unit

    def _same_directory(self, unit: Unit, directory: Path) -> bool:
        return any(Path(source.path).is_relative_to(directory) for source in unit.sources.values())


def _stat(file: _AnyEntry | Path) -> _Stat | None:
    try:
        stat = file.stat()
    except OSError:
        return None  # it vanished since the listing
    if not S_ISREG(stat.st_mode):
        return None  # a pipe, say: reading it would wait for ever
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _is_being_written(stats: _Stats) -> bool:
    """Tell whether files that were read may be half of what they are to be; asked after the reading."""
    return any(is_open_for_writing(path) or _stat(Path(path)) not in (stat, None) for path, stat in stats.items())


def _read(name: str, directory: Path, paths: Iterable[str]) -> Unit | None:
    """Read a unit's files; None if none of them is there."""
    sources: dict[str, Source] = {}
    digest, fault = hashlib.sha1(usedforsecurity=False), ""
    for path in map(Path, paths):
        shown = path.relative_to(directory)
        parts = shown.with_suffix("").parts
        is_package = parts[-1] == "__init__"
        module = ".".join((PACKAGE, *(parts[:-1] if is_package else parts)))
        try:
            with path.open("rb") as file:
                content = file.read(MAX_SOURCE_BYTES + 1)
        except FileNotFoundError:
            continue  # it vanished between the listing and the reading
        except OSError as error:
            fault, content = f"{shown}: {error.strerror or error}", b""
        if len(content) > MAX_SOURCE_BYTES:
            fault = f"{shown}: larger than {MAX_SOURCE_BYTES >> 20} MiB"
        sources[module] = Source(module, str(path), str(shown), content, is_package)
        digest.update(b"%s\0%d\0" % (str(shown).encode("utf-8", "surrogateescape"), len(content)))
        digest.update(content)
    return Unit(name, sources, digest.hexdigest(), fault) if sources else None


def _entries(directory: Path | str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return sorted((entry for entry in found if not is_noise(entry.name)), key=lambda entry: entry.name)
    except OSError:
        return []


def _package_files(folder: str, directory: Path, depth: int = 0) -> Iterator[os.DirEntry[str]]:
    for entry in _entries(folder):
        if entry.name.endswith(".py") and IDENTIFIER.fullmatch(entry.name[:-3]):
            yield entry
        elif (
            depth < 8
            and entry.is_dir()
            and IDENTIFIER.fullmatch(entry.name)
            and (not entry.is_symlink() or _stays_inside(entry.path, directory))
        ):
            yield from _package_files(entry.path, directory, depth + 1)


def _stays_inside(link: str, directory: Path) -> bool:
    """Tell whether a folder that is linked into a package lies in the plugin directory, and not around the link.

    One that leads to `/` would have each sweep walk the disk, one that leads back would be walked again and again.
    """
    try:
        target, place = Path(link).resolve(), Path(link).parent.resolve()
        return target.is_relative_to(directory.resolve()) and not place.is_relative_to(target)
    except (OSError, RuntimeError):
        return False


def directories(names: Iterable[str]) -> list[Path]:
    """Return plugin folders in order; the name `bundled` means the plugins that ship with the bot."""
    return [bundled() if name == "bundled" else Path(name) for name in names]


def bundled() -> Path:
    """Return the folder of the plugins that ship with the bot: in the wheel, or in the source tree."""
    package = Path(__file__).parents[1]
    inside = package / "bundled"
    return inside if inside.is_dir() else package.parent / "plugins"
