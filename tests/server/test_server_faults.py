"""What the embedded server does wrong on purpose, one fault at a time."""

from __future__ import annotations

import asyncio
import re
from dataclasses import fields
from pathlib import Path

import pytest
from speaking import Join, ask, numerics, piped, raw

import bot
from bot.server import GARBAGE, Client, Faults, Server
from bot.testing import running_bot

REGISTER = ("NICK alice", "USER alice 0 * :Alice")


async def test_without_faults_a_server_has_none(server: Server) -> None:
    assert vars(server.faults) == vars(Faults())


async def test_silent_after_accept_says_nothing_and_still_listens(server: Server) -> None:
    server.faults = Faults(silent="accepted")
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"NICK alice\r\nUSER a 0 * :a\r\n")
    await server.wait_for(lambda nick, way, line: line.startswith("USER"), since=0)
    assert [entry.line for entry in server.log if entry.direction == "out"] == []
    assert "alice" in server.clients
    writer.close()


async def test_silent_after_001_says_that_and_nothing_more(server: Server) -> None:
    server.faults = Faults(silent="registered")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"NICK alice\r\nUSER a 0 * :a\r\nPING x\r\n")
    assert b" 001 " in await reader.readline()
    await server.wait_for(lambda nick, way, line: line == "PING x", since=0)
    assert [entry.line.split(" ")[1] for entry in server.log if entry.direction == "out"] == ["001"]
    writer.close()


async def test_who_is_muted_hears_nothing_until_that_ends(server: Server, join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    server.mute("alice")
    await ask(bob, "PRIVMSG #a :unheard")
    server.mute("alice", on=False)
    assert [line.split(" ")[1] for line in await ask(alice)] == ["JOIN"]


async def test_a_deaf_server_reads_nothing(server: Server) -> None:
    server.faults = Faults(deaf="accepted")
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"NICK alice\r\n")
    server.faults = Faults()
    await raw(server, *REGISTER)  # this one is read, and the one before it is not
    assert sum(line == "NICK alice" for _, _, line in server.log) == 1
    writer.close()


