"""The built-in commands for the care of plugins, admins only: reload and its like, and what was before.

What they do is done by the reloader and `live/past.py`; here it is asked for and told. The commands for everyone, and
those for channels, are `chat.py`.
"""

from __future__ import annotations

import asyncio
import difflib
import re
import time
from collections.abc import Collection, Coroutine
from typing import TYPE_CHECKING, Any

from bot.api.context import Context
from bot.api.declare import command
from bot.errors import UserError
from bot.keepsakes import Keepsakes
from bot.live.history import Version, earlier
from bot.live.report import Report

if TYPE_CHECKING:
    from bot.app import App

_PLUGIN = re.compile(r"[^\W\d]\w{0,63}")


class Care:
    """The commands of one bot that change its plugins."""

    def __init__(self, app: App) -> None:
        self._app = app

    @command("reload", admin=True)
    async def reload(self, ctx: Context, name: str) -> str | None:
        """Take a plugin's file live now, or `all` of them, changed or not; one that is pinned takes its file again."""
        cause = f"reload by {_who(ctx)}"
        if name == "all":
            settling = self._app.reloader.settle(everything=True, cause=cause)
            return await self._taken(ctx, settling, "there is no plugin to reload")
        await check(self._app, name)
        sign = prefix(self._app, ctx)
        nothing = f"{name}: nothing to reload; it is off ({sign}load or {sign}enable {name})"
        return await self._taken(ctx, self._app.reloader.settle({name}, cause=cause), nothing)

    @command("load", admin=True)
    async def load(self, ctx: Context, name: str) -> str | None:
        """Load a plugin that was unloaded; in safe mode any, or `all`."""
        if name == "all":
            return await self.reload(ctx, name)
        await check(self._app, name)
        if name in self._app.places.off_everywhere():
            raise UserError(f"{name} is disabled; {prefix(self._app, ctx)}enable {name} loads it")
        nothing = f"{name} can't be found in the plugin directories"
        return await self._taken(ctx, self._app.reloader.load(name, f"load by {_who(ctx)}"), nothing)

    @command("unload", admin=True)
    async def unload(self, ctx: Context, name: str) -> str | None:
        """Take a plugin out until !load, a change of its file, or a restart."""
        await check(self._app, name)
        settling = self._app.reloader.unload(name, f"unload by {_who(ctx)}")
        return await self._taken(ctx, settling, f"{name} is not loaded")

    @command("enable", admin=True)
    async def enable(self, ctx: Context, name: str, channel: str = "") -> str | None:
        """Let a plugin answer again, everywhere or in one channel."""
        return await self._switch(ctx, name, channel, on=True)

    @command("disable", admin=True)
    async def disable(self, ctx: Context, name: str, channel: str = "") -> str | None:
        """Silence a plugin, everywhere or in one channel; this is remembered."""
        return await self._switch(ctx, name, channel, on=False)

    async def _switch(self, ctx: Context, name: str, channel: str, *, on: bool) -> str | None:
        await check(self._app, name)
        if channel and not self._app.networks[ctx.network.name].roster.is_channel(channel):
            raise UserError(f"{channel!r} is no channel; write #channel, or nothing for everywhere")
        place = channel or (ctx.channel if on else None)
        silent = self._app.places.silenced_by(name, self._app.networks[ctx.network.name].connection.settings, place)
        if silent and on and channel:
            raise UserError(f"{name} is disabled in config.yaml ({silent}); change it there")
        if not channel and name in self._app.config.plugins.disabled:
            raise UserError(f"{name} is disabled in config.yaml (plugins.disabled); change it there")
        users = [] if on or channel else self._app.reloader.importers(name)
        if users:
            verb, who = "import" if len(users) > 1 else "imports", ", ".join(users)
            raise UserError(f"{who} {verb} {name}; disable {who} first, or {name} in one channel")
        word, where = "enabled" if on else "disabled", f" in {channel}" if channel else ""
        if not self._app.places.switch(name, on, ctx.network.name, channel or None):
            here = f", but disabled here in config.yaml ({silent}); change it there" if silent and on else ""
            raise UserError(f"{name} is {word}{where} already{here}")
        if channel:
            return f"{name} {word}{where}"
        cause = f"{'enable' if on else 'disable'} by {_who(ctx)}"
        reloader = self._app.reloader
        settling = reloader.load(name, cause) if on else reloader.settle(cause=cause)
        return f"{name} {word} everywhere; {await self._taken(ctx, settling, '')}".removesuffix("; ")

    @command("state", admin=True)
    async def state(self, ctx: Context, name: str, plugin: str = "", key: str = "") -> str:
        """Tell what a plugin keeps and stores; `!state drop NAME KEY` forgets a kept value or a store, without KEY
        all kept ones.
        """
        if name == "drop" and not plugin and name not in self._app.reloader.known():
            raise UserError(
                f"say whose: `{prefix(self._app, ctx)}state drop NAME KEY`, or without KEY all that it keeps"
            )
        keepsakes = Keepsakes(self._app.shelf, self._app.backend)
        if name != "drop" or not plugin:
            return keepsakes.told(name)
        dropped, anew = keepsakes.drop(plugin, key)
        if not anew or plugin not in self._app.reloader.plugins():
            return dropped
        settling = self._app.reloader.settle({plugin}, cause=f"state drop by {_who(ctx)}")
        return f"{dropped}; {await self._taken(ctx, settling, '')}".removesuffix("; ")

    # -- what was before

    @command("rollback", admin=True)
    async def rollback(self, ctx: Context, name: str, which: str = "1") -> str | None:
        """Go back to a version that was good, and stay there until the file changes: how many back, or its hash."""
        await check_known(self._app, name)
        if name in self._off():
            sign = prefix(self._app, ctx)
            raise UserError(f"{name} is off; {sign}load or {sign}enable {name} first")
        settling = self._app.past.rollback(name, which, _who(ctx))
        return await self._taken(ctx, settling, f"{name}: no plugin that is live imports it")

    @command("history", admin=True)
    async def history(self, ctx: Context, name: str, count: int = 20) -> list[str]:
        """Tell the versions of a plugin or shared module, the newest first: when, who or what, and what came of it."""
        await check_known(self._app, name)
        image = self._app.reloader.live.get(name)
        now = image.unit.digest if image is not None else ""
        versions = await self._app.past.history.versions(name)
        back = {version.digest: number for number, version in enumerate(earlier(versions, {now}), 1)}
        lines = []
        for version in versions[: max(count, 1)]:
            state = version.result or "good"
            if version.digest == now and not version.result:
                state, now = f"live{self._pin(name)}", ""
            elif not version.result and (number := back.pop(version.digest, 0)):
                state += f" ({prefix(self._app, ctx)}rollback {name}{f' {number}' if number > 1 else ''})"
            lines.append(f"{name} {_label(version)}, {age(time.time() - version.at)} ago, {version.cause}: {state}")
        return lines

    @command("error", admin=True)
    async def error(self, ctx: Context, which: str = "") -> list[str]:
        """Tell the last error with its trace; or that of an id, or why a plugin could not be loaded."""
        fault = self._app.faults.last(which)
        if fault is None:
            raise UserError(f"no error {which} is remembered" if which else "there was no error")
        number = f" (error {fault.number})" if fault.number else ""
        head = f"{fault.what}{number}, {age(time.time() - fault.at)} ago: {fault.lines[0]}"
        return [head, *fault.lines[1:]]

    # -- shared

    def _off(self) -> Collection[str]:
        return {*self._app.places.off_everywhere(), *self._app.reloader.stopped}

    def _pin(self, name: str) -> str:
        return pinned(self._app, name)

    async def _taken(self, ctx: Context, settling: Coroutine[Any, Any, Report], nothing: str) -> str:
        """Wait for a report and return its text; one that comes when the call's time is up is said all the same."""
        task = asyncio.get_running_loop().create_task(settling)
        try:
            report = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(lambda ended: self._say_late(ctx, ended, nothing))
            raise
        return self._answer(ctx, report, nothing)

    def _say_late(self, ctx: Context, ended: asyncio.Task[Report], nothing: str) -> None:
        if not ended.cancelled():
            try:
                text = self._answer(ctx, ended.result(), nothing)
            except UserError as error:
                text = str(error)
            ctx.say(text)

    def _answer(self, ctx: Context, report: Report, nothing: str) -> str:
        self._app.announcer.report(report, asked_at=place_of(ctx))
        return str(report) or nothing


