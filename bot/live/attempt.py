"""One group of units on its way to the commit: built beside the running code, and prepared; it fails or goes live as
a whole.

An attempt touches nothing that is live. Whatever goes wrong ends up in `error`, with the file and line at fault, and
`discard` lets go of what `setup` had already opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from bot.api.context import Context
from bot.dispatch.owner import Owner
from bot.dispatch.relay import Relay
from bot.errors import PluginError
from bot.live.builder import Builder
from bot.live.claims import Claims, Refusal
from bot.live.compiled import Compiled
from bot.live.discover import Unit
from bot.live.drift import FIRST, Drift, packages
from bot.live.graph import Group
from bot.live.handoff import Shelf, Staging, run_hooks
from bot.live.loader import Image, TookTooLong, shown, too_long
from bot.live.plan import Plan, Planner
from bot.live.state import Takeover
from bot.live.steps import in_steps
from bot.live.trial import Verdict


class Attempt:
    """A group that is tried.

    Attributes:
        images: what was built, by unit name; empty until `build`.
        staging: the kept values as these images see them; `commit` makes them real.
        error: why the group can't go live, or None so far.
    """

    def __init__(self, group: Group, plan: Plan, shelf: Shelf) -> None:
        self.group, self._plan, self._shelf = group, plan, shelf
        self.compiled: Mapping[str, Compiled] = {}
        self.images: dict[str, Image] = {}
        self.staging = Staging(shelf, {})
        self.error: PluginError | None = None
        self._committed = False

    @classmethod
    def again(cls, images: Iterable[Image], shelf: Shelf) -> Attempt:
        """Return an attempt at versions that were live once, from the sources that they were made of."""
        units = {image.unit.name: image.unit for image in images}
        return cls(Group(tuple(units)), Plan(units, frozenset(), frozenset(), {}, (), {}), shelf)

    async def build(
        self,
        planner: Planner,
        builder: Builder,
        live: Mapping[str, Image],
        settings: Callable[[str], Mapping[str, Any]],
        seconds: float,
    ) -> None:
        """Compile and try what that has not been done with yet; then execute it here, at most for so many seconds."""
        members = self.members
        missing = [unit for unit in members if planner.compiled(unit) is None]
        if missing:  # unchanged ones, built again with what they import
            await planner.compile(missing)
        self.compiled = {unit.name: code for unit in members if (code := planner.compiled(unit)) is not None}
        states = {name: one.state_name for name, one in self.compiled.items()}
        self.staging = Staging(self._shelf, states, self.compiled)
        self.error = next((each.error for each in self.compiled.values() if each.error is not None), None)
        self.error = self.error or self._still_imported(live)
        if self.error is not None or not members:
            return
        await planner.prove([members], live, settings, seconds)  # unless that was done for all groups at once
        verdict = planner.verdict(members)
        self.error = verdict.error or await self._drifted(members[-1], planner.drift, builder, verdict)
        if self.error is not None:
            if planner.drift.explains(self.error.text):
                self.error = restart_first(self.error, "bot")
            return
        try:
            self.images = await self._execute(live, builder, verdict, settings, seconds)
            planner.drift.note(verdict.outside)
        except PluginError as error:
            self.error = error
        except (TimeoutError, TookTooLong) as error:
            how = ", and can't be interrupted" if isinstance(error, TimeoutError) else ""
            self.error = PluginError(members[0].name, shown(members[0]), 0, f"{too_long(seconds)}{how}")
        except Exception as error:  # something so odd that we did not think of it: it is this group's fault alone
            self.error = PluginError(members[0].name, shown(members[0]), 0, f"it can't be read: {error!r}")
            self.error.__cause__ = error

    async def _drifted(self, unit: Unit, drift: Drift, builder: Builder, verdict: Verdict) -> PluginError | None:
        """Refuse what imports a package of which another version is on disk than the one that runs here."""
        if not packages(verdict.outside):
            return None
        name = await builder.run(lambda: drift.changed(verdict.outside), 10.0)
        return PluginError(unit.name, shown(unit), 0, not_what_runs(name)) if name else None

    async def _execute(
        self,
        live: Mapping[str, Image],
        builder: Builder,
        verdict: Verdict,
        settings: Callable[[str], Mapping[str, Any]],
        seconds: float,
    ) -> dict[str, Image]:
        """Execute a build on the loop where its trial was quick: a busy loop gets a thread's answer milliseconds late.

        In steps, with the loop's turn in between; if one takes its time after all, all is done anew in the thread.
        """
        if verdict.is_quick:
            if len(self._plan.groups) > 1:
                await asyncio.sleep(0)  # the loop's turn between one group and the next
            here = Takeover(self.compiled, live, self.staging, settings, seconds)
            try:
                images = await in_steps(here.steps()) if here.is_plain else None
            except BaseException:
                here.undo()
                raise
            if images is not None:
                return images
        new = Takeover(self.compiled, live, self.staging, settings, seconds)
        try:
            return await builder.run(new.run, seconds)
        except BaseException:
            new.undo()
            raise
        finally:
            new.discard()
            for image in new.rehearsed.values():
                await let_go(image)

    def _still_imported(self, live: Mapping[str, Image]) -> PluginError | None:
        for name in sorted(self.group.gone):
            stay = (user for user in self.group.units if user not in self.group.gone)
            users = sorted(user for user in stay if name in self._plan.edges.get(user, ()))
            if users:
                verb, who = "import" if len(users) > 1 else "imports", ", ".join(users)
                why = f"the file is gone, but {who} still {verb} it"
                if name in self._plan.off:
                    why = f"{who} {verb} it; unload {who} first"
                return PluginError(name, shown(live[name].unit), 0, why)
        return None

    @property
    def members(self) -> list[Unit]:
        """The units that are built."""
        return [self._plan.units[name] for name in self.group.units if name not in self.group.gone]

    async def prepare(self, context: Callable[[Owner, str], Context], relay: Relay, seconds: float) -> None:
        """Run the `setup` of the new versions, beside the old ones."""
        for image in self.images.values():
            if image.owner is not None and self.error is None:
                try:
                    await run_hooks("setup", image, context, relay, seconds, self.staging)
                except PluginError as error:
                    self.error = error
        if self.error is not None:
            await self.discard()

    def commit(self) -> None:
        """Part of the commit: what was kept becomes real, and `discard` does nothing any more."""
        self._committed = True
        self.staging.commit()

    async def discard(self) -> list[Image]:
        """Let go of all that the new versions have opened, unless they are live, and return these. Idempotent."""
        if self._committed:
            return []
        for image in self.images.values():
            await let_go(image)
        return list(self.images.values())


async def let_go(image: Image) -> None:
    """Let go of all that a version has opened, and undo what it changed around it; a shared module can only change."""
    if image.owner is not None:
        await image.owner.let_go()
    elif image.imprint is not None:
        image.imprint.undo()


def not_what_runs(package: str) -> str:
    """Return what is told where a package was upgraded under the running bot."""
    return f"{FIRST}: {package} on disk is not what runs"


def restart_first(error: PluginError, package: str) -> PluginError:
    """Return an error with the advice that mends it."""
    text = f"{error.text}; {not_what_runs(package)}"
    new = PluginError(error.plugin, error.path, error.line, text, error.column)
    new.__cause__ = error.__cause__
    return new


class Clash(PluginError):
    """A command belongs to somebody else."""

    def __init__(self, loss: Refusal, image: Image) -> None:
        self.loss = loss
        holder = loss.holder
        text = f"!{loss.command} belongs to {holder}; {loss.plugin} loads by itself when {holder} lets go of it"
        super().__init__(loss.plugin, shown(image.unit), line_of(loss.command, image), text)


def line_of(command: str, image: Image) -> int:
    """Return the line of a command's function."""
    return next((each.line for each in image.handlers if getattr(each.declaration, "name", "") == command), 0)


