"""bot/chat.py: the built-in commands, asked for in a channel of the embedded server."""

from __future__ import annotations

import asyncio
import gc
import re
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bot import __version__
from bot.api.declare import Command, declarations
from bot.chat import CLASSES
from bot.config import Reload
from bot.demo import BOT, NETWORK
from bot.errors import UserError
from bot.testing import Bot, running_bot

WEATHER = '''
"""Weather for any place."""
from bot import command

@command("weather", "w")
def weather(ctx, place: str = "", *, days: int = 1):
    """Tell the weather
    at a place."""
    return "sunny"

@command("secret", admin=True)
def secret(ctx): return "ok"
'''
MARKS = [
    mark
    for commands in CLASSES
    for each in vars(commands).values()
    for mark in declarations(each)
    if isinstance(mark, Command)
]
FOR_ADMINS = sorted(mark.name for mark in MARKS if mark.admin)


@pytest.fixture
async def weather(bot: Bot) -> Bot:
    assert (await bot.write("weather", WEATHER)).ok
    return bot


async def one(bot: Bot, text: str, nick: str = "you") -> str:
    (line,) = await bot.say(text, nick)
    return line


# --- who may


def test_what_changes_the_bot_is_for_admins() -> None:
    channels, plugins = ["join", "part", "quit", "restart", "say"], ["disable", "enable", "load", "reload", "unload"]
    assert sorted([*channels, *plugins, "error", "history", "rollback", "state"]) == FOR_ADMINS


@pytest.mark.parametrize("name", FOR_ADMINS)
async def test_others_are_told_that_it_is_for_admins(weather: Bot, name: str) -> None:
    assert await weather.say(f"!{name} weather", "mallory") == [f"{name}: admins only"]
    assert await weather.say("!weather", "mallory") == ["sunny"]


async def test_others_are_told_once_a_minute(bot: Bot) -> None:
    assert await bot.say("!reload all", "mallory") == ["reload: admins only"]
    assert await bot.say("!reload all", "mallory") == []
    await bot.clock.advance("61s")
    assert await bot.say("!reload all", "mallory") == ["reload: admins only"]


async def test_an_admin_who_logs_out_is_none_any_more(weather: Bot) -> None:
    assert await weather.say("!secret") == ["ok"]
    weather.server.logout("you")
    assert await weather.say("!secret") == ["secret: admins only"]


async def test_a_nick_like_the_admins_account_is_nobody(weather: Bot) -> None:
    weather.you.send("NICK boss")
    await weather.quiet()
    assert await weather.say("!secret", "mallory") == ["secret: admins only"]
    mallory = await weather.person("mallory")
    mallory.send("NICK you")
    await weather.quiet(mallory)
    await weather.clock.advance("2m")
    assert await weather.say("!secret", "mallory") == ["secret: admins only"]


# --- help, plugins, version


async def test_help_lists_the_commands_that_one_may_use(weather: Bot) -> None:
    assert await one(weather, "!help", "bob") == (
        "commands: help, more, plugins, version, weather - !help COMMAND tells about one"
    )
    assert "secret" in await one(weather, "!help") and "reload" in await one(weather, "!help")


@pytest.mark.parametrize("name", ["weather", "!weather", "w", "WEATHER", "weather.weather"])
async def test_help_tells_about_a_command(weather: Bot, name: str) -> None:
    assert await one(weather, f"!help {name}") == (
        "!weather [place] [--days N]: Tell the weather at a place. - also !w"
    )


async def test_help_says_what_is_for_admins(weather: Bot) -> None:
    assert await one(weather, "!help secret") == "!secret: no help was written - admins only"


async def test_help_tells_about_a_plugin(bot: Bot) -> None:
    await bot.write("many", '"""Many things."""\nfrom bot import command\n@command("thing")\ndef thing(ctx): ...')
    assert await one(bot, "!help many") == "many: Many things. (!thing)"


