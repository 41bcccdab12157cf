"""bot/reread.py: a configuration read in a process of its own, and settings on their way between processes."""

from __future__ import annotations

import base64
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot import config
from bot.errors import ConfigError
from bot.reread import packed, reread, unpacked

GOOD = 'networks:\n  here: {host: 127.0.0.1, channels: [{name: "#a", key: secret}]}\n'


def test_it_gives_what_reading_here_would(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    path.chmod(0o600)
    assert reread(path) == config.load(path)


def test_every_mistake_comes_back_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("nick: no\nnetworks:\n  x: {hots: a}\n")
    with pytest.raises(ConfigError) as here:
        config.load(path)
    with pytest.raises(ConfigError) as there:
        reread(path)
    assert there.value.mistakes == here.value.mistakes and len(there.value.mistakes) > 1


def test_a_file_that_is_gone_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        reread(tmp_path / "nowhere.yaml")


def test_a_child_that_can_not_be_started_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(ConfigError, match="could not be read in a process of its own"):
        reread(tmp_path / "config.yaml")


def test_a_child_that_says_nothing_is_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(ConfigError, match="could not be read in a process of its own"):
        reread(tmp_path / "config.yaml")


# --- from one process to another


@dataclass(frozen=True, slots=True)
class Timeouts(config.Timeouts):
    """As another version of the bot may have it."""

    one_more: float = 1.0


@dataclass(frozen=True, slots=True)
class Flood:
    """The same fields, in another order."""

    per_second: float = 0.5
    burst: float = 5.0


@dataclass(frozen=True, slots=True)
class Reload(config.Reload):
    """The same fields, one with another meaning."""

    report_to: tuple[str, ...] = ()  # type: ignore[assignment]


def test_settings_come_through_as_they_were(tmp_path: Path) -> None:
    settings = config.parse(GOOD, str(tmp_path / "config.yaml"))
    assert unpacked(packed(settings)) == settings


@pytest.mark.parametrize("changed", [Timeouts, Flood, Reload])
def test_settings_of_other_code_are_not_taken(changed: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """pickle itself would put the values into whatever fields stand in their places."""
    settings = config.parse(GOOD, "/config.yaml")
    payload = packed(settings)
    monkeypatch.setattr(config, changed.__name__, changed)
    assert unpacked(payload) is None
    monkeypatch.undo()
    assert unpacked(payload) == settings


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"no base64",
        base64.b64encode(b"no pickle"),
        base64.b64encode(pickle.dumps(config.parse(GOOD, "/config.yaml"))),  # without its shape
        base64.b64encode(b"cbot.config\nThereIsNoSuchThing\n."),
    ],
)
def test_what_can_not_be_unpacked_is_none(payload: bytes) -> None:
    assert unpacked(payload) is None


def test_a_bot_whose_code_has_changed_on_disk_reads_no_more_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child runs the code on disk."""
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    path.chmod(0o600)
    monkeypatch.setattr(config, "Timeouts", Timeouts)
    with pytest.raises(ConfigError, match=r"the bot's own code has changed on disk, .*: restart first"):
        reread(path)
