"""Lines that were meant for one connection, made fit for another: without tags and batches.

A part of the keeper (standard library only); the worker uses it for what waits on its side. Which tags a server takes,
and whether it takes several lines as one message, is agreed on anew on each connection; a label would answer nobody.
What waits for the next one is said there in the plainest way, which every server takes.

Several lines that leave together are parted by CR, as in a `batch` frame; lines that leave one after another by LF.
"""

from __future__ import annotations

import re

_FRAMED = re.compile(rb"(?:@[^ ]* +)?BATCH ")
_APART = re.compile(rb"[\r\n]")
_TAGS = re.compile(rb"@[^ ]* +")


def bare(lines: bytes) -> bytes:
    """Return lines as they may leave on any connection, each by itself."""
    plain = [_TAGS.sub(b"", line, count=1) if line[:1] == b"@" else line for line in _APART.split(lines)]
    return b"\n".join(line for line in plain if not line.startswith(b"BATCH "))


def in_turn(lines: bytes) -> bytes:
    """Return lines as they leave: if BATCH frames them together, so that not even a PONG comes between; else apart."""
    return lines if _FRAMED.match(lines) else lines.replace(b"\r", b"\n")
