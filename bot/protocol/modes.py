"""A MODE line as single changes, each with the argument that belongs to it.

Which modes take one is told by the server (`isupport`). What the changes mean for a channel is left to `roster`.

Follows https://modern.ircdocs.horse/#mode-message and #chanmodes-parameter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.protocol.isupport import Isupport


@dataclass(frozen=True, slots=True)
class ModeChange:
    """One letter of a MODE line."""

    sign: str  # "+" or "-"
    mode: str  # one letter, `"o"`
    argument: str | None  # None: takes none, or the server left it out


def parse_modes(params: Sequence[str], isupport: Isupport) -> list[ModeChange]:
    """Split the parameters of a channel's MODE or 324 that follow the channel, `("+ov-l", "alice", "bob")`.

    Never raises: a letter that the server never told of takes no argument, an argument too few is None.
    """
    letters = params[0] if params else ""
    arguments = iter(params[1:])
    groups = isupport.chanmodes
    always = {*groups.lists, *groups.keys, *isupport.prefixes.values()}
    changes = []
    sign = "+"
    for letter in letters:
        if letter in "+-":
            sign = letter
            continue
        takes = letter in always or (letter in groups.settings and sign == "+")
        changes.append(ModeChange(sign, letter, next(arguments, None) if takes else None))
    return changes
