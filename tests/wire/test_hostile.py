"""What servers and people may try on purpose: nobody gains by it, and nothing of it stays."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import Peer
from talk import talking

from bot.config import SaslSettings, Secret
from bot.wire.opening import Limits

Make = Callable[..., Any]

MANY = "@command('many')\ndef many(ctx): return map(str, range(20))"


async def test_the_rest_of_a_private_answer_is_not_for_who_has_the_nick_next(tmp_path: Path) -> None:
    async with talking(tmp_path, MANY, reply_lines=3) as talk:
        await talk.up()
        assert (await talk.said("!many", to="neverquit"))[-1] == "PRIVMSG bob :2 (+17 more: !more)"
        assert await talk.said("more", "bob!e@vil", "neverquit") == ["PRIVMSG bob :there is nothing more to tell"]
        assert (await talk.said("more", to="neverquit"))[0] == "PRIVMSG bob :3"


async def salted(peer: Peer) -> None:
    """Offer SASL anew, up to where the client has to salt its password."""
    peer.send("CAP neverquit NEW :sasl=SCRAM-SHA-256")
    await peer.until("CAP REQ")
    peer.send("CAP neverquit ACK :sasl")
    await peer.until("AUTHENTICATE SCRAM-SHA-256")
    peer.send("AUTHENTICATE +")
    (*_, first) = await peer.until("AUTHENTICATE")
    nonce = base64.b64decode(first.split()[1]).decode().partition("r=")[2]
    peer.send("AUTHENTICATE " + base64.b64encode(f"r={nonce}x,s=c2FsdA==,i=4096".encode()).decode())


async def test_logins_that_are_begun_over_and_over_take_one_thread(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    go, begun = threading.Event(), list[bytes]()

    def slow(*args: Any) -> bytes:
        begun.append(args[1])
        assert go.wait(10)
        return b"salted"

    monkeypatch.setattr("bot.protocol.scram.hashlib.pbkdf2_hmac", slow)
    sasl = SaslSettings(("SCRAM-SHA-256",), "bot", Secret("hunter2-planted"), required=False)
    bench = await make(sasl=sasl, limits=Limits(sasl_seconds=10**6))
    peer = await bench.up()
    for _ in range(3):
        await salted(peer)
        await bench.said(peer)
        peer.send("CAP neverquit DEL :sasl")
    await salted(peer)
    await bench.said(peer)
    assert len(begun) == 1
    go.set()
    await peer.until("AUTHENTICATE Yz1iaXdz")  # c=biws: the answer of the last one
    assert len(begun) == 2
