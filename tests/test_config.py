"""bot/config.py: the values and the four functions; what is in the file is tested in test_configfile.py."""

from __future__ import annotations

import copy
import json
import logging
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from bot import config
from bot.config import Channel, Config, Network, SaslSettings, Secret
from bot.errors import ConfigError


def test_importing_the_values_imports_neither_yaml_nor_pydantic() -> None:
    code = "import sys, bot.config; print(*sorted({'yaml', 'pydantic', 'pydantic_core'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


@pytest.mark.parametrize("form", [str, repr, "{}".format, "{:>9}".format, lambda s: f"{s!r}", lambda s: "%s" % s])  # noqa: UP031
def test_a_secret_never_shows_itself(form) -> None:  # type: ignore[no-untyped-def]
    assert "hunter2" not in form(Secret("hunter2"))


def test_a_secret_can_t_be_joined_into_a_line_or_dumped() -> None:
    with pytest.raises(TypeError):
        "PASS " + Secret("hunter2")  # type: ignore[operator]
    with pytest.raises(TypeError):
        json.dumps(Secret("hunter2"))


def test_a_secret_reveals_its_text_and_equals_its_like() -> None:
    assert Secret("a").reveal() == "a"
    assert {Secret("a"), Secret("a"), Secret("b")} == {Secret("a"), Secret("b")}
    assert Secret("a") != "a"


def test_values_pass_to_another_process_whole() -> None:
    whole = Config(networks={"n": Network("n", "h", password=Secret("p"))})
    assert pickle.loads(pickle.dumps(whole)) == copy.deepcopy(whole) == whole


def test_values_can_t_be_changed() -> None:
    with pytest.raises(AttributeError):
        Config().nick = "other"  # type: ignore[misc]


def test_secrets_lists_every_one_in_force() -> None:
    sasl, channel = SaslSettings(password=Secret("b")), Channel("#c", key=Secret("c"))
    network = Network("n", "h", password=Secret("a"), sasl=sasl, channels=(channel, Channel("#d")))
    found = Config(networks={"n": network, "m": Network("m", "h")}).secrets()
    assert [secret.reveal() for secret in found] == ["a", "b", "c"]


def test_secrets_of_plugin_settings_are_among_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_OUTSIDE", "e1")
    text = "networks: {}\nplugins: {settings: {w: {url: '${FROM_OUTSIDE}', api_key: k1, units: '${NOT_SET:-m}'}}}"
    found = config.parse(text, "config.yaml")
    assert {secret.reveal() for secret in found.secrets()} == {"e1", "k1"}
    assert found.plugins.settings["w"] == {"url": "e1", "api_key": "k1", "units": "m"}


def test_load_reads_a_file_and_sees_its_paths_from_there(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("networks: {}\nplugins: {directories: [mine, bundled]}\nstate_dir: /var/x\n")
    loaded = config.load(tmp_path / "c.yaml")
    assert loaded.plugins.directories == (str(tmp_path / "mine"), "bundled")
    assert loaded.state_dir == "/var/x"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("missing.yaml", None, "missing.yaml: No such file or directory; `neverquit init`"),
        ("", None, "Is a directory"),
        ("large.yaml", b"#" * ((1 << 20) + 1), "larger than 1 MiB"),
        ("latin.yaml", b"networks: {}\nnick: b\xf6t\n", "latin.yaml:2:8: is not UTF-8"),
        ("empty.yaml", b"", "is empty"),
    ],
)
def test_a_file_that_can_t_be_read_is_one_mistake(tmp_path: Path, name: str, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        config.load(tmp_path / name)
    assert len(caught.value.mistakes) == 1
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "password", "warned"),
    [(0o644, "planted", True), (0o640, "planted", False), (0o644, "${PLANTED_PASSWORD}", False)],
)
def test_passwords_in_a_file_that_all_can_read_are_warned_about(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    mode: int,
    password: str,
    warned: bool,
) -> None:
    monkeypatch.setenv("PLANTED_PASSWORD", "planted")
    path = tmp_path / "config.yaml"
    path.write_text(f"networks: {{n: {{host: h, password: '{password}'}}}}")
    path.chmod(mode)
    with caplog.at_level(logging.WARNING):
        config.load(path)
    assert ("chmod o-r" in caplog.text) is warned
    assert "planted" not in caplog.text


FULL = """
nick: bot
prefix: ["!", "$$"]
admins: [{account: alice}, {hostmask: "*!*@staff.example.org"}]
networks:
  one:
    host: irc.example.org
    tls: {fingerprints: ["%s"]}
    channels: ["#a", {name: "#b", disabled: [karma]}]
    flood: false
    reconnect: {minimum_seconds: 0.5}
plugins: {directories: [/srv/p], settings: {w: {text: "no", time: "22:22", cost: "$${x} $$$$ $", deep: [1, {a: 2.5}]}}}
reload: {report_to: "#a"}
state_dir: /srv/s
""" % ("AB:" * 31 + "CD")


def test_what_show_writes_is_read_back_as_the_same_values() -> None:
    first = config.parse(FULL, "config.yaml")
    assert config.parse(config.show(first), "config.yaml") == first


@pytest.mark.parametrize("line", ["tls: true", "tls: false", "port: 6697", "- '#a'"])
def test_show_writes_what_a_person_would(line: str) -> None:
    tls = line if line.startswith("tls") else "tls: true"
    text = f"networks: {{n: {{host: h, port: 6697, {tls}, channels: ['#a']}}}}"
    assert f"    {line}\n" in config.show(config.parse(text, "config.yaml"))


def test_show_writes_secrets_as_stars(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", "planted-env")
    text = """
networks:
  n:
    host: h
    password: planted-1
    sasl: {username: u, password: planted-2}
    channels: [{name: "#a", key: planted-3}]
plugins: {settings: {w: {token: planted-4, key: planted-5, url: "${PLANTED}"}}}
"""
    shown = config.show(config.parse(text, "config.yaml"))
    assert "planted" not in shown
    assert shown.count("***") == 6
