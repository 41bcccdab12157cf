"""bot/app.py: the whole bot, from a line on the wire to its answer, on the embedded server."""

from __future__ import annotations

import asyncio
import io
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bot import logs
from bot.app import App
from bot.config import Channel, Config, Plugins, Reconnect, Reload, Secret, Timeouts
from bot.demo import BOT, NETWORK
from bot.errors import NeverquitError, StoreError, UserError
from bot.protocol.message import Message
from bot.protocol.roster import Applied
from bot.storage import Backend
from bot.testing import CHANNEL, Bot, running_bot
from bot.wire.bare import bare

ECHO = """
from bot import command
@command("echo")
def echo(ctx, text: str = "nothing"): return text
"""


async def lines_of(bot: Bot, action: str, nick: str = "you") -> list[str]:
    """What the bot sends because of a line that is said, as the server gets it, without tags in front."""
    heard: list[str] = []
    mark = len(bot.server.log)
    await bot.say(action, nick)
    heard += [
        bare(line.encode()).decode() for who, way, line in list(bot.server.log)[mark:] if (who, way) == (BOT, "in")
    ]
    return [line for line in heard if not line.startswith("PONG ")]


async def alive(bot: Bot, before: object) -> None:
    """The connection is the same one, and a command is answered on it."""
    assert await bot.say("!echo alive") == ["alive"]
    assert bot.server.client(BOT) is before


# --- lines in: whatever a server or a stranger sends, the connection lives

GARBAGE: dict[str, list[bytes]] = {
    "bytes that are no UTF-8": [
        b":x!y@h PRIVMSG #demo :\xe9t\xe9",
        b":x!y@h PRIVMSG #demo :\x80\xbf\xff\xfe",
        b":x!y@h PRIVMSG #demo :\xc0\x80",
        b":\xff!\xff@\xff PRIVMSG #demo :hi",
        b"@\xff=\xff :x!y@h PRIVMSG #demo :hi",
    ],
    "lines that are none": [
        b"",
        b" ",
        b"    ",
        b" PRIVMSG #demo :hi",
        b":only.prefix",
        b"@tag",
        b":",
        b"@",
        b"@a=b :x",
        b"::",
    ],
    "missing parts": [
        b":x!y@h PRIVMSG #demo",
        b":x!y@h PRIVMSG",
        b":x!y@h QUIT",
        b"PING",
        b"001",
        b":irc 001",
        b":x!y@h KICK #demo",
        b":x!y@h KICK",
        b":x!y@h MODE",
        b":x!y@h NICK",
        b":x!y@h JOIN",
        b":x!y@h PART",
        b":x!y@h TOPIC",
        b":irc 353 neverquit = #demo",
        b":irc 353",
        b":irc 352 neverquit",
        b":irc 354",
        b":irc 332",
        b":irc 433",
        b":x!y@h ACCOUNT",
        b":x!y@h CHGHOST",
        b":x!y@h AWAY",
        b"CAP",
        b"CAP * LS",
        b"CAP * NEW",
        b"BATCH",
        b"BATCH +",
        b"AUTHENTICATE",
        b"ERROR",
        b"PONG",
    ],
    "control characters": [
        b":x!y@h PRIVMSG #demo :a\x00b",
        b":x!y@h PRIVMSG #demo :" + bytes(range(1, 10)) + bytes(range(11, 13)) + bytes(range(14, 32)) + b"\x7f",
        ":x!y@h PRIVMSG #demo :\u2028!echo x\u2029\x85".encode(),
        b":x\x02y!y@h PRIVMSG #demo :hi",
        b":x!y@h\tPRIVMSG\t#demo\t:hi",
    ],
    "unknown verbs and numerics": [
        b":irc 000 a",
        b":irc 999 a",
        b":irc 1234 a",
        b":irc FROBNICATE a b c",
        b":irc pRiVmSg #demo :x",
        b":irc PUBMSG #demo :x",
        b":irc DISCONNECT",
    ],
    "odd sources": [
        b":nick@host PRIVMSG #demo :hi",
        b":!@ PRIVMSG #demo :hi",
        b":a!b!c@d@e PRIVMSG #demo :hi",
        b":" + b"n" * 400 + b"!u@h PRIVMSG #demo :hi",
        b":irc.test PRIVMSG #demo :hi",
    ],
    "ISUPPORT": [
        b":irc 005 neverquit PREFIX= CHANTYPES NICKLEN=x CASEMAPPING=what :are supported",
        b":irc 005 neverquit -PREFIX -CHANTYPES LOAD SET __CLASS__ CHANLIMIT=#100 :are supported",
        b":irc 005 neverquit PREFIX=(ov)@+ CHANTYPES=# CASEMAPPING=rfc1459 :are supported",
        b":irc 005",
    ],
    "CTCP": [
        b":x!y@h PRIVMSG neverquit :\x01\x01",
        b":x!y@h PRIVMSG neverquit :\x01",
        b":x!y@h PRIVMSG neverquit :\x01DCC\x01",
        b":x!y@h PRIVMSG neverquit :\x01PING a\x10rQUIT\x01",
        b":x!y@h NOTICE neverquit :\x01VERSION\x01",
    ],
    "long": [
        b"@" + b"a=b;" * 5000 + b" :x!y@h PRIVMSG #demo :hi",
        b":x!y@h PRIVMSG #demo :" + b"x" * 9000,
        b":x!y@h " + b"A" * 3000,
        b":irc 353 neverquit = #demo :" + b"nick " * 1500,
    ],
}


