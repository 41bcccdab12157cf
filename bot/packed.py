"""Values as bytes, for another process of this bot; nothing can run when they are read.

Pickle, cut down to plain values: containers, text, numbers, bytes, dates and their like, in any nesting, the same
object in two places and circles included. What is of any other class, a plugin's dataclass say, can't be packed: its
class belongs to one version of one plugin in one process.
"""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import io
import ipaddress
import pathlib
import pickle
import types
import uuid
import zoneinfo
from typing import Any, Final

MAX_BYTES: Final = 16 << 20  # of one value

_CLASSES: Final = (
    *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice),
    *(collections.OrderedDict, collections.defaultdict, collections.Counter, collections.deque),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
    *(zoneinfo.ZoneInfo, decimal.Decimal, fractions.Fraction, uuid.UUID, types.SimpleNamespace),
    *(pathlib.PosixPath, pathlib.PurePosixPath, pathlib.WindowsPath, pathlib.PureWindowsPath),
    *(ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network),
)
_ALLOWED: Final = {(each.__module__, each.__qualname__): each for each in _CLASSES}
# pathlib has moved in Python 3.13 and moved back in 3.14; each may read what another has written.
_ALLOWED.update({("pathlib._local", each.__qualname__): each for each in _CLASSES if "pathlib" in each.__module__})


class CannotPack(Exception):
    """A value holds something that is not plain, or more than MAX_BYTES; or bytes are no packed value."""


class _Packer(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        """Asked for everything that pickle does not write by itself."""
        if isinstance(value, type):
            if value not in _CLASSES:
                raise CannotPack(f"the class {value.__qualname__}")
        elif isinstance(value, zoneinfo.ZoneInfo) and value.key:
            return zoneinfo.ZoneInfo, (value.key,)  # its own way is by a function
        elif type(value) not in _CLASSES:
            raise CannotPack(f"an object of the class {type(value).__qualname__}")
        return NotImplemented


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Give plain classes, and nothing else that a name could mean."""
        found = _ALLOWED.get((module, name))
        if found is None:
            raise CannotPack(f"{module}.{name} is not plain")
        return found


def pack(value: object, max_bytes: int = MAX_BYTES) -> bytes:
    """Return a value as bytes.

    Raises:
        CannotPack: says what in it is not plain.
    """
    file = io.BytesIO()
    try:
        _Packer(file, protocol=5).dump(value)
    except CannotPack:
        raise
    except Exception as error:  # changed by a thread meanwhile, nested too deeply
        raise CannotPack(f"{type(error).__name__}: {error}") from error
    if file.tell() > max_bytes:
        raise CannotPack(f"{file.tell() >> 20} MiB, and {max_bytes >> 20} are the limit")
    raw = file.getvalue()
    unpack(raw)  # what can't be read is found here, where it can be told
    return raw


def unpack(raw: bytes) -> Any:
    """Return the value that was packed.

    Raises:
        CannotPack: it can't be read.
    """
    try:
        return _Reader(io.BytesIO(raw)).load()
    except CannotPack:
        raise
    except Exception as error:
        raise CannotPack(f"{type(error).__name__}: {error}") from error
