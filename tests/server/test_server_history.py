"""CHATHISTORY of the embedded server, and what is played back without being asked for."""

from __future__ import annotations

import pytest
from speaking import Join, ask

from bot.server import Client, Server

CAPS = "batch server-time message-tags standard-replies"


@pytest.fixture
async def alice(server: Server, join: Join) -> Client:
    """In `#a`, where the texts 0 to 9 were said at the seconds 0 to 9."""
    server.history = 20
    alice = await join("alice", "#a", caps=CAPS)
    for number in range(10):
        server.now = lambda number=number: float(number)  # type: ignore[misc]
        await ask(alice, f"PRIVMSG #a :{number}")
    return alice


def texts(lines: list[str]) -> str:
    return "".join(line[-1] for line in lines if " PRIVMSG " in line)


def at(second: int) -> str:
    return f"timestamp=1970-01-01T00:00:0{second}.000Z"


@pytest.mark.parametrize(
    ("request_", "heard"),
    [
        ("LATEST #A * 3", "789"),
        ("LATEST #a * 100", "0123456789"),
        (f"LATEST #a {at(7)} 9", "89"),
        (f"BEFORE #a {at(4)} 2", "23"),
        (f"AFTER #a {at(4)} 2", "56"),
        (f"AROUND #a {at(5)} 4", "3456"),
        (f"BETWEEN #a {at(2)} {at(6)} 9", "345"),
        (f"BETWEEN #a {at(2)} {at(6)} 2", "34"),
        (f"BETWEEN #a {at(6)} {at(2)} 2", "45"),
    ],
)
async def test_what_was_said_is_told_in_a_batch(alice: Client, request_: str, heard: str) -> None:
    lines = await ask(alice, f"CHATHISTORY {request_}")
    assert texts(lines) == heard
    assert lines[0].endswith(" chathistory #a") and " BATCH -" in lines[-1]


async def test_each_line_has_the_time_and_the_msgid_that_it_had(alice: Client, server: Server) -> None:
    line = (await ask(alice, "CHATHISTORY LATEST #a * 1"))[1]
    tags = dict(tag.partition("=")[::2] for tag in line.split(" ")[0][1:].split(";"))
    assert tags["time"] == "1970-01-01T00:00:09.000Z"
    assert texts(await ask(alice, f"CHATHISTORY BEFORE #a msgid={tags['msgid']} 1")) == "8"
    assert texts(await ask(alice, f"CHATHISTORY AFTER #a msgid={tags['msgid']} 1")) == ""


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ("LATEST #none * 3", "INVALID_TARGET"),
        ("OLDEST #a * 3", "INVALID_PARAMS"),
        ("LATEST #a *", "INVALID_PARAMS"),
        ("LATEST #a * x", "INVALID_PARAMS"),
        ("LATEST #a * 0", "INVALID_PARAMS"),
        ("BEFORE #a msgid=nothing 3", "INVALID_PARAMS"),
        ("BEFORE #a yesterday 3", "INVALID_PARAMS"),
        ("BEFORE #a timestamp=yesterday 3", "INVALID_PARAMS"),
    ],
)
async def test_what_can_not_be_told_is_a_standard_reply(alice: Client, request_: str, code: str) -> None:
    assert (await ask(alice, f"CHATHISTORY {request_}"))[0].split(" ")[2:5] == ["FAIL", "CHATHISTORY", code]


async def test_history_is_offered_while_there_is_some_and_bounded(join: Join, server: Server) -> None:
    alice = await join("alice", "#a", caps=CAPS)
    assert "chathistory" not in (await ask(alice, "CAP LS 302"))[0]
    server.history = 2
    assert "draft/chathistory" in (await ask(alice, "CAP LS 302"))[0]
    assert "CHATHISTORY=2 MSGREFTYPES=msgid,timestamp" in " ".join(await ask(alice, "VERSION"))
    await ask(alice, "PRIVMSG #a :1", "PRIVMSG #a :2", "PRIVMSG @#a :ops", "TAGMSG #a", "PRIVMSG #a :3")
    assert texts(await ask(alice, "CHATHISTORY LATEST #a * 9")) == "23"


async def test_who_joins_is_played_the_last_lines(alice: Client, server: Server, join: Join) -> None:
    server.playback = 2
    bob = await join("bob", "#a", caps=CAPS)
    lines = bob.lines[-5:-1]
    assert texts(lines) == "89" and " chathistory #a" in lines[0]
    assert "time=1970-01-01T00:00:08.000Z" in lines[1]


async def test_a_replay_says_how_old_it_is(join: Join, server: Server) -> None:
    alice = await join("alice", "#a", caps=CAPS)
    server.replay("alice", "#a", [("x!y@z", "old")], age=7200)
    assert "time=2001-09-08T23:46:40.250Z" in (await ask(alice))[1]
