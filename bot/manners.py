"""How the bot behaves towards other programs: it answers CTCP now and then, and does not talk with bots for ever.

Decided here is who gets an answer: CTCP questions to the bot alone (in a channel fifty bots would answer at once), not
in a NOTICE, not our own or replayed ones; so many per user and network. And whose lines are the other half of a loop:
see `dispatch/loops`. Nothing is sent here.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from bot import __version__
from bot.api.events import Event, answerable
from bot.dispatch.limits import Limit, Limits
from bot.dispatch.loops import Loops, Wakes
from bot.dispatch.table import Match
from bot.networks import Network
from bot.protocol import ctcp
from bot.protocol.message import Message
from bot.protocol.roster import Applied

log = logging.getLogger(__name__)

SOURCE = "pip install neverquit"
PER_USER, PER_NETWORK = Limit(3, 30.0), Limit(4, 10.0)  # a person asks two or three in a row; a flood asks a hundred
TALK = frozenset({"message", "action", "notice"})


class Manners:
    """Of one bot, on all its networks.

    Args:
        clock: seconds, never backwards.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._limits, self._loops = clock, Limits(), Loops()
        self._told: dict[tuple[str, str, str], float] = {}  # loops that were logged, and until when they are known

    def ctcp(self, network: Network, message: Message, applied: Applied) -> Message | None:
        """Return the answer to a line that is a CTCP question, or None for silence."""
        source, roster = message.source, network.roster
        if message.command != "PRIVMSG" or not message.param(1).startswith(ctcp.DELIMITER):
            return None
        if source is None or not source.is_user or applied.history or roster.is_me(source.nick):
            return None
        question = ctcp.read(message.param(1))
        if question is None or not roster.is_me(message.param(0)) or not answerable(source.nick):
            return None
        now = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())  # ours is nobody's business, theirs we don't know
        text = ctcp.answer(question, ctcp.Answerer(f"neverquit {__version__}", SOURCE, now))
        if text is None or not self._may_ask(network.name, f"{source.ident}@{source.host}"):
            return None
        return Message("NOTICE", (source.nick, text))

    def _may_ask(self, network: str, user: str) -> bool:
        now = self._clock()
        limits = (((network, user), PER_USER), (network, PER_NETWORK))
        return all(self._limits.allow("ctcp", who, limit, now) == 0.0 for who, limit in limits)

    # -- loops

    def silent(self, event: Event, matches: Sequence[Match], is_admin: bool, wakes: Wakes) -> bool:
        """Tell whether what this event wakes shall say nothing to its author: they and we are two bots in a loop.

        Args:
            wakes: tells which handlers a text would wake there.
        """
        if event.name not in TALK or event.user is None or is_admin or not matches:
            return False
        key, now, invited = self._key(event), self._clock(), any(match.command for match in matches)
        if (seconds := self._loops.heard(key, now, invited=invited, wakes=wakes)) <= 0:
            return False
        if key not in self._told or now >= self._told[key]:
            self._told = {key: until for key, until in self._told.items() if now < until} | {key: now + seconds}
            where = f"{event.network.name}: {event.user.nick} in {event.channel or 'private'}"
            log.warning("%s and we answer each other like machines: no answer for %g s", where, seconds)
        return True

    def spoke(self, event: Event, handler: str, text: str) -> None:
        """Something was said in answer to this event, where it happened."""
        if event.name in TALK and event.user is not None:
            self._loops.spoke(self._key(event), self._clock(), handler, text)

    def _key(self, event: Event) -> tuple[str, str, str]:
        return event.network.name, event.place, event.network.fold(event.user.nick if event.user else "")
