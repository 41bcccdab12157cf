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
    assert await one(hello, "!rollback hello") == "hello: there is no good version to go back to"


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


async def test_the_pin_of_a_package_lasts_until_any_of_its_files_changes(bot: Bot) -> None:
    (bot.plugins / "pkg").mkdir()
    await bot.write("pkg/part", "TEXT = 'one'")
    for number in (1, 2):
        await bot.write("pkg/__init__", HELLO.format(number))
    assert "pinned until pkg/ changes" in await one(bot, "!rollback pkg")
    assert "pkg is no longer pinned" in str(await bot.write("pkg/part", "TEXT = 'two'"))


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
        "_common rolled back to #, pinned until _common.py changes; "
        "p1 g2 -> g3 (# -> #): N ms; p2 g2 -> g3 (# -> #): N ms"
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


async def test_shared_modules_have_a_history_too(bot: Bot) -> None:
    await bot.write("_common", COMMON.format(1))
    await bot.write("p1", USER.format(name="p1"))
    await bot.write("_common", COMMON.format(2))
    lines = [re.sub(r"\d+ s ago", "N s ago", plain(line)) for line in await bot.say("!history _common")]
    assert lines == [
        "_common #, N s ago, saved: live",
        "_common #, N s ago, saved: good (!rollback _common)",
    ]


# --- at a start


@contextlib.asynccontextmanager
async def restarted(folder: Path) -> AsyncIterator[Bot]:
    plugins, state = folder / "plugins", folder / "state"
    plugins.mkdir(exist_ok=True)
    async with running_bot(plugins, state=state) as bot:
        yield bot


def save(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / "plugins" / f"{name}.py").write_text(text)


async def test_a_broken_file_at_a_start_runs_its_last_good_version(tmp_path: Path) -> None:
    async with restarted(tmp_path) as bot:
        await bot.write("hello", HELLO.format(1))
        await bot.write("other", USER.format(name="other").replace("from ._common import V", "V = 1"))
    save(tmp_path, hello="def (")
    async with restarted(tmp_path) as bot:
        assert await one(bot, "!hello") == "hello 1 for 1"
        assert await one(bot, "!other") == "other V1"
        assert await one(bot, "!plugins") == "plugins: hello, other; failed: hello"
        assert (await one(bot, "!version hello")).endswith("its last good version: the file can't be loaded")
        assert not await bot.reload()
        report = await bot.write("hello", HELLO.format(2))
        assert plain(str(report)) == "hello g1 -> g2 (# -> #): ~hello, state kept, N ms"
        assert await one(bot, "!hello") == "hello 2 for 2"
        assert await one(bot, "!plugins") == "plugins: hello, other"


async def test_the_warning_tells_what_is_wrong_and_what_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with restarted(tmp_path) as bot:
        await bot.write("hello", HELLO.format(1))
    save(tmp_path, hello="def (")
    async with restarted(tmp_path):
        pass
    (line,) = [record.getMessage() for record in caplog.records if "last good" in record.getMessage()]
    assert re.fullmatch(
        r"hello runs its last good version [0-9a-f]{7} of \d{4}-\d\d-\d\d: hello\.py:1: SyntaxError: invalid syntax",
        line,
    )


async def test_the_last_good_version_of_a_broken_shared_module_runs_with_all_that_import_it(tmp_path: Path) -> None:
    async with restarted(tmp_path) as bot:
        save(tmp_path, p1=USER.format(name="p1"), p2=USER.format(name="p2"))
        await bot.write("_common", COMMON.format(1))
    # p1 was made for the new shared module, which is broken; p3 has never been live
    changed = USER.format(name="p1").replace("import V", "import V, W").replace("V{V}", "W{W}")
    save(tmp_path, _common="V = = 2", p1=changed, p3=USER.format(name="p3"))
    async with restarted(tmp_path) as bot:
        assert [await one(bot, "!p1"), await one(bot, "!p2")] == ["p1 V1", "p2 V1"]
        report = await bot.write("_common", "V = W = 2")
        assert await bot.reload() or True
        assert report.ok
        assert [await one(bot, f"!p{n}") for n in (1, 2, 3)] == ["p1 W2", "p2 V2", "p3 V2"]
        assert await one(bot, "!plugins") == "plugins: p1, p2, p3"


