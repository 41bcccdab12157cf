"""What the bot and its trial processes say to each other: marshalled tuples in frames, over a socket or a pipe.

    mark (2 bytes)   length (4)   CRC-32 of the value (4)   the value, marshalled

Marshal, since code objects have to be carried, and since nothing is imported to read it. It is no format for what
strangers send; here both ends are the same program, and a plugin has all the bot's rights. The mark and the sum are
against accidents: a plugin that writes to, or closes, descriptors that it does not know.
"""

from __future__ import annotations

import marshal
import struct
import zlib
from asyncio import StreamReader
from typing import Any, Protocol

_HEAD = struct.Struct(">2sII")
_MARK = b"nq"
HEAD_BYTES = _HEAD.size


class File(Protocol):
    """What can be read in exact pieces, shorter only at its end."""

    def read(self, length: int, /) -> bytes: ...


class Garbled(Exception):
    """Something that is no frame came out of the socket."""


def frame(*message: Any) -> bytes:
    """Return a message as bytes.

    Raises:
        ValueError: a value that marshal does not know.
    """
    value = marshal.dumps(message)
    return _HEAD.pack(_MARK, len(value), zlib.crc32(value)) + value


def split_head(head: bytes) -> tuple[int, int]:
    """Return (length, sum) of the value that follows.

    Raises:
        Garbled: no head of a frame.
    """
    mark, length, crc = _HEAD.unpack(head)
    if mark != _MARK:
        raise Garbled
    return length, crc


def value_of(value: bytes, crc: int) -> tuple[Any, ...]:
    """Return the message in a frame.

    Raises:
        Garbled: it is not what was sent.
    """
    if zlib.crc32(value) != crc:
        raise Garbled
    message: tuple[Any, ...] = marshal.loads(value)
    return message


async def read(reader: StreamReader) -> tuple[Any, ...]:
    """Wait for the next message.

    Raises:
        EOFError: the other end is gone. Garbled: what came is no frame.
    """
    length, crc = split_head(await reader.readexactly(HEAD_BYTES))  # an IncompleteReadError is an EOFError
    return value_of(await reader.readexactly(length), crc)


def receive(file: File) -> tuple[Any, ...]:
    """Wait for the next message, blocking.

    Raises:
        EOFError: the other end is gone. Garbled: what came is no frame.
    """
    head = file.read(HEAD_BYTES)
    if len(head) < HEAD_BYTES:
        raise EOFError
    length, crc = split_head(head)
    value = file.read(length)
    if len(value) < length:
        raise EOFError
    return value_of(value, crc)