@pytest.mark.parametrize("kind", GARBAGE)
async def test_the_connection_lives_through(bot: Bot, kind: str) -> None:
    await bot.write("echo", ECHO)
    before = bot.server.client(BOT)
    for line in GARBAGE[kind]:
        bot.server.send_raw(BOT, line)
        await alive(bot, before)
    for line in GARBAGE[kind]:
        bot.server.send_raw(BOT, line)
    await alive(bot, before)


@pytest.mark.parametrize("source", ["irc.test", "you", "you!you@h", "!@", "irc.test!reload@all"])
async def test_a_name_that_the_server_vouches_for_nobody_is_no_admin(bot: Bot, source: str) -> None:
    heard = await bot.heard(lambda: bot.server.send_raw(BOT, f":{source} PRIVMSG #demo :!reload all"))
    assert heard in (["reload: admins only"], [])


async def test_a_broken_line_is_no_louder_than_debug(bot: Bot, caplog: Any) -> None:
    caplog.set_level(logging.INFO)
    for line in GARBAGE["lines that are none"]:
        bot.server.send_raw(BOT, line)
    await bot.quiet()
    assert [record for record in caplog.records if record.name.startswith("bot")] == []


async def test_a_notice_is_never_a_command(bot: Bot) -> None:
    await bot.write("echo", ECHO)
    bot.you.send(f"NOTICE {CHANNEL} :!echo hi")
    assert await bot.say("!echo there") == ["there"]


async def test_replayed_history_is_never_a_command(bot: Bot) -> None:
    await bot.write("echo", ECHO)
    heard = await bot.heard(lambda: bot.server.replay(BOT, CHANNEL, [("old!o@h", "!echo then")]))
    assert heard == []
    assert await bot.say("!echo now") == ["now"]


# --- lines out: nothing that a plugin says becomes a second command

INJECTIONS = [
    "a\r\nQUIT :x",
    "a\nQUIT :x",
    "a\rQUIT :x",
    "a\0QUIT :x",
    "a\r\n\r\nQUIT :x",
    "\r\nQUIT :x",
    "a\x00\r\n\x00QUIT",
]
TEXTS = {
    "return": "return {text!r}",
    "yield": "yield {text!r}",
    "say": "ctx.say({text!r})",
    "reply": "ctx.reply({text!r})",
    "notice": "ctx.notice({text!r})",
    "action": "ctx.action({text!r})",
    "private": "ctx.private({text!r})",
    "to say": "ctx.to('#demo').say({text!r})",
    "to notice": "ctx.to('demo/#demo').notice({text!r})",
    "to action": "ctx.to('#demo').action({text!r})",
    "user error": "raise UserError({text!r})",
    "usage error": "raise UsageError({text!r})",
    "target": "ctx.to({text!r}).say('hi')",
    "target of a network": "ctx.to('demo/' + {text!r}).say('hi')",
}


