"""docs/plugins.md, «What can go wrong with reload»: every line that a reload can say stands there with its words.

The lines are read from the source: every text with a blank in it, in the files that speak, that is neither a docstring
nor said to the log alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import bot

ROOT = Path(bot.__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
CHAPTER = re.search(r"\n## What can go wrong with reload\n(.*?)(?=\n## |\Z)", PAGE, re.DOTALL)
SHORTEST = 12  # letters: what is shorter is only a part of a line

FILES = (
    *("attempt", "carry", "declared", "discover", "drift", "handoff", "installed", "loader", "outcome", "past"),
    *("probation", "reload", "report", "start", "state", "statename", "trial", "watcher"),
)
NO_LINES = {
    "trial.py": {'File "(.+?)", line (\\d+) in'},  # read, not said
    "installed.py": {"import __doc__", "import migrate"},  # the source of a page of ours
}


def texts(tree: ast.AST) -> Iterator[ast.expr]:
    """Constants and f-strings that are said to somebody."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and re.match(r"(self\._)?(log|logging)\.", ast.unparse(node.func)):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue  # a docstring
        if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str)):
            yield node
        if not isinstance(node, ast.JoinedStr):
            yield from texts(node)
        else:
            for part in node.values:
                yield from texts(part)


def fragments(node: ast.expr) -> list[str]:
    """The parts of a text that are the same each time."""
    if isinstance(node, ast.JoinedStr):
        return [part.value for part in node.values if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    assert isinstance(node, ast.Constant)
    return str(node.value).split("{}")  # some are filled in later


def lines() -> Iterator[tuple[str, str]]:
    """(file and line, longest fragment) of every text."""
    for path in sorted((ROOT / "bot" / "live").glob("*.py")):
        if path.stem not in FILES:
            continue
        for node in texts(ast.parse(path.read_text(encoding="utf-8"))):
            longest = max((part.strip(" :;,.()\"'") for part in fragments(node)), key=len, default="")
            if " " in longest and len(longest) >= SHORTEST and longest not in NO_LINES.get(path.name, ()):
                yield f"{path.name}:{node.lineno}", longest


LINES = list(lines())


def plain(text: str) -> str:
    return " ".join(text.replace("`", "").replace("\\|", "|").split())


def test_there_is_a_chapter_and_there_are_lines() -> None:
    assert CHAPTER is not None and len(LINES) > 30


@pytest.mark.parametrize(("place", "text"), [pytest.param(*line, id=line[0]) for line in LINES])
def test_each_line_has_its_words(place: str, text: str) -> None:
    assert CHAPTER is not None
    assert plain(text) in plain(CHAPTER[1]), f"{place} says {text!r}; docs/plugins.md does not explain it"
