"""NickServ of the embedded server."""

from __future__ import annotations

import pytest
from speaking import Join, ask

from bot.server import Server
from bot.server.services import NickServ


@pytest.fixture(autouse=True)
def nickserv(server: Server) -> NickServ:
    return NickServ(server)


def notices(lines: list[str]) -> list[str]:
    head = ":NickServ!NickServ@services.irc.demo NOTICE "
    return [line.removeprefix(head).partition(" :")[2].replace("\x02", "") for line in lines if line.startswith(head)]


async def test_who_comes_with_a_registered_nick_is_told(join: Join) -> None:
    alice = await join("alice")
    assert "This nickname is registered" in notices(alice.lines)[0]
    assert notices((await join("bob")).lines) == []


@pytest.mark.parametrize("words", ["IDENTIFY sesame", "identify alice sesame", "IDENTIFY ALICE sesame"])
async def test_identify_logs_in(join: Join, server: Server, words: str) -> None:
    alice = await join("alice", "#a", caps="account-notify")
    heard = await ask(alice, f"PRIVMSG NickServ :{words}")
    assert notices(heard)[-1] == "You are now identified for alice."
    assert ":irc.demo 900 alice alice!alice@127.0.0.1 alice :You are now logged in as alice" in heard
    assert server.client("alice").account == "alice"


@pytest.mark.parametrize("words", ["IDENTIFY wrong", "IDENTIFY nobody sesame"])
async def test_a_wrong_password_does_not(join: Join, server: Server, words: str) -> None:
    heard = await ask(await join("alice"), f"PRIVMSG NickServ :{words}")
    assert notices(heard)[-1].startswith("Invalid password for ") and server.client("alice").account == ""


async def test_ghost_ends_who_has_the_nick_and_regain_gives_it_too(join: Join, server: Server) -> None:
    for verb, nick in (("GHOST", "al"), ("REGAIN", "alice")):
        holder, owner = await join("alice"), await join("al", account="alice")
        heard = await ask(owner, f"PRIVMSG NickServ :{verb} alice")
        assert "Killed (NickServ" in await holder.expect("ERROR")
        assert notices(heard)[-1].startswith("alice has been ")
        assert server.client(nick).account == "alice"
        owner.send("QUIT")
        await owner.expect("ERROR")


async def test_regain_takes_a_nick_that_is_held(join: Join, server: Server) -> None:
    server.held["alice"] = "437"
    owner = await join("al")
    assert " 437 al alice " in (await ask(owner, "NICK alice"))[0]
    await ask(owner, "PRIVMSG NickServ :REGAIN alice sesame")
    assert server.client("alice").nick == "alice"


@pytest.mark.parametrize("words", ["REGAIN alice", "GHOST alice wrong", "REGAIN carol sesame", "RELEASE alice"])
async def test_what_is_not_ones_own_is_not_given(join: Join, server: Server, words: str) -> None:
    await join("alice")
    heard = await ask(await join("bob"), f"PRIVMSG NickServ :{words}")
    assert "You are not authorized" in notices(heard)[0] and "alice" in server.clients


async def test_release_lets_a_nick_go(join: Join, server: Server) -> None:
    server.held["alice"] = "437"
    owner = await join("al", account="alice")
    assert notices(await ask(owner, "PRIVMSG NickServ :RELEASE alice")) == ["alice has been released."]
    assert await ask(owner, "NICK alice") == [":al!al@127.0.0.1 NICK :alice", *(await ask(owner))]


async def test_logout_and_words_it_does_not_know(join: Join, server: Server) -> None:
    alice = await join("al", account="alice")
    assert notices(await ask(alice, "PRIVMSG NickServ :LOGOUT")) == ["You have been logged out."]
    assert server.client("al").account == ""
    assert notices(await ask(alice, "PRIVMSG NickServ :dance"))[0].startswith("I know IDENTIFY")
    assert await ask(alice, "NOTICE NickServ :IDENTIFY alice sesame") == []


async def test_services_that_are_away_are_nobody(join: Join, server: Server) -> None:
    alice = await join("al")
    server.services_leave()
    assert " 401 al NickServ " in (await ask(alice, "PRIVMSG NickServ :LOGOUT"))[-1]
    server.services_return()
    assert notices(await ask(alice, "PRIVMSG NickServ :LOGOUT")) == ["You have been logged out."]
    assert "NickServ" in " ".join(await ask(alice, "WHOIS nickserv"))
