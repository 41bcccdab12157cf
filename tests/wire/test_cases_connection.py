"""The catalogue's section C, the life of a connection, with R15; what is left stands by its source file.

Real keeper, real sockets; only the clock is stepped by hand, and the resolver replaced where a case is about it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from scripted import CERTIFICATES, server_tls, turns
from whole import ECHO, whole

from bot.config import Channel, Reconnect, Secret, Tls
from bot.protocol.message import Message
from bot.wire import dial as dialling

ALIVE = ":u!i@h PRIVMSG #c :!echo alive"


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_c01_refused_and_refused_it_costs_nothing_and_connects_when_the_server_is_there(make: Any) -> None:
    """With real sockets. A thousand times, and the waits: tests/wire/test_connection.py."""
    bench = await make()
    free = socket.create_server(("127.0.0.1", 0))
    bench.connection.configure(replace(bench.network, port=free.getsockname()[1]))
    free.close()
    bench.connection.start()
    await bench.until(lambda: bench.connection.alarms.next_at("dial"))
    before = descriptors(), threading.active_count(), len(asyncio.all_tasks())
    for _ in range(50):
        await bench.pass_time(bench.waits())
        await bench.until(lambda: bench.connection.alarms.next_at("dial"))
        assert 0 < bench.waits() <= 300
    await bench.until(lambda: threading.active_count() <= before[1])
    assert (descriptors(), len(asyncio.all_tasks())) == (before[0], before[2])
    bench.connection.configure(bench.network)
    await bench.pass_time(bench.waits())
    await bench.again()


async def test_c02_a_name_that_fails_then_has_a_dead_address_then_only_an_ipv6_one(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked up at each attempt; the next address is tried."""
    bench = await make(host="irc.example")
    four, peers = ("127.0.0.1", bench.server.port), list[asyncio.StreamWriter]()
    six = await asyncio.start_server(lambda reader, writer: peers.append(writer), "::1", 0)
    dead = socket.create_server(("127.0.0.1", 0))
    found: list[Any] = [
        socket.gaierror(-3, "Temporary failure in name resolution"),
        [(socket.AF_INET, dead.getsockname()), (socket.AF_INET, four)],
        [(socket.AF_INET6, six.sockets[0].getsockname())],
    ]
    dead.close()

    def answer(*_: object, **__: object) -> list[Any]:
        now = found.pop(0)
        if isinstance(now, Exception):
            raise now
        return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in now]

    monkeypatch.setattr(dialling.socket, "getaddrinfo", answer)
    bench.connection.start()
    await bench.until(lambda: bench.connection.alarms.next_at("dial"))
    await bench.pass_time(bench.waits())
    await bench.lost(await bench.again())
    await bench.pass_time(bench.waits())
    await bench.until(lambda: peers)
    assert found == []
    peers[0].close()
    six.close()


