"""Several lines as one message, over a connection to a server that takes it. The pure half: tests/protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bench import Told
from scripted import Peer, until
from tagged import LABELLED, Stage, answer_to, stage

from bot.protocol.message import Message
from bot.wire.connection import Connection

OFFERED = (*LABELLED, "draft/multiline=max-bytes=4096,max-lines=24")
LINES = """
from bot import command
@command("lines")
async def lines(ctx, count: int = 3):
    return "\\n".join(f"line {number}" for number in range(1, count + 1))
@command("long")
async def long(ctx):
    return "word " * 199 + "end"
@command("tell")
async def tell(ctx):
    sent = ctx.say("one\\ntwo")
    ctx.spawn(learn(ctx, sent))
async def learn(ctx, sent):
    ctx.private(f"fared {await sent.delivered()}")
"""


async def batch(bot: Stage, text: str, tags: str = "") -> list[Message]:
    """The lines of the batch that the bot answers with."""
    bot.ask(text, tags)
    lines = [await bot.line()]
    while lines[-1].param(0)[:1] != "-":
        lines.append(await bot.line())
    return lines


async def test_an_answer_of_several_lines_is_one_message(tmp_path: Path) -> None:
    async with stage(tmp_path, LINES, *OFFERED) as bot:
        first, *inside, last = await batch(bot, "!lines", "msgid=7")
        assert (first.command, first.params) == ("BATCH", ("+neverquit", "draft/multiline", "#demo"))
        assert {**first.tags, "label": ""} == {"label": "", "+reply": "7", "+draft/reply": "7"}
        assert inside == [
            Message("PRIVMSG", ("#demo", f"line {number}"), tags={"batch": "neverquit"}) for number in (1, 2, 3)
        ]
        assert last == Message("BATCH", ("-neverquit",))


async def test_a_long_line_is_one_line_again_for_who_can_read_it_so(tmp_path: Path) -> None:
    async with stage(tmp_path, LINES, *OFFERED) as bot:
        _, *inside, _ = await batch(bot, "!long")
        assert "".join(line.param(1) for line in inside) == "word " * 199 + "end"
        assert ["draft/multiline-concat" in line.tags for line in inside] == [False] + [True] * (len(inside) - 1)
        source = bot.app.networks["demo"].roster.me_source()
        assert all(len(f":{source} PRIVMSG #demo :{line.param(1)}\r\n") <= 512 for line in inside)


async def test_one_line_is_no_batch(tmp_path: Path) -> None:
    async with stage(tmp_path, LINES, *OFFERED) as bot:
        assert [line.command for line in await bot.said("!lines 1")] == ["PRIVMSG"]


async def test_reply_lines_count_and_the_hint_is_in_the_last_line(tmp_path: Path) -> None:
    async with stage(tmp_path, LINES, *OFFERED) as bot:
        _, *inside, _ = await batch(bot, "!lines 20")
        assert [line.param(1) for line in inside][-2:] == ["line 7", "line 8 (+12 more: !more)"]
        _, *inside, _ = await batch(bot, "!more")  # one message, too
        assert [line.param(1) for line in inside][::7] == ["line 9", "line 16 (+4 more: !more)"]


@pytest.mark.parametrize(
    "offered", [("message-tags", "batch"), ("draft/multiline=max-bytes=999",), (*LABELLED, "draft/multiline")]
)
async def test_elsewhere_it_is_lines_as_ever(offered: tuple[str, ...], tmp_path: Path) -> None:
    async with stage(tmp_path, LINES, *offered) as bot:
        assert [line.param(1) for line in await bot.said("!lines")] == ["line 1", "line 2", "line 3"]


async def test_what_does_not_fit_into_one_is_several(tmp_path: Path) -> None:
    async with stage(tmp_path, LINES, *LABELLED, "draft/multiline=max-bytes=4096,max-lines=2") as bot:
        said = await bot.said("!lines 5")
        assert [line.command for line in said] == ["BATCH", "PRIVMSG", "PRIVMSG", "BATCH"] * 2 + ["PRIVMSG"]


@pytest.mark.parametrize(
    ("answer", "fared"),
    [
        (
            [":neverquit!n@h BATCH +s draft/multiline #demo", "@batch=s :neverquit!n@h PRIVMSG #demo :one", "BATCH -s"],
            True,
        ),
        ([":irc.test FAIL BATCH MULTILINE_MAX_BYTES 4096 :Too long"], False),
    ],
)
async def test_the_answer_to_the_batch_is_that_of_all_its_lines(answer: list[str], fared: bool, tmp_path: Path) -> None:
    async with stage(tmp_path, LINES, *OFFERED) as bot:
        first, *_ = await batch(bot, "!tell")
        bot.peer.send(answer_to(first, answer[0]), *answer[1:])
        assert (await bot.line("fared")).param(1) == f"fared {fared}"


async def test_the_capability_may_go_in_mid_session(tmp_path: Path) -> None:
    async with stage(tmp_path, LINES, *OFFERED) as bot:
        await batch(bot, "!lines")
        bot.peer.send(":irc.test CAP neverquit DEL :draft/multiline")
        assert [line.command for line in await bot.said("!lines")] == ["PRIVMSG"] * 3


async def test_what_waits_when_the_connection_is_lost_is_said_in_plain_lines_on_the_next(tmp_path: Path) -> None:
    source = LINES + "\n@command('later')\nasync def later(ctx): ctx.say('one\\ntwo')\n"
    async with stage(tmp_path, source, *OFFERED) as bot:
        connection = bot.app.networks["demo"].connection
        connection.outbox.credit = 0
        await bot.said("!later")
        assert len(connection.outbox) == 1
        connection.speech.leave()
        connection.outbox.room("#demo", 5)
        assert [line for line in await bot.said() if line.command != "MODE"] == [
            Message("PRIVMSG", ("#demo", "one")),
            Message("PRIVMSG", ("#demo", "two")),
        ]


# --- the sign that a command is worked on

SLOW = """
import asyncio
from bot import command, rule
go = asyncio.Event()
@command("slow")
async def slow(ctx):
    await go.wait()
    return "done with it"
