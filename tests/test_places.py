"""bot/places.py: which plugin answers where, and which channels to be in."""

from __future__ import annotations

from typing import Any

import pytest

from bot.config import Channel, Config, Network, Plugins, Secret
from bot.places import Places, misspelt

LIBERA = Network(
    name="libera",
    host="irc",
    channels=(Channel("#a"), Channel("#Key", key=Secret("k")), Channel("#quiet", disabled=("karma",))),
    disabled=("loud",),
)
CONFIG = Config(networks={"libera": LIBERA}, plugins=Plugins(disabled=("off",)))


class Bench:
    def __init__(self) -> None:
        self.disk: dict[str, dict[str, Any]] = {"disabled": {}, "channels": {}}
        self.places = self.again()

    def again(self) -> Places:
        """As after a restart, with the same disk."""
        self.places = Places(lambda: CONFIG, lambda table: self.disk[table], lambda network, name: name.lower())
        return self.places


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_names_of_no_plugin_are_told_with_what_may_have_been_meant() -> None:
    settings = Plugins(disabled=("off",), settings={"wether": {}})
    notes = misspelt(Config(networks={"libera": LIBERA}, plugins=settings), {"weather", "karmas"}, {"loud": "noise"})
    assert notes == [
        "plugins.disabled: there is no plugin off",
        "plugins.settings: there is no plugin wether; did you mean weather?",
        "networks.libera.disabled: there is no plugin loud; !loud is a command of noise, and plugins are named here",
        "networks.libera, disabled in #quiet: there is no plugin karma; did you mean karmas?",
    ]


def test_what_the_configuration_silences_is_told_with_its_key(bench: Bench) -> None:
    assert bench.places.silenced_by("loud", LIBERA, None) == "networks.libera.disabled"
    assert bench.places.silenced_by("karma", LIBERA, "#QUIET") == "networks.libera.channels, disabled of #quiet"
    bench.places.switch("dice", False, "libera", "#a")  # chat can change that
    assert [bench.places.silenced_by("dice", LIBERA, "#a"), bench.places.answers("dice", LIBERA, "#a")] == ["", False]


def test_names_of_plugins_are_not_told() -> None:
    assert misspelt(CONFIG, {"off", "loud", "karma"}, {}) == []


# --- who answers


@pytest.mark.parametrize(
    ("plugin", "channel", "answers"),
    [
        ("karma", "#a", True),
        ("karma", "#QUIET", False),
        ("karma", None, True),
        ("loud", "#a", False),
        ("loud", None, False),
        ("other", "#quiet", True),
    ],
)
def test_the_configuration_says_who_answers_where(
    bench: Bench, plugin: str, channel: str | None, answers: bool
) -> None:
    assert bench.places.answers(plugin, LIBERA, channel) is answers


def test_a_plugin_is_switched_off_and_on_in_a_channel(bench: Bench) -> None:
    assert bench.places.switch("karma", False, "libera", "#A")
    assert not bench.places.answers("karma", LIBERA, "#a") and bench.places.answers("karma", LIBERA, "#b")
    assert bench.places.switch("karma", True, "libera", "#a")
    assert bench.places.answers("karma", LIBERA, "#a") and bench.disk["disabled"] == {}


def test_what_is_so_already_is_no_news(bench: Bench) -> None:
    assert not bench.places.switch("karma", True, "libera", "#a")
    bench.places.switch("karma", False, "libera", "#a")
    assert not bench.places.switch("karma", False, "libera", "#a")


def test_a_plugin_is_switched_off_everywhere(bench: Bench) -> None:
    assert bench.places.off_everywhere() == {"off"}
    bench.places.switch("karma", False, "libera", None)
    assert bench.places.off_everywhere() == {"off", "karma"}


def test_switching_one_plugin_leaves_the_others(bench: Bench) -> None:
    for name in ("a", "b"):
        bench.places.switch(name, False, "libera", "#a")
    bench.places.switch("a", True, "libera", "#a")
    assert not bench.places.answers("b", LIBERA, "#a")


def test_what_was_switched_stays_so_after_a_restart(bench: Bench) -> None:
    bench.places.switch("karma", False, "libera", "#a")
    assert not bench.again().answers("karma", LIBERA, "#a")


# --- channels


def test_the_configured_channels_with_their_keys(bench: Bench) -> None:
    assert bench.places.channels(LIBERA) == {"#a": "", "#Key": "k", "#quiet": ""}


def test_channels_that_were_joined_and_left_from_chat(bench: Bench) -> None:
    bench.places.remember("libera", "#new", "secret")
    bench.places.remember("libera", "#a", None)
    bench.places.remember("oftc", "#elsewhere", "")
    assert bench.again().channels(LIBERA) == {"#Key": "k", "#quiet": "", "#new": "secret"}


def test_a_channel_is_one_in_any_case_of_letters(bench: Bench) -> None:
    bench.places.remember("libera", "#KEY", "other")
    assert bench.places.channels(LIBERA) == {"#a": "", "#quiet": "", "#KEY": "other"}


def test_a_channel_is_remembered_under_one_spelling(bench: Bench) -> None:
    bench.places.remember("libera", "#Foo", "")
    bench.places.remember("libera", "#foo", None)
    bench.places.remember("libera", "#Foo", "")
    assert bench.disk["channels"] == {"libera/#Foo": ""}
    assert bench.places.channels(LIBERA) == bench.again().channels(LIBERA)
    assert "#Foo" in bench.places.channels(LIBERA)


def test_another_channel_and_another_network_keep_what_was_remembered(bench: Bench) -> None:
    bench.places.remember("libera", "#b", "")
    bench.places.remember("oftc", "#c", "")
    bench.places.remember("libera", "#c", None)
    assert bench.disk["channels"] == {"libera/#b": "", "oftc/#c": "", "libera/#c": None}
