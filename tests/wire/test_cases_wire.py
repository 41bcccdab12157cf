"""The catalogue's section W, what comes over the wire, against the whole bot.

ALIVE is asked after each stimulus and after all of them in one segment: the same connection, PING answered, a command
answered. QUIET: nothing was said that the case does not call for.
"""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from scripted import turns
from whole import Whole, whole

from bot.protocol.message import Message


@pytest_asyncio.fixture
async def bot(tmp_path: Path) -> AsyncIterator[Whole]:
    """A bot on one network, in `#c`."""
    async with whole(tmp_path) as made:
        await made.let_in()
        yield made


async def lives_through(bot: Whole, *lines: bytes) -> None:
    """Each line, and all in one segment, change nothing."""
    peer = bot.peers["n"]
    for line in lines:
        peer.send_bytes(line + b"\r\n")
        assert await bot.alive() == [], line
    peer.send_bytes(b"".join(line + b"\r\n" for line in lines))
    assert await bot.alive() == []


COMMAND = b":you!u@h PRIVMSG #c :!echo "


@pytest.mark.parametrize(
    "text", [b"caf\xe9", b"\x80\xbf", b"\xc0\xaf \xe0\x80\xaf", b"\xff\xfe\xfd", b"\xed\xa0\x80", b"ends in \xe2\x82"]
)
async def test_w01_bytes_that_are_no_utf8(bot: Whole, text: bytes) -> None:
    await lives_through(bot, b":x!y@h PRIVMSG #c :" + text, b":" + text + b"!y@h PRIVMSG #c :x", text, b"@a=" + text)
    peer = bot.peers["n"]
    peer.send_bytes(b":x!y@h PRIVMSG #c :" + text + b"\r\n" + COMMAND + b"same segment\r\n" + COMMAND + text + b"\r\n")
    assert await bot.line() == "PRIVMSG #c :n: same segment"
    assert (await bot.line()).startswith("PRIVMSG #c :n: ")


async def test_w02_lines_that_are_none(bot: Whole) -> None:
    await lives_through(
        bot, b"", b" ", b"     ", b" PRIVMSG #c :!echo x", b":only.prefix", b"@tag", b":", b"@", b"@ ", b": ",
        b"@a=b :x", b"@a=b  ", b":x ", b"::",
    )  # fmt: skip


async def test_w03_commands_without_their_parts(bot: Whole) -> None:
    lines = [
        b"PRIVMSG #c", b"PRIVMSG", b"QUIT", b"PING", b"001", b"KICK #c", b"KICK", b"MODE", b"MODE #c", b"NICK", b"JOIN",
        b"PART", b"TOPIC", b"INVITE", b"NOTICE", b"ERROR", b"353", b"353 neverquit =", b"353 neverquit = #c", b"366",
        b"332", b"333", b"352", b"354", b"324", b"329", b"433", b"474", b"474 neverquit", b"005", b"900", b"CAP",
        b"CAP *", b"CAP * LS", b"CAP * ACK", b"CAP * NEW", b"AUTHENTICATE", b"ACCOUNT", b"AWAY", b"CHGHOST", b"SETNAME",
        b"BATCH", b"BATCH +", b"BATCH -", b"PONG", b"FAIL", b"WARN", b"NOTE", b"TAGMSG", b"730", b"303",
    ]  # fmt: skip
    unsaid = {b"QUIT", b"NICK", b"JOIN", b"PART"}  # without a source they are nobody's, with ours they would be ours
    await lives_through(bot, *lines, *[b":irc.test " + line for line in lines], *[b":x!y@h " + line for line in unsaid])


