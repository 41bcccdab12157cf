"""What one worker leaves to the next when `!restart` changes them, and how it comes to leave.

Asked, it has the keeper prepare a successor and serves on. When that one is ready it waits for a moment without a long
call, has the keeper hold all lines, lets the calls that are under way end, ends the plugins, and leaves: kept values
that are plain (`packed.py`), how often commands were used, which plugins are unloaded, how versions
on probation stand, what waits for `!more`. Calls that have not ended in time are made again by the next worker. What
lies in the store needs no handing over, and with it when jobs are due; where the networks stand the keeper has as a
checkpoint.

The worker that comes takes all this before its plugins are loaded, and tells who asked. `standby.py` is how it gets
that far, `bot/wire/upgrade.py` the keeper's side.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bot import __version__
from bot.dispatch.outlet import CallOutlet
from bot.errors import UserError
from bot.packed import MAX_BYTES, CannotPack, pack, unpack
from bot.protocol.message import Message
from bot.wire.link import Frame, LinkEnd

if TYPE_CHECKING:
    from bot.app import App

log = logging.getLogger(__name__)

LONG_CALL_SECONDS = 0.5  # a call that has run for so long may run for much longer: lines should not wait for it
LAST_SECONDS = 3.0  # for the calls that are under way when lines are held

MOST_KEPT_BYTES = 64 << 20  # of all kept values together; the keeper reads them in one piece

Place = tuple[str, str]  # network, target


class Handover:
    """The two ends of one worker: what it was given, and what it leaves.

    Args:
        link: to the keeper.
        given: what the worker before has left; None: it left nothing, and this one took over from none.

    Attributes:
        leaving: another worker goes on.
        told: what this one has told of taking over; None if it took over from none.
    """

    def __init__(self, link: LinkEnd, given: bytes | None = None) -> None:
        self._link, self._given = link, given
        self._asked_by = ""
        self._place: Place | None = None
        self._answer: asyncio.Future[None] | None = None
        self._held = asyncio.Event()
        self._leaving: asyncio.Task[None] | None = None
        self._left_at = 0.0
        self.leaving = False
        self.told: asyncio.Future[str] | None = None

    def begin(self, app: App) -> None:
        """Give what was left to the bot, whose plugins are not loaded yet."""
        self._app = app
        if self._given is None:
            return
        self.told = app.loop.create_future()
        left, self._given = _read(self._given), None
        try:
            self._take(left)
        except Exception:  # it was written by another version of the bot
            log.exception("not all that the worker before has left could be taken over")
        self._arrival = app.loop.create_task(self._arrive(left))

    # -- to leave

    def restart(self, who: str, place: Place | None = None, python: str = "") -> asyncio.Future[None]:
        """Have another worker take this one's place; call it on the loop.

        Args:
            who: asks.
            place: where they hear what came of it.
            python: the interpreter of the new one, if it is another.

        Returns:
            Done when this worker is about to leave; fails with UserError if it stays.

        Raises:
            UserError: one is under way.
        """
        if self._asked_by:
            raise UserError(f"a restart is under way already, asked for by {self._asked_by}")
        log.info("restart: asked for by %s", who)
        self._asked_by, self._place, self._answer = who, place, self._app.loop.create_future()
        live = {name: image.unit.digest for name, image in self._app.reloader.plugins().items()}
        before = {"python": python, "state_dir": str(self._app.config.state_dir), "live": live}
        self._link.send(Frame("restart", (), json.dumps(before).encode()))
        return self._answer

    def frame(self, frame: Frame) -> None:
        """Take what the keeper says about changing workers."""
        match frame.verb:
            case "retire" if self._leaving is None:
                self._leaving = self._app.loop.create_task(self._leave(), name="handover")
            case "hold":
                self._held.set()
            case "stays" if not self._held.is_set():
                self._stay(frame.payload.decode(errors="replace"))

    @property
    def retired(self) -> bool:
        """Whether this worker gets no lines any more."""
        return self._held.is_set()

    def _stay(self, why: str) -> None:
        answer, place, text = self._answer, self._place, f"not restarted, everything goes on as it was: {why}"
        self._asked_by, self._answer, self._place = "", None, None
        if self._leaving is not None:
            self._leaving.cancel()
            self._leaving = None
        log.warning("%s", text)
        if answer is not None and place is None:
            answer.set_exception(UserError(text))
            answer.exception()  # who asked may have gone
        self._tell(text, place)

    async def _leave(self) -> None:
        app = self._app
        await app.calls.quiet(LONG_CALL_SECONDS, app.config.timeouts.grace_seconds)
        self._link.send(Frame("hold"))
        await self._held.wait()
        self._left_at = time.time()
        if self._answer is not None:
            self._answer.set_result(None)
        app.scheduler.stop()
        try:
            await asyncio.wait_for(app.calls.ended(), LAST_SECONDS)
        except TimeoutError:
            log.warning("calls that have not ended yet are made again by the next worker")
        if app.stopping.is_set():  # somebody has ended the bot meanwhile
            return
        self.leaving = True
        app.calls.left = app.jobs.left = True
        app.stop()

    def leave(self) -> None:
        """The bot has ended here: hand over, as the last of all."""
        self._app.reactor.checkpoints.save(at_once=True)
        try:
            left = pack(self._left(), 2 * MOST_KEPT_BYTES)
        except Exception:
            log.exception("what the next worker should have can't be handed over")
            left = b""
        self._link.send(Frame("hand", (), base64.b64encode(left)))

    def _left(self) -> dict[str, Any]:
        app, behind = self._app, list[str]()
        live = set(app.shelf.states.values())
        room = [MOST_KEPT_BYTES]
        kept = {
            state: _packed(state, values, behind, room) for state, values in app.shelf.values.items() if state in live
        }
        snapshots = {
            state: {version: _packed(state, values, [], room) for version, values in versions.items()}
            for state, versions in app.shelf.snapshots.items()
        }
        for words in behind:
            log.warning("not handed over: %s", words)
        return {
            "version": __version__,
            "left_at": self._left_at,
            "place": self._place,
            "kept": kept,
            "behind": behind,
            "versions": dict(app.shelf.versions),
            "states": dict(app.shelf.states),
            "snapshots": snapshots,
            "limits": app.calls.limits.taken(time.monotonic()),
            "generations": dict(app.reloader.generations),
            "stopped": dict(app.reloader.stopped),
            "standing": app.past.probation.standing(),
            "pending": app.pending.all(),
            "recent": list(app.calls.recent),
        }

    # -- to come

    async def _arrive(self, left: Mapping[str, Any]) -> None:
        """Wait until the plugins are loaded, and tell."""
        app = self._app
        await app.ready.wait()
        text = self._words(left)
        log.info("%s", text)
        place = left.get("place")
        self._tell(text, (str(place[0]), str(place[1])) if place else None)
        assert self.told is not None
        self.told.set_result(text)
        try:
            await app.past.go_on(left.get("standing", ()))
        except Exception:  # as above
            log.exception("the probation of plugins begins anew")

    def _take(self, left: Mapping[str, Any]) -> None:
        app = self._app
        app.calls.limits.go_on(left.get("limits", ()), time.monotonic())
        app.reloader.generations.update(left.get("generations", {}))
        app.reloader.stopped.update(left.get("stopped", {}))
        app.calls.recent.extend(left.get("recent", ()))
        for key, lines in left.get("pending", {}).items():
            app.pending.put(key, [Message.parse(line) for line in lines])
        app.shelf.states.update(left.get("states", {}))
        app.shelf.versions.update(left.get("versions", {}))
        for state, values in left.get("kept", {}).items():
            app.shelf.values[state] = _unpacked(state, values)
        for state, versions in left.get("snapshots", {}).items():
            app.shelf.snapshots[state] = {version: _unpacked(state, values) for version, values in versions.items()}

    def _words(self, left: Mapping[str, Any]) -> str:
        before = left.get("version")
        if before is None:
            return f"restarted: neverquit {__version__}; the worker before ended without handing its kept values over"
        versions = __version__ if before == __version__ else f"{before} -> {__version__}"
        count, behind = sum(map(bool, left.get("kept", {}).values())), left.get("behind", [])
        plugins = f"{count} plugin" + ("" if count == 1 else "s")
        text = f"restarted: neverquit {versions}, pause {time.time() - left['left_at']:.1f} s, "
        text += f"state of {plugins} handed over"
        return (
            text
            + (f"; not handed over: {behind[0]}" if behind else "")
            + (f" (+{len(behind) - 1} more)" if len(behind) > 1 else "")
        )

    def _tell(self, text: str, place: Place | None) -> None:
        app = self._app
        if place is not None and place[0] in app.networks:
            CallOutlet(app, "-", "bot.restart").send(*place, "say", text)
        app.announcer.tell(text, place)


def _packed(state: str, values: Mapping[str, object], behind: list[str], room: list[int]) -> dict[str, bytes]:
    """Pack each kept value that is plain, while there is room; note what is not."""
    found = {}
    for name, value in values.items():
        try:
            found[name] = pack(value, min(MAX_BYTES, room[0]))
            room[0] -= len(found[name])
        except CannotPack as error:
            behind.append(f"{state} keeps {name}, which holds {error}")
    return found


def _unpacked(state: str, values: Mapping[str, bytes]) -> dict[str, object]:
    found = {}
    for name, raw in values.items():
        try:
            found[name] = unpack(raw)
        except CannotPack as error:
            log.warning("%s: the kept value %s can't be read: %s", state, name, error)
    return found


def _read(given: bytes) -> Mapping[str, Any]:
    """Return what was left, nothing if there is nothing or it can't be read."""
    try:
        left = unpack(base64.b64decode(given)) if given else {}
        if isinstance(left, dict):
            return left
    except (CannotPack, ValueError) as error:
        log.warning("what the worker before has left can't be read: %s", error)
    return {}
