"""YAML text to a plain tree that remembers where each value stood: the half of reading config.yaml that knows YAML.

The tree holds dict, list, str, int, float, bool and None, nothing else. YAML 1.1 takes much of what people write for
something else (`no`, `0123`, `1:30`, `- #bot`, `abc #def`); here each such value is a mistake with its place and the
way to write it, never a silent change. Anchors, aliases, merge keys and tags are refused, which also ends alias bombs
and `!!python/...`; size, depth and number of values are bounded. `${NAME}`, `${NAME:-default}`, `${file:/path}` and
`$$` are replaced after parsing, in values only, so that what they bring can never become YAML.

No message quotes a value or a part of the parser's own message that might hold one: any of them might be a password.
What the keys mean is left to `bot/configfile.py`. The only file that imports yaml. Source: https://yaml.org/spec/1.1/
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from bot.errors import ConfigError, Mistake

MAX_BYTES = 1 << 20  # a configuration of a thousand networks is a quarter of that
MAX_DEPTH = 20
MAX_VALUES = 10_000  # parses in about a second; the time-out a person has patience for

Steps = tuple[str | int, ...]
Place = tuple[int, int]  # line and column, from 1

_KINDS = ("null", "bool", "int", "float", "str", "timestamp", "value", "map", "seq")
_TAGS = {f"tag:yaml.org,2002:{name}": name for name in _KINDS}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]{0,17})")
_DECIMAL = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_GLUED = re.compile(r"[ \t]*(#[^\s,\]}]+)")
_VARIABLE = re.compile(r"\$(?:(\$)|\{(?:file:([^}\n]+)|([A-Za-z_][A-Za-z0-9_]*)(:-[^}]*)?)\}|(\{))")

_BRACKET = 'a [ or { without its end; inside of them a text with # or ${ must be in quotes: ["#a", "#b"]'
_COLON = "a colon where none can stand: put a text with `: ` in quotes, and begin keys that go together in one column"
# What the parser finds wrong, told in the words of who wrote the file. First match wins.
_SYNTAX = (
    (r"too much", "nested too deep, or too many values: that is no configuration"),
    (r"'\\t'", "a tab: YAML wants spaces for indentation"),
    (r"an alias|an anchor|a tag\b|tag handle", "a value that begins with * & or ! must be in quotes"),
    (r"cannot start any token|a directive|YAML document", "a value that begins with @ % or ` must be in quotes"),
    (r"escape|hexadecimal", "in double quotes a \\ begins an escape: write \\\\, or use single quotes"),
    (r"quoted scalar", "a quote that is opened here is never closed"),
    (r"block scalar", "a value that begins with | or > must be in quotes"),
    (r"flow", _BRACKET),
    (r"but found '[],}]'", "a value that begins with ] } or a comma must be in quotes"),
    (r"mapping values", _COLON),
    (r"find expected ':'", "a line without a colon: write `key: value`, with a space after the colon"),
    (r"'<scalar>'", "text after the closing quote: put the whole value in one pair of quotes"),
    (r"sequence entries", "a list begins on a line of its own; a text that begins with `- ` must be in quotes"),
    (r"'-'|block", "wrong indentation: what belongs together must begin in one column"),
    (r"document", "only one document can stand in the file: remove the line with --- or ..."),
)


@dataclass(slots=True)
class Tree:
    """What was read: the values, their places, and every mistake so far.

    `names` has the place of each key or list item, `values` that of what it says. A `broken` value is None in the tree
    and its mistake is told already. `nulls` are keys without a value, `quoted` texts that stand in quotes, `expanded`
    texts with variables, `outside` those of them that the environment or a file filled. Below what `secret` says yes
    to, not even keys are shown in mistakes: `{1234}` is a mapping.
    """

    file: str
    secret: Callable[[Steps], bool] = lambda steps: False
    root: Any = None
    names: dict[Steps, Place] = field(default_factory=dict)
    values: dict[Steps, Place] = field(default_factory=dict)
    broken: set[Steps] = field(default_factory=set)
    nulls: set[Steps] = field(default_factory=set)
    quoted: set[Steps] = field(default_factory=set)
    expanded: set[Steps] = field(default_factory=set)
    outside: set[Steps] = field(default_factory=set)
    mistakes: list[Mistake] = field(default_factory=list)

    def place(self, steps: Steps) -> tuple[Steps, Place]:
        """The place of the nearest value from here up, and whose it is."""
        while steps and steps not in self.values:
            steps = steps[:-1]
        return steps, self.values.get(steps, (0, 0))

    def mistake(self, steps: Steps, text: str, place: Place | None = None) -> None:
        line, column = place or self.place(steps)[1]
        steps = next((steps[:end] for end in range(len(steps)) if self.secret(steps[:end])), steps)
        self.mistakes.append(Mistake(self.file, line, column, dotted(steps), text))


def dotted(steps: Steps) -> str:
    """`networks.libera.channels.0`: printable, each step bounded."""
    return ".".join("".join(c if c.isprintable() else "?" for c in str(step))[:40] for step in steps)


def load(path: Path, secret: Callable[[Steps], bool] = lambda steps: False) -> tuple[Tree, int]:
    """Read a file; gives its tree, see `read`, and its mode.

    Raises:
        ConfigError: it can't be read, or is no YAML.
    """
    try:
        with path.open("rb") as stream:
            raw, mode = stream.read(MAX_BYTES + 1), os.fstat(stream.fileno()).st_mode
    except OSError as error:
        hint = "; `neverquit init` writes one" if isinstance(error, FileNotFoundError) else ""
        raise _refusal(str(path), (0, 0), f"{error.strerror}{hint}") from None
    return read(decode(raw, str(path)), str(path), secret=secret), mode


def decode(raw: bytes, file: str) -> str:
    """The file's text.

    Raises:
        ConfigError: it is too large or not UTF-8.
    """
    if len(raw) > MAX_BYTES:
        raise _refusal(file, (0, 0), "is larger than 1 MiB: that is no configuration")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _position(raw[: error.start].decode("utf-8"))
        raise _refusal(file, place, "is not UTF-8 text: save it in that encoding") from None


def read(
    text: str,
    file: str,
    environment: Mapping[str, str] = os.environ,
    secret: Callable[[Steps], bool] = lambda steps: False,
) -> Tree:
    """Parse; mistakes about single values are in the result. `secret` says at which steps a secret is meant to be.

    Raises:
        ConfigError: with one mistake, when the text is no YAML or too much of it.
    """
    if len(text) > MAX_BYTES:
        raise _refusal(file, (0, 0), "is larger than 1 MiB: that is no configuration")
    composer = None
    try:
        composer = _Composer(text)
        node = composer.get_single_node()
    except yaml.YAMLError as error:
        raise _refusal(file, *_explain(error, text)) from None
    except (ValueError, OverflowError):  # PyYAML lets chr() raise on "\U00110000"
        place = (composer.line + 1, composer.column + 1) if composer else (1, 1)
        raise _refusal(file, place, "an escape in double quotes that is no character") from None
    tree = Tree(file, secret)
    if node is not None:
        tree.root = _Builder(tree, text, environment).build(node, ())
    return tree


def dump(value: Any) -> str:
    """Plain values as YAML, in their order, one key a line."""
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=math.inf)


def _refusal(file: str, place: Place, text: str) -> ConfigError:
    return ConfigError([Mistake(file, *place, "", text)])


def _position(before: str) -> Place:
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _explain(error: yaml.YAMLError, text: str) -> tuple[Place, str]:
    """Place and words for what the parser could not read, without its quotations."""
    if isinstance(error, yaml.reader.ReaderError):
        return _position(text[: error.position]), "a control character that YAML does not allow"
    assert isinstance(error, yaml.MarkedYAMLError)
    mark = error.problem_mark or error.context_mark
    said = f"{error.context} {error.problem}"
    words = next((words for pattern, words in _SYNTAX if re.search(pattern, said)), "this is no YAML")
    comment = re.search(r"^[^#\n]*[\[,][ \t]*(?=#\S)", text, re.MULTILINE) if words is _BRACKET else None
    if comment:
        return _position(text[: comment.end()]), words
    if re.search(r"flow|simple key|end of stream", said):  # noticed at the end; the eye looks for the beginning
        mark = error.context_mark or mark
    return (mark.line + 1, mark.column + 1) if mark else (1, 1), words


class _TooMuch(yaml.MarkedYAMLError):
    """Nested too deep, or too many values."""


class _Composer(yaml.SafeLoader):
    """Nodes with bounds; anchors and aliases become nodes that `_Builder` refuses by their tag."""

    depth = count = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs lack it
        start, end = event.start_mark, event.end_mark
        self.count += 1
        if self.depth >= MAX_DEPTH or self.count > MAX_VALUES:
            raise _TooMuch(problem="too much", problem_mark=start)
        if isinstance(event, yaml.AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]  # the same
            return yaml.ScalarNode("*", "", start, end)
        if event.anchor is not None:
            event.anchor, event.tag = None, "&"
        elif event.tag == "!":
            event.tag = "!!"  # or PyYAML would take `prefix: !` for nothing at all
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Builder:
    """Builds the tree from nodes; writes places and mistakes into `tree`."""

    def __init__(self, tree: Tree, text: str, environment: Mapping[str, str]) -> None:
        self.tree, self.text, self.environment = tree, text, environment

    def build(self, node: yaml.Node, steps: Steps) -> Any:
        self.tree.values[steps] = (node.start_mark.line + 1, node.start_mark.column + 1)
        self.tree.names.setdefault(steps, self.tree.values[steps])
        if node.tag not in _TAGS:
            return self.refuse(steps, _tag_words(node.tag))
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, steps)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, (*steps, number)) for number, item in enumerate(node.value)]
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node, steps)

    def refuse(self, steps: Steps, text: str) -> None:
        self.tree.broken.add(steps)
        self.tree.mistake(steps, text)

    def mapping(self, node: yaml.MappingNode, steps: Steps) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, value in node.value:
            place = (key.start_mark.line + 1, key.start_mark.column + 1)
            if _TAGS.get(key.tag) != "str" or not key.value.isprintable():
                merge = "anchors and merge keys are not used here; what networks share stands at the top level"
                words = 'a key must be text: put it in quotes ("..."), with a space after its colon'
                self.tree.mistake(steps, merge if key.tag.endswith(":merge") else words, place)
            elif key.value in result:
                first = self.tree.names[*steps, key.value][0]
                words = f"stands twice, in line {first} and in line {place[0]}: keep one"
                self.tree.mistake((*steps, *visible(key.value)), words, place)
            else:
                self.tree.names[*steps, key.value] = place
                result[key.value] = self.build(value, (*steps, key.value))
        return result

    def scalar(self, node: yaml.ScalarNode, steps: Steps) -> Any:
        kind, text, plain = _TAGS[node.tag], node.value, node.style is None
        glued = _GLUED.match(self.text, node.end_mark.index) if plain else None
        if glued and kind not in ("bool", "int", "float"):
            shown = f': "{glued[1]}"' if not text and _is_name(steps) else ' ("...")'
            comment = "YAML takes what follows an unquoted # for a comment"
            return self.refuse(steps, f"{comment}: put the whole value in quotes{shown}; a comment begins with `# `")
        if kind == "null":
            self.tree.nulls.add(steps)
            return None
        if kind == "bool":
            if text.lower() in ("true", "false"):
                return text.lower() == "true"
            word = text.lower()
            meant = "true" if word in ("yes", "on", "y") else "false"
            return self.refuse(steps, f'YAML reads `{word}` as {meant}: write "{word}" for the text, or {meant}')
        if kind in ("int", "float"):
            if _INTEGER.fullmatch(text):
                return int(text)
            if _DECIMAL.fullmatch(text) and math.isfinite(float(text)):
                return float(text)
            return self.refuse(
                steps, "YAML reads an odd number here: put a text in quotes, write a number in plain digits"
            )
        if node.style in ("'", '"'):
            self.tree.quoted.add(steps)
        return self.expand(text, steps)

    def expand(self, text: str, steps: Steps) -> str | None:
        """The text with its variables replaced, once."""
        faults: list[str] = []

        def replace(match: re.Match[str]) -> str:
            dollar, path, name, default, _open = match.groups()
            if dollar:
                return "$"
            try:
                if path:
                    value = self.from_file(path)
                elif name:
                    value = self.from_environment(name, default)
                else:
                    raise ValueError("after $ comes {NAME}, {NAME:-default}, {file:/path} or, for a dollar itself, $")
            except ValueError as fault:
                faults.append(str(fault))
                return ""
            self.tree.expanded.add(steps)
            if path or self.environment.get(name):
                self.tree.outside.add(steps)
            if any(bad in value for bad in "\r\n\0"):
                origin = path or f"environment variable {name}"
                faults.append(f"{origin}: holds a line break or NUL, which no value may")
            return value

        result = _VARIABLE.sub(replace, text) if "$" in text else text
        if not faults and ("\0" in result or any("\ud800" <= c <= "\udfff" for c in result)):
            faults.append("holds a NUL or half a character")
        for fault in faults:
            self.refuse(steps, fault)
        return None if faults else result

    def from_environment(self, name: str, default: str | None) -> str:
        value = self.environment.get(name, "")
        if value or default is not None:
            return value or (default or "")[2:]
        state = "is empty" if name in self.environment else "is not set"
        raise ValueError(f"environment variable {name} {state}; ${{{name}:-}} would allow that")

    def from_file(self, path: str) -> str:
        try:
            # Relative to the configuration, as every path in it.
            with (Path(self.tree.file).parent / Path(path).expanduser()).open("rb") as stream:
                raw = stream.read(MAX_BYTES)
            return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ValueError(f"{path}: is not UTF-8 text") from None
        except (OSError, RuntimeError) as error:
            raise ValueError(f"{path}: {getattr(error, 'strerror', None) or 'no such folder'}") from None


def visible(name: str) -> tuple[str, ...]:
    """A key as a step for a message; nothing when it might hold a value, as in `{password:1234}`."""
    return (name,) if re.fullmatch(r"[A-Za-z0-9_.-]{1,40}", name) else ()


def _is_name(steps: Steps) -> bool:
    """Whether a text there is a name that everybody may see, so that a message can say how to write it."""
    return "settings" not in steps and any(step in ("channels", "report_to", "prefix", "nick") for step in steps[-2:])


def _tag_words(tag: str) -> str:
    sign = tag[0] if tag[0] in "*&" else "!"
    return f"an unquoted {sign} is a sign of YAML's own, not used here: put the value in quotes"
