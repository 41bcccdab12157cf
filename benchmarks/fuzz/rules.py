"""What the bot may send, and because of which line: nothing else may leave.

Written apart from `bot.protocol`, so that a mistake in reading is not made twice. A line out is judged by who said it
(the key of its `say` frame: the number of the line that it answers, and a handler) and by that line, as it came.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

MAX_BODY = 512  # with CR LF, by RFC 1459; the tags in front have room of their own
MAX_LINELEN = 16_384  # what the bot takes of a larger LINELEN
HISTORY = (b"chathistory", b"draft/chathistory", b"znc.in/playback", b"soju.im/history")
WANTED_NICK = b"neverquit"
UNKNOWN = b" "
NO_NAME = 300  # bytes that no nick and no channel has: beside one no text has room, and the line is too long with any
_BOT_MODE = re.compile(rb"\+[A-Za-z]")
_SIGNS = bytes.maketrans(b"[]\\~", b"{}|^")
MAX_BATCHES = 64  # that the bot promises to know at a time


class Line(NamedTuple):
    """A line taken apart; everything is bytes, nothing is decoded."""

    tags: dict[bytes, bytes]
    source: bytes
    command: bytes
    params: tuple[bytes, ...]

    @classmethod
    def parse(cls, raw: bytes) -> Line:
        tags: dict[bytes, bytes] = {}
        source = b""
        if raw.startswith(b"@"):
            block, _, raw = raw[1:].partition(b" ")
            for tag in block.split(b";"):
                key, _, value = tag.partition(b"=")
                tags[key] = value
            raw = raw.lstrip(b" ")
        if raw.startswith(b":"):
            source, _, raw = raw[1:].partition(b" ")
            raw = raw.lstrip(b" ")
        middle, colon, last = raw.partition(b" :")
        words = [word for word in middle.split(b" ") if word]
        if middle.startswith(b" "):
            words.insert(0, b"")
        command, *params = words or [b""]
        return cls(tags, source, command.upper(), (*params, last) if colon else tuple(params))

    @property
    def nick(self) -> bytes:
        """The author's, as far as a mere cut can tell."""
        return self.source.partition(b"!")[0].partition(b"@")[0]


@dataclass(slots=True)
class Said:
    """One line out: `cause` is the number of the line it answers, `handler` who said it, `-` for the connection."""

    cause: str
    handler: str
    line: bytes


def _same(one: bytes, other: bytes) -> bool:
    return one.lower().translate(_SIGNS) == other.lower().translate(_SIGNS)


def _word(text: bytes) -> bool:
    return bool(text) and text[:1] != b":" and not any(sign in text for sign in (b" ", b",", b"\0", b"\r"))


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


class Heard(NamedTuple):
    """A line in, as it was when it came: whether it was ours or nobody's, and whether it was a replay."""

    line: Line
    ours: bool
    replayed: bool


