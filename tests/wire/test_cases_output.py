"""Section O of the catalogue: what the bot sends, where, how fast, and what never; tests are named after cases."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from bench import Bench
from talk import Talk, talking

from bot import config
from bot.config import Channel, Flood, Reconnect
from bot.errors import ConfigError, UnsafeText
from bot.protocol.formatting import strip
from bot.protocol.message import Message
from bot.wire.speech import REFUSED_SECONDS, SETTLE_SECONDS
from bot.wire.talking import TAG_BYTES

ANSWER = """
@command("lines")
async def lines(ctx, count: int):
    return [f"{ctx.channel or ctx.user.nick} {number}" for number in range(count)]
"""
TELL = """
TEXTS = {texts!r}
@command("tell")
async def tell(ctx, number: int):
    return TEXTS[number]
"""


def texts(lines: list[str]) -> list[str]:
    """What was said, without verb and target."""
    return [Message.parse(line).param(1) for line in lines if " :" in line and line.split(" ")[0] == "PRIVMSG"]


# --- O01, O02: one choke point. More ways out: tests/test_app.py, tests/wire/test_connection.py

INJECTIONS = ("a\r\nQUIT :x", "a\nb", "a\rb", "a\0b")


async def test_o01_what_a_handler_says_is_never_a_second_command(tmp_path: Path) -> None:
    async with talking(tmp_path, TELL.format(texts=INJECTIONS)) as talk:
        peer = await talk.up(":neverquit!i@h JOIN #a")
        await talk.lines()
        for number in range(len(INJECTIONS)):
            sent = await talk.said(f"!tell {number}")
            assert sent and all(line.startswith("PRIVMSG #a :") for line in sent)
    assert b"\0" not in peer.received and peer.received.count(b"\r") == peer.received.count(b"\r\n")
    assert not any(b"\r" in line for line in peer.received.split(b"\r\n"))


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize("key", ["name", "key", "nick", "realname", "password"])
def test_o02_no_key_of_the_configuration_holds_more_than_a_line(key: str, text: str) -> None:
    quoted = '"' + "".join(f"\\x{ord(char):02x}" for char in f"#{text}") + '"'
    where = f"channels: [{{name: '#a', {key}: {quoted}}}]" if key == "key" else f"{key}: {quoted}"
    where = f"channels: [{quoted}]" if key == "name" else where
    with pytest.raises(ConfigError):
        config.parse(f"networks: {{n: {{host: irc.test, {where}}}}}", "config.yaml")


# --- O04, O05, O07: lengths

HOST, NICK = "h" * 63, "neverquit1234567"
PREFIX = f":{NICK}!~neverquit@{HOST} "
LONG = {600: " ".join(f"wörd{n}" for n in range(70)), 2000: " ".join(f"{n}🤖 word" for n in range(160))}


@pytest.mark.parametrize("learnt", ["JOIN", "CHGHOST", "396", "NICK", "nothing"])
@pytest.mark.parametrize("length", LONG)
async def test_o04_every_relayed_line_fits_with_its_prefix(length: int, learnt: str, tmp_path: Path) -> None:
    how = {
        "JOIN": [f"{PREFIX}JOIN #a"],
        "CHGHOST": [f":{NICK}!i@x JOIN #a", f":{NICK}!i@x CHGHOST ~neverquit {HOST}"],
        "396": [f":{NICK}!~neverquit@x JOIN #a", f":irc.test 396 {NICK} {HOST} :is now your hidden host"],
        "NICK": [f":short!~neverquit@{HOST} NICK {NICK}"],
        "nothing": [],
    }
    async with talking(tmp_path, TELL.format(texts=[LONG[length]]), nick="short" if learnt == "NICK" else NICK) as talk:
        await talk.up(*how[learnt])
        await talk.lines()
        sent = [line for line in await talk.said("!tell 0") if line.startswith("PRIVMSG")]
    assert all(len(f"{PREFIX}{line}\r\n".encode()) <= 512 for line in sent)
    assert " ".join(texts(sent)) == LONG[length]
    if learnt != "nothing":  # and no line is shorter than it needs to be
        assert max(len(f"{PREFIX}{line}\r\n".encode()) for line in sent) > 490


ODD = [
    "é" * 300,
    "🤖" * 200,
    "👩\u200d👩\u200d👧\u200d👦" * 40,
    "e\u0301\u0323" * 150,
    "🇩🇪" * 80,
    "x" * 1500,
    "\x02bold " + "\x0304,12red and blue " * 60 + "\x0f plain",
]


@pytest.mark.parametrize("number", range(len(ODD)))
async def test_o05_pieces_are_whole_letters_words_and_colours(number: int, tmp_path: Path) -> None:
    async with talking(tmp_path, TELL.format(texts=ODD)) as talk:
        peer = await talk.up(f"{PREFIX}JOIN #a")
        await talk.lines()
        pieces = texts(await talk.said(f"!tell {number}"))
    assert len(pieces) > 1
    peer.received.decode()
    whole = ODD[number]
    assert "".join(map(strip, pieces)).replace(" ", "") == strip(whole).replace(" ", "")
    for unit in ("👩\u200d👩\u200d👧\u200d👦", "e\u0301\u0323", "🇩🇪"):
        if unit in whole:
            assert all(piece.replace(unit, "") == "" for piece in pieces)
    if "\x02" in whole:
        assert all(piece.startswith("\x02\x0304,12") for piece in pieces[1:-1])


async def test_o07_tags_have_a_budget_of_their_own_and_a_longer_line_is_used(tmp_path: Path) -> None:
    async with talking(tmp_path, TELL.format(texts=["x" * 3000]), nick=NICK) as talk:
        await talk.up(f"{PREFIX}JOIN #a", caps="message-tags")
        await talk.lines()
        room, tag = talk.connection.room_for("PRIVMSG", "#a"), "t" * 300
        message = Message("PRIVMSG", ("#a", "y" * room), tags={"+draft/reply": tag})
        talk.connection.say(message)
        assert await talk.lines() == [f"@+draft/reply={tag} PRIVMSG #a :{'y' * room}"]
        for size in (TAG_BYTES - len("@+t="), TAG_BYTES - len("@+t=") + 1):
            message = Message("PRIVMSG", ("#a", "y"), tags={"+t": "t" * size})
            if size < TAG_BYTES - len("@+t=") + 1:
                talk.connection.say(message)
            else:
                with pytest.raises(UnsafeText, match="4094 bytes"):
                    talk.connection.say(message)
        assert len(await talk.lines()) == 1
        await talk.answers(f":irc.test 005 {NICK} LINELEN=2048 :are supported")
        sent = await talk.said("!tell 0")
        assert len(f"{PREFIX}{sent[0]}\r\n") == 2048 and "".join(texts(sent)) == "x" * 3000


# --- O08, O09: pace, turns


async def test_o08_sixty_lines_leave_so_that_no_server_takes_them_for_a_flood(tmp_path: Path) -> None:
    """A burst, then a steady rate: in no two seconds more than ten lines; in order, none lost."""
    async with talking(tmp_path, ANSWER, flood=Flood()) as talk:
        await talk.up(":neverquit!i@h JOIN #a")
        await talk.lines()
        await talk.pass_time(60)
        arrived = [(0.0, text) for text in texts(await talk.said("!lines 60"))]
        for step in range(1, 240):
            await talk.pass_time(0.5)
            arrived += [(step / 2, text) for text in texts(await talk.peer.barrier())]
    assert [text for _, text in arrived] == [f"#a {number}" for number in range(60)]
    times = [at for at, _ in arrived]
    assert all(sum(start <= at < start + 2 for at in times) <= 10 for start in times)
    assert times[4] == 0.0 and 105 <= times[-1] <= 115


async def test_o08_a_long_answer_in_one_channel_delays_nobody_elsewhere(tmp_path: Path) -> None:
    async with talking(tmp_path, ANSWER, flood=Flood()) as talk:
        await talk.up(":neverquit!i@h JOIN #a", ":neverquit!i@h JOIN #b")
        await talk.lines()
        await talk.pass_time(60)
        await talk.said("!lines 60")
        assert await talk.said("!lines 2", to="#b") == []
        await talk.said("!lines 1", to="neverquit")
        arrived = list[str]()
        for _ in range(6):
            await talk.pass_time(2)
            arrived += texts(await talk.peer.barrier())
        assert set(arrived[:4]) >= {"#b 0", "bob 0"} and "#b 1" in arrived


async def test_o09_pong_and_what_an_admin_orders_overtake_two_hundred_lines(tmp_path: Path) -> None:
    """The clock stands still: whatever leaves, leaves at once."""
    async with talking(tmp_path, ANSWER, flood=Flood(2, 0.5)) as talk:
        await talk.up(":neverquit!i@h JOIN #a")
        await talk.lines()
        await talk.pass_time(60)
        await talk.said("!lines 200")
        assert talk.app.keeper.queued + len(talk.connection.outbox) == 198
        talk.connection.kick("#a", "pest")
        talk.connection.nick("another")
        assert await talk.lines() == ["KICK #a pest", "NICK another"]
        await talk.pass_time(10)
        assert texts(await talk.lines())[0] == "#a 2"


# --- O12: the connection is lost with words waiting


async def queued(talk: Talk) -> None:
    """Sixty lines for #a, #b and bob, of which some have left; then the connection is lost."""
    await talk.up(":neverquit!i@h JOIN #a", ":neverquit!i@h JOIN #b")
    await talk.lines()
    for to in ("#a", "#b", "neverquit"):
        await talk.said("!lines 20", to=to)
    await talk.lose()


