"""A tree read from config.yaml to a checked `Config`, and back to text: the half that knows what the keys mean.

Four steps: `_spread` writes out short forms and fills in what a network leaves to the top level; `judge` checks what
involves several keys; `_validate` checks the shape of each; `_settle` makes the final values. The middle two collect:
every mistake of the file is told at once, with its place and the way to write it. No message quotes a value, since any
of them might be a password.

Reading YAML is left to `bot/yamltree.py`, the shape to `bot/configschema.py`, step two to
`bot/configjudge.py`. Imported by `bot/config.py` when needed.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

from bot import configschema, yamltree
from bot.config import SHAPES, Admin, Config, Secret
from bot.configjudge import PATHS, judge, mapping, networks
from bot.configschema import Fault, schema, show
from bot.errors import ConfigError, Mistake
from bot.yamltree import Steps, Tree

__all__ = ["load", "parse", "schema", "show"]

_log = logging.getLogger(__name__)

_DEFAULTS = Config()
_INHERITED = ("nick", "alternative_nicks", "realname", "prefix", "admins")
_SHAPE_WORDS = {shape.pattern: shape.words for shape in SHAPES}
_EMPTY = {"dataclass_type": dict, "mapping_type": dict, "dict_type": dict, "tuple_type": list}
_PLAIN = ("bool_type", "int_type", "float_type")  # what is written without quotes
_SECRET_NAME = re.compile(r"(^|[_-]|api)(pass(word|wd)?|secret|token|key|credentials?)$", re.IGNORECASE)

# pydantic's error types in our words; {names} come from the error. What is not here is told by `_words`.
_WORDS = {
    "missing": "is missing",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "tuple_type": "must be a list: [one, two], or each on its own line after `- `",
    "mapping_type": "must be a mapping: lines of `key: value`, indented",
    "dict_type": "must be a mapping: lines of `key: value`, indented",
    "greater_than_equal": "must be {ge:g} or more",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be {le:g} or less",
    "too_short": "must have at least one",
    "literal_error": "must be {expected}",
}


def load(path: Path) -> Config:
    """See `bot.config.load`."""
    tree, mode = yamltree.load(path, _is_secret)
    config = _check(tree)
    if os.name == "posix" and mode & 0o004 and any(_is_secret(s) for s in _texts(tree.root) if s not in tree.outside):
        _log.warning("%s holds passwords and every user of this machine can read it: chmod o-r %s", path, path)
    return config


def state_dir(path: Path) -> str:
    """See `bot.config.state_dir`."""
    tree, _ = yamltree.load(path, _is_secret)
    _find_state(root := mapping(tree.root), path.resolve().parent)
    if ("state_dir",) not in tree.broken and not isinstance(root["state_dir"], str):
        tree.mistake(("state_dir",), "must be a text")
    if told := [mistake for mistake in tree.mistakes if mistake.key == "state_dir"]:
        raise ConfigError(told)
    return str(root["state_dir"])


def parse(text: str, file: str) -> Config:
    """See `bot.config.parse`."""
    return _check(yamltree.read(text, file, secret=_is_secret))


def _check(tree: Tree) -> Config:
    if tree.root is None and not tree.broken:
        raise ConfigError([Mistake(tree.file, 0, 0, "", "is empty; `neverquit init` writes one to begin with")])
    if not isinstance(tree.root, dict):
        if not tree.broken:
            tree.mistake((), "must be lines of `key: value`")
        raise ConfigError(tree.mistakes)
    if "networks" not in tree.root and not get_close_matches("networks", tree.root, 1, 0.8):
        tree.mistake(("networks",), "is missing; `networks: {}` means none")
    _spread(tree)
    judge(tree)
    config = _validate(tree)
    if config is None or tree.mistakes:
        raise ConfigError(sorted(set(tree.mistakes), key=lambda mistake: (mistake.line, mistake.column, mistake.key)))
    return _settle(config, tree)


# Step 1: short forms and what is inherited


def _spread(tree: Tree) -> None:
    """Write out short forms and fill in defaults that depend on other keys, in place."""
    root, folder = tree.root, Path(tree.file).resolve().parent
    _default(tree, ("plugins",), root, {})
    _default(tree, ("networks",), root, {})
    _find_state(root, folder)
    if isinstance(plugins := root["plugins"], dict):
        _default(tree, ("plugins", "directories"), plugins, list(_DEFAULTS.plugins.directories))
        _fill(tree, ("plugins",), plugins, "hidden", [])
        directories = plugins["directories"] if isinstance(plugins["directories"], list) else []
        for number, directory in enumerate(directories):
            if directory != "bundled":
                _resolve(directories, number, folder)
    if isinstance(root.get("prefix"), str):
        root["prefix"] = [root["prefix"]]
    for name in mapping(root["networks"]):
        _default(tree, ("networks", name), root["networks"], {})
    for steps, network in networks(tree):
        for name in _INHERITED:
            if name not in network and root.get(name) is not None:
                network[name] = root[name]
        _spread_network(network, steps, tree, folder)


def _find_state(root: dict[str, Any], folder: Path) -> None:
    root.setdefault("state_dir", os.environ.get("STATE_DIRECTORY", "").split(":")[0] or _DEFAULTS.state_dir)
    _resolve(root, "state_dir", folder)


def _spread_network(network: dict[str, Any], steps: Steps, tree: Tree, folder: Path) -> None:
    _fill(tree, steps, network, "name", steps[-1])
    tls = network.get("tls", True)
    if (*steps, "tls") in tree.expanded:
        tls = {"true": True, "false": False}.get(tls, tls)
    network["tls"] = {True: {}, False: None}[tls] if isinstance(tls, bool) else tls
    network.setdefault("port", 6667 if tls is False else 6697)
    if network.get("flood") is False:
        network["flood"] = None
    if isinstance(network.get("prefix"), str):
        network["prefix"] = [network["prefix"]]
    if isinstance(network.get("channels"), list):
        network["channels"] = [{"name": c} if isinstance(c, str) else c for c in network["channels"]]
    for section, names in PATHS.items():
        for name in names:
            _resolve(mapping(network.get(section)), name, folder)
    if isinstance(network.get("sasl"), dict):
        network["sasl"].setdefault("username", network.get("nick", _DEFAULTS.nick))


def _default(tree: Tree, steps: Steps, holder: dict[Any, Any], value: Any) -> None:
    """Set what is absent, or has a key and nothing after it."""
    if holder.get(steps[-1]) is None and steps not in tree.broken:
        tree.nulls.discard(steps)
        holder[steps[-1]] = value


def _fill(tree: Tree, steps: Steps, holder: dict[str, Any], name: str, value: Any) -> None:
    """Set a field that is not a key; whoever writes it as one is told so like for any unknown key."""
    if name in holder:
        tree.mistake((*steps, name), _unknown((*steps, name)), tree.names[*steps, name])
    holder[name] = value


def _resolve(holder: Any, name: Any, folder: Path) -> None:
    """Make the path at holder[name] absolute, seen from the configuration's folder."""
    value = holder[name] if isinstance(holder, list) else holder.get(name)
    if value and isinstance(value, str):
        try:
            holder[name] = str(folder / Path(value).expanduser())
        except RuntimeError:  # ~nobody: taken as it stands
            holder[name] = str(folder / value)