def prefix(app: App, ctx: Context) -> str:
    """Return what commands begin with where this one came from."""
    return app.networks[ctx.network.name].connection.settings.prefix[0]


def place_of(ctx: Context) -> tuple[str, str]:
    """Return (network, target) of where a command came from."""
    network, _, target = ctx.address.partition("/")
    return network, target


async def check(app: App, name: str) -> None:
    """Let a plugin's name pass: it may be one that is on disk, installed or live, and nothing that could be a path.

    Raises:
        UserError: it is none.
    """
    reloader = app.reloader
    if not _PLUGIN.fullmatch(name) or (name not in reloader.known() and name not in await reloader.look()):
        raise unknown(name, reloader.known())


async def check_known(app: App, name: str) -> None:
    """Let the name of what has a history pass: shared modules too, and plugins whose file is gone.

    Raises:
        UserError: it is none.
    """
    known = await app.past.history.names()
    if name not in known:
        raise unknown(name, known)


def unknown(name: str, names: Collection[str]) -> UserError:
    """Return the answer to a plugin's name that is none."""
    return UserError(f"no such plugin: {name[:64]}{nearest(name, names)}")


def nearest(name: str, names: Collection[str]) -> str:
    """Ask whether the most similar of the names was meant, if one is similar."""
    near = difflib.get_close_matches(name.lower(), list(names), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def pinned(app: App, name: str) -> str:
    """Tell that a plugin is not what its file holds."""
    pin = app.reloader.pinned.get(name)
    if pin is None:
        return ""
    return ", pinned until its file changes" if pin.kept else ", its last good version: the file can't be loaded"


def age(seconds: float) -> str:
    """Return a length of time in its largest unit."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _who(ctx: Context) -> str:
    return str(ctx.user.account or ctx.user.nick) if ctx.user is not None else "?"


def _label(version: Version) -> str:
    number = f"g{version.generation} " if version.generation else ""
    return f"{number}{version.digest[:7] or 'no file'}"
