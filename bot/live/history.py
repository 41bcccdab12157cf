"""What each plugin and shared module has been: every version that was live, what failed and why, and the sources of the
last good ones.

It follows the reloader's commits and failures and writes them down in a thread of its own, after the commit: a disk
that is slow, full or locked costs nothing that is live. What can't be written waits in memory, within bounds, and is
read from there. One row is one content: a start or a rebuild of the same content, with the same imports, only renews
it. Which version to go back to, and when, is `past.py`; the rows themselves are `storage.Versions`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import zlib
from collections import deque
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from bot.dispatch.owner import unowned
from bot.live.builder import Builder
from bot.live.discover import Source, Unit
from bot.live.loader import Image, TookTooLong
from bot.live.outcome import START_FAILED, Commit, Failed
from bot.live.plan import Pin, needed

T = TypeVar("T")
Row = tuple[int, str, float, str, str, str]  # generation, digest, at, cause, result, imports as JSON
log = logging.getLogger(__name__)

VERSIONS_KEPT = 20  # sources of a unit; of its rows twice as many, good and failed ones each
MAX_UNIT_BYTES = 4 << 20  # packed: what is larger is not kept
MAX_BYTES = 64 << 20  # of all sources together, packed
UNWRITTEN = 500  # notes that wait for the disk to take them; the oldest are dropped
WRITE_SECONDS = 60.0  # for a disk that hangs, not one that is slow

START, PROBATION = "start", "probation"  # causes of commits
ROLLBACK = "rollback"  # by whom follows
_SAME_VERSION = (START, START_FAILED)  # these bring nothing new: their rows keep when and why they came


@dataclass(frozen=True, slots=True)
class Version:
    """One content of a unit. `result` is "" while it is good, else why it is not."""

    unit: str
    generation: int  # 0 for shared modules, and for what was never live
    digest: str
    at: float  # seconds since 1970
    cause: str
    result: str
    imports: Mapping[str, str]  # the digest of every unit that it imported, over any number of steps


class Archive(Protocol):
    """Where rows and sources lie; see `storage.Versions`."""

    def add(self, unit: str, *row: object) -> None: ...
    def renew(
        self, unit: str, digest: str, imports: str, generation: int, at: float | None, cause: str | None
    ) -> bool: ...
    def judge(self, unit: str, digest: str, result: str) -> None: ...
    def of(self, unit: str) -> Sequence[Row]: ...
    def units(self) -> Sequence[str]: ...
    def keep(self, unit: str, digest: str, content: bytes) -> None: ...
    def content(self, unit: str, digest: str) -> bytes | None: ...
    def prune(self, unit: str, rows: int, contents: int, most_bytes: int) -> None: ...


@dataclass(frozen=True, slots=True)
class _Note:
    """Something to be written: a version with its unit if it was live; or a judgement of one that was good."""

    version: Version
    unit: Unit | None = None
    is_judgement: bool = False


class History:
    """Follows one reloader. Call everything on the loop.

    Args:
        live: gives what is live.
        pins: the table on disk that pins of rollbacks are kept in.
        wall: seconds since 1970.
    """

    def __init__(
        self,
        archive: Archive,
        pins: MutableMapping[str, Any],
        live: Callable[[], Mapping[str, Image]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._archive, self._pins, self._live, self._wall = archive, pins, live, wall
        self._thread = Builder(TookTooLong)
        self._news: deque[tuple[Commit, Mapping[str, Image], float]] = deque()
        self._notes: deque[_Note] = deque()
        self._new_pins: Mapping[str, Pin] | None = None
        self._writing: asyncio.Task[None] | None = None
        self._complained = False

    # -- what it is told

    def committed(self, commit: Commit) -> None:
        """A commit has been made."""
        self._news.append((commit, self._live(), self._wall()))
        # After the commit, but soon, whatever the disk does: an image held here would keep an old generation.
        asyncio.get_running_loop().call_soon(self._take_news)
        self._soon()

    def failed(self, failed: Failed) -> None:
        """A group was tried and stays as it was; what was live for a moment has its commits to tell of it."""
        if failed.was_live:
            return
        for name in failed.plugins:
            digest = failed.units[name].digest if name in failed.units else ""
            self._notes.append(
                _Note(Version(name, 0, digest, self._wall(), failed.cause, f"failed: {failed.error}", {}))
            )
        self._soon()

    def judge(self, name: str, digest: str, result: str) -> None:
        """A version that was good is so no more: nobody goes back to it."""
        self._soon()
        self._take_news()
        self._notes.append(_Note(Version(name, 0, digest, 0.0, "", result, {}), is_judgement=True))

    def pinned(self, pins: Mapping[str, Pin]) -> None:
        """The pins have changed."""
        self._new_pins = {name: pin for name, pin in pins.items() if pin.kept}
        self._soon()

    # -- what it knows

    async def versions(self, name: str) -> list[Version]:
        """Return all that is known of a unit, the newest first."""
        await self.written()
        none: list[Row] = []
        rows = await self._read(lambda: list(self._archive.of(name)), none)
        found = [Version(name, g, digest, at, cause, why, json.loads(old)) for g, digest, at, cause, why, old in rows]
        for note in self._notes:  # the disk has not taken them
            if note.version.unit == name and not note.is_judgement:
                found.insert(0, note.version)
        bad = {note.version.digest for note in self._notes if note.version.unit == name and note.is_judgement}
        return [version for version in found if version.result or version.digest not in bad]

    async def names(self) -> list[str]:
        """Return the names of all units that it knows anything of."""
        await self.written()
        none: list[str] = []
        known = await self._read(lambda: list(self._archive.units()), none)
        return sorted({*known, *(note.version.unit for note in self._notes)})

    async def unit(self, name: str, digest: str) -> Unit | None:
        """Return a version's sources, if they are kept."""
        for note in self._notes:
            if note.unit is not None and (note.unit.name, note.unit.digest) == (name, digest):
                return note.unit
        content = await self._read(lambda: self._archive.content(name, digest), None)
        return unpacked(name, digest, content) if content is not None else None

    async def pins(self) -> dict[str, Pin]:
        """Return the pins that were in force when the bot ended, with their sources."""
        found, none = {}, dict[str, Any]()
        for name, (digest, disk_digest) in (await self._read(lambda: dict(self._pins), none)).items():
            unit = await self.unit(name, digest)
            if unit is not None:
                found[name] = Pin(unit, disk_digest)
        return found

    async def written(self) -> None:
        """Wait until all that has been told is on disk, or could not be written."""
        while self._writing is not None:
            await asyncio.shield(self._writing)

    async def close(self) -> None:
        """Write what is left, at most for a second."""
        if self._writing is not None:
            await asyncio.wait([self._writing], timeout=1.0)
            if self._writing is not None:
                self._writing.cancel()
        self._thread.stop()

    # -- the disk

    async def _read(self, question: Callable[[], T], instead: T) -> T:
        try:
            return await self._thread.run(question, WRITE_SECONDS)
        except (Exception, TookTooLong):
            log.exception("the history can't be read")
            return instead

    def _soon(self) -> None:
        if self._writing is None:
            self._writing = unowned(asyncio.get_running_loop().create_task, self._write())

    async def _write(self) -> None:
        try:
            while self._news or self._new_pins is not None or self._notes:
                self._take_news()
                notes, pins = list(self._notes), self._new_pins
                done, is_all = await self._thread.run(lambda: self._put(notes, pins), WRITE_SECONDS)  # noqa: B023
                for _ in range(done):
                    self._notes.popleft()
                if not is_all:
                    break  # the next change tries again
                if self._new_pins is pins:
                    self._new_pins = None
        except (Exception, TookTooLong):
            log.exception("the history could not be written; the next change tries again")
        finally:
            self._writing = None
            self._take_news()
            while len(self._notes) > UNWRITTEN:
                self._notes.popleft()

    def _take_news(self) -> None:
        while self._news:
            self._notes.extend(_notes_of(*self._news.popleft()))

    def _put(self, notes: Sequence[_Note], pins: Mapping[str, Pin] | None) -> tuple[int, bool]:
        """Write notes until one can't be written, then the pins; return how many notes were, and whether that is all.
        For the thread."""
        done, is_all = 0, False
        try:
            for note in notes:
                self._put_one(note)
                done += 1
            if pins is not None:
                self._put_pins(pins)
            self._complained, is_all = False, True
        except Exception as error:
            if not self._complained:
                log.warning("the history could not be written, the next change tries again: %s", error)
            self._complained = True
        return done, is_all

    def _put_one(self, note: _Note) -> None:
        version, imports = note.version, json.dumps(note.version.imports, sort_keys=True)
        name, digest = version.unit, version.digest
        if note.is_judgement:
            self._archive.judge(name, digest, version.result)
            return
        if not version.result:
            kept = (None, None) if version.cause in _SAME_VERSION else (version.at, version.cause)
            if self._archive.renew(name, digest, imports, version.generation, *kept):
                return
            content = packed(note.unit) if note.unit is not None else None
            if content is not None and len(content) <= MAX_UNIT_BYTES:
                self._archive.keep(name, digest, content)
        self._archive.add(name, version.generation, digest, version.at, version.cause, version.result, imports)
        self._archive.prune(name, 2 * VERSIONS_KEPT, VERSIONS_KEPT, MAX_BYTES)

    def _put_pins(self, pins: Mapping[str, Pin]) -> None:
        wanted = {name: [pin.unit.digest, pin.disk_digest] for name, pin in pins.items()}
        for name in list(self._pins):
            if name not in wanted:
                del self._pins[name]
        self._pins.update(wanted)


