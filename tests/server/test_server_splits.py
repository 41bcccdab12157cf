"""Netsplits of the embedded server, for those who know batches and those who don't."""

from __future__ import annotations

import pytest
from speaking import Join, ask

from bot.server import Server


async def test_a_split_is_quits_with_two_servers_and_its_end_joins(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a", "#b"), await join("bob", "#a", "#b")
    await ask(alice, "MODE #a +v bob")
    await ask(bob)
    server.split(["bob"])
    assert "bob" not in server.clients and await ask(bob, "PRIVMSG #a :anybody?") == []
    server.rejoin()
    assert (await ask(alice))[-4:] == [
        ":bob!bob@127.0.0.1 QUIT :irc.demo far.demo",
        ":bob!bob@127.0.0.1 JOIN #a",
        ":bob!bob@127.0.0.1 JOIN #b",
        ":far.demo MODE #a +v bob",
    ]
    assert await ask(bob, "PRIVMSG #a :back") == []
    assert (await ask(alice))[-1] == ":bob!bob@127.0.0.1 PRIVMSG #a :back"


async def test_who_knows_batches_gets_a_netsplit_and_a_netjoin(join: Join, server: Server) -> None:
    alice = await join("alice", "#a", caps="batch extended-join")
    server.populate(["p1", "p2"], "#a")
    server.split(["p1", "p2"], "a.demo", "b.demo")
    server.rejoin("a.demo", "b.demo")
    heard = await ask(alice)
    names = [line.split(" ")[2][1:] for line in heard if " BATCH +" in line]
    split, joined = names
    assert heard == [
        f":irc.demo BATCH +{split} netsplit a.demo b.demo",
        f"@batch={split} :p1!people@localhost QUIT :a.demo b.demo",
        f"@batch={split} :p2!people@localhost QUIT :a.demo b.demo",
        f":irc.demo BATCH -{split}",
        f":irc.demo BATCH +{joined} netjoin a.demo b.demo",
        f"@batch={joined} :p1!people@localhost JOIN #a * :p1",
        f"@batch={joined} :p2!people@localhost JOIN #a * :p2",
        f":irc.demo BATCH -{joined}",
    ]


async def test_a_nick_that_was_taken_meanwhile_is_lost_to_who_comes_back(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    server.split(["bob"])
    await join("bob")
    server.rejoin()
    assert await bob.expect("ERROR") == "ERROR :Closing link: 127.0.0.1 (Nick collision)"
    assert [line.split(" ")[1] for line in await ask(alice)] == ["JOIN", "QUIT"]
    assert "bob" in server.clients


async def test_a_split_of_nobody_in_particular_is_a_mistake(server: Server) -> None:
    with pytest.raises(KeyError, match="nobody is called bob"):
        server.split(["bob"])


async def test_who_leaves_beyond_the_split_does_not_come_back(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    server.split(["bob"])
    bob.send("QUIT")
    await bob.expect("ERROR")
    server.rejoin()
    assert [line.split(" ")[1] for line in await ask(alice)] == ["JOIN", "QUIT"]
    assert server.beyond == {}
