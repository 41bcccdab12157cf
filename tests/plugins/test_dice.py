"""plugins/dice.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bot.testing import Bot

FILE = Path(__file__).parents[2] / "plugins" / "dice.py"


@pytest.fixture
async def dice(bot: Bot) -> Bot:
    assert (await bot.load(FILE)).ok
    return bot


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("1d1", r"1d1: 1"),
        ("", r"1d6: [1-6]"),
        ("d20", r"1d20: ([1-9]|1\d|20)"),
        ("d%", r"1d%: ([1-9]\d?|100)"),
        ("2d6", r"2d6: [1-6] \+ [1-6] = \d+"),
        ("2 d 1 + 2", r"2d1\+2: 1 \+ 1 \+ 2 = 4"),
        ("1d1-3", r"1d1-3: 1 - 3 = -2"),
        ("D1", r"1d1: 1"),
        ("100d1", r"100d1: 100 dice = 100"),
        ("20d1", r"20d1: (1 \+ ){19}1 = 20"),
    ],
)
async def test_it_rolls(dice: Bot, said: str, answer: str) -> None:
    (line,) = await dice.say(f"!roll {said}")
    assert re.fullmatch(answer, line)


@pytest.mark.parametrize("said", ["101d6", "0d6", "1d0", "1d1001"])
async def test_it_holds_so_many_and_no_more(dice: Bot, said: str) -> None:
    assert await dice.say(f"!roll {said}") == ["that is more than this table holds: 1 to 100 dice of 1 to 1000 sides"]


@pytest.mark.parametrize("said", ["x", "d", "2d", "6", "2d6+", "2d6++1", "-1d6", "1d6.5", "²d6", "1d99999"])
async def test_what_are_no_dice_is_told_with_what_are(dice: Bot, said: str) -> None:
    (line,) = await dice.say(f"!roll {said}")
    assert line.endswith("are no dice; write 2d6, d20, 3d8+2 or d%")


async def test_a_coin_has_two_sides(dice: Bot) -> None:
    assert {(await dice.say("!coin"))[0] for _ in range(40)} == {"heads", "tails"}
