"""Section R of the catalogue, registration: a connection through a real keeper to a scripted server, byte by byte.

R15 and R17, about dialling again, are in `test_cases_connection.py`.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from scram_services import ScramServices
from scripted import CERTIFICATES, Peer, ScriptedServer, server_tls

from bot import config
from bot.config import Channel, NickServ, SaslSettings, Secret, Tls
from bot.demo import BOT
from bot.errors import CannotConnect, ConfigError
from bot.protocol.message import Message
from bot.protocol.registration import WANTED
from bot.protocol.sts import Policies
from bot.testing import running_bot
from bot.wire.opening import Limits

Make = Callable[..., Any]

AUTHORITY, CLIENT = str(CERTIFICATES / "authority.pem"), str(CERTIFICATES / "client.pem")
CLIENT_PEM = Path(CLIENT).read_bytes()
CHANNELS = (Channel("#a"),)
TRUSTED = {"host": "localhost", "tls": Tls(AUTHORITY)}
PATIENT = Limits(idle_seconds=10**6)  # the keeper asks nothing when hours pass
PASSWORD = "hunter2-planted"
NAME = "neverquit"


def sasl(*mechanisms: str, required: bool = True, key: str | None = None, plain: bool = False) -> SaslSettings:
    return SaslSettings(mechanisms, "bot", Secret(PASSWORD), key, required, plain)  # type: ignore[arg-type]


async def begun(bench: Bench, *offers: str) -> Peer:
    """Let a client connect; answer its CAP LS with these lists."""
    bench.connection.start()
    return await offered(bench, *offers)


async def offered(bench: Bench, *offers: str) -> Peer:
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    for more in offers[:-1]:
        peer.send(f"CAP * LS * :{more}")
    if offers:
        peer.send(f"CAP * LS :{offers[-1]}")
    return peer


async def granted(peer: Peer) -> str:
    """Grant what is asked for."""
    request = (await peer.until("CAP REQ"))[-1].removeprefix("CAP REQ ").removeprefix(":")
    peer.send(f"CAP * ACK :{request}")
    return request


async def authenticating(peer: Peer) -> str:
    return (await peer.until("AUTHENTICATE"))[-1].removeprefix("AUTHENTICATE ")


async def in_by(peer: Peer, mechanism: str) -> None:
    """See the mechanism chosen, and ask for its first step."""
    assert await authenticating(peer) == mechanism
    peer.send("AUTHENTICATE +")


async def let_in(bench: Bench, peer: Peer, *after: str) -> None:
    """The rest of a registration."""
    await peer.until("CAP END")
    peer.send(f":irc.test 001 {NAME} :Welcome", *after)
    await bench.until(lambda: bench.connection.registered)


async def left(bench: Bench, peer: Peer, words: str) -> None:
    """See the client leave for good, and why."""
    await peer.until("QUIT")
    await peer.close()
    with pytest.raises(CannotConnect, match=words):
        await bench.connection.wait_up()


def planted(peer: Peer) -> bool:
    """Whether the password has crossed the wire, as it is or inside of base64."""
    texts = [peer.received]
    for line in peer.received.split(b"\r\n"):
        if line.startswith(b"AUTHENTICATE "):
            try:
                texts.append(base64.b64decode(line[13:] + b"=" * (-len(line[13:]) % 4)))
            except ValueError:
                pass
    return any(PASSWORD.encode() in text for text in texts)


# -- R01 to R03: the nick


async def taken(bench: Bench, *tokens: str) -> Peer:
    """Register under the alternative nick, since the wanted one is taken."""
    peer = await begun(bench, "")
    await peer.until("NICK")
    peer.send(f":irc.test 433 * {NAME} :Nickname is already in use")
    assert (await peer.until("NICK"))[-1] == f"NICK {NAME}_"
    await peer.until("CAP END") if b"CAP END" not in peer.received else None
    peer.send(f":irc.test 001 {NAME}_ :Welcome", f":irc.test 005 {NAME}_ {' '.join(tokens)} :are supported")
    await bench.until(lambda: bench.connection.registered)
    return peer


async def test_r01_a_nick_that_is_taken_is_replaced_at_once_and_regained_when_the_server_says_that_it_is_free(
    make: Make,
) -> None:
    bench = await make(channels=CHANNELS, limits=PATIENT)
    peer = await taken(bench, "MONITOR=100")
    assert "JOIN #a" in await bench.said(peer)
    await bench.pass_time(10)
    assert await bench.said(peer) == [f"MONITOR + {NAME}"]
    peer.send(f":irc.test 730 {NAME}_ :{NAME}!u@h")
    await bench.pass_time(600)
    assert await bench.said(peer) == []
    peer.send(f":irc.test 731 {NAME}_ :{NAME}")
    assert await bench.said(peer) == [f"NICK {NAME}"]
    peer.send(f":{NAME}_!u@h NICK {NAME}")
    assert await bench.said(peer) == [f"MONITOR - {NAME}"]
    assert bench.connection.roster.nick == NAME
    await bench.pass_time(3600)
    assert await bench.said(peer) == []


async def test_r01_a_holder_who_quits_before_our_eyes_is_followed_and_never_faster_than_every_thirty_seconds(
    make: Make,
) -> None:
    bench = await make(limits=PATIENT)
    peer = await taken(bench, "NICKLEN=30")
    sent: list[tuple[float, str]] = []
    for _ in range(40):
        peer.send(f":{NAME}!u@h QUIT :bye", f":irc.test 433 {NAME}_ {NAME} :in use")
        sent += [(bench.clock.now, line) for line in await bench.said(peer)]
        await bench.pass_time(5)
    tries = [at for at, line in sent if line == f"NICK {NAME}"]
    asked = [at for at, line in sent if line == f"ISON {NAME}"]
    assert len(tries) >= 2 and len(asked) >= 2
    for moments in (tries, asked):
        assert all(later - earlier >= 30 for earlier, later in pairwise(moments))


async def test_r01_services_are_asked_for_the_nick_where_that_is_configured(make: Make) -> None:
    bench = await make(nickserv=NickServ(password=Secret(PASSWORD), regain=True))
    peer = await taken(bench, "MONITOR=100")
    peer.send(":NickServ!s@services NOTICE neverquit_ :You are now identified for \x02neverquit\x02.")
    await bench.said(peer)
    await bench.pass_time(10)
    assert f"PRIVMSG NickServ :REGAIN {NAME} {PASSWORD}" in await bench.said(peer)


@pytest.mark.parametrize("numeric", ["431", "432", "433", "436", "437"])
async def test_r02_a_server_that_refuses_every_nick_hears_fewer_than_ten_a_minute(numeric: str, make: Make) -> None:
    bench = await make(alternative_nicks=tuple(f"other{n}" for n in range(20)))
    bench.connection.start()
    moments: list[float] = []
    for _ in range(3):
        peer = await offered(bench, "")
        while True:
            line = await peer.line()
            if line.startswith("NICK"):
                moments.append(bench.clock.now)
                peer.send(f":irc.test {numeric} * {line[5:]} :No")
            elif line.startswith("QUIT"):
                break
        await bench.lost(peer)
        await bench.pass_time(bench.waits())
    assert len(moments) > 20
    assert all(sum(start <= moment < start + 60 for moment in moments) < 10 for start in moments)


async def test_r03_a_nick_that_the_server_cuts_is_ours(make: Make) -> None:
    bench = await make(nick="neverquit-and-more", channels=CHANNELS)
    peer = await begun(bench, "")
    await peer.until("CAP END")
    peer.send(":irc.test 001 neverquit-an :Welcome", ":neverquit-an!u@h JOIN #a")
    await bench.said(peer)
    assert bench.connection.roster.nick == "neverquit-an"
    assert bench.connection.roster.channel("#a") is not None
    assert bench.connection.roster.is_me("Neverquit-An")
    peer.send(":irc.test KICK #a neverquit-an :out")
    await bench.said(peer)
    assert bench.connection.roster.channel("#a") is None


# -- R04 to R08: capabilities, and servers without


async def test_r04_a_list_in_several_lines_is_asked_for_after_the_last_and_each_line_fits(make: Make) -> None:
    bench = await make()
    wanted = list(WANTED)
    peer = await begun(bench)
    peer.send("CAP * LS * :" + " ".join(wanted[:5]), "CAP * LS * :unknown.example/cap=a,b=c draft/never")
    assert not any("REQ" in line for line in await bench.said(peer))
    peer.send("CAP * LS * :" + " ".join(wanted[5:9]), "CAP * LS :" + " ".join(wanted[9:]))
    await peer.until("CAP REQ")
    await bench.said(peer)
    lines = [line for line in peer.received.split(b"\r\n") if line.startswith(b"CAP REQ ")]
    assert all(len(line) <= 510 for line in lines)
    assert {name for line in lines for name in line[8:].decode().lstrip(":").split()} == set(wanted)


async def test_r04_the_very_first_line_is_cap_ls(make: Make) -> None:
    bench = await make(password=Secret("server-password"))
    peer = await begun(bench, "batch")
    await granted(peer)
    await let_in(bench, peer)
    assert peer.received.split(b"\r\n")[:4] == [
        b"CAP LS 302", b"PASS server-password", b"NICK neverquit", b"USER neverquit 0 * neverquit",
    ]  # fmt: skip


@pytest.mark.parametrize("answers", ["nak", "nak one", "ack a part", "ack with a minus"])
async def test_r05_whatever_is_refused_the_negotiation_ends(answers: str, make: Make) -> None:
    bench = await make()
    peer = await begun(bench, "batch chghost setname")
    assert (await peer.until("CAP REQ"))[-1] == "CAP REQ :chghost setname batch"
    match answers:
        case "nak":
            peer.send("CAP * NAK :chghost setname batch")
            assert await peer.until("CAP REQ batch") == ["CAP REQ chghost", "CAP REQ setname", "CAP REQ batch"]
            peer.send("CAP * ACK :chghost", "CAP * NAK :setname", "CAP * ACK :batch")
            enabled = {"chghost", "batch"}
        case "nak one":
            peer.send("CAP * NAK :setname")
            assert (await peer.until("CAP REQ"))[-1] == "CAP REQ :chghost batch"
            peer.send("CAP * ACK :chghost batch")
            enabled = {"chghost", "batch"}
        case "ack a part":
            peer.send("CAP * ACK :chghost")
            enabled = {"chghost"}
        case _:
            peer.send("CAP * ACK :chghost setname batch", "CAP * ACK :-setname")
            enabled = {"chghost", "batch"}
    await let_in(bench, peer)
    await bench.said(peer)
    assert bench.connection.roster.caps == enabled


@pytest.mark.parametrize("server", ["421", "451", "001 at once", "silence"])
async def test_r06_a_server_without_cap_registers_us_and_we_join_after_001(server: str, make: Make) -> None:
    bench = await make(channels=CHANNELS)
    peer = await begun(bench)
    match server:
        case "421":
            peer.send(":irc.test 421 * CAP :Unknown command")
        case "451":
            peer.send(":irc.test 451 * :You have not registered")
        case _:
            await bench.pass_time(5)
    await peer.until("USER")
    assert b"JOIN" not in peer.received
    peer.send(f":irc.test 001 {NAME} :Welcome")
    assert await bench.said(peer) == ["JOIN #a"]


async def test_r08_trust_that_relied_on_a_capability_ends_with_it_and_comes_back_with_it(tmp_path: Path) -> None:
    secret = 'from bot import command\n@command("secret", admin=True)\ndef secret(ctx): return "told"\n'
    (tmp_path / "secret.py").write_text(secret)
    async with running_bot(tmp_path) as bot:
        assert await bot.say("!secret") == ["told"]
        for name in ("account-tag", "account-notify", "extended-join"):
            bot.server.withdraw(name)
        await bot.server.barrier(BOT)
        assert await bot.say("!secret") == ["secret: admins only"]
        mark = bot.server.mark()
        bot.server.offer("account-tag")
        asked = (BOT, "in", "CAP REQ account-tag")
        await bot.server.wait_for(lambda *entry: entry == asked, since=mark)
        await bot.server.barrier(BOT)
        assert await bot.say("!secret") == ["told"]


async def test_r08_sasl_that_goes_drops_nobody_and_sasl_that_comes_back_logs_us_in_again(make: Make) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl("PLAIN"))
    peer = await begun(bench, "sasl=PLAIN")
    await granted(peer)
    await in_by(peer, "PLAIN")
    peer.send(f":irc.test 900 {NAME} n!u@h bot :in", f":irc.test 903 {NAME} :ok")
    await let_in(bench, peer, f":irc.test CAP {NAME} DEL :sasl")
    assert [line for line in await bench.said(peer) if line[:3] in ("CAP", "AUT", "QUI")] == []
    peer.send(f":irc.test 901 {NAME} n!u@h :logged out", f":irc.test CAP {NAME} NEW :sasl=PLAIN,EXTERNAL")
    await granted(peer)
    await in_by(peer, "PLAIN")
    await authenticating(peer)
    peer.send(f":irc.test 904 {NAME} :services are confused")  # after 001 even that ends nothing
    await bench.said(peer)
    assert bench.connection.registered


# -- R09 to R14: SASL


async def test_r09_plain_logs_in_before_the_end_of_the_negotiation(make: Make) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl("PLAIN"), channels=CHANNELS)
    peer = await begun(bench, "sasl=EXTERNAL,PLAIN")
    await granted(peer)
    await in_by(peer, "PLAIN")
    assert base64.b64decode(await authenticating(peer)) == f"\0bot\0{PASSWORD}".encode()
    assert b"CAP END" not in peer.received
    peer.send(f":irc.test 900 {NAME} n!u@h bot :in", f":irc.test 903 {NAME} :ok")
    await let_in(bench, peer)
    assert await bench.said(peer) == ["JOIN #a"]


@pytest.mark.parametrize("length", [10, 295, 600])
async def test_r09_a_long_password_is_sent_in_chunks_with_an_end(length: int, make: Make) -> None:
    """With 295 letters the response is 300 bytes, 400 in base64: exactly one chunk."""
    settings = SaslSettings(("PLAIN",), "bot", Secret("p" * length))
    bench = await make(server_tls(), **TRUSTED, sasl=settings)
    peer = await begun(bench, "sasl=PLAIN")
    await granted(peer)
    await in_by(peer, "PLAIN")
    chunks = [await authenticating(peer)]
    while len(chunks[-1]) == 400:
        chunks.append(await authenticating(peer))
    assert (length == 295) == (chunks[-1] == "+")
    assert base64.b64decode("".join(chunk for chunk in chunks if chunk != "+")) == b"\0bot\0" + b"p" * length


@pytest.mark.parametrize("mechanisms", [("PLAIN",), ()])
async def test_r09_without_tls_there_is_no_plain(
    mechanisms: tuple[str, ...], make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await make(sasl=sasl(*mechanisms), once=True)
    peer = await begun(bench, "sasl=PLAIN")
    await left(bench, peer, "would send the password in the clear; use TLS")
    assert b"AUTHENTICATE" not in peer.received
    assert not planted(peer)


async def test_r09_without_tls_plain_is_sent_where_that_is_named(make: Make) -> None:
    bench = await make(sasl=sasl("PLAIN", plain=True))
    peer = await begun(bench, "sasl=PLAIN")
    await granted(peer)
    await in_by(peer, "PLAIN")
    await authenticating(peer)
    assert planted(peer)


@pytest.mark.parametrize("numeric", ["902", "904", "905", "906", "908"])
async def test_r10_where_sasl_is_required_a_refusal_means_leaving_and_coming_back_later(
    numeric: str, make: Make
) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl("PLAIN"), channels=CHANNELS)
    peer = await begun(bench, "sasl=PLAIN")
    await granted(peer)
    await in_by(peer, "PLAIN")
    await authenticating(peer)
    peer.send(f":irc.test {numeric} {NAME} {'EXTERNAL' if numeric == '908' else ''} :SASL authentication failed")
    assert (await peer.until("QUIT"))[-1].startswith("QUIT :")
    assert b"JOIN" not in peer.received and b"CAP END" not in peer.received
    await bench.lost(peer)
    if numeric in ("902", "904", "905"):  # a wrong password is wrong in two seconds, too, and servers count
        assert 60 <= bench.waits() <= 120
    else:
        assert 2 <= bench.waits() <= 4


@pytest.mark.parametrize("numeric", ["902", "904", "905", "906", "908"])
async def test_r10_where_sasl_is_optional_a_refusal_is_logged_and_we_go_on(
    numeric: str, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl("PLAIN", required=False), channels=CHANNELS)
    peer = await begun(bench, "sasl=PLAIN")
    await granted(peer)
    await in_by(peer, "PLAIN")
    await authenticating(peer)
    peer.send(f":irc.test {numeric} {NAME} {'EXTERNAL' if numeric == '908' else ''} :SASL authentication failed")
    await let_in(bench, peer)
    assert await bench.said(peer) == ["JOIN #a"]
    assert [record.levelno for record in caplog.records if "SASL" in record.getMessage()] == [logging.WARNING]


async def test_r10_907_is_a_success(make: Make) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl(), channels=CHANNELS)
    peer = await begun(bench, "sasl=SCRAM-SHA-256")
    await granted(peer)
    await in_by(peer, "SCRAM-SHA-256")
    peer.send(f":irc.test 907 {NAME} :You have already authenticated")
    await let_in(bench, peer)
    assert await bench.said(peer) == ["JOIN #a"]


@pytest.mark.parametrize("required", [True, False])
async def test_r10_services_that_do_not_answer_have_a_deadline_of_their_own(required: bool, make: Make) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl("PLAIN", required=required))
    peer = await begun(bench, "sasl=PLAIN")
    await granted(peer)
    assert await authenticating(peer) == "PLAIN"
    await bench.pass_time(19)
    assert await bench.said(peer) == []
    await bench.pass_time(1)
    if required:
        assert (await peer.until("QUIT"))[-1] == "QUIT :SASL: the server or its services did not answer in time"
    else:
        assert await peer.until("CAP END") == ["AUTHENTICATE *", "CAP END"]
    assert not planted(peer)


@pytest.mark.parametrize("offer", ["sasl=EXTERNAL", "sasl=X-UNKNOWN,X-OTHER", "sasl=PLAINER", "batch"])
async def test_r12_where_only_other_mechanisms_are_offered_the_password_is_never_sent(offer: str, make: Make) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl(), once=True)
    peer = await begun(bench, offer)
    if offer == "batch":
        await granted(peer)
    await left(bench, peer, "the server offers")
    assert b"AUTHENTICATE" not in peer.received
    assert not planted(peer)


@pytest.mark.parametrize(("name", "digest"), [("SCRAM-SHA-256", "sha256"), ("SCRAM-SHA-512", "sha512")])
async def test_r12_scram_logs_in_without_the_password_on_the_wire(name: str, digest: str, make: Make) -> None:
    bench = await make(sasl=sasl())  # in plain text, too
    services = ScramServices(PASSWORD, digest, 20_000)
    peer = await begun(bench, f"sasl=PLAIN,{name}")
    await granted(peer)
    await in_by(peer, name)
    peer.send("AUTHENTICATE " + base64.b64encode(services.first(base64.b64decode(await authenticating(peer)))).decode())
    peer.send("AUTHENTICATE " + base64.b64encode(services.final(base64.b64decode(await authenticating(peer)))).decode())
    assert await authenticating(peer) == "+"
    assert services.proved
    peer.send(f":irc.test 900 {NAME} n!u@h bot :in", f":irc.test 903 {NAME} :ok")
    await let_in(bench, peer)
    assert not planted(peer)


@pytest.mark.parametrize("lie", ["another password", "no proof at all", "one iteration", "ten million"])
async def test_r12_a_server_that_can_not_prove_itself_is_left_and_never_gets_the_password(lie: str, make: Make) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl(), once=True)
    iterations = {"one iteration": 1, "ten million": 10_000_000}.get(lie, 4096)
    services = ScramServices("guessed", "sha256", min(iterations, 4096))
    services.iterations = iterations
    peer = await begun(bench, "sasl=PLAIN,SCRAM-SHA-256")
    await granted(peer)
    await in_by(peer, "SCRAM-SHA-256")
    peer.send("AUTHENTICATE " + base64.b64encode(services.first(base64.b64decode(await authenticating(peer)))).decode())
    if iterations == 4096:
        final = services.final(base64.b64decode(await authenticating(peer)))
        if lie == "another password":
            peer.send("AUTHENTICATE " + base64.b64encode(final).decode())
        peer.send(f":irc.test 900 {NAME} n!u@h bot :in", f":irc.test 903 {NAME} :ok")
    await left(bench, peer, "impostor|without the proof|iterations")
    assert not planted(peer)


async def test_r12_a_mechanism_that_is_refused_is_followed_by_the_next(make: Make) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl())
    peer = await begun(bench, "sasl=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512")
    await granted(peer)
    assert await authenticating(peer) == "SCRAM-SHA-512"
    peer.send(f":irc.test 904 {NAME} :not for this account")
    await in_by(peer, "SCRAM-SHA-256")
    await authenticating(peer)
    peer.send("AUTHENTICATE " + base64.b64encode(b"e=other-error").decode())
    assert await authenticating(peer) == "*"
    peer.send(f":irc.test 906 {NAME} :aborted")
    await in_by(peer, "PLAIN")
    assert base64.b64decode(await authenticating(peer)) == f"\0bot\0{PASSWORD}".encode()


async def test_r14_external_shows_the_client_certificate(make: Make) -> None:
    settings = SaslSettings((), "bot")
    tls = {"host": "localhost", "tls": Tls(AUTHORITY, CLIENT)}
    bench = await make(server_tls(ask_client=True), **tls, sasl=settings)
    peer = await begun(bench, "sasl=PLAIN,EXTERNAL")
    shown = peer._writer.get_extra_info("peercert")
    assert (("commonName", "client"),) in shown["subject"]
    await granted(peer)
    await in_by(peer, "EXTERNAL")
    assert await authenticating(peer) == "+"
    peer.send(f":irc.test 900 {NAME} n!u@h bot :in", f":irc.test 903 {NAME} :ok")
    await let_in(bench, peer)


async def test_r14_without_a_certificate_external_is_not_tried(make: Make) -> None:
    bench = await make(server_tls(), **TRUSTED, sasl=sasl())
    peer = await begun(bench, "sasl=PLAIN,EXTERNAL")
    await granted(peer)
    assert await authenticating(peer) == "PLAIN"


async def test_r14_ecdsa_signs_what_the_server_asks(make: Make) -> None:
    bench = await make(sasl=SaslSettings((), "bot", None, CLIENT))  # the key in it is of the right kind
    peer = await begun(bench, "sasl=ECDSA-NIST256P-CHALLENGE")
    await granted(peer)
    await in_by(peer, "ECDSA-NIST256P-CHALLENGE")
    assert base64.b64decode(await authenticating(peer)) == b"bot"
    challenge = bytes(range(32))
    peer.send("AUTHENTICATE " + base64.b64encode(challenge).decode())
    signature = base64.b64decode(await authenticating(peer))
    key = load_pem_private_key(CLIENT_PEM.partition(b"-----END CERTIFICATE-----")[2], None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    key.public_key().verify(signature, challenge, ec.ECDSA(Prehashed(SHA256())))
    peer.send(f":irc.test 903 {NAME} :ok")
    await let_in(bench, peer)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("tls: {certificate: broken.pem}", "tls.certificate: can't be used: it must be a certificate in PEM"),
        ("tls: {certificate: good.pem, key: broken.pem}", "tls.certificate: can't be used"),
        ("tls: {certificate: absent.pem}", "tls.certificate: there is no such file"),
        ("tls: {ca_file: broken.pem}", "tls.ca_file: can't be used: it must hold certificates"),
        ("sasl: {key: broken.pem}", "sasl.key: is no private key in PEM"),
        ("sasl: {key: absent.pem}", "sasl.key: there is no such file"),
    ],
)
def test_r14_a_key_that_can_not_be_used_refuses_the_start_with_its_reason(
    section: str, words: str, tmp_path: Path
) -> None:
    (tmp_path / "broken.pem").write_text("-----BEGIN NOTHING-----\n")
    (tmp_path / "good.pem").write_bytes(CLIENT_PEM)
    (tmp_path / "config.yaml").write_text(f"networks:\n  one:\n    host: irc.example.org\n    {section}\n")
    with pytest.raises(ConfigError) as refused:
        config.load(tmp_path / "config.yaml")
    assert f"networks.one.{words}" in str(refused.value)
    (tmp_path / "config.yaml").write_text("networks: {one: {host: h, tls: {certificate: good.pem}, sasl: {}}}\n")
    assert config.load(tmp_path / "config.yaml").networks["one"].sasl


# -- R16 to R19: slow servers, and what comes after 001


async def test_r16_a_server_that_takes_45_seconds_and_asks_for_a_cookie_is_waited_for(make: Make) -> None:
    bench = await make(channels=CHANNELS)
    peer = await begun(bench)
    peer.send(":irc.test NOTICE * :*** Looking up your hostname", "PING :cookie-1234", ":irc.test 020 * :Please wait")
    await peer.until("PONG :cookie-1234")
    await bench.pass_time(45)
    assert bench.connection.connected and not bench.connection.registered
    peer.send("CAP * LS :")
    await let_in(bench, peer)
    assert await bench.said(peer) == ["JOIN #a"]


@pytest.mark.parametrize("end", [":irc.test 376 neverquit :End of MOTD", ":irc.test 422 neverquit :No MOTD", ""])
async def test_r18_however_the_greeting_ends_we_join_once_after_001(end: str, make: Make) -> None:
    bench = await make(channels=CHANNELS)
    peer = await begun(bench, "")
    await let_in(bench, peer, *([end] if end else []))
    assert await bench.said(peer) == ["JOIN #a"]
    peer.send(f":irc.test 900 {NAME} n!u@h bot :You are now logged in", f":irc.test MODE {NAME} +r")
    assert await bench.said(peer) == []


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (":irc.test 900 neverquit n!u@h neverquit :You are now logged in", ""),
        (":irc.test MODE neverquit +r", ""),
        (":NickServ!s@services NOTICE neverquit :You are now identified for neverquit.", ""),
        (
            ":NickServ!s@services NOTICE neverquit :Invalid password for \x02neverquit\x02.",
            "Invalid password for neverquit.",
        ),
        (":irc.test 401 neverquit NickServ :No such nick", "there is no NickServ now"),
        ("", "NickServ has not answered within 8 s"),
    ],
)
async def test_r18_with_nickserv_we_join_once_after_001_and_identification(
    answer: str, told: str, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await make(channels=CHANNELS, nickserv=NickServ(password=Secret(PASSWORD)))
    peer = await begun(bench, "")
    await let_in(bench, peer, ":NickServ!s@services NOTICE neverquit :This nickname is registered; please identify.")
    bench.connection.say(Message("PRIVMSG", ("#a", "said too early")))
    assert await bench.said(peer) == [f"PRIVMSG NickServ :IDENTIFY {NAME} {PASSWORD}"]
    if answer:
        peer.send(answer)
    else:
        await bench.pass_time(8)
    assert await bench.said(peer) == ["JOIN #a"]
    peer.send(f":{NAME}!u@h JOIN #a")
    assert "PRIVMSG #a :said too early" in await bench.said(peer)
    if answer:
        peer.send(answer)
    await bench.pass_time(8)
    assert [line for line in await bench.said(peer) if line.startswith("JOIN")] == []
    assert told in caplog.text
    assert PASSWORD not in caplog.text


async def test_r18_who_is_logged_in_by_sasl_says_nothing_to_nickserv(make: Make) -> None:
    nickserv = NickServ(password=Secret(PASSWORD))
    bench = await make(server_tls(), **TRUSTED, sasl=sasl("PLAIN"), nickserv=nickserv, channels=CHANNELS)
    peer = await begun(bench, "sasl=PLAIN")
    await granted(peer)
    await in_by(peer, "PLAIN")
    peer.send(f":irc.test 900 {NAME} n!u@h bot :in", f":irc.test 903 {NAME} :ok")
    await let_in(bench, peer)
    assert await bench.said(peer) == ["JOIN #a"]


async def test_r19_a_second_greeting_renews_the_state_and_joins_nothing_twice(make: Make) -> None:
    bench = await make(channels=CHANNELS)
    peer = await begun(bench, "")
    await let_in(bench, peer, f":irc.test 005 {NAME} NICKLEN=20 :are supported", f":{NAME}!u@h JOIN #a")
    await bench.said(peer)
    peer.send(":irc.test 001 other :Welcome again", ":irc.test 005 other NICKLEN=30 :are supported")
    assert [line for line in await bench.said(peer) if "JOIN" in line] == []
    assert (bench.connection.roster.nick, bench.connection.roster.isupport.nicklen) == ("other", 30)
    assert bench.told.events == ["up"]


# -- R20: STS


class Host:
    """One host: a bench whose server speaks plain text, and beside it a server with TLS, certificate accepted."""

    def __init__(self, bench: Bench, secure: ScriptedServer, rows: dict[str, Any]) -> None:
        self.bench, self.secure, self.rows = bench, secure, rows

    async def upgraded(self, policy: str = "duration=3600") -> Peer:
        """Connect in plain text, be sent to TLS, register there."""
        peer = await begun(self.bench, f"batch sts=port={self.secure.port},duration=99")
        await peer.until("QUIT")
        await peer.close()
        return await self.registered(policy)

    async def registered(self, policy: str) -> Peer:
        peer = await self.secure.accept()
        await peer.until("USER")
        peer.send(f"CAP * LS :{policy and f'sts={policy}'}")
        await let_in(self.bench, peer)
        return peer


@pytest.fixture
async def sts(make: Make, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SSL_CERT_FILE", AUTHORITY)
    rows: dict[str, Any] = {}
    async with ScriptedServer(server_tls()) as secure:
        bench = await make(
            host="localhost", tls=None, password=Secret(PASSWORD), limits=PATIENT, policies=Policies(rows)
        )
        yield Host(bench, secure, rows)


async def test_r20_a_server_that_asks_for_tls_gets_it_before_it_has_heard_anything_but_cap_ls(sts: Host) -> None:
    peer = await sts.upgraded()
    plain = sts.bench.server.peers[0]
    assert plain.received.startswith(b"CAP LS 302\r\nQUIT :")
    assert PASSWORD.encode() not in plain.received and b"NICK" not in plain.received
    assert f"PASS {PASSWORD}".encode() in peer.received
    assert sts.bench.server.connections == 1


async def test_r20_a_policy_is_kept_over_a_restart_and_plain_text_never_spoken_again(sts: Host) -> None:
    peer = await sts.upgraded()
    assert sts.rows == {"localhost": [sts.secure.port, 3600, sts.bench.wall() + 3600]}
    await peer.close()
    await sts.bench.until(lambda: sts.bench.connection.alarms.next_at("dial") is not None)
    await sts.bench.restart(Policies(sts.rows))
    await sts.registered("duration=3600")
    assert sts.bench.server.connections == 1


async def test_r20_the_time_begins_anew_when_the_connection_closes_and_ends_at_last(sts: Host) -> None:
    peer = await sts.upgraded()
    await sts.bench.pass_time(5000)
    await peer.close()
    await sts.bench.until(lambda: sts.bench.connection.alarms.next_at("dial") is not None)
    assert sts.rows["localhost"][2] == sts.bench.wall() + 3600
    await sts.bench.pass_time(3601)
    plain = await sts.bench.server.accept()
    await plain.until("CAP LS")


async def test_r20_a_duration_of_zero_takes_the_policy_back(sts: Host) -> None:
    peer = await sts.upgraded()
    peer.send(f":irc.test CAP {NAME} NEW :sts=duration=0")
    await sts.bench.said(peer)
    assert sts.rows == {}


async def test_r20_without_a_word_over_tls_nothing_is_kept(sts: Host) -> None:
    peer = await sts.upgraded("")
    assert sts.rows == {}
    peer.send(f":irc.test CAP {NAME} DEL :sts")
    await sts.bench.said(peer)


async def test_r20_a_withdrawal_is_no_way_to_end_a_policy(sts: Host) -> None:
    peer = await sts.upgraded()
    peer.send(f":irc.test CAP {NAME} DEL :sts")
    await sts.bench.said(peer)
    assert "localhost" in sts.rows


async def test_r20_a_certificate_that_is_not_accepted_means_no_connection_and_no_plain_text(
    sts: Host, caplog: pytest.LogCaptureFixture
) -> None:
    async with ScriptedServer(server_tls("expired")) as expired:
        sts.rows["localhost"] = [expired.port, 3600, sts.bench.wall() + 1_000_000]
        sts.bench.connection.start()
        for _ in range(3):
            await sts.bench.until(lambda: sts.bench.connection.alarms.next_at("dial") is not None)
            await sts.bench.pass_time(sts.bench.waits())
        assert sts.bench.server.connections == 0
        for peer in expired.peers:
            assert await peer.rest() == b""
    assert "certificate has expired" in caplog.text


async def test_r20_over_tls_the_port_is_passed_over(make: Make) -> None:
    rows: dict[str, Any] = {}
    bench = await make(server_tls(), **TRUSTED, policies=Policies(rows))
    peer = await begun(bench, "sts=port=1,duration=60")
    await let_in(bench, peer)
    assert rows == {"localhost": [bench.server.port, 60, bench.wall() + 60]}
    assert bench.server.connections == 1


@pytest.mark.parametrize("value", ["sts", "sts=duration=60", "sts=port=0", "sts=port=99999", "sts=port=x"])
async def test_r20_in_plain_text_a_policy_without_a_port_is_none(value: str, make: Make) -> None:
    rows: dict[str, Any] = {}
    bench = await make(policies=Policies(rows))
    await let_in(bench, await begun(bench, value))
    assert rows == {}
