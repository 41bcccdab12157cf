"""plugins/choose.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.testing import Bot

FILE = Path(__file__).parents[2] / "plugins" / "choose.py"


@pytest.fixture
async def choose(bot: Bot) -> Bot:
    assert (await bot.load(FILE)).ok
    return bot


@pytest.mark.parametrize(
    ("said", "options"),
    [
        ("tea", {"tea"}),
        ("tea or coffee", {"tea", "coffee"}),
        ("tea, coffee", {"tea", "coffee"}),
        ("tea, milk, or coffee", {"tea", "milk", "coffee"}),
        ("green tea | black tea", {"green tea", "black tea"}),
        ("a, b | c, d", {"a, b", "c, d"}),
        ("tea coffee", {"tea", "coffee"}),
        ("tea,,coffee,", {"tea", "coffee"}),
        ("north or south pole", {"north", "south pole"}),
        ("orange, organ", {"orange", "organ"}),
        ("or", {"or"}),
    ],
)
async def test_it_picks_one_of_them(choose: Bot, said: str, options: set[str]) -> None:
    answers = {(await choose.say(f"!choose {said}"))[0] for _ in range(60)}
    assert answers <= options and len(answers) >= min(2, len(options))


@pytest.mark.parametrize("said", ["", "  "])
async def test_without_options_it_says_how(choose: Bot, said: str) -> None:
    (line,) = await choose.say(f"!choose {said}")
    assert "usage: !choose <options>" in line


@pytest.mark.parametrize("said", ["|", ",", " , , ", "| |"])
async def test_signs_alone_are_survived(choose: Bot, said: str) -> None:
    (line,) = await choose.say(f"!choose {said}")
    assert "failed" not in line
