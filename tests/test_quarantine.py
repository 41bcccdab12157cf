"""bot/quarantine.py: whose line it was that ended workers, and how that plugin stays out."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.testing import Bot, running_bot

COMMAND = 'from bot import command\n@command("boom")\ndef boom(ctx): return "{0}"\n'
RULE = 'from bot import rule\n@rule("boom")\ndef boom(ctx): return "{0}"\n'
EVENT = 'from bot import on\n@on("message")\ndef boom(ctx, text): pass\n'
LINE = b":eve!e@host PRIVMSG #demo :!boom now"


def stack(*files: str) -> str:
    return "\n".join(f'  File "/srv/bot/{file}@1a2b3c4", line 3 in boom' for file in files)


async def convicted(bot: Bot, plugins: dict[str, str], line: bytes = LINE, stacks: str = "") -> set[str]:
    """Which of these plugins are out, after this line has ended workers."""
    for name, source in plugins.items():
        await bot.write(name, source.format(name))
    await bot.app.quarantine.convict("demo", "7", line, stacks)
    return plugins.keys() - bot.app.reloader.plugins().keys()


async def test_a_command_is_its_plugins(bot: Bot) -> None:
    assert await convicted(bot, {"a": COMMAND, "b": RULE, "c": EVENT}) == {"a"}


async def test_a_command_in_private_and_one_to_the_nick_are_too(bot: Bot) -> None:
    assert await convicted(bot, {"a": COMMAND}, b":eve!e@h PRIVMSG neverquit :boom") == {"a"}
    await bot.reload("a")
    assert await convicted(bot, {"a": COMMAND}, b":eve!e@h PRIVMSG #demo :neverquit: boom") == {"a"}


async def test_without_a_command_those_are_out_whose_rule_matched(bot: Bot) -> None:
    assert await convicted(bot, {"a": RULE, "b": RULE.replace('rule("boom', 'rule("other'), "c": EVENT}) == {"a"}


async def test_of_several_that_listen_to_all_lines_none_is_out(bot: Bot) -> None:
    told = bot.app.announcer
    said: list[str] = []
    told.tell = lambda text, asked_at=None: said.append(text)  # type: ignore[method-assign]
    assert await convicted(bot, {"a": EVENT, "b": EVENT}) == set()
    assert said == [
        "the bot's worker was ended by «!boom now» (PRIVMSG of eve on demo), which is not handled again; "
        "whose fault: unknown"
    ]


async def test_the_only_one_that_listens_is_out(bot: Bot) -> None:
    assert await convicted(bot, {"a": EVENT}) == {"a"}


@pytest.mark.parametrize("file", ["plugins/b.py", "plugins/b/part.py", "elsewhere/b/deep/er.py"])
async def test_the_stacks_of_the_worker_say_who_it_was(bot: Bot, file: str) -> None:
    assert await convicted(bot, {"a": RULE, "b": EVENT, "c": EVENT}, stacks=stack("bot/x.py", file)) == {"b"}


async def test_stacks_that_name_nobody_who_was_woken_say_nothing(bot: Bot) -> None:
    others = stack("plugins/ab.py", "plugins/_common.py", "plugins/b.txt")
    assert await convicted(bot, {"a": RULE, "b": EVENT}, stacks=others) == {"a"}


async def test_a_pattern_that_held_the_worker_is_found_in_another_process(bot: Bot) -> None:
    """Searched for here, it would hold the next worker as well."""
    endless = RULE.replace('"boom"', 'r"^!boom now(?=(a+)+$)"').replace("(ctx)", "(ctx, found)")
    text = b":eve!e@host PRIVMSG #demo :!boom now" + b"a" * 40 + b"b"
    stacks = '  File "/srv/bot/dispatch/rules.py", line 72 in found\n'
    plugins = {"a": RULE, "b": endless, "c": RULE, "d": EVENT}
    assert await convicted(bot, plugins, text, stacks) == {"b"}


async def test_where_no_pattern_takes_long_nobody_is_out(bot: Bot) -> None:
    stacks = '  File "/srv/bot/dispatch/rules.py", line 72 in found\n'
    assert await convicted(bot, {"a": RULE, "b": RULE}, stacks=stacks) == set()


@pytest.mark.parametrize("line", [b"", b"\xff\xfe", b":x", b"NOTICE", b":eve!e@h PRIVMSG #demo :nothing", b"PING :x"])
async def test_a_line_that_wakes_nobody_is_nobodys(bot: Bot, line: bytes) -> None:
    assert await convicted(bot, {"a": COMMAND}, line) == set()


async def test_a_network_that_is_gone_has_nobody(bot: Bot) -> None:
    await bot.write("a", COMMAND)
    await bot.app.quarantine.convict("gone", "7", LINE, "")
    assert "a" in bot.app.reloader.plugins()


async def test_what_strangers_said_is_told_clean_and_short(bot: Bot) -> None:
    await bot.write("a", COMMAND)

    async def convict() -> None:
        await bot.app.quarantine.convict("demo", "7", b":eve!e@h PRIVMSG #demo :!boom \x1b[31m" + b"x" * 400, "")

    said: list[str] = []
    bot.app.announcer.tell = lambda text, asked_at=None: said.append(text)  # type: ignore[method-assign]
    await convict()
    (text,) = said
    assert "\x1b" not in text and "..." in text and len(text) < 260


async def test_a_run_of_a_job_is_its_plugins(bot: Bot) -> None:
    await bot.write("a", COMMAND)
    await bot.app.quarantine.convict("-", "t:a.poll/17.000", b"t:a.poll/17.000", "")
    assert "a" not in bot.app.reloader.plugins()


async def test_those_that_import_it_go_with_it(bot: Bot) -> None:
    await bot.write("a", COMMAND)
    await bot.write("b", "from plugins import a\n" + RULE)
    said: list[str] = []
    bot.app.announcer.tell = lambda text, asked_at=None: said.append(text)  # type: ignore[method-assign]
    await bot.app.quarantine.convict("demo", "7", LINE, "")
    assert not bot.app.reloader.plugins()
    assert said[-1].endswith("(PRIVMSG of eve on demo): unloaded until they change, or !load: b, a")


async def test_it_stays_out_over_a_restart_until_it_changes(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    for content, loads in (("one", True), ("one", False), ("two", True), ("two", True)):
        (tmp_path / "plugins" / "a.py").write_text(COMMAND.format(content))
        async with running_bot(tmp_path / "plugins", state=tmp_path / "state") as bot:
            assert ("a" in bot.app.reloader.plugins()) == loads
            if (content, loads) == ("one", True):
                await bot.app.quarantine.convict("demo", "7", LINE, "")


async def test_it_comes_back_for_good_when_an_admin_loads_it(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "a.py").write_text(COMMAND.format("one"))
    async with running_bot(tmp_path / "plugins", state=tmp_path / "state") as bot:
        await bot.app.quarantine.convict("demo", "7", LINE, "")
        assert any(text.startswith("a loaded ") for text in await bot.say("!load a"))
    async with running_bot(tmp_path / "plugins", state=tmp_path / "state") as bot:
        assert "a" in bot.app.reloader.plugins()
