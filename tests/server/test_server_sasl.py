"""Every mechanism of the embedded server, tried with a client's side written here."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import re
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from speaking import Join, ask, numerics, raw

from bot.server import Client, Faults, Server
from bot.server.ecdsa import decompress, verify

CERTIFICATES = Path(__file__).parent.parent / "certificates"
ALL = "PLAIN,EXTERNAL,SCRAM-SHA-256,SCRAM-SHA-512,ECDSA-NIST256P-CHALLENGE"


class Speaker:
    """A bare connection with the capability `sasl`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def connect(cls, port: int, tls: ssl.SSLContext | None = None) -> Speaker:
        speaker = cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls))
        await speaker.say("CAP REQ sasl")
        return speaker

    async def say(self, line: str) -> str:
        """Say a line; the one that comes back, behind the server's name."""
        self.writer.write(f"{line}\r\n".encode())
        async with asyncio.timeout(10):
            return (await self.reader.readline()).decode().strip().removeprefix(":irc.demo ")

    async def respond(self, raw: bytes) -> bytes:
        """One step of an exchange: what is answered, decoded."""
        challenge = await self.say(f"AUTHENTICATE {base64.b64encode(raw).decode() or '+'}")
        verb, _, text = challenge.partition(" ")
        assert verb == "AUTHENTICATE", challenge
        return b"" if text == "+" else base64.b64decode(text)


@pytest.fixture
async def speaker(server: Server) -> AsyncIterator[Speaker]:
    server.caps["sasl"] = ALL
    speaker = await Speaker.connect(server.port)
    yield speaker
    speaker.writer.close()


async def scram(speaker: Speaker, password: str, digest: str = "sha256", account: str = "alice") -> tuple[bytes, bytes]:
    """The client's last message, and the signature that it expects the server's answer to have."""

    def mac(key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, digest).digest()

    assert await speaker.say(f"AUTHENTICATE SCRAM-SHA-{digest[3:]}") == "AUTHENTICATE +"
    bare = f"n={account},r=mine".encode()
    challenge = await speaker.respond(b"n,," + bare)
    fields = dict(part.split("=", 1) for part in challenge.decode().split(","))
    assert fields["r"].startswith("mine") and len(fields["r"]) > 20
    salted = hashlib.pbkdf2_hmac(digest, password.encode(), base64.b64decode(fields["s"]), int(fields["i"]))
    last = f"c=biws,r={fields['r']}".encode()
    transcript = b",".join([bare, challenge, last])
    key = mac(salted, b"Client Key")
    signature = mac(hashlib.new(digest, key).digest(), transcript)
    proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
    return last + b",p=" + base64.b64encode(proof), mac(mac(salted, b"Server Key"), transcript)


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
async def test_scram_logs_in_and_the_server_proves_that_it_knows_the_password(speaker: Speaker, digest: str) -> None:
    last, expected = await scram(speaker, "sesame", digest)
    assert await speaker.respond(last) == b"v=" + base64.b64encode(expected)
    assert await speaker.say("AUTHENTICATE +") == "900 * *!*@* alice :You are now logged in as alice"


@pytest.mark.parametrize(("account", "password"), [("alice", "wrong"), ("nobody", "sesame")])
async def test_scram_with_the_wrong_password_is_refused_and_tells_no_signature(
    speaker: Speaker, account: str, password: str
) -> None:
    last, _ = await scram(speaker, password, account=account)
    assert (await speaker.say(f"AUTHENTICATE {base64.b64encode(last).decode()}")).startswith("904 ")


@pytest.mark.parametrize("first", [b"p=tls-unique,,n=alice,r=a", b"n,,m=x,n=alice,r=a", b"n,,n=alice,r=", b"n,,", b""])
async def test_scram_that_begins_wrong_is_refused(speaker: Speaker, first: bytes) -> None:
    await speaker.say("AUTHENTICATE SCRAM-SHA-256")
    assert (await speaker.say(f"AUTHENTICATE {base64.b64encode(first).decode() or '+'}")).startswith("904 ")