@pytest.mark.parametrize("kind", ["def", "async def"])
@pytest.mark.parametrize("path", TEXTS)
async def test_no_text_becomes_a_second_command(bot: Bot, path: str, kind: str) -> None:
    bodies = "\n".join(
        f"@command('x{number}')\n{kind} x{number}(ctx):\n    {TEXTS[path].format(text=text)}\n"
        for number, text in enumerate(INJECTIONS)
    )
    await bot.write("evil", f"from bot import command, UserError, UsageError\n{bodies}")
    before = bot.server.client(BOT)
    for number in range(len(INJECTIONS)):
        sent = await lines_of(bot, f"!x{number}")
        assert sent and all(line.startswith(("PRIVMSG ", "NOTICE ")) for line in sent), (INJECTIONS[number], sent)
        assert not any(sign in line for line in sent for sign in "\r\n\0")
    assert bot.server.client(BOT) is before


@pytest.mark.parametrize("verb", ["!join", "!part", "!say #demo", "!say"])
@pytest.mark.parametrize("rest", ["#a\rQUIT", "#a\x00QUIT", "#b k\rQUIT", "#a,#b\rQUIT", "x\rQUIT :y", "#demo \rQUIT"])
async def test_no_argument_of_a_built_in_command_becomes_a_second_command(bot: Bot, verb: str, rest: str) -> None:
    before = bot.server.client(BOT)
    bot.server.send_raw(BOT, f"@account=you :you!you@h PRIVMSG #demo :{verb} {rest}")
    await bot.quiet()
    sent = [line for who, way, line in bot.server.log if (who, way) == (BOT, "in")]
    assert not any(line.startswith("QUIT") for line in sent)
    assert bot.server.client(BOT) is before


@pytest.mark.parametrize("text", ["bye\r\nPRIVMSG #demo :x", "bye\nPRIVMSG #demo :x", "bye\0x"])
async def test_no_quit_reason_becomes_a_second_command(text: str) -> None:
    async with running_bot() as bot:
        bot.app.quit_message = text
        server = bot.server
    sent = [line for who, way, line in server.log if (who, way) == (BOT, "in")]
    assert sent[-1].startswith("QUIT ") and not any("PRIVMSG" in line for line in sent if not line.startswith("QUIT"))


# --- what handlers raise and give: the bot goes on

