"""MONITOR of the embedded server."""

from __future__ import annotations

from speaking import Join, ask, numerics

from bot.server import Server


async def test_who_is_here_is_told_at_once_and_who_comes_and_goes_later(join: Join) -> None:
    alice, bob = await join("alice"), await join("bob")
    assert await ask(alice, "MONITOR + BOB,carol") == [
        ":irc.demo 730 alice :bob!bob@127.0.0.1",
        ":irc.demo 731 alice :carol",
    ]
    carol = await join("carol")
    bob.send("QUIT")
    await bob.expect("ERROR")
    await ask(carol, "NICK dave", "NICK Carol", "NICK CAROL")
    assert await ask(alice) == [
        ":irc.demo 730 alice :carol!carol@127.0.0.1",
        ":irc.demo 731 alice :bob",
        ":irc.demo 731 alice :carol",
        ":irc.demo 730 alice :Carol!carol@127.0.0.1",
    ]


async def test_the_list_is_told_shortened_and_cleared(join: Join, server: Server) -> None:
    alice = await join("alice")
    await ask(alice, "MONITOR + bob,carol,dave", "MONITOR - CAROL")
    assert await ask(alice, "MONITOR L") == [
        ":irc.demo 732 alice :bob,dave",
        ":irc.demo 733 alice :End of MONITOR list",
    ]
    assert await ask(alice, "MONITOR S") == [":irc.demo 731 alice :bob,dave"]
    assert numerics(await ask(alice, "MONITOR C", "MONITOR L", "MONITOR S")) == ["733"]
    await join("bob")
    assert await ask(alice) == []


async def test_a_list_is_bounded(join: Join) -> None:
    alice = await join("alice")
    for first in range(0, 100, 10):
        await ask(alice, "MONITOR + " + ",".join(f"n{number}" for number in range(first, first + 10)))
    assert await ask(alice, "MONITOR + n99,more,yet") == [
        ":irc.demo 734 alice 100 more,yet :The list is full",
        ":irc.demo 731 alice :n99",
    ]


async def test_what_is_no_request_is_answered_by_461(join: Join) -> None:
    alice = await join("alice")
    assert numerics(await ask(alice, "MONITOR", "MONITOR +", "MONITOR x", "MONITOR -")) == ["461"] * 4


async def test_who_leaves_watches_nobody_any_more(join: Join, server: Server) -> None:
    alice = await join("alice")
    await ask(alice, "MONITOR + bob")
    alice.send("QUIT")
    await alice.expect("ERROR")
    assert not any(server.watchers.values())
