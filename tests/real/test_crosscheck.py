"""The embedded server says what InspIRCd says to the same people who say the same: `scripts`, read by `crosscheck`.

Where the two differ and may, the line stands in a table here with the reason. An entry that is needed no longer fails.
"""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

import pytest
import pytest_asyncio

from bot.server import Server

from .client import Client
from .crosscheck import Heard, opening, play
from .inspircd import PASSWORD, InspIRCd
from .ircd import needed
from .scripts import OPENINGS, SCRIPTS

needed("inspircd", "atheme-services", "openssl")
pytestmark = [pytest.mark.real, pytest.mark.timeout(120)]
once = pytest.mark.asyncio(loop_scope="module")

OPERATOR = """
<class name="all" commands="*" privs="*" usermodes="*" chanmodes="*" snomasks="*">
<type name="all" classes="all">
<oper name="boss" password="oper-secret" host="*@*" type="all">
"""

# In every answer: what is replaced before the comparison, and why.
FORMS = [
    (r"( 333 \w+ #\w+ \w+)!\*@\*", r"\1", "the setter of a topic is a nick or a mask"),
    (r"( 730 \w+ )(.*)", lambda m: m[1] + m[2].replace("!*@*", ""), "MONITOR tells nicks or masks"),
    (r"( 900 \* )\w+!", r"\1*!", "who has no nick yet is a star, or a number of the network's"),
    (r"( 351 \w+) \S+", r"\1", "the program's own name"),
    (r"( QUIT )Quit: ", r"\1", "InspIRCd puts this before a reason where its configuration says so"),
    (r"( 451 \*) \w+", r"\1", "InspIRCd names the command"),
]
MISSING = "InspIRCd says 461 whatever is missing; RFC 2812 has a numeric for it"
INVITED = "InspIRCd tells those who know invite-notify, the one who invites among them, and operators by NOTICE"
NO_ZERO = "JOIN 0 is in RFC 2812, and InspIRCd has it only with a module"
BAD_NAME = "403 or 476, both are in use"
NOT_SAID = "InspIRCd has 696 for a mode's missing parameter, and takes a limit that is no number for 0"
NOTICE = "RFC 2812: a NOTICE is never answered; InspIRCd does"
LABELLED = "InspIRCd 3 shows a labelled NICK with the new nick as its source, an unlabelled one with the old"

# `script, who: line`, and why the answers to it may differ.
DIFFERENCES = {
    "channels, ann: JOIN nochannel": BAD_NAME,
    "channels, ann: INVITE cat #a": INVITED,
    "modes, ann: INVITE cat #m": INVITED,
    "modes, ann: MODE #m -b *!*@elsewhere.example": "698 is InspIRCd's own; others are silent on a ban not there",
    "talking, bob: NOTICE nobody :hi": NOTICE,
    "talking, bob: PRIVMSG #t": MISSING,
    "talking, bob: PRIVMSG": MISSING,
    "asking, ann: WHOIS": MISSING,
    "asking, ann: PING": MISSING,
    "nicks, bob: NICK": MISSING,
    "nicks, ann: AUTHENTICATE PLAIN": "InspIRCd is silent to a client without the capability",
    "labels, ann: @label=o NICK nan": LABELLED,
    "labels, ann: @label=p NICK ann": LABELLED,
    "secret, bob: INVITE cat #s": "RFC 2812 asks for an operator where a channel is +i, InspIRCd everywhere",
    "secret, ann: MODE #s +o": NOT_SAID,
    "secret, ann: MODE #s +l x": NOT_SAID,
    "secret, ann: MODE #s +k": NOT_SAID,
    "secret, ann: JOIN #s,#s2,bad": BAD_NAME,
    "secret, ann: WHO": "without a mask RFC 2812 lists everybody",
    "secret, ann: INVITE bob": "InspIRCd lists one's invitations where a parameter is missing",
    "secret, ann: NOTICE": NOTICE,
    "secret, ann: TAGMSG #s": "InspIRCd wants tags with it (412)",
    "secret, ann: @+a TAGMSG": MISSING,
    "leaving, cat: JOIN 0": NO_ZERO,
    "leaving, cat: QUIT": f"{NO_ZERO}: there are still others to tell",
}
OPENINGS_DIFFER = {
    "early": "InspIRCd answers PING only after 001 (451 before), is silent to FOO, and says 461 to NICK",
    "without the capability": "InspIRCd is silent to a client without the capability",
}