RAISED = ["SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()", "asyncio.CancelledError()", "BaseException('x')"]
RAISED += ["StopIteration()", "RecursionError()", "MemoryError()", "Odd()", "ExceptionGroup('g', [ValueError()])"]
HEAD = """
import asyncio
from bot import command, on
class Odd(Exception):
    def __str__(self): raise ValueError("no text")
"""
SHAPES = {
    "def": "@command('x')\ndef x(ctx):\n    raise {}\n",
    "async def": "@command('x')\nasync def x(ctx):\n    raise {}\n",
    "generator": "@command('x')\ndef x(ctx):\n    yield 'first'\n    raise {}\n",
    "async generator": "@command('x')\nasync def x(ctx):\n    yield 'first'\n    raise {}\n",
    "finally": "@command('x')\nasync def x(ctx):\n    try:\n        1/0\n    finally:\n        raise {}\n",
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_whatever_a_handler_raises_is_answered_and_the_bot_goes_on(bot: Bot, shape: str) -> None:
    await bot.write("echo", ECHO)
    before = bot.server.client(BOT)
    for error in RAISED:
        await bot.write("bad", HEAD + SHAPES[shape].format(error))
        *first, last = await bot.say("!x")
        assert last.startswith("x failed (error "), error
        assert first == (["first"] if "generator" in shape else [])
    await alive(bot, before)


@pytest.mark.parametrize("error", RAISED)
async def test_whatever_a_background_task_raises_the_bot_goes_on(bot: Bot, error: str) -> None:
    source = """
@command('x')
async def x(ctx):
    async def fail(): raise {0}
    ctx.spawn(fail())
    asyncio.create_task(fail())
    return "spawned"
"""
    await bot.write("echo", ECHO)
    await bot.write("bad", HEAD + source.format(error))
    before = bot.server.client(BOT)
    assert await bot.say("!x") == ["spawned"]
    await alive(bot, before)


async def test_a_handler_that_fails_does_not_keep_the_others_from_running(bot: Bot) -> None:
    await bot.write("a", "from bot import on\n@on('message')\ndef a(ctx): raise SystemExit")
    await bot.write("b", "from bot import on\n@on('message')\ndef b(ctx, text): return f'b heard {text}'")
    assert await bot.say("hello") == ["b heard hello"]


ODD = {
    "5": ["5"],
    "None": [],
    "''": [],
    "'   '": [],
    "b'bytes'": ["bytes"],
    "['a', 'b']": ["a", "b"],
    "'\\ud800'": ["\ufffd"],
    "(c for c in 'ab')": ["a", "b"],
    "{'a': 1}": ["x failed"],
    "object()": ["x failed"],
    "Odd": ["x failed"],
    "'x' * 100_000": None,
    "['y'] * 20_000": None,
}


@pytest.mark.parametrize("value", ODD)
async def test_odd_values_are_converted_or_answered_as_an_error(bot: Bot, value: str) -> None:
    await bot.write("echo", ECHO)
    await bot.write("odd", f"{HEAD}@command('x')\ndef x(ctx):\n    return {value}\n")
    before, wanted = bot.server.client(BOT), ODD[value]
    said = await bot.say("!x")
    if wanted is None:
        assert len(said) == 8 and said[-1].endswith(" more: !more)")
    else:
        assert [line.partition(" (error")[0] for line in said] == wanted
    await alive(bot, before)


# --- long answers


async def test_what_is_beyond_reply_lines_comes_with_more(bot: Bot) -> None:
    await bot.write("many", "from bot import command\n@command('many')\ndef many(ctx): return map(str, range(20))")
    assert await bot.say("!many") == [*map(str, range(7)), "7 (+12 more: !more)"]
    assert await bot.say("!more") == [*map(str, range(8, 15)), "15 (+4 more: !more)"]
    assert await bot.say("!more") == ["16", "17", "18", "19"]
    assert await bot.say("!more") == ["there is nothing more to tell"]


async def test_more_is_of_each_asker_and_place(bot: Bot) -> None:
    await bot.write("many", "from bot import command\n@command('many')\ndef many(ctx): return map(str, range(20))")
    await bot.say("!many")
    assert await bot.say("!more", "carl") == ["there is nothing more to tell"]
    assert await bot.say("more", to=BOT) == ["there is nothing more to tell"]
    assert len(await bot.say("!more")) == 8


async def test_actions_and_notices_stay_what_they_are_in_more(bot: Bot) -> None:
    source = "from bot import command\n@command('many')\ndef many(ctx):\n    for n in range(10): ctx.{0}(str(n))"
    await bot.write("many", source.format("action"))
    await bot.say("!many")
    assert await lines_of(bot, "!more") == [f"PRIVMSG #demo :\x01ACTION {n}\x01" for n in (8, 9)]
    await bot.write("many", source.format("notice"))
    await bot.say("!many")
    assert [line.split()[0] for line in await lines_of(bot, "!more")] == ["NOTICE", "NOTICE"]


async def test_every_relayed_line_fits_and_nothing_is_lost(bot: Bot) -> None:
    words = " ".join(f"wörd{number}" for number in range(150))
    await bot.write("long", f"from bot import command\n@command('long')\ndef long(ctx): return {words!r}")
    start = len(bot.you.lines)
    said = await bot.say("!long")
    assert " ".join(said) == words
    relayed = [line[line.index(f":{BOT}!") :] for line in bot.you.lines[start:] if f":{BOT}!" in line]  # without tags
    assert relayed and all(len(line.encode()) + 2 <= 512 for line in relayed)


# --- who hears what


async def test_connected_comes_before_ready_and_both_once(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(
        "from bot import keep, on, command\nseen = keep('seen', list)\n"
        "@on('connected')\nasync def c(ctx): seen.append('connected')\n"
        "@on('ready')\nasync def r(ctx): seen.append('ready')\n"
        "@command('seen')\nasync def s(ctx): return ' '.join(seen)"
    )
    async with running_bot(tmp_path) as bot:
        assert await bot.say("!seen") == ["connected ready"]


async def test_a_plugin_may_be_silent_in_one_channel(tmp_path: Path) -> None:
    async with running_bot(tmp_path) as bot:
        await bot.write("echo", ECHO)
        settings = bot.app.networks[NETWORK].connection.settings
        silent = replace(settings, channels=(Channel(CHANNEL.upper(), disabled=("echo",)),))
        bot.app.networks[NETWORK].connection.settings = silent
        assert await bot.say("!echo hi") == []
        assert await bot.say("echo hi", to=BOT) == ["hi"]


async def test_built_in_commands_cannot_be_silenced(bot: Bot) -> None:
    settings = bot.app.networks[NETWORK].connection.settings
    bot.app.networks[NETWORK].connection.settings = replace(settings, disabled=("bot",))
    assert (await bot.say("!version"))[0].startswith("neverquit ")


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("#a", (NETWORK, "#a")),
        ("demo/#a", (NETWORK, "#a")),
        ("demo/nick", (NETWORK, "nick")),
        ("#a/b", (NETWORK, "#a/b")),
    ],
)
async def test_an_address_names_network_and_target(bot: Bot, address: str, place: tuple[str, str]) -> None:
    assert bot.app.resolve(address) == place