@rule("slow")
async def too(ctx):
    await go.wait()
@command("go")
async def let_go(ctx):
    go.set()
"""


async def until_working(bot: Stage) -> None:
    await until(lambda: bot.app.typist._places)


async def test_a_slow_command_shows_that_it_is_worked_on(tmp_path: Path) -> None:
    async with stage(tmp_path, SLOW, "message-tags") as bot:
        bot.ask("!slow")
        await until_working(bot)
        await bot.clock.advance(1)
        assert await bot.line() == Message("TAGMSG", ("#demo",), tags={"+typing": "active"})
        assert [line.param(1) for line in await bot.said("!go")] == ["done with it"]
        await bot.clock.advance(60)
        assert await bot.said() == []


@pytest.mark.parametrize(
    ("offered", "deny", "typing"), [((), "", True), (("message-tags",), "typing", True), (("message-tags",), "", False)]
)
async def test_not_where_the_network_or_the_settings_are_against_it(
    offered: tuple[str, ...], deny: str, typing: bool, tmp_path: Path
) -> None:
    after = (f":s 005 neverquit CLIENTTAGDENY={deny} :are supported",)
    async with stage(tmp_path, SLOW, *offered, after=after, typing=typing) as bot:
        bot.ask("!slow")
        await until_working(bot)
        await bot.clock.advance(10)
        assert [line.param(1) for line in await bot.said("!go")] == ["done with it"]


async def test_a_rule_shows_nothing(tmp_path: Path) -> None:
    async with stage(tmp_path, SLOW, "message-tags") as bot:
        bot.ask("this is slow")
        await bot.peer.barrier()
        await bot.clock.advance(10)
        assert await bot.said("!go") == []


# --- messages of several lines that come in

HEARD = """
from bot import command, on, rule
@command("first")
def first(ctx, word: str, rest: str = ""):
    return f"{ctx.user.account} {word!r} {rest!r}"
@rule("needle(s?)")
def found(ctx, s):
    return f"found{s} in {ctx.text!r}"
@on("message")
def seen(ctx, text):
    ctx.log.info("seen %r", text)
