"""The same words to two servers, and what each of them answered, in a form that can be compared.

A script is a list of lines that people say one after another. `play` says them to a server and writes down what each of
the people heard because of each line, reduced to what a client may rely on: which lines came, in which order, with
which parameters and tags. Names of the server, hosts, idents, times and ids are replaced; so is the prose of numerics.
Where a server is free in its order (who stands first in NAMES and WHO), it is sorted.

`opening` does the same for one connection from its first byte to its last.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import NamedTuple

from .client import Client, Line

Script = Sequence[tuple[str, str]]  # who says what; what `*` does is done by an operator, or by the server itself
Deed = Callable[[str], Awaitable[None]]

CAPS = {  # nicks, and the capabilities that they ask for
    "ann": (
        *("message-tags", "server-time", "batch", "labeled-response", "echo-message", "account-tag", "account-notify"),
        *("away-notify", "extended-join", "chghost", "setname", "invite-notify", "multi-prefix", "userhost-in-names"),
    ),
    "bob": (),
    "cat": ("message-tags", "away-notify", "extended-join", "invite-notify", "account-notify"),
}
ACCOUNTS = {"cat": "adm"}  # who is logged in
NAMES = re.compile(r"\b(ann|bob|cat|dan|nan|Bob)(\d+)\b")

PROSE = re.compile(r"\d{3}|ERROR|ACK")  # commands whose last parameter is for people
KEPT = {"324", "332", "353", "302", "303", "301", "730", "731", "732", "900", "908"}  # but for these
# What every server says as it likes: its greeting, its numbers of users, its tokens.
FREE = {"004", "005", "251", "252", "253", "254", "255", "265", "266", "372", "396", "042", "375", "002", "003", "020"}
UNORDERED = {"352", "354"}
LATER = "Retry topic change later"  # InspIRCd takes one change of a topic in a second


class Heard(NamedTuple):
    """What one of the people heard because of one line."""

    said: str  # `ann: JOIN #a`
    nick: str
    lines: list[str]


async def play(host: str, port: int, script: Script, number: int, password: str, deed: Deed) -> list[Heard]:
    """Say the lines of a script, each when the one before has been handled everywhere.

    Args:
        number: put behind the nicks of its people, so that scripts can be played side by side.
        deed: does what `*` does.
    """
    joining = (
        Client.connect(host, port, f"{nick}{number}", caps=caps, account=ACCOUNTS.get(nick), password=password)
        for nick, caps in CAPS.items()
    )
    people = dict(zip(CAPS, await asyncio.gather(*joining), strict=True))
    server = people["ann"].lines[0].source
    heard = []
    for nick, line in script:
        real = re.sub(r"\b(ann|bob|cat|dan|nan|Bob)\b", rf"\g<1>{number}", line)
        marks = {each: client.mark() for each, client in people.items()}
        if nick == "*":
            await deed(real)
        elif line.startswith("QUIT"):
            gone = people.pop(nick)
            gone.send(real)
            await gone.over()
            heard.append(Heard(f"{nick}: {line}", nick, reduced(gone.since(marks[nick]), server)))
        else:
            people[nick].send(real)
        for _ in range(2):  # what the first has set in motion is behind the second
            await asyncio.gather(*(client.barrier() for client in people.values()))
        while nick in people and any(each.text == LATER for each in people[nick].since(marks[nick])):
            await asyncio.sleep(0.1)  # only time can bring this about
            marks = {each: client.mark() for each, client in people.items()}
            people[nick].send(real)
            await asyncio.gather(*(client.barrier() for client in people.values()))
        for each, client in people.items():
            lines = [got for got in client.since(marks[each]) if got.command not in ("PONG", "PING")]
            heard.append(Heard(f"{nick}: {line}", each, reduced(lines, server)))
    await asyncio.gather(*(client.close() for client in people.values()))
    return heard


async def opening(host: str, port: int, lines: Iterable[str], number: int) -> list[str]:
    """What a connection hears that says these lines and QUIT; `... 376 422` is the wait for one of these to come."""
    client = Client("*")
    await client.open(host, port)
    for line in lines:
        if line.startswith("... "):
            await client.numeric(*line.split()[1:])
        else:
            client.send(re.sub(r"\bann\b", f"ann{number}", line))
    client.send("QUIT")
    await client.over()
    server = next((line.source for line in client.lines if line.source), "")
    return reduced([line for line in client.lines if line.command != "PING"], server)


def reduced(lines: Iterable[Line], server: str) -> list[str]:
    """Lines without what differs from server to server and from hour to hour."""
    batches: dict[str, str] = {}

    def batch(name: str) -> str:
        return batches.setdefault(name.lstrip("+-"), f"batch{len(batches) + 1}")

    found = list[tuple[str, str]]()
    for line in lines:
        if line.command in FREE or line.nick == "SaslServ":  # which tells who else is logged in
            continue
        params = list(line.params)
        if line.command == "BATCH":
            params[0] = params[0][0] + batch(params[0])
        if line.command == "CAP" and params[1] == "LS":
            params[2:] = []
        if line.command == "353":
            params[-1] = " ".join(sorted(params[-1].split()))
        if line.command == "317":
            params[2] = "IDLE"
        if PROSE.fullmatch(line.command) and line.command not in KEPT and params:
            params[-1] = "..."
        if line.command == "900":
            params[-1] = "..."
        # Tags of a vendor are its own affair.
        tags = {key: value for key, value in line.tags.items() if "/" not in key or key.startswith("+")}
        for key in tags:
            tags[key] = batch(tags[key]) if key == "batch" else "..." if key in ("time", "msgid") else tags[key]
        head = "".join(f"@{key}={tags[key]} " for key in sorted(tags))
        source = "SERVER" if line.source in (server, "") else _plain(re.sub(r"!.*", "!*@*", line.source), server)
        words = " ".join(_plain(param, server) for param in params)
        found.append((line.command, f"{head}:{source} {line.command} {words}"))
    return _sorted(found)


def _sorted(lines: list[tuple[str, str]]) -> list[str]:
    """Each run of rows whose order means nothing, in the order of their text."""
    done, at = list[str](), 0
    while at < len(lines):
        end = at + 1
        while lines[at][0] in UNORDERED and end < len(lines) and lines[end][0] == lines[at][0]:
            end += 1
        done += sorted(text for _, text in lines[at:end])
        at = end
    return done


def _plain(text: str, server: str) -> str:
    text = re.sub(r"(\w)!~?\w+@[\w.:-]+", r"\1!*@*", text)  # nick!ident@host
    text = re.sub(r"(=[+-])~?\w+@[\w.:-]+", r"\1*@*", text)  # of USERHOST
    text = re.sub(r"\b\d{9,}(\.\d+)?", "TIME", text)
    text = text.replace(server, "SERVER") if server else text
    return NAMES.sub(r"\1", text.replace("127.0.0.1", "HOST")).strip()