async def test_an_address_of_another_network_is_refused_with_those_there_are(bot: Bot) -> None:
    with pytest.raises(UserError, match="'oftc/x' names no network; write NETWORK/TARGET \\(there are demo\\)"):
        bot.app.resolve("oftc/x")
    with pytest.raises(UserError, match="there is no network oftc; there are demo"):
        bot.app.network("oftc")


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_keep_and_store_of_a_handler_are_those_of_the_plugin(bot: Bot, kind: str) -> None:
    await bot.write(
        "p",
        f"""
        from bot import command, keep, store, every
        STATE_NAME = "state"
        kept, stored = keep("n", dict), store("n")

        @command("add")
        {kind} add(ctx):
            return f"{{keep('n', dict) is kept}} {{store('n').add('k')}} {{stored['k']}}"

        @every("5m")
        {kind} tick(ctx):
            store("n").add("k", 10)
        """,
    )
    assert await bot.say("!add") == ["True 1 1"]
    await bot.heard(bot.clock.advance("5m"))
    assert await bot.say("!add") == ["True 12 12"]
    assert bot.app.backend.rows("state", "n").read("", "k") == "12"


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_handler_reads_the_settings_of_its_plugin(kind: str) -> None:
    config = Config(plugins=Plugins(settings={"p": {"units": "imperial"}}))
    async with running_bot(config=config) as bot:
        await bot.write(
            "p",
            f"""
            from bot import command, every, settings, setup
            seen = []

            @setup
            {kind} up(ctx):
                seen.append(settings()["units"])

            @every("5m")
            {kind} tick(ctx):
                seen.append(settings()["units"])

            @command("units")
            {kind} units(ctx):
                return f"{{settings()['units']}} {{seen}}"
            """,
        )
        await bot.heard(bot.clock.advance("5m"))
        assert await bot.say("!units") == ["imperial ['imperial', 'imperial']"]


async def test_the_settings_of_a_plugin_are_read_only(bot: Bot) -> None:
    with pytest.raises(TypeError):
        bot.app.settings("weather")["x"] = 1  # type: ignore[index]


# --- jobs


async def test_a_periodic_job_runs_when_it_is_due(bot: Bot) -> None:
    await bot.write("tick", "from bot import every\n@every('5m')\ndef tick(ctx): ctx.to('#demo').say('tick')")
    assert await bot.heard(lambda: bot.clock.advance("4m")) == []
    assert await bot.heard(lambda: bot.clock.advance("2m")) == ["tick"]


async def test_a_scheduled_call_speaks_where_it_was_asked(bot: Bot) -> None:
    await bot.write(
        "later",
        """
        from bot import command, job
        @job
        def due(ctx, what): ctx.say(f"now: {what}")
        @command("later")
        def later(ctx, what: str): ctx.schedule("10m", due, what)
        """,
    )
    await bot.say("!later tea")
    assert await bot.heard(lambda: bot.clock.advance("11m")) == ["now: tea"]


async def test_a_job_to_a_network_that_is_gone_is_logged_and_survived(bot: Bot, caplog: Any) -> None:
    owner: Any = SimpleNamespace(plugin="p", generation=1, calls={})
    handler: Any = SimpleNamespace(key="p.due", plugin="p", function=lambda ctx: None, declaration=None, owner=owner)
    handler.is_async, handler.signature, handler.limit = True, None, None
    coroutine: Any = bot.app.calls.later(owner, handler, (), "oftc/#a")
    if asyncio.iscoroutine(coroutine):
        await coroutine
    assert "p.due: 'oftc/#a' names no network" in caplog.text


# --- reports


