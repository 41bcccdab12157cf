"""keys.py: files of keys and certificates, and why one can't be used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from bot.keys import KeyFault, check_authorities, check_certificate, check_ecdsa, sign_ecdsa

CERTIFICATES = Path(__file__).parent / "certificates"
CLIENT = CERTIFICATES / "client.pem"


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock)


@pytest.fixture
def put(tmp_path: Path):  # type: ignore[no-untyped-def]
    def put(name: str, content: bytes) -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return put


def test_a_signature_is_that_of_the_challenge_itself(put) -> None:  # type: ignore[no-untyped-def]
    key, challenge = ec.generate_private_key(ec.SECP256R1()), os.urandom(32)
    signature = sign_ecdsa(put("key.pem", pem(key)), challenge)
    key.public_key().verify(signature, challenge, ec.ECDSA(Prehashed(SHA256())))  # raises if it is not


def test_a_challenge_of_another_length_is_not_signed(put) -> None:  # type: ignore[no-untyped-def]
    path = put("key.pem", pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(KeyFault, match="has 31 bytes, not 32"):
        sign_ecdsa(path, b"c" * 31)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no private key in PEM"),
        (b"\xff\x00", "is no private key in PEM"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "must be NIST P-256"),
        (pem(rsa.generate_private_key(65537, 2048)), "must be NIST P-256"),
        (pem(ec.generate_private_key(ec.SECP256R1()), b"locked"), "locked by a password"),
    ],
)
def test_what_is_no_key_for_ecdsa_is_told(content: bytes, words: str, put) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(KeyFault, match=words):
        check_ecdsa(put("key.pem", content))


def test_a_file_that_can_not_be_read_is_told_with_the_cause(tmp_path: Path) -> None:
    for check in (check_ecdsa, check_authorities, lambda path: check_certificate(path, None)):
        with pytest.raises(KeyFault, match="can't be read: Is a directory"):
            check(str(tmp_path))


def test_certificates_of_the_tests_can_be_used() -> None:
    check_certificate(str(CLIENT), None)
    check_authorities(str(CERTIFICATES / "authority.pem"))


def test_a_certificate_without_its_key_or_with_another_is_told(put) -> None:  # type: ignore[no-untyped-def]
    alone = re.sub(rb"-----BEGIN EC PRIVATE KEY-----.*", b"", CLIENT.read_bytes(), flags=re.DOTALL)
    certificate, other = put("cert.pem", alone), put("key.pem", pem(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(KeyFault, match="private key"):
        check_certificate(certificate, None)
    with pytest.raises(KeyFault, match="is not the certificate of that key"):
        check_certificate(certificate, other)


def test_a_locked_key_is_told_and_nobody_asked_at_a_terminal(put) -> None:  # type: ignore[no-untyped-def]
    locked = put("key.pem", pem(ec.generate_private_key(ec.SECP256R1()), b"locked"))
    with pytest.raises(KeyFault, match="locked by a password"):
        check_certificate(str(CLIENT), locked)


def test_what_holds_no_authority_is_told(put) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(KeyFault, match="must hold certificates in PEM"):
        check_authorities(put("ca.pem", b"nothing"))


def test_the_library_is_imported_when_there_is_such_a_key_only() -> None:
    code = "import sys, bot.keys, bot.app; print('cryptography' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
