"""W21 and W22 of the catalogue: other people's programs, their CTCP questions and their answers to ours."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted import turns
from talk import Talk, talking

from bot.app import App
from bot.config import Flood
from bot.demo import BOT, NETWORK, demo_config
from bot.dispatch.loops import QUICK, SILENT_SECONDS, STEADY
from bot.manners import PER_NETWORK, PER_USER
from bot.storage import Backend
from bot.testing import CHANNEL, Bot, running_bot

ME = "neverquit"

# --- W21


async def here(talk: Talk) -> None:
    await talk.up(":neverquit!i@h JOIN #a")
    await talk.lines()


async def test_w21_what_people_ask_is_answered_to_them_alone(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await here(talk)
        (line,) = await talk.said("\x01VERSION\x01", to=ME)
        assert line.startswith("NOTICE bob :\x01VERSION neverquit ") and line.endswith("\x01")
        assert await talk.said("\x01PING 1700 5\x01", to=ME) == ["NOTICE bob :\x01PING 1700 5\x01"]


@pytest.mark.parametrize(
    "text",
    [
        *("\x01\x01", "\x01", "\x01DCC\x01", "\x01DCC CHAT chat 2130706433 6667\x01"),
        *("\x01DCC SEND x 3232235777 80 5\x01", "\x01ACTION waves\x01", "\x01NONSENSE\x01", "\x01VERSIO"),
    ],
)
async def test_w21_dcc_and_what_is_no_question_is_silence(text: str, tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await here(talk)
        assert await talk.said(text, to=ME) == []


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("\x01PING a\x10rQUIT\x01", "\x01PING arQUIT\x01"),
        ("\x01PING unterminated", "\x01PING unterminated\x01"),
        ("\x01PING 1\x01" * 35, "\x01PING 1\x01"),
        (f"\x01PING {'x' * 400}\x01", f"\x01PING {'x' * 64}\x01"),
    ],
)
async def test_w21_a_line_gets_one_short_answer_whatever_is_in_it(text: str, answer: str, tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await here(talk)
        assert await talk.said(text, to=ME) == [f"NOTICE bob :{answer}"]


@pytest.mark.parametrize("nick", [":x", "a,b", "a\0b", "n" * 500])
async def test_w21_who_could_not_be_answered_is_not(nick: str, tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await here(talk)
        assert await talk.answers(f":{nick}!b@home PRIVMSG {ME} :\x01VERSION\x01") == []
        assert await talk.said("\x01PING 1\x01", to=ME) == ["NOTICE bob :\x01PING 1\x01"]


async def test_w21_a_notice_the_whole_channel_and_our_own_words_are_not_answered(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await here(talk)
        ctcp = "\x01VERSION\x01"
        assert await talk.answers(f":bob!b@home NOTICE {ME} :{ctcp}", f":{ME}!i@h PRIVMSG {ME} :{ctcp}") == []
        assert await talk.said(ctcp, to="#a") == await talk.said(ctcp, to="@#a") == await talk.said(ctcp, to="$*") == []
        assert await talk.said(ctcp, who="irc.test", to=ME) == []


async def test_w21_answers_are_limited_per_user_and_per_network(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await here(talk)
        ask = f":{{}}!{{}}@home PRIVMSG {ME} :\x01VERSION\x01"
        flood = await talk.answers(*[ask.format(f"bob{number}", "b") for number in range(50)])
        assert len(flood) == PER_USER.count, "another nick is the same user"
        flood += await talk.answers(*[ask.format("carl", f"c{number}") for number in range(50)])
        assert len(flood) == PER_NETWORK.count
        await talk.pass_time(PER_USER.seconds)
        assert len(await talk.answers(ask.format("bob", "b"))) == 1


async def test_w21_it_can_be_switched_off(tmp_path: Path) -> None:
    async with talking(tmp_path) as talk:
        await here(talk)
        talk.app.config = replace(talk.app.config, ctcp=False)
        assert await talk.said("\x01VERSION\x01", to=ME) == []


# --- W22

ECHO = """
@command("echo")
async def echo(ctx, text: str): return text
@rule("ping")
async def ping(ctx): return "ping"
"""


async def test_w22_it_never_acts_on_its_own_words_or_on_a_notice(tmp_path: Path) -> None:
    async with talking(tmp_path, ECHO) as talk:
        await talk.up(":neverquit!i@h JOIN #a", caps="echo-message message-tags")
        await talk.lines()
        assert await talk.said("!echo !echo x") == ["PRIVMSG #a :!echo x"]
        assert await talk.said("!echo x", who="neverquit!i@h") == []
        assert await talk.said("ping", who="neverquit!i@h", to=ME) == []
        await talk.answers(":neverquit!i@h NICK other", ":other!i@h PRIVMSG #a :ping")
        assert await talk.said("ping", who="other!i@h") == []
        assert await talk.answers(":bob!b@home NOTICE #a :!echo x", ":bob!b@home NOTICE #a :ping") == []


async def test_w22_a_bot_that_mirrors_us_is_not_answered_after_a_few_lines(tmp_path: Path, caplog: Any) -> None:
    async with talking(tmp_path, ECHO) as talk:
        await here(talk)
        said = list[str]()
        for _ in range(50):
            said += await talk.said("ping", who="robot!r@home")
        assert len(said) == QUICK
        told = [record for record in caplog.records if "like machines" in record.getMessage()]
        assert len(told) == 1 and told[0].levelno == logging.WARNING
        assert await talk.said("ping") == ["PRIVMSG #a :ping"], "others are answered"
        await talk.pass_time(SILENT_SECONDS)
        assert await talk.said("ping", who="robot!r@home") == ["PRIVMSG #a :ping"]


async def test_w22_commands_that_echo_commands_end_too(tmp_path: Path) -> None:
    async with talking(tmp_path, ECHO) as talk:
        await here(talk)
        said = [line for _ in range(50) for line in await talk.said("!echo !echo x", who="robot!r@home")]
        assert len(said) == QUICK


async def test_w22_commands_in_private_are_answered_always(tmp_path: Path) -> None:
    """There every answer that begins with the name of a command would be one: a script that asks is no mirror."""
    source = ECHO + '@command("count")\nasync def count(ctx): return "count 1"\n'
    async with talking(tmp_path, source) as talk:
        await here(talk)
        said = [line for _ in range(50) for line in await talk.said("!count", to=ME)]
        assert said == ["PRIVMSG bob :count 1"] * 50


async def test_w22_who_gives_commands_is_answered_always(tmp_path: Path) -> None:
    """Pasted, by up arrow and Enter, or by a script that waits for each answer; and `!more` as fast as it goes."""
    source = ECHO + '@command("many")\nasync def many(ctx): return map(str, range(400))\n'
    async with talking(tmp_path, source, reply_lines=8) as talk:
        await here(talk)
        assert len(await talk.answers(*[":bob!b@home PRIVMSG #a :!echo hi"] * 10)) == 10
        for number in range(60):
            assert len(await talk.said(f"!echo {number}")) == 1
        await talk.said("!many")
        answers = [await talk.said("!more") for _ in range(49)]
        assert all(answers)


async def test_w22_handlers_that_only_listen_hear_every_line(tmp_path: Path) -> None:
    source = 'heard = []\n@on("message")\nasync def m(ctx, text):\n    heard.append(text)\n    return str(len(heard))\n'
    async with talking(tmp_path, source) as talk:
        await here(talk)
        said = [line for _ in range(20) for line in await talk.said("x", who="robot!r@home")]
        assert said[-1] == f"PRIVMSG #a :{QUICK}"
        assert await talk.said("y") == ["PRIVMSG #a :21"]


CHATTY = """
from bot import on
@on("message")
async def m(ctx, nick):
    if nick != "you" or ctx.text == "go":
        ctx.say(f"hello {nick}")
