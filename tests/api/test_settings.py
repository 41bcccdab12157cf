"""bot/api/settings.py: a plugin's part of config.yaml as the plugin's own type."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest

from bot.api.settings import settings, source

GIVEN: dict[str, Mapping[str, Any]] = {"weather": {"units": "imperial", "days": 3}, "odd": {"days": "many", "x": {}}}


@pytest.fixture(autouse=True)
def a_config() -> Iterator[None]:
    token = source.set(lambda plugin: GIVEN.get(plugin, {}))
    yield
    source.reset(token)


@dataclass
class Options:
    units: str = "metric"
    days: int = 1


def ask(plugin: str, *model: type) -> Any:
    """Call it as a module of the plugin does."""
    names: dict[str, Any] = {"__name__": plugin, "settings": settings, "model": model}
    exec("found = settings(*model)", names)
    return names["found"]


def test_a_dataclass_is_filled_from_the_plugins_part() -> None:
    assert ask("plugins.weather", Options) == Options("imperial", 3)


def test_what_is_not_configured_has_its_defaults() -> None:
    assert ask("plugins.other", Options) == Options("metric", 1)


def test_a_submodule_has_the_settings_of_its_plugin() -> None:
    assert ask("plugins.weather.towns", Options) == Options("imperial", 3)


def test_a_pydantic_model_works_as_well() -> None:
    from pydantic import BaseModel

    class Model(BaseModel):
        units: str
        days: int

    assert ask("plugins.weather", Model).days == 3


def test_without_a_model_it_is_the_plain_mapping_and_read_only() -> None:
    found = ask("plugins.weather")
    assert found == {"units": "imperial", "days": 3} and isinstance(found, MappingProxyType)


def test_a_mistake_names_the_key_and_keeps_the_value_to_itself() -> None:
    with pytest.raises(ValueError, match=r"^plugins\.settings\.odd\.days: Input should be a valid integer") as caught:
        ask("plugins.odd", Options)
    assert "many" not in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    @dataclass
    class Strict:
        days: int
        x: str

    with pytest.raises(ValueError, match=r"settings\.odd\.days: .*; plugins\.settings\.odd\.x: "):
        ask("plugins.odd", Strict)


def test_outside_a_bot_there_are_only_defaults() -> None:
    token = source.set(None)
    try:
        assert ask("plugins.weather", Options) == Options()
    finally:
        source.reset(token)
