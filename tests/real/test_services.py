"""The bot and the services of a network: a certificate for a password, services that leave and come back, logouts.

One server, and two bots: `neverquit` by its certificate (EXTERNAL), which must have its account, and `second`, which
may do without and comes while the services are away.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from .client import Client
from .inspircd import PASSWORD, InspIRCd
from .ircd import needed
from .program import Program
from .scenarios import BOT, LAB, Scene, config, opened

needed("inspircd", "atheme-services", "openssl")
pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

HISTORY = "#history"
PLUGIN = """
from bot import command, on

@command("hello")
async def hello(ctx):
    return "hello to you"

@command("again")
async def again(ctx):
    return "!again"

@command("deliver")
async def deliver(ctx, where: str):
    fared = await ctx.to(where).say("psst").delivered(seconds=20)
    return {True: "taken", False: "refused", None: "nobody knows"}[fared]

@command("secret", admin=True)
async def secret(ctx):
    return "for admins"

@on("netsplit")
async def parted(ctx, nicks):
    ctx.say(f"gone in a split: {', '.join(sorted(nicks))}")

@on("quit")
async def left(ctx, nick, channels):
    for channel in channels:
        ctx.to(channel).say(f"gone by itself: {nick}")
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InspIRCd]:
    async with InspIRCd(tmp_path_factory.mktemp("server")) as running:
        await running.start_second()  # by the time that it is needed it has linked
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(server: InspIRCd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    tls = {"ca_file": str(server.ca_file), "certificate": str(server.client_certificate), "key": str(server.client_key)}
    network = {"port": server.tls_port, "tls": tls, "sasl": {"mechanisms": ["EXTERNAL"]}}
    boss = {"account": "adm", "password": PASSWORD}
    async with opened(server, tmp_path_factory.mktemp("bot"), config(network, {"account": "adm"}), boss) as ready:
        ready.write("people", PLUGIN)
        await ready.report("people loaded g1 .*")
        yield ready


async def account(asking: Client, nick: str) -> str | None:
    """Whom services know somebody as."""
    told = await asking.whois(nick)
    return told["330"].params[2] if "330" in told else None


async def test_a_certificate_logs_in(scene: Scene) -> None:
    assert await account(scene.usr, BOT) == BOT


async def test_its_own_words_echoed_are_no_command(scene: Scene) -> None:
    """The network echoes what the bot says (echo-message), and the bot has asked for that."""
    mark = scene.usr.mark()
    await scene.answers("again", "!again")
    await scene.answers("hello", "hello to you")
    assert [line.text for line in scene.of_bot(scene.usr, mark)] == ["!again", "hello to you"]


async def test_the_network_says_by_label_how_a_line_fared(scene: Scene) -> None:
    await scene.answers("deliver #lab", "psst")
    await scene.usr.heard("taken", to=LAB)
    await scene.answers("deliver #where-nobody-is", "refused")


async def test_history_that_is_replayed_runs_nothing(scene: Scene) -> None:
    """The server plays back what was said before the bot joined; then a live command is answered."""
    await scene.boss.join(HISTORY)
    await scene.usr.join(HISTORY)
    scene.boss.send(f"MODE {HISTORY} +H 50:3600")
    await scene.boss.expect(lambda line: line.command == "MODE" and "H" in line.text + line.raw, what="MODE +H")
    for _ in range(3):
        scene.usr.say(HISTORY, "!hello")
    await scene.usr.barrier()
    mark = scene.usr.mark()
    scene.boss.say(LAB, f"!join {HISTORY}")
    await scene.usr.sees(BOT, HISTORY)
    await scene.usr.ask(HISTORY, "!again", "!again")
    assert [line.text for line in scene.of_bot(scene.usr, mark) if line.params[0] == HISTORY] == ["!again"]


async def test_an_admin_who_logs_out_is_one_no_more(scene: Scene) -> None:
    await scene.boss.ask(LAB, "!secret", "for admins")
    scene.boss.say("NickServ", "LOGOUT")
    await scene.boss.numeric("901")
    await scene.boss.ask(LAB, "!secret", "secret: admins only")
    scene.boss.say("NickServ", f"IDENTIFY adm {PASSWORD}")
    await scene.boss.numeric("900")
    await scene.boss.ask(LAB, "!secret", "for admins")


async def test_services_that_leave_and_come_back(
    scene: Scene, server: InspIRCd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Who is logged in stays so, bot and admin; a bot that came meanwhile logs in as soon as it can."""
    mark = scene.usr.mark()
    await server.stop_services()
    sasl = {"mechanisms": ["PLAIN"], "username": BOT, "password": PASSWORD, "required": False}
    network = {"port": server.tls_port, "tls": {"ca_file": str(server.ca_file)}, "sasl": sasl, "nick": "second"}
    second = Program(tmp_path_factory.mktemp("second"), config(network, {"account": "adm"}))
    await second.start()
    try:
        await scene.boss.ask(LAB, "!secret", "for admins")  # the server still vouches for its account
        await second.during(scene.usr.sees("second", LAB))
        assert await account(scene.usr, "second") is None
        await server.start_services("saslserv/ecdsa-nist256p-challenge")
        async with asyncio.timeout(20):
            while await account(scene.usr, "second") != BOT:
                await scene.usr.barrier()
        assert await account(scene.usr, BOT) == BOT
        await scene.boss.ask(LAB, "!secret", "for admins")
        assert [line.raw for line in scene.of_bot(scene.usr, mark, "QUIT", "PART", "JOIN", "NICK")] == []
    finally:
        await second.stop()


async def test_a_netsplit_is_one_event(scene: Scene, server: InspIRCd) -> None:
    """Everybody of a server that is cut off: no QUIT for each, and the roster has them no more."""
    await server.second_linked()
    far = await asyncio.gather(*(Client.connect(server.host, server.second_port, f"far{n}") for n in (1, 2)))
    for client in far:
        await client.join(LAB)
    await scene.usr.sees("far2", LAB)
    mark = scene.usr.mark()
    await server.second.stop()
    await scene.report("gone in a split: far1, far2")
    await scene.answers("hello", "hello to you")
    assert [line.text for line in scene.of_bot(scene.usr, mark) if "by itself" in line.text] == []
    for client in far:
        await client.close()


async def test_the_nick_comes_back_with_the_help_of_services(
    server: InspIRCd, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Somebody has it; the bot registers as another, and NickServ gives it the nick that its account owns."""
    folder = tmp_path_factory.mktemp("regain")
    nick = "wanted"
    sasl = {"mechanisms": ["PLAIN"], "username": nick, "password": PASSWORD}
    network = {
        "port": server.tls_port,
        "tls": {"ca_file": str(server.ca_file)},
        "sasl": sasl,
        "nick": nick,
        "channels": ["#regain"],
        "nickserv": {"password": PASSWORD, "regain": True},
    }
    program = Program(folder, config(network, {"account": "adm"}))
    async with await Client.connect(server.host, server.plain_port, nick) as holder:
        await holder.join("#regain")
        await program.start()
        try:
            await program.during(holder.sees("neverquit_", "#regain"))
            await holder.expect(
                lambda line: line.command == "NICK" and line.nick == "neverquit_" and line.text == nick,
                what=f"NICK {nick}",
            )
        finally:
            await program.stop()
    shutil.rmtree(folder)