"""


@contextlib.asynccontextmanager
async def another(bot: Bot, folder: Path, flood: Flood | None = None) -> AsyncIterator[App]:
    """A second whole bot, `other`, in the same channel."""
    folder.mkdir()  # noqa: ASYNC240
    (folder / "chatty.py").write_text(CHATTY)
    config = demo_config(bot.server.port, folder, None)
    network = replace(config.networks[NETWORK], nick="other", sasl=None, flood=flood)
    config = replace(config, networks={NETWORK: network}, reload=replace(config.reload, watch=False))
    app = App(config, backend=Backend.memory(), clock=bot.clock, job_clock=bot.clock)
    running = asyncio.create_task(app.run())
    try:
        await bot.you.expect(":other!")
        yield app
    finally:
        app.stop("the test has ended")
        await running


async def quiet(bot: Bot, other: App) -> int:
    """Let both bots say all that they have to say at this moment; how many lines they have said so far."""
    count = -1
    while (now := said(bot)) != count:
        count = now
        for _ in range(3):
            await bot.quiet()
            await other.idle()
            await turns(20)
    return count


def said(bot: Bot) -> int:
    return sum(way == "in" and who in (BOT, "other") and "PRIVMSG" in line for who, way, line in bot.server.log)


async def test_w22_two_bots_that_answer_each_other_end_after_a_few_lines(tmp_path: Path) -> None:
    async with running_bot() as bot, another(bot, tmp_path / "other") as other:
        await bot.write("chatty", CHATTY)
        bot.you.privmsg(CHANNEL, "go")
        lines = await quiet(bot, other)
        assert 2 <= lines <= 2 * QUICK + 4
        for _ in range(10):
            await bot.clock.advance(1)
            assert await quiet(bot, other) == lines


async def test_w22_two_bots_that_keep_a_pace_end_as_well(tmp_path: Path) -> None:
    async with running_bot() as bot, another(bot, tmp_path / "other", Flood(1, 0.5)) as other:
        await bot.write("chatty", CHATTY)
        bot.you.privmsg(CHANNEL, "go")
        lines = [await quiet(bot, other)]
        for _ in range(STEADY + 20):
            await bot.clock.advance(2)
            other.keeper.tick()
            lines.append(await quiet(bot, other))
        assert lines[-1] <= 2 * STEADY + 8
        assert lines[-10] == lines[-1]
