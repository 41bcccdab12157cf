"""milestones.py, and what `registering` and `presence` tell beside it: each step is in the log once."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest
from bench import Bench
from scripted import Peer

from bot.config import NickServ, SaslSettings, Secret

Make = Callable[..., Awaitable[Bench]]
NAME = "neverquit"


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What the log has gained since it was asked last."""
    caplog.set_level(logging.INFO)

    def told() -> list[str]:
        lines = [record.getMessage() for record in caplog.records if record.name.startswith("bot.wire.")]
        caplog.clear()
        return lines

    return told


Told = Callable[[], list[str]]


async def settled(bench: Bench, peer: Peer, *lines: str) -> None:
    peer.send(*lines)
    await bench.said(peer)
    await bench.pass_time(1)


async def test_a_login_is_told_with_the_connection(make: Make, told: Told) -> None:
    bench = await make(sasl=SaslSettings(("PLAIN",), "bot", Secret("x"), None, True, True))
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send("CAP * LS :sasl=PLAIN")
    await peer.until("CAP REQ")
    peer.send("CAP * ACK :sasl")
    await peer.until("AUTHENTICATE PLAIN")
    peer.send("AUTHENTICATE +")
    await peer.until("AUTHENTICATE")
    peer.send(f":irc.test 900 {NAME} n!i@h bot :You are now logged in", ":irc.test 903 * :SASL successful")
    await peer.until("CAP END")
    await settled(bench, peer, f":irc.test 001 {NAME} :Welcome")
    place = f"127.0.0.1:{bench.server.port}"
    assert told() == [
        f"n: connecting to {place} without TLS",
        f"n: connected to {place} as {NAME}, logged in as bot",
    ]
    await settled(bench, peer, f":irc.test 901 {NAME} n!i@h :You are now logged out")
    await settled(bench, peer, f":irc.test 900 {NAME} n!i@h bot2 :You are now logged in")
    assert told() == ["n: not logged in any more", "n: logged in as bot2"]


async def test_a_nick_that_was_taken_and_given_back(make: Make, told: Told) -> None:
    bench = await make()
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send("CAP * LS :")
    await peer.until("CAP END")
    peer.send(f":irc.test 433 * {NAME} :Nickname is already in use")
    await peer.until("NICK")
    await settled(bench, peer, f":irc.test 001 {NAME}_ :Welcome")
    assert told()[1:] == [
        f"n: connected to 127.0.0.1:{bench.server.port} as {NAME}_",
        f"n: the nick {NAME} was refused (Nickname is already in use), so it is {NAME}_",
    ]
    await settled(bench, peer, f":{NAME}_!n@h NICK {NAME}")
    assert told() == [f"n: our nick is {NAME} now"]


async def test_channels_are_told_together_and_each_once(make: Make, told: Told) -> None:
    bench = await make()
    peer = await bench.up()
    told()
    await settled(bench, peer, *(f":{NAME}!n@h JOIN #{number:02}" for number in range(22)))
    names = ", ".join(f"#{number:02}" for number in range(20))
    assert told() == [f"n: joined {names} and 2 more"]
    await settled(bench, peer, f":{NAME}!n@h JOIN #00", ":bob!b@h JOIN #00", ":bob!b@h PART #00")
    await settled(bench, peer, f":op!o@h KICK #00 {NAME} :out", f":{NAME}!n@h JOIN #00")
    assert told() == []
    await settled(bench, peer, f":{NAME}!n@h PART #00")
    await settled(bench, peer, f":{NAME}!n@h JOIN #00")
    assert told() == ["n: joined #00"]


async def test_the_next_worker_does_not_tell_it_again(make: Make, told: Told) -> None:
    bench = await make(kept=True)
    peer = await bench.up(f":{NAME}!n@h JOIN #a")
    await bench.said(peer)
    told()
    await bench.succeed()
    await settled(bench, peer, f":{NAME}!n@h JOIN #b")
    assert told() == [f"n: taken over as {NAME}", "n: joined #b"]


async def test_identifying_to_nickserv_is_told(make: Make, told: Told) -> None:
    bench = await make(nickserv=NickServ(password=Secret("x")))
    peer = await bench.up()
    await settled(bench, peer, f":NickServ!s@services NOTICE {NAME} :Password accepted - you are now recognized.")
    assert told()[-1] == "n: identified to NickServ"