async def test_w03_they_are_no_louder_than_debug(bot: Whole, caplog: pytest.LogCaptureFixture) -> None:
    caplog.clear()
    await lives_through(bot, b":irc.test 353", b":x!y@h KICK #c", b"PRIVMSG", b":only.prefix", b":irc.test 001x")
    assert [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"] == []


def echoes(count: int) -> bytes:
    return b"".join(COMMAND + b"%d\r\n" % number for number in range(count))


CUTS: dict[str, Callable[[bytes], list[bytes]]] = {
    "LF only": lambda text: [text.replace(b"\r", b"")],
    "CR LF cut between segments": lambda text: text.replace(b"\r\n", b"\r|\n").split(b"|"),
    "one byte a segment": lambda text: [text[at : at + 1] for at in range(len(text))],
    "seven bytes a segment": lambda text: [text[at : at + 7] for at in range(0, len(text), 7)],
    "one segment": lambda text: [text],
}


@pytest.mark.parametrize("cut", CUTS)
async def test_w05_lines_come_in_any_pieces(bot: Whole, cut: str) -> None:
    peer, count = bot.peers["n"], 20
    for piece in CUTS[cut](echoes(count)):
        peer.send_bytes(piece)
        await turns(1)  # the server writes at once, so that each piece has a segment of its own
    assert [await bot.line() for _ in range(count)] == [f"PRIVMSG #c :n: {number}" for number in range(count)]
    assert await bot.alive() == []


async def test_w05_five_hundred_lines_in_one_segment(bot: Whole) -> None:
    peer = bot.peers["n"]
    peer.send_bytes(echoes(500))
    assert [await bot.line() for _ in range(500)] == [f"PRIVMSG #c :n: {number}" for number in range(500)]


async def test_w07_control_characters(bot: Whole) -> None:
    signs = [b"%c" % code for code in range(1, 32) if code not in (10, 13)] + [b"\x7f", "\u2028".encode(), b"\xc2\x85"]
    peer = bot.peers["n"]
    await lives_through(bot, b":x!y@h PRIVMSG #c :a\0b", b":a\0b!y@h PRIVMSG #c :x", b"\0", b":x\x02\x1f!y@h JOIN #c")
    for sign in signs:
        peer.send_bytes(b":n" + sign + b"k!y@h PRIVMSG #c :!echo a" + sign + b"b\r\n")
    peer.send_bytes(COMMAND + b"a\0QUIT :b\rQUIT :c\r\n")
    assert await bot.alive() != []
    assert peer.received.count(b"QUIT") <= 2 and not any(
        line.startswith(b"QUIT") for line in peer.received.split(b"\n")
    )
    assert b"\0" not in peer.received and b"\r" not in peer.received.replace(b"\r\n", b"")


async def test_w08_ten_megabytes_without_a_line_end(bot: Whole) -> None:
    """In one process, so that memory and CPU are those of all: the server's own included."""
    peer, segment = bot.peers["n"], b"x" * 65536
    tracemalloc.start()
    cpu = time.process_time()
    for _ in range(160):
        peer.send_bytes(segment)
        await peer.drained()
    peer.send_bytes(b"\r\n")
    await peer.barrier()
    peak, cpu = tracemalloc.get_traced_memory()[1], time.process_time() - cpu
    tracemalloc.stop()
    assert peak < 5_000_000 and cpu < 1.0
    assert await bot.alive() == []


async def test_w09_the_longest_tags_and_the_longest_line(bot: Whole) -> None:
    body = b":you!u@h PRIVMSG #c :!echo "
    tags = b"@" + b"t=" + b"v" * (8191 - 4) + b" "
    assert len(tags) == 8191
    text = b"x" * (512 - 2 - len(body))
    bot.peers["n"].send_bytes(tags + body + text + b"\r\n")
    said = [await bot.line()]
    while sum(line.count("x") for line in said) < len(text):
        said.append(await bot.line())
    assert sum(line.count("x") for line in said) == len(text)
    assert await bot.alive() == []


@pytest.mark.parametrize(
    "tags", [b"@a=" + b"v" * 20_000, b"@" + b";".join(b"t%d=%d" % (n, n) for n in range(5_000)), b"@" + b";" * 15_000]
)
async def test_w10_tags_beyond_all_measure(bot: Whole, tags: bytes) -> None:
    peer = bot.peers["n"]
    peer.send_bytes(tags + b" :x!y@h PRIVMSG #c :x\r\n" + COMMAND + b"the next line\r\n")
    assert await bot.line() == "PRIVMSG #c :n: the next line"
    assert await bot.alive() == []


async def test_w11_tags_of_every_kind(bot: Whole) -> None:
    """The vectors themselves are in tests/protocol; here each is followed by a command that is answered."""
    peer = bot.peers["n"]
    for tags in (
        rb"a=\:\s\\\r\n", rb"a=lone" + b"\\", rb"a;b=;c", rb"a=1;a=2", rb"+client/tag=x", rb"vendor.example/x=y",
        rb"a=\b\c", b"=", b"+", b"a==;b==", "a=ü€".encode(),
    ):  # fmt: skip
        peer.send_bytes(b"@" + tags + b" " + COMMAND + b"tagged\r\n")
        assert await bot.line() == "PRIVMSG #c :n: tagged", tags
    message = Message.parse(r"@a=1;a=\:\s\\\r\n\x\;+c/d=;e :s!u@h X")
    assert message.tags == {"a": "; \\\r\nx", "+c/d": "", "e": ""}
    assert await bot.alive() == []


async def test_w12_unknown_verbs_numerics_and_separators(bot: Whole) -> None:
    await lives_through(
        bot, b":irc.test 000 x", b":irc.test 999 x", b":irc.test 1234 x", b":irc.test 12 x", b"FROBNICATE a b",
        b":x!y@h DISCONNECT", b":x!y@h PUBMSG #c :!echo x", b":x!y@h WELCOME #c :x", b":x!y@h\tPRIVMSG\t#c\t:!echo x",
        b"PRIVMSG\t#c\t:!echo x",
    )  # fmt: skip
    peer = bot.peers["n"]
    for verb in (b"privmsg", b"pRiVmSg"):
        peer.send_bytes(b":you!u@h   " + verb + b"  #c  :!echo any case\r\n")
        assert await bot.line() == "PRIVMSG #c :n: any case"


async def test_w19_ping_is_answered_while_the_worker_is_far_behind_and_nothing_is_lost(make: Any) -> None:
    """As in a flood: the worker finishes nothing, then everything. `python -m benchmarks flood` has the figures."""
    bench = await make()
    peer = await bench.up()
    await bench.said(peer)
    bench.told.finish, before = False, len(bench.told.lines)
    for start in range(0, 1500, 300):
        peer.send_bytes(b"".join(b":u!i@h PRIVMSG #c :%d\r\n" % number for number in range(start, start + 300)))
    assert await peer.barrier() == []
    assert bench.keeper.entries.unfinished["n"] == 1500
    bench.told.finish = True
    for number in bench.told.unfinished:
        bench.connection.done(number)
    await bench.keeper.settled("n")
    assert [int(line.param(1)) for line in bench.told.lines[before:]] == list(range(1500))
    assert bench.keeper.entries.lost == 0 and len(bench.keeper.entries) <= 1500


async def test_w19_a_flood_is_answered_once_and_in_order(bot: Whole) -> None:
    peer = bot.peers["n"]
    for number in range(40):
        peer.send_bytes(b":x!y@h PRIVMSG #c :chatter of all kinds\r\n" * 50 + COMMAND + b"%d\r\n" % number)
    peer.send("PING :after all of it")
    lines = [await bot.line() for _ in range(41)]
    assert "PONG :after all of it" in lines
    assert [line for line in lines if "PONG" not in line] == [f"PRIVMSG #c :n: {number}" for number in range(40)]
    await asyncio.sleep(0)
    assert await bot.alive() == []
