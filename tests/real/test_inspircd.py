"""The bot on InspIRCd with Atheme: TLS, SASL PLAIN, an admin by services account."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from .inspircd import PASSWORD, InspIRCd
from .ircd import make_certificate, needed
from .program import Program
from .scenarios import BOT, LAB, Scenarios, Scene, config, opened

FARED = '''"""A plugin of the tests."""
from bot import command


@command("fared")
async def fared(ctx, where: str):
    sent = ctx.to(f"real/{where}").say("a word")
    return f"{where}: {await sent.delivered()}"
'''

needed("inspircd", "atheme-services", "openssl")
pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(120)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[InspIRCd]:
    async with InspIRCd(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(server: InspIRCd, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    boss = {"account": "adm", "password": PASSWORD}
    async with opened(server, tmp_path_factory.mktemp("bot"), settings(server), boss) as ready:
        yield ready


def settings(server: InspIRCd, **network: Any) -> dict[str, Any]:
    sasl = {"mechanisms": ["PLAIN"], "username": BOT, "password": PASSWORD}
    network = {"port": server.tls_port, "tls": {"ca_file": str(server.ca_file)}, "sasl": sasl, **network}
    return config(network, {"account": "adm"})


class TestOnInspIRCd(Scenarios):
    async def test_is_identified_and_encrypted(self, scene: Scene) -> None:
        told = await scene.usr.whois(BOT)
        assert told["330"].params[2] == BOT  # its services account
        assert "671" in told  # is using a secure connection

    async def test_an_author_learns_how_a_text_fared(self, scene: Scene) -> None:
        """By echo-message and labeled-response; what was refused is in the log with who said it."""
        scene.write("fared", FARED)
        await scene.report(r"fared loaded g1 \(\w+\).*")
        await scene.usr.ask(LAB, "!fared usr", "usr: True")
        await scene.usr.ask(LAB, f"!fared {LAB}", f"{LAB}: True")
        await scene.usr.ask(LAB, "!fared nobody", "nobody: False")
        assert "fared.fared could not speak in nobody: No such nick (401)" in scene.program.told()

    async def test_an_answer_names_what_it_answers(self, scene: Scene) -> None:
        scene.usr.send("CAP REQ message-tags")
        await scene.new("named", "it is named")
        mark = scene.usr.mark()
        await scene.answers("named", "it is named")
        (answer,) = scene.of_bot(scene.usr, mark)
        assert answer.tags["+draft/reply"] == answer.tags["+reply"] != ""


async def test_a_refused_password_ends_a_run_that_connects_once(server: InspIRCd, tmp_path: Path) -> None:
    """Exit code 69, the cause named, the password not: neither plain nor in the form that went over the wire."""
    wrong = {"mechanisms": ["PLAIN"], "username": BOT, "password": "not-that-one"}
    program = Program(tmp_path, settings(server, sasl=wrong), "--once")
    await program.start()
    assert await program.ended() == 69, program.told()
    assert "SASL" in program.told()
    for secret in (b"not-that-one", base64.b64encode(f"{BOT}\0{BOT}\0not-that-one".encode())):
        assert secret.decode() not in "\n".join(program.log)


async def test_an_unknown_certificate_is_refused(server: InspIRCd, tmp_path: Path) -> None:
    """The server's certificate is not the one that is trusted: exit code 69, and the word certificate in the cause."""
    other, _ = make_certificate(tmp_path)
    program = Program(tmp_path, settings(server, tls={"ca_file": str(other)}), "--once")
    await program.start()
    assert await program.ended() == 69, program.told()
    assert "certificate" in program.told()
