"""The networks that the bot is on, as plugins see them, the addresses of places on them, and the channels to be in."""

from __future__ import annotations

from collections.abc import Mapping

from bot.errors import UserError
from bot.protocol.casemap import fold
from bot.protocol.roster import Roster
from bot.wire.connection import Connection


class Network:
    """One network as plugins see it: `api.events.Network` over a connection."""

    __slots__ = ("_connection", "_name")

    def __init__(self, name: str, connection: Connection) -> None:
        self._name, self._connection = name, connection

    @property
    def name(self) -> str:
        """Its name in the configuration. Not to be set, since all plugins see this same object."""
        return self._name

    @property
    def connection(self) -> Connection:
        """What it is on; the bot's own."""
        return self._connection

    @property
    def roster(self) -> Roster:
        """Users and channels, as the server tells of them."""
        return self.connection.roster

    @property
    def nick(self) -> str:
        """The bot's own nick, now."""
        return self.connection.roster.nick

    def fold(self, name: str) -> str:
        """Fold a nick or channel as this network compares them."""
        return self.connection.roster.fold(name)

    def same(self, one: str, other: str) -> bool:
        """Tell whether two nicks or channels are the same here."""
        return self.connection.roster.same(one, other)

    def __repr__(self) -> str:
        return f"<network {self.name}>"


class Networks(dict[str, Network]):
    """All networks by their names in the configuration."""

    def named(self, name: str) -> Network:
        """Return a network.

        Raises:
            UserError: there is none of that name.
        """
        if name not in self:
            raise UserError(f"there is no network {name}; there are {', '.join(self) or 'none'}")
        return self[name]

    def resolve(self, address: str) -> tuple[str, str]:
        """Split an address into network and target: `libera/#a`, or `#a` where there is one network.

        Raises:
            UserError: it names no network.
        """
        name, slash, target = address.partition("/")
        if slash and name in self:
            return name, target
        if len(self) == 1 and (not slash or name.startswith(("#", "&", "+", "!"))):
            return next(iter(self)), address
        there = f"there are {', '.join(self)}" if self else "there is none"
        raise UserError(f"{address!r} names no network; write NETWORK/TARGET ({there})")

    def typing(self, name: str, target: str, state: str) -> bool:
        """Show at a target that the bot is at work (`active`) or no longer (`done`); tell whether that left.

        It does not where the settings or the network don't want it, and where a line would be late for it.
        """
        connection = self[name].connection if name in self else None
        return connection is not None and connection.settings.typing and connection.hint(target, "+typing", state)


def be_in(connection: Connection, wanted: Mapping[str, str]) -> None:
    """Have a connection in these channels (name -> key or nothing) and in no others, now and whenever it is up."""
    # Before the server has told how it folds, ASCII is what all foldings agree on.
    mapping = connection.roster.isupport.casemapping if connection.registered else "ascii"
    new = {fold(channel, mapping): (channel, key) for channel, key in wanted.items()}
    for channel, key in list(connection.channels.items()):
        if fold(channel, mapping) not in new:
            connection.part(channel)
        elif new[fold(channel, mapping)][1] == (key or ""):
            del new[fold(channel, mapping)]
    for channel, its_key in new.values():
        connection.join(channel, its_key)
