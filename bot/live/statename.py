"""What a plugin's source says of its state: under which name, and in which version. Read from the syntax tree, since
both must be known before the plugin is executed."""

from __future__ import annotations

import ast
from typing import NamedTuple

from bot.errors import PluginError
from bot.live.discover import Source, Unit


class State(NamedTuple):
    """What a plugin's source says of its state, `STATE_NAME` and `STATE_VERSION`, known without executing it."""

    name: str
    version: int = 1


def state_of(tree: ast.Module, unit: Unit, source: Source) -> State:
    """Read the top of a plugin's main module.

    Raises:
        PluginError: the version is no whole number that could be read.
    """
    name, version = unit.name, 1
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names = {target.id for target in targets if isinstance(target, ast.Name)}
        given = node.value if isinstance(node, ast.Assign | ast.AnnAssign) else None
        value = given.value if isinstance(given, ast.Constant) else None
        if "STATE_NAME" in names and isinstance(value, str):
            name = value
        if "STATE_VERSION" in names:
            if type(value) is not int or value < 1:
                why = "STATE_VERSION must be a whole number from 1, written as such: it is read before the file runs"
                raise PluginError(unit.name, source.shown, node.lineno, why)
            version = value
    return State(name, version)