async def test_a_save_is_told_where_reports_go(bot: Bot) -> None:
    async def save() -> None:
        (bot.plugins / "echo.py").write_text(ECHO)
        await bot.app._settle(frozenset())

    (line,) = await bot.heard(save)
    assert line.startswith("echo loaded g1 (")


async def test_a_failure_that_is_mended_at_once_is_not_told(bot: Bot) -> None:
    async def save() -> None:
        (bot.plugins / "echo.py").write_text("x =")
        await bot.app._settle(frozenset())
        (bot.plugins / "echo.py").write_text(ECHO)
        await bot.app._settle(frozenset())

    assert [line.split(" (")[0] for line in await bot.heard(save)] == ["echo loaded g1"]


async def test_a_failure_that_stays_is_told_after_a_moment(bot: Bot) -> None:
    async def save() -> None:
        (bot.plugins / "echo.py").write_text("x =")
        await bot.app._settle(frozenset())

    assert await bot.heard(save) == ["echo not loaded: echo.py:1: SyntaxError: invalid syntax"]


# --- words to those of a rank in a channel


WHERE = """
    from bot import command
    @command("where")
    def where(ctx):
        return f"{ctx.channel} {ctx.address}"
    @command("later")
    def later(ctx):
        ctx.schedule("1m", told)
    def told(ctx):
        ctx.say(f"{ctx.channel} later")
"""


async def ranked(bot: Bot, text: str) -> list[str]:
    """What the bot sends when `you` says a text to the operators of the channel."""
    connection, mark = bot.app.networks[NETWORK].connection, bot.server.mark()
    connection.roster.isupport.apply(["STATUSMSG=@+"])
    message = Message.parse(f":you!u@h PRIVMSG @{CHANNEL} :{text}")
    bot.app.line(connection, "99999", 0, message, Applied())
    await bot.app.idle()
    await bot.quiet()
    return [line for who, way, line in list(bot.server.log)[mark:] if (who, way) == (BOT, "in") and "PRIVMSG" in line]


async def test_a_word_to_the_operators_needs_the_prefix(bot: Bot) -> None:
    await bot.write("spot", WHERE)
    assert await ranked(bot, "where is it") == []


async def test_a_word_to_the_operators_is_answered_to_them(bot: Bot) -> None:
    await bot.write("spot", WHERE)
    assert await ranked(bot, "!where") == [f"PRIVMSG @{CHANNEL} :{CHANNEL} {NETWORK}/@{CHANNEL}"]


async def test_what_is_scheduled_there_is_said_there(bot: Bot) -> None:
    await bot.write("spot", WHERE)
    await ranked(bot, "!later")
    mark = bot.server.mark()
    await bot.clock.advance("1m")
    await bot.server.wait_for(
        lambda who, way, line: (who, way, line) == (BOT, "in", f"PRIVMSG @{CHANNEL} :{CHANNEL} later"), since=mark
    )


async def test_a_plugin_that_is_off_in_a_channel_is_off_for_its_operators(bot: Bot) -> None:
    await bot.write("spot", WHERE)
    await bot.say(f"!disable spot {CHANNEL}")
    assert await ranked(bot, "!where") == []


async def test_a_record_of_a_handler_says_where_it_runs(bot: Bot) -> None:
    stream, root = io.StringIO(), logging.getLogger()
    level = root.level
    logs.setup("info", "text", stream)
    try:
        await bot.write("noisy", "from bot import command\n@command('n')\ndef n(ctx): ctx.log.warning('heard')")
        await bot.say("!n")
    finally:
        assert logs._handler is not None
        root.removeHandler(logs._handler)
        root.setLevel(level)
    assert f" {NETWORK} {CHANNEL} noisy: heard" in stream.getvalue()


# --- channels and configuration


async def test_a_new_configuration_joins_and_leaves_channels(bot: Bot) -> None:
    config = bot.app.config
    network = replace(config.networks[NETWORK], channels=(Channel("#other"),))
    mark = bot.server.mark()
    await bot.app.apply(replace(config, networks={NETWORK: network}))
    await bot.server.wait_for(lambda who, way, line: (who, way, line) == (BOT, "in", f"PART {CHANNEL}"), since=mark)
    await bot.server.wait_for(lambda who, way, line: (who, way) == (BOT, "in") and line == "JOIN #other", since=mark)


