"""What the `irc` package (20.5) is here: command methods and events for those who know them, and nothing else.

The only file that imports it. A `Connection` is an `irc.client_aio.AioConnection`, so its command methods work, and
handlers added with `add_global_handler` get its events. Socket, buffer, parser, registration, state and sending are
ours: the library's end on bad input, which is why nothing of a line reaches it before we have read it. Those of its
methods that would do harm here say what to use instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from irc.client import NickMask
from irc.client_aio import AioConnection, AioReactor
from irc.events import Command

from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.opening import URGENT, in_place, refusal

#: Private names of `irc` that this file calls or overrides, and why; a test looks whether they are still there.
BORROWED = {
    "AioConnection._handle_message": "makes pubmsg, privmsg, ctcp and action events of a PRIVMSG or NOTICE",
    "AioConnection._handle_other": "makes events of all other lines",
}

#: Verbs handed to the library's handlers. Not all: it has events of its own, and a server that sends the verb
#: DISCONNECT or PUBMSG must not be able to fake one.
_VERBS = {"ACCOUNT", "AWAY", "BATCH", "CAP", "CHGHOST", "ERROR", "INVITE", "JOIN", "KICK", "MODE", "NICK", "NOTICE"}
_VERBS |= {"PART", "PONG", "PRIVMSG", "QUIT", "SETNAME", "TAGMSG", "TOPIC", "WALLOPS"}


class LibraryReactor(AioReactor):  # type: ignore[misc]  # irc is untyped
    """Holds the library's handlers for all networks."""

    def __init__(self) -> None:
        super().__init__(loop=asyncio.get_running_loop())
        self.handlers: dict[str, list[Any]] = {}  # without the library's answer to PING: the keeper has answered


class LibraryConnection(AioConnection):  # type: ignore[misc]  # irc is untyped
    """The library's side of a connection. `_put` and `disconnect` are those of who is one."""

    roster: Roster

    def __init__(self, reactor: LibraryReactor) -> None:
        super().__init__(reactor)
        self.handlers: dict[str, list[Callable[..., Any]]] = {}  # of this connection alone

    def _put(self, line: str, key: str, k: int, urgent: bool) -> Any:
        raise NotImplementedError

    @property
    def _is_heard(self) -> bool:
        """Whether anybody has added a handler."""
        return bool(self.handlers) or any(self.reactor.handlers.values())

    def _tell_library(self, message: Message) -> None:
        """Call the handlers for a line."""
        if not message.command.isdecimal() and message.command not in _VERBS:
            return
        name = Command.lookup(message.command)
        source = NickMask(str(message.source)) if message.source else None
        tags = [{"key": key, "value": value or None} for key, value in message.tags.items()]
        handle = self._handle_message if message.command in ("PRIVMSG", "NOTICE") else self._handle_other
        handle(list(message.params), name, source, tags)

    def send_raw(self, string: str) -> None:
        """Send a line as it is; all of the library's command methods end here."""
        self._put(string, "-/-", 0, string.partition(" ")[0].upper() in URGENT)

    def send_items(self, *items: str | None) -> None:
        """Send a command as the library's methods give it: words, empty ones left out, each kept in its place."""
        self.send_raw(in_place([item for item in items if item]))

    def get_nickname(self) -> str:
        return self.roster.nick

    def ctcp(self, ctcptype: str, target: str, parameter: str = "") -> None:
        # The library's own sends the literal text `{ctcptype}` when there is no parameter.
        self.privmsg(target, f"\x01{ctcptype.upper()}{' ' if parameter else ''}{parameter}\x01")

    connect = refusal("start() connects; host, port and nick are in config.yaml")
    reconnect = refusal("a lost connection is dialled again by itself; `reconnect` in config.yaml paces it")
    set_rate_limit = refusal("lines are paced by the keeper; `flood` in config.yaml is the pace")
    set_keepalive = refusal("the keeper asks with PING when a server is silent")
