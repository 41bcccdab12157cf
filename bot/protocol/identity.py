"""Who we want to be on a network, and which nicks to try where the wanted one is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from bot.protocol.sasl import Sasl

MOST_NICKS = 9  # tried on one connection; with the pause after that, fewer than 10 in any minute
NICKS_PAUSE_SECONDS = 60.0  # to stay away when all of them were refused
_MADE_UP = 6


@dataclass(frozen=True, slots=True)
class Identity:
    """Who we want to be on a network."""

    nick: str
    alternatives: tuple[str, ...] = ()
    ident: str = ""
    realname: str = ""
    password: str | None = field(default=None, repr=False)
    sasl: Sasl | None = None

    def nicks(self) -> Iterator[str]:
        """Give the nicks to try, each once: the wanted one, the alternatives, and a few made up.

        How long a nick may be is told after the registration only. Servers cut a long one silently, and then refuse
        the same one again: the made-up ones end inside the nine characters that every server takes, and however many
        alternatives are configured, two of them are tried as well.
        """
        nick = self.nick
        made = [f"{nick}_", f"{nick[:7]}__", *(f"{nick[:7]}_{number}" for number in range(1, _MADE_UP - 1))]
        given = [nick, *self.alternatives][: MOST_NICKS - 2]
        yield from list(dict.fromkeys((*given, *made)))[:MOST_NICKS]
