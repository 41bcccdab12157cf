"""What the log tells of where we stand on a network: the account, the nick, the channels that we are in.

It compares: a line that may have changed one of these sets an alarm, and when that goes off, what is so now is held
against what was told last. So each news stands in the log once, many channels are one line, and a server that throws
us in and out fills no disk. What was so when we were let in is told by `registering`; that a channel does not let us
in, or throws us out, by `rejoin`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from bot.protocol import numerics as n
from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.alarms import Alarms

log = logging.getLogger(__name__)

SETTLE_SECONDS = 1.0  # what comes together, such as a hundred channels after 001, is told together
MOST_NAMES = 20  # in one line; more are counted

_CHANGES = {"JOIN", "PART", "KICK", "NICK", n.RPL_LOGGEDIN, n.RPL_LOGGEDOUT, n.RPL_SASLSUCCESS}


class Milestones:
    """Where one network's connection stands, as far as the log knows.

    Args:
        network: its name, for the log.
        roster: the network's, read only.
        alarms: the connection's; the name `milestones` in it is used here.
        account: says as whom we are logged in now.
    """

    def __init__(self, network: str, roster: Roster, alarms: Alarms, account: Callable[[], str | None]) -> None:
        self._network, self._roster, self._alarms, self._account = network, roster, alarms, account
        self._known: tuple[str | None, str, set[str]] = (None, "", set())

    def begin(self) -> None:
        """We are let in, or go on where another worker was: what is so now needs no telling."""
        self._known = self._now()

    def heard(self, message: Message, flag: int) -> None:
        """A line came, and the roster has it. With `flag` 2 the worker before has had it, and has told."""
        if flag == 2:
            self.begin()
        elif message.command in _CHANGES and self._is_ours(message) and self._alarms.next_at("milestones") is None:
            self._alarms.after(SETTLE_SECONDS, "milestones", self._look)

    def _is_ours(self, message: Message) -> bool:
        # Thousands of others may join and leave.
        names = (message.source.nick if message.source is not None else "", message.param(0), message.param(1))
        return message.command.isdecimal() or any(map(self._roster.is_me, names))

    def _now(self) -> tuple[str | None, str, set[str]]:
        return self._account(), self._roster.nick, {channel.name for channel in self._roster.channels.values()}

    def _look(self) -> None:
        (old_account, old_nick, old_channels), self._known = self._known, self._now()
        account, nick, channels = self._known
        if account != old_account:
            log.info("%s: %s", self._network, f"logged in as {account}" if account else "not logged in any more")
        if nick != old_nick:
            log.info("%s: our nick is %s now", self._network, nick)
        if joined := sorted(channels - old_channels):
            more = f" and {len(joined) - MOST_NAMES} more" if len(joined) > MOST_NAMES else ""
            log.info("%s: joined %s%s", self._network, ", ".join(joined[:MOST_NAMES]), more)