async def test_a_new_configuration_says_what_waits(bot: Bot) -> None:
    config = bot.app.config
    network = replace(config.networks[NETWORK], port=1)
    notes = await bot.app.apply(replace(config, networks={NETWORK: network}, state_dir="/elsewhere"))
    assert notes == [
        "plugins.directories and state_dir change with a restart",
        "networks.demo: port is used at the next connection",
    ]


async def test_a_new_configuration_sets_times_and_keys_at_once(bot: Bot) -> None:
    config, connection = bot.app.config, bot.app.networks[NETWORK].connection
    network = config.networks[NETWORK]
    network = replace(
        network, channels=(Channel(CHANNEL.upper(), Secret("sesame")),), reconnect=Reconnect(1.0, 9.0), prefix=("?",)
    )
    settings = replace(config, reload=Reload(True, 500.0, sweep_seconds=9.0), networks={NETWORK: network})
    mark = bot.server.mark()
    assert await bot.app.apply(settings) == []
    assert (bot.app.watcher.settle_seconds, bot.app.watcher.sweep_seconds) == (0.5, 9.0)
    assert (connection._backoff.minimum, connection._backoff.maximum) == (1.0, 9.0)
    assert connection.channels == {CHANNEL: "sesame"}
    await bot.server.wait_for(
        lambda who, way, line: (who, way, line) == (BOT, "in", f"JOIN {CHANNEL.upper()} sesame"), since=mark
    )


async def test_a_new_configuration_begins_and_ends_the_watching(bot: Bot) -> None:
    config = bot.app.config
    assert bot.app.watcher._task is None
    await bot.app.apply(replace(config, reload=replace(config.reload, watch=True)))
    assert bot.app.watcher._task is not None
    await bot.app.apply(config)
    assert bot.app.watcher._task is None


async def test_a_misspelt_plugin_in_a_new_configuration_is_in_the_log(
    bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    await bot.write("weather", "from bot import command\n@command('forecast')\ndef forecast(ctx): return 'sun'")
    network = replace(bot.app.config.networks[NETWORK], disabled=("forecast", "weather"))
    await bot.app.apply(replace(bot.app.config, networks={NETWORK: network}))
    bot.app.tell_misspelt()
    note = "there is no plugin forecast; !forecast is a command of weather, and plugins are named here"
    assert [text for text in caplog.messages if "no plugin" in text] == [f"networks.demo.disabled: {note}"]


async def test_a_misspelt_plugin_is_in_the_log_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    app = App(Config(plugins=Plugins((str(tmp_path),), disabled=("karm",))), backend=Backend.memory(), installed=False)
    await app.start()
    await app.close()
    assert "plugins.disabled: there is no plugin karm" in caplog.messages


async def test_a_network_that_is_no_longer_configured_is_left(bot: Bot) -> None:
    await bot.app.apply(replace(bot.app.config, networks={}))
    assert bot.app.networks == {} and BOT not in bot.server.clients


# --- the end


async def test_the_end_says_quit_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(
        "from pathlib import Path\nfrom bot import teardown\n"
        "@teardown\ndef t(ctx): Path(__file__).with_name('gone').touch()"
    )
    async with running_bot(tmp_path) as bot:
        server, app = bot.server, bot.app
    assert (tmp_path / "gone").exists()
    assert [line for who, way, line in server.log if (who, way) == (BOT, "in")][-1] == "QUIT :the test has ended"
    assert not app.calls._tasks


async def test_an_end_does_not_wait_for_plugins_that_are_loading(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('begun').touch()\nwhile True: pass"
    )
    app = App(
        Config(
            plugins=Plugins(directories=(str(tmp_path),)),
            timeouts=Timeouts(import_seconds=60.0),
            state_dir=str(tmp_path / "state"),
        )
    )
    async with asyncio.timeout(10):
        running = asyncio.create_task(app.run())
        while not (tmp_path / "begun").exists():  # noqa: ASYNC110  # a turn of the loop is no sleep
            await asyncio.sleep(0)
        app.stop()
        await running
    assert app.reloader.live == {}


async def test_what_fails_at_the_start_is_raised_and_the_bot_is_closed(tmp_path: Path) -> None:
    app = App(Config(state_dir=str(tmp_path)))

    async def fail() -> None:
        raise NeverquitError("no")

    app.start = fail  # type: ignore[method-assign]
    with pytest.raises(NeverquitError):
        await app.run()
    with pytest.raises(StoreError):
        app.backend.own("claims")["x"] = 1
