"""The lines that admins read after a change: what went live, what stayed, why and where.

    weather g4 -> g5 (1a2b3c4 -> 5d6e7f8): +forecast ~weather -temp, state kept, 9 ms
    weather stays g4: weather.py:12: SyntaxError: expected ':'; the old version goes on answering

One settled set of files is one report; of several entries at most three are told, then `+N more`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import CodeType
from typing import Any

from bot.api.declare import Command
from bot.dispatch.table import Handler
from bot.logs import clean

MAX_ENTRIES = 3
FAILURE_WAITS_SECONDS = 0.05  # until a failure is told: a save may be several writes, and the next may mend it


@dataclass(frozen=True, slots=True)
class Entry:
    """One change, or one refusal. `plugins` are all that it speaks of, the first is named."""

    text: str
    plugins: tuple[str, ...]
    ok: bool
    signature: frozenset[tuple[str, str]] = frozenset()  # of a failure: the (unit, digest) that failed
    again: bool = False  # told already, to all but who asks now


@dataclass(frozen=True, slots=True)
class Report:
    """What one settled set came to."""

    entries: tuple[Entry, ...] = ()

    @property
    def ok(self) -> bool:
        return all(entry.ok for entry in self.entries)

    def __bool__(self) -> bool:
        return bool(self.entries)

    def __str__(self) -> str:
        # Failures first: they are what somebody has to act on.
        ordered = sorted(self.entries, key=lambda entry: entry.ok)
        shown = "; ".join(entry.text for entry in ordered[:MAX_ENTRIES])
        more = len(ordered) - MAX_ENTRIES
        # An author's error may quote a setting, and this is said in channels.
        return clean(f"{shown}; +{more} more" if more > 0 else shown)


def loaded(plugin: str, generation: int, digest: str, left_behind: str = "") -> Entry:
    """A plugin is live that was not; `left_behind` is the state name that its file had until it was renamed."""
    notice = f', its state begins anew; STATE_NAME = "{left_behind}" in the file keeps it' if left_behind else ""
    return Entry(f"{plugin} loaded g{generation} ({digest[:7]}){notice}", (plugin,), True)


def unloaded(plugin: str) -> Entry:
    return Entry(f"{plugin} unloaded", (plugin,), True)


def as_before(plugin: str, generation: int, digest: str) -> Entry:
    """A file that had failed holds again what is live."""
    return Entry(f"{plugin} g{generation} ({digest[:7]}) is what the file holds again", (plugin,), True)


def given_up(plugin: str) -> Entry:
    """A file that had failed and was never live is gone."""
    return Entry(f"{plugin}: the file that could not be loaded is gone", (plugin,), True)


def changed(
    plugin: str, before: tuple[int, str], after: tuple[int, str], commands: str, state: str, milliseconds: float
) -> Entry:
    """A new version is live: (generation, digest) before and after, and what `difference` tells of its commands."""
    parts = [part for part in (commands, f"state {state}" if state else "", f"{milliseconds:.0f} ms") if part]
    text = f"{plugin} g{before[0]} -> g{after[0]} ({before[1][:7]} -> {after[1][:7]}): {', '.join(parts)}"
    return Entry(text, (plugin,), True)


def rolled_back(unit: str, digest: str, file: str, why: str = "") -> Entry:
    """A version before is live again, and stands in for what the file holds. With `why` nobody has asked for it."""
    text = f"{unit} rolled back to {digest[:7]}, pinned until {file} changes"
    return Entry(f"{text}: {why}" if why else text, (unit,), not why)


def not_back(plugin: str, why: str) -> Entry:
    """A version that fails should be taken back, and can't be; what follows says why."""
    return Entry(f"{plugin} {why}, but the version before can't come back", (plugin,), False)


def unpinned(unit: str, digest: str) -> Entry:
    """The file's own version is live in place of one that an admin or the probation had gone back to."""
    return Entry(f"{unit} is no longer pinned to {digest[:7]}", (unit,), True)


def fell_back(versions: Sequence[tuple[str, str, str]], why: str, signature: frozenset[tuple[str, str]]) -> Entry:
    """At a start, files can't be loaded: (plugin, digest, day) of what runs in their place, the one at fault first."""
    (name, digest, day), *others = versions
    text = f"{name} runs its last good version {digest[:7]} of {day}{_also([other for other, *_ in others])}: {why}"
    return Entry(text, tuple(plugin for plugin, *_ in versions), False, signature)


def failed(plugins: Sequence[tuple[str, int]], why: str, signature: frozenset[tuple[str, str]] = frozenset()) -> Entry:
    """A group stays as it was: (plugin, live generation or 0) of each member, the one at fault first."""
    (name, generation), *others = plugins
    also = _also([other for other, _ in others])
    if generation:
        text = f"{name} stays g{generation}{also}: {why}; the old version goes on answering"
    else:
        text = f"{name} not loaded{also}: {why}"
    return Entry(text, tuple(plugin for plugin, _ in plugins), False, signature)


def _also(others: Sequence[str]) -> str:
    shown = [*others[:2], *([f"+{len(others) - 2}"] if len(others) > 2 else [])]
    return f" (also {', '.join(shown)})" if shown else ""


def difference(before: Sequence[Handler], after: Sequence[Handler]) -> str:
    """Tell which commands came (+), changed (~) and went (-): `+forecast ~weather -temp`."""
    old, new = _commands(before), _commands(after)
    came = [f"+{name}" for name in new if name not in old]
    other = [f"~{name}" for name in new if name in old and not _same(old[name], new[name])]
    went = [f"-{name}" for name in old if name not in new]
    return " ".join(came + other + went)


def _commands(handlers: Sequence[Handler]) -> dict[str, Handler]:
    return {handler.declaration.name: handler for handler in handlers if isinstance(handler.declaration, Command)}


def _same(old: Handler, new: Handler) -> bool:
    if (old.declaration, old.help) != (new.declaration, new.help):
        return False
    before, after = _code(old), _code(new)
    if before is None or after is None or before == after:  # the quick comparison holds where nothing moved
        return before == after
    return bool(_shape(before) == _shape(after))


def _code(handler: Handler) -> CodeType | None:
    return getattr(getattr(handler.function, "__func__", handler.function), "__code__", None)


def _shape(code: CodeType) -> Any:
    # Without line numbers: a function that only moved down has not changed.
    constants = tuple(_shape(one) if isinstance(one, CodeType) else (type(one), one) for one in code.co_consts)
    return code.co_code, constants, code.co_names, code.co_varnames
