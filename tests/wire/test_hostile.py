"""What servers and people may try on purpose: nobody gains by it, and nothing of it stays."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
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


# -- one connection, and the next


CAPS = "message-tags server-time batch extended-join account-notify account-tag labeled-response draft/multiline"
JOINED = (
    ":neverquit!nq@h JOIN #a * :nq",
    ":irc.test 353 neverquit = #a :@bob eve neverquit",
    ":irc.test 366 neverquit #a :End",
)


async def let_in(bench: Bench) -> Peer:
    """Let the next connection in, with capabilities, and into #a."""
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send(f"CAP * LS :{CAPS}=max-bytes=4096")
    await peer.until("CAP REQ")
    peer.send(f"CAP * ACK :{CAPS}")
    await peer.until("CAP END")
    peer.send(":irc.test 001 neverquit :Welcome", *JOINED)
    await bench.until(lambda: bench.connection.roster.channel("#a"))
    await bench.said(peer)
    return peer


def heard(bench: Bench) -> list[str]:
    """The texts that handlers could have acted on."""
    told = zip(bench.told.lines, bench.told.applied, strict=True)
    return [message.param(1) for message, applied in told if message.command == "PRIVMSG" and not applied.history]


async def test_nothing_that_was_open_on_a_connection_is_open_on_the_next(make: Make) -> None:
    bench = await make()
    bench.connection.start()
    peer = await let_in(bench)
    peer.send(
        *(
            ":irc.test BATCH +m draft/multiline #a",
            "@batch=m :bob!b@h PRIVMSG #a :half",
            ":bob!b@h PRIVMSG #a :!echo x",
        ),
        *(
            ":irc.test BATCH +h chathistory #a",
            ":irc.test BATCH +n netsplit a.test b.test",
            "@batch=n :eve!e@h QUIT :x",
        ),
        *(":irc.test FAIL X Y :z", ":irc.test 404 neverquit #a :no"),
    )
    await bench.said(peer)
    await bench.lost(peer)
    connection = bench.connection
    assert len(connection.labels) == 0 and connection.gathering.saved()[0] == {}
    assert not connection.roster.batches and not connection.roster.users and connection.roster.splits.saved() == []
    await bench.pass_time(bench.waits())
    peer = await let_in(bench)
    peer.send("@batch=m :bob!b@h PRIVMSG #a :now", ":irc.test BATCH -m", ":irc.test BATCH -h")
    await bench.said(peer)
    assert heard(bench)[-1] == "now"


async def test_a_line_that_the_end_cut_off_is_never_run(make: Make) -> None:
    bench = await make()
    bench.connection.start()
    peer = await let_in(bench)
    peer.send_bytes(b":bob!b@h PRIVMSG #a :!echo do")
    await bench.lost(peer)
    await bench.pass_time(bench.waits())
    peer = await let_in(bench)
    assert heard(bench) == []


async def test_a_nick_that_is_forced_to_and_fro_is_followed_in_silence(make: Make) -> None:
    bench = await make()
    bench.connection.start()
    peer = await let_in(bench)
    for number in range(20):
        peer.send(f":neverquit!nq@h NICK Guest{number}", f":Guest{number}!nq@h NICK neverquit")
    assert [line for line in await bench.said(peer) if "NICK" in line or "MONITOR" in line] == []
    assert bench.connection.roster.nick == "neverquit"


async def test_what_a_server_says_in_a_ping_stays_one_line(make: Make) -> None:
    bench = await make()
    bench.connection.start()
    peer = await let_in(bench)
    peer.send("PING :a\rQUIT :b", "PING :a\0b", "PING")
    assert await bench.said(peer) == ["PONG :aQUIT :b", "PONG :ab"]


# -- the worker dies in the middle


async def written_down(bench: Bench, peer: Peer) -> None:
    """Have all that came up to now in the checkpoint."""
    await bench.said(peer)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()


async def test_a_message_of_several_lines_survives_two_deaths(make: Make) -> None:
    bench = await make(kept=True)
    bench.connection.start()
    peer = await let_in(bench)
    concat = "@batch=m;draft/multiline-concat :bob!b@h PRIVMSG #a"
    peer.send("@account=bob :bob!b@h BATCH +m draft/multiline #a", "@batch=m :bob!b@h PRIVMSG #a :one")
    await written_down(bench, peer)
    await bench.kill()
    peer.send(f"{concat} : two")
    await peer.barrier()
    await bench.succeed()
    peer.send(f"{concat} : three")
    await written_down(bench, peer)
    await bench.succeed()
    peer.send(":bob!b@h BATCH -m")
    await bench.said(peer)
    assert heard(bench) == ["one two three"]
    assert bench.told.lines[-1].tags == {"account": "bob"}


async def test_a_netsplit_goes_on_under_the_next_worker(make: Make) -> None:
    bench = await make(kept=True)
    bench.connection.start()
    peer = await let_in(bench)
    peer.send(":irc.test BATCH +n netsplit a.test b.test", "@batch=n :bob!b@h QUIT :x")
    await written_down(bench, peer)
    await bench.succeed()
    peer.send("@batch=n :eve!e@h QUIT :x", ":irc.test BATCH -n")
    await bench.said(peer)
    await bench.pass_time(1)
    assert "netsplit #a eve a.test b.test" in bench.told.events
    peer.send(":bob!b@h JOIN #a * :b", ":eve!e@h JOIN #a * :e")
    await bench.said(peer)
    await bench.pass_time(4)
    assert bench.told.events[-1] == "netjoin #a bob eve a.test b.test"
    assert all(applied.split for applied in bench.told.applied[-2:]), "nobody is greeted"
