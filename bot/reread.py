"""The configuration read again, in a process of its own: reading needs yaml and pydantic, 7 MB that a bot that runs
would keep for good.

`reread` is called by the bot; `main` is the child, which reads, checks and writes the result to its standard output.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bot.errors import ConfigError, Mistake
from bot.wire.process import command

if TYPE_CHECKING:
    from bot.config import Config

SECONDS = 60.0


def reread(path: Path) -> Config:
    """Read a configuration file; blocks for a third of a second, so not on the loop.

    Raises:
        ConfigError: with every mistake; also when nothing can be read at all.
    """
    try:
        done = subprocess.run(
            command("bot.reread", str(path)), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=SECONDS
        )
        settings, mistakes = pickle.loads(done.stdout)  # from our own child
    except (OSError, subprocess.SubprocessError, pickle.UnpicklingError, EOFError) as error:
        raise ConfigError(
            [Mistake(str(path), 0, 0, "", f"could not be read in a process of its own: {error}")]
        ) from None
    if mistakes:
        raise ConfigError(mistakes)
    found: Config = settings
    return found


def main() -> int:
    """Be the child. The last argument is the path."""
    from bot import config

    result: tuple[Config | None, tuple[Mistake, ...]]
    try:
        result = config.load(sys.argv[-1]), ()
    except ConfigError as error:
        result = None, error.mistakes
    with os.fdopen(1, "wb") as out:
        out.write(pickle.dumps(result))
    return 0
