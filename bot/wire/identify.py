"""Identifying to NickServ after 001, for networks without SASL: pure.

The channels wait for its end, since some let only identified users in. Servers and services have no one way to say
that it worked, so the first of these counts: 900, +r on ourselves, a notice of the service whose words are known. A
time-out is `presence`'s. Who is asked, and with which words, comes from the configuration (`nickserv`).
"""

from __future__ import annotations

import re

from bot.config import NickServ
from bot.protocol import numerics as n
from bot.protocol.message import Message
from bot.protocol.roster import Roster

#: What services say, the bad first: "not recognized" holds a good word, too. The words are those of Atheme, Anope,
#: X3 and QuakeNet's Q.
_BAD = re.compile(
    r"incorrect|invalid|wrong|denied|not registered|isn't registered|not recogni|failed|unknown command|too many"
    r"|no such|not enough|insufficient|frozen|suspended|don't match|does not match",
    re.IGNORECASE,
)
_GOOD = re.compile(
    r"you are (now|already) (identified|logged in|recogni)|password accepted|authed|recogni", re.IGNORECASE
)


def words(text: str, settings: NickServ, nick: str) -> Message:
    """Return a request to the service, `{account}`, `{nick}` and `{password}` in it filled in."""
    password = settings.password.reveal() if settings.password is not None else ""
    known = {"account": settings.account or nick, "nick": nick, "password": password}
    said = re.sub(r"\{(account|nick|password)\}", lambda match: known[match[1]], text)
    return Message("PRIVMSG", (settings.service, said.strip()))


class Identification:
    """One attempt to identify.

    Args:
        settings: whom to ask, and how.
        roster: the network's, read only; `heard` is called when it has the line.

    Attributes:
        service: who is asked.
        over: it has ended, however.
        failure: why it did not work, in the service's words; empty while it goes on, and when it worked.
    """

    def __init__(self, settings: NickServ, roster: Roster) -> None:
        self.service, self._roster = settings.service.partition("@")[0], roster
        self.over, self.failure = False, ""

    def heard(self, message: Message) -> None:
        """Learn from a line how it went."""
        command, text = message.command, message.param(-1)
        if command == n.RPL_LOGGEDIN or (command == "MODE" and self._registered(message)):
            self.over = True
        elif command == n.ERR_NOSUCHNICK and self._roster.same(message.param(1).partition("@")[0], self.service):
            self.over, self.failure = True, f"there is no {self.service} now"
        elif command == "NOTICE" and message.source is not None and self._is_service(message):
            if _BAD.search(text):
                self.over, self.failure = True, text
            elif _GOOD.search(text):
                self.over = True

    def _is_service(self, message: Message) -> bool:
        assert message.source is not None
        return self._roster.same(message.source.nick, self.service) and self._roster.is_me(message.param(0))

    def _registered(self, message: Message) -> bool:
        """Whether a server sets +r on us."""
        if not self._roster.is_me(message.param(0)):
            return False
        sign = "+"
        for letter in message.param(1):
            if letter in "+-":
                sign = letter
            elif letter == "r" and sign == "+":
                return True
        return False
