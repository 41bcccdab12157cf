"""registering.py: a connection is let in by the embedded server, by each of its ways; and what takes time."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import logging
import re
import ssl
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from bench import Bench
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from scripted import CERTIFICATES, PATIENCE_SECONDS, server_tls, until

from bot.config import NickServ as NickServSettings
from bot.config import SaslSettings, Secret, Tls
from bot.errors import CannotConnect, StoreError
from bot.protocol.sasl import MECHANISMS
from bot.protocol.sts import Policies
from bot.server.server import Server
from bot.server.services import NickServ

AUTHORITY, CLIENT = str(CERTIFICATES / "authority.pem"), str(CERTIFICATES / "client.pem")
CLIENT_PEM = Path(CLIENT).read_text()
PASSWORD = "hunter2-planted"
BOT = "neverquit"


class Embedded(Server):
    """The embedded server, as a bench holds one."""

    async def __aexit__(self, *_: object) -> None:
        await self.stop()


def private() -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(CLIENT_PEM.partition("-----END CERTIFICATE-----")[2].encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@pytest_asyncio.fixture
async def meet() -> AsyncIterator[Callable[..., Any]]:
    """Makes a bench on an embedded server that knows the account `bot` by password, certificate and key."""
    made = list[Bench]()

    async def meet(
        context: ssl.SSLContext | None = None, *, secure: ssl.SSLContext | None = None, **settings: Any
    ) -> Bench:
        server = Embedded(name="irc.test", accounts={"bot": PASSWORD}, tls=context)
        server.caps["sasl"] = ",".join(MECHANISMS)
        der = ssl.PEM_cert_to_DER_cert(re.split(r"(?<=-----END CERTIFICATE-----\n)", CLIENT_PEM)[0])
        server.fingerprints[hashlib.sha256(der).hexdigest()] = "bot"
        point = private().public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        server.public_keys["bot"] = base64.b64encode(point).decode()
        await server.start()
        if secure is not None:
            await server.start_tls(secure)
        made.append(Bench(server, "memory", **settings))  # type: ignore[arg-type]
        await made[-1].work()
        return made[-1]

    yield meet
    for bench in made:
        await bench.end()


def said(bench: Bench) -> list[str]:
    """All lines that the server has had."""
    return [line for _, way, line in bench.server.log if way == "in"]  # type: ignore[attr-defined]


async def let_in(bench: Bench) -> None:
    bench.connection.start()
    async with asyncio.timeout(PATIENCE_SECONDS):
        await bench.connection.wait_up()


@pytest.mark.parametrize(
    ("mechanism", "settings"),
    [
        ("SCRAM-SHA-512", SaslSettings((), "bot", Secret(PASSWORD))),
        ("SCRAM-SHA-256", SaslSettings(("SCRAM-SHA-256",), "bot", Secret(PASSWORD))),
        ("ECDSA-NIST256P-CHALLENGE", SaslSettings((), "bot", Secret(PASSWORD), CLIENT)),
        ("PLAIN", SaslSettings(("PLAIN",), "bot", Secret(PASSWORD), None, True, True)),
    ],
)
async def test_each_mechanism_logs_in(mechanism: str, settings: SaslSettings, meet: Any) -> None:
    bench = await meet(sasl=settings)
    await let_in(bench)
    assert bench.connection.registration.account == "bot"
    assert bench.server.client(BOT).account == "bot"
    assert f"AUTHENTICATE {mechanism}" in said(bench)


async def test_a_client_certificate_logs_in(meet: Any) -> None:
    tls = Tls(AUTHORITY, CLIENT)
    bench = await meet(server_tls(ask_client=True), host="localhost", tls=tls, sasl=SaslSettings((), "bot"), once=True)
    await let_in(bench)
    assert bench.connection.registration.account == "bot"
    assert "AUTHENTICATE EXTERNAL" in said(bench)


@pytest.mark.parametrize("fault", ["signature", "nonce", "iterations"])
async def test_services_that_cheat_get_no_password_by_another_way(fault: str, meet: Any) -> None:
    bench = await meet(sasl=SaslSettings((), "bot", Secret(PASSWORD), None, True, True), once=True)
    bench.server.faults.sasl = fault
    bench.connection.start()
    with pytest.raises(CannotConnect, match="SASL"):
        await bench.connection.wait_up()
    assert "AUTHENTICATE PLAIN" not in said(bench)


async def test_services_that_were_away_are_logged_in_to_when_they_are_back(meet: Any) -> None:
    bench = await meet(sasl=SaslSettings((), "bot", Secret(PASSWORD)))
    await let_in(bench)
    bench.server.services_leave()
    bench.server.logout(BOT)
    await bench.server.barrier(BOT)
    await bench.crossed()
    assert bench.connection.registered and bench.connection.registration.account is None
    bench.server.services_return()
    await until(lambda: bench.connection.registration.account == "bot")


async def test_nickserv_identifies_before_the_channels_are_joined(meet: Any) -> None:
    bench = await meet(nickserv=NickServSettings(password=Secret(PASSWORD), account="bot"))
    NickServ(bench.server)
    bench.connection.join("#a")
    await let_in(bench)
    await until(lambda: bench.connection.roster.channel("#a") is not None)
    lines = said(bench)
    assert lines.index(f"PRIVMSG NickServ :IDENTIFY bot {PASSWORD}") < lines.index("JOIN #a")
    assert bench.server.client(BOT).account == "bot"


async def test_a_host_that_wants_tls_is_spoken_to_by_tls(meet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", AUTHORITY)
    rows: dict[str, Any] = {}
    bench = await meet(secure=server_tls(), host="localhost", policies=Policies(rows))
    bench.server.sts_seconds = 600
    await let_in(bench)
    assert rows["localhost"][:2] == [bench.server.tls_port, 600]


async def test_the_salting_leaves_the_loop_alone(meet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is held up until the loop has done something else."""
    turned, threads = threading.Event(), list[str]()
    salt = hashlib.pbkdf2_hmac

    def slow(*args: Any) -> bytes:
        threads.append(threading.current_thread().name)
        if threads[-1].startswith("sasl "):  # the server salts, too
            assert turned.wait(10)
        return salt(*args)

    monkeypatch.setattr("bot.protocol.scram.hashlib.pbkdf2_hmac", slow)
    bench = await meet(sasl=SaslSettings((), "bot", Secret(PASSWORD)))
    bench.connection.start()
    await until(lambda: "sasl n" in threads)
    turned.set()
    await bench.connection.wait_up()


