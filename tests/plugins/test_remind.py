"""plugins/remind.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.testing import Bot, running_bot

FILE = Path(__file__).parents[2] / "plugins" / "remind.py"


@pytest.fixture
async def remind(bot: Bot) -> Bot:
    assert (await bot.load(FILE)).ok
    return bot


async def test_it_reminds_where_it_was_asked(remind: Bot) -> None:
    assert await remind.say("!remind 10m drink tea") == ["#1: I will remind you in 10 min"]
    assert await remind.heard(lambda: remind.clock.advance("9m")) == []
    assert await remind.heard(lambda: remind.clock.advance("2m")) == ["you: drink tea"]
    assert await remind.say("!reminders") == ["you have no reminders"]


async def test_in_private_it_reminds_in_private(remind: Bot) -> None:
    await remind.say("remind 10m tea", "bob", to="neverquit")
    assert await remind.heard(lambda: remind.clock.advance("11m"), "bob") == ["bob: tea"]


async def test_reminders_are_listed_the_next_first(remind: Bot) -> None:
    await remind.say("!remind 2h later")
    await remind.say("!remind 1h sooner")
    first, second = await remind.say("!reminders")
    assert first.startswith("#2 in ") and first.endswith(": sooner") and second.startswith("#1 in ")


async def test_a_reminder_can_be_taken_back(remind: Bot) -> None:
    await remind.say("!remind 10m tea")
    assert await remind.say("!forget #1") == ["#1 is forgotten"]
    assert await remind.heard(lambda: remind.clock.advance("11m")) == []


async def test_nobody_takes_back_what_is_not_theirs(remind: Bot) -> None:
    await remind.say("!remind 10m tea")
    assert await remind.say("!forget 1", "bob") == ["you have no reminder #1; !reminders lists yours"]
    assert await remind.say("!reminders", "bob") == ["you have no reminders"]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        ("soon tea", "`soon` is no length of time; write it as 90s, 5m, 1h30m or 2w"),
        ("5y tea", "`y` is no unit of time; there are w, d, h, m and s, as in 1h30m"),
        ("60w tea", "a year is as far as I can think"),
        ("0s tea", "a length of time is more than nothing, not `0s`"),
    ],
)
async def test_what_is_no_time_is_told_in_words(remind: Bot, said: str, answer: str) -> None:
    assert await remind.say(f"!remind {said}") == [answer]


async def test_without_a_text_it_says_how(remind: Bot) -> None:
    (line,) = await remind.say("!remind 10m")
    assert line.endswith("usage: !remind <when> <text>")


async def test_so_many_and_no_more(remind: Bot) -> None:
    for _ in range(20):
        await remind.say("!remind 1h x")
    assert await remind.say("!remind 1h x") == ["you have 20 reminders waiting; !forget one of them first"]


async def test_a_reminder_survives_a_reload(remind: Bot) -> None:
    await remind.say("!remind 10m tea")
    await remind.reload("remind")
    assert await remind.heard(lambda: remind.clock.advance("11m")) == ["you: tea"]


async def test_a_reminder_waits_while_the_plugin_is_away(remind: Bot) -> None:
    await remind.say("!remind 10m tea")
    await remind.say("!unload remind")
    assert await remind.heard(lambda: remind.clock.advance("11m")) == []
    await remind.say("!load remind")
    assert await remind.heard(lambda: remind.clock.advance("1s")) == ["you: tea"]


async def test_a_reminder_survives_a_restart(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    async with running_bot(plugins, state=tmp_path / "state") as bot:
        await bot.load(FILE)
        await bot.say("!remind 10m tea")
    async with running_bot(plugins, state=tmp_path / "state") as bot:
        assert await bot.heard(lambda: bot.clock.advance("11m")) == ["you: tea"]
