"""bot/running.py: a bot's life in its process. Whole bots: test_life.py, test_cli.py."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

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
