"""When plugin files have settled: events are hints, what is on disk is the truth.

An event begins a quiet window; at its end `settle` is called, which looks for itself at what changed. The window is
`settle_ms` for one known plugin file, whose trial begins at once (`foresee`), and 8 ms for more than one or anything
else. It is held while a writer has a file open and while git holds `index.lock`, each with a limit. A safety sweep
every `sweep_seconds` heals what events lose: a folder removed and made again, a queue that overflowed, the target of a
link. Where there are no events the folders are looked at every 0.25 s, and what a look finds must be the same in two
looks 100 ms apart.

`changes` hears of files, `window` says how long to wait, `look` compares, `gitlock` knows git. Who reads and loads is
the reloader's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from bot.config import Reload
from bot.live.changes import Change, Kind, Source, open_source
from bot.live.discover import is_noise
from bot.live.gitlock import GitLock
from bot.live.look import Look, identity, look
from bot.live.window import BURST_SECONDS, HOLD_SECONDS, STEADY_SECONDS, Window
from bot.live.writers import is_open_for_writing, silent_kind

log = logging.getLogger(__name__)

LOCK_POLL_SECONDS = 0.005
POLL_SECONDS = 0.25  # between looks where events don't exist
RETRY_SECONDS = 60.0  # until watches that were refused are asked for again


class Settle(Protocol):
    """Takes what has changed: of the units named, or, where none is, of all."""

    def __call__(self, hint: frozenset[str]) -> Awaitable[object]: ...


class Watcher:
    """Watches plugin directories and calls `settle` when something may have changed.

    Args:
        settle: the reload; called again while it runs only after it has ended.
        foresee: called as soon as one known plugin has changed, and again when it changes again: begin its trial.
        is_known: tells of a unit's name whether it is a live plugin, whose change is the common case.

    `settle_seconds` and `sweep_seconds` may be set at any time; `poke` ends a wait by the old ones.
    """

    def __init__(
        self,
        directories: Iterable[Path],
        settle: Settle,
        *,
        settle_seconds: float = 0.004,
        sweep_seconds: float = 2.0,
        foresee: Callable[[Collection[str]], Awaitable[object]] | None = None,
        is_known: Callable[[str], bool] = lambda name: False,
    ) -> None:
        self._directories = tuple(directory.absolute() for directory in directories)
        self._prefixes = self._all_prefixes()
        self._settle, self.settle_seconds, self.sweep_seconds = settle, settle_seconds, sweep_seconds
        self._settling = asyncio.Lock()
        self._foresee, self._is_known = foresee, is_known
        self._foreseeing: asyncio.Task[object] | None = None
        self._foreseen = float("-inf")  # the change that a look ahead came after
        self._source: Source | None = None
        self._watched: list[tuple[int, int, str] | None] = []  # what each directory was when its watch was set
        self._retry_at = 0.0
        self._fault = ""  # why there are no events at all, or none of other machines
        self._told = ""  # what was said of it, so that it is said once
        self._window = Window()
        self._lock = GitLock(self._directories)
        self._seen: Look = {}
        self._suspects: set[str] = set()  # what looks found changed; its writer may still be at work
        self._swept_at = 0.0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch. A folder that is missing is waited for; what changed before is settled first."""
        self._watch()
        self._seen = await asyncio.to_thread(look, self._directories)
        self.poke()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="watcher")

    async def stop(self) -> None:
        """End watching; nobody waits for a settle any more when this returns."""
        tasks = [task for task in (self._task, self._foreseeing) if task is not None]
        self._task = self._foreseeing = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._unwatch()

    async def switch(self, on: bool) -> None:
        """Begin to watch, or end it once a settle under way has ended; nothing when that is so already."""
        if not on:
            async with self._settling:
                await self.stop()
        elif self._task is None:
            await self.start()

    async def configure(self, settings: Reload) -> None:
        """Take new times, and begin or end watching as the settings ask."""
        self.settle_seconds, self.sweep_seconds = settings.settle_ms / 1000, settings.sweep_seconds
        await self.switch(settings.watch)
        self.poke()

    def poke(self) -> None:
        """Ask for a settle without an event: a grace has ended."""
        self._window.is_odd = True
        self._changed.set()

    # -- what happened

    def mark(self, changes: Iterable[Change]) -> None:
        """Take what has changed, on the loop."""
        now = time.monotonic()
        for kind, path, is_directory in changes:
            if kind is Kind.LOST:
                self._window.lose(now)
                self._changed.set()
                continue
            parts = self._relative(path)
            if parts is None or any(is_noise(part) for part in parts) or not (is_directory or path.endswith(".py")):
                continue
            is_writing = kind is Kind.WRITING and self._tells_of_closing()
            self._window.mark(path, _unit(parts), now, is_writing=is_writing, is_odd=is_directory)
            self._window.is_unsure |= not self._tells_of_closing()
            self._changed.set()
        self._look_ahead()

    def _tells_of_closing(self) -> bool:
        return self._source is not None and self._source.tells_of_closing

    def _all_prefixes(self) -> tuple[str, ...]:
        """How paths of events begin: as the folder is named, or where links lead."""
        roots = {str(root) for each in self._directories for root in (each, each.resolve())}
        return tuple(sorted((root.rstrip(os.sep) + os.sep for root in roots), key=len, reverse=True))

    def _relative(self, path: str) -> tuple[str, ...] | None:
        for prefix in self._prefixes:
            if path.startswith(prefix):
                return Path(path[len(prefix) :]).parts
            if path == prefix[:-1]:
                return ()
        return None

    def _look_ahead(self) -> None:
        """Begin the trial of one known plugin as soon as its file is closed, and again when it changes again."""
        if self._foresee is None or self._window.writing or self._window.last == self._foreseen:
            return
        if self._foreseeing is not None and not self._foreseeing.done():
            return  # what it missed is looked at when it has ended
        if not (name := self._quick()):
            return
        self._foreseen = self._window.last
        self._foreseeing = asyncio.get_running_loop().create_task(self._foresee_one(name), name="foresee")

    async def _foresee_one(self, name: str) -> None:
        assert self._foresee is not None
        try:
            await self._foresee(frozenset({name}))
        except Exception:
            log.exception("looking ahead failed inside the bot; the reload does without it")
        finally:
            self._foreseeing = None
        self._look_ahead()

    # -- the quiet window

    async def _run(self) -> None:
        while True:
            try:
                await self._turn()
            except Exception:
                log.exception("a reload failed inside the bot; the next change is taken as ever")

    async def _turn(self) -> None:
        """Wait for a change or the next look, for its end, and have it settled."""
        window = self._window
        is_sweep = not await self._woken()
        self._changed.clear()
        if is_sweep:
            self._watch()
            await self._look()
            window.is_unsure |= bool(self._suspects)
            if window.is_empty and not window.is_unsure and not self._is_due():
                return
        window.begin(time.monotonic())
        hint = await self._quiet()
        self._changed.clear()
        window.take(hint)
        if hint and (window.names or window.is_unsure):
            self._changed.set()  # the rest: it was not complete yet
        elif not hint:
            self._suspects.clear()
            self._swept_at = time.monotonic()
        async with self._settling:
            await self._settle(hint)

    async def _woken(self) -> bool:
        """Wait for a change; False when the time for a look has come instead."""
        pause = self.sweep_seconds
        if self._is_deaf():
            pause = min(pause, POLL_SECONDS) or POLL_SECONDS
        return await self._changes_within(pause or None)

    async def _changes_within(self, seconds: float | None) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _is_due(self) -> bool:
        return bool(self.sweep_seconds) and time.monotonic() - self._swept_at >= self.sweep_seconds

    async def _quiet(self) -> frozenset[str]:
        """Wait until nothing has happened for the window, no file is being written, and git is done.

        Returns:
            The plugins to look at when these are known and nothing else happened; none for everything.
        """
        window = self._window
        while True:
            now = time.monotonic()
            left = window.last + self._window_seconds() - now
            until = window.written_until(now)
            if left > 0:
                await asyncio.sleep(left)
            elif self._lock.holds(now, window.last):
                await asyncio.sleep(LOCK_POLL_SECONDS)
            elif window.writing:
                complete = window.complete(now)
                if complete and all(map(self._is_plugin, complete)):
                    return complete
                await self._await_writers(until - now)
            elif (one := self._quick()) and self._tells_of_closing():
                return frozenset({one})
            elif window.is_lost:
                window.is_lost = False
                self._watch()
            elif not window.is_unsure or await self._is_steady(now):
                return frozenset()

    async def _await_writers(self, seconds: float) -> None:
        self._changed.clear()
        if not await self._changes_within(min(seconds, STEADY_SECONDS)):
            for path in list(self._window.writing):
                # Some change a file without opening it, and the end of their writing is never told: truncate(2).
                if is_open_for_writing(path) is False:
                    self._window.writing.pop(path, None)

    def _is_plugin(self, name: str) -> bool:
        return not name.startswith("_") and self._is_known(name)

    def _quick(self) -> str:
        """Return the one known plugin that changed, when that is all there is."""
        one = self._window.one
        return one if one and self._is_plugin(one) else ""

    def _window_seconds(self) -> float:
        is_short = self._quick() or self._window.is_empty
        return self.settle_seconds if is_short else max(BURST_SECONDS, self.settle_seconds)

    # -- looks

    async def _look(self) -> None:
        """Look, and note what has changed since the last look: no event may have told of it."""
        seen, self._seen = self._seen, await asyncio.to_thread(look, self._directories)
        self._suspects |= {path for path, _ in self._seen.items() ^ seen.items()}

    async def _is_steady(self, now: float) -> bool:
        """Tell whether what looks found is complete: nobody has it open, or it is the same in two looks."""
        if self._window.age(now) >= HOLD_SECONDS:
            return True  # a writer that never rests must not hold up the rest for ever
        await self._look()
        files = [path for path in self._suspects if path.endswith(".py")]
        if await asyncio.to_thread(_writers_of, files) <= {False}:
            return True
        before = self._seen
        self._changed.clear()
        if await self._changes_within(STEADY_SECONDS):
            return False
        await self._look()
        return before == self._seen and True not in await asyncio.to_thread(_writers_of, files)

    # -- the watch itself

    def _is_deaf(self) -> bool:
        return bool(self._fault or (self._source is not None and self._source.fault))

    def _watch(self) -> None:
        """Set the watches where they are missing or dead: at the start, at each sweep, and when events were lost."""
        there = [identity(directory) for directory in self._directories]
        source = self._source
        is_good = source is not None and source.alive() and not source.fault
        self._say_why()
        if there == self._watched and (is_good or time.monotonic() < self._retry_at):
            return
        self._unwatch()
        self._watched, self._retry_at, self._prefixes = there, 0.0, self._all_prefixes()
        kinds = {silent_kind(directory) for directory in self._directories} - {""}
        self._fault = f"other machines' changes on {', '.join(sorted(kinds))} make none" if kinds else ""
        try:
            self._source = open_source(self._directories, self.mark)
        except OSError as error:
            self._fault = error.strerror or str(error)
        self._say_why()

    def _say_why(self) -> None:
        why = self._fault or (self._source.fault if self._source is not None else "")
        if why and not self._retry_at:
            self._retry_at = time.monotonic() + RETRY_SECONDS
        if why and why != self._told:
            self._told = why
            pause = min(self.sweep_seconds, POLL_SECONDS) or POLL_SECONDS
            log.warning("no file events (%s); looking every %g s instead", why, pause)

    def _unwatch(self) -> None:
        source, self._source, self._watched = self._source, None, []
        if source is not None:
            source.close()


def _writers_of(files: Iterable[str]) -> set[bool | None]:
    """Return all that is told of who writes them; not on the loop, since they may lie on another machine."""
    return {is_open_for_writing(path) for path in files}


def _unit(parts: Sequence[str]) -> str:
    return parts[0].removesuffix(".py") if parts else ""