async def test_help_names_what_was_meant(weather: Bot) -> None:
    assert await one(weather, "!help waether") == "there is no command waether; did you mean weather?"


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark.name)
async def test_every_built_in_command_has_its_help(bot: Bot, mark: Command) -> None:
    line = await one(bot, f"!help {mark.name}")
    assert line.startswith(f"!{mark.name}") and "no help was written" not in line
    assert line.endswith("admins only") is mark.admin


async def test_plugins_lists_what_is_live_and_what_is_off(weather: Bot) -> None:
    assert await one(weather, "!plugins") == "plugins: weather"
    await weather.say("!unload weather")
    assert await one(weather, "!plugins") == "no plugin is live; off: weather"


async def test_version_is_that_of_the_bot_or_of_a_plugin(weather: Bot) -> None:
    assert re.fullmatch(rf"neverquit {__version__}, up \d+ s", await one(weather, "!version"))
    assert re.fullmatch(r"weather g1 [0-9a-f]{7}, age \d+ s, 0 in flight", await one(weather, "!version weather"))


async def test_version_of_what_is_not_there(weather: Bot) -> None:
    assert await one(weather, "!version wether") == "no such plugin: wether; did you mean weather?"


# --- reload, load, unload


async def test_reload_takes_a_plugin_anew(weather: Bot) -> None:
    assert re.fullmatch(r"weather g1 -> g2 \(.*\): \d+ ms", await one(weather, "!reload weather"))


async def test_reload_tells_what_is_wrong_and_the_old_version_answers(weather: Bot) -> None:
    (weather.plugins / "weather.py").write_text("x =")
    line = await one(weather, "!reload weather")
    assert line == "weather stays g1: weather.py:1: SyntaxError: invalid syntax; the old version goes on answering"
    assert await one(weather, "!weather") == "sunny"


async def test_a_reload_that_takes_longer_than_a_call_may_ends_and_is_told(bot: Bot) -> None:
    slow = "import asyncio\nfrom bot import command, setup\ngate = asyncio.Event()\n"
    slow += "@setup\nasync def u(ctx):\n    await gate.wait()\n@command('slow')\ndef slow(ctx): return 'ok'\n"
    (bot.plugins / "slow.py").write_text(slow)
    bot.app.calls.handler_seconds = 0.05
    assert await bot.say("!reload slow") == ["reload took longer than 0.05 s and was stopped"]
    bot.app.calls.handler_seconds = 30.0
    (built,) = bot.app.reloader._under_way
    gate = await waited_for("plugins.slow")
    heard = await bot.heard(lambda: released(gate, built))
    assert re.fullmatch(r"slow loaded g1 \(.{7}\)", heard[0])
    assert await bot.say("!slow") == ["ok"]


