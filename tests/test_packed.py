"""bot/packed.py: plain values there and back, and nothing else."""

from __future__ import annotations

import array
import collections
import datetime
import decimal
import enum
import fractions
import ipaddress
import os
import pathlib
import pickle
import re
import types
import uuid
import zoneinfo
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.packed import CannotPack, pack, unpack


@dataclass
class Town:
    name: str


class Level(enum.IntEnum):
    LOW = 1


class Named(dict[str, int]):
    pass


def kind(value: object) -> str:
    return value if isinstance(value, str) else type(value).__name__


atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    atoms,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple) | st.sets(atoms),
)


@given(values)
def test_plain_values_come_back_as_they_were(value: object) -> None:
    back = unpack(pack(value))
    assert back == value and type(back) is type(value)


@pytest.mark.parametrize(
    "value",
    [
        *(datetime.datetime(2024, 7, 1, tzinfo=datetime.UTC), datetime.date(2024, 2, 29), datetime.timedelta(1, 2, 3)),
        datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("UTC")),
        *(collections.Counter("aab"), collections.OrderedDict(b=1, a=2), collections.deque([1, 2], 2)),
        *(collections.defaultdict(list, {"a": [1]}), types.SimpleNamespace(a=1), range(3), bytearray(b"x"), 2j),
        *(uuid.UUID(int=7), decimal.Decimal("1.20"), fractions.Fraction(1, 3), pathlib.PurePosixPath("/x")),
        *(ipaddress.ip_address("192.0.2.1"), ipaddress.ip_network("2001:db8::/32")),
    ],
    ids=kind,
)
def test_so_do_those_of_the_standard_library_that_only_hold_something(value: object) -> None:
    back = unpack(pack(value))
    assert back == value and type(back) is type(value)


def test_what_is_the_same_object_stays_the_same_in_circles_too() -> None:
    inner: list[object] = [1]
    inner.append(inner)
    back = unpack(pack({"a": inner, "b": inner}))
    assert back["a"] is back["b"] and back["a"][1] is back["a"]


def test_a_deque_and_a_default_dict_keep_their_ways() -> None:
    assert unpack(pack(collections.deque([1], 3))).maxlen == 3
    assert unpack(pack(collections.defaultdict(list)))["new"] == []


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Town("Paris"), "an object of the class Town"),
        ({"x": [Town("Paris")]}, "an object of the class Town"),
        (Level.LOW, "an object of the class Level"),
        (Named(a=1), "an object of the class Named"),
        (Town, "the class Town"),
        (os.system, "an object of the class builtin_function_or_method"),
        (collections.defaultdict(lambda: 1), "an object of the class function"),
        (re.compile("x"), "an object of the class Pattern"),
        (array.array("b"), "an object of the class array"),
        ((each for each in ()), "an object of the class generator"),
    ],
    ids=kind,
)
def test_what_is_not_plain_is_named(value: object, words: str) -> None:
    with pytest.raises(CannotPack, match=re.escape(words)):
        pack(value)


def test_what_is_too_deep_or_too_large_is_an_error_of_ours_too() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(CannotPack):
        pack(deep)
    with pytest.raises(CannotPack, match="2 MiB, and 1 are the limit"):
        pack(bytes(2 << 20), 1 << 20)


class Evil:
    """What somebody would write who wants to have something run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("false",)


@pytest.mark.parametrize(
    "raw", [pickle.dumps(Evil()), pickle.dumps(Town("x")), b"", b"cos\nsystem\n(S'x'\ntR.", b"junk"]
)
def test_nothing_runs_when_bytes_of_another_origin_are_read(raw: bytes) -> None:
    with pytest.raises(CannotPack):
        unpack(raw)
