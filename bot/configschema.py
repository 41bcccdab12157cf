"""The one shape of config.yaml: the dataclasses of `bot/config.py` for pydantic, as JSON Schema, and written.

`check` holds a tree against it and tells all faults at once; `schema` is what editors and the documentation's test
read, `keys` the same by key; `show` writes values the way the file would. What a fault means to a person is left to
`bot/configfile.py`. The only file that imports pydantic; imported when a configuration is read or shown.
Source: https://json-schema.org/draft/2020-12
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from bot import yamltree
from bot.config import Channel, Config, Secret, Tls
from bot.yamltree import Steps

# Keys that have a short form beside the one that the dataclasses know.
_SHORT: dict[str, dict[str, Any]] = {
    "tls": {"type": "boolean"},
    "flood": {"const": False},
    "prefix": {"type": "string"},
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One place where a tree is not of the shape; `kind` and `context` are pydantic's `type` and `ctx`."""

    kind: str
    steps: Steps
    context: dict[str, Any]


@cache
def _adapter() -> TypeAdapter[Config]:
    return TypeAdapter(Config)


def check(root: Any) -> Config | list[Fault]:
    """The values of a whole tree, or all that is wrong with it."""
    try:
        # As JSON, where a list is the one form of a tuple and nothing else is converted.
        return _adapter().validate_json(json.dumps(root))
    except ValidationError as invalid:
        errors = invalid.errors(include_url=False, include_input=False)
        return [Fault(error["type"], tuple(error["loc"]), error.get("ctx", {})) for error in errors]


def schema() -> dict[str, Any]:
    """See `bot.config.schema`."""
    result = _adapter().json_schema()
    definitions = result["$defs"]
    for part in (result, *definitions.values()):
        for field in [name for name, entry in part["properties"].items() if "description" not in entry]:
            del part["properties"][field]
            part["required"] = [name for name in part.get("required", []) if name != field]
        for name, entry in part["properties"].items():
            part["properties"][name] = _as_written(name, entry)
    channel = definitions["Channel"]["properties"]["name"]
    entry = definitions["Network"]["properties"]["channels"]
    entry["items"] = {"anyOf": [{"type": "string", "pattern": channel["pattern"]}, entry["items"]]}
    result["required"] = ["networks"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "config.yaml of neverquit", **result}


def _as_written(name: str, entry: dict[str, Any]) -> dict[str, Any]:
    """A key's schema in the forms that the file allows: no nulls, and the short forms of three keys."""
    kept = [option for option in entry.pop("anyOf", []) if option.get("type") != "null"]
    entry = {**{k: v for k, v in entry.items() if k != "title"}, **(kept[0] if len(kept) == 1 else {})}
    if entry.get("default") is None or isinstance(entry["default"], dict):
        entry.pop("default", None)  # none, or a section, whose keys have their own
    short = _SHORT.get(name)
    if short is None:
        return entry
    about: dict[str, Any] = {k: entry.pop(k) for k in ("description", "default") if k in entry}
    if name in ("tls", "prefix"):
        about["default"] = True if name == "tls" else "!"
    return {**about, "anyOf": [short, entry]}


@cache
def keys() -> dict[str, dict[str, Any]]:
    """Every key of the file with its schema, by dotted path: `networks.NAME.channels.key`."""
    root = schema()
    found: dict[str, dict[str, Any]] = {}

    def walk(entry: dict[str, Any], path: str) -> None:
        entry = root["$defs"][entry["$ref"].rpartition("/")[2]] if "$ref" in entry else entry
        for option in (*entry.get("anyOf", ()), *([entry["items"]] if "items" in entry else ())):
            walk(option, path)
        if isinstance(entry.get("additionalProperties"), dict):
            walk(entry["additionalProperties"], f"{path}.NAME")
        for name, part in entry.get("properties", {}).items():
            found[f"{path}.{name}".lstrip(".")] = part
            walk(part, f"{path}.{name}".lstrip("."))

    walk(root, "")
    return found


def show(config: Config) -> str:
    """See `bot.config.show`."""
    return yamltree.dump(_plain(config, {secret.reveal() for secret in config.plugins.hidden}))


def _plain(value: Any, hidden: set[str]) -> Any:
    """A value as it would be written in the file."""
    match value:
        case Secret():
            return "***"
        case str():
            return "***" if value in hidden else re.sub(r"\$(?=[${])", "$$", value)
        case float():
            return int(value) if value.is_integer() else value
        case Mapping():
            return {key: _plain(item, hidden) for key, item in value.items()}
        case tuple() | list():
            return [_plain(item, hidden) for item in value]
        case Tls() if value == Tls():
            return True
        case Channel() if value == Channel(value.name):
            return _plain(value.name, hidden)
    if not dataclasses.is_dataclass(value):
        return value
    given = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if "filled" not in f.metadata}
    return {
        name: False if item is None else _plain(item, hidden)
        for name, item in given.items()
        if item is not None or name in ("tls", "flood")
    }
