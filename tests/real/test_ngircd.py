"""The bot on ngircd: no accounts, so the admin is a hostmask; ascii case mapping; nothing of IRCv3 but multi-prefix."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from .ircd import needed
from .ngircd import NgIRCd
from .scenarios import BOT, LAB, Scenarios, Scene, config, opened

needed("ngircd", "openssl")
pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]

TWINS = ("#odd[", "#odd{")  # one channel under rfc1459, two under ascii


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NgIRCd]:
    async with NgIRCd(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(server: NgIRCd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with opened(server, tmp_path_factory.mktemp("bot"), settings(server), {}) as ready:
        yield ready


def settings(server: NgIRCd) -> dict[str, Any]:
    network = {"port": server.tls_port, "tls": {"ca_file": str(server.ca_file)}, "channels": [LAB, *TWINS]}
    return config(network, {"hostmask": "*!~boss@127.0.0.1"})


class TestOnNgircd(Scenarios):
    async def test_a_channel_is_the_same_in_capitals(self, scene: Scene) -> None:
        await scene.new("capitals", "heard you")
        scene.usr.say(LAB.upper(), "!capitals")
        await scene.usr.heard("heard you")

    async def test_case_mapping_is_ascii(self, scene: Scene) -> None:
        """`[` and `{` are two letters here: the bot is in two channels and answers in the one it was asked in."""
        await scene.new("twins", "in here")
        for channel in TWINS:
            await scene.usr.join(channel)
            await scene.usr.sees("neverquit", channel)
            await scene.usr.ask(channel, "!twins", "in here")

    async def test_it_comes_back_after_a_kick(self, scene: Scene) -> None:
        await scene.usr.join("#kicks")
        scene.boss.say(LAB, "!join #kicks")
        await scene.usr.sees(BOT, "#kicks")
        scene.usr.send(f"KICK #kicks {BOT} :out")
        await scene.usr.expect(lambda line: line.command == "JOIN" and line.nick == BOT, what="JOIN")
        scene.boss.say(LAB, "!part #kicks")