CHANNELS = (Channel("#a"), Channel("#b"))


async def test_o12_fresh_words_follow_when_their_channel_is_joined_again_private_ones_never(tmp_path: Path) -> None:
    async with talking(tmp_path, ANSWER, flood=Flood(1, 0.5), channels=CHANNELS) as talk:
        await queued(talk)
        talk.connection.say(Message("PRIVMSG", ("#b", "said meanwhile")))
        assert await talk.connection.say(Message("PRIVMSG", ("bob", "said meanwhile"))) is False
        await talk.pass_time(3)
        await talk.up()
        assert await talk.lines() == ["JOIN #a,#b"]
        later = await talk.answers(":neverquit!i@h JOIN #a")
        for _ in range(60):
            await talk.pass_time(2)
            later += await talk.peer.barrier()
        first = texts(later)
        assert first and all(text.startswith("#a ") for text in first), "nobody speaks in #b before it is joined"
        await talk.answers(":neverquit!i@h JOIN #b")
        for _ in range(30):
            await talk.pass_time(2)
        rest = texts(await talk.lines())
        assert len(first + rest) == len(set(first + rest)), "nothing is said twice"
        assert not any(text.startswith("bob") for text in first + rest)


async def test_o12_words_for_a_channel_that_is_joined_late_are_dropped(tmp_path: Path, caplog: Any) -> None:
    async with talking(tmp_path, ANSWER, flood=Flood(1, 0.5), channels=CHANNELS) as talk:
        await queued(talk)
        await talk.pass_time(3)
        await talk.up(":irc.test 474 neverquit #b :Cannot join channel (+b)", ":neverquit!i@h JOIN #a")
        with caplog.at_level(logging.INFO):
            sent = await talk.lines()
        for _ in range(60):
            await talk.pass_time(2)
            sent += await talk.peer.barrier()
        assert texts(sent) and not any("#b" in text for text in texts(sent))
        assert len([record for record in caplog.records if "lines that waited for #b" in record.getMessage()]) == 1


