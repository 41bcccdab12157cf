"""What a configuration must be beside its shape: keys that fit to each other, files that can be used.

The second step of `bot/configfile.py`. Each check passes over what is not of its shape; the third step tells that. No
message quotes a value, since any of them might be a password.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

from bot import keys, yamltree
from bot.config import Admin, Mechanism, Reconnect
from bot.yamltree import Steps, Tree

#: Keys of a network that hold paths, by section.
PATHS = {"tls": ("ca_file", "certificate", "key"), "sasl": ("key",)}
_ADMIN_KEYS = {field.name for field in dataclasses.fields(Admin)}


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def networks(tree: Tree) -> Iterator[tuple[Steps, dict[str, Any]]]:
    for name, network in mapping(tree.root.get("networks")).items():
        if isinstance(network, dict):
            yield ("networks", name), network


def judge(tree: Tree) -> None:
    names = list(mapping(tree.root.get("networks")))
    for name in names:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name):
            words = "the name of a network is letters, digits, and _ . - after the first"
            tree.mistake(("networks", *yamltree.visible(name)), words, tree.names["networks", name])
    _judge_admins(tree, (), names)
    _judge_report(tree, names)
    for steps, network in networks(tree):
        if (*steps, "admins") in tree.names:
            _judge_admins(tree, steps, [str(steps[-1])])
        _judge_network(tree, steps, network)


def _judge_admins(tree: Tree, steps: Steps, names: list[str]) -> None:
    holder = tree.root["networks"][steps[1]] if steps else tree.root
    entries = holder.get("admins")
    for number, admin in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(admin, dict):
            continue
        place: Steps = (*steps, "admins", number)
        account, mask, network = (admin.get(name) for name in ("account", "hostmask", "network"))
        if ("account" in admin) == ("hostmask" in admin):
            if "account" in admin or not admin.keys() - _ADMIN_KEYS:  # `acount` is told as an unknown key
                tree.mistake(place, "must have either `account` or `hostmask`")
        elif account and "network" not in admin and len(names) > 1:
            words = f"must say which network the account is on, since anyone can register it elsewhere: {_list(names)}"
            tree.mistake((*place, "network"), words)
        if isinstance(network, str) and network not in names:
            tree.mistake((*place, "network"), f"is not a network of this file; there are: {_list(names)}")
        # A nick is no proof of anything, so that it doesn't count.
        if isinstance(mask, str) and "!" in mask and not any(sign.isalnum() for sign in mask.split("!", 1)[1]):
            tree.mistake((*place, "hostmask"), 'is too wide: name a user or a host, as in "*!*@staff.example.org"')


def _judge_report(tree: Tree, names: list[str]) -> None:
    target = mapping(tree.root.get("reload")).get("report_to")
    if not isinstance(target, str) or not names:
        return
    network, slash, rest = ("", "", target) if target[:1] in "#&+!" else target.partition("/")
    if slash and (network not in names or not rest):
        words = f'must be "NETWORK/TARGET"; the networks of this file: {_list(names)}'
        tree.mistake(("reload", "report_to"), words)
    elif not slash and len(names) > 1:
        words = f'must say which network: "{names[0] if names[0].isprintable() else "NETWORK"}/#channel"'
        tree.mistake(("reload", "report_to"), words)


def _judge_network(tree: Tree, steps: Steps, network: dict[str, Any]) -> None:
    host = network.get("host")
    if isinstance(host, str) and re.fullmatch(r"[^:]*:[+]?[0-9]*", host):
        tree.mistake((*steps, "host"), "must be the host alone: the port goes under `port`")
    pauses = dataclasses.asdict(Reconnect())
    pauses |= {k: v for k, v in mapping(network.get("reconnect")).items() if isinstance(v, (int, float))}
    if pauses["maximum_seconds"] < pauses["minimum_seconds"]:
        tree.mistake((*steps, "reconnect"), "maximum_seconds must not be less than minimum_seconds")
    _judge_files(tree, steps, network)
    sasl = network.get("sasl")
    if isinstance(sasl, dict):
        tls_off = network["tls"] is None and (*steps, "tls") not in tree.nulls | tree.broken
        _judge_sasl(tree, (*steps, "sasl"), sasl, plain_text=tls_off, certificate="certificate" in _tls(network))


def _tls(network: dict[str, Any]) -> dict[str, Any]:
    """The network's `tls` as a mapping; empty for true, false and mistakes."""
    return mapping(network.get("tls"))


def _judge_files(tree: Tree, steps: Steps, network: dict[str, Any]) -> None:
    tls = _tls(network)
    if "key" in tls and "certificate" not in tls:
        tree.mistake((*steps, "tls", "key"), "is the key of which `certificate`? Name that as well")
    there: dict[tuple[str, str], str] = {}
    for section, names in PATHS.items():
        for name in names:
            path = mapping(network.get(section)).get(name)
            if not isinstance(path, str) or not path or "\0" in path:
                continue
            if Path(path).is_file():
                there[section, name] = path
            else:
                tree.mistake((*steps, section, name), "there is no such file (paths are seen from this file's folder)")
    certificate, key = there.get(("tls", "certificate")), there.get(("tls", "key"))
    if certificate and ("key" in tls) == bool(key):
        _try(tree, (*steps, "tls", "certificate"), lambda: keys.check_certificate(certificate, key))
    if authorities := there.get(("tls", "ca_file")):
        _try(tree, (*steps, "tls", "ca_file"), lambda: keys.check_authorities(authorities))
    if ecdsa := there.get(("sasl", "key")):
        _try(tree, (*steps, "sasl", "key"), lambda: keys.check_ecdsa(ecdsa))


def _try(tree: Tree, steps: Steps, check: Callable[[], None]) -> None:
    try:
        check()
    except keys.KeyFault as fault:
        tree.mistake(steps, str(fault))


def _judge_sasl(tree: Tree, steps: Steps, sasl: dict[str, Any], *, plain_text: bool, certificate: bool) -> None:
    mechanisms = sasl.get("mechanisms", [])
    if not isinstance(mechanisms, list) or not all(name in get_args(Mechanism) for name in mechanisms):
        return
    for name in mechanisms:
        if name == "EXTERNAL" and not certificate:
            tree.mistake((*steps, "mechanisms"), "EXTERNAL needs the bot's own certificate: tls: {certificate: FILE}")
        elif name == "ECDSA-NIST256P-CHALLENGE" and "key" not in sasl:
            tree.mistake((*steps, "key"), f"is missing; {name} needs one")
        elif (name.startswith("SCRAM-") or name == "PLAIN") and "password" not in sasl:
            tree.mistake((*steps, "password"), f"is missing; {name} needs one")
    if not mechanisms and not ("password" in sasl or "key" in sasl or certificate):
        tree.mistake((*steps, "password"), "is missing; or give a key, or the bot's own certificate (tls.certificate)")
    if plain_text and "PLAIN" in mechanisms and sasl.get("plain_without_tls") is not True:
        words = "PLAIN would send the password readable, since `tls` is false; to do so, write plain_without_tls: true"
        tree.mistake(steps, words)


def _list(names: list[str]) -> str:
    shown = ", ".join(name for name in names if yamltree.visible(name))
    return shown or "none"
