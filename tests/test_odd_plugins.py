"""Plugins that are odd in ways nobody writes on purpose: each costs itself, and nobody else."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from bot.config import Config, Timeouts
from bot.testing import Bot, running_bot

HELLO = "from bot import command\n@command('hello')\ndef hello(ctx): return 'hello {}'\n"


async def goes_on(bot: Bot) -> None:
    """Another plugin is still taken, and answers."""
    await bot.write("hello", HELLO.format(1))
    assert await bot.say("!hello") == ["hello 1"]
    await bot.write("hello", HELLO.format(2))
    assert await bot.say("!hello") == ["hello 2"]


@pytest.mark.parametrize(
    "source",
    [
        "__doc__ = 42",
        "raise ModuleNotFoundError('x', name=5)",
        "class E(Exception):\n    def __str__(self): raise KeyboardInterrupt\nraise E",
        "import sys\nsys.modules[5] = sys",
    ],
    ids=["doc", "name", "str", "modules"],
)
async def test_others_load_beside_it(bot: Bot, source: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    before = set(sys.modules)
    await bot.write("odd", source)
    await goes_on(bot)
    for name in [name for name in list(sys.modules) if name not in before and not isinstance(name, str)]:
        del sys.modules[name]


async def test_a_named_pipe_is_no_plugin(bot: Bot) -> None:
    os.mkfifo(bot.plugins / "pipe.py")
    await goes_on(bot)


async def test_a_folder_with_the_name_of_a_file_is_told_of(bot: Bot) -> None:
    (bot.plugins / "odd.py").mkdir()
    (bot.plugins / "odd.py" / "__init__.py").write_text("")
    assert "rename the file" in str(await bot.reload())
    await goes_on(bot)


async def test_an_endless_async_generator_is_stopped() -> None:
    config = replace(Config(), timeouts=Timeouts(handler_seconds=0.1))
    async with running_bot(config=config) as bot:
        await bot.write(
            "endless",
            "from bot import command\n@command('endless')\n"
            "async def endless(ctx):\n    while True:\n        yield 'on'\n",
        )
        answers = await bot.say("!endless")
        assert "endless took longer than 0.1 s and was stopped" in answers[-1] or "more" in answers[-1]
        await goes_on(bot)


async def test_a_hidden_plugin_does_not_show_while_its_override_is_saved(bot: Bot, tmp_path: object) -> None:
    """An editor removes a file before it writes it again; the plugin of a later folder must not answer meanwhile."""
    from pathlib import Path

    later = bot.plugins.parent / "later"
    later.mkdir()
    (later / "hello.py").write_text(HELLO.format("bundled"))
    discovery = bot.app.reloader._planner._discovery
    discovery.directories = (*discovery.directories, Path(later))
    await bot.write("hello", HELLO.format(1))
    (bot.plugins / "hello.py").unlink()
    await bot.reload()
    assert await bot.say("!hello") == ["hello 1"]
