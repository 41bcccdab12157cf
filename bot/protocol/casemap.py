"""When two nicks or channels are one and the same, and whether a hostmask matches.

Only the ASCII letters (and, by mapping, a few signs) have two cases on IRC. Everything else is compared as it is: with
Unicode's own folding the Kelvin sign would equal `k`, and a stranger an admin. Which mapping a server uses is told by
`isupport`.

Follows https://modern.ircdocs.horse/#casemapping-parameter and RFC 2812 section 2.5 (wildcards).
"""

from __future__ import annotations

import re
import string
from functools import lru_cache

_ASCII = (string.ascii_uppercase, string.ascii_lowercase)
_TABLES = {
    "ascii": str.maketrans(*_ASCII),
    "rfc1459-strict": str.maketrans(_ASCII[0] + "[]\\", _ASCII[1] + "{}|"),
    "rfc1459": str.maketrans(_ASCII[0] + "[]\\~", _ASCII[1] + "{}|^"),
}
_DEFAULT = _TABLES["rfc1459"]
_NAME_LENGTH = 64
_SIGN = re.compile(r"\\[*?\\]|.", re.DOTALL)


def fold(text: str, mapping: str = "rfc1459") -> str:
    """Return `text` in lower case as the server sees it; a mapping that nobody knows counts as rfc1459."""
    if len(text) <= _NAME_LENGTH:
        return _fold_name(text, mapping)
    return text.translate(_TABLES.get(mapping, _DEFAULT))


@lru_cache(maxsize=4096)
def _fold_name(name: str, mapping: str) -> str:
    """Fold a nick or channel, the same few over and over; longer texts would fill the memory."""
    return name.translate(_TABLES.get(mapping, _DEFAULT))


def mask_match(mask: str, text: str, mapping: str = "rfc1459") -> bool:
    r"""Tell whether the whole of `text` fits `mask`, case folded.

    `*` is any run of characters, `?` any one, a backslash takes the next `*`, `?` or backslash as it is. The time
    grows with the length of the text alone, whatever the mask, so no mask and no nick can stall the bot.
    """
    gaps, wild, letters, accepting = _compile(mask, mapping)
    states = 1
    for char in fold(text, mapping):
        # Bit n: the first n signs of the mask have been seen. A gap stays where it is, a fitting sign moves on.
        states = (states & gaps) | ((states & (letters.get(char, 0) | wild)) << 1)
        if not states:
            return False
    return bool(states & accepting)


@lru_cache(maxsize=256)
def _compile(mask: str, mapping: str) -> tuple[int, int, dict[str, int], int]:
    """Turn a mask into bit sets: places with `*`, places with `?`, places of each letter, and the last place."""
    gaps = wild = 0
    letters: dict[str, int] = {}
    place = 1
    for sign in _SIGN.findall(mask):
        if sign == "*":
            gaps |= place
            continue
        if sign == "?":
            wild |= place
        else:
            letter = fold(sign[-1], mapping)
            letters[letter] = letters.get(letter, 0) | place
        place <<= 1
    return gaps, wild, letters, place


def hostname_valid(host: str) -> bool:
    """Tell whether `host` is a DNS name as IRC servers take one: ASCII labels with a dot among them.

    For judging what a person typed (a server to dial), not what a server relays: vhosts may be anything.
    """
    name = host.removesuffix(".")
    labels = name.split(".")
    return "." in host and len(name) <= 253 and all(_label_valid(label) for label in labels)


def _label_valid(label: str) -> bool:
    letters = label.replace("-", "")
    return 0 < len(label) <= 63 and label.isascii() and letters.isalnum() and "-" not in (label[0], label[-1])
