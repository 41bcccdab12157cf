"""modes.py: each letter gets the argument that is its own."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.protocol.isupport import Isupport
from bot.protocol.modes import ModeChange, parse_modes

ISUPPORT = Isupport()
ISUPPORT.apply(["PREFIX=(qov)~@+", "CHANMODES=be,k,lj,mnt"])


def written(*params: str) -> list[str]:
    """`+o alice` for each change, without the argument where there is none."""
    return [
        f"{change.sign}{change.mode}" + (f" {change.argument}" if change.argument is not None else "")
        for change in parse_modes(params, ISUPPORT)
    ]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (("+o", "alice"), ["+o alice"]),
        (("+ov-b", "a", "b", "*!*@c"), ["+o a", "+v b", "-b *!*@c"]),
        (("+mlk-t", "5", "key"), ["+m", "+l 5", "+k key", "-t"]),
        (("-lk", "key"), ["-l", "-k key"]),
        (("o", "alice"), ["+o alice"]),
        (("+-+-n",), ["-n"]),
        (("+Zo", "alice"), ["+Z", "+o alice"]),
        (("+b",), ["+b"]),
        (("+ooo", "a"), ["+o a", "+o", "+o"]),
        (("+n", "left", "over"), ["+n"]),
        (("",), []),
        ((), []),
    ],
)
def test_changes(params: tuple[str, ...], expected: list[str]) -> None:
    assert written(*params) == expected


def test_a_missing_argument_is_none() -> None:
    assert parse_modes(("+o",), ISUPPORT) == [ModeChange("+", "o", None)]


@given(st.lists(st.text(), max_size=5))
@settings(deadline=None, max_examples=100)
def test_nothing_raises(params: list[str]) -> None:
    for change in parse_modes(params, ISUPPORT):
        assert change.sign in ("+", "-")
        assert len(change.mode) == 1
