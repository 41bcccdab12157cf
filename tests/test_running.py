"""bot/running.py: a bot's life in its process. Whole bots: test_life.py, test_cli.py."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bot.config import Config
from bot.running import Running


async def test_hanging_up_while_plugins_load_waits_until_they_are_loaded() -> None:
    """Else settings were applied to half a bot, and whoever supervises it was told that it is ready."""
    ready, done, told = asyncio.Event(), asyncio.Event(), list[object]()

    async def reread() -> None:
        told.append("read")

    def on_reload(begins: bool) -> None:
        told.append(begins)
        if not begins:
            done.set()

    running = SimpleNamespace(
        app=SimpleNamespace(ready=ready),
        on_reload=on_reload,
        _reread=reread,
        _reloads=set[Any](),
        _one_at_a_time=asyncio.Lock(),
    )
    running._again = lambda: Running._again(cast(Running, running))
    Running.hang_up(cast(Running, running))
    await asyncio.sleep(0)
    assert told == [] and len(running._reloads) == 1
    ready.set()
    await asyncio.wait_for(done.wait(), 10)
    assert told == [True, "read", False]


async def test_what_is_misspelt_is_told_when_the_plugins_were_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plugin's file and its name in the configuration may be new in the same moment."""
    told = list[str]()

    async def apply(settings: Config) -> list[str]:
        told.append("applied")
        return []

    async def settle(**_: object) -> str:
        told.append("settled")
        return ""

    app = SimpleNamespace(
        apply=apply,
        reloader=SimpleNamespace(settle=settle),
        announcer=SimpleNamespace(tell=lambda text: None),
        tell_misspelt=lambda: told.append("misspelt"),
    )
    monkeypatch.setattr("bot.running.reread", lambda path: Config())
    await Running._reread(cast(Running, SimpleNamespace(app=app, _path=Path(), _logs=lambda settings: None)))
    assert told == ["applied", "settled", "misspelt"]