class Rules:
    """The judge of one connection; told of each line in, in order, before what was said about it is judged."""

    def __init__(self, wanted: set[bytes]) -> None:
        self.wanted = wanted  # channels that the bot was told to be in, as it writes them in JOIN, with keys
        self.nick = WANTED_NICK
        self.batches: set[bytes] = set()
        self.registered = False
        self.max_body = MAX_BODY

    def hear(self, raw: bytes) -> Heard:
        """Take a line in."""
        line = Line.parse(raw)
        in_history = line.tags.get(b"batch", b"") in self.batches
        replayed = len(self.batches) <= MAX_BATCHES and in_history
        ours = line.nick == self.nick and (line.nick.isascii() or _is_text(raw))
        heard = Heard(line, ours or not line.source, replayed)
        match line.command:
            case b"001" | b"NICK" if in_history:  # of then, or the bot has forgotten the batch: then nobody knows
                self.nick = self.nick if replayed else UNKNOWN
            case b"001" if not _is_text(raw) or b"time" in line.tags:  # read in another way, or perhaps long ago
                self.registered, self.nick = True, UNKNOWN
            case b"001":
                self.registered = True
                if line.params and _word(line.params[0]):
                    self.nick = line.params[0]
            case b"NICK" if line.params and _word(line.params[0]) and _same(line.nick, self.nick):
                # Whether these two are one is for the case mapping to say, and whether it is said now or was said
                # long ago for the server's time; neither is followed here.
                certain = line.nick.lower() == self.nick.lower() and b"time" not in line.tags and _is_text(raw)
                self.nick = line.params[0] if certain else UNKNOWN
            case b"BATCH" if line.params:
                sign, ref = line.params[0][:1], line.params[0][1:]
                if sign == b"-":
                    self.batches.discard(ref)
                elif sign == b"+" and ref:
                    history = len(line.params) > 1 and line.params[1].lower() in HISTORY
                    history = history or line.tags.get(b"batch", b"") in self.batches
                    (self.batches.add if history else self.batches.discard)(ref)
        return heard

    def foresee(self, lines: Iterable[bytes]) -> None:
        """A handler answers when it comes to it: what the server says of lengths counts for the lines before, too."""
        if any(b"LINELEN=" in line.upper() for line in lines):
            self.max_body = MAX_LINELEN

    def mistake(self, said: Said, because: Heard | None) -> str:
        """Return why this may not be sent because of that line, or nothing."""
        raw = said.line
        if any(sign in raw for sign in (b"\r", b"\n", b"\0")):
            return "more than one line"
        out = Line.parse(raw)
        body = raw.partition(b" ")[2] if raw.startswith(b"@") else raw
        if said.handler == "registration":
            return self._of_registration(out, because and because.line)
        if said.handler == "-":
            return self._of_the_connection(out)
        if out.command == b"BATCH":  # around the lines of one message
            return "" if out.params[0][:1] == b"-" or out.params[1:2] == (b"draft/multiline",) else "an odd batch"
        if out.command not in (b"PRIVMSG", b"NOTICE", b"TAGMSG") or not because:
            return "a handler sent what no handler says"
        if len(body) + 2 > self.max_body and len(out.params[0]) < NO_NAME:
            return "longer than a line"
        return self._of_a_handler(said, out, because)

    def _of_registration(self, out: Line, because: Line | None) -> str:
        if out.command not in (b"CAP", b"AUTHENTICATE", b"NICK", b"USER", b"PASS"):
            return "registration sends no such thing"
        if because is None:
            return "registration answers no line"
        known = because.command in (b"CAP", b"AUTHENTICATE", b"001") or because.command[:1] in (b"4", b"9")
        return "" if known else "registration has nothing to answer there"

    def _of_the_connection(self, out: Line) -> str:
        if out.command == b"JOIN":
            strange = [channel for channel in out.params[0].split(b",") if channel not in self.wanted]
            return f"joins {strange}" if strange else ""
        if out.command in (b"WHO", b"MODE"):
            only_asks = out.command == b"WHO" or len(out.params) == 1
            # The letter of bots is the one that the server says (BOT in 005).
            says_bot = _BOT_MODE.fullmatch(out.params[-1]) is not None and out.params[0][:1] not in b"#&+!"
            return "" if only_asks or says_bot else "changes modes"
        if out.command == b"PING" and out.params == (b"time",):
            return ""
        if out.command in (b"ISON", b"NICK", b"MONITOR") and out.params[-1] == WANTED_NICK:
            return ""  # to get it back
        if out.command == b"AUTHENTICATE" and out.params == (b"*",):
            return ""  # the server was asked and has said nothing
        registers = out.command in (b"CAP", b"NICK", b"USER", b"PASS") and not self.registered
        return "" if registers else "nobody asked for it"

    def _of_a_handler(self, said: Said, out: Line, because: Heard) -> str:
        if because.line.command != b"PRIVMSG":
            return "answers what is no message"
        if because.ours:
            return "answers itself, or nobody"
        if because.replayed:
            return "answers what was said long ago"
        if said.handler == "fuzz.secret" and not out.params[-1].lower().endswith(b"secret: admins only"):
            return "does for anybody what is for admins"
        return ""