async def test_o12_a_server_that_never_answers_a_join_holds_nobody_for_long(tmp_path: Path) -> None:
    async with talking(tmp_path, ANSWER, channels=CHANNELS) as talk:
        await talk.up()
        talk.connection.say(Message("PRIVMSG", ("#elsewhere", "hello")))
        assert await talk.lines() == ["JOIN #a,#b"]
        await talk.pass_time(SETTLE_SECONDS)
        assert texts(await talk.lines()) == ["hello"]


async def test_o12_stale_words_are_dropped_with_one_line_in_the_log(tmp_path: Path, caplog: Any) -> None:
    reconnect = Reconnect(2, 300, stale_seconds=60)
    async with talking(tmp_path, ANSWER, flood=Flood(1, 0.5), channels=CHANNELS[:1], reconnect=reconnect) as talk:
        await talk.up(":neverquit!i@h JOIN #a")
        await talk.lines()
        await talk.said("!lines 20")
        await talk.lose()
        await talk.clock.advance(61)
        talk.connection.say(Message("PRIVMSG", ("#a", "fresh")))
        await talk.pass_time(0.1)
        await talk.up(":neverquit!i@h JOIN #a")
        sent = await talk.lines()
        for _ in range(30):
            await talk.pass_time(2)
            sent += await talk.peer.barrier()
        assert texts(sent) == ["fresh"]
    assert len([record for record in caplog.records if "had waited for too long" in record.getMessage()]) == 1


