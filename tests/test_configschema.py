"""bot/configschema.py: the schema, and that the documentation and the shipped file tell the same keys."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bot import config, configschema
from bot.errors import ConfigError

TOP = Path(__file__).parent.parent
KEYS = configschema.keys()
# A network's own admins are written like those at the top level, and told there.
TOLD = {key: entry for key, entry in KEYS.items() if not key.startswith("networks.NAME.admins.")}


def row(key: str, entry: dict[str, Any]) -> str:
    """The line of a table in docs/configuration.md for one key."""
    default = entry.get("default")
    default = int(default) if isinstance(default, float) and default.is_integer() else default
    shown = "" if default is None else f"`{json.dumps(default)}`"
    return f"| `{key.rpartition('.')[2]}` | {shown} | {entry['description']} |"


@pytest.mark.parametrize("key", TOLD)
def test_the_documentation_tells_each_key_with_its_default_and_words(key: str) -> None:
    page = (TOP / "docs/configuration.md").read_text()
    parent = key.rpartition(".")[0]
    heading = {"": "## Top level", "networks.NAME": "## networks"}.get(parent) or rf"##+ {parent.rpartition('.')[2]}"
    section = re.search(rf"^{heading}\n.*?(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert section and row(key, TOLD[key]) in section[0]


def test_the_documentation_tells_no_other_key() -> None:
    rows = re.findall(r"^\| `.*$", (TOP / "docs/configuration.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(row(key, entry) for key, entry in TOLD.items())


@pytest.mark.parametrize("key", KEYS)
def test_each_duration_names_its_unit_in_its_words(key: str) -> None:
    unit = {"seconds": "in seconds", "ms": "in milliseconds"}.get(key.rpartition("_")[2], "")
    assert unit in KEYS[key]["description"]


def test_the_shipped_file_connects_to_nothing() -> None:
    assert config.load(TOP / "config.yaml").networks == {}


def test_the_template_is_the_shipped_file() -> None:
    assert config.template() == (TOP / "config.yaml").read_text()


def shipped() -> str:
    """The shipped file with all that is commented out put into force."""
    return re.sub(r"(?m)^(\s*)#(?=[\w-])", r"\1", (TOP / "config.yaml").read_text())


def test_the_shipped_file_is_right_with_everything_uncommented(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVER_PASSWORD", "LIBERA_PASSWORD", "CHANNEL_KEY"):
        monkeypatch.setenv(name, "planted")
    read = config.parse(shipped(), str(TOP / "config.yaml"))
    assert read.reload.report_to == "libera/#neverquit"
    assert (read.reload.settle_ms, read.timeouts, read.reply_lines) == (4, config.Timeouts(), 8)


@pytest.mark.parametrize("key", KEYS)
def test_the_shipped_file_names_each_key(key: str) -> None:
    assert re.search(rf"\b{key.rpartition('.')[2]}\b", (TOP / "config.yaml").read_text())


def test_the_schema_is_json_and_knows_the_short_forms() -> None:
    schema = json.loads(json.dumps(config.schema()))
    network = schema["$defs"]["Network"]["properties"]
    assert schema["required"] == ["networks"]
    assert schema["$defs"]["Network"]["required"] == ["host"]
    assert network["tls"]["anyOf"][0] == {"type": "boolean"}
    assert network["flood"]["anyOf"][0] == {"const": False}
    assert schema["properties"]["prefix"]["anyOf"][0] == {"type": "string"}
    assert network["channels"]["items"]["anyOf"][0]["type"] == "string"
    assert '"null"' not in json.dumps(schema)


def test_the_schema_has_no_field_that_is_not_a_key() -> None:
    assert "networks.NAME.name" not in KEYS
    assert "hidden" not in json.dumps(config.schema())


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
def test_each_mechanism_that_needs_a_password_alone_is_accepted_with_it(mechanism: str) -> None:
    text = f"networks: {{n: {{host: h, sasl: {{password: p, mechanisms: [{mechanism}]}}}}}}"
    assert config.parse(text, "c.yaml").networks["n"].sasl


def test_a_number_beyond_a_float_is_no_crash() -> None:
    with pytest.raises(ConfigError):
        config.parse("networks: {}\nreload: {settle_ms: 1" + "0" * 400 + "}", "c.yaml")
