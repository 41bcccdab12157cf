"""Real sockets on the loopback; only the resolver is replaced, where a case is about it."""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from scripted import CERTIFICATES, ScriptedServer, server_tls

from bot.wire import dial as dialling
from bot.wire.dial import CannotDial, dial


class Told(asyncio.Protocol):
    """Sends one line when it is connected."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(b"NICK x\r\n")


async def dialled(host: str, port: int, tls: dict[str, Any] | None, bind: str | None = None) -> Told:
    made = list[Told]()

    def make() -> Told:
        made.append(Told())
        return made[-1]

    await dial(host, port, tls, make, bind)
    return made[0]


def trusting(authority: str = "authority", **more: Any) -> dict[str, Any]:
    return {"ca_file": str(CERTIFICATES / f"{authority}.pem"), **more}


async def free_port() -> int:
    async with ScriptedServer() as server:
        return server.port


def addresses(*where: tuple[int, tuple[Any, ...]]) -> list[Any]:
    return [(family, socket.SOCK_STREAM, 6, "", address) for family, address in where]


async def test_plain_text_connects() -> None:
    async with ScriptedServer() as server:
        connection = await dialled("127.0.0.1", server.port, None)
        assert await (await server.accept()).line() == "NICK x"
        connection.transport.abort()


async def test_tls_connects_when_chain_and_name_are_right() -> None:
    async with ScriptedServer(server_tls()) as server:
        connection = await dialled("localhost", server.port, trusting())
        assert await (await server.accept()).line() == "NICK x"
        assert connection.transport.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")
        connection.transport.abort()


async def test_an_address_is_verified_as_well_as_a_name() -> None:
    async with ScriptedServer(server_tls()) as server:
        (await dialled("127.0.0.1", server.port, trusting())).transport.abort()


@pytest.mark.parametrize(
    ("certificate", "tls", "cause"),
    [
        ("selfsigned", trusting(), "self-signed certificate"),
        ("expired", trusting(), "certificate has expired"),
        ("elsewhere", trusting(), "not valid for 'localhost'"),
        ("server", trusting("stranger"), "unable to get local issuer certificate"),
        ("server", {}, "unable to get local issuer certificate"),
    ],
)
async def test_c06_a_bad_certificate_is_refused_by_cause_before_a_byte_of_irc(
    certificate: str, tls: dict[str, Any], cause: str
) -> None:
    got = list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=server_tls(certificate))
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(CannotDial) as refusal:
        await dialled("localhost", port, tls)
    assert str(refusal.value).startswith(f"the certificate of localhost:{port} is not accepted: ")
    assert str(refusal.value).endswith("; if it is the right one, name it in tls: ca_file or fingerprints")
    assert cause.replace("-", " ") in str(refusal.value).replace("-", " ")
    server.close()
    await server.wait_closed()
    assert b"".join(got) == b""


async def test_c06_plain_text_on_the_tls_port_is_refused_and_no_fallback_is_tried() -> None:
    async with ScriptedServer() as server:
        attempt = asyncio.ensure_future(dialled("localhost", server.port, trusting()))
        peer = await server.accept()
        peer.send(":irc.test NOTICE * :*** Looking up your hostname")
        with pytest.raises(CannotDial, match=r"no TLS with localhost:.*; if .* write tls: false"):
            await attempt
        assert b"NICK" not in await peer.rest()
        assert server.connections == 1


async def test_each_step_says_what_it_waits_for() -> None:
    """And a plain-text server that closes on the TLS hello is told with what to write."""
    told = list[str]()
    async with ScriptedServer() as server:
        attempt = asyncio.ensure_future(
            dial("localhost", server.port, trusting(), asyncio.Protocol, waits=lambda what: told.append(what))
        )
        await (await server.accept()).close()
        with pytest.raises(CannotDial, match=r"off before it was ready; if .* write tls: false"):
            await attempt
    place = f"localhost:{server.port}"
    assert [what.split(";")[0] for what in told] == [
        "no name server has told where localhost is",
        f"{place} does not answer",
        f"{place} has taken the connection, but does not answer in TLS",
    ]


async def test_the_name_to_verify_may_differ_from_the_host() -> None:
    async with ScriptedServer(server_tls("elsewhere")) as server:
        tls = trusting(verify_name="irc.elsewhere.example")
        (await dialled("127.0.0.1", server.port, tls)).transport.abort()


async def test_pinned_fingerprints_replace_chain_and_name() -> None:
    der = ssl.PEM_cert_to_DER_cert((CERTIFICATES / "selfsigned.pem").read_text().partition("-----BEGIN EC")[0])
    async with ScriptedServer(server_tls("selfsigned")) as server:
        tls = {"fingerprints": [hashlib.sha256(der).hexdigest()]}
        (await dialled("127.0.0.1", server.port, tls)).transport.abort()


async def test_the_client_shows_its_certificate() -> None:
    async with ScriptedServer(server_tls(ask_client=True)) as server:
        connection = await dialled("localhost", server.port, trusting(certificate=str(CERTIFICATES / "client.pem")))
        assert await (await server.accept()).line() == "NICK x"
        connection.transport.abort()


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"ca_file": "/nowhere/ca.pem"}, "CA file /nowhere/ca.pem"),
        ({"certificate": "/nowhere/c.pem"}, "certificate /nowhere"),
    ],
)
async def test_a_file_that_is_missing_is_named(tls: dict[str, Any], words: str) -> None:
    with pytest.raises(CannotDial, match=words):
        await dialled("localhost", 1, tls)


async def test_a_refusal_is_told() -> None:
    port = await free_port()
    with pytest.raises(CannotDial, match=f"^127.0.0.1:{port} refused the connection$"):
        await dialled("127.0.0.1", port, None)


async def test_a_name_that_does_not_resolve_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(dialling.socket, "getaddrinfo", fail)
    with pytest.raises(CannotDial, match=r"can't resolve irc\.example: Name or service not known"):
        await dialled("irc.example", 6667, None)


async def test_c02_a_name_is_looked_up_at_each_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer() as server:
        answers = [socket.gaierror(-3, "try again"), addresses((socket.AF_INET, ("127.0.0.1", server.port)))]

        def answer(*_: object, **__: object) -> Any:
            found = answers.pop(0)
            if isinstance(found, Exception):
                raise found
            return found

        monkeypatch.setattr(dialling.socket, "getaddrinfo", answer)
        with pytest.raises(CannotDial):
            await dialled("irc.example", server.port, None)
        (await dialled("irc.example", server.port, None)).transport.abort()


async def test_c02_the_next_address_is_tried_when_the_first_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    dead = await free_port()
    async with ScriptedServer() as server:
        found = addresses((socket.AF_INET, ("127.0.0.1", dead)), (socket.AF_INET, ("127.0.0.1", server.port)))
        monkeypatch.setattr(dialling.socket, "getaddrinfo", lambda *_, **__: found)
        (await dialled("irc.example", 6667, None)).transport.abort()
        assert server.connections == 1


async def test_the_next_address_is_tried_when_the_first_only_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "STAGGER_SECONDS", 0.01)
    silent, cancelled = "silent", list[str]()
    real_attempt = dialling._attempt

    async def attempt(address: Any, local: Any) -> socket.socket:
        if address[4] == silent:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled.append(silent)
                raise
        return await real_attempt(address, local)

    monkeypatch.setattr(dialling, "_attempt", attempt)
    async with ScriptedServer() as server:
        found = [*addresses((socket.AF_INET, ())), *addresses((socket.AF_INET, ("127.0.0.1", server.port)))]
        found[0] = (*found[0][:4], silent)
        monkeypatch.setattr(dialling.socket, "getaddrinfo", lambda *_, **__: found)
        (await dialled("irc.example", 6667, None)).transport.abort()
        await asyncio.sleep(0)
    assert cancelled == [silent]


async def test_of_two_addresses_that_answer_at_once_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "STAGGER_SECONDS", 0)
    both, made = asyncio.Barrier(2), list[socket.socket]()

    async def attempt(*_: Any) -> socket.socket:
        made.append(socket.socket())
        mine = made[-1]
        await both.wait()
        return mine

    monkeypatch.setattr(dialling, "_attempt", attempt)
    won = await dialling._connect(addresses((2, ("a",)), (2, ("b",))))
    assert [each.fileno() == -1 for each in made if each is not won] == [True]
    won.close()


async def test_the_two_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    six, four = socket.AF_INET6, socket.AF_INET
    found = addresses((six, ("a",)), (six, ("b",)), (six, ("c",)), (four, ("d",)))
    monkeypatch.setattr(dialling.socket, "getaddrinfo", lambda *_, **__: found)
    assert [address[4][0] for address in await dialling._resolve("irc.example", 1)] == ["a", "d", "b", "c"]


async def test_with_all_addresses_dead_the_first_failure_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    port = await free_port()
    found = addresses((socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET, ("127.0.0.1", port)))
    monkeypatch.setattr(dialling.socket, "getaddrinfo", lambda *_, **__: found)
    with pytest.raises(CannotDial, match="refused"):
        await dialled("irc.example", port, None)


async def test_giving_up_closes_what_was_opened() -> None:
    """A server that takes the connection and never answers the TLS greeting."""
    async with ScriptedServer() as server:
        attempt = asyncio.ensure_future(dialled("localhost", server.port, trusting()))
        peer = await server.accept()
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
        await peer.rest()


async def test_it_connects_from_the_address_that_it_is_told() -> None:
    """The whole of 127/8 is ours."""
    async with ScriptedServer() as server:
        connection = await dialled("127.0.0.1", server.port, None, bind="127.0.0.9")
        assert (await server.accept())._writer.get_extra_info("peername")[0] == "127.0.0.9"
        connection.transport.abort()


async def test_only_addresses_of_the_kind_to_connect_from_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async with ScriptedServer() as server:
        six, four = (socket.AF_INET6, ("::1", server.port)), (socket.AF_INET, ("127.0.0.1", server.port))
        real = socket.getaddrinfo

        def look(host: str, *more: Any, **named: Any) -> Any:
            return addresses(six, four) if host == "irc.example" else real(host, *more, **named)

        monkeypatch.setattr(dialling.socket, "getaddrinfo", look)
        (await dialled("irc.example", 6667, None, bind="0.0.0.0")).transport.abort()
        assert server.connections == 1
        four = six
        with pytest.raises(CannotDial, match=r"from 0\.0\.0\.0: the server has no address of that kind"):
            await dialled("irc.example", 6667, None, bind="0.0.0.0")


@pytest.mark.parametrize(
    ("bind", "words"), [("203.0.113.1", "Cannot assign requested address"), ("eth0", "it is no IP address")]
)
async def test_an_address_that_is_not_ours_is_told(bind: str, words: str) -> None:
    with pytest.raises(CannotDial, match=rf"^can't connect from {bind}: {words}$"):
        await dialled("127.0.0.1", 9, None, bind=bind)


async def test_a_client_key_that_is_locked_is_told_and_nobody_is_asked_at_a_terminal(tmp_path: Path) -> None:
    lock = BestAvailableEncryption(b"locked")
    locked = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)
    (tmp_path / "key.pem").write_bytes(locked)
    tls = {"certificate": str(CERTIFICATES / "client.pem"), "key": str(tmp_path / "key.pem")}
    with pytest.raises(CannotDial, match="can't use the client certificate"):
        await dial("127.0.0.1", 1, tls, asyncio.Protocol)
