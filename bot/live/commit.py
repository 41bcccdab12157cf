"""What is live, and the one step that changes it.

`Live` holds the table of handlers and the images behind it. Its `commit` is the only writer of both: synchronous,
without one await, and nothing in it can fail, since everything was made ready before. What it replaced goes on until
its calls have ended (`retire_later`), and then lets go of all that it had. What becomes live and why is decided by
`reload.py`; who begins only after the commit (`@start`) is brought up by `start.py`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any

from bot.dispatch.owner import Owner
from bot.dispatch.relay import Relay
from bot.dispatch.table import Handler, Table, build, patterns, replaced
from bot.live.attempt import Attempt
from bot.live.builder import Builder
from bot.live.claims import Claims
from bot.live.handoff import Host, Shelf, retire
from bot.live.leaks import Leaks
from bot.live.loader import Image, TookTooLong
from bot.live.names import publish
from bot.live.outcome import Commit
from bot.live.plan import Patience, needed
from bot.live.state import bring_over
from bot.live.strays import audit
from bot.live.tidy import Tidy

log = logging.getLogger(__name__)

FEW_HANDLERS = 2000  # are indexed in 0.9 ms, which is less than a busy loop waits for a thread's answer
OLD_GENERATIONS = 8  # of one plugin with calls in flight, besides the live one; beyond that the oldest's are cut short


class Live:
    """Owns what is live. See the module's head.

    Args:
        claims: the mapping on disk that the ledger of commands is kept in.
        recent: gives the lines that channels said last, to warm new rules with.
        patience: gives the times in force.
        restart: the command that restarts the whole bot, "" where there is none.

    Attributes:
        table: the live handlers; replaced by the commit.
        images: by unit name, shared modules included.
        commits: how many there were.
        generations: the number of each plugin's last one; a worker that takes over goes on with those before it.
        on_commit: called after each commit, in order; what one of them raises is logged.
    """

    def __init__(
        self,
        host: Host,
        relay: Relay,
        shelf: Shelf,
        claims: MutableMapping[str, Any],
        builder: Builder,
        built_in: Mapping[str, Handler],
        recent: Callable[[], Sequence[str]],
        patience: Callable[[], Patience],
        restart: str = "",
    ) -> None:
        self.built_in = dict(built_in)
        self.table = build((), built_in=self.built_in)
        self.images: dict[str, Image] = {}
        self.commits = 0
        self.claims = Claims(claims)
        self.on_commit: list[Callable[[Commit], object]] = []
        self._host, self._relay, self._shelf, self._builder = host, relay, shelf, builder
        self._recent, self._patience = recent, patience
        self.generations: dict[str, int] = {}
        self._retiring: dict[asyncio.Task[None], Owner] = {}  # oldest first
        self._shared: list[Image] = []  # shared modules that are live no more, but perhaps in use
        self._leaks = Leaks(host.notice, lambda: patience().leak, restart=restart)
        self._tidy = Tidy(lambda: patience().collect, self._leaks.look)
        audit()

    def generation(self, name: str) -> int:
        """Return the number of a plugin's live generation, 0 where there is none."""
        return self.generations.get(name, 0) if name in self.images else 0

    def step_back(self, name: str) -> None:
        """The commit of this version is undone: the next one gets its number."""
        self.generations[name] -= 1

    # -- before the commit

    async def table_of(self, images: Mapping[str, Image]) -> Table:
        """Build the table of these images, warm; off the loop where that takes its time."""
        new = [(name, image) for name, image in images.items() if self.images.get(name) is not image]
        if len(new) == 1 and images.keys() == self.images.keys():
            name, image = new[0]
            table = replaced(self.table, self.images[name].found.handlers, image.found.handlers)
            if table is not None:
                return table
        ordered = self._in_claim_order(images)
        handlers = [handler for image in ordered for handler in image.found.handlers]
        rules = tuple(pattern for image in ordered for pattern in image.found.patterns)
        if len(handlers) <= FEW_HANDLERS and rules == patterns(self.table.rules):
            return build(handlers, self.table, self.built_in)
        recent = self._recent()
        return await self._builder.run(lambda: self._warm(build(handlers, self.table, self.built_in), recent), 60.0)

    def _warm(self, table: Table, recent: Sequence[str]) -> Table:
        # Cold, a set of 1,000 rules takes 150 us a line instead of 3.
        if table.ruleset is not self.table.ruleset:
            table.ruleset.warm(recent)
        return table

    def _in_claim_order(self, after: Mapping[str, Image]) -> list[Image]:
        # Live plugins before newcomers, so that an alias stays with who has it.
        return sorted(after.values(), key=lambda image: (image.unit.name not in self.images, image.unit.name))

    # -- the commit

    def commit(
        self,
        table: Table,
        after: dict[str, Image],
        new: Mapping[str, Image],
        gone: Collection[str],
        good: Sequence[Attempt],
        cause: str,
    ) -> None:
        """Make it live. No await, nothing that can fail: everything was made ready before, and what others do in it
        is guarded, since half a commit would be neither the old version nor the new one.

        Args:
            after: all images that are live from now on; `table` is made of them.
            new: those of them that were not.
            gone: names that are live no more.
            good: the attempts that made the new ones.
            cause: who or what asked for it.
        """
        before = {name: self.images[name] for name in (*new, *gone) if name in self.images}
        self.table, self.images = table, after
        self.commits += 1
        for one in good:
            step(one.commit)
        step(publish, new, gone, self.images)
        step(self._shelf.committed, {image.state_name for image in self.images.values()})
        step(self._host.unloaded, gone)
        for name, image in new.items():
            if image.owner is not None:
                self.generations[name] = self.generations.get(name, 0) + 1
                step(partial(self.claims.note, live=True), name, image.commands)
                step(image.owner.go_live, self.generations[name])
                step(self._host.committed, table, {name: image})
        self._shared += [image for image in before.values() if image.owner is None]
        for listener in self.on_commit:
            step(listener, Commit(new, before, frozenset(gone), cause))

    async def write_claims(self) -> None:
        """Bring the ledger to disk, off the loop: a disk that is slow, full or locked costs nothing that is live."""
        if not self.claims.written:
            try:
                await self._builder.run(self.claims.write, 10.0)
            except (Exception, TookTooLong):
                log.exception("who has which command could not be written down; the next change tries again")

    # -- after it

    def retire_later(self, images: Iterable[Image]) -> None:
        """Let old generations end once their calls have, while others go on."""
        for image in images:
            if (owner := image.owner) is not None and not owner.retired:
                task = asyncio.get_running_loop().create_task(self.retire(image, self._patience().grace))
                self._retiring[task] = owner
                task.add_done_callback(self._retired)
                busy = [one for one in self._retiring.values() if one.plugin == owner.plugin and one.calls]
                for oldest in busy[:-OLD_GENERATIONS]:
                    oldest.cut_short()

    def _retired(self, task: asyncio.Task[None]) -> None:
        del self._retiring[task]
        self._ended(())

    async def retire(self, image: Image, grace: float) -> None:
        """Let one generation end: its calls finish within `grace` seconds, and it lets go of all that it had."""
        await retire(image, self._host.context, self._relay, grace, self._patience().setup)
        await bring_over(self._shelf, image, self.images, self._relay)
        self._ended([image])

    def discarded(self, images: Iterable[Image]) -> None:
        """Versions have ended that never went live."""
        self._ended(images)

    def _ended(self, images: Iterable[Image]) -> None:
        for image in images:
            self._leaks.watch(image)
        if not self._retiring:  # nobody is left who could still use them
            shared, self._shared = self._shared, []
            for image in shared:
                if image.imprint is not None and (undone := image.imprint.undo()):
                    log.info("%s: undone: %s", image.unit.name, ", ".join(undone))
                self._leaks.watch(image)
        self._tidy.soon()

    async def close(self) -> None:
        """End all plugins, at most for a moment each: the bot is about to end."""
        images = [image for image in self.images.values() if image.owner is not None]
        self.images = {}
        self.table = build((), built_in=self.built_in)
        await asyncio.gather(*(self.retire(image, 0.5) for image in images))
        for task in self._retiring:
            task.cancel()
        self._tidy.stop()


def without_orphans(images: Mapping[str, Image]) -> dict[str, Image]:
    """Leave out shared modules that no plugin imports any more: they go with the last one that did."""
    edges = {name: image.imports for name, image in images.items()}
    wanted = needed({name for name, image in images.items() if image.owner is not None}, edges)
    return {name: image for name, image in images.items() if image.owner is not None or name in wanted}


def step(deed: Callable[..., object], *arguments: object) -> None:
    """Do one of several things that must all be done, whatever becomes of the others."""
    try:
        deed(*arguments)
    except BaseException:  # out of a plugin's own __hash__ comes SystemExit, too; nothing is awaited here
        log.exception("a step of the commit failed inside the bot; the others are done")