# Step 3: the shape


def _validate(tree: Tree) -> Config | None:
    result = configschema.check(tree.root)
    if isinstance(result, list) and [fault for fault in result if _mend(tree, fault)]:
        result = configschema.check(tree.root)
    faults = result if isinstance(result, list) else []
    for fault in faults:
        _tell(tree, fault)
    for steps in tree.nulls:
        if "settings" not in steps and not any(steps[: len(fault.steps)] == fault.steps != steps for fault in faults):
            tree.mistake(steps, "has no value: write one (in quotes if it begins with a sign), or remove the key")
    return None if isinstance(result, list) else result


def _at(tree: Tree, steps: Steps) -> Any:
    value = tree.root
    for step in steps:
        value = value[step]
    return value


def _mend(tree: Tree, fault: Fault) -> bool:
    """An empty section or list is as good as none; a text from a variable may be a number. True if changed."""
    steps, value = fault.steps, None
    if steps in tree.nulls and fault.kind in _EMPTY and steps[-1] != "prefix":
        tree.nulls.discard(steps)
        value = _EMPTY[fault.kind]()
    elif steps in tree.expanded and fault.kind in _PLAIN:
        text = _at(tree, steps)
        if fault.kind == "bool_type":
            value = {"true": True, "false": False}.get(text)
        elif re.fullmatch(r"-?[0-9]{1,15}(\.[0-9]+)?", text):
            value = float(text) if "." in text else int(text)
    if value is None:
        return False
    _at(tree, steps[:-1])[steps[-1]] = value
    return True


def _tell(tree: Tree, fault: Fault) -> None:
    steps = fault.steps
    if steps[:1] == ("networks",) and steps[2:3] and steps[:3] not in tree.names and steps[2] in _INHERITED:
        return None  # the mistake is told at the top level, where it was made
    if fault.kind == "unexpected_keyword_argument":
        shown = (*steps[:-1], *yamltree.visible(str(steps[-1])))
        if steps in tree.nulls:
            tree.nulls.discard(steps)
            shown = shown if _near(steps) else steps[:-1]  # `{1234}`: a password where a key should be
        return tree.mistake(shown, _unknown(steps), tree.names.get(steps))
    from_nick = steps[2:] == ("sasl", "username") and steps not in tree.names
    told = any(steps[: len(broken)] == broken for broken in tree.broken) or steps in tree.nulls
    counted_wrong = fault.kind == "too_short" and _at(tree, steps)  # pydantic passes over items with faults
    if from_nick or told or counted_wrong:
        return None  # the same
    shown, place = tree.place(steps)
    return tree.mistake(steps if fault.kind == "missing" else shown, _words(tree, fault), place)