class Answers(NamedTuple):
    """What both servers said to everything."""

    scripts: dict[str, tuple[list[Heard], list[Heard]]]
    openings: dict[str, tuple[list[str], list[str]]]


class WithOperator(InspIRCd):
    """InspIRCd with somebody who may do what the embedded server does when a test says so."""

    def write(self, name: str, text: str) -> Path:
        return super().write(name, text if name == "atheme.conf" else text + OPERATOR)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Answers]:
    ours = Server("irc.real.test", "RealTest", accounts={"adm": PASSWORD})
    ours.offer("labeled-response")
    ours.motd = ()
    ours.caps["sasl"] = "PLAIN,EXTERNAL"
    await ours.start()
    async with WithOperator(tmp_path_factory.mktemp("server")) as theirs:

        async def by_oper(line: str) -> None:
            boss.send(line)
            await boss.barrier()

        async def by_server(line: str) -> None:
            _, nick, host = line.split()
            ours.change_host(nick, ours.client(nick).ident, host)

        both = ((theirs.host, theirs.plain_port, by_oper), ("127.0.0.1", ours.port, by_server))
        right, wrong = (base64.b64encode(f"\0adm\0{word}".encode()).decode() for word in (PASSWORD, "wrong"))
        openings = [[line.format(right=right, wrong=wrong) for line in lines] for lines in OPENINGS.values()]
        boss, *opened = await asyncio.gather(
            Client.connect(theirs.host, theirs.plain_port, "boss"),
            *(asyncio.gather(*(opening(*at, lines, n) for n, lines in enumerate(openings))) for *at, _ in both),
        )
        boss.send("OPER boss oper-secret")
        await boss.numeric("381")
        said = await asyncio.gather(
            *(
                asyncio.gather(*(play(*at, script, n, PASSWORD, deed) for n, script in enumerate(SCRIPTS.values())))
                for *at, deed in both
            )
        )
        yield Answers(
            dict(zip(SCRIPTS, zip(*said, strict=True), strict=True)),
            dict(zip(OPENINGS, zip(*opened, strict=True), strict=True)),
        )
        await boss.close()
    await ours.stop()
    assert ours.crashes == []


def formed(lines: list[str]) -> list[str]:
    for pattern, replacement, _ in FORMS:
        lines = [re.sub(pattern, replacement, line) for line in lines]  # type: ignore[call-overload]
    return lines


@once
@pytest.mark.parametrize("script", SCRIPTS)
async def test_the_embedded_server_answers_as_inspircd_does(answers: Answers, script: str) -> None:
    theirs, ours = answers.scripts[script]
    differ = {
        f"{script}, {one.said}": f"\n{one.said}\n  {one.nick} heard of InspIRCd: {formed(one.lines)}\n"
        f"  {one.nick} heard of ours:     {formed(other.lines)}"
        for one, other in zip(theirs, ours, strict=True)
        if formed(one.lines) != formed(other.lines)
    }
    assert {said: words for said, words in differ.items() if said not in DIFFERENCES} == {}
    assert {said for said in DIFFERENCES if said.startswith(f"{script}, ")} == differ.keys()


@once
@pytest.mark.parametrize("name", OPENINGS)
async def test_a_connection_begins_as_on_inspircd(answers: Answers, name: str) -> None:
    theirs, ours = map(formed, answers.openings[name])
    assert (theirs != ours) == (name in OPENINGS_DIFFER), f"\nInspIRCd: {theirs}\nours:     {ours}"


def test_every_line_of_the_table_is_one_of_a_script() -> None:
    said = {f"{name}, {nick}: {line}" for name, script in SCRIPTS.items() for nick, line in script}
    assert DIFFERENCES.keys() - said == set() and OPENINGS_DIFFER.keys() - OPENINGS.keys() == set()
