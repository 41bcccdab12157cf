"""The bot's own keys and certificates: whether they can be used, and signatures with them. Files of PEM.

The configuration asks before the start, so that a file that nobody may read, or one of another kind, is told with its
place and not in the middle of a night. The only file that imports `cryptography`, and only when there is such a key:
it takes 60 ms. Client certificates are for the standard library (`wire/dial.py` shows them).

ECDSA-NIST256P-CHALLENGE: the challenge of 32 bytes is signed as it stands, in place of a hash; the signature is DER.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_CHALLENGE_BYTES = 32


class KeyFault(ValueError):
    """A file can't be used as what it should be; one sentence that says why and what would do."""


def check_certificate(certificate: str, key: str | None) -> None:
    """Find out whether a client certificate can be shown.

    Raises:
        KeyFault
    """
    for path in filter(None, (certificate, key)):
        _read(path)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, no_password)
    except KeyFault:
        raise
    except (ssl.SSLError, OSError, ValueError) as error:
        raise KeyFault(_words(error, "tls.key" if key is not None else "this file")) from error


def no_password() -> str:
    """Stands in for the prompt of OpenSSL, which would wait for somebody at a terminal."""
    raise KeyFault("its key is locked by a password; the bot needs one without: openssl pkey -in OLD -out NEW")


def check_authorities(path: str) -> None:
    """Find out whether a file holds certificates to trust.

    Raises:
        KeyFault
    """
    _read(path)
    try:
        ssl.create_default_context(cafile=path)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise KeyFault("can't be used: it must hold certificates in PEM") from error


def check_ecdsa(path: str) -> None:
    """Find out whether a key for ECDSA-NIST256P-CHALLENGE can be used.

    Raises:
        KeyFault
    """
    _load_ecdsa(path)


def sign_ecdsa(path: str, challenge: bytes) -> bytes:
    """Sign the challenge of ECDSA-NIST256P-CHALLENGE.

    Raises:
        KeyFault: by now the file can't be used, or the challenge is none.
    """
    if len(challenge) != _CHALLENGE_BYTES:
        raise KeyFault(f"the server's challenge has {len(challenge)} bytes, not {_CHALLENGE_BYTES}")
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
    from cryptography.hazmat.primitives.hashes import SHA256

    signed: bytes = _load_ecdsa(path).sign(challenge, ECDSA(Prehashed(SHA256())))
    return signed


def _load_ecdsa(path: str) -> EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = _read(path)
    try:
        key = load_pem_private_key(text, None)
    except TypeError as error:
        raise KeyFault("is locked by a password; the bot needs one without: openssl pkey -in OLD -out NEW") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyFault(
            "is no private key in PEM; make one: openssl ecparam -name prime256v1 -genkey -noout -out FILE"
        ) from error
    if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
        raise KeyFault("is a key of another kind; it must be NIST P-256 (openssl calls it prime256v1)")
    return key


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise KeyFault(f"can't be read: {error.strerror or error}") from error


def _words(error: Exception, key: str) -> str:
    reason = getattr(error, "reason", None) or ""
    if reason == "KEY_VALUES_MISMATCH":
        return "is not the certificate of that key"
    if reason in ("NO_START_LINE", "PEM_LIB", "") or "PEM" in str(error):
        return f"can't be used: it must be a certificate in PEM, and {key} must hold its private key"
    return f"can't be used: {reason.replace('_', ' ').lower()}"
