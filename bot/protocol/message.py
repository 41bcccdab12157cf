"""One IRC line as a value: bytes -> text -> `Message` -> text.

Reads leniently what servers really send, writes strictly what they may receive: `Message.encode` and `safe` refuse
anything that could become a second command. Only SPACE separates; tabs and Unicode spaces belong to the words they
stand in. Cutting the byte stream into lines is left to `wire/session.py`, the meaning of a line to `roster` and
`registration`, cutting long texts to `formatting`.

Follows https://modern.ircdocs.horse/#message-format and https://ircv3.net/specs/extensions/message-tags; tried with
the vectors of ircdocs/parser-tests.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from bot.errors import MalformedLine, UnsafeText

# cp1252 leaves five bytes undefined; there the line means latin-1 (control characters), and no byte is an error.
_WESTERN = "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256))

_ESCAPED = {";": r"\:", " ": r"\s", "\\": r"\\", "\r": r"\r", "\n": r"\n"}
_UNESCAPED = {escape[1]: char for char, escape in _ESCAPED.items()}
_ESCAPE_TABLE = str.maketrans(_ESCAPED)
_ESCAPE = re.compile(r"\\(.?)", re.DOTALL)

_TARGET = re.compile(r"[^ ,:\r\n\0][^ ,\r\n\0]*")

_NO_TAGS: Mapping[str, str] = {}

# Their last parameter is prose; people who read a raw log look for its colon, also where one word needs none.
_PROSE = frozenset({"PRIVMSG", "NOTICE", "QUIT"})


def decode(raw: bytes) -> str:
    """Return the text of a line: UTF-8, else the whole line as cp1252. Never raises.

    A line that a server cut inside its last code point stays UTF-8, with U+FFFD for the torn one.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        torn = error.reason == "unexpected end of data" and not raw[: error.start].isascii()
        if torn:
            return raw.decode("utf-8", "replace")
        return codecs.charmap_decode(raw, "strict", _WESTERN)[0]


def safe(text: str) -> str:
    """Return `text` if it is at most one line; the test that everything on its way out must pass.

    Raises:
        UnsafeText: it holds CR, LF or NUL, so a server could read it as more than one command.
    """
    if "\n" in text or "\r" in text or "\0" in text:
        raise UnsafeText(f"refused to send text with CR, LF or NUL in it: {_excerpt(text)}")
    return text


def is_target(text: str) -> bool:
    """Tell whether a line can be addressed to this: one nick or channel, whatever the server's rules for them are."""
    return _TARGET.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Source:
    """Who a line is from: a user (`nick!ident@host`) or a server (its name stands in `nick`)."""

    nick: str
    ident: str = ""
    host: str = ""

    @classmethod
    def parse(cls, text: str) -> Source:
        """Split `nick!ident@host`, each part but the first optional. Never raises.

        The first `!` and the last `@` count: of the parts, the host is the one that a user chooses least freely, so
        nothing in front of it may pass for it.
        """
        nick, bang, rest = text.partition("!")
        if bang:
            ident, at, host = rest.rpartition("@")
            return cls(nick, ident, host) if at else cls(nick, rest)
        nick, at, host = text.rpartition("@")
        return cls(nick, "", host) if at else cls(text)

    @property
    def is_user(self) -> bool:
        """Whether this is surely a person's `nick!ident@host`; a server's name has no host, whatever it says."""
        return bool(self.nick and self.host)

    def __str__(self) -> str:
        ident = f"!{self.ident}" if self.ident else ""
        host = f"@{self.host}" if self.host else ""
        return f"{self.nick}{ident}{host}"


