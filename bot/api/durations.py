"""Lengths of time as people write them: `5m`, `1h30m`, `2w`, `1d2h`, `1.5h`, `90` (seconds).

Read by `@every`, `ctx.schedule`, limits and the reminder plugin. Points in time and phrases («tomorrow at nine») are
not the concern of this file.
"""

from __future__ import annotations

import math
import re
from typing import Final

# Months and years have no length, so they have no letter here.
SECONDS_PER_UNIT: Final = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
LONGEST_SECONDS: Final = 100 * 365 * 86_400  # a hundred years: beyond it a slip of the key is likelier than a plan

_PART: Final = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{0,9})?)\s*([a-z]*)", re.ASCII)
_NAMES: Final = {
    name: SECONDS_PER_UNIT[name[0]]
    for name in (
        "w week weeks d day days h hr hrs hour hours m min mins minute minutes s sec secs second seconds".split()  # noqa: SIM905
    )
}


def parse_duration(text: str | float) -> float:
    """Seconds of `1h30m`, `2 weeks`, `90s`, or of a plain number of seconds.

    Units go from large to small, each at most once.

    Raises:
        ValueError: it is no length of time, is zero or negative, or is over a hundred years; the text is a sentence.
    """
    seconds = _seconds(text) if isinstance(text, str) else float(text)
    if not math.isfinite(seconds) or seconds <= 0:
        raise ValueError(f"a length of time is more than nothing, not `{text}`")
    if seconds > LONGEST_SECONDS:
        raise ValueError(f"`{text}` is longer than a hundred years")
    return seconds


def _seconds(text: str) -> float:
    rest, total, last = text.strip().lower(), 0.0, math.inf
    if not rest or len(rest) > 100:
        raise _unreadable(text)
    while rest:
        part = _PART.match(rest)
        if part is None:
            raise _unreadable(text)
        number, name = part.groups()
        if not name and (part.end() != len(rest) or last != math.inf):
            raise _unreadable(text)
        unit = _NAMES.get(name or "s")
        if unit is None:
            raise ValueError(f"`{name[:20]}` is no unit of time; there are w, d, h, m and s, as in 1h30m")
        if unit >= last:
            raise ValueError(f"`{text}` is not in order; write large units first and each once, as in 1h30m")
        total, last, rest = total + float(number) * unit, unit, rest[part.end() :].strip()
    return total


def _unreadable(text: str) -> ValueError:
    return ValueError(f"`{text[:40]}` is no length of time; write it as 90s, 5m, 1h30m or 2w")


def format_duration(seconds: float) -> str:
    """Write a length of time for people, in its two largest units: `1 d 2 h`, `10 min`, `5 s`."""
    left = round(seconds)
    parts = []
    for name, length in (("w", 604_800), ("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, left = divmod(left, length)
        if number:
            parts.append(f"{number} {name}")
        if len(parts) == 2:
            break
    return " ".join(parts) or "0 s"
