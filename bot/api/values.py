"""The values that a store holds: JSON, checked on the way in, read-only on the way out.

What is written reads back equal, or is refused with the place in the value and what to write instead; so a tuple is
refused rather than turned into a list. What is read is a fresh decoded copy: changing it would change nothing on
disk, hence the views refuse and name the way that works. They are a dict and a list in all else: equality, `json`,
`isinstance`, `|`.

JSON: RFC 8259, as the standard library's `json` writes it, without NaN and infinity.
"""

from __future__ import annotations

import enum
import json
import math
from typing import Any, Final

MAX_DEPTH: Final = 100  # of lists within lists; the JSON encoder itself gives up at the interpreter's recursion limit
MAX_BITS: Final = 10_000  # of a whole number, about 3,000 digits; Python refuses to read back 4,300


def encode(value: Any) -> str:
    """JSON text of a value that reads back equal.

    Raises:
        TypeError: it would not; says where in the value, and what to write instead.
    """
    _check(value, "the value", 0)
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


# What people store that is not JSON, and what to write instead.
_INSTEAD: Final[tuple[tuple[type | tuple[type, ...], str], ...]] = (
    (tuple, "write list(...)"),
    ((set, frozenset), "write sorted(...)"),
    (bytes, "write it as text, .hex() say"),
    (enum.Enum, "write its .value"),
)


def _check(value: Any, where: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise TypeError(f"{where} lies over {MAX_DEPTH} lists and dicts deep, or holds itself")
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return
    if kind is int:
        if value.bit_length() > MAX_BITS:
            raise TypeError(f"{where} is a whole number of over {MAX_BITS} bits")
    elif kind is float:
        if not math.isfinite(value):
            raise TypeError(f"{where} is {value}, which JSON can't hold")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _check(part, f"{where}[{index}]", depth + 1)
    elif isinstance(value, dict):
        for key, part in value.items():
            if type(key) is not str:
                raise TypeError(f"{where} has the key {key!r}; keys are text: write str(...)")
            _check(part, f"{where}[{key!r}]", depth + 1)
    else:
        instead = next((words for types, words in _INSTEAD if isinstance(value, types)), "store its parts")
        raise TypeError(f"{where} is {kind.__name__}; a store holds JSON (dict, list, str, numbers, None): {instead}")


def _refuse(*_: Any, **__: Any) -> Any:
    raise TypeError(
        "what a store gives is read-only; to change it, `with points.edit(key) as value: ...`, or assign a changed "
        "copy: `value = points[key].copy()`"
    )


def _thawed(value: Any, _memo: object = None) -> Any:
    if isinstance(value, ReadOnlyDict):
        return {key: _thawed(part) for key, part in value.items()}
    return [_thawed(part) for part in value] if isinstance(value, ReadOnlyList) else value


class ReadOnlyDict(dict[str, Any]):
    """A dict as read from a store; equal to a plain one, encodes like one; `copy()` gives a plain one, all through."""


class ReadOnlyList(list[Any]):
    """The same for a list."""


_CHANGES: Final[dict[type, str]] = {
    ReadOnlyDict: "__setitem__ __delitem__ __ior__ clear pop popitem setdefault update",
    ReadOnlyList: "__setitem__ __delitem__ __iadd__ __imul__ append clear extend insert pop remove reverse sort",
}
for _class, _methods in _CHANGES.items():
    for _method in _methods.split():
        setattr(_class, _method, _refuse)
    for _method in ("copy", "__copy__", "__deepcopy__"):
        setattr(_class, _method, _thawed)
    # Pickled as the plain value: what unpickles fills it item by item, which a read-only one refuses.
    setattr(_class, "__reduce_ex__", lambda self, _: (type(self).__mro__[1], (_thawed(self),)))  # noqa: B010


def frozen(value: Any) -> Any:
    """A read-only view of a decoded JSON value; it owns `value` from here on."""
    if type(value) is dict:
        return ReadOnlyDict((key, frozen(part)) for key, part in value.items())
    return ReadOnlyList(map(frozen, value)) if type(value) is list else value