async def test_o12_a_private_answer_to_a_line_of_the_connection_before_is_not_said(tmp_path: Path) -> None:
    source = """
import asyncio
gate = asyncio.Event()
@command("slow")
async def slow(ctx):
    await gate.wait()
    ctx.private("for your eyes only")
    return "for all"
@command("open")
async def open_gate(ctx):
    gate.set()
"""
    async with talking(tmp_path, source, channels=CHANNELS[:1]) as talk:
        await talk.up(":neverquit!i@h JOIN #a")
        await talk.peer.barrier()
        talk.peer.send(":bob!b@home PRIVMSG #a :!slow")
        await talk.peer.barrier()
        await talk.lose()
        await talk.pass_time(3)
        await talk.up(":neverquit!i@h JOIN #a")
        assert texts(await talk.said("!open", who="carl!c@home")) == ["for all"]


# --- O13, O15: what handlers give. More of O13: tests/test_app.py

VALUES: dict[str, list[str]] = {
    "5": ["5"],
    "b'byt\\xff'": ["byt\ufffd"],
    "None": [],
    "''": [],
    "'  '": [],
    "['a', 'b', None, 3]": ["a", "b", "3"],
    "{'a': 1}": ["x failed"],
    "(char for char in 'ab')": ["a", "b"],
    "'\\ud800'": ["\ufffd"],
    "Broken()": ["x failed"],
    "ctx.say(Broken())": ["x failed"],
}


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_o13_each_value_is_text_nothing_or_one_error(kind: str, tmp_path: Path, caplog: Any) -> None:
    source = 'class Broken:\n    def __str__(self): raise ValueError("no text")\n'
    for number, value in enumerate(VALUES):
        source += f'@command("x{number}")\n{kind} x{number}(ctx):\n    return {value}\n'
    async with talking(tmp_path, source) as talk:
        await talk.up(":neverquit!i@h JOIN #a")
        await talk.lines()
        for number, wanted in enumerate(VALUES.values()):
            caplog.clear()
            said = [text.partition(" (error")[0] for text in texts(await talk.said(f"!x{number}"))]
            assert said == [text.replace("x ", f"x{number} ") for text in wanted]
            errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
            assert len(errors) == ("failed" in "".join(wanted)), "one record names each failure"


@pytest.mark.parametrize("value", ["'word ' * 2_000_000", "['line'] * 100_000", "(str(n) for n in range(100_000))"])
async def test_o15_too_much_is_cut_with_a_note_in_bounded_memory(value: str, tmp_path: Path) -> None:
    source = f"@command('much')\nasync def much(ctx): return {value}\n"
    async with talking(tmp_path, source, reply_lines=8) as talk:
        await talk.up(":neverquit!i@h JOIN #a")
        await talk.lines()
        said = texts(await talk.said("!much"))
        assert len(said) == 8 and said[-1].endswith(" more: !more)")
        waiting = sum(len(messages) for messages in talk.app.pending.all().values())
        assert waiting <= 501
        rest = list[str]()
        while (more := texts(await talk.said("!more"))) != ["there is nothing more to tell"]:
            rest += more
        assert rest[-1].endswith(("[cut]", "[the rest is cut]"))
        assert len(talk.connection.outbox) == 0


# --- O14: targets that refuse


