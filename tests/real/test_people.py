"""People with irssi and with WeeChat talk to the bot, and see its answers as they should look."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .inspircd import PASSWORD, InspIRCd
from .ircd import needed
from .scenarios import BOT, LAB, Scene, config, opened
from .screens import Screen, irssi, weechat

needed("inspircd", "atheme-services", "openssl", "tmux", "irssi", "weechat")
pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

PLUGIN = """
from bot import command, on
from bot.protocol.formatting import bold, color

@command("hello")
async def hello(ctx, name: str = "you"):
    return f"hello to {name}"

@command("painted")
async def painted(ctx):
    return f"{color('gr\u00fcn', 'green')} and {bold('fett')}, \u65e5\u672c \u2603"

@command("dance")
async def dance(ctx):
    ctx.action("dances with " + ctx.user.nick)

@on("action")
async def seen(ctx, nick, text):
    ctx.say(f"I saw that {nick} {text}")
"""
PEOPLE = {"irene": irssi, "wanda": weechat}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with InspIRCd(tmp_path_factory.mktemp("server")) as server:
        sasl = {"mechanisms": ["PLAIN"], "username": BOT, "password": PASSWORD}
        network = {"port": server.tls_port, "tls": {"ca_file": str(server.ca_file)}, "sasl": sasl}
        settings = config(network, {"account": "adm"})
        async with opened(server, tmp_path_factory.mktemp("bot"), settings, {}) as ready:
            ready.write("people", PLUGIN)
            await ready.report("people loaded g1 .*")
            yield ready


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=PEOPLE)
async def person(request: pytest.FixtureRequest, scene: Scene) -> AsyncIterator[Screen]:
    async with PEOPLE[request.param](scene.server, request.param, LAB) as screen:
        yield screen


async def test_a_command_in_the_channel(person: Screen) -> None:
    person.type("!hello")
    await person.shows(rf"{BOT}\W+hello to you")


async def test_the_nick_before_a_command(person: Screen) -> None:
    person.type(f"{BOT}: hello again")
    await person.shows(rf"{BOT}\W+hello to again")


async def test_what_somebody_does(person: Screen) -> None:
    person.type("/me waves")
    await person.shows(rf"{BOT}\W+I saw that {person.nick} waves")


async def test_what_the_bot_does(person: Screen) -> None:
    person.type("!dance")
    await person.shows(rf"\*\W+{BOT} dances with {person.nick}")


async def test_colours_and_the_letters_of_the_world(person: Screen) -> None:
    """Green by its number, bold, and nothing else around the words."""
    person.type("!painted")
    await person.shows(rf"{BOT}\W+gr\u00fcn and fett, \u65e5\u672c \u2603")
    await person.shows(
        r"\x1b\[[0-9;]*(32|38;5;\d+)m[^\x1b]*gr\u00fcn\x1b\[[0-9;]*m and \x1b\[[0-9;]*1m[^\x1b]*fett", raw=True
    )


async def test_ctcp_version_is_answered_once(person: Screen) -> None:
    person.type(f"/ctcp {BOT} VERSION", "!hello after")
    await person.shows(r"hello to after")
    seen = await person.server_shows(rf"reply from {BOT}: (VERSION )?neverquit \d")
    assert seen.count(f"reply from {BOT}") == 1


async def test_in_private_without_a_prefix(person: Screen) -> None:
    person.type(f"/query {BOT}", "hello friend")
    await person.shows(rf"{BOT}\W+hello to friend")


async def test_nothing_was_said_but_what_was_asked(scene: Scene) -> None:
    """What people's programs send besides (typing, tags) disturbs nobody: the channel has heard the answers alone."""
    await scene.usr.barrier()
    said = [line.text for line in scene.of_bot(scene.usr) if line.params[0] == LAB]
    expected = r"people loaded .*|hello to (you|again|after)|I saw that \w+ waves|\x01ACTION dances.*|\x03.*"
    assert [text for text in said if not re.fullmatch(expected, text)] == []
