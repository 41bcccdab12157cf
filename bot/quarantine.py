"""Plugins that have ended workers: found by what they ended them with, and kept out until they change.

The keeper finds the line (or the run of a job) that ended workers, and hands it over no more; what it meant is known
here only, by the live table. The plugin is unloaded as by `!unload`, but that is written down, since the next worker
would load it again: it comes back when its content changes, or with `!load`. What imports it goes with it.

Whose handler it was is certain for a command and for a job. Where several plugins listen, the stacks that the worker
left say which it was, if it left any; else those whose rule matched are taken out, and of those that listen to all
lines none is, unless it is the only one. Where the search for a rule's pattern was what held the worker, the patterns
are tried again in a process of their own, never here.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bot.api.declare import Command, Rule
from bot.api.events import Event, read
from bot.dispatch.table import Handler
from bot.ledger import read_name
from bot.logs import clean
from bot.protocol.message import Message, decode
from bot.protocol.roster import Applied
from bot.wire.link import NOWHERE

if TYPE_CHECKING:
    from bot.app import App
    from bot.live.outcome import Commit

log = logging.getLogger(__name__)

SHOWN_CHARACTERS = 120  # of the line, in what admins are told
SEARCH_SECONDS = 30.0  # for the process that searches; it is ended long before that, by its own alarm

#: The worker was searching for the patterns of rules.
_SEARCHED = re.compile(r'[/\\]bot[/\\]dispatch[/\\]rules\.py", line \d+ in ')
#: Says so before it searches for the next one; the alarm is one of processor time, so a busy machine accuses nobody.
_SEARCH = """
import json, re, signal, sys
text, patterns = json.load(sys.stdin)
for pattern, flags in patterns:
    print(flush=True)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.2)
    re.compile(pattern, flags).search(text)
"""


class Quarantine:
    """The plugins of one bot that are kept out."""

    def __init__(self, app: App) -> None:
        self._app, self._kept_out = app, app.backend.own("quarantine")
        app.reloader.on_commit.append(self._committed)

    def begin(self) -> None:
        """Keep out what a worker before has condemned; before anything is loaded."""
        kept_out = dict(self._kept_out.items())
        self._app.reloader.stopped.update(kept_out)
        for name in kept_out:
            log.warning("%s has ended the bot's worker and stays unloaded until it changes, or !load %s", name, name)

    def _committed(self, commit: Commit) -> None:
        for name in commit.new:
            self._kept_out.pop(name, None)

    async def convict(self, net: str, number: str, line: bytes, stacks: str) -> None:
        """Find out whose a line or run was that ended workers, take that plugin out, and tell the admins.

        Args:
            net, number: of the entry.
            stacks: of the worker that it ended, if it left any.
        """
        text = decode(line)
        if net == NOWHERE:
            what, guilty = f"its job {number}", self._of_run(number)
        else:
            what, guilty = await self._of_line(net, number, text, stacks)
        for plugin in guilty:
            others = self._app.reloader.importers(plugin)
            out = [name for name in (*others, plugin) if await self._take_out(name)]
            how = f"unloaded until they change, or !load: {', '.join(out)}" if out else "it can't be unloaded"
            if out == [plugin]:
                how = f"it is unloaded until it changes, or !load {plugin}"
            self._app.notice(clean(f"{plugin} ended the bot's worker with {what}: {how}"))
        if not guilty:
            self._app.notice(
                clean(f"the bot's worker was ended by {what}, which is not handled again; whose fault: unknown")
            )

    async def _take_out(self, plugin: str) -> bool:
        reloader = self._app.reloader
        await reloader.unload(plugin, "it ended the bot's worker")
        if plugin in reloader.plugins():
            return False  # refused, for what the report says
        digest = reloader.stopped.get(plugin)
        if digest is None:  # in safe mode it is not there
            unit = (await reloader.on_disk([plugin])).get(plugin)
            if unit is None:
                return False
            digest = reloader.stopped[plugin] = unit.digest
        # The same content is not to be tried again by the next worker.
        self._kept_out[plugin] = digest
        return True

    def _of_run(self, name: str) -> list[str]:
        key, _ = read_name(name) or ("", None)
        self._app.jobs.forget(name)
        plugin = key.partition(".")[0]
        return [plugin] if plugin in self._app.reloader.known() else []

    async def _of_line(self, net: str, number: str, text: str, stacks: str) -> tuple[str, list[str]]:
        try:
            message = Message.parse(text)
        except ValueError:
            return f"a line from {net}", []
        said = message.params[-1] if message.params else ""
        who = message.source.nick if message.source else "the server"
        shown = said if len(said) <= SHOWN_CHARACTERS else said[:SHOWN_CHARACTERS] + "..."
        what = f"«{shown}» ({message.command} of {who} on {net})"
        if _SEARCHED.search(stacks):
            return what, await asyncio.to_thread(self._endless, [event.text for event in self._events(net, message)])
        return what, _guilty(self._woken(net, message), stacks)

    def _events(self, net: str, message: Message) -> Iterator[Event]:
        network = self._app.networks.get(net)
        if network is not None:
            yield from read(network, "-", message, Applied())

    def _woken(self, net: str, message: Message) -> list[Handler]:
        """Return the handlers of plugins that a line wakes."""
        network = self._app.networks.get(net)
        if network is None:
            return []
        settings = network.connection.settings
        found: list[Handler] = []
        for event in self._events(net, message):

            def enabled(plugin: str, channel: str | None = event.channel) -> bool:
                return plugin == "bot" or self._app.places.answers(plugin, settings, channel)

            found += [match.handler for match in self._app.table.match(event, settings.prefix, enabled)]
        return [handler for handler in found if handler.plugin != "bot"]

    def _endless(self, texts: list[str]) -> list[str]:
        """Return whose pattern it is that is not searched for in one of these texts in sensible time."""
        table = self._app.table
        patterns = [(pattern.pattern, pattern.flags) for pattern in table.ruleset.patterns]
        for text in texts:
            command, order = [sys.executable, "-I", "-S", "-c", _SEARCH], json.dumps([text, patterns])
            try:
                ended = subprocess.run(command, input=order, text=True, capture_output=True, timeout=SEARCH_SECONDS)
            except (OSError, subprocess.TimeoutExpired) as error:
                log.warning("the patterns of rules can't be tried: %s", error)
                continue
            if ended.returncode < 0 and ended.stdout:  # by its alarm
                return [table.rules[ended.stdout.count("\n") - 1].plugin]
        return []


def _guilty(woken: list[Handler], stacks: str) -> list[str]:
    """Return the plugins to be taken out."""
    plugins = list(dict.fromkeys(handler.plugin for handler in woken))
    if named := [plugin for plugin in plugins if _is_in(plugin, stacks)]:
        return named
    for kind in (Command, Rule):
        if found := list(dict.fromkeys(one.plugin for one in woken if isinstance(one.declaration, kind))):
            return found
    return plugins if len(plugins) == 1 else []


def _is_in(plugin: str, stacks: str) -> bool:
    """Tell whether a file of the plugin is in a stack; the names of files end in a hash there."""
    file = rf'File "[^"\n]*[/\\]{re.escape(plugin)}(\.py|[/\\][^"\n]*)@[0-9a-f]+"'
    return re.search(file, stacks) is not None
