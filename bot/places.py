"""Which plugin answers where, and which channels to be in: config.yaml, and what admins changed from chat.

What was said in chat (`!disable`, `!enable`, `!join`, `!part`) is remembered on disk and comes on top of the
configuration. Every line asks here, so both tables are held in memory; this is their one writer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping
from difflib import get_close_matches
from typing import Any

from bot.config import Config, Network
from bot.protocol.casemap import fold

EVERYWHERE = "*"


def misspelt(config: Config, plugins: Collection[str], commands: Mapping[str, str]) -> list[str]:
    """Return a sentence for each name in the configuration that should be a plugin's and is none.

    Args:
        plugins: the names of all that there are, loaded or not.
        commands: of those that are loaded, as far as they are known; to each its plugin.
    """
    notes = []
    for place, name in _named(config):
        if name in plugins:
            continue
        if near := get_close_matches(name.lower(), sorted(plugins), 1, 0.6):
            hint = f"; did you mean {near[0]}?"
        elif holder := commands.get(name.removeprefix("!").lower()):
            hint = f"; !{name.removeprefix('!')} is a command of {holder}, and plugins are named here"
        else:
            hint = ""
        notes.append(f"{place}: there is no plugin {name}{hint}")
    return notes


def _named(config: Config) -> Iterator[tuple[str, str]]:
    """Give each name of a plugin in the configuration, after the place where it stands."""
    yield from (("plugins.disabled", name) for name in config.plugins.disabled)
    yield from (("plugins.settings", name) for name in config.plugins.settings)
    for network in config.networks.values():
        yield from ((f"networks.{network.name}.disabled", name) for name in network.disabled)
        for channel in network.channels:
            yield from ((f"networks.{network.name}, disabled in {channel.name}", name) for name in channel.disabled)


class Places:
    """The two tables of one bot.

    Args:
        config: gives the settings in force.
        own: gives a table of the bot's own on disk by its name.
        fold: folds a name as the network of that name does.
    """

    def __init__(
        self,
        config: Callable[[], Config],
        own: Callable[[str], MutableMapping[str, Any]],
        fold: Callable[[str, str], str],
    ) -> None:
        self._config, self._own, self._fold = config, own, fold
        # EVERYWHERE or network/#channel -> plugins that are off there
        self._off: dict[str, list[str]] = {key: list(names) for key, names in own("disabled").items()}
        # network/#channel -> key, "" for none; None: left
        self._channels: dict[str, str | None] = dict(own("channels").items())

    def off_everywhere(self) -> Collection[str]:
        """Return the plugins that are not loaded at all."""
        return {*self._config().plugins.disabled, *self._off.get(EVERYWHERE, ())}

    def answers(self, plugin: str, settings: Network, channel: str | None) -> bool:
        """Tell whether a plugin answers on a network, and in a channel of it (None: in private)."""
        if channel is not None and self._off and plugin in self._off.get(self._key(settings.name, channel), ()):
            return False
        return not self.silenced_by(plugin, settings, channel)

    def silenced_by(self, plugin: str, settings: Network, channel: str | None) -> str:
        """Return the key of config.yaml by which a plugin is silent in a place, which chat can't change, or nothing."""
        if plugin in settings.disabled:
            return f"networks.{settings.name}.disabled"
        for one in settings.channels if channel else ():
            if plugin in one.disabled and self._key(settings.name, one.name) == self._key(settings.name, channel or ""):
                return f"networks.{settings.name}.channels, disabled of {one.name}"
        return ""

    def switch(self, plugin: str, on: bool, network: str, channel: str | None) -> bool:
        """Remember that a plugin is on or off, in one channel or (None) everywhere; return whether that is news."""
        key = self._key(network, channel) if channel else EVERYWHERE
        off = self._off.get(key, [])
        if (plugin not in off) == on:
            return False
        off = [name for name in off if name != plugin] if on else [*off, plugin]
        if off:
            self._own("disabled")[key] = self._off[key] = off  # the disk first: it may refuse
        else:
            del self._off[key]
            self._own("disabled").pop(key, None)
        return True

    def remember(self, network: str, channel: str, key: str | None) -> None:
        """Remember that a channel was joined (its key, or "") or left (None) from chat, in place of what was so before.

        Kept as it was written; another spelling of the same channel goes.
        """
        own, begin = self._own("channels"), f"{network}/"
        for known in [place for place in self._channels if place.startswith(begin)]:
            if self._fold(network, known.removeprefix(begin)) == self._fold(network, channel):
                del self._channels[known]
                own.pop(known, None)
        own[begin + channel] = self._channels[begin + channel] = key

    def channels(self, settings: Network) -> Mapping[str, str]:
        """Return the channels to be in on a network, with their keys ("" for none)."""
        wanted = {channel.name: channel.key.reveal() if channel.key else "" for channel in settings.channels}
        for place, key in self._channels.items():
            network, _, channel = place.partition("/")
            if network == settings.name:
                # Before the server has told how it folds, ASCII is what all foldings agree on.
                wanted = {name: k for name, k in wanted.items() if fold(name, "ascii") != fold(channel, "ascii")}
                if key is not None:
                    wanted[channel] = key
        return wanted

    def _key(self, network: str, channel: str) -> str:
        return f"{network}/{self._fold(network, channel)}"