async def test_what_comes_of_it_after_the_connection_is_gone_is_nobodys(
    meet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, salt = threading.Event(), hashlib.pbkdf2_hmac
    results = list[bytes]()

    def slow(*args: Any) -> bytes:
        if threading.current_thread().name.startswith("sasl "):
            assert go.wait(10)
        results.append(salt(*args))
        return results[-1]

    monkeypatch.setattr("bot.protocol.scram.hashlib.pbkdf2_hmac", slow)
    bench = await meet(sasl=SaslSettings((), "bot", Secret(PASSWORD)))
    bench.connection.start()
    await until(lambda: any(thread.name == "sasl n" for thread in threading.enumerate()))
    threads = [thread for thread in threading.enumerate() if thread.name == "sasl n"]
    await bench.server.stop()
    await until(lambda: bench.connection.alarms.next_at("dial") is not None)
    go.set()
    await asyncio.to_thread(threads[0].join)
    await bench.crossed()
    assert bench.connection.registration is None


class Broken(dict[str, Any]):
    """A table on a disk that fails."""

    def __getitem__(self, key: str) -> Any:
        raise StoreError("the disk is full")

    def __setitem__(self, key: str, value: Any) -> None:
        raise StoreError("the disk is full")


async def test_a_disk_that_fails_is_told_and_costs_no_connection(
    meet: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", AUTHORITY)
    bench = await meet(secure=server_tls(), host="localhost", policies=Policies(Broken()))
    bench.server.sts_seconds = 600
    with caplog.at_level(logging.ERROR):
        await let_in(bench)
    assert "can't be looked up: the disk is full" in caplog.text
    assert "can't be written down: the disk is full" in caplog.text


async def test_no_secret_is_in_any_log_whatever_the_level(meet: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A11, for what is said while registering."""
    with caplog.at_level(logging.DEBUG):
        settings = SaslSettings((), "bot", Secret(PASSWORD), None, True, True)
        nickserv = NickServSettings(password=Secret(PASSWORD), account="bot", regain=True)
        bench = await meet(sasl=settings, nickserv=nickserv, password=Secret(PASSWORD), alternative_nicks=("b",))
        bench.server.password = PASSWORD
        await let_in(bench)
        await bench.pass_time(30)
        bench.server.kill(BOT)
        await until(lambda: bench.connection.alarms.next_at("dial") is not None)
    shown = caplog.text
    assert PASSWORD not in shown
    assert base64.b64encode(f"\0bot\0{PASSWORD}".encode()).decode() not in shown
