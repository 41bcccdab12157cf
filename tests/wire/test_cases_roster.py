"""Cases of the catalogue about what the bot knows of a network: W14 W15 W17 W18 W20 W24 and C11, with the whole bot.

What the server says is written byte by byte on the connection of a bot that runs on the embedded server, whose log
holds every line that the bot has sent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bot.config import Admin
from bot.demo import BOT, NETWORK
from bot.testing import CHANNEL, Bot, running_bot
from bot.wire.connection import Connection

PLUGIN = """
from bot import command, on

@command("echo")
def echo(ctx, *words): return " ".join(words)

@command("is")
def is_in(ctx, nick, channel="#demo"):
    known = ctx.network.roster.channel(channel)
    return "nowhere" if known is None else "in" if ctx.network.fold(nick) in known.members else "out"

@command("count")
def count(ctx, channel="#demo"): return str(len(ctx.network.roster.channel(channel).members))

@command("ranks")
def ranks(ctx, nick, channel="#demo"):
    return "".join(sorted(ctx.network.roster.channel(channel).members[ctx.network.fold(nick)])) or "none"

@command("about")
def about(ctx, token):
    it = ctx.network.roster.isupport
    return f"{token}={it.tokens.get(token)} {''.join(it.prefixes)} {it.chantypes} {it.nicklen} {it.casemapping}"

@command("secret", admin=True)
def secret(ctx): return "granted"

@on("join")
def greet(ctx, nick): return f"welcome {nick}"

@on("quit")
def mourn(ctx, nick): ctx.to("#demo").say(f"farewell {nick}")

@on("netsplit")
def split(ctx, channel, nicks, servers): return f"lost {len(nicks)} in {channel} between {' and '.join(servers)}"

@on("netjoin")
def back(ctx, nicks): return f"back {len(nicks)}"

@on("message")
def heard(ctx, text, user):
    if user.bot: return f"a bot said {text}"