"""
CAPS = ("message-tags", "batch", "account-tag", "draft/multiline=max-bytes=4096")


def several(*texts: str, tags: str = "account=bob", name: str = "q") -> list[str]:
    """What the server says when bob says all this at once."""
    head = f"@{tags} " if tags else ""
    inside = [f"@batch={name} :bob!b@h PRIVMSG #demo :{text}" for text in texts]
    return [f"{head}:bob!b@h BATCH +{name} draft/multiline #demo", *inside, f"BATCH -{name}"]


async def test_several_lines_are_one_command_whose_rest_has_line_feeds(tmp_path: Path) -> None:
    async with stage(tmp_path, HEARD, *CAPS) as bot:
        bot.peer.send(*several("!first one", "!first two", "three"))
        assert [line.param(1) for line in await bot.said()] == [r"bob 'one' '!first two\nthree'"]
        bot.peer.send(*several("!first", "one", "two"))
        assert [line.param(1) for line in await bot.said()] == [r"bob 'one' 'two'"]


async def test_a_rule_searches_all_of_it_and_answers_once(tmp_path: Path) -> None:
    async with stage(tmp_path, HEARD, *CAPS) as bot:
        bot.peer.send(*several("hay", "needles", "a needle", tags="msgid=7"))
        (answer,) = await bot.said()
        assert answer.param(1) == r"founds in 'hay\nneedles\na needle'"
        assert answer.tags["+reply"] == "7"


async def test_what_is_replayed_runs_nothing_and_other_lines_are_heard_meanwhile(tmp_path: Path) -> None:
    async with stage(tmp_path, HEARD, *CAPS) as bot:
        opening, *inside, end = several("!first one", tags="batch=h")
        bot.peer.send(":irc.test BATCH +h chathistory #demo", opening, *inside, end, ":irc.test BATCH -h")
        assert await bot.said() == []
        opening, *rest = several("!first one")
        bot.peer.send(opening, ":al!a@h PRIVMSG #demo :!first other", *rest)
        assert [line.param(1) for line in await bot.said()] == ["None 'other' ''", "bob 'one' ''"]


# --- and over the death of a worker


async def registered(bench: Any) -> Peer:
    bench.connection.start()
    peer: Peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send("CAP * LS :batch message-tags draft/multiline=max-bytes=4096")
    await peer.until("CAP REQ")
    peer.send("CAP * ACK :batch message-tags draft/multiline", ":irc.test 001 neverquit :Welcome")
    await bench.until(lambda: bench.connection.registered)
    await bench.said(peer)
    return peer


def texts(bench: Any) -> list[str]:
    return [message.param(1) for message in bench.told.lines if message.command == "PRIVMSG"]


@pytest.mark.parametrize("saved", [True, False])
@pytest.mark.parametrize("dies_after", range(5))
async def test_wherever_a_worker_dies_the_whole_is_heard_by_one(make: Any, dies_after: int, saved: bool) -> None:
    bench = await make(kept=True)
    peer = await registered(bench)
    bench.told.finish = False  # handlers go on
    lines = several("one", "two", "three")
    peer.send(*lines[:dies_after])
    await bench.said(peer)
    if saved:
        bench.reactor.checkpoints.save(at_once=True)
        await bench.crossed()
    await bench.succeed()
    peer.send(*lines[dies_after:])
    await bench.said(peer)
    assert texts(bench) == ["one\ntwo\nthree"]


@pytest.mark.parametrize("saved", [True, False])
async def test_a_worker_that_dies_over_the_whole_leaves_the_whole(make: Any, saved: bool) -> None:
    bench = await make(kept=True)
    peer = await registered(bench)
    bench.told.finish = False
    peer.send(*several("one", "two"))
    await bench.said(peer)
    assert texts(bench) == ["one\ntwo"]
    if saved:
        bench.reactor.checkpoints.save(at_once=True)
        await bench.crossed()
    await bench.succeed()
    assert texts(bench) == ["one\ntwo"]
    assert 1 in bench.told.flags


async def test_a_whole_that_is_done_is_heard_no_more(make: Any) -> None:
    bench = await make(kept=True)
    peer = await registered(bench)
    peer.send(*several("one", "two"))
    await bench.said(peer)
    await bench.succeed()
    assert set(bench.told.flags) <= {2}
    assert bench.connection.gathering.saved() == [{}, {}]


async def test_what_one_worker_said_as_one_message_no_other_says_line_by_line(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(self: Told, connection: Connection, number: str, message: Message) -> None:
        if message.command == "PRIVMSG":
            lines = [Message("PRIVMSG", ("#demo", text)) for text in ("one", "two")]
            connection.say_together(lines, cause=number, handler="h")

    monkeypatch.setattr(Told, "echo", answer)
    bench = await make(kept=True)
    peer = await registered(bench)
    bench.told.finish = False
    peer.send(":bob!b@h PRIVMSG #demo :hi")
    assert [line.partition(" ")[0] for line in await bench.said(peer)] == ["BATCH", *["@batch=neverquit"] * 2, "BATCH"]
    peer.send(":irc.test CAP neverquit DEL :draft/multiline")
    await bench.said(peer)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.succeed()
    assert bench.connection.multiline is None and 1 in bench.told.flags
    assert await bench.said(peer) == []


async def test_a_list_that_is_returned_is_one_message_and_what_is_yielded_is_not(tmp_path: Path) -> None:
    source = """
    from bot import command
    @command("list")
    def listed(ctx): return ["one", "", "two"]
    @command("some")
    async def some(ctx):
        yield "one"
        yield "two"
    """
    async with stage(tmp_path, source, *OFFERED) as bot:
        assert [line.command for line in await bot.said("!list")] == ["BATCH", "PRIVMSG", "PRIVMSG", "BATCH"]
        assert [line.command for line in await bot.said("!some")] == ["PRIVMSG", "PRIVMSG"]
