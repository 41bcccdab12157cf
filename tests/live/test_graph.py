"""bot/live/graph.py: who imports whom, and what is built together. `edges` draws the graph: who -> what it imports."""

from __future__ import annotations

import ast
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sources import unit

from bot.live.graph import Group, closure, groups, imported_units


def imports(text: str, module: str = "weather", part: str = "") -> set[str]:
    made = unit(module, text, **({part: text} if part else {}))
    source = made.sources[f"plugins.{module}.{part}" if part else f"plugins.{module}"]
    return imported_units(ast.parse(text), source)


def edges(drawn: str) -> dict[str, set[str]]:
    """`a -> b c; d` is a that imports b and c, and d that imports nothing."""
    found: dict[str, set[str]] = {}
    for part in drawn.split(";"):
        who, _, what = part.partition("->")
        found[who.strip()] = set(what.split())
    return found


# --- reading imports


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("import plugins._common", {"_common"}),
        ("import plugins._common as c, os", {"_common"}),
        ("import plugins.pkg.part", {"pkg"}),
        ("from plugins import _common, other", {"_common", "other"}),
        ("from plugins._common import x", {"_common"}),
        ("from plugins.pkg.part import x", {"pkg"}),
        ("from . import _common", {"_common"}),
        ("from ._common import x", {"_common"}),
        ("from .pkg.part import x", {"pkg"}),
        ("def f():\n    import plugins._common", {"_common"}),
        ("class C:\n    def f(self):\n        from ._common import x", {"_common"}),
        ("try:\n    from ._fast import x\nexcept ImportError:\n    from ._slow import x", {"_fast", "_slow"}),
        ("import os, json; from bot import command", set()),
        ("import plugins", set()),
        ("import pluginsx.a", set()),
        ("from .. import _common", set()),
        ("from plugins import weather", set()),
        ("import plugins.weather", set()),
    ],
)
def test_the_units_a_plugin_imports(text: str, units: set[str]) -> None:
    assert imports(text) == units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("from . import other", set()),
        ("from .other import x", set()),
        ("from .. import _common", {"_common"}),
        ("from .._common import x", {"_common"}),
        ("from ... import x", set()),
    ],
)
def test_a_part_of_a_package_counts_from_where_it_stands(text: str, units: set[str]) -> None:
    assert imports(text, "pkg", "part") == units


def test_the_init_of_a_package_counts_from_within_it() -> None:
    made = unit("pkg", "from . import part; from .. import _common", part="")
    tree = ast.parse(made.sources["plugins.pkg"].content)
    assert imported_units(tree, made.sources["plugins.pkg"]) == {"_common"}


# --- closure


@pytest.mark.parametrize(
    ("graph", "dirty", "reached"),
    [
        ("a -> c; b -> c; c", "c", "a b c"),
        ("a -> c; b -> c; c", "a", "a"),
        ("a -> b; b -> c; c", "c", "a b c"),
        ("a -> b; b -> a", "a", "a b"),
        ("a; b", "a", "a"),
        ("a -> gone", "gone", "a gone"),
        ("a -> a", "a", "a"),
        ("a -> b; b; c -> d; d", "b d", "a b c d"),
        ("a", "", ""),
    ],
)
def test_all_that_import_a_dirty_unit_are_reached(graph: str, dirty: str, reached: str) -> None:
    assert closure(dirty.split(), edges(graph)) == set(reached.split())


# --- groups


def grouped(graph: str, units: str = "", gone: str = "") -> list[str]:
    drawn = edges(graph)
    return [" ".join(group.units) for group in groups(units.split() or list(drawn), drawn, gone.split())]


@pytest.mark.parametrize(
    ("graph", "found"),
    [
        ("a; b; c", ["a", "b", "c"]),
        ("a -> b; b; c", ["b a", "c"]),
        ("a -> c; b -> c; c; d", ["c a b", "d"]),
        ("a -> b; b -> c; c", ["c b a"]),
        ("b -> a; a -> c; c", ["c a b"]),
        ("a -> _x; b -> _y; _x; _y", ["_x a", "_y b"]),
        ("a -> elsewhere; b -> elsewhere", ["a", "b"]),
    ],
)
def test_groups_are_connected_by_imports_and_ordered_by_them(graph: str, found: list[str]) -> None:
    assert sorted(grouped(graph)) == sorted(found)


def test_units_that_are_not_to_be_built_connect_nothing() -> None:
    assert grouped("a -> c; b -> c; c", "a b") == ["a", "b"]


def test_a_circle_is_one_group() -> None:
    (group,) = groups(["a", "b", "c"], edges("a -> b; b -> c; c -> a"))
    assert set(group.units) == {"a", "b", "c"}


def test_a_group_knows_which_of_its_members_are_gone() -> None:
    assert groups(["a", "b", "c"], edges("a -> b; b; c"), {"b"}) == [Group(("b", "a"), frozenset({"b"})), Group(("c",))]


def test_a_chain_of_a_thousand_needs_no_recursion() -> None:
    chain = {f"p{number}": {f"p{number + 1}"} for number in range(1000)} | {"p1000": set[str]()}
    (group,) = groups(chain, chain)
    assert group.units == tuple(f"p{number}" for number in reversed(range(1001)))


GRAPHS = st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefgh"), max_size=3))


@given(GRAPHS)
def test_every_unit_is_in_exactly_one_group(graph: Mapping[str, set[str]]) -> None:
    found = [name for group in groups(graph, graph) for name in group.units]
    assert sorted(found) == sorted(graph)


@given(GRAPHS)
def test_nobody_imports_from_another_group(graph: Mapping[str, set[str]]) -> None:
    for group in groups(graph, graph):
        for name in group.units:
            assert graph[name] & graph.keys() <= set(group.units)


@given(GRAPHS.map(lambda graph: {name: {other for other in found if other > name} for name, found in graph.items()}))
def test_without_circles_what_is_imported_comes_first(graph: Mapping[str, set[str]]) -> None:
    for group in groups(graph, graph):
        for place, name in enumerate(group.units):
            assert graph[name] & graph.keys() <= set(group.units[:place])


@given(GRAPHS)
def test_the_closure_of_a_closure_is_itself(graph: Mapping[str, set[str]]) -> None:
    once = closure(list(graph)[:2], graph)
    assert closure(once, graph) == once