@pytest.mark.parametrize("numeric", ["401", "403", "404", "407", "437", "439", "447", "482"])
async def test_o14_a_refusal_is_logged_once_and_nothing_is_sent_again(
    numeric: str, tmp_path: Path, caplog: Any
) -> None:
    target = "bob" if numeric in ("401", "447") else "#a"
    async with talking(tmp_path, ANSWER, flood=Flood(2, 0.5)) as talk:
        await talk.up(":neverquit!i@h JOIN #a")
        await talk.lines()
        await talk.pass_time(60)
        caplog.set_level(logging.INFO)
        talk.connection.say(Message("PRIVMSG", (target, "first")))
        assert len(await talk.lines()) == 1
        refusal = f":irc.test {numeric} neverquit {target} :No"
        assert await talk.answers(*[refusal] * 5) == []
        assert len([record for record in caplog.records if f"({numeric})" in record.getMessage()]) == 1
        for _ in range(20):
            await talk.pass_time(2)
        assert await talk.lines() == []


async def test_o14_what_waits_for_a_target_that_refuses_is_dropped_and_others_are_served(tmp_path: Path) -> None:
    async with talking(tmp_path, ANSWER, flood=Flood(3, 0.5)) as talk:
        await talk.up(":neverquit!i@h JOIN #a", ":neverquit!i@h JOIN #b")
        await talk.lines()
        await talk.pass_time(60)
        assert len(texts(await talk.said("!lines 40"))) == 2  # and a question about #b
        await talk.answers(*[":irc.test 404 neverquit #a :Cannot send to channel"] * 3)
        assert talk.app.keeper.queued == len(talk.connection.outbox) == 0
        assert await talk.connection.say(Message("PRIVMSG", ("#a", "x"))) is False
        await talk.pass_time(10)
        assert len(texts(await talk.said("!lines 2", to="#b"))) == 2
        await talk.pass_time(REFUSED_SECONDS)
        assert len(texts(await talk.said("!lines 1"))) == 1


@pytest.mark.parametrize("change", [":op!o@h MODE #a -m", ":neverquit!i@h JOIN #a"])
async def test_o14_a_change_there_ends_the_silence(change: str, tmp_path: Path) -> None:
    async with talking(tmp_path, ANSWER) as talk:
        await talk.up(":neverquit!i@h JOIN #a")
        await talk.lines()
        assert texts(await talk.said("!lines 1")) == ["#a 0"]
        await talk.answers(*[":irc.test 404 neverquit #a :Cannot send to channel"] * 3)
        assert texts(await talk.said("!lines 1")) == []
        await talk.answers(change)
        assert texts(await talk.said("!lines 1")) == ["#a 0"]


async def test_o14_a_line_that_is_refused_for_its_words_costs_the_next_ones_nothing(tmp_path: Path) -> None:
    """404 comes for colours, too."""
    async with talking(tmp_path, ANSWER) as talk:
        await talk.up(":neverquit!i@h JOIN #a")
        await talk.lines()
        assert texts(await talk.said("!lines 1")) == ["#a 0"]
        await talk.answers(":irc.test 404 neverquit #a :No colours here (+c)")
        assert texts(await talk.said("!lines 1")) == ["#a 0"]


async def test_o14_a_nick_that_was_away_is_answered_when_it_speaks(tmp_path: Path) -> None:
    async with talking(tmp_path, ANSWER) as talk:
        await talk.up()
        assert texts(await talk.said("!lines 1", to="neverquit")) == ["bob 0"]
        await talk.answers(*[":irc.test 401 neverquit bob :No such nick"] * 3)
        assert await talk.connection.say(Message("PRIVMSG", ("bob", "x"))) is False
        assert texts(await talk.said("!lines 1", to="neverquit")) == ["bob 0"]


# --- the bench of the wire alone


async def test_o12_questions_end_with_their_connection(make: Any) -> None:
    bench: Bench = await make(flood=Flood(1, 0.01), channels=CHANNELS[:1])
    peer = await bench.up(":neverquit!i@h JOIN #a")
    await bench.said(peer)
    bench.connection.say(Message("WHO", ("#a", "%tcuhnfar,1")))
    await bench.lost(peer)
    await bench.pass_time(3)
    peer = await bench.again(":neverquit!i@h JOIN #a")
    await bench.pass_time(200)
    assert [line for line in await bench.said(peer) if line.startswith("WHO")] == []