def mark_clashes(
    tried: Sequence[Attempt],
    live: Mapping[str, Image],
    units: Mapping[str, Unit],
    built_in: Collection[str],
    claims: Claims,
) -> dict[str, Refusal]:
    """Refuse groups whose commands belong to others; return why live plugins must go: an owner has come back."""
    leaving = {name for one in tried if one.error is None for name in one.group.gone}
    has = {name: live[name].commands for name in sorted(live) if live[name].owner is not None and name not in leaving}
    new = {
        name: image.commands
        for one in tried
        if one.error is None
        for name, image in one.images.items()
        if image.owner is not None
    }
    same = not leaving and all(has.get(name) == commands for name, commands in new.items())
    if same and all(one.error is None for one in tried):
        return {}  # the common save: who is live and with which commands stays as it was decided
    for one in tried:
        for name, image in one.images.items():
            taken = next((command for command in image.commands if command in built_in), None)
            if taken is not None and one.error is None:
                why = f"!{taken} is built in and can't be claimed; rename the command"
                one.error = PluginError(name, shown(image.unit), line_of(taken, image), why)
                new.pop(name, None)
    owners = {name for command in claims.commands() for name in claims.order(command)}
    # Those own nothing now: neither live nor on disk to be loaded.
    absent = {name for name in owners if name in leaving or (name not in units and name not in live)}
    refused = claims.resolve({**has, **new}, has, absent)
    for one in tried:
        losers = [refused[name] for name in one.images if name in refused]
        if losers and one.error is None:
            one.error = Clash(losers[0], one.images[losers[0].plugin])
    return {name: loss for name, loss in refused.items() if name in has and name not in new}
