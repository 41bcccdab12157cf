"""The configuration read again, in a process of its own: reading needs yaml and pydantic, 7 MB that a bot that runs
would keep for good. And how settings get from one process to another.

`reread` is called by the bot; `main` is the child, which reads, checks and writes the result to its standard output.

Settings are pickled by position, so classes that have changed would put them into the wrong fields without a word. What
is handed on therefore says which classes it was made of: two processes of one bot may be years of versions apart.
"""

from __future__ import annotations

import base64
import logging
import os
import pickle
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bot import config
from bot.errors import ConfigError, Mistake
from bot.wire.process import command

if TYPE_CHECKING:
    from bot.config import Config

log = logging.getLogger(__name__)

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
        shape, mistakes, raw = pickle.loads(done.stdout)  # from our own child
    except (OSError, subprocess.SubprocessError, pickle.UnpicklingError, EOFError) as error:
        raise _mistake(path, f"could not be read in a process of its own: {error}") from None
    if mistakes:
        raise ConfigError(mistakes)
    if shape != _shape():
        raise _mistake(path, "the bot's own code has changed on disk, and with it the keys of this file: restart first")
    found: Config = pickle.loads(raw)
    return found


def packed(settings: Config) -> bytes:
    """Return settings as bytes for another process of this bot: base64."""
    return base64.b64encode(pickle.dumps((_shape(), pickle.dumps(settings))))


def unpacked(payload: bytes) -> Config | None:
    """Return what was `packed`; None where other code has done that."""
    try:
        shape, raw = pickle.loads(base64.b64decode(payload))  # from our own parent, by inheritance
        if shape == _shape():
            found: Config = pickle.loads(raw)
            return found
    except Exception:  # whatever a class makes of values that are not its own
        log.debug("the settings can't be unpacked", exc_info=True)
    return None


def _shape() -> list[str]:
    """Return what the classes of the settings hold, in order."""
    classes = [value for value in vars(config).values() if isinstance(value, type) and is_dataclass(value)]
    return [f"{each.__name__}.{field.name}: {field.type}" for each in classes for field in fields(each)]


def _mistake(path: Path, text: str) -> ConfigError:
    return ConfigError([Mistake(str(path), 0, 0, "", text)])


def main() -> int:
    """Be the child. The last argument is the path."""
    raw, mistakes = b"", tuple[Mistake, ...]()
    try:
        raw = pickle.dumps(config.load(sys.argv[-1]))
    except ConfigError as error:
        mistakes = error.mistakes
    with os.fdopen(1, "wb") as out:
        out.write(pickle.dumps((_shape(), mistakes, raw)))
    return 0
