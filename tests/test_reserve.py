"""The worker that waits for the end of the one that serves: real processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from pair import Pair, alive
from pair import with_reserve as pair

from bot import ctl

TOLD = """
import os
from bot import command
@command("who")
async def who(ctx): return f"{os.getpid()} ONE"
"""


async def in_reserve(bot: Pair, not_this: int = 0) -> int:
    """Wait for a worker in reserve that is ready, and return its process."""
    await bot.until(lambda: bot.called("reserve") not in (0, not_this), "a worker in reserve")
    return bot.called("reserve")


async def test_it_takes_over_at_once_with_plugins_as_they_are_by_then(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={"told": TOLD}) as bot:
        waits = await in_reserve(bot)
        told, _ = await asyncio.to_thread(ctl.ask, tmp_path / "state", "status")
        assert told[0].endswith(f"; in reserve {waits}")
        (tmp_path / "plugins" / "told.py").write_text(TOLD.replace("ONE", "TWO"))
        await bot.tells("told g1 -> g2")
        bot.kill(bot.worker)
        bot.says("!who")
        await bot.answers(f"{waits} TWO")
        assert await in_reserve(bot, waits) not in (0, waits)
        assert bot.connections() == 1
        await bot.ends()


async def test_one_that_dies_is_not_missed(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={"told": TOLD}) as bot:
        waits, serves = await in_reserve(bot), bot.worker
        bot.kill(waits)
        await bot.until(lambda: not alive(waits), "its end")
        bot.kill(serves)
        worker = await bot.another(serves)
        bot.says("!who")
        await bot.answers(f"{worker} ONE")
        assert worker != waits and not any("accused" in line for line in bot.log)
        await bot.ends()


async def test_after_a_restart_another_waits(tmp_path: Path) -> None:
    """It may be of other code than the one that serves now."""
    async with pair(tmp_path, plugins={"told": TOLD}) as bot:
        waits = await in_reserve(bot)
        bot.says("!restart")
        await bot.tells("restarted")
        assert await in_reserve(bot, waits) != waits and not alive(waits)
        await bot.ends()


async def test_there_is_none_where_none_is_wanted(tmp_path: Path) -> None:
    async with pair(tmp_path, plugins={"told": TOLD}, reserve=True) as bot:
        waits = await in_reserve(bot)
        config = tmp_path / "config.yaml"
        config.write_text(config.read_text().replace('"reserve": true', '"reserve": false'))
        bot.says("!who")
        await bot.tells("ONE")
        bot.kill(bot.process.pid, 1)  # SIGHUP: read the configuration again
        await bot.tells("configuration read again")
        await bot.until(lambda: not alive(waits), "its end")
        assert bot.called("reserve") == 0
        await bot.ends()
