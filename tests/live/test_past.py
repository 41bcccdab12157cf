"""bot/live/past.py: going back, with a real bot; restarts with what is on disk."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.testing import Bot, running_bot

HELLO = """
from bot import command, keep

asked = keep("asked", list)

@command("hello")
async def hello(ctx):
    asked.append(1)
    return f"hello {} for {{len(asked)}}"
"""
COMMON = "V = {}"
USER = """
from bot import command
from ._common import V

@command("{name}")
async def {name}(ctx):
    return f"{name} V{{V}}"
"""
FAILING = """
from bot import command, UserError

@command("work")
async def work(ctx, how: str = "well"):
    if how == "badly":
        raise UserError("no")
    {}
    return "{}"
"""


async def one(bot: Bot, text: str, nick: str = "you") -> str:
    (line,) = await bot.say(text, nick)
    return line


def plain(line: str) -> str:
    """Without hashes and times."""
    return re.sub(r"\d+ ms", "N ms", re.sub(r"\b[0-9a-f]{7}\b", "#", line))


@pytest.fixture
async def hello(bot: Bot) -> Bot:
    for number in (1, 2, 3):
        await bot.write("hello", HELLO.format(number))
    return bot


# --- rollback


async def test_a_rollback_brings_the_version_before_back_with_its_state(hello: Bot) -> None:
    assert await one(hello, "!hello") == "hello 3 for 1"
    assert plain(await one(hello, "!rollback hello")) == (
        "hello rolled back to #, pinned until hello.py changes; hello g3 -> g4 (# -> #): ~hello, state kept, N ms"
    )
    assert await one(hello, "!hello") == "hello 2 for 2"


async def test_a_second_rollback_goes_further_and_not_to_what_was_rolled_back(hello: Bot) -> None:
    await hello.say("!rollback hello")
    await hello.say("!rollback hello")
    assert await one(hello, "!hello") == "hello 1 for 1"
    assert await one(hello, "!rollback hello") == "hello: no such version; nothing that was good before is kept"


async def test_a_rollback_takes_a_number_or_a_hash(hello: Bot) -> None:
    await hello.say("!rollback hello 2")
    assert await one(hello, "!hello") == "hello 1 for 1"
    digest = (await hello.say("!history hello"))[-2].split()[2].rstrip(",")
    await hello.say(f"!rollback hello {digest}")
    assert await one(hello, "!hello") == "hello 2 for 2"


async def test_a_pin_lasts_until_the_file_changes(hello: Bot) -> None:
    await hello.say("!rollback hello")
    assert not await hello.reload()
    assert await one(hello, "!plugins") == "plugins: hello; pinned: hello"
    assert (await one(hello, "!version hello")).endswith("0 in flight, pinned until its file changes")
    report = await hello.write("hello", HELLO.format(4))
    assert plain(str(report)) == "hello g4 -> g5 (# -> #): ~hello, state kept, N ms; hello is no longer pinned to #"
    assert await one(hello, "!plugins") == "plugins: hello"


async def test_reload_takes_the_file_of_what_is_pinned(hello: Bot) -> None:
    await hello.say("!rollback hello")
    assert "hello is no longer pinned" in await one(hello, "!reload hello")
    assert await one(hello, "!hello") == "hello 3 for 1"


async def test_reload_all_leaves_what_is_pinned(hello: Bot) -> None:
    await hello.say("!rollback hello")
    assert "hello g4 -> g5" in await one(hello, "!reload all")
    assert await one(hello, "!hello") == "hello 2 for 1"


async def test_unload_and_load_keep_the_pin(hello: Bot) -> None:
    await hello.say("!rollback hello")
    await hello.say("!unload hello")
    await hello.say("!load hello")
    assert await one(hello, "!hello") == "hello 2 for 1"


async def test_a_file_that_fails_does_not_end_the_pin(hello: Bot) -> None:
    await hello.say("!rollback hello")
    assert not (await hello.write("hello", "(")).ok
    assert await one(hello, "!plugins") == "plugins: hello; failed: hello; pinned: hello"
    await hello.write("hello", HELLO.format(3))
    assert await one(hello, "!hello") == "hello 2 for 1"


async def test_a_version_that_can_not_be_had_back_leaves_all_as_it_is(bot: Bot) -> None:
    (bot.plugins / "there.txt").write_text("x")
    await bot.write("_common", COMMON.format(1))
    await bot.write("p1", USER.format(name="p1"))
    await bot.write("p1", USER.format(name="p1").replace("._common", "._other").replace("V\n", "V\n", 1))
    await bot.write("_other", COMMON.format(2))
    assert await one(bot, "!p1") == "p1 V2"
    (bot.plugins / "_common.py").unlink()
    await bot.reload()
    line = await one(bot, "!rollback p1")
    assert line.startswith("p1 stays g2: p1.py:3: ModuleNotFoundError: No module named 'plugins._common'")
    assert await one(bot, "!plugins") == "plugins: p1; failed: p1"
    assert await one(bot, "!p1") == "p1 V2"


async def test_a_shared_module_goes_back_with_all_that_import_it(bot: Bot) -> None:
    for name in ("p1", "p2"):
        (bot.plugins / f"{name}.py").write_text(USER.format(name=name))
    await bot.write("_common", COMMON.format(1))
    await bot.write("_common", COMMON.format(2))
    assert plain(await one(bot, "!rollback _common")) == (
        "_common rolled back to #, pinned until _common.py changes; p1 g1 -> g2 (# -> #): N ms; p2 g1 -> g2 (# -> #): N ms"
        .replace("g1 -> g2", "g2 -> g3")
    )
    assert await one(bot, "!p1") == "p1 V1"
    assert await one(bot, "!p2") == "p2 V1"


async def test_what_failed_to_load_can_be_rolled_back_to_when_nothing_is_live(bot: Bot) -> None:
    await bot.write("hello", HELLO.format(1))
    await bot.remove("hello")
    await bot.write("hello", "(")
    assert plain(await one(bot, "!rollback hello")) == (
        "hello rolled back to #, pinned until hello.py changes; hello loaded g2 (#)"
    )


async def test_a_rollback_of_what_is_off_or_not_there_is_refused(hello: Bot) -> None:
    assert await one(hello, "!rollback helo") == "no such plugin: helo; did you mean hello?"
    await hello.say("!unload hello")
    assert await one(hello, "!rollback hello") == "hello is off; !load or !enable hello first"


# --- history


async def test_the_history_tells_when_who_and_what_came_of_it(hello: Bot) -> None:
    await hello.write("hello", "(")
    await hello.say("!rollback hello")
    lines = [re.sub(r"\d+ s ago", "N s ago", plain(line)) for line in await hello.say("!history hello")]
    assert lines == [
        "hello g4 #, N s ago, rollback by you: live, pinned until its file changes",
        "hello #, N s ago, saved: failed: hello.py:1: SyntaxError: '(' was never closed",
        "hello g3 #, N s ago, saved: rolled back by you",
        "hello g2 #, N s ago, saved: good",
        "hello g1 #, N s ago, saved: good (!rollback hello)",
    ]
