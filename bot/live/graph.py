"""Who imports whom, and what has to be built again together. Pure: units in, groups out.

The edges are read from the syntax tree, so an import inside a function counts as well. A unit is dirty while the disk
differs from what is live; all that imports a dirty unit, over any number of steps, is built with it. What is built
falls into groups that are connected by imports: each group goes live as a whole or stays old as a whole.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bot.live.discover import PACKAGE, Source


@dataclass(frozen=True, slots=True)
class Group:
    """Units that are built and committed together, in the order of their imports; `gone` ones are taken away."""

    units: tuple[str, ...]
    gone: frozenset[str] = frozenset()


def imported_units(tree: ast.AST, source: Source) -> set[str]:
    """Return the names of the units that one module's source imports anywhere in it."""
    found: set[str] = set()
    package = source.module.split(".") if source.is_package else source.module.split(".")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found |= _unit_of(alias.name.split("."))
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            if node.level and not base:
                continue  # beyond the top: the import will say so itself
            parts = [*base, *(node.module.split(".") if node.module else [])]
            if parts == [PACKAGE]:  # from . import _common; from plugins import _common
                for alias in node.names:
                    found |= _unit_of([PACKAGE, alias.name])
            else:
                found |= _unit_of(parts)
    found.discard(source.module.split(".")[1])
    return found


def _unit_of(parts: list[str]) -> set[str]:
    return {parts[1]} if len(parts) > 1 and parts[0] == PACKAGE else set()


def closure(dirty: Iterable[str], edges: Mapping[str, Collection[str]]) -> set[str]:
    """Return the dirty units and all that import them, over any number of steps. `edges[a]` is what a imports."""
    importers: dict[str, set[str]] = {}
    for unit, imports in edges.items():
        for imported in imports:
            importers.setdefault(imported, set()).add(unit)
    reached, todo = set[str](), list(dirty)
    while todo:
        unit = todo.pop()
        if unit not in reached:
            reached.add(unit)
            todo += importers.get(unit, ())
    return reached


def groups(units: Collection[str], edges: Mapping[str, Collection[str]], gone: Collection[str] = ()) -> list[Group]:
    """Split units into groups connected by imports, each ordered so that what is imported comes first."""
    neighbours: dict[str, set[str]] = {unit: set() for unit in units}
    for unit in units:
        for imported in edges.get(unit, ()):
            if imported in neighbours:
                neighbours[unit].add(imported)
                neighbours[imported].add(unit)
    found, left = [], set(units)
    for first in sorted(units):
        if first not in left:
            continue
        members, todo = set[str](), [first]
        while todo:
            unit = todo.pop()
            if unit not in members:
                members.add(unit)
                todo += neighbours[unit]
        left -= members
        found.append(Group(_ordered(members, edges), frozenset(members & set(gone))))
    return found


def _ordered(members: set[str], edges: Mapping[str, Collection[str]]) -> tuple[str, ...]:
    order: list[str] = []
    visited: set[str] = set()

    def visit(unit: str) -> None:
        stack = [(unit, iter(sorted(members.intersection(edges.get(unit, ())))))]
        visited.add(unit)
        while stack:
            name, imports = stack[-1]
            step = next((one for one in imports if one not in visited), None)
            if step is None:
                order.append(name)
                stack.pop()
            else:
                visited.add(step)
                stack.append((step, iter(sorted(members.intersection(edges.get(step, ()))))))

    for unit in sorted(members):
        if unit not in visited:
            visit(unit)
    return tuple(order)
