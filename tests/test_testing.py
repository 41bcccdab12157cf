"""bot/testing.py: the kit that plugin authors get, and that all these tests stand on."""

from __future__ import annotations

import asyncio
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from bot.config import Config, Plugins
from bot.testing import CHANNEL, Bot, FakeClock, fits, read_examples, running_bot

pytest_plugins = ["pytester"]

PLUGIN = """
from bot import command

@command("echo", "e", examples=[("!echo hi", "hi"), ("!e a b", "a ...")])
def echo(ctx, text: str):
    return text
"""

# --- the clock


async def test_the_clock_stands_until_it_is_advanced() -> None:
    clock = FakeClock(1000.0)
    before = clock()
    await clock.advance("10m")
    assert (clock.time(), clock() - before, clock.monotonic() - before) == (1600.0, 600.0, 600.0)


async def test_timers_run_at_their_moment_and_in_their_order() -> None:
    clock, ran = FakeClock(), list[tuple[str, float]]()
    start = clock.monotonic()
    clock.call_at(start + 5, lambda: ran.append(("later", clock.monotonic() - start)))
    clock.call_at(start + 1, lambda: ran.append(("sooner", clock.monotonic() - start)))
    clock.call_at(start + 100, lambda: ran.append(("never", 0)))
    await clock.advance(10)
    assert ran == [("sooner", 1.0), ("later", 5.0)] and clock.monotonic() == start + 10


async def test_a_timer_that_is_called_off_does_not_run() -> None:
    clock, ran = FakeClock(), list[str]()
    clock.call_at(clock.monotonic() + 1, lambda: ran.append("x")).cancel()
    await clock.advance(10)
    assert ran == []


async def test_a_timer_may_set_another() -> None:
    clock, ran = FakeClock(), list[float]()
    start = clock.monotonic()

    def again() -> None:
        ran.append(clock.monotonic() - start)
        clock.call_at(clock.monotonic() + 1, again)

    clock.call_at(start + 1, again)
    await clock.advance(3)
    assert ran == [1.0, 2.0, 3.0]


# --- the fixture


async def test_write_takes_a_plugin_live(bot: Bot) -> None:
    report = await bot.write("echo", PLUGIN)
    assert report.ok and str(report).startswith("echo loaded g1 (")
    assert await bot.say("!echo hi") == ["hi"]


async def test_write_takes_a_path_within_a_package(bot: Bot) -> None:
    (bot.plugins / "pkg").mkdir()
    await bot.write("pkg/part", "WORD = 'part'")
    (bot.plugins / "pkg" / "__init__.py").write_text(
        "from bot import command\nfrom .part import WORD\n@command('word')\ndef word(ctx): return WORD"
    )
    await bot.reload("pkg")
    assert await bot.say("!word") == ["part"]


async def test_write_tells_what_is_wrong(bot: Bot) -> None:
    assert str(await bot.write("bad", "x =")) == "bad not loaded: bad.py:1: SyntaxError: invalid syntax"


async def test_remove_takes_a_plugin_away(bot: Bot) -> None:
    await bot.write("echo", PLUGIN)
    assert str(await bot.remove("echo")) == "echo unloaded"
    assert await bot.say("!echo hi") == []


async def test_load_takes_a_file_or_a_package(bot: Bot, tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("from bot import command\n@command('one')\ndef one(ctx): return '1'")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "__init__.py").write_text("from bot import command\n@command('two')\ndef two(ctx): return '2'")
    assert (await bot.load(tmp_path / "one.py")).ok and (await bot.load(tmp_path / "two")).ok
    assert [await bot.say("!one"), await bot.say("!two")] == [["1"], ["2"]]


async def test_say_gives_all_that_was_answered_and_nothing_else(bot: Bot) -> None:
    await bot.write("echo", PLUGIN)
    bot.you.privmsg(CHANNEL, "!echo before")
    await bot.quiet()
    assert await bot.say("!echo one") == ["one"]
    assert await bot.say("nothing to answer") == []


async def test_say_speaks_as_anybody_and_anywhere(bot: Bot) -> None:
    await bot.write(
        "who",
        "from bot import command\n@command('who')\ndef who(ctx): return f'{ctx.user} {ctx.channel} {ctx.is_admin}'",
    )
    assert await bot.say("!who") == ["you #demo True"]
    assert await bot.say("!who", "bob") == ["bob #demo False"]
    assert await bot.say("who", "bob", to="neverquit") == ["bob None False"]


async def test_say_waits_for_slow_handlers(bot: Bot) -> None:
    await bot.write(
        "slow",
        """
        import asyncio
        from bot import command
        @command("slow")
        async def slow(ctx):
            for _ in range(100): await asyncio.sleep(0)
            ctx.spawn(asyncio.sleep(0))
            return "done"
        """,
    )
    assert await bot.say("!slow") == ["done"]


async def test_heard_takes_a_coroutine_too(bot: Bot) -> None:
    async def act() -> None:
        bot.app.announcer.tell("hello")

    assert await bot.heard(act) == ["hello"]


async def test_heard_takes_what_can_be_awaited(bot: Bot) -> None:
    source = "from bot import every\n@every('4s')\nasync def poll(ctx): await ctx.to('demo/#demo').say('tick')"
    assert (await bot.write("poll", source)).ok
    assert await bot.heard(bot.clock.advance("4s")) == ["tick"]


async def test_a_bot_may_be_run_with_settings() -> None:
    config = Config(plugins=Plugins(settings={"p": {"x": 5}}), reply_lines=2)
    async with running_bot(config=config) as bot:
        await bot.write(
            "p", "from bot import command\n@command('x')\ndef x(ctx): return [str(ctx.settings['x']), 'b', 'c']"
        )
        assert await bot.say("!x") == ["5", "b (+1 more: !more)"]


