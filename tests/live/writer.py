"""The other process: it writes the plugin files of a case, as an editor, git or a script would.

Started once for a case; each line on its standard input is a JSON list of steps, `["move", "plugins/a.py", ...]`, which
are done at once, one after the other, with no pipe in between; the answer is one line: the paths in `plugins/` before
and after it, or what went wrong. Paths are relative to the folder it was started in. Nothing here knows the bot.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from pathlib import Path


def write(path: str, text: str) -> None:
    """Truncate and write in place."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(text.encode("utf-8", "surrogateescape"))


def chunks(path: str, gap_ms: float, *texts: str) -> None:
    """Write through one descriptor, with a gap after each chunk but the last."""
    with Path(path).open("wb", buffering=0) as file:
        for number, text in enumerate(texts):
            if number:
                wait(gap_ms)
            file.write(text.encode())


def replace(path: str, text: str, beside: str) -> None:
    """Write another file and rename it over the path."""
    write(beside, text)
    Path(beside).replace(path)


def link(path: str, text: str, beside: str) -> None:
    """Write another file and hard-link it over the path, as `ln -f` does."""
    write(beside, text)
    Path(path).unlink(missing_ok=True)
    os.link(beside, path)


def move(path: str, to: str) -> None:
    Path(path).replace(to)


def delete(path: str) -> None:
    shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()


def touch(path: str) -> None:
    Path(path).touch()


def chmod(path: str, mode: str) -> None:
    Path(path).chmod(int(mode, 8))


def wait(milliseconds: float) -> None:
    time.sleep(milliseconds / 1000)


STEPS = {step.__name__: step for step in (write, chunks, replace, link, move, delete, touch, chmod, wait)}


def paths() -> list[str]:
    return sorted(str(path) for path in Path("plugins").rglob("*"))


if __name__ == "__main__":
    for line in sys.stdin:
        before = paths()
        try:
            for name, *arguments in json.loads(line):
                STEPS[name](*arguments)
            answer = {"before": before, "after": paths()}
        except Exception as error:
            answer = {"error": repr(error)}
        print(json.dumps(answer), flush=True)
