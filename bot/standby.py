"""A worker that is to take the place of another: it gets ready without touching anything, and waits for its turn.

Ready is: the configuration on disk is good, all of the bot is imported, and every plugin has been compiled and tried.
The store is not opened, nothing is dialled, no plugin's code runs in this process: the worker before still owns all
that. Its turn comes with the `hand` frame, which holds what that one has left, or nothing if it died. `!restart` as a
whole is told in docs/architecture.md, «Upgrade»; the keeper's side is `bot/wire/upgrade.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot import logs
from bot.errors import ConfigError, NeverquitError
from bot.wire.link import Frame

if TYPE_CHECKING:
    from bot.config import Config
    from bot.live.rehearsal import Rehearsal
    from bot.live.trialorigin import Begun
    from bot.worker import Fork

log = logging.getLogger(__name__)


class Unfit(NeverquitError):
    """This worker can't take over, and why."""


async def stand_by(link: Fork, path: Path, trials: Begun | None = None) -> tuple[Config, Rehearsal, bytes]:
    """Get ready, and wait.

    Args:
        trials: where trial processes come from, if that has begun.

    Returns:
        The settings, the ground on which the plugins were tried, and what the worker before has left.
    """
    loop = asyncio.get_running_loop()
    begun: asyncio.Future[Mapping[str, Any]] = loop.create_future()
    handed: asyncio.Future[bytes] = loop.create_future()

    def take(frame: Frame) -> None:
        if frame.verb == "standby":
            begun.set_result(json.loads(frame.payload))
        elif frame.verb == "hand":
            link.on_ours = None  # what follows waits for the bot
            handed.set_result(frame.payload)

    link.on_ours = take
    try:
        settings, ground = await _ready(path, await begun, trials)
        link.send(Frame("ready"))
    except Exception as error:
        if not isinstance(error, NeverquitError):
            log.exception("this worker can't take over")
        link.send(Frame("unfit", (), " ".join(_words(error).split()).encode(errors="replace")))
        await loop.create_future()  # until the keeper ends this process
    return settings, ground, await handed


async def _ready(path: Path, before: Mapping[str, Any], trials: Begun | None) -> tuple[Config, Rehearsal]:
    from bot import running  # noqa: F401  # all of the bot
    from bot.live.discover import Discovery, directories
    from bot.live.installed import Installed
    from bot.live.plan import Patience
    from bot.live.rehearsal import Rehearsal
    from bot.live.trial import Trial
    from bot.live.trialspares import Spares
    from bot.reread import reread

    settings = await asyncio.to_thread(reread, path)
    logs.setup(settings.log.level, settings.log.format)
    logs.redact(*settings.secrets())
    if settings.state_dir != before.get("state_dir", settings.state_dir):  # the keeper holds its lock
        raise Unfit("state_dir has another place now, which only a new start can use")
    ground = Rehearsal(Trial(Spares(begun=trials)))
    failed = await ground.rehearse(
        Discovery(directories(settings.plugins.directories), elsewhere=Installed()),
        settings.plugins.disabled,
        lambda name: settings.plugins.settings.get(name, {}),
        Patience.of(settings),
    )
    live = before.get("live", {})
    lost = [f"{name}: {why}" for name, (digest, why) in sorted(failed.items()) if live.get(name) == digest]
    if lost:
        more = f" (+{len(lost) - 1} more)" if len(lost) > 1 else ""
        raise Unfit(f"a plugin that is live would not load: {lost[0]}{more}; mend or unload it")
    return settings, ground


def _words(error: Exception) -> str:
    if isinstance(error, ConfigError):
        more = len(error.mistakes) - 1
        return f"{error.mistakes[0]}" + (f" (+{more} more)" if more > 0 else "")
    return str(error) if isinstance(error, NeverquitError) else f"{type(error).__name__}: {error}"