@pytest.fixture
def deaf() -> Iterator[int]:
    """The port of a server that swallows each SYN: its backlog is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for client in (first, second):
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


async def test_c03_while_a_server_answers_no_syn_reloads_go_on_and_the_bot_ends_at_once(
    tmp_path: Path, deaf: int
) -> None:
    async with whole(tmp_path, networks={"n": {"port": deaf}}) as bot:
        await bot.write("echo", ECHO + "\n# changed\n")
        await bot.write("other", ECHO.replace('"echo"', '"other"'))
        assert {"echo", "other"} <= set(bot.app.reloader.live)
        assert bot.app.networks["n"].connection.state == "not connected"
        async with asyncio.timeout(5):
            await bot.app.close()


async def test_c03_the_attempt_is_given_up_in_time_and_made_again(make: Any, deaf: int) -> None:
    bench = await make(port=deaf)
    bench.connection.start()
    await bench.crossed()
    await bench.pass_time(29)
    assert bench.connection.alarms.next_at("dial") is None
    await bench.pass_time(1)
    await bench.until(lambda: bench.connection.alarms.next_at("dial"))
    assert bench.waits() <= 4
    bench.connection.configure(replace(bench.network, port=bench.server.port))
    await bench.pass_time(bench.waits())
    await bench.again()


@pytest.mark.parametrize(
    ("certificate", "authority", "cause"),
    [
        ("selfsigned", "authority", "self"),
        ("expired", "authority", "expired"),
        ("elsewhere", "authority", "not valid for 'localhost'"),
        ("server", "stranger", "issuer"),
    ],
)
async def test_c06_a_certificate_that_is_not_accepted_is_told_and_tried_again_by_tls_only(
    certificate: str, authority: str, cause: str, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tls = Tls(str(CERTIFICATES / f"{authority}.pem"))
    bench = await make(server_tls(certificate), host="localhost", tls=tls, password=Secret("hunter2"))
    bench.connection.start()
    for _ in range(3):
        await bench.until(lambda: bench.connection.alarms.next_at("dial"))
        await bench.pass_time(bench.waits())
    await bench.until(lambda: bench.connection.alarms.next_at("dial"))
    told = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert len(told) == 1 and cause in told[0] and "certificate of localhost" in told[0]
    assert b"".join([await peer.rest() for peer in bench.server.peers]) == b""


async def test_c08_a_server_that_stops_reading_costs_bounded_memory_and_is_left(make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    await bench.said(peer)
    peer.stop_reading()
    session = bench.keeper._nets["n"].session
    session.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    tracemalloc.start()
    while session.paused_at is None:
        bench.connection.say(Message("PRIVMSG", ("#c", "x" * 400)))
        await turns(1)
    for number in range(6_000):
        bench.connection.say(Message("PRIVMSG", (f"#{number % 100}", f"{number} {'x' * 400}")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000 and bench.connection.outbox.dropped > 0
    await bench.pass_time(60)
    assert await bench.told.event("down") == "down: the server has read nothing for 60 s"
    await bench.pass_time(bench.waits())
    await bench.again()


async def test_c09_a_channel_that_is_not_to_be_rejoined_stays_left_over_a_takeover(make: Any) -> None:
    """And is back with a new connection, or when somebody invites us."""
    bench = await make(channels=(Channel("#a", rejoin=False), Channel("#b")), kept=True)
    peer = await bench.up(":neverquit!i@h JOIN #a", ":neverquit!i@h JOIN #b")
    peer.send(":op!i@h KICK #a neverquit :out", ":op!i@h KICK #b neverquit :out")
    await bench.said(peer)
    await bench.pass_time(600)
    said = await bench.said(peer)
    assert "JOIN #b" in said and "JOIN #a" not in said
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.succeed()
    said = await bench.said(peer)
    assert "JOIN #b" in said and "JOIN #a" not in said
    peer.send(":op!i@h INVITE neverquit #a")
    assert "JOIN #a" in await bench.said(peer)
    await bench.lost(peer)
    await bench.pass_time(bench.waits())
    assert "JOIN #a,#b" in await bench.said(await bench.again())


@pytest.mark.parametrize("numeric", ["471", "473", "474", "475", "477", "403", "405", "437"])
async def test_c10_each_refusal_of_a_join_waits_longer_and_other_channels_go_on(
    numeric: str, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    refusal = f":irc.test {numeric} neverquit #a :Cannot join channel"
    bench = await make(channels=(Channel("#a", Secret("key")), Channel("#c")))
    peer = await bench.up(":neverquit!i@h JOIN #c", refusal)
    await bench.said(peer)
    waits = list[float]()
    for _ in range(7):
        peer.send(ALIVE)
        said = await bench.said(peer)
        assert "PRIVMSG #c :alive" in said and not any("JOIN #a" in line for line in said)
        at = bench.connection.alarms.next_at("rejoin")
        waits.append(at - bench.clock.now)
        await bench.pass_time(waits[-1])
        assert [line for line in await bench.said(peer) if "JOIN" in line] == ["JOIN #a key"]
        peer.send(refusal)
        await bench.said(peer)
    assert waits[-1] > 4 * waits[0] and waits[-1] == max(waits)
    told = [record.getMessage() for record in caplog.records if "can't join" in record.getMessage()]
    assert len(told) == 1 and told[0].startswith("n: #a: can't join: Cannot join channel; trying again in")


async def test_c12_a_key_that_changed_meanwhile_is_the_one_to_come_back_with(make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    bench.connection.join("#a", "first")
    peer.send(":neverquit!i@h JOIN #a", ":op!i@h MODE #a +k second")
    await bench.said(peer)
    await bench.lost(peer)
    await bench.pass_time(bench.waits())
    assert await bench.said(await bench.again()) == ["JOIN #a second"]


async def test_c16_eleven_hundred_descriptors_are_no_limit(make: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 1300:
        pytest.skip(f"this account may open {hard} descriptors only")
    if soft < 1300:
        resource.setrlimit(resource.RLIMIT_NOFILE, (1300, hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        bench = await make()
        peer = await bench.up()
        assert bench.keeper._nets["n"].session.transport.get_extra_info("socket").fileno() > 1100
        peer.send(ALIVE)
        assert await bench.said(peer) == ["PRIVMSG #c :alive"]
    finally:
        for one in opened:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


REFUSALS = {
    "K-line": "ERROR :Closing Link: 127.0.0.1 (K-lined: spam)",
    "465": ":irc.test 465 * :You are banned from this server",
    "464": ":irc.test 464 * :Password incorrect",
    "463": ":irc.test 463 * :Your host isn't among the privileged",
}


@pytest.mark.parametrize("kind", REFUSALS)
async def test_r15_refused_twenty_times_the_waits_grow_and_the_reason_is_told_once(
    kind: str, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await make(channels=(Channel("#c"),))
    bench.connection.start()
    waits = list[float]()
    for _ in range(20):
        peer = await bench.server.accept()
        peer.send(REFUSALS[kind])
        await bench.lost(peer)
        waits.append(bench.waits())
        assert b"JOIN" not in peer.received
        await bench.pass_time(waits[-1])
    assert all(later > earlier for earlier, later in pairwise(waits[:6])) and waits[0] <= 4
    assert all(150 <= wait <= 300 for wait in waits[8:])
    words = REFUSALS[kind].rpartition(":")[2] if kind != "K-line" else "K-lined: spam"
    told = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert len(told) == 1 and words in told[0]
    await bench.again()


@pytest.mark.parametrize("words", ["Trying to reconnect too fast.", "Your ip has been throttled: too many connections"])
async def test_r15_a_throttle_is_waited_out_from_the_first(words: str, make: Any) -> None:
    bench = await make(reconnect=Reconnect(2, 300))
    bench.connection.start()
    peer = await bench.server.accept()
    peer.send(f"ERROR :{words}")
    await bench.lost(peer)
    assert 60 <= bench.waits() <= 120


async def test_r15_another_reason_is_told_again(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench = await make()
    bench.connection.start()
    for kind in ("K-line", "K-line", "465", "465", "K-line"):
        peer = await bench.server.accept()
        peer.send(REFUSALS[kind])
        await bench.lost(peer)
        await bench.pass_time(bench.waits())
    told = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert ["K-lined" in text for text in told] == [True, False, True]
    await bench.again()