async def test_a_shared_module_that_is_gone_at_a_start_is_brought_back(tmp_path: Path) -> None:
    async with restarted(tmp_path) as bot:
        save(tmp_path, p1=USER.format(name="p1"))
        await bot.write("_common", COMMON.format(1))
    (tmp_path / "plugins" / "_common.py").unlink()
    async with restarted(tmp_path) as bot:
        assert await one(bot, "!p1") == "p1 V1"
        assert not await bot.reload()


async def test_a_package_is_brought_back_whole(tmp_path: Path) -> None:
    async with restarted(tmp_path) as bot:
        (tmp_path / "plugins" / "pkg").mkdir()
        await bot.write("pkg/part", "TEXT = 'one'")
        await bot.write("pkg/__init__", HELLO.format(1).replace("from bot", "from .part import TEXT\nfrom bot"))
        assert await one(bot, "!hello") == "hello 1 for 1"
    save(tmp_path, **{"pkg/part": "TEXT = "})
    async with restarted(tmp_path) as bot:
        assert await one(bot, "!hello") == "hello 1 for 1"


async def test_nothing_runs_in_place_of_what_is_disabled(tmp_path: Path) -> None:
    async with restarted(tmp_path) as bot:
        await bot.write("hello", HELLO.format(1))
        await bot.say("!disable hello")
    save(tmp_path, hello="def (")
    async with restarted(tmp_path) as bot:
        assert await bot.say("!hello") == []
        assert await one(bot, "!plugins") == "no plugin is live; off: hello"


