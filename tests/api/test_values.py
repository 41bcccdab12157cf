"""bot/api/values.py: JSON values, checked when written, read-only when read."""

from __future__ import annotations

import copy
import enum
import json
import pickle
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.values import encode, frozen

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


class Colour(enum.IntEnum):
    RED = 1


@given(JSON)
def test_what_is_written_reads_back_equal(value: Any) -> None:
    read = frozen(json.loads(encode(value)))
    assert read == value
    assert encode(read) == encode(value)


@given(JSON)
def test_a_copy_is_plain_all_through(value: Any) -> None:
    for plain in (copy.deepcopy(frozen(json.loads(encode(value)))), pickle.loads(pickle.dumps(frozen(value)))):
        assert plain == value
        assert "ReadOnly" not in repr([type(part) for part in parts(plain)])


def parts(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [value] + [part for item in inner for part in parts(item)]


def self_holding() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, (2, 3)]}, r"the value\['a'\]\[1\] is tuple; .*: write list\(\.\.\.\)"),
        ({1, 2}, r"the value is set; .*: write sorted\(\.\.\.\)"),
        (b"x", r"the value is bytes; .*\.hex\(\)"),
        (Colour.RED, r"the value is Colour; .*write its \.value"),
        (object(), "the value is object; a store holds JSON .*: store its parts"),
        ({1: 2}, r"the value has the key 1; keys are text: write str\(\.\.\.\)"),
        ([float("nan")], r"the value\[0\] is nan, which JSON can't hold"),
        (float("inf"), "the value is inf"),
        ([1 << 12_000], r"the value\[0\] is a whole number of over 10000 bits"),
        (self_holding(), "over 100 lists and dicts deep, or holds itself"),
    ],
)
def test_what_is_not_json_is_refused_with_its_place_and_the_way_out(value: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        encode(value)


def test_subclasses_of_dict_are_dicts() -> None:
    assert encode(defaultdict(int, a=1)) == '{"a":1}'


def test_a_view_refuses_each_change_and_names_the_way() -> None:
    view = frozen({"names": ["x"], "deep": {"er": {}}})

    def ior() -> None:
        nonlocal view
        view |= {"a": 1}

    changes = [
        lambda: view.update(a=1),
        lambda: view.pop("names"),
        lambda: view.setdefault("a", 1),
        lambda: view["names"].append("y"),
        lambda: view["names"].sort(),
        lambda: view["names"].__iadd__(["y"]),
        lambda: view["names"].__setitem__(0, "y"),
        lambda: view["deep"]["er"].__setitem__("a", 1),
        lambda: view.clear(),
        ior,
    ]
    for change in changes:
        with pytest.raises(TypeError, match=r"read-only; to change it, `with points\.edit\(key\) as value"):
            change()
    assert view == {"names": ["x"], "deep": {"er": {}}}


def test_every_method_that_changes_a_dict_or_list_is_refused() -> None:
    """Python may grow new ones."""
    harmless = {"__init__", "__class__", "__setattr__", "__delattr__", "__init_subclass__", "__setstate__"}
    for view in (frozen({"b": 1, "a": 2}), frozen([2, 1])):
        before = repr(view)
        for name in set(dir(type(view).__mro__[1])) - harmless:
            for arguments in ((), (0,), ("a",), ("a", 1), ([3],), ({"c": 1},)):
                try:
                    getattr(view, name)(*arguments)
                except (TypeError, ValueError, KeyError, IndexError, AttributeError):
                    pass
        assert repr(view) == before


def test_a_view_is_a_dict_or_list_to_everyone_else() -> None:
    view = frozen({"a": [1]})
    assert isinstance(view, dict)
    assert json.dumps(view) == '{"a": [1]}'
    assert view | {"b": 2} == {"a": [1], "b": 2}
    assert view["a"] + [2] == [1, 2]
