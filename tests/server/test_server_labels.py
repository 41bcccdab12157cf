"""Labelled answers, echoes and standard replies of the embedded server."""

from __future__ import annotations

import pytest
from speaking import Join, ask, numerics

from bot.server import Client, Server

CAPS = "labeled-response batch message-tags"


@pytest.fixture
async def alice(server: Server, join: Join) -> Client:
    server.offer("labeled-response")
    return await join("alice", "#a", caps=CAPS)


async def test_an_answer_of_one_line_carries_the_label(alice: Client) -> None:
    assert await ask(alice, "@label=x1 TIME") == [
        "@label=x1 :irc.demo 391 alice irc.demo :Sunday September 09 2001 01:46:40 UTC"
    ]


async def test_an_answer_of_several_lines_is_a_batch_with_the_label(alice: Client) -> None:
    begin, *lines, end = await ask(alice, "@label=x WHOIS alice")
    name = begin.split(" ")[3].removeprefix("+")
    assert begin == f"@label=x :irc.demo BATCH +{name} labeled-response" and end == f":irc.demo BATCH -{name}"
    assert numerics([line.partition(" ")[2] for line in lines]) == ["311", "319", "312", "317", "318"]
    assert all(line.startswith(f"@batch={name} :irc.demo 3") for line in lines)


async def test_a_line_that_has_no_answer_is_acknowledged(alice: Client) -> None:
    assert await ask(alice, "@label=x PRIVMSG #a :hi", "@label=y PONG z") == [
        "@label=x :irc.demo ACK",
        "@label=y :irc.demo ACK",
    ]


async def test_a_mistake_is_answered_with_the_label(alice: Client) -> None:
    assert await ask(alice, "@label=x JOIN", "@label=y FOO") == [
        "@label=x :irc.demo 461 alice JOIN :Not enough parameters",
        "@label=y :irc.demo 421 alice FOO :Unknown command",
    ]


async def test_the_echo_carries_the_label_and_the_others_get_none(alice: Client, join: Join) -> None:
    bob = await join("bob", "#a", caps=CAPS)
    await ask(alice, "CAP REQ echo-message")
    echo = (await ask(alice, "@label=x PRIVMSG #a :hi"))[0]
    tags = dict(tag.partition("=")[::2] for tag in echo.split(" ")[0][1:].split(";"))
    assert tags["label"] == "x" and tags["msgid"] and echo.endswith(" PRIVMSG #a :hi")
    heard = (await ask(bob))[-1]
    assert "label" not in heard and f"msgid={tags['msgid']}" in heard


async def test_what_one_says_to_oneself_is_labelled_once_as_its_echo(alice: Client) -> None:
    await ask(alice, "CAP REQ echo-message")
    told, echo = await ask(alice, "@label=x PRIVMSG alice :me")
    assert "label=x" not in told and "label=x" in echo and told.endswith(" PRIVMSG alice :me")


async def test_what_others_say_meanwhile_has_no_label(alice: Client, join: Join) -> None:
    bob = await join("bob", "#a")
    await ask(alice, "@label=x TIME")
    await ask(bob, "PRIVMSG #a :hi")
    assert "label" not in (await ask(alice))[-1]


async def test_a_label_without_the_capability_or_above_64_bytes_is_none(alice: Client, join: Join) -> None:
    bob = await join("bob", caps="message-tags")
    assert await ask(bob, "@label=x PONG y") == []
    assert await ask(alice, f"@label={'x' * 65} PONG y") == []


async def test_who_quits_with_a_label_is_answered(alice: Client) -> None:
    alice.send("@label=x QUIT")
    assert (await alice.expect("ERROR")).startswith("ERROR :")


async def test_a_standard_reply_goes_to_who_knows_them_and_a_notice_to_others(join: Join, server: Server) -> None:
    knows, other = await join("knows", caps="standard-replies"), await join("other")
    for nick in ("knows", "other"):
        server.standard_reply(nick, "WARN", "JOIN", "SLOW", "#a", text="Take your time")
    assert await ask(knows) == [":irc.demo WARN JOIN SLOW #a :Take your time"]
    assert await ask(other) == [":irc.demo NOTICE other :JOIN: Take your time"]
    assert await ask(knows, "SETNAME :") == [":irc.demo FAIL SETNAME INVALID_REALNAME :A name has at least one letter"]


async def test_utf8only_refuses_what_is_none_and_says_so(join: Join, server: Server) -> None:
    server.utf8_only = True
    alice, bob = await join("alice", "#a", caps="standard-replies"), await join("bob", "#a")
    assert " UTF8ONLY " in " ".join(await ask(bob, "VERSION"))
    alice._writer.write(b"PRIVMSG #a :caf\xe9\r\n")
    assert (await ask(alice, "PRIVMSG #a :café"))[
        -1
    ] == ":irc.demo FAIL PRIVMSG INVALID_UTF8 :Only UTF-8 is spoken here"
    assert await ask(bob) == [":alice!alice@127.0.0.1 PRIVMSG #a :café"]


@pytest.mark.parametrize(
    ("denied", "seen"), [("", {"+a", "+typing"}), ("a", {"+typing"}), ("*", set()), ("*,-typing", {"+typing"})]
)
async def test_client_tags_that_are_denied_are_not_relayed(
    join: Join, server: Server, denied: str, seen: set[str]
) -> None:
    server.denied_tags = denied
    alice, bob = await join("alice", "#a", caps="message-tags"), await join("bob", "#a", caps="message-tags")
    await ask(alice, "@+a=1;+typing=active;b=2 TAGMSG #a")
    heard = (await ask(bob))[-1].split(" ")[0][1:]
    assert {tag.partition("=")[0] for tag in heard.split(";")} - {"msgid"} == seen
    assert (f" CLIENTTAGDENY={denied} " in " ".join(await ask(bob, "VERSION"))) == bool(denied)


async def test_what_a_bot_says_is_marked(join: Join) -> None:
    alice, bob = await join("alice", "#a", caps="message-tags"), await join("bob", "#a", caps="message-tags")
    await ask(bob, "MODE bob +B", "PRIVMSG #a :beep")
    assert "bot" in (await ask(alice))[-1].split(" ")[0][1:].split(";")
