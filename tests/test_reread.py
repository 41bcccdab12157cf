"""bot/reread.py: a configuration read in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bot import config
from bot.errors import ConfigError
from bot.reread import reread

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
