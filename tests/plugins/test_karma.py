"""plugins/karma.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.testing import Bot

FILE = Path(__file__).parents[2] / "plugins" / "karma.py"


@pytest.fixture
async def karma(bot: Bot) -> Bot:
    assert (await bot.load(FILE)).ok
    return bot


async def test_votes_add_up(karma: Bot) -> None:
    assert await karma.say("tea++") == ["tea: 1"]
    assert await karma.say("I like tea++ very much") == ["tea: 2"]
    assert await karma.say("tea--") == ["tea: 1"]
    assert await karma.say("!karma TEA") == ["TEA: 1"]


async def test_several_votes_are_one_answer(karma: Bot) -> None:
    assert await karma.say("tea++ milk-- (iced tea)++") == ["tea: 1, milk: -1, iced tea: 1"]


async def test_a_name_counts_once_a_line(karma: Bot) -> None:
    assert await karma.say("tea++ tea++ Tea++") == ["tea: 1"]


async def test_nobody_votes_for_themselves(karma: Bot) -> None:
    assert await karma.say("bob++", "bob") == ["bob: your own karma is for others to give"]
    assert await karma.say("BOB++", "bob") == ["BOB: your own karma is for others to give"]
    assert await karma.say("bob++") == ["bob: 1"]


@pytest.mark.parametrize(
    "text", ["c++ is a language", "--", "++", "a ++ b", "x--y", "--verbose", "----", "()++", "a+++b"]
)
async def test_what_is_no_vote_is_silent_or_a_name(karma: Bot, text: str) -> None:
    said = await karma.say(text)
    assert said == (["c: 1"] if text.startswith("c++") else [])


async def test_private_words_are_no_votes(karma: Bot) -> None:
    assert await karma.say("tea++", to="neverquit") == []


async def test_the_most_and_the_least(karma: Bot) -> None:
    assert await karma.say("!karma") == ["nobody has karma here yet; say tea++"]
    for text in ("tea++", "tea++", "milk--", "sugar++"):
        await karma.say(text)
    assert await karma.say("!karma") == ["tea: 2, sugar: 1, milk: -1"]


async def test_it_survives_a_reload(karma: Bot) -> None:
    await karma.say("tea++")
    await karma.reload("karma")
    assert await karma.say("!karma tea") == ["tea: 1"]


async def test_of_too_many_names_those_not_voted_on_for_longest_are_forgotten(bot: Bot) -> None:
    source = FILE.read_text().replace("MOST = 5000", "MOST = 10")
    assert (await bot.write("karma", source)).ok
    for number in range(10):
        await bot.say(f"a{number}++")
    await bot.say("a0++")
    assert await bot.say("!karma a1") == ["a1: 1"]
    await bot.say("new++")
    assert await bot.say("!karma a1") == ["a1: 0"]
    assert await bot.say("!karma a0") == ["a0: 2"]
