"""Text for IRC: colours, taking them out again, and cutting what is too long into lines that fit.

`lines` makes any text sendable (one command per line, no CTCP by accident), `split` makes each line fit in bytes.
How many bytes there are is for the caller to know: the server counts the prefix that it adds for us.

Follows https://modern.ircdocs.horse/formatting.html and, loosely, Unicode UAX #29 for what belongs together.
"""

from __future__ import annotations

import re
import unicodedata

BOLD, ITALIC, UNDERLINE, STRIKE, MONO, REVERSE = "\x02", "\x1d", "\x1f", "\x1e", "\x11", "\x16"
COLOR, HEX_COLOR, RESET = "\x03", "\x04", "\x0f"

_NAMES = "white black blue green red brown purple orange yellow lime teal cyan royal pink grey silver"
COLORS = {name: number for number, name in enumerate(_NAMES.split())}

_TOGGLES = BOLD + ITALIC + UNDERLINE + STRIKE + MONO + REVERSE
_CODE = re.compile(
    r"\x03(?:[0-9]{1,2}(?:,[0-9]{1,2})?)?|\x04(?:[0-9A-Fa-f]{6}(?:,[0-9A-Fa-f]{6})?)?|[\x02\x0f\x11\x16\x1d\x1e\x1f]"
)
_LONGEST_CODE = len("\x04RRGGBB,RRGGBB")
_LONGEST_CLUSTER = 32  # code points; longer heaps of combining marks are cut like anything else

_EXTENDING = "\u200c\uff9e\uff9f"  # not marks by category, but part of what stands before them
_VIRAMAS = "\u094d\u09cd\u0a4d\u0acd\u0b4d\u0c4d\u0d4d"  # join the letters around them, UAX #29 rule GB9c

# Shows nothing, but ends a colour: a digit or comma after it would otherwise be read as part of the code.
_NOTHING = BOLD + BOLD