def _words(tree: Tree, fault: Fault) -> str:
    kind, steps, context = fault.kind, fault.steps, fault.context
    if kind == "string_pattern_mismatch":
        return _SHAPE_WORDS[context["pattern"]]
    if kind == "dataclass_type":
        if steps[2:3] == ("channels",):
            return 'must be a name in quotes, "#name", or a mapping {name: "#name", key: "..."}'
        short = {"tls": "true, false or ", "flood": "false or "}.get(str(steps[-1]), "")
        return f"must be {short}a mapping with these keys: {', '.join(_keys_at(steps))}"
    if kind == "string_type":
        if isinstance(_at(tree, steps), (dict, list)):
            return "must be a text; one that begins with { or [, or has `: ` in it, goes in quotes"
        return "must be a text: put it in quotes"
    if kind in _PLAIN and isinstance(_at(tree, steps), str):
        return _WORDS[kind] + (", without quotes" if steps in tree.quoted - tree.expanded else ", not a text")
    return _WORDS.get(kind, "is not of the kind that goes here").format(**context)


def _bare(hint: Any) -> Any:
    """A type without `| None`."""
    options = [option for option in get_args(hint) if option is not type(None)]
    return options[0] if type(None) in get_args(hint) else hint


def _keys_at(steps: Steps) -> list[str]:
    """The keys that a mapping at this place can have; none where any may be."""
    hint: Any = Config
    for step in steps:
        if dataclasses.is_dataclass(hint):
            hint = _bare(get_type_hints(hint, include_extras=True).get(str(step)))
        else:
            hint = (*get_args(hint), None, None)[1 if get_origin(hint) is Mapping else 0]
    fields = dataclasses.fields(hint) if dataclasses.is_dataclass(hint) else ()
    return [field.name for field in fields if "filled" not in field.metadata]


def _near(steps: Steps) -> list[str]:
    return get_close_matches(str(steps[-1]).lower().replace("-", "_"), _keys_at(steps[:-1]), 1, 0.6)


def _unknown(steps: Steps) -> str:
    name = str(steps[-1])
    known = configschema.keys()
    near, elsewhere = _near(steps), [key for key in known if key.split(".")[-1] == name]
    if re.match(r"\w+:", name):
        return "write a space after the colon of a key"
    if near:
        return f"is not a key here; did you mean `{near[0]}`?"
    if elsewhere:
        return f"is not a key here; it goes to `{elsewhere[0]}`"
    return f"is not a key here; there are: {', '.join(_keys_at(steps[:-1]))}"


# Step 4: the values in force


def _settle(config: Config, tree: Tree) -> Config:
    only = next(iter(config.networks)) if len(config.networks) == 1 else None
    networks = {}
    for name, network in config.networks.items():
        admins = tuple(_of_network(admin, name) for admin in network.admins if admin.network in (None, name))
        tls = network.tls
        if tls:
            prints = tuple(text.replace(":", "").lower() for text in tls.fingerprints)
            tls = dataclasses.replace(tls, fingerprints=prints)
        networks[name] = dataclasses.replace(network, admins=admins, tls=tls)
    target = config.reload.report_to
    if target and only and (target[0] in "#&+!" or "/" not in target):
        target = f"{only}/{target}"
    hidden = [Secret(text) for steps, text in _texts(tree.root).items() if text and _is_hidden(steps, tree)]
    return dataclasses.replace(
        config,
        admins=tuple(_of_network(admin, only) for admin in config.admins),
        networks=networks,
        plugins=dataclasses.replace(config.plugins, hidden=tuple(hidden)),
        reload=dataclasses.replace(config.reload, report_to=target),
    )


def _of_network(admin: Admin, name: str | None) -> Admin:
    """An account counts on one network; a hostmask without one counts everywhere."""
    return dataclasses.replace(admin, network=name) if admin.account and name and not admin.network else admin


def _texts(value: Any, steps: Steps = ()) -> dict[Steps, str]:
    """Every text of a tree, by its steps."""
    if isinstance(value, str):
        return {steps: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return {way: text for step, item in items for way, text in _texts(item, (*steps, step)).items()}


def _is_secret(steps: Steps) -> bool:
    """Whether a key is meant for something secret."""
    if steps[:2] == ("plugins", "settings"):
        return any(isinstance(step, str) and _SECRET_NAME.search(step) for step in steps[3:])
    return steps[-1:] == ("password",) or (steps[2:3] == ("channels",) and steps[-1:] == ("key",))


def _is_hidden(steps: Steps, tree: Tree) -> bool:
    return steps[:2] == ("plugins", "settings") and (_is_secret(steps) or steps in tree.outside)
