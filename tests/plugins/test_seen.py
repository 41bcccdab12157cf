"""plugins/seen.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.demo import BOT
from bot.testing import Bot

FILE = Path(__file__).parents[2] / "plugins" / "seen.py"


@pytest.fixture
async def seen(bot: Bot) -> Bot:
    assert (await bot.load(FILE)).ok
    return bot


async def ask(bot: Bot, nick: str) -> str:
    (line,) = await bot.say(f"!seen {nick}")
    return line


async def test_who_spoke_is_seen(seen: Bot) -> None:
    await seen.say("hello there", "bob")
    assert (await ask(seen, "BOB")).endswith(" ago in #demo, saying: hello there")


async def test_what_was_said_in_private_stays_there(seen: Bot) -> None:
    await seen.say("hi", "bob")
    await seen.say("secret", "bob", to="neverquit")
    assert "secret" not in await ask(seen, "bob")


async def test_who_came_is_seen(seen: Bot) -> None:
    await seen.person("bob")
    assert (await ask(seen, "bob")).endswith("in #demo, joining")


@pytest.mark.parametrize(
    ("line", "did"),
    [
        ("PART #demo :bye", "leaving"),
        ("NICK rob", "changing nick to rob"),
        ("PRIVMSG #demo :\x01ACTION waves\x01", "doing: waves"),
    ],
)
async def test_who_did_something_is_seen(seen: Bot, line: str, did: str) -> None:
    bob = await seen.person("bob")
    bob.send(line)
    await seen.quiet(bob)
    assert (await ask(seen, "bob")).endswith(did)


async def test_who_quit_is_seen(seen: Bot) -> None:
    bob = await seen.person("bob")
    bob.send("QUIT :tired")
    await seen.you.expect(" QUIT ")
    assert "quitting (" in await ask(seen, "bob")


async def test_a_new_nick_is_seen_as_well(seen: Bot) -> None:
    bob = await seen.person("bob")
    bob.send("NICK rob")
    await seen.quiet(bob)
    assert (await ask(seen, "rob")).endswith("changing nick from bob")


async def test_who_was_kicked_is_seen(seen: Bot) -> None:
    await seen.person("bob")
    seen.you.send("KICK #demo bob :out")
    await seen.quiet()
    assert (await ask(seen, "bob")).endswith("being kicked by you")


async def test_the_bot_and_the_asker_need_no_memory(seen: Bot) -> None:
    assert await ask(seen, "NeverQuit") == "that is me"
    assert await ask(seen, "you") == "that is you, just now"


async def test_a_stranger_has_not_been_seen(seen: Bot) -> None:
    assert await ask(seen, "nobody9") == "I have not seen nobody9"


async def test_what_was_said_elsewhere_is_not_told_here(seen: Bot) -> None:
    seen.you.send("JOIN #other")
    await seen.say("!join #other")
    bob = await seen.person("bob")
    bob.send("JOIN #other")
    await seen.quiet(bob)
    await seen.say("secret plans", "bob", to="#other")
    line = await ask(seen, "bob")
    assert "secret" not in line and line.endswith("talking in another channel")


async def test_a_long_text_is_cut(seen: Bot) -> None:
    await seen.say("x" * 300, "bob")
    assert (await ask(seen, "bob")).endswith("xxx...")


async def test_of_too_many_nicks_those_longest_gone_are_forgotten(bot: Bot) -> None:
    source = FILE.read_text().replace("MOST = 5000", "MOST = 10")
    assert (await bot.write("seen", source)).ok
    bob = await bot.person("bob")
    for number in range(9):
        bob.send(f"NICK bob{number}")
    await bot.quiet(bob)
    await bot.say("still here", "ann")
    assert await ask(bot, "bob") == "I have not seen bob"
    assert (await ask(bot, "bob2")).endswith("changing nick to bob3")
    assert (await ask(bot, "ann")).endswith("saying: still here")


async def test_who_was_lost_in_a_netsplit_is_seen(seen: Bot) -> None:
    await seen.person("bob")
    for line in ("BATCH +1 netsplit a.b c.d", "@batch=1 :bob!b@h QUIT :a.b c.d", "BATCH -1"):
        seen.server.send_raw(BOT, line)
    await seen.quiet()
    await seen.app.idle()
    assert (await ask(seen, "bob")).endswith("in #demo, being lost in a netsplit")
