"""The commands that are built in: help for everyone, channels and the bot itself for admins. The care of plugins is
`care.py`.

They are declared with the decorators that plugins use and pass through the same steps, but live in no file that a
reload could break, and no plugin can claim their names.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING, Any

from bot.api.arguments import Signature
from bot.api.context import Context
from bot.api.declare import Command, command, declarations
from bot.care import Care, age, nearest, pinned, place_of, prefix, unknown
from bot.dispatch.outlet import asker_of, is_action, text_of
from bot.dispatch.owner import Owner
from bot.dispatch.table import Handler
from bot.errors import UserError

if TYPE_CHECKING:
    from bot.app import App

CONFIRM_SECONDS = 30.0
SILENT = " - disabled here"
MORE_LINES = 100  # of `!more` in one text; with 512 bytes each less than a text may have
NO_KEEPER = "this bot is one process, which holds the connection too: end it (SIGTERM) and run it again"


class Chat:
    """The built-in commands of one bot."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._asked_to_quit: dict[str, float] = {}

    # -- for everyone

    @command("help")
    def help(self, ctx: Context, command: str = "") -> Iterator[str]:
        """List the commands, or tell about one."""
        sign = prefix(self._app, ctx)
        if command:
            yield self._about(ctx, command.removeprefix(sign), sign)
            return
        names = sorted(
            {
                handler.declaration.name
                for name, handler in self._app.reloader.table.commands.items()
                if isinstance(handler.declaration, Command)
                and name == handler.declaration.name
                and (ctx.is_admin or not handler.declaration.admin)
                and self._answers(ctx, handler.plugin)
            }
        )
        yield f"commands: {', '.join(names)} - {sign}help COMMAND tells about one"

    def _about(self, ctx: Context, name: str, sign: str) -> str:
        handler = self._app.reloader.table.find(name)
        if handler is None or not isinstance(handler.declaration, Command):
            image = self._app.reloader.plugins().get(name)
            if image is not None:
                listed = ", ".join(sign + each for each in image.commands) or "no commands"
                silent = "" if self._answers(ctx, name) else SILENT
                return f"{name}: {_first_line(image.doc) or 'a plugin'} ({listed}){silent}"
            raise UserError(f"there is no command {name}{nearest(name, self._app.reloader.table.commands)}")
        usage = f"{sign}{handler.declaration.name} {handler.signature.usage if handler.signature else ''}".rstrip()
        parts = [f"{usage}: {' '.join(handler.help.split()) or 'no help was written'}"]
        if handler.declaration.aliases:
            parts.append(f"also {', '.join(sign + alias for alias in handler.declaration.aliases)}")
        if handler.declaration.admin:
            parts.append("admins only")
        return " - ".join(parts) + ("" if self._answers(ctx, handler.plugin) else SILENT)

    def _answers(self, ctx: Context, plugin: str) -> bool:
        if plugin == "bot":
            return True
        settings = self._app.networks[ctx.network.name].connection.settings
        return self._app.places.answers(plugin, settings, ctx.channel)

    @command("plugins")
    async def plugins(self, ctx: Context) -> str:
        """List the plugins: which are live, off, silent here, failed (not as their files are), or pinned."""
        reloader = self._app.reloader
        live, off = reloader.plugins(), {*self._app.places.off_everywhere(), *reloader.stopped}
        others = {
            "off": off,
            "silent here": {name for name in live if not self._answers(ctx, name)},
            "failed": reloader.failed - off,
            "pinned": {name for name, pin in reloader.pinned.items() if pin.kept} - off,
        }
        told = [f"plugins: {', '.join(live)}" if live else "no plugin is live"]
        told = ["safe mode", *told] if reloader.safety.on else told
        return "; ".join([*told, *(f"{word}: {', '.join(sorted(names))}" for word, names in others.items() if names)])

    @command("version")
    def version(self, ctx: Context, name: str = "") -> str:
        """Tell the bot's version, or which generation of a plugin is live."""
        from bot import __version__

        if not name:
            return f"neverquit {__version__}, up {age(time.monotonic() - self._app.started)}"
        image = self._app.reloader.plugins().get(name)
        if image is None or image.owner is None:
            raise unknown(name, self._app.reloader.known())
        owner = image.owner
        lived = age(time.monotonic() - owner.since)
        calls = f"{len(owner.calls)} in flight"
        return f"{name} g{owner.generation} {owner.digest[:7]}, age {lived}, {calls}{pinned(self._app, name)}"

    @command("more")
    def more(self, ctx: Context) -> None:
        """Tell the rest of a long answer."""
        waiting = self._app.pending.take(asker_of(place_of(ctx), ctx.user, ctx.network.fold))
        if not waiting:
            raise UserError("there is nothing more to tell")
        speaks = {"action": ctx.action, "NOTICE": ctx.notice, "PRIVMSG": ctx.say}
        for kind, alike in groupby(waiting, lambda message: "action" if is_action(message) else message.command):
            texts = [text_of(message) for message in alike]
            # One text, so that it is one message where the network has those; yet short enough not to be cut.
            for at in range(0, len(texts), MORE_LINES):
                speaks[kind]("\n".join(texts[at : at + MORE_LINES]))

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

    @command("restart", admin=True)
    async def restart(self, ctx: Context) -> str:
        """Take the bot's own code and packages as they are on disk now; the bot stays connected, nothing is lost."""
        if self._app.handover is None:
            raise UserError(NO_KEEPER)
        self._app.handover.restart(str(ctx.user.account or ctx.user.nick), place_of(ctx))
        return "restarting: another worker gets ready, this one goes on until it is"

    @command("quit", admin=True)
    def quit(self, ctx: Context) -> str | None:
        """End the bot; asks once more."""
        asker = f"{ctx.network.name}/{ctx.network.fold(ctx.user.nick)}"
        now = time.monotonic()
        if now - self._asked_to_quit.get(asker, -CONFIRM_SECONDS) > CONFIRM_SECONDS:
            self._asked_to_quit = {asker: now}
            return f"this ends the bot on all networks; say {prefix(self._app, ctx)}quit again within 30 s to do it"
        self._app.loop.call_soon_threadsafe(self._app.stop, f"asked by {ctx.user.nick}")
        return None


CLASSES = (Chat, Care)


def built_in_names() -> frozenset[str]:
    """Return the names of the built-in commands, which no plugin can claim."""
    marks = (mark for each in CLASSES for value in vars(each).values() for mark in declarations(value))
    return frozenset(mark.name for mark in marks if isinstance(mark, Command))


def built_in(app: App, owner: Owner) -> Mapping[str, Handler]:
    """Return the built-in commands by name."""
    handlers: dict[str, Handler] = {}
    for each in (made(app) for made in CLASSES):
        for name in dir(each):
            function: Callable[..., Any] = getattr(each, name)
            for mark in declarations(function):
                if not isinstance(mark, Command):
                    continue
                is_async = asyncio.iscoroutinefunction(function)
                signature = Signature.of(function, bound=False)
                text = " ".join((function.__doc__ or "").split())
                handlers[mark.name] = Handler(
                    "bot", f"bot.{name}", function, mark, owner, is_async, signature, help=text
                )
    return handlers


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
