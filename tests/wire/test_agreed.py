"""The bot and the embedded server, each by its own reading of the pages: labels, echoes, messages of several lines."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from scripted import until

from bot.demo import BOT, NETWORK
from bot.protocol.message import Message
from bot.server import Client
from bot.testing import CHANNEL, Bot, running_bot

PLUGIN = """
from bot import command
fared = []
@command("tell")
async def tell(ctx, where: str, text: str):
    fared.append(await ctx.to(f"demo/{where}").say(text.replace("|", "\\n")).delivered())
@command("fared")
async def how(ctx):
    return " ".join(map(str, fared))
@command("lines")
async def lines(ctx, text: str):
    return f"{len(text.splitlines())} lines"
"""


@pytest.fixture
async def chat() -> AsyncIterator[Bot]:
    """A bot with all of it agreed."""
    async with running_bot() as bot:
        await bot.write("tell", PLUGIN)
        for cap, value in (("labeled-response", ""), ("draft/multiline", "max-bytes=4096,max-lines=10")):
            bot.server.offer(cap, value)
            await bot.quiet()
            assert cap in bot.app.networks[NETWORK].roster.caps
        yield bot


async def test_what_arrives_was_delivered_and_what_is_refused_was_not(chat: Bot) -> None:
    await chat.say(f"!tell {CHANNEL} hi")
    await chat.say("!tell nobody hi")
    await chat.say(f"!tell {CHANNEL} one|two")
    await chat.say("!tell nobody one|two")
    assert await chat.say("!fared") == ["True False True False"]
    await until(lambda: len(chat.app.networks[NETWORK].connection.labels) == 0)


async def test_several_lines_are_one_message_to_those_who_can_read_it_so(chat: Bot) -> None:
    modern = await Client.connect("127.0.0.1", chat.server.port, "modern", caps="message-tags batch draft/multiline")
    modern.send(f"JOIN {CHANNEL}")
    await modern.expect(" 366 ")
    assert await chat.say(f"!tell {CHANNEL} one|two") == ["one", "two"]
    opening = Message.parse(await modern.expect(" BATCH +"))
    assert opening.params[1:] == ("draft/multiline", CHANNEL)
    lines = [Message.parse(await modern.expect("PRIVMSG")).param(1) for _ in range(2)]
    assert lines == ["one", "two"]
    for line in (
        f"BATCH +x draft/multiline {CHANNEL}",
        f"@batch=x PRIVMSG {CHANNEL} :!lines one",
        f"@batch=x PRIVMSG {CHANNEL} :two",
        f"@batch=x;draft/multiline-concat PRIVMSG {CHANNEL} :three",
        "BATCH -x",
    ):
        modern.send(line)
    assert Message.parse(await modern.expect(f":{BOT}!")).param(1) == "2 lines"
    await modern.close()


async def test_after_all_that_the_bot_knows_who_is_there(chat: Bot) -> None:
    """Questions to the server go by labels, too."""
    bob = await Client.connect("127.0.0.1", chat.server.port, "bob", caps="message-tags")
    bob.send("JOIN #other")
    await bob.expect("#other")
    chat.app.networks[NETWORK].connection.join("#other")
    await chat.quiet()
    roster = chat.app.networks[NETWORK].roster
    other = roster.channel("#other")
    assert other is not None
    assert set(other.members) == {"bob", BOT}
    assert other.modes
    assert chat.app.networks[NETWORK].connection.presence.asks == []
    await bob.close()