"""


@pytest.fixture
async def chat() -> AsyncIterator[Bot]:
    """A bot that tells what it knows."""
    async with running_bot() as bot:
        await bot.write("chat", PLUGIN)
        yield bot


def send(bot: Bot, *lines: str | bytes) -> None:
    for line in lines:
        bot.server.send_raw(BOT, line)


async def said(bot: Bot, *lines: str | bytes) -> list[str]:
    """All that the bot sends because of these lines; then it is alive, on the same connection."""
    before, mark = bot.server.client(BOT), len(bot.server.log)
    send(bot, *lines)
    await bot.quiet()
    found = [line for who, way, line in list(bot.server.log)[mark:] if (who, way) == (BOT, "in")]
    assert bot.server.client(BOT) is before and await bot.say("!echo alive") == ["alive"]
    return [line.partition(" ")[2] if line.startswith("@") else line for line in found if "PONG" not in line]


def connection(bot: Bot) -> Connection:
    return bot.app.networks[NETWORK].connection


# -- W14, W15: 005


ODD = [
    *("WHOX EXCEPTS", "-PREFIX", "PREFIX=", "PREFIX=ov", "CHANLIMIT=#100", "MAXLIST=b:x", "TARGMAX=A,B"),
    *(r"NETWORK=My\x20Net\x00", "LOAD SET REMOVE __CLASS__ LEARN=x", "=x - -- -=", "NICKLEN=", "CHANTYPES"),
    " ".join(f"TOKEN{number}={number}" for number in range(60)),
]


@pytest.mark.parametrize("tokens", ODD)
async def test_w14_odd_tokens_of_005(chat: Bot, tokens: str) -> None:
    sane = ":irc.test 005 bot PREFIX=(ov)@+ CHANTYPES=# NICKLEN=31 CASEMAPPING=rfc1459 :are supported by this server"
    send(chat, sane)
    assert await said(chat, f":irc.test 005 bot {tokens} :are supported by this server") == []
    assert await said(chat, f":irc.test 005 bot {tokens}") == []
    send(chat, sane)
    assert await chat.say("!about NICKLEN") == ["NICKLEN=31 @+ # 31 rfc1459"]


async def test_w14_a_command_shows_the_values(chat: Bot) -> None:
    send(chat, r":irc.test 005 bot NETWORK=My\x20Net PREFIX=(qo)~@ CHANTYPES=#! NICKLEN=99 :are supported")
    assert await chat.say("!about NETWORK") == ["NETWORK=My Net ~@ #! 99 rfc1459"]
    send(chat, ":irc.test 005 bot -PREFIX PREFIX=ov -NICKLEN NICKLEN=x LOAD __CLASS__=1 :are supported")
    assert await chat.say("!about __CLASS__") == ["__CLASS__=1 @+ #! 9 rfc1459"]


MAPPINGS = [
    *(("ascii", False, False), ("rfc1459", True, True), ("rfc1459-strict", True, False)),
    *(("", True, True), ("unheard-of", True, True)),
]


@pytest.mark.parametrize(("mapping", "brackets", "tilde"), MAPPINGS)
async def test_w15_names_are_the_same_where_the_server_says_so(
    chat: Bot, mapping: str, brackets: bool, tilde: bool
) -> None:
    token = f"CASEMAPPING={mapping}" if mapping else "-CASEMAPPING"
    send(chat, f":irc.test 005 bot {token} :are supported", ":irc.test 353 x = #demo :[x] a~ \u00c9 K")
    same = {True: ["in"], False: ["out"]}
    assert await chat.say("!is {X}") == same[brackets]
    assert await chat.say("!is A^") == same[tilde]
    assert await chat.say("!is \u00e9") == ["out"], "no letter but those of ASCII has two cases"
    assert await chat.say("!is \u212a") == ["out"], "the Kelvin sign is no k"
    assert await chat.say("!is k") == ["in"]


async def test_w15_a_mapping_that_changes_in_mid_session(chat: Bot) -> None:
    send(chat, ":irc.test 005 bot CASEMAPPING=ascii :are supported", ":irc.test 353 x = #demo :[x] {x}")
    assert await chat.say("!count") == ["4"]
    send(chat, ":irc.test 005 bot CASEMAPPING=rfc1459 :are supported")
    assert await chat.say("!count") == ["3"]
    assert await said(chat, ":{X}!u@h QUIT :bye") == ["PRIVMSG #demo :farewell {X}"]
    assert await chat.say("!is [x]") == ["out"]


@pytest.mark.parametrize(("mapping", "granted"), [("rfc1459", True), ("ascii", False)])
async def test_w15_an_admin_is_known_by_the_right_folding(chat: Bot, mapping: str, granted: bool) -> None:
    settings = connection(chat).settings
    connection(chat).configure(replace(settings, admins=(Admin(hostmask="[boss]!*@staff.example"),)))
    send(chat, f":irc.test 005 bot CASEMAPPING={mapping} :are supported")
    answer = "granted" if granted else "secret: admins only"
    assert await said(chat, f":{{BOSS}}!b@staff.example PRIVMSG {CHANNEL} :!secret") == [f"PRIVMSG #demo :{answer}"]


@pytest.mark.parametrize(("mapping", "silent"), [("rfc1459", True), ("ascii", False)])
async def test_w15_a_plugin_is_off_in_a_channel_by_the_right_folding(chat: Bot, mapping: str, silent: bool) -> None:
    send(chat, f":irc.test 005 bot CASEMAPPING={mapping} :are supported")
    await chat.say("!disable chat #[x]")
    assert chat.app.places.answers("chat", connection(chat).settings, "#{X}") is not silent


# -- W17: channels and those of a rank


async def test_w17_what_is_a_channel_is_said_by_chantypes(chat: Bot) -> None:
    send(chat, ":irc.test 005 bot CHANTYPES=# :are supported")
    assert await said(chat, ":eve!e@h PRIVMSG &x :!echo hi") == [], "neither a channel nor us"
    send(chat, ":irc.test 005 bot CHANTYPES=#& :are supported")
    assert await said(chat, ":eve!e@h PRIVMSG &x :!echo hi") == ["PRIVMSG &x :hi"]
    send(chat, ":irc.test 005 bot CHANTYPES= :are supported")
    assert await said(chat, ":eve!e@h PRIVMSG #demo :!echo hi") == ["PRIVMSG #demo :hi"], "we are in it"


async def test_w17_a_word_to_those_of_a_rank_is_answered_to_them(chat: Bot) -> None:
    send(chat, ":irc.test 005 bot PREFIX=(qov)~@+ STATUSMSG=@+ -TARGMAX :are supported")
    for sign in "@+":
        assert await said(chat, f":eve!e@h PRIVMSG {sign}#demo :!echo hi") == [f"PRIVMSG {sign}#demo :hi"]
    send(chat, ":irc.test 005 bot -STATUSMSG :are supported")
    assert await said(chat, ":eve!e@h PRIVMSG @#demo :!echo hi") == []
    assert await said(chat, f":eve!e@h PRIVMSG {BOT} :echo hi") == ["PRIVMSG eve :hi"]


async def test_w17_ranks_of_any_letter_and_sign(chat: Bot) -> None:
    send(chat, ":irc.test 005 bot PREFIX=(Yqaohv)!~&@%+ :are supported", ":irc.test 353 x = #demo :!@+eve %bob +dan")
    assert [await chat.say(f"!ranks {nick}") for nick in ("eve", "bob", "dan")] == [["Yov"], ["h"], ["v"]]
    send(chat, ":irc.test MODE #demo -Yo+qh-v eve eve eve eve eve")
    assert await chat.say("!ranks EVE") == ["hq"]


# -- W18: twenty thousand


async def test_w18_a_channel_of_20000_and_500_channels(chat: Bot) -> None:
    count, reads = 20_000, 20
    roster = connection(chat).roster
    send(chat, f":{BOT}!b@h JOIN #big")
    people = [f"@+nick{number}!user{number}@host.example" for number in range(count)]
    for at in range(0, count, reads):
        send(chat, f":irc.test 353 {BOT} = #big :{' '.join(people[at : at + reads])}")
    send(chat, f":irc.test 366 {BOT} #big :End")
    await chat.server.wait_for(lambda who, way, line: "WHO #big" in line)
    assert await chat.say("!count #big") == [str(count + 1)]
    channel = roster.channel("#big")
    assert channel is not None
    token = roster.ask_who(channel).param(1).partition(",")[2]  # the first question has its answer: no such channel
    for number in range(count):
        who = f"{token} #big user{number} host.example nick{number} {'G' if number % 2 else 'H'}@ 0 :Real {number}"
        send(chat, f":irc.test 354 {BOT} {who}")
        if number == count // 2:
            send(chat, "PING :in the middle")
    await chat.server.wait_for(lambda who, way, line: line == "PONG :in the middle")
    middle = sum(user.away for user in roster.users.values())
    send(chat, f":irc.test 315 {BOT} #big :End")
    assert await chat.say("!echo alive") == ["alive"]
    assert middle < count // 2 == sum(user.away for user in roster.users.values()), "PING did not wait for all of it"
    for number in range(500):
        send(chat, f":{BOT}!b@h JOIN #c{number}", f":irc.test 353 {BOT} = #c{number} :{' '.join(people[:reads])}")
    assert await chat.say("!count #c499") == [str(reads + 1)]
    assert await chat.say("!ranks nick7 #big") == ["ov"]
    send(chat, f":{BOT}!b@h PART #big")
    assert await chat.say("!is nick7 #c1") == ["in"] and len(roster.users) == reads + 2


# -- W20: odd sources


@pytest.mark.parametrize(
    "source",
    [
        *("you@host", "!@", "a!b!c@d@e", "n" * 400 + "!u@h", "irc.test", "!reload", "you!", "you!@", "@host", "!u@h"),
        *("irc.test!reload@all", "you!you@h", "*", "you!*@*", "\u00e9!u@h", "you@staff.example!x@y"),
    ],
)
async def test_w20_an_odd_source_is_no_admin(chat: Bot, source: str) -> None:
    heard = await said(chat, f":{source} PRIVMSG {CHANNEL} :!secret", f":{source} NOTICE {CHANNEL} :!secret")
    assert heard in ([], [f"PRIVMSG {CHANNEL} :secret: admins only"])
    heard = await said(chat, f":{source} JOIN", f":{source} MODE {CHANNEL}", f":{source} NICK", f":{source} QUIT")
    assert all(line.startswith(f"PRIVMSG {CHANNEL} :farewell ") for line in heard) and len(heard) < 2


# -- W24: what was said before

OLD = "time=2020-01-01T00:00:00.000Z"


@pytest.mark.parametrize("kind", ["chathistory #demo", "znc.in/playback #demo", "soju.im/history", "playback"])
async def test_w24_replayed_commands_never_run(chat: Bot, kind: str) -> None:
    lines = [
        f"@batch=h;{OLD};account=you :you!y@h PRIVMSG #demo :!secret",
        f"@batch=h;{OLD} :you!y@h PRIVMSG {BOT} :echo private",
        f"@batch=h;{OLD} :eve!e@h JOIN #demo",
        f"@batch=h;{OLD} :eve!e@h QUIT :a.b c.d",
        f"@batch=h;{OLD} :you!y@h PART #demo",
        f"@batch=h;{OLD} :you!y@h NICK {BOT}",
        f"@batch=h;{OLD} :{BOT}!b@h PART #demo",
    ]
    assert await said(chat, f":irc.test BATCH +h {kind}", *lines, ":irc.test BATCH -h") == []
    assert await chat.say("!is you") == ["in"] and await chat.say(f"!is {BOT}") == ["in"]


async def test_w24_batches_in_a_batch_of_history(chat: Bot) -> None:
    assert (
        await said(
            chat,
            ":irc.test BATCH +a chathistory #demo",
            "@batch=a :irc.test BATCH +b netsplit a.b c.d",
            "@batch=b :you!y@h QUIT :a.b c.d",
            "@batch=a :irc.test BATCH -b",
            "@batch=a :irc.test BATCH +c draft/multiline #demo",
            "@batch=c :eve!e@h PRIVMSG #demo :!echo x",
            ":irc.test BATCH -a",
            "@batch=c :eve!e@h PRIVMSG #demo :!echo x",
            ":irc.test BATCH -c",
        )
        == []
    )
    assert await chat.say("!is you") == ["in"]


async def test_w24_playback_without_a_batch_is_known_by_its_time(chat: Bot) -> None:
    lines = [f"@{OLD} :eve!e@h PRIVMSG #demo :!echo then", f"@{OLD} :eve!e@h JOIN #demo", f"@{OLD} :you!y@h QUIT :x"]
    assert await said(chat, *lines) == ["PING time"], "once: what time is it there?"
    assert await chat.say("!is eve") == ["out"] and await chat.say("!is you") == ["in"]


async def test_w24_a_server_whose_clock_is_slow_is_heard(chat: Bot) -> None:
    """Its own clock counts, not ours."""
    send(chat, f"@{OLD} PONG irc.test :x")
    assert await said(chat, f"@{OLD} :eve!e@h PRIVMSG #demo :!echo now") == ["PRIVMSG #demo :now"]


# -- bots


async def test_commands_of_bots_are_not_run(chat: Bot) -> None:
    assert await said(chat, f"@bot :other!o@h PRIVMSG {CHANNEL} :!echo hi") == [
        f"PRIVMSG {CHANNEL} :a bot said !echo hi"
    ]


async def test_where_the_server_knows_bots_we_say_that_we_are_one(chat: Bot) -> None:
    told = [line for who, way, line in chat.server.log if (who, way) == (BOT, "in")]
    assert [line.endswith(f"MODE {BOT} +B") for line in told].count(True) == 1


# -- C11: a netsplit


async def pass_time(bot: Bot, seconds: float) -> None:
    await bot.quiet()
    await bot.clock.advance(seconds)
    connection(bot).alarms.tick()
    await bot.app.idle()  # what no line has caused
    await bot.quiet()


@pytest.mark.parametrize("batch", [True, False])
async def test_c11_a_netsplit_of_500(chat: Bot, batch: bool) -> None:
    tag, masks = "@batch=n " if batch else "", [f"n{number}!u@h{number}" for number in range(500)]
    send(chat, ":irc.test 353 x = #demo :" + " ".join(mask.partition("!")[0] for mask in masks))
    assert await chat.say("!count") == ["502"]
    mark = len(chat.server.log)
    send(chat, *[":irc.test BATCH +n netsplit a.b c.d"] * batch)
    send(chat, *(f"{tag}:{mask} QUIT :a.b c.d" for mask in masks), *[":irc.test BATCH -n"] * batch)
    await pass_time(chat, 1)
    assert await chat.say("!count") == ["2"]
    await pass_time(chat, 60)
    send(chat, *[":irc.test BATCH +n netjoin a.b c.d"] * batch)
    send(chat, *(f"{tag}:{mask} JOIN #demo * :x" for mask in masks), *[":irc.test BATCH -n"] * batch)
    await pass_time(chat, 60)
    assert await chat.say("!count") == ["502"]
    told = [line.partition(":")[2] for who, way, line in list(chat.server.log)[mark:] if (who, way) == (BOT, "in")]
    told = [line for line in told if line.startswith(("lost", "back", "welcome", "farewell"))]
    assert told == ["lost 500 in #demo between a.b and c.d", "back 500"]
    assert await said(chat, ":n1!u@h1 QUIT :Quit: bye", ":n1!u@h1 JOIN #demo * :x") == [
        "PRIVMSG #demo :farewell n1",
        "PRIVMSG #demo :welcome n1",
    ]


async def test_c11_who_was_admin_before_a_split_is_none_after_it(chat: Bot) -> None:
    chat.server.withdraw("account-tag")
    send(chat, ":boss!b@h JOIN #demo you :Boss")
    ask = f":boss!b@h PRIVMSG {CHANNEL} :!secret"
    assert await said(chat, ask) == [f"PRIVMSG {CHANNEL} :welcome boss", f"PRIVMSG {CHANNEL} :granted"]
    send(chat, ":boss!b@h QUIT :a.b c.d", ":boss!b@h JOIN #demo * :Boss")
    assert await said(chat, ask) == [f"PRIVMSG {CHANNEL} :secret: admins only"]
    assert await said(chat, ":boss!b@h ACCOUNT you", ask) == [f"PRIVMSG {CHANNEL} :granted"]