async def test_a_mistake_that_comes_out_when_the_time_is_up_is_told(
    weather: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, over = asyncio.Event(), asyncio.Event()

    async def late(*_: str) -> None:
        asyncio.current_task().add_done_callback(lambda _: over.set())  # type: ignore[union-attr]
        await gate.wait()
        raise UserError("weather: no such version")

    async def go_on() -> None:
        gate.set()
        await over.wait()
        await asyncio.sleep(0)

    monkeypatch.setattr(weather.app.past, "rollback", late)
    weather.app.calls.handler_seconds = 0.05
    assert await weather.say("!rollback weather") == ["rollback took longer than 0.05 s and was stopped"]
    assert await weather.heard(go_on) == ["weather: no such version"]


async def waited_for(module: str) -> asyncio.Event:
    """The gate of a module that may still be in its trial."""
    async with asyncio.timeout(10):
        while True:
            for each in gc.get_objects():
                if isinstance(each, ModuleType) and each.__name__ == module and hasattr(each, "gate"):
                    gate: asyncio.Event = each.gate
                    return gate
            await asyncio.sleep(0)


async def released(gate: asyncio.Event, task: asyncio.Task[Any]) -> None:
    gate.set()
    await task


async def test_reload_all_takes_every_plugin(weather: Bot) -> None:
    await weather.write("other", "x = 1")
    line = await one(weather, "!reload all")
    assert "weather g1 -> g2" in line and "other g1 -> g2" in line


async def test_reload_takes_a_file_that_is_new(bot: Bot) -> None:
    (bot.plugins / "fresh.py").write_text("x = 1")
    assert (await one(bot, "!reload fresh")).startswith("fresh loaded g1 (")


@pytest.mark.parametrize("verb", ["reload", "load", "unload", "enable", "disable"])
@pytest.mark.parametrize(
    "name",
    ["../evil", "/etc/passwd", "weather.py", "a/b", "..", "_common", "plugins.weather", "\u202eweather", "x" * 200],
)
async def test_a_name_cannot_lead_out_of_the_folder(weather: Bot, verb: str, name: str) -> None:
    (weather.plugins.parent / "evil.py").write_text("1/0")
    (weather.plugins / "_common.py").write_text("x = 1")
    assert (await one(weather, f"!{verb} {name}")).startswith("no such plugin: ")
    assert await one(weather, "!weather") == "sunny"


async def test_unload_and_load(weather: Bot) -> None:
    assert await one(weather, "!unload weather") == "weather unloaded"
    assert await weather.say("!weather") == []
    assert await one(weather, "!unload weather") == "weather is not loaded"
    assert (await one(weather, "!load weather")).startswith("weather loaded g2 (")
    assert await one(weather, "!weather") == "sunny"


# --- enable, disable


async def test_disable_and_enable_everywhere(weather: Bot) -> None:
    assert await one(weather, "!disable weather") == "weather disabled everywhere; weather unloaded"
    assert await one(weather, "!disable weather") == "weather is disabled already"
    assert await weather.say("!weather") == []
    assert await one(weather, "!load weather") == "weather is disabled; !enable weather loads it"
    assert (await one(weather, "!enable weather")).startswith("weather enabled everywhere; weather loaded g2 (")


async def test_a_switch_is_answered_and_loads_also_after_an_unload(weather: Bot) -> None:
    await weather.say("!unload weather")
    assert await one(weather, "!disable weather") == "weather disabled everywhere"
    assert (await one(weather, "!enable weather")).startswith("weather enabled everywhere; weather loaded g2 (")


async def test_the_configured_place_gets_the_report_of_a_switch_alone(weather: Bot) -> None:
    weather.app.config = replace(weather.app.config, reload=Reload(report_to=f"{NETWORK}/bob"))
    told = await weather.heard(weather.say("!disable weather"), "bob")
    assert sorted(told) == ["weather disabled everywhere; weather unloaded", "weather unloaded"]


async def test_disable_in_one_channel(weather: Bot) -> None:
    assert await one(weather, "!disable weather #DEMO") == "weather disabled in #DEMO"
    assert await weather.say("!weather") == []
    assert await weather.say("weather", to=BOT) == ["sunny"]
    assert await one(weather, "!enable weather #demo") == "weather enabled in #demo"
    assert await one(weather, "!weather") == "sunny"


async def test_help_leaves_out_what_does_not_answer_here(weather: Bot) -> None:
    await weather.say("!disable weather #demo")
    assert "weather" not in await one(weather, "!help", "bob")


async def test_disable_where_there_is_no_channel(weather: Bot) -> None:
    assert "'demo' is no channel" in await one(weather, "!disable weather demo")


async def test_what_is_disabled_stays_so_after_a_restart(tmp_path: Path) -> None:
    plugins = tmp_path / "plugins"
    async with running_bot(plugins, state=tmp_path / "state") as bot:
        await bot.write("weather", WEATHER)
        await bot.say("!disable weather")
    async with running_bot(plugins, state=tmp_path / "state") as bot:
        assert await bot.say("!weather") == []
        assert (await one(bot, "!enable weather")).startswith("weather enabled everywhere; weather loaded g1 (")


# --- channels


async def heard_by_server(bot: Bot, line: str, mark: int) -> None:
    await bot.server.wait_for(lambda nick, way, said: (nick, way, said) == (BOT, "in", line), since=mark)


async def test_join_and_part(bot: Bot) -> None:
    mark = bot.server.mark()
    assert await one(bot, "!join #new") == "joining #new"
    await heard_by_server(bot, "JOIN #new", mark)
    assert await one(bot, "!part #new") == "leaving #new"
    await heard_by_server(bot, "PART #new", mark)


async def test_part_leaves_this_channel_without_a_word(bot: Bot) -> None:
    mark = bot.server.mark()
    bot.you.privmsg("#demo", "!part")
    await heard_by_server(bot, "PART #demo", mark)


@pytest.mark.parametrize("text", ["join nowhere", "join #a,#b", "part nowhere", "join #a,0"])
async def test_what_is_no_channel_is_refused(bot: Bot, text: str) -> None:
    assert (await one(bot, f"!{text}")).endswith(" is no channel")


async def test_channels_are_remembered_over_a_restart(tmp_path: Path) -> None:
    async with running_bot(state=tmp_path) as bot:
        mark = bot.server.mark()
        await bot.say("!join #new secret")
        await heard_by_server(bot, "JOIN #new secret", mark)
    async with running_bot(state=tmp_path) as bot:
        joined = [line for nick, way, line in bot.server.log if (nick, way) == (BOT, "in") and line.startswith("JOIN")]
        assert any("#new" in line and "secret" in line for line in joined)


@pytest.mark.parametrize("target", ["#demo", "demo/#demo"])
async def test_say_speaks_elsewhere(bot: Bot, target: str) -> None:
    assert await bot.say(f"!say {target} hello   there") == ["hello   there"]


async def test_say_to_a_network_that_is_not_there(bot: Bot) -> None:
    assert "names no network" in await one(bot, "!say oftc/#a hi")


# --- quit


async def test_quit_asks_once_more(bot: Bot) -> None:
    assert "say !quit again within 30 s" in await one(bot, "!quit")
    assert not bot.app.stopping.is_set()
    bot.you.privmsg("#demo", "!quit")
    line = await bot.you.expect(" QUIT ")
    assert "asked by you" in line


async def test_another_admin_does_not_confirm(bot: Bot) -> None:
    await bot.say("!quit")
    bob = await bot.person("bob")
    bot.server.login("bob", "you")
    await bot.quiet(bob)
    assert "say !quit again" in await one(bot, "!quit", "bob")


async def test_a_built_in_command_that_a_plugin_claims_stays(bot: Bot) -> None:
    report: Any = await bot.write("evil", "from bot import command\n@command('quit')\ndef quit(ctx): return 'mine'")
    assert "!quit is built in" in str(report)
    assert "mine" not in await one(bot, "!quit")


# --- a network with settings of its own


async def test_what_config_yaml_silences_here_is_told_so(weather: Bot) -> None:
    """Help and the list say it, and enabling it from chat says where it must be changed."""
    config = weather.app.config
    network = replace(config.networks[NETWORK], disabled=("weather",), prefix=("?", "."))
    await weather.app.apply(replace(config, networks={NETWORK: network}))
    assert await weather.say("?weather") == []
    assert await one(weather, "?plugins") == "plugins: weather; silent here: weather"
    assert await one(weather, "?help w") == "?weather [place] [--days N]: Tell the weather at a place. - also ?w" + (
        " - disabled here"
    )
    assert await one(weather, "?help weather") == await one(weather, "?help w")
    key = "in config.yaml (networks.demo.disabled); change it there"
    assert await one(weather, "?enable weather #demo") == f"weather is disabled {key}"
    assert await one(weather, "?enable weather") == f"weather is enabled already, but disabled here {key}"


async def test_hints_begin_commands_as_they_begin_here(weather: Bot) -> None:
    config = weather.app.config
    await weather.app.apply(replace(config, networks={NETWORK: replace(config.networks[NETWORK], prefix=("?",))}))
    await weather.say("?unload weather")
    assert await one(weather, "?reload weather") == "weather: nothing to reload; it is off (?load or ?enable weather)"
    assert await one(weather, "?rollback weather") == "weather is off; ?load or ?enable weather first"
    await weather.say("?disable weather")
    assert await one(weather, "?load weather") == "weather is disabled; ?enable weather loads it"
