"""draft/multiline of the embedded server."""

from __future__ import annotations

import pytest
from speaking import Join, ask

from bot.server import MULTILINE, Client, Server

CAPS = "draft/multiline batch message-tags labeled-response standard-replies"
OPEN, CLOSE = "BATCH +1 draft/multiline #a", "BATCH -1"


@pytest.fixture
async def alice(server: Server, join: Join) -> Client:
    server.offer("labeled-response")
    server.offer("draft/multiline", MULTILINE)
    return await join("alice", "#a", caps=CAPS)


def line(text: str, tags: str = "", target: str = "#a") -> str:
    return f"@batch=1{tags} PRIVMSG {target} :{text}"


async def test_several_lines_are_one_batch_for_who_knows_and_several_messages_for_others(
    alice: Client, join: Join
) -> None:
    knows, plain = await join("knows", "#a", caps=CAPS), await join("plain", "#a", caps="message-tags")
    await ask(knows), await ask(plain)
    await ask(alice, f"@+x=y {OPEN}", line("one"), line(""), line("two", ";draft/multiline-concat"), CLOSE)
    begin, one, blank, two, end = [text for text in await ask(knows) if "JOIN" not in text]
    name = begin.split(" BATCH +")[1].split(" ")[0]
    assert begin.endswith(f":alice!alice@127.0.0.1 BATCH +{name} draft/multiline #a")
    assert "+x=y" in begin and "msgid=" in begin and end == f":irc.demo BATCH -{name}"
    assert [one, blank, two] == [
        f"@batch={name} :alice!alice@127.0.0.1 PRIVMSG #a :one",
        f"@batch={name} :alice!alice@127.0.0.1 PRIVMSG #a :",
        f"@batch={name};draft/multiline-concat :alice!alice@127.0.0.1 PRIVMSG #a :two",
    ]
    assert [text.split(" PRIVMSG #a ")[1] for text in await ask(plain)] == [":one", ":two"]


async def test_the_answer_to_the_label_comes_with_the_end(alice: Client) -> None:
    assert await ask(alice, f"@label=x {OPEN}", line("one"), CLOSE) == ["@label=x :irc.demo ACK"]
    await ask(alice, "CAP REQ echo-message")
    heard = await ask(alice, f"@label=y {OPEN}", line("one"), CLOSE)
    assert len(heard) == 3 and "label=y" in heard[0] and " BATCH +" in heard[0]


@pytest.mark.parametrize(
    ("lines", "reply"),
    [
        ([line("x" * 400)] * 11, "MULTILINE_MAX_BYTES 4096"),
        ([line("x")] * 25, "MULTILINE_MAX_LINES 24"),
        ([line("x", target="#b")], "MULTILINE_INVALID_TARGET #a #b"),
        ([line("x"), "@batch=1 NOTICE #a :y"], "MULTILINE_INVALID"),
        (["@batch=2 PRIVMSG #a :x"], "MULTILINE_INVALID"),
        (["@batch=1 JOIN #a"], "MULTILINE_INVALID"),
        ([line("", ";draft/multiline-concat")], "MULTILINE_INVALID"),
        ([line(""), line("")], "MULTILINE_INVALID"),
        ([], "MULTILINE_INVALID"),
    ],
)
async def test_a_batch_that_may_not_be_is_refused_as_a_whole(
    alice: Client, join: Join, lines: list[str], reply: str
) -> None:
    bob = await join("bob", "#a")
    await ask(alice)
    (heard,) = await ask(alice, f"@label=x {OPEN}", *lines, CLOSE)
    assert heard.startswith(f"@label=x :irc.demo FAIL BATCH {reply} :")
    assert await ask(bob) == []


async def test_of_a_batch_that_is_too_long_little_is_kept(alice: Client, server: Server) -> None:
    await ask(alice, OPEN, *[line("x")] * 100)
    batch = server.client("alice").batch
    assert batch and len(batch.lines) == 1


@pytest.mark.parametrize("wrong", ["BATCH -1", "BATCH +1 netsplit a b", "BATCH +1 draft/multiline", "BATCH x"])
async def test_what_opens_or_closes_no_batch_is_told(alice: Client, wrong: str) -> None:
    assert (await ask(alice, wrong))[0].startswith(":irc.demo FAIL BATCH MULTILINE_INVALID :")


async def test_without_the_capability_there_is_no_such_verb(join: Join) -> None:
    assert " 421 " in (await ask(await join("bob"), OPEN))[0]


async def test_where_one_may_not_speak_one_may_not_speak_at_length(alice: Client, join: Join) -> None:
    bob = await join("bob", caps=CAPS)
    assert " 404 bob #a " in (await ask(bob, OPEN, line("x"), CLOSE))[0]
