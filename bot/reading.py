"""config.yaml, read and checked in a process of its own that ends at once.

Reading takes the YAML parser and pydantic, 5 MB that nothing needs afterwards; and a process that has just been started
checks by the code and packages that are on disk now.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from pathlib import Path

from bot.config import Config, load
from bot.errors import ConfigError, NeverquitError
from bot.wire.process import command

READ_SECONDS = 30.0


async def read(path: Path) -> Config:
    """Return what a configuration file holds.

    Raises:
        ConfigError: with every mistake.
        NeverquitError: the process failed.
    """
    process = await asyncio.create_subprocess_exec(
        *command("bot.reading", str(path)), stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
    )
    try:
        told, _ = await asyncio.wait_for(process.communicate(), READ_SECONDS)
    except TimeoutError:
        raise NeverquitError(f"{path}: reading it took longer than {READ_SECONDS:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode != 0:
        raise NeverquitError(f"{path}: the process that read it ended with exit code {process.returncode}")
    found = pickle.loads(told)  # from our own child
    if isinstance(found, Config):
        return found
    raise ConfigError(found)


def main() -> int:
    """Be that process: the last argument is the file."""
    try:
        found: object = load(sys.argv[-1])
    except ConfigError as error:
        found = error.mistakes
    sys.stdout.buffer.write(pickle.dumps(found))
    return 0