def _notes_of(commit: Commit, live: Mapping[str, Image], at: float) -> list[_Note]:
    edges = {name: image.imports for name, image in live.items()} if commit.new else {}
    notes = []
    for name, image in commit.new.items():
        imports = {other: live[other].unit.digest for other in sorted(needed([name], edges)) if other in live}
        imports.pop(name, None)
        generation = image.owner.generation if image.owner is not None else 0
        version = Version(name, generation, image.unit.digest, at, commit.cause, "", imports)
        notes.append(_Note(version, image.unit))
    if commit.cause == START_FAILED:
        notes += [
            _Note(Version(name, 0, image.unit.digest, at, "", START_FAILED, {}), is_judgement=True)
            for name, image in commit.before.items()
            if image.owner is not None and (name not in live or live[name].unit.digest != image.unit.digest)
        ]
        notes.sort(key=lambda note: not note.is_judgement)
    return notes


def earlier(versions: Sequence[Version], besides: Collection[str]) -> list[Version]:
    """Return the good versions, the newest first and each content once, but for some contents."""
    found = {version.digest: version for version in reversed(versions) if not version.result}
    newest = sorted(found.values(), key=versions.index)
    return [version for version in newest if version.digest not in besides]


def packed(unit: Unit) -> bytes | None:
    """Return a unit's sources as bytes to be kept; None for one that is more than sources."""
    if unit.native:
        return None
    sources = [
        # Latin-1 has a letter for every byte, whatever the file's own coding is.
        [source.module, source.path, source.shown, source.is_package, source.content.decode("latin-1")]
        for source in unit.sources.values()
    ]
    return zlib.compress(json.dumps({"sources": sources, "roots": sorted(unit.roots)}).encode("ascii"), 1)


def unpacked(name: str, digest: str, content: bytes) -> Unit:
    """Return the unit that `packed` was given."""
    kept = json.loads(zlib.decompress(content))
    sources = {
        module: Source(module, path, shown, text.encode("latin-1"), is_package)
        for module, path, shown, is_package, text in kept["sources"]
    }
    return Unit(name, sources, digest, roots=frozenset(kept["roots"]))