async def test_one_client_is_no_longer_read_and_later_again(server: Server, join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    server.deafen("alice")
    alice.privmsg("#a", "waits")
    assert await ask(bob) == []
    server.deafen("alice", on=False)
    assert (await bob.expect("PRIVMSG")).endswith(":waits")


@pytest.mark.parametrize(
    "lines", [("ERROR :Trying to reconnect too fast.",), (":irc.demo 465 * :You are banned", "ERROR :K-lined")]
)
async def test_connections_are_turned_away_as_often_as_asked(server: Server, lines: tuple[str, ...]) -> None:
    server.faults.turn_away(2, *lines)
    for _ in range(2):
        assert await raw(server) == list(lines)
    assert numerics(await raw(server, *REGISTER))[0] == "001"
    assert len(server.arrivals) == 3


async def test_001_waits_for_the_answer_to_a_ping(server: Server) -> None:
    server.faults = Faults(cookie=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write("\r\n".join([*REGISTER, "PONG wrong", ""]).encode())
    ping = await reader.readline()
    assert ping.startswith(b"PING :") and "alice" not in server.clients
    writer.write(b"PONG :" + ping[6:])
    assert b" 001 " in await reader.readline()
    writer.close()


async def test_001_waits_until_a_test_lets_people_in(server: Server) -> None:
    server.faults = Faults(hold_welcome=True)
    assert await raw(server, *REGISTER) == []
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"NICK bob\r\nUSER b 0 * :b\r\n")
    await server.wait_for(lambda nick, way, line: nick == "bob" and line.startswith("USER"), since=0)
    server.let_in()
    assert b" 001 bob " in await reader.readline()
    writer.close()


async def test_001_gives_another_nick(server: Server) -> None:
    server.faults = Faults(welcome_nick="ali")
    heard = await raw(server, *REGISTER)
    assert heard[0].startswith(":irc.demo 001 ali ") and server.nicks.keys() <= {"ali"}


async def test_the_greeting_comes_backwards(server: Server) -> None:
    server.faults = Faults(reverse_welcome=True)
    assert numerics(await raw(server, *REGISTER))[-2:] == ["002", "001"]


async def test_numerics_are_left_out(server: Server) -> None:
    server.faults = Faults(unsaid=frozenset({"375", "372", "376", "005"}))
    assert " ".join(numerics(await raw(server, *REGISTER))) == "001 002 003 004 251 254 255"


@pytest.mark.parametrize(
    ("fault", "heard"),
    [
        (Faults(cap="unknown"), ["421", "421", "001"]),
        (Faults(cap="ignored"), ["001", "002", "003"]),
        (Faults(cap="refused"), ["CAP", "CAP"]),
        (Faults(refused_caps=frozenset({"chghost"})), ["CAP", "CAP"]),
    ],
)
async def test_cap_is_not_there_or_refuses(server: Server, fault: Faults, heard: list[str]) -> None:
    server.faults = fault
    lines = await raw(server, "CAP LS 302", "CAP REQ :chghost setname", *REGISTER)
    assert numerics(lines)[: len(heard)] == heard
    assert all(" NAK " in line for line in lines if " CAP * " in line and " LS " not in line)


@pytest.mark.parametrize(
    ("line", "numeric"),
    [("JOIN #FULL", "471"), ("JOIN #a,#full", "471"), ("NICK bob", "433"), ("PRIVMSG #a :x", "439"), ("AWAY", "447")],
)
async def test_what_one_says_is_answered_by_any_numeric(join: Join, server: Server, line: str, numeric: str) -> None:
    alice = await join("alice", "#a")
    server.faults.answers = {"JOIN #full": "471", "NICK *": "433", "PRIVMSG #?": "439", "AWAY": "447"}
    assert numerics(await ask(alice, line)) == [numeric]
    assert numerics(await ask(alice, "JOIN #other"))[0] == "JOIN"


async def test_one_byte_is_written_at_a_time_and_nothing_is_lost(server: Server) -> None:
    whole = await raw(server, *REGISTER)
    server.faults = Faults(segment=1)
    assert await raw(server, *REGISTER) == whole
    assert (await raw(server, "QUIT"))[-1] == "ERROR :Closing link: 127.0.0.1 (Client quit)"


async def test_a_segment_is_one_write() -> None:
    server = Server()
    peer, pipe = piped(server, "alice")
    pipe.written = b""
    server.faults = Faults(segment=4)
    peer.data_received(b"PING x\r\n")
    sizes = []
    for _ in range(10):
        sizes.append(len(pipe.written))
        await asyncio.sleep(0)
    assert sizes == [4, 8, 12, 16, 20, 24, 28, 28, 28, 28]


async def test_half_a_line_and_later_the_other_half(server: Server, join: Join) -> None:
    alice = await join("alice")
    server.send_raw("alice", b"PING :to", end=b"")
    server.send_raw("alice", b"gether")
    assert await alice.expect("PING") == "PING :together"


async def test_a_connection_is_cut_in_the_middle_of_a_line(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write("\r\n".join([*REGISTER, ""]).encode())
    await reader.readuntil(b" 376 alice :End of /MOTD command\r\n")
    server.cut_off("alice", b":x!y@z PRIVM")
    assert await reader.read() == b":x!y@z PRIVM" and server.clients == {}
    writer.close()


async def test_garbage_follows_each_line_to_a_registered_client() -> None:
    server = Server()
    server.faults = Faults(garbage=GARBAGE)
    peer, pipe = piped(server, "alice")
    pipe.written = b""
    for _ in GARBAGE:
        peer.data_received(b"PING x\r\n")
    lines = pipe.written.split(b"\r\n")
    assert set(GARBAGE) <= set(lines[1::2]) and all(line.endswith(b":x") for line in lines[:-1:2])
    assert server.crashes == []


async def test_too_many_lines_in_too_short_a_time_end_a_connection(join: Join, server: Server) -> None:
    now = [1000.0]
    server.now = lambda: now[0]
    server.faults = Faults(flood=(10, 2.0))
    alice = await join("alice")
    now[0] += 3
    for at in range(0, 30, 6):
        for _ in range(6):
            alice.send("AWAY")
        assert "PONG" in await _pong(alice, str(at))
        now[0] += 3
    for _ in range(11):
        alice.send("AWAY")
    assert await alice.expect("ERROR") == "ERROR :Closing link: 127.0.0.1 (Excess Flood)"


async def _pong(client: Client, token: str) -> str:
    client.send(f"PING {token}")
    return await client.expect(f"PONG irc.demo :{token}")


async def test_everybody_gets_the_same_long_host(server: Server) -> None:
    host = f"{'h' * 58}.host"
    server.faults = Faults(cloak=host)
    heard = await raw(server, *REGISTER)
    assert f":irc.demo 396 alice {host} :is now your displayed host" in heard
    assert heard[0].endswith(f"alice!alice@{host}")


@pytest.mark.parametrize(("length", "cut"), [(396, 0), (397, 1)])
async def test_lines_that_had_to_be_cut_are_kept(join: Join, server: Server, length: int, cut: int) -> None:
    """`:alice!alice@` and 90 letters of host, ` PRIVMSG #a :` and the text: 510 bytes fit."""
    server.faults = Faults(cloak="h" * 88)
    alice = await join("alice", "#a")
    await join("bob", "#a")
    await ask(alice, "PRIVMSG #a :" + "x" * length)
    assert len(server.overlong) == cut


async def test_longer_lines_may_be_allowed(join: Join, server: Server) -> None:
    server.max_body = 2046
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    await ask(alice, "PRIVMSG #a :" + "x" * 1500)
    assert (await ask(bob))[-1].endswith("x" * 1500)
    assert "LINELEN=2048" in " ".join(await ask(bob, "VERSION"))


@pytest.mark.parametrize("numeric", ["433", "437"])
async def test_a_nick_is_held_until_it_is_let_go(server: Server, numeric: str) -> None:
    server.held["alice"] = numeric
    assert numerics(await raw(server, *REGISTER)) == [numeric]
    server.held.clear()
    assert numerics(await raw(server, *REGISTER))[0] == "001"


async def test_people_without_sockets_are_there_and_can_leave(join: Join, server: Server) -> None:
    alice = await join("alice", "#a")
    server.populate([f"p{number}" for number in range(2000)], "#a", letters="v")
    names = [line for line in await ask(alice, "NAMES #a") if " 353 " in line]
    assert " ".join(line.split(" :")[1] for line in names).split() == ["@alice", *(f"+p{n}" for n in range(2000))]
    server.client("p7").leave("bored")
    assert await ask(alice) == [":p7!people@localhost QUIT :bored"]


def test_every_fault_has_words_for_plugin_authors() -> None:
    text = (Path(bot.__file__).parents[1] / "docs" / "plugins.md").read_text(encoding="utf-8")
    section = text.partition("| field of `Faults` |")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == [field.name for field in fields(Faults)]
    table = text.partition("| `bot.server.` |")[2].partition("\n\n")[0]
    named = {name for row in table.splitlines()[2:] for name in re.findall(r"`(?:await )?(\w+)", row.split("|")[1])}
    assert named and {name for name in named if not hasattr(Server(), name)} == set()


async def test_the_kits_bot_goes_on_among_nonsense_and_after_a_netsplit() -> None:
    """As docs/plugins.md has it."""
    async with running_bot() as kit:
        await kit.load(Path(bot.__file__).parents[1] / "plugins" / "dice.py")
        await kit.person("bob")
        kit.server.faults = Faults(garbage=GARBAGE, segment=1)
        kit.server.split(["bob"])
        assert await kit.heard(kit.server.rejoin) == []
        assert await kit.say("!roll 1d1", nick="bob") == ["1d1: 1"]