async def test_a_watching_bot_takes_saved_files_by_itself() -> None:
    async with running_bot(watch=True) as bot:
        (bot.plugins / "echo.py").write_text(PLUGIN)
        await bot.you.expect(":echo loaded g1 (")
        assert await bot.say("!echo hi") == ["hi"]


async def test_two_bots_may_run_one_after_another_in_one_loop() -> None:
    for _ in range(2):
        async with running_bot() as bot:
            await bot.write("echo", PLUGIN)
            assert await bot.say("!echo hi") == ["hi"]
    assert len(asyncio.all_tasks()) == 1


# --- examples


@pytest.mark.parametrize(
    ("pattern", "text", "good"),
    [
        ("hi", "hi", True),
        ("hi", "hi!", False),
        ("...", "", True),
        ("...", "anything\nat all", True),
        ("1d6: ...", "1d6: 4", True),
        ("1d6: ...", "2d6: 4", False),
        ("...end", "the end", True),
        ("a...b...c", "a1b2c", True),
        ("a...b...c", "a1c2b", False),
        ("ab...bc", "abc", False),
        ("", "", True),
        ("", "x", False),
    ],
)
def test_three_dots_stand_for_any_text(pattern: str, text: str, good: bool) -> None:
    assert fits(pattern, text) is good


def test_examples_are_read_without_running_the_file() -> None:
    source = b"1 / 0\nimport bot\n@bot.command('a', examples=[('!a', 'b'),\n  ('!c', 'd')])\ndef a(ctx): ..."
    assert [(said, answer) for said, answer, _ in read_examples(source)] == [("!a", "b"), ("!c", "d")]


@pytest.mark.parametrize(
    "source", [b"", b"x = 1", b"@command('a')\ndef a(ctx): ...", b"@command('a', examples=made())\ndef a(ctx): ..."]
)
def test_without_examples_there_is_nothing_to_run(source: bytes) -> None:
    assert read_examples(source) == []


def collected(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist", "-q", *arguments)


@pytest.fixture
def folder(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of plugins, in which pytest runs with the kit, installed or not."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    if not entry_points(group="pytest11", name="neverquit"):
        monkeypatch.setenv("PYTEST_PLUGINS", "bot.testing")
    pytester.makeini("[pytest]\nasyncio_mode = auto\n")
    plugins = pytester.path / "plugins"
    plugins.mkdir()
    return plugins


def test_examples_of_plugin_files_run_as_tests(pytester: pytest.Pytester, folder: Path) -> None:
    (folder / "_words.py").write_text("WORD = 'hi'")
    (folder / "echo.py").write_text(PLUGIN + "from plugins._words import WORD\n")
    (folder / "bad.py").write_text(
        PLUGIN.replace('"echo", "e"', '"bad"').replace('"!echo hi", "hi"', '"!bad hi", "ho"')
    )
    result = collected(pytester, "plugins")
    result.assert_outcomes(passed=2, failed=2)
    result.stdout.fnmatch_lines(["*!bad hi: *'hi'* instead of 'ho'*"])


def test_other_files_are_not_taken_for_plugins(pytester: pytest.Pytester, folder: Path) -> None:
    (pytester.path / "elsewhere.py").write_text(PLUGIN)
    (folder / "_shared.py").write_text(PLUGIN)
    (folder / "test_echo.py").write_text("async def test_it(bot):\n    assert await bot.say('!version') != []\n")
    result = collected(pytester)
    result.assert_outcomes(passed=1)


def test_files_of_other_projects_are_left_alone(pytester: pytest.Pytester, folder: Path) -> None:
    (folder / "theirs.py").write_text("import robot\nthis is no Python\n")
    (pytester.path / "test_theirs.py").write_text("def test_it(): pass\n")
    collected(pytester).assert_outcomes(passed=1)


def test_a_plugin_that_can_not_be_parsed_fails_and_the_others_run(pytester: pytest.Pytester, folder: Path) -> None:
    (folder / "broken.py").write_text("from bot import command\ndef (\n")
    (folder / "echo.py").write_text(PLUGIN)
    result = collected(pytester)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*broken not loaded: broken.py:2: SyntaxError*"])


# --- two networks


async def test_a_second_network_has_its_own_prefix_admins_and_plugins(bot: Bot) -> None:
    await bot.write("echo", PLUGIN)
    await bot.write("secret", "from bot import command\n@command('secret', admin=True)\ndef secret(ctx): return 'ok'")
    other = await bot.add_network("other", prefix=("?",), admins=(), disabled=("echo",))
    assert await bot.say("!echo hi") == ["hi"]
    assert await other.say("!echo hi") == await other.say("?echo hi") == []
    assert await other.say("?echo hi", nick="bob") == []
    assert await bot.say("!secret") == ["ok"]
    assert await other.say("?secret") == ["secret: admins only"]


async def test_what_one_network_causes_is_heard_on_the_other(bot: Bot) -> None:
    await bot.write(
        "relay",
        """
        from bot import command
        @command("relay")
        def relay(ctx, text: str):
            ctx.to("other/#demo").say(f"{ctx.network.name}: {text}")
        """,
    )
    other = await bot.add_network("other")
    assert await other.heard(lambda: bot.say("!relay hello")) == ["demo: hello"]
    assert await other.say("!relay hello") == ["other: hello"]
    other.server.kill("neverquit")
    await bot.quiet()
    assert await bot.say("!relay nobody is there") == []