@dataclass(frozen=True, slots=True)
class Message:
    """One IRC line, parsed.

    Attributes:
        command: the verb in upper case, or a numeric, `"001"`.
        params: the last may hold spaces or be empty.
        source: who sent it, as the server says; None when the line has none (it is from our own server).
        tags: unescaped; a tag without value is `""`. A tag counts only if the capability it belongs to is enabled.
    """

    command: str
    params: tuple[str, ...] = ()
    source: Source | None = None
    tags: Mapping[str, str] = field(default_factory=lambda: _NO_TAGS)

    @classmethod
    def parse(cls, line: str) -> Message:
        """Parse a line, with or without its line end.

        Raises:
            MalformedLine: there is no command in it; nothing else is ever raised.
        """
        rest = line.rstrip("\r\n")
        tags = _NO_TAGS
        source = None
        if rest[:1] == "@":
            block, _, rest = rest[1:].partition(" ")
            tags = _parse_tags(block)
            rest = rest.lstrip(" ")
        if rest[:1] == ":":
            prefix, _, rest = rest[1:].partition(" ")
            source = _parse_source(prefix) if prefix else None
            rest = rest.lstrip(" ")
        middle, colon, trailing = rest.partition(" :")
        word, *words = middle.split(" ")
        command = _parse_command(word)
        if not command:
            raise MalformedLine(f"no command in {_excerpt(line)}")
        if "" in words:
            words = [word for word in words if word]
        if colon:
            words.append(trailing)
        return cls(command, tuple(words), source, tags)

    def param(self, index: int, default: str = "") -> str:
        """Return the parameter at `index` (from 0; negative ones count from the end), or `default`."""
        try:
            return self.params[index]
        except IndexError:
            return default

    def encode(self) -> str:
        """Return the line to send, without a line end.

        Raises:
            UnsafeText: it would not be read back as this one message: CR, LF or NUL anywhere, a space or nothing in
                a middle parameter or in the source, a command that is no word, a tag key that is none.
        """
        if not (self.command.isascii() and self.command.isalnum()):
            raise UnsafeText(f"not an IRC command: {_excerpt(self.command)}")
        parts = []
        if self.tags:
            parts.append("@" + ";".join(_encode_tag(key, value) for key, value in self.tags.items()))
        if self.source is not None:
            source = str(self.source)
            if not source or " " in source:
                raise UnsafeText(f"not a source: {_excerpt(source)}")
            parts.append(":" + source)
        parts.append(self.command)
        if self.params:
            *middle, last = self.params
            for word in middle:
                if not word or " " in word or word[0] == ":":
                    raise UnsafeText(f"only the last parameter may be empty or hold spaces: {_excerpt(word)}")
            parts += middle
            colon = not last or " " in last or last[0] == ":" or self.command in _PROSE
            parts.append(":" + last if colon else last)
        return safe(" ".join(parts))


# Lines come from few people with few verbs: remembering both takes a third off `Message.parse`.
_parse_source = lru_cache(maxsize=512)(Source.parse)


@lru_cache(maxsize=128)
def _parse_command(word: str) -> str:
    """Return the verb in upper case, or nothing if the word is none.

    Verbs are ASCII: `upper` alone would turn a dotless i into a letter of a verb that we know.
    """
    return word.upper() if word.isascii() and word.isalnum() else ""


def _parse_tags(block: str) -> dict[str, str]:
    """Read `a=b;c;+d/e=f`; of two with one key the last counts."""
    tags = {}
    for item in block.split(";"):
        key, _, value = item.partition("=")
        if key:
            tags[key] = _ESCAPE.sub(_unescape, value) if "\\" in value else value
    return tags


def _unescape(match: re.Match[str]) -> str:
    char = match[1]
    return _UNESCAPED.get(char, char)


def _encode_tag(key: str, value: str) -> str:
    if not key or any(char in key for char in " ;=\\"):
        raise UnsafeText(f"not a tag key: {_excerpt(key)}")
    # CR and LF have escapes of their own, NUL has none: `safe` sees it at the end.
    return f"{key}={value.translate(_ESCAPE_TABLE)}" if value else key


def _excerpt(text: str) -> str:
    """Show the beginning of a text in an error: one line, however long or odd it is."""
    return ascii(text if len(text) <= 60 else text[:60] + "...")
