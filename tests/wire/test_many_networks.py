"""Fifty networks in one process: each with its own prefix, admins, channels and plugins, and its own troubles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest_asyncio
from whole import Whole, whole

from bot.config import Admin, Channel, Reconnect

NETWORKS = 50
WHERE = """
from bot import command, rule

@command("where")
async def where(ctx):
    return f"{ctx.network.name} as {ctx.network.nick} in {ctx.channel}"

@command("secret", admin=True)
async def secret(ctx):
    return f"told on {ctx.network.name}"

@command("carry")
async def carry(ctx, address: str, text: str):
    ctx.to(address).say(f"from {ctx.network.name}: {text}")
"""
LOUD = """
from bot import rule

@rule("hello")
async def hello(ctx):
    return f"hello on {ctx.network.name}"
"""


def prefix(number: int) -> str:
    return "!.~$"[number % 4] + str(number)


def settings(number: int) -> dict[str, Any]:
    """Every network has its own prefix and admin; the odd ones do without `loud`."""
    return {
        "nick": f"bot{number}",
        "prefix": (prefix(number),),
        "admins": (Admin(hostmask=f"*!*@staff{number}.example"),),
        "disabled": ("loud",) if number % 2 else (),
        "channels": (Channel("#c"), Channel(f"#own{number}")),
        "reconnect": Reconnect(60, 300),
    }


@pytest_asyncio.fixture
async def fifty(tmp_path: Path) -> AsyncIterator[Whole]:
    networks = {f"net{number}": settings(number) for number in range(NETWORKS)}
    async with whole(tmp_path, {"where": WHERE, "loud": LOUD}, networks) as bot:
        await asyncio.gather(*map(bot.let_in, networks))
        yield bot


def say(bot: Whole, number: int, text: str, host: str = "host.example") -> None:
    bot.peers[f"net{number}"].send(f":you!u@{host} PRIVMSG #c :{text}")


async def test_each_is_answered_by_its_own_prefix_admins_and_plugins(fifty: Whole) -> None:
    for number in range(NETWORKS):
        say(fifty, number, f"{prefix((number + 1) % NETWORKS)}where")
        say(fifty, number, f"{prefix(number)}where")
        say(fifty, number, f"{prefix(number)}secret", f"staff{number}.example")
        say(fifty, number, f"{prefix(number)}secret", f"staff{(number + 1) % NETWORKS}.example")
        say(fifty, number, "hello")
        say(fifty, number, f"{prefix(number)}where")
    for number in range(NETWORKS):
        name = f"net{number}"
        here = f"PRIVMSG #c :{name} as bot{number} in #c"
        answers = [here, f"PRIVMSG #c :told on {name}", "PRIVMSG #c :secret: admins only"]
        answers += [] if number % 2 else [f"PRIVMSG #c :hello on {name}"]
        assert [await fifty.line(name) for _ in range(len(answers) + 1)] == [*answers, here]


async def test_each_is_in_its_own_channels(fifty: Whole) -> None:
    for number in range(NETWORKS):
        connection = fifty.app.networks[f"net{number}"].connection
        assert sorted(connection.channels) == ["#c", f"#own{number}"]
        assert f",#own{number}".encode() in fifty.peers[f"net{number}"].received


async def test_an_address_reaches_the_network_that_it_names(fifty: Whole) -> None:
    for number in range(NETWORKS):
        say(fifty, number, f"{prefix(number)}carry net{(number + 7) % NETWORKS}/#c hi")
    for number in range(NETWORKS):
        assert await fifty.line(f"net{(number + 7) % NETWORKS}") == f"PRIVMSG #c :from net{number}: hi"


async def test_one_that_fails_floods_or_hangs_delays_none_of_the_others(fifty: Whole) -> None:
    gone, flooding, deaf, garbled, silent = (fifty.peers[f"net{number}"] for number in range(5))
    gone.abort()
    flooding.send_bytes(b":x!y@h PRIVMSG #c :chatter\r\n" * 3_000)
    deaf.stop_reading()
    for _ in range(200):
        say(fifty, 2, f"{prefix(2)}where")
    garbled.send_bytes(b"\xff\xfe no line ends here " * 5000)
    del silent  # says nothing at all any more
    for number in range(5, NETWORKS):
        say(fifty, number, f"{prefix(number)}where")
    for number in range(5, NETWORKS):
        assert await fifty.line(f"net{number}") == f"PRIVMSG #c :net{number} as bot{number} in #c"
    assert fifty.app.keeper.entries.unfinished["net1"] > 0, "the flood is not over, and nobody waits for its end"
    assert all(fifty.servers[f"net{number}"].connections == 1 for number in range(1, NETWORKS))
    assert not fifty.app.networks["net0"].connection.registered
    say(fifty, 1, f"{prefix(1)}where")
    assert await fifty.line("net1") == "PRIVMSG #c :net1 as bot1 in #c"


async def test_one_that_is_given_up_or_added_leaves_the_others_alone(fifty: Whole) -> None:
    app, config = fifty.app, fifty.app.config
    closing = asyncio.ensure_future(
        app.apply(replace(config, networks={name: net for name, net in config.networks.items() if name != "net9"}))
    )
    assert (await fifty.peers["net9"].until("QUIT"))[-1] == "QUIT :neverquit: no longer configured here"
    await fifty.peers["net9"].close()
    await closing
    assert "net9" not in app.networks and len(app.networks) == NETWORKS - 1
    await app.apply(config)
    await fifty.let_in("net9")
    for number in (8, 9):
        say(fifty, number, f"{prefix(number)}where")
        assert await fifty.line(f"net{number}") == f"PRIVMSG #c :net{number} as bot{number} in #c"
    assert all(fifty.servers[f"net{number}"].connections == 1 + (number == 9) for number in range(NETWORKS))