async def test_without_a_history_a_broken_file_is_not_loaded(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    save(tmp_path, hello="def (")
    async with restarted(tmp_path) as bot:
        assert await one(bot, "!plugins") == "no plugin is live; failed: hello"


async def test_a_pin_survives_a_restart_while_the_file_is_the_same(tmp_path: Path) -> None:
    async with restarted(tmp_path) as bot:
        await bot.write("hello", HELLO.format(1))
        await bot.write("hello", HELLO.format(2))
        await bot.say("!rollback hello")
    async with restarted(tmp_path) as bot:
        assert await one(bot, "!hello") == "hello 1 for 1"
        assert await one(bot, "!plugins") == "plugins: hello; pinned: hello"
    save(tmp_path, hello=HELLO.format(3))
    async with restarted(tmp_path) as bot:
        assert await one(bot, "!hello") == "hello 3 for 1"
        assert await one(bot, "!plugins") == "plugins: hello"
    save(tmp_path, hello=HELLO.format(2))
    async with restarted(tmp_path) as bot:
        assert await one(bot, "!hello") == "hello 2 for 1"


async def test_a_restart_is_no_new_version(tmp_path: Path) -> None:
    async with restarted(tmp_path) as bot:
        await bot.write("hello", HELLO.format(1))
        await bot.write("hello", HELLO.format(2))
    async with restarted(tmp_path) as bot:
        lines = [re.sub(r"\d+ s ago", "N s ago", plain(line)) for line in await bot.say("!history hello")]
        assert lines == ["hello g1 #, N s ago, saved: live", "hello g1 #, N s ago, saved: good (!rollback hello)"]


# --- probation


async def test_a_version_that_fails_far_more_often_is_taken_back_once(bot: Bot) -> None:
    await bot.write("work", FAILING.format("pass", "one"))
    for _ in range(10):
        assert await one(bot, "!work") == "one"
    await bot.write("work", FAILING.format("1 / 0", "two"))
    for _ in range(4):
        assert "work failed" in await one(bot, "!work")

    async def ask() -> None:
        bot.you.privmsg("#demo", "!work")
        await bot.quiet()

    failed, told = await bot.heard(ask)
    assert "work failed" in failed
    assert plain(told) == (
        "work rolled back to #, pinned until work.py changes: g2 failed 5 of 5 calls in 0 s (g1: 0 of 10); "
        "work g2 -> g3 (# -> #): ~work, N ms"
    )
    assert await one(bot, "!work") == "one"
    await bot.say("!reload work")  # an admin who takes it again gets it
    for _ in range(6):
        assert "work failed" in await one(bot, "!work")
    assert (await one(bot, "!version work")).startswith("work g4 ")


async def test_a_users_mistakes_are_nobodys_failures(bot: Bot) -> None:
    await bot.write("work", FAILING.format("pass", "one"))
    for _ in range(10):
        await bot.say("!work")
    await bot.write("work", FAILING.format("pass", "two"))
    for _ in range(10):
        assert await one(bot, "!work badly") == "no"
    assert await one(bot, "!work") == "two"


# --- errors


async def test_the_last_error_is_told_with_the_source_that_ran(bot: Bot) -> None:
    await bot.write("work", FAILING.format("1 / 0", "one"))
    number = (await one(bot, "!work"))[-5:-1]
    await bot.write("work", FAILING.format("pass", "two"))
    lines = await bot.say("!error")
    assert re.fullmatch(
        rf"work\.work g1 for you in #demo \(error {number}\), \d+ s ago: ZeroDivisionError: division by zero",
        lines[0],
    )
    assert re.fullmatch(r"plugins/work\.py@[0-9a-f]{7}:8 in work: 1 / 0", lines[1])
    assert (await bot.say(f"!error {number}"))[1:] == lines[1:]
    assert await one(bot, "!error ffff0") == "no error ffff0 is remembered"


async def test_the_error_of_a_plugin_is_why_it_could_not_be_loaded(bot: Bot) -> None:
    assert await one(bot, "!error") == "there was no error"
    await bot.write("work", "def half():\n    return 1 / 0\nhalf()")
    lines = await bot.say("!error work")
    assert re.fullmatch(
        r"work could not be loaded, \d+ s ago: work\.py:2: ZeroDivisionError: division by zero", lines[0]
    )
    assert re.fullmatch(r"plugins/work\.py@[0-9a-f]{7}:2 in half: return 1 / 0", lines[2])
    await bot.write("work", FAILING.format("pass", "two"))
    assert await one(bot, "!error work") == "no error work is remembered"


STARTING = FAILING.format("pass", "{}") + "\nfrom bot import start\n@start\ndef s(ctx):\n    {}\n"


async def test_the_error_of_a_start_is_told_and_logged_with_its_trace(
    bot: Bot, caplog: pytest.LogCaptureFixture
) -> None:
    await bot.write("work", STARTING.format("one", "pass"))
    await bot.write("work", STARTING.format("two", "1 / 0"))
    head, _, frame, *_ = await bot.say("!error work")
    assert re.fullmatch(r"work could not be loaded, \d+ s ago: work\.py:14: start: ZeroDivisionError: .*", head)
    assert re.fullmatch(r"plugins/work\.py@[0-9a-f]{7}:14 in s: 1 / 0", frame)
    (record,) = [record for record in caplog.records if "work can't be loaded" in record.getMessage()]
    assert record.exc_info and record.exc_info[0] is ZeroDivisionError
    assert [": its start failed" in line for line in await bot.say("!history work")] == [True, False]


async def test_a_start_that_fails_at_a_start_of_the_bot_is_no_broken_file(tmp_path: Path) -> None:
    """What it opens may be at fault; so nothing before it is tried."""
    async with restarted(tmp_path) as bot:
        await bot.write("work", STARTING.format("one", "pass"))
    save(tmp_path, work=STARTING.format("two", "1 / 0"))
    async with restarted(tmp_path) as bot:
        assert await one(bot, "!plugins") == "no plugin is live; failed: work"
        assert "work.py:14: start: ZeroDivisionError" in (await bot.say("!error work"))[0]


# --- disable


async def test_what_others_import_is_not_disabled(bot: Bot) -> None:
    await bot.write("base", USER.format(name="base").replace("from ._common import V", "V = 1"))
    await bot.write("top", USER.format(name="top").replace("._common", ".base"))
    assert await one(bot, "!disable base") == "top imports base; disable top first, or base in one channel"
    assert await one(bot, "!base") == "base V1"
    await bot.say("!disable top")
    assert "base disabled everywhere; base unloaded" in await one(bot, "!disable base")