async def test_a_fault_gives_scram_a_wrong_signature(speaker: Speaker, server: Server) -> None:
    server.faults.sasl = "signature"
    last, expected = await scram(speaker, "sesame")
    assert await speaker.respond(last) not in (b"", b"v=" + base64.b64encode(expected))


async def test_faults_give_scram_a_nonce_of_its_own_or_one_iteration(speaker: Speaker, server: Server) -> None:
    server.faults.sasl = "nonce"
    await speaker.say("AUTHENTICATE SCRAM-SHA-256")
    assert not (await speaker.respond(b"n,,n=alice,r=mine")).startswith(b"r=mine")
    assert (await speaker.say("AUTHENTICATE *")).startswith("906 ")
    server.faults.sasl = "iterations"
    await speaker.say("AUTHENTICATE SCRAM-SHA-256")
    assert (await speaker.respond(b"n,,n=alice,r=mine")).endswith(b",i=1")


@pytest.mark.parametrize("numeric", ["902", "904", "905", "906", "907", "908"])
async def test_a_fault_answers_an_exchange_with_any_numeric(server: Server, numeric: str) -> None:
    server.faults = Faults(sasl=numeric)  # type: ignore[arg-type]
    heard = await raw(server, "CAP REQ sasl", "AUTHENTICATE PLAIN")
    assert numeric in numerics(heard) and "AUTHENTICATE +" not in heard


async def test_a_fault_leaves_an_exchange_without_any_answer(server: Server) -> None:
    server.faults.sasl = "silent"
    assert numerics(await raw(server, "CAP REQ sasl", "AUTHENTICATE PLAIN")) == ["CAP"]


async def test_the_capability_lists_the_mechanisms_and_so_does_908(server: Server) -> None:
    server.caps["sasl"] = "SCRAM-SHA-256,EXTERNAL"
    heard = await raw(server, "CAP LS 302", "CAP REQ sasl", "AUTHENTICATE PLAIN")
    assert " sasl=SCRAM-SHA-256,EXTERNAL " in f"{heard[0]} "
    assert heard[-2] == ":irc.demo 908 * SCRAM-SHA-256,EXTERNAL :are available SASL mechanisms"


async def test_without_a_list_every_mechanism_will_do(server: Server) -> None:
    server.caps["sasl"] = ""
    heard = await raw(server, "CAP LS 302", "CAP REQ sasl", "AUTHENTICATE SCRAM-SHA-512", "AUTHENTICATE *")
    assert heard[0].endswith(" sasl") and heard[2] == "AUTHENTICATE +"


# -- EXTERNAL


async def test_external_takes_the_account_of_the_certificate() -> None:
    pem = re.search("-----BEGIN CERT.*END CERTIFICATE-----", (CERTIFICATES / "client.pem").read_text(), re.DOTALL)
    certificate = ssl.PEM_cert_to_DER_cert(pem[0] if pem else "")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(CERTIFICATES / "server.pem")
    theirs.load_verify_locations(CERTIFICATES / "authority.pem")
    theirs.verify_mode = ssl.CERT_OPTIONAL
    ours = ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))
    server = Server(tls=theirs)
    server.caps["sasl"] = "EXTERNAL"
    server.fingerprints[hashlib.sha256(certificate).hexdigest()] = "alice"
    await server.start()
    bare = await Speaker.connect(server.port, ours)
    await bare.say("AUTHENTICATE EXTERNAL")
    assert (await bare.say("AUTHENTICATE +")).startswith("904 ")
    ours.load_cert_chain(CERTIFICATES / "client.pem")
    known = await Speaker.connect(server.port, ours)
    await known.say("AUTHENTICATE EXTERNAL")
    assert (await known.say(f"AUTHENTICATE {base64.b64encode(b'bob').decode()}")).startswith("904 ")
    await known.say("AUTHENTICATE EXTERNAL")
    assert (await known.say("AUTHENTICATE +")).startswith("900 * *!*@* alice ")
    for speaker in (bare, known):
        speaker.writer.close()
    await server.stop()


# -- ECDSA

# RFC 6979, A.2.5: the key, and its signature of SHA-256("sample").
PUBLIC = "0360FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
R = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
S = "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
SIGNATURE = bytes.fromhex("3046" + "022100" + R + "022100" + S)


