"""A worker that is to take the place of another: it gets ready without touching anything, and waits for its turn.

Ready is: all of the bot is imported, and every plugin has been compiled and tried. The store is not opened, nothing is
dialled, no plugin's code runs in this process: the worker before still owns all that. Two kinds of workers do so:

- the successor of one that is well, for `!restart`: the configuration on disk must be good, too, and every plugin that
  is live. Its turn comes with the `hand` frame, which holds what that one has left, or nothing if it died. See
  docs/architecture.md, «Upgrade»; the keeper's side is `bot/wire/upgrade.py`.
- one in reserve, which waits for the death of another. Its turn comes with the settings, as for any worker. The
  keeper's side is `bot/wire/reserve.py`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot import logs
from bot.errors import ConfigError, NeverquitError, PluginError
from bot.reread import reread, unpacked
from bot.wire.link import Frame, one_line

if TYPE_CHECKING:
    from bot.config import Config
    from bot.live.rehearsal import Rehearsal
    from bot.live.trial import Ground
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
        link.send(Frame("unfit", (), one_line(_words(error))))
        await loop.create_future()  # until the keeper ends this process
    return settings, ground, await handed


async def _ready(path: Path, before: Mapping[str, Any], trials: Begun | None) -> tuple[Config, Rehearsal]:
    from bot import running  # noqa: F401  # all of the bot
    from bot.live.trial import Trial
    from bot.live.trialspares import Spares

    settings = await asyncio.to_thread(reread, path)
    if settings.state_dir != before.get("state_dir", settings.state_dir):  # the keeper holds its lock
        raise Unfit("state_dir has another place now, which only a new start can use")
    ground, failed = await _rehearse(settings, Trial(Spares(begun=trials)))
    live = before.get("live", {})
    lost = [f"{name}: {why}" for name, (digest, why) in sorted(failed.items()) if live.get(name) == digest]
    if lost:
        more = f" (+{len(lost) - 1} more)" if len(lost) > 1 else ""
        raise Unfit(f"a plugin that is live would not load: {lost[0]}{more}; mend or unload it")
    return settings, ground


async def _rehearse(settings: Config, ground: Ground) -> tuple[Rehearsal, dict[str, tuple[str, PluginError]]]:
    """Try all plugins that are on disk; return where that was done, and which can't be loaded."""
    from bot.live.discover import Discovery, directories
    from bot.live.installed import Installed
    from bot.live.plan import Patience
    from bot.live.rehearsal import Rehearsal

    logs.setup(settings.log.level, settings.log.format)
    logs.redact(*settings.secrets())
    rehearsal = Rehearsal(ground)
    return rehearsal, await rehearsal.rehearse(
        Discovery(directories(settings.plugins.directories), elsewhere=Installed()),
        settings.plugins.disabled,
        lambda name: settings.plugins.settings.get(name, {}),
        Patience.of(settings),
    )


async def begin(link: Fork, path: Path, trials: Begun | None) -> tuple[Config, Ground, bytes | None]:
    """Wait for the settings, the first frame that a worker gets, or the second where it waits in reserve till then.

    Args:
        path: of the configuration, which is read again if the settings that come are of other code.
        trials: as for `stand_by`.

    Returns:
        The settings, the ground on which plugins are tried, and what a worker before has left, if one has.
    """
    loop = asyncio.get_running_loop()
    came: asyncio.Future[bytes] = loop.create_future()
    given: list[bytes] = []
    from bot.live.trial import Trial
    from bot.live.trialspares import Spares

    ground: Ground = Trial(Spares(begun=trials))
    resting: list[tuple[bytes, asyncio.Task[Rehearsal]]] = []

    def take(frame: Frame) -> None:
        if frame.verb == "hand":
            given.append(frame.payload)
        elif frame.verb == "reserve":
            resting.append((frame.payload, loop.create_task(_rest(frame.payload, path, ground))))
        elif frame.verb == "config":
            link.on_ours = None  # what follows waits for the bot
            came.set_result(frame.payload)

    link.on_ours = take
    config = await came
    for before, task in resting:
        if not task.done():
            log.info("not all plugins have been tried ahead")
        task.cancel()
        (rehearsal,) = await asyncio.gather(task, return_exceptions=True)
        if isinstance(rehearsal, Exception):
            log.warning("plugins could not be tried ahead", exc_info=rehearsal)
        elif not isinstance(rehearsal, BaseException) and before == config:
            ground = rehearsal
    return await _settings(config, path), ground, given[0] if given else None


async def _rest(config: bytes, path: Path, ground: Ground) -> Rehearsal:
    rehearsal, _ = await _rehearse(await _settings(config, path), ground)
    return rehearsal


async def _settings(config: bytes, path: Path) -> Config:
    settings = unpacked(config)
    if settings is None:  # the bot was updated on disk since
        log.warning("other code has read the settings; %s is read again", path)
        settings = await asyncio.to_thread(reread, path)
    return settings


def _words(error: Exception) -> str:
    if isinstance(error, ConfigError):
        more = len(error.mistakes) - 1
        return f"{error.mistakes[0]}" + (f" (+{more} more)" if more > 0 else "")
    return str(error) if isinstance(error, NeverquitError) else f"{type(error).__name__}: {error}"
