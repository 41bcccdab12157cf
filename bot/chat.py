"""The commands that are built in: help for everyone, the care of plugins and channels for admins.

They are declared with the decorators that plugins use and pass through the same steps, but live in no file that a
reload could break, and no plugin can claim their names.
"""

from __future__ import annotations

import asyncio
import difflib
import re
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bot.api.arguments import Signature
from bot.api.context import Context
from bot.api.declare import Command, command, declarations
from bot.dispatch.outlet import is_action, text_of
from bot.dispatch.owner import Owner
from bot.dispatch.table import Handler
from bot.errors import UserError
from bot.keepsakes import Keepsakes
from bot.live.report import Report

if TYPE_CHECKING:
    from bot.app import App

_PLUGIN = re.compile(r"[^\W\d]\w{0,63}")
CONFIRM_SECONDS = 30.0


class Chat:
    """The built-in commands of one bot."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._asked_to_quit: dict[str, float] = {}

    # -- for everyone

    @command("help")
    def help(self, ctx: Context, command: str = "") -> Iterator[str]:
        """List the commands, or tell about one."""
        prefix = self._prefix(ctx)
        if command:
            yield self._about(command.removeprefix(prefix), prefix)
            return
        names = sorted(
            {
                handler.declaration.name
                for name, handler in self._app.reloader.table.commands.items()
                if isinstance(handler.declaration, Command)
                and name == handler.declaration.name
                and (ctx.is_admin or not handler.declaration.admin)
                and self._answers(ctx, handler)
            }
        )
        yield f"commands: {', '.join(names)} - {prefix}help COMMAND tells about one"

    def _about(self, name: str, prefix: str) -> str:
        handler = self._app.reloader.table.find(name)
        if handler is None or not isinstance(handler.declaration, Command):
            image = self._app.reloader.plugins().get(name)
            if image is not None:
                listed = ", ".join(prefix + each for each in image.commands) or "no commands"
                return f"{name}: {_first_line(image.doc) or 'a plugin'} ({listed})"
            raise UserError(f"there is no command {name}{_nearest(name, self._app.reloader.table.commands)}")
        usage = f"{prefix}{handler.declaration.name} {handler.signature.usage if handler.signature else ''}".rstrip()
        parts = [f"{usage}: {' '.join(handler.help.split()) or 'no help was written'}"]
        if handler.declaration.aliases:
            parts.append(f"also {', '.join(prefix + alias for alias in handler.declaration.aliases)}")
        if handler.declaration.admin:
            parts.append("admins only")
        return " - ".join(parts)

    def _answers(self, ctx: Context, handler: Handler) -> bool:
        if handler.plugin == "bot":
            return True
        return self._app.places.answers(
            handler.plugin, self._app.networks[ctx.network.name].connection.settings, ctx.channel
        )

    @command("plugins")
    def plugins(self, ctx: Context) -> str:
        """List the plugins that are live."""
        names = ", ".join(self._app.reloader.plugins())
        off = ", ".join(sorted({*self._app.places.off_everywhere(), *self._app.reloader.stopped}))
        return (f"plugins: {names}" if names else "no plugin is live") + (f"; off: {off}" if off else "")

    @command("version")
    def version(self, ctx: Context, name: str = "") -> str:
        """Tell the bot's version, or which generation of a plugin is live."""
        from bot import __version__

        if not name:
            return f"neverquit {__version__}, up {_age(time.monotonic() - self._app.started)}"
        image = self._app.reloader.plugins().get(name)
        if image is None or image.owner is None:
            raise self._unknown(name)
        owner = image.owner
        age = _age(time.monotonic() - owner.since)
        return f"{name} g{owner.generation} {owner.digest[:7]}, age {age}, {len(owner.calls)} in flight"

    @command("more")
    def more(self, ctx: Context) -> None:
        """Tell the rest of a long answer."""
        key = (*place_of(ctx), ctx.network.fold(ctx.user.nick))
        waiting = self._app.pending.take(key)
        if not waiting:
            raise UserError("there is nothing more to tell")
        for message in waiting:
            speak = ctx.action if is_action(message) else ctx.notice if message.command == "NOTICE" else ctx.say
            speak(text_of(message))

    # -- plugins, for admins

    @command("reload", admin=True)
    async def reload(self, ctx: Context, name: str) -> str | None:
        """Take a plugin's file live now, or `all` of them, changed or not."""
        if name == "all":
            return await self._taken(ctx, self._app.reloader.settle(everything=True), "there is no plugin to reload")
        await self._check(name)
        nothing = f"{name}: nothing to reload; it is off (!load or !enable {name})"
        return await self._taken(ctx, self._app.reloader.settle({name}), nothing)

    @command("load", admin=True)
    async def load(self, ctx: Context, name: str) -> str | None:
        """Load a plugin that was unloaded."""
        await self._check(name)
        if name in self._app.places.off_everywhere():
            raise UserError(f"{name} is disabled; !enable {name} loads it")
        nothing = f"{name} can't be found in the plugin directories"
        return await self._taken(ctx, self._app.reloader.load(name), nothing)

    @command("unload", admin=True)
    async def unload(self, ctx: Context, name: str) -> str | None:
        """Take a plugin out until !load, a change of its file, or a restart."""
        await self._check(name)
        return await self._taken(ctx, self._app.reloader.unload(name), f"{name} is not loaded")

    @command("enable", admin=True)
    async def enable(self, ctx: Context, name: str, channel: str = "") -> str | None:
        """Let a plugin answer again, everywhere or in one channel."""
        return await self._switch(ctx, name, channel, on=True)

    @command("disable", admin=True)
    async def disable(self, ctx: Context, name: str, channel: str = "") -> str | None:
        """Silence a plugin, everywhere or in one channel; this is remembered."""
        return await self._switch(ctx, name, channel, on=False)

    async def _switch(self, ctx: Context, name: str, channel: str, *, on: bool) -> str | None:
        await self._check(name)
        if channel and not self._app.networks[ctx.network.name].roster.is_channel(channel):
            raise UserError(f"{channel!r} is no channel; write #channel, or nothing for everywhere")
        if not channel and name in self._app.config.plugins.disabled:
            raise UserError(f"{name} is disabled in config.yaml (plugins.disabled); change it there")
        word, where = "enabled" if on else "disabled", f" in {channel}" if channel else ""
        if not self._app.places.switch(name, on, ctx.network.name, channel or None):
            raise UserError(f"{name} is {word}{where} already")
        if channel:
            return f"{name} {word}{where}"
        settling = self._app.reloader.load(name) if on else self._app.reloader.settle()
        return f"{name} {word} everywhere; {await self._taken(ctx, settling, '')}".removesuffix("; ")

    # -- channels and the bot itself, for admins

    @command("join", admin=True)
    def join(self, ctx: Context, channel: str, key: str = "") -> str:
        """Join a channel, now and after every restart."""
        connection = self._app.networks[ctx.network.name].connection
        if not connection.roster.is_channel(channel) or "," in channel:
            raise UserError(f"{channel!r} is no channel")
        self._app.places.remember(ctx.network.name, channel, key)
        self._app.loop.call_soon_threadsafe(connection.join, channel, key)
        return f"joining {channel}"

    @command("part", admin=True)
    def part(self, ctx: Context, channel: str = "") -> str | None:
        """Leave a channel, this one by default; this is remembered."""
        connection = self._app.networks[ctx.network.name].connection
        target = channel or ctx.channel or ""
        if not connection.roster.is_channel(target) or "," in target:
            raise UserError(f"{target!r} is no channel" if target else "say which channel")
        self._app.places.remember(ctx.network.name, target, None)
        self._app.loop.call_soon_threadsafe(connection.part, target)
        return None if ctx.channel and ctx.network.same(target, ctx.channel) else f"leaving {target}"

    @command("say", admin=True)
    async def say(self, ctx: Context, target: str, text: str) -> None:
        """Say a text in a channel or to a nick: `say #channel text`, `say network/#channel text`."""
        await ctx.to(target).say(text)

    @command("state", admin=True)
    async def state(self, ctx: Context, name: str, plugin: str = "", key: str = "") -> str:
        """Tell what a plugin keeps and stores; `state drop NAME KEY` forgets a kept value or a store, without KEY
        all kept ones.
        """
        keepsakes = Keepsakes(self._app.shelf, self._app.backend)
        if name != "drop" or not plugin:
            return keepsakes.told(name)
        dropped, anew = keepsakes.drop(plugin, key)
        if not anew or plugin not in self._app.reloader.plugins():
            return dropped
        report = await self._app.reloader.settle({plugin})
        self._app.announcer.report(report, asked_at=place_of(ctx))
        return f"{dropped}; {report}"

    @command("quit", admin=True)
    def quit(self, ctx: Context) -> str | None:
        """End the bot; asks once more."""
        asker = f"{ctx.network.name}/{ctx.network.fold(ctx.user.nick)}"
        now = time.monotonic()
        if now - self._asked_to_quit.get(asker, -CONFIRM_SECONDS) > CONFIRM_SECONDS:
            self._asked_to_quit = {asker: now}
            return f"this ends the bot on all networks; say {self._prefix(ctx)}quit again within 30 s to do it"
        self._app.loop.call_soon_threadsafe(self._app.stop, f"asked by {ctx.user.nick}")
        return None

    # -- shared

    def _prefix(self, ctx: Context) -> str:
        return self._app.networks[ctx.network.name].connection.settings.prefix[0]

    async def _check(self, name: str) -> None:
        """Let a plugin's name pass: it may be one that is on disk or live, and nothing that could be a path."""
        if not _PLUGIN.fullmatch(name) or (
            name not in self._app.reloader.known() and name not in await self._app.reloader.look()
        ):
            raise self._unknown(name)

    def _unknown(self, name: str) -> UserError:
        return UserError(f"no such plugin: {name[:64]}{_nearest(name, self._app.reloader.known())}")

    async def _taken(self, ctx: Context, settling: Coroutine[Any, Any, Report], nothing: str) -> str:
        """Wait for a report and return its text; one that comes when the call's time is up is said all the same."""
        task = asyncio.get_running_loop().create_task(settling)
        try:
            report = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(
                lambda ended: ended.cancelled() or ctx.say(self._answer(ctx, ended.result(), nothing))
            )
            raise
        return self._answer(ctx, report, nothing)

    def _answer(self, ctx: Context, report: Report, nothing: str) -> str:
        self._app.announcer.report(report, asked_at=place_of(ctx))
        return str(report) or nothing


def built_in_names() -> frozenset[str]:
    """Return the names of the built-in commands, which no plugin can claim."""
    marks = (mark for value in vars(Chat).values() for mark in declarations(value))
    return frozenset(mark.name for mark in marks if isinstance(mark, Command))


def built_in(chat: Chat, owner: Owner) -> Mapping[str, Handler]:
    """Return the built-in commands by name."""
    handlers: dict[str, Handler] = {}
    for name in dir(Chat):
        function: Callable[..., Any] = getattr(chat, name)
        for mark in declarations(function):
            if isinstance(mark, Command):
                is_async = asyncio.iscoroutinefunction(function)
                signature = Signature.of(function, bound=False)
                text = " ".join((function.__doc__ or "").split())
                handlers[mark.name] = Handler(
                    "bot", f"bot.{name}", function, mark, owner, is_async, signature, help=text
                )
    return handlers


def place_of(ctx: Context) -> tuple[str, str]:
    """Return (network, target) of where a command came from."""
    network, _, target = ctx.address.partition("/")
    return network, target


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]


def _nearest(name: str, names: Any) -> str:
    near = difflib.get_close_matches(name.lower(), list(names), 1, 0.6)
    return f"; did you mean {near[0]}?" if near else ""


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
