"""An upgrade of the bot itself, on InspIRCd over TLS, under load, as somebody else in the channel sees it."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import pytest

from .client import Client
from .inspircd import PASSWORD, InspIRCd
from .ircd import needed
from .program import CHECKOUT, Program, connections_to
from .scenarios import BOT, LAB, config

needed("inspircd", "atheme-services", "openssl")
pytestmark = [pytest.mark.real, pytest.mark.asyncio, pytest.mark.timeout(240)]

COUNT = """
from bot import command, keep, store
seen, total = keep("seen", list), store("total")

@command("count")
async def count(ctx, number: int):
    seen.append(number)
    return f"{number} is {len(seen)} of {total.add('n')}"
"""
PER_SECOND = 100


async def test_an_upgrade_of_the_bot_under_load_is_seen_by_nobody(tmp_path: Path) -> None:
    """A changed reply in a built-in command answers; no QUIT, no JOIN, one socket; every command is answered once, in
    order, and what is kept and stored counts on."""
    for folder in ("server", "bot"):
        (tmp_path / folder).mkdir()
    async with InspIRCd(tmp_path / "server") as server:
        sasl = {"mechanisms": ["PLAIN"], "username": BOT, "password": PASSWORD}
        network = {"port": server.tls_port, "tls": {"ca_file": str(server.ca_file)}, "sasl": sasl}
        program = Program(tmp_path / "bot", config(network, {"account": "adm"}))
        program.code = tmp_path / "code"
        shutil.copytree(CHECKOUT / "bot", program.code / "bot")  # with its bytecode
        (program.plugins / "count.py").write_text(COUNT)
        await program.start()
        boss, usr = await asyncio.gather(
            Client.connect(server.host, server.tls_port, "boss", tls=server.tls(), account="adm", password=PASSWORD),
            Client.connect(server.host, server.plain_port, "usr"),
        )
        for client in (boss, usr):
            await client.join(LAB)
        try:
            await program.during(usr.sees(BOT, LAB))
            await usr.ask(LAB, "!more", "there is nothing more to tell")
            await upgraded(program, server, boss, usr)
        finally:
            await asyncio.gather(boss.close(), usr.close())
            code = await program.stop()
        assert code == 0, program.told()


async def upgraded(program: Program, server: InspIRCd, boss: Client, usr: Client) -> None:
    sockets, mark = connections_to(server.tls_port), usr.mark()
    change(program.code / "bot" / "chat.py", '"there is nothing more to tell"', '"that was all"')
    change(program.code / "bot" / "__init__.py", '__version__ = "', '__version__ = "7.')
    boss.say(LAB, "!restart")
    restarted = asyncio.create_task(boss.heard(r"restarted: neverquit \S+ -> 7\.\S+, pause (\S+) s, state of 1 .*"))
    said = 0
    while not restarted.done() or said < 5 * PER_SECOND:
        said += 1
        usr.say(LAB, f"!count {said}")
        await asyncio.sleep(1 / PER_SECOND)
    assert float((await restarted)[1]) < 10, program.told()
    await usr.heard(rf"{said} is .*", to=LAB)
    told = [line.text for line in usr.since(mark, "PRIVMSG") if re.fullmatch(r"\d+ is \d+ of \d+", line.text)]
    assert told == [f"{number} is {number} of {number}" for number in range(1, said + 1)], program.told()
    await usr.ask(LAB, "!more", "that was all")
    assert [line.raw for line in usr.since(mark, "QUIT", "JOIN", "PART", "NICK", "KICK") if line.nick == BOT] == []
    assert connections_to(server.tls_port) == sockets


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
