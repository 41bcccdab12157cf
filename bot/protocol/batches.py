"""Which lines belong together (BATCH), and which of them were said before.

A batch in a batch of history is history. Batches that are never closed are forgotten when too many are open, history
last; while so many are, a line of a batch that is not known counts as history: better a line that is not answered than
one of last week that is run. What the lines of a batch mean is left to `roster`; the answers to our own labels are
`wire`'s.

Follows https://ircv3.net/specs/extensions/batch, .../chathistory, and the playback of ZNC and soju.
"""

from __future__ import annotations

from typing import NamedTuple

from bot.protocol.message import Message

# Batches whose lines were said before; bouncers have some of their own.
HISTORY = frozenset({"chathistory", "draft/chathistory", "znc.in/playback", "soju.im/history", "playback"})
_MAX_OPEN = 64


class Batch(NamedTuple):
    """One batch that is open."""

    kind: str  # lower-case: netsplit, chathistory...
    params: tuple[str, ...] = ()
    history: bool = False  # it, or one around it, holds what was said before


_FORGOTTEN = Batch("", history=True)


class Batches(dict[str, Batch]):
    """The open batches of a connection by their reference tags."""

    def of(self, message: Message) -> Batch | None:
        """Return the batch that a line is in; of nested ones the innermost."""
        if not self or not (name := message.tags.get("batch")):
            return None
        return self.get(name) or (_FORGOTTEN if len(self) >= _MAX_OPEN else None)

    def turn(self, message: Message) -> Batch | None:
        """Take in a BATCH line; return the batch if it ends one."""
        sign, name = message.param(0)[:1], message.param(0)[1:]
        if sign == "-":
            return self.pop(name, None)
        if sign == "+" and name:
            around = self.of(message)
            kind = message.param(1).lower()
            history = kind in HISTORY or (around is not None and around.history)
            if name not in self and len(self) >= _MAX_OPEN:
                del self[next((known for known, batch in self.items() if not batch.history), next(iter(self)))]
            self[name] = Batch(kind, message.params[2:], history)
        return None
