"""What a plugin author learns of a text: whether the network took it. The example of docs/plugins.md is run here."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tagged import LABELLED, answer_to, stage

from bot.protocol.message import Message

DOCS = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text("utf-8")
TELL = """
from bot import command
@command("tell")
async def tell(ctx, text):
    ctx.spawn(learn(ctx, ctx.say(text)))
async def learn(ctx, sent):
    await ctx.private(f"fared {await sent.delivered()}")
@command("thread")
def thread(ctx, text):
    sent = ctx.say(text)
    ctx.thread(lambda: ctx.private(f"fared {sent.delivered().wait()}"))
"""


@pytest.mark.parametrize("verb", ["tell", "thread"])
@pytest.mark.parametrize(
    ("answer", "fared"),
    [(":neverquit!n@h PRIVMSG #demo :hi", True), (":s ACK", True), (":s 404 neverquit #demo :No", False)],
)
async def test_the_author_learns_how_a_text_fared(verb: str, answer: str, fared: bool, tmp_path: Path) -> None:
    async with stage(tmp_path, TELL, *LABELLED) as bot:
        bot.ask(f"!{verb} hi")
        bot.peer.send(answer_to(await bot.line("hi"), answer))
        assert (await bot.line("fared")).params == ("bob", f"fared {fared}")


async def test_a_text_of_several_lines_was_delivered_if_each_line_was(tmp_path: Path) -> None:
    source = TELL.replace("ctx.say(text)", "ctx.say('one\\ntwo')")
    async with stage(tmp_path, source, *LABELLED) as bot:
        bot.ask("!tell hi")
        for text, answer in (("one", ":s ACK"), ("two", ":s FAIL PRIVMSG SPAM :Not so fast")):
            bot.peer.send(answer_to(await bot.line(text), answer))
        assert (await bot.line("fared")).param(1) == "fared False"


@pytest.mark.parametrize("verb", ["tell", "thread"])
async def test_where_the_network_cannot_tell_nobody_waits(verb: str, tmp_path: Path) -> None:
    async with stage(tmp_path, TELL, "message-tags", "batch") as bot:
        bot.ask(f"!{verb} hi")
        assert (await bot.line("fared")).param(1) == "fared None"


async def test_where_the_network_only_echoes_the_echo_tells(tmp_path: Path) -> None:
    async with stage(tmp_path, TELL, "echo-message") as bot:
        bot.ask("!tell hi")
        await bot.line("hi")
        bot.peer.send(":neverquit!n@h PRIVMSG #demo :hi")
        assert (await bot.line("fared")).param(1) == "fared True"


async def test_the_end_of_the_connection_ends_the_wait(tmp_path: Path) -> None:
    source = TELL.replace(
        'await ctx.private(f"fared {await sent.delivered()}")', "ended.append(await sent.delivered())"
    )
    async with stage(tmp_path, source + "\nended = []\n", *LABELLED) as bot:
        bot.ask("!tell hi")
        await bot.line("hi")
        connection = bot.app.networks["demo"].connection
        (awaited,) = [each for each in connection.labels._open.values() if each.who == "said.tell"]
        while not awaited._tells:
            await bot.said()
        told = list[bool | None]()
        awaited.then(lambda fared, why: told.append(fared))
        connection.labels.clear()
        await bot.said()
        assert told == [None]


async def test_the_last_line_before_more_is_not_said_yet_so_nobody_waits_for_it(tmp_path: Path) -> None:
    source = """
    from bot import command
    @command("long")
    async def long(ctx):
        sent = ctx.say("\\n".join(map(str, range(30))))
        ctx.log.warning("fared %s", await sent.delivered())
    """
    async with stage(tmp_path, source, *LABELLED) as bot:
        said = await bot.said("!long")
        assert said[-1].param(1) == "7 (+22 more: !more)"


@pytest.mark.parametrize(
    ("answer", "told"), [(":s ACK", []), (":s 404 neverquit bob :Blocked", ["bob did not get it"])]
)
async def test_the_example_of_the_docs_does_what_it_says(answer: str, told: list[str], tmp_path: Path) -> None:
    found = re.search(r"```python\n(from bot import command\n\n@command\(\"page\"\).*?)```", DOCS, re.DOTALL)
    assert found is not None
    async with stage(tmp_path, found[1], *LABELLED) as bot:
        bot.ask("!page bob come here")
        paged = await bot.line("alice: come here".replace("alice", "bob"))
        bot.peer.send(answer_to(paged, answer))
        said = await bot.said()
        assert [message.param(1) for message in said if message.param(0) == "#demo"] == told


async def test_own_lines_that_come_back_wake_nobody(tmp_path: Path) -> None:
    """Whatever it is: the bot never hears itself."""
    source = """
    from bot import command, on, rule
    @command("echo")
    def echo(ctx, text=""): return "echoed"
    @rule("hi")
    def hi(ctx): return "a rule heard it"
    @on("action")
    @on("notice")
    @on("join")
    @on("nick")
    @on("topic")
    @on("mode")
    @on("away")
    @on("part")
    def any(ctx): ctx.to("demo/#demo").say("an event heard it")
    """
    own = ":neverquit!n@h"
    async with stage(tmp_path, source, *LABELLED) as bot:
        bot.peer.send(
            f"{own} PRIVMSG #demo :!echo hi",
            f"{own} PRIVMSG neverquit :echo hi",
            f"{own} PRIVMSG bob :hi",
            f"{own} NOTICE #demo :!echo hi",
            f"{own} PRIVMSG #demo :\x01ACTION hi\x01",
            f"@+typing=active {own} TAGMSG #demo",
            f"{own} JOIN #other",
            f"{own} TOPIC #demo :hi",
            f"{own} MODE #demo +m",
            f"{own} AWAY :hi",
            f"{own} PART #other",
            f"{own} NICK other",
            ":other!n@h PRIVMSG #demo :!echo hi",
        )
        assert [line for line in await bot.said() if line.command in ("PRIVMSG", "NOTICE")] == []


async def test_a_reply_and_what_is_returned_name_the_message_that_they_answer(tmp_path: Path) -> None:
    source = """
    from bot import command
    @command("ask")
    def ask(ctx):
        ctx.reply("replied\\nand more")
        ctx.say("said")
        return "returned"
    """
    async with stage(tmp_path, source, "message-tags") as bot:
        said = {message.param(1): dict(message.tags) for message in await bot.said("!ask", "msgid=abc;time=x")}
        answers = {"+reply": "abc", "+draft/reply": "abc"}
        assert said == {"bob: replied": answers, "and more": {}, "said": {}, "returned": answers}
        assert not any(message.tags for message in await bot.said("!ask"))


@pytest.mark.parametrize(("caps", "deny"), [((), ""), (("batch",), ""), (("message-tags",), "*")])
async def test_nothing_is_named_where_the_network_does_not_take_it(
    caps: tuple[str, ...], deny: str, tmp_path: Path
) -> None:
    source = "from bot import command\n@command('ask')\ndef ask(ctx): return 'returned'"
    after = (f":s 005 neverquit CLIENTTAGDENY={deny} :are supported",)
    async with stage(tmp_path, source, *caps, after=after) as bot:
        assert await bot.said("!ask", "msgid=abc") == [Message("PRIVMSG", ("#demo", "returned"))]
