r"""What a server says about itself in its 005 lines: signs, lengths and the mapping that names are folded by.

Written by the roster alone; everybody else reads. A token that makes no sense leaves the value before it in force, a
token that is taken back (`-PREFIX`) brings the default. Nothing here raises, and nothing grows without limit, whatever
the server sends.

Follows https://modern.ircdocs.horse/#rplisupport-parameters and draft-brocklesby-irc-isupport-03.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

# Servers send some 50 tokens of at most 30 bytes; the limits are only there to hold.
_MAX_TOKENS = 256
_MAX_NAME = 64
_MAX_VALUE = 1024
_MAX_LINE = 16_384

_ESCAPE = re.compile(r"\\x([0-9A-Fa-f]{2})")
_PREFIX = re.compile(r"\(([A-Za-z]*)\)([!-~]*)")
_SIGNS = re.compile(r"[!-~]*")
_LENGTH = re.compile(r"[1-9][0-9]{0,4}")
_CHANMODES = re.compile(r"[A-Za-z]*(,[A-Za-z]*)*")


@dataclass(frozen=True, slots=True)
class ChanModes:
    """The channel modes by how they take an argument (those of a rank, `+o`, are in `prefixes`)."""

    lists: str  # always an argument; the mode can be set many times (+b)
    keys: str  # an argument both to set and to unset (+k)
    settings: str  # an argument only to set (+l)
    flags: str  # never an argument (+m)


class Isupport:
    """The tokens of one connection, and the ones that we use, read.

    Attributes:
        tokens: all of them as sent, unescaped; a token without value is `""`.
        casemapping: for `casemap.fold`; rfc1459 until told.
        prefixes: sign -> mode letter, the highest rank first, `{"@": "o", "+": "v"}`.
        chantypes: first characters of channel names.
        statusmsg: signs that may stand before a channel name to reach only those of that rank.
        chanmodes: the four groups of CHANMODES.
        nicklen: bytes of the longest nick; 9 until told (RFC 1459).
        linelen: bytes of the longest line without tags but with CRLF; 512 until told.
        network: its name; empty until told.
        whox: whether WHO takes `%` fields.
        bot: the user mode of bots and their flag in WHO; empty if there is none.
    """

    __slots__ = (
        "bot",
        "casemapping",
        "chanmodes",
        "chantypes",
        "linelen",
        "network",
        "nicklen",
        "prefixes",
        "statusmsg",
        "tokens",
        "whox",
    )

    casemapping: str
    prefixes: Mapping[str, str]
    chantypes: str
    statusmsg: str
    chanmodes: ChanModes
    nicklen: int
    linelen: int
    network: str
    whox: bool
    bot: str

    def __init__(self) -> None:
        self.tokens: dict[str, str] = {}
        for attribute, default, _ in _READERS.values():
            setattr(self, attribute, default)

    def apply(self, params: Sequence[str]) -> None:
        """Take in the tokens of one 005 line: its parameters without our nick in front and the text at the end."""
        for token in params:
            name, _, value = token.partition("=")
            name = name.upper()
            if name.startswith("-"):
                self._forget(name[1:])
            elif name and len(name) <= _MAX_NAME and len(value) <= _MAX_VALUE:
                self.learn(name, _ESCAPE.sub(_unescape, value))

    def learn(self, name: str, value: str) -> None:
        """Take in one token, its value unescaped."""
        if name not in self.tokens and name not in _READERS and len(self.tokens) >= _MAX_TOKENS:
            return
        if name in _READERS:
            attribute, _, read = _READERS[name]
            meaning = read(value)
            if meaning is None:
                return
            setattr(self, attribute, meaning)
        self.tokens[name] = value

    def _forget(self, name: str) -> None:
        self.tokens.pop(name, None)
        if name in _READERS:
            attribute, default, _ = _READERS[name]
            setattr(self, attribute, default)

    def is_channel(self, name: str) -> bool:
        """Tell whether a name is a channel's on this network; `@#c` is not, see `split_status`."""
        return name[:1] in self.chantypes if name else False

    def split_status(self, target: str) -> tuple[str, str]:
        """Split the target of a message, `"@#c"` into `("@", "#c")`; a target without a rank sign keeps `""`.

        Where a sign of a rank is one of channels, too (`+`), `"+#c"` is the name of another channel than `#c`.
        """
        if target[:1] in self.statusmsg and not self.is_channel(target) and self.is_channel(target[1:]):
            return target[:1], target[1:]
        return "", target


def _unescape(match: re.Match[str]) -> str:
    char = chr(int(match[1], 16))
    return char if char.isprintable() and char.isascii() else match[0]


def _read_prefix(value: str) -> Mapping[str, str] | None:
    """Read `(ov)@+`; an empty value means that there are no ranks."""
    match = _PREFIX.fullmatch(value) if value else None
    if match is None:
        return None if value else MappingProxyType({})
    modes, signs = match.groups()
    if len(modes) != len(signs) or len(set(modes)) != len(modes) or len(set(signs)) != len(signs):
        return None
    return MappingProxyType(dict(zip(signs, modes, strict=True)))


def _read_chanmodes(value: str) -> ChanModes | None:
    """Read `b,k,l,mn`; a fifth group and later ones are for clients of the future."""
    if not _CHANMODES.fullmatch(value):
        return None
    groups = [*value.split(","), "", "", ""]
    return ChanModes(*groups[:4])


def _read_signs(value: str) -> str | None:
    return value if _SIGNS.fullmatch(value) else None


def _read_word(value: str) -> str | None:
    return value or None


def _read_mapping(value: str) -> str | None:
    return value.lower() or None


def _read_length(value: str) -> int | None:
    return int(value) if _LENGTH.fullmatch(value) else None


def _read_line_length(value: str) -> int | None:
    """Below 512 no server goes; above our own limit we would drop what comes back."""
    length = _read_length(value)
    return None if length is None else min(max(length, 512), _MAX_LINE)


def _read_letter(value: str) -> str | None:
    return value if len(value) == 1 and value.isascii() and value.isalpha() else None


def _read_presence(value: str) -> bool | None:
    return True


# Token -> (attribute, default, reader). A reader returns None for a value that makes no sense.
_READERS: dict[str, tuple[str, object, Callable[[str], object]]] = {
    "CASEMAPPING": ("casemapping", "rfc1459", _read_mapping),
    "PREFIX": ("prefixes", MappingProxyType({"@": "o", "+": "v"}), _read_prefix),
    "CHANTYPES": ("chantypes", "#&", _read_signs),
    "STATUSMSG": ("statusmsg", "", _read_signs),
    "CHANMODES": ("chanmodes", ChanModes("beI", "k", "l", "imnpst"), _read_chanmodes),
    "NICKLEN": ("nicklen", 9, _read_length),
    "LINELEN": ("linelen", 512, _read_line_length),
    "NETWORK": ("network", "", _read_word),
    "WHOX": ("whox", False, _read_presence),
    "BOT": ("bot", "", _read_letter),
}
