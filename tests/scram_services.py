"""The other side of SCRAM, for tests: what services do, written from RFC 5802 without looking at the bot's half."""

from __future__ import annotations

import base64
import hashlib
import hmac


class ScramServices:
    """Knows one password; answers the client's two messages.

    Attributes:
        proved: whether the client has proved that it knows the password, too.
    """

    def __init__(self, password: str, digest: str = "sha256", iterations: int = 4096, salt: bytes = b"0123456789ab"):
        self.digest, self.iterations, self.salt = digest, iterations, salt
        self.salted = hashlib.pbkdf2_hmac(digest, password.encode(), salt, iterations)
        self.proved = False

    def first(self, client_first: bytes, nonce: str = "of-the-server") -> bytes:
        header, _, bare = client_first.decode().partition(",,")
        assert header == "n"
        self.bare = bare
        self.client_nonce = dict(field.split("=", 1) for field in bare.split(","))["r"]
        salt = base64.b64encode(self.salt).decode()
        self.said = f"r={self.client_nonce}{nonce},s={salt},i={self.iterations}"
        return self.said.encode()

    def final(self, client_final: bytes) -> bytes:
        without, _, proof = client_final.decode().rpartition(",p=")
        signed = f"{self.bare},{self.said},{without}".encode()
        client_key = self._mac(self.salted, b"Client Key")
        stored = hashlib.new(self.digest, client_key).digest()
        signature = self._mac(stored, signed)
        shown = bytes(a ^ b for a, b in zip(base64.b64decode(proof), signature, strict=True))
        self.proved = hashlib.new(self.digest, shown).digest() == stored
        return b"v=" + base64.b64encode(self._mac(self._mac(self.salted, b"Server Key"), signed))

    def _mac(self, key: bytes, text: bytes) -> bytes:
        return hmac.new(key, text, self.digest).digest()
