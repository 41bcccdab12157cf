"""CTCP questions inside a PRIVMSG: which one a text is, and what we answer, as texts; pure.

Answered are those that people ask: VERSION, PING, TIME, CLIENTINFO, SOURCE. ACTION is no question (`api/events` reads
it), DCC and all else is silence: nothing that a stranger writes makes us open a connection. Only the first question of
a text counts. The one thing that is sent back is what PING came with, cut and without control characters, so that the
quoting of old (0x10 and a letter for CR, LF, NUL) can't come to life anywhere. Who may ask, and how often, is
`bot/manners.py`'s.

Follows https://modern.ircdocs.horse/ctcp and draft-oakley-irc-ctcp-02.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

DELIMITER = "\x01"
MAX_ECHO = 64  # characters of a PING; clients send a time

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Question(NamedTuple):
    """A CTCP command in upper case, and what stands behind it."""

    command: str
    argument: str


class Answerer(NamedTuple):
    """What answers are made of: our version, where to get us, the time in words."""

    version: str
    source: str
    time: str


def read(text: str) -> Question | None:
    """Return the question that a text is, or None. The delimiter at its end may be missing."""
    if not text.startswith(DELIMITER):
        return None
    command, _, argument = text[1:].partition(DELIMITER)[0].partition(" ")
    return Question(command.upper(), argument) if command else None


def answer(question: Question, ours: Answerer) -> str | None:
    """Return the text of the NOTICE that answers, or None for silence."""
    reply = _ANSWERS.get(question.command)
    if reply is None:
        return None
    text = _CONTROL.sub("", reply(question.argument, ours))
    return f"{DELIMITER}{question.command} {text}".rstrip() + DELIMITER


_ANSWERS: Mapping[str, Callable[[str, Answerer], str]] = {
    "CLIENTINFO": lambda _, ours: "ACTION " + " ".join(_ANSWERS),
    "PING": lambda argument, ours: argument[:MAX_ECHO],
    "SOURCE": lambda _, ours: ours.source,
    "TIME": lambda _, ours: ours.time,
    "VERSION": lambda _, ours: ours.version,
}