def test_a_published_signature_is_good_and_a_changed_one_is_not() -> None:
    key, digest = decompress(bytes.fromhex(PUBLIC)), hashlib.sha256(b"sample").digest()
    assert key and key[1] == 0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299
    assert verify(key, digest, SIGNATURE)
    assert not verify(key, hashlib.sha256(b"other").digest(), SIGNATURE)
    assert not verify(key, digest, SIGNATURE[:-1] + b"\0")


@pytest.mark.parametrize(
    "signature", [b"", b"x" * 70, SIGNATURE[:-1], SIGNATURE + b"\0", b"\x30\x06\x02\x01\x00\x02\x01"]
)
def test_what_is_no_signature_is_told_from_a_wrong_one(signature: bytes) -> None:
    with pytest.raises(ValueError, match="not a signature"):
        verify(decompress(bytes.fromhex(PUBLIC)), bytes(32), signature)


def test_a_signature_of_zeros_is_wrong() -> None:
    assert not verify(decompress(bytes.fromhex(PUBLIC)), bytes(32), bytes.fromhex("3006020100020100"))


@pytest.mark.parametrize("key", [b"", b"\x04" + bytes(32), b"\x02" + b"\x01" * 20, b"\x02" + bytes(31) + b"\x02"])
def test_what_is_no_point_of_the_curve_is_no_key(key: bytes) -> None:
    with pytest.raises(ValueError, match="not a compressed point"):
        decompress(key)


async def test_ecdsa_logs_in_who_signs_the_challenge(speaker: Speaker, server: Server, tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("no openssl to sign with")

    def openssl(*words: str) -> bytes:
        return subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True).stdout

    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "key")
    public = openssl("ec", "-in", "key", "-pubout", "-conv_form", "compressed", "-outform", "DER")
    server.public_keys["alice"] = base64.b64encode(public[-33:]).decode()
    for sign, answer in ((False, "904"), (True, "900")):
        assert await speaker.say("AUTHENTICATE ECDSA-NIST256P-CHALLENGE") == "AUTHENTICATE +"
        challenge = await speaker.respond(b"alice")
        (tmp_path / "challenge").write_bytes(challenge if sign else bytes(32))
        signature = openssl("pkeyutl", "-sign", "-inkey", "key", "-in", "challenge")
        assert (await speaker.say(_line(signature))).startswith(f"{answer} ")


def _line(raw: bytes) -> str:
    return f"AUTHENTICATE {base64.b64encode(raw).decode()}"


async def test_ecdsa_of_an_account_without_a_key_is_refused(speaker: Speaker) -> None:
    await speaker.say("AUTHENTICATE ECDSA-NIST256P-CHALLENGE")
    assert (await speaker.say(_line(b"alice"))).startswith("904 ")


# -- services that go and come


async def test_services_that_leave_take_sasl_along_and_bring_it_back(join: Join, server: Server) -> None:
    alice = await join("al", caps="cap-notify sasl")
    server.services_leave()
    assert await ask(alice, "AUTHENTICATE PLAIN") == [
        ":irc.demo CAP al DEL :sasl",
        ":irc.demo 904 al :SASL authentication failed",
    ]
    server.services_return()
    assert (await ask(alice, "CAP REQ sasl", "AUTHENTICATE PLAIN"))[-3:] == [
        ":irc.demo CAP al NEW :sasl=PLAIN",
        ":irc.demo CAP al ACK :sasl",
        "AUTHENTICATE +",
    ]


async def test_services_that_leave_in_the_middle_of_an_exchange_end_it(server: Server) -> None:
    speaker = await Speaker.connect(server.port)
    await speaker.say("CAP LS 302")
    await speaker.say("AUTHENTICATE PLAIN")
    server.services_leave()
    heard = [(await speaker.reader.readline()).decode() for _ in range(2)]
    assert [line.split(" ")[1] for line in heard] == ["904", "CAP"]
    speaker.writer.close()


async def test_the_client_of_the_kit_logs_in_as_ever(server: Server) -> None:
    client = await Client.connect("127.0.0.1", server.port, "al", account="alice", password="sesame")
    assert server.client("al").account == "alice"
    await client.close()