_LINE_END = re.compile(r"\r\n|\r|\n")
_UNSENDABLE = re.compile(r"[\x00\x01]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


def bold(text: str) -> str:
    return BOLD + text + BOLD


def italic(text: str) -> str:
    return ITALIC + text + ITALIC


def underline(text: str) -> str:
    return UNDERLINE + text + UNDERLINE


def strike(text: str) -> str:
    return STRIKE + text + STRIKE


def mono(text: str) -> str:
    return MONO + text + MONO


def reverse(text: str) -> str:
    return REVERSE + text + REVERSE


def color(text: str, fg: str | int, bg: str | int | None = None) -> str:
    """Return `text` in a colour, by its name in `COLORS` or its number, 0 to 98.

    Raises:
        ValueError: there is no such colour.
    """
    code = COLOR + _color_number(fg)
    if bg is not None:
        code += "," + _color_number(bg)
    elif text.startswith(","):
        code += _NOTHING
    return code + text + COLOR + _NOTHING


def _color_number(color: str | int) -> str:
    number = COLORS.get(color, -1) if isinstance(color, str) else color
    if not 0 <= number <= 98:
        raise ValueError(f"no such colour: {color!r}; names: {', '.join(COLORS)}; numbers: 0 to 98")
    return f"{number:02}"


def strip(text: str) -> str:
    """Return `text` without any formatting."""
    return _CODE.sub("", text)


def lines(text: str) -> list[str]:
    """Split at line ends, leave out blank lines, and make each of the others fit to be sent.

    NUL becomes a space, and so does the sign that would turn a text into a CTCP command; half a surrogate pair, which
    has no UTF-8, becomes U+FFFD.
    """
    text = _SURROGATE.sub("\ufffd", _UNSENDABLE.sub(" ", text))
    return [line for line in _LINE_END.split(text) if line.strip(" ")]


def split(text: str, max_bytes: int) -> list[str]:
    """Cut a line into pieces of at most `max_bytes` bytes of UTF-8.

    Cuts at a space (which is left out), else between two graphemes, else between two code points; never inside a
    colour code. What is bold or coloured at a cut is so again in the next piece.

    Args:
        text: one line without surrogates, as `lines` gives it.
        max_bytes: less than 4, which not every code point fits, counts as 4.
    """
    max_bytes = max(max_bytes, 4)
    if len(text) <= max_bytes and len(_bytes(text)) <= max_bytes:
        return [text]
    pieces = []
    style = _Style()
    start = 0
    while start < len(text):
        opening = style.opening(text, start)
        if len(opening) > max_bytes - 4:  # no room for codes and a letter: the letter counts
            opening = ""
        end, resume = _cut(text, start, max_bytes - len(opening))
        body = text[start:end]
        if strip(body).strip(" "):
            pieces.append(opening + body)
        style.read(text[start:resume])
        start = resume
    return pieces


class _Style:
    """What is switched on at a place in a text."""

    __slots__ = ("background", "foreground", "introducer", "toggles")

    def __init__(self) -> None:
        self.toggles: dict[str, None] = {}  # a set that keeps its order
        self.introducer = self.foreground = self.background = ""

    def read(self, text: str) -> None:
        """Go on over `text`, which begins and ends outside of a code."""
        for code in _CODE.findall(text):
            sign = code[0]
            if sign in _TOGGLES:
                if sign in self.toggles:
                    del self.toggles[sign]
                else:
                    self.toggles[sign] = None
            elif sign == RESET or len(code) == 1:
                self.introducer = self.foreground = self.background = ""
                if sign == RESET:
                    self.toggles.clear()
            else:
                if sign != self.introducer:
                    self.background = ""
                foreground, _, background = code[1:].partition(",")
                self.introducer, self.foreground = sign, foreground
                self.background = background or self.background

    def opening(self, text: str, start: int) -> str:
        """Return the codes that bring the style back before `text[start:]`."""
        color = ""
        if self.introducer:
            color = self.introducer + self.foreground.zfill(2)
            if self.background:
                color += "," + self.background.zfill(2)
            elif text[start] == ",":
                color += _NOTHING
        return "".join(self.toggles) + color


def _cut(text: str, start: int, budget: int) -> tuple[int, int]:
    """Return where the piece that begins at `start` ends, and where the next begins."""
    window = text[start : start + budget]
    end = start + len(_bytes(window)[:budget].decode("utf-8", "ignore"))
    if end == len(text):
        return end, end
    # A space right behind the room counts as well: the word before it fits.
    space = text.rfind(" ", start, end + 1)
    if space < 0:
        border = _border(text, start, end)
        return border, border
    resume = space
    while resume < len(text) and text[resume] == " ":
        resume += 1
    return start + len(text[start:space].rstrip(" ")), resume


def _bytes(text: str) -> bytes:
    """Return UTF-8; a lone surrogate, which `lines` would have replaced, counts but never raises."""
    return text.encode("utf-8", "replace")


def _border(text: str, start: int, end: int) -> int:
    """Return the last place not behind `end` where a word without spaces may be cut; always behind `start`."""
    for code in _CODE.finditer(text, max(start, end - _LONGEST_CODE), end + _LONGEST_CODE):
        if start < code.start() < end < code.end():
            return code.start()
    for place in range(end, max(start, end - _LONGEST_CLUSTER), -1):
        if not _belongs(text, place):
            return place
    return end


def _belongs(text: str, place: int) -> bool:
    """Tell whether the code points on both sides of a place are drawn as one."""
    before, after = text[place - 1], text[place]
    if after.isascii() and before.isascii():
        return False
    if "\u200d" in (before, after) or after in _EXTENDING or unicodedata.category(after).startswith("M"):
        return True
    if before in _VIRAMAS and unicodedata.category(after) == "Lo":  # a conjunct of Indic scripts
        return True
    if _is_jamo(after):  # Hangul in parts, as some systems write it
        return "\u1160" <= after <= "\u11ff" or after >= "\ud7b0" or (_is_jamo(before) and not _ends_syllable(before))
    if "\U0001f3fb" <= after <= "\U0001f3ff" or "\U000e0020" <= after <= "\U000e007f":  # skin tones, tags of flags
        return True
    if _is_regional(before) and _is_regional(after):  # flags are pairs, so it depends on how many stand before
        first = place
        while first > 0 and place - first < _LONGEST_CLUSTER and _is_regional(text[first - 1]):
            first -= 1
        return (place - first) % 2 == 1
    return False


def _is_jamo(char: str) -> bool:
    return "\u1100" <= char <= "\u11ff" or "\ua960" <= char <= "\ua97c" or "\ud7b0" <= char <= "\ud7fb"


def _ends_syllable(char: str) -> bool:
    """Tell whether a part of Hangul can't begin a syllable: one that does follows it only in the next."""
    return "\u1160" <= char <= "\u11ff" or "\ud7b0" <= char <= "\ud7fb"


def _is_regional(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"
