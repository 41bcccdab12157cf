"""What a network may look like: other status letters, kinds of channels, a second port with TLS, STS."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from speaking import Join, ask, numerics, raw

from bot.server import Client, Server

CERTIFICATES = Path(__file__).parent.parent / "certificates"
FIVE = {"q": "~", "a": "&", "o": "@", "h": "%", "v": "+"}


async def test_status_letters_may_be_others(join: Join, server: Server) -> None:
    server.prefixes = FIVE
    alice, bob = await join("alice", "#a", caps="multi-prefix"), await join("bob", "#a")
    assert " PREFIX=(qaohv)~&@%+ STATUSMSG=~&@%+ " in " ".join(await ask(bob, "VERSION"))
    await ask(alice, "MODE #a +qhv alice bob bob")
    assert (await ask(bob))[-1] == ":alice!alice@127.0.0.1 MODE #a +qhv alice bob bob"
    assert (await ask(alice, "NAMES #a"))[-2] == ":irc.demo 353 alice = #a :~@alice %+bob"
    assert numerics(await ask(bob, "TOPIC #a :x")) == ["482"]
    await ask(alice, "MODE #a +a-h bob bob")
    assert numerics(await ask(bob, "TOPIC #a :x"))[-1] == "TOPIC"


@pytest.mark.parametrize(
    ("target", "hear"),
    [("@#a", ["op"]), ("%#a", ["op", "half"]), ("@%#a", ["op", "half"]), ("#a", ["op", "half", "none"])],
)
async def test_a_message_to_a_status_reaches_those_with_it_or_a_higher_one(
    join: Join, server: Server, target: str, hear: list[str]
) -> None:
    server.prefixes = FIVE
    people = {nick: await join(nick, "#a") for nick in ("op", "half", "none", "teller")}
    await ask(people["op"], "MODE #a +h half")
    for client in people.values():
        await ask(client)
    await ask(people["teller"], f"PRIVMSG {target} :hi")
    heard = {nick: await ask(client) for nick, client in people.items()}
    assert [nick for nick, lines in heard.items() if lines] == hear
    assert heard["op"] == [f":teller!teller@127.0.0.1 PRIVMSG {target} :hi"]


async def test_a_network_without_op_has_its_first_letter(join: Join, server: Server) -> None:
    server.prefixes = {"y": "!"}
    alice = await join("alice", "#a")
    assert (await ask(alice, "NAMES #a"))[0].endswith(":!alice")
    assert numerics(await ask(alice, "TOPIC #a :x")) == ["TOPIC"]


async def test_channels_may_begin_with_other_signs(join: Join, server: Server) -> None:
    server.chantypes = "&!"
    alice, bob = await join("alice", "&a"), await join("bob", "&a")
    assert numerics(await ask(bob, "JOIN #a", "MODE &a", "WHO &a", "PRIVMSG &a :hi")) == [
        *("403", "324", "329", "352", "352", "315")
    ]
    assert (await ask(alice))[-1] == ":bob!bob@127.0.0.1 PRIVMSG &a :hi"
    assert " CHANTYPES=&! " in " ".join(await ask(bob, "VERSION"))


async def test_a_second_port_is_tls_and_sts_leads_there(server: Server) -> None:
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(CERTIFICATES / "server.pem")
    await server.start_tls(theirs)
    server.sts_seconds = 300
    heard = await raw(server, "CAP LS 302", "CAP REQ sts")
    assert f" sts=port={server.tls_port} " in f"{heard[0]} " and " NAK :sts" in heard[1]
    ours = ssl.create_default_context(cafile=str(CERTIFICATES / "authority.pem"))
    alice = await Client.connect("127.0.0.1", server.tls_port, "alice", tls=ours)
    assert any(" sts=duration=300 " in f"{line} " for line in await ask(alice, "CAP LS 302"))
    await alice.close()
