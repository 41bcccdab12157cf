"""The other process: it writes the plugin files of a case, as an editor, git or a script would.

Started once for a case; each line on its standard input is a JSON list of steps, `["move", "plugins/a.py", ...]`, which
are done at once, one after the other, with no pipe in between; the answer is one line: the paths in `plugins/` before
and after it, or what went wrong. Paths are relative to the folder it was started in. Nothing here knows the bot.
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

PATIENCE_SECONDS = 30.0  # until a program that is typed into has to show what it should


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


def swap(path: str, to: str) -> None:
    """Let a symbolic link lead elsewhere in one step, as `ln -sfn` and deploy scripts do."""
    beside = Path(f"{path}_tmp")
    beside.symlink_to(to)
    beside.replace(path)


def disguise(path: str, text: str) -> None:
    """Write in place, and restore the time that the file had."""
    stat = Path(path).stat()
    write(path, text)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def shell(command: str) -> None:
    """Run a command, without anybody's own settings."""
    subprocess.run(
        command, shell=True, check=True, timeout=PATIENCE_SECONDS, env=environment(), stdin=subprocess.DEVNULL
    )


def environment() -> dict[str, str]:
    me = {f"GIT_{who}_{what}": "me@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    own = {"HOME": str(Path.cwd()), "GIT_CONFIG_NOSYSTEM": "1", "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    return {"PATH": os.environ["PATH"], **own, **me}


def typed(command: list[str], *steps: tuple[str, str, float]) -> None:
    """Start a program in a terminal and type.

    Args:
        steps: each waits until the terminal shows a pattern, and some milliseconds more, then types keys.
    """
    number, terminal = pty.fork()
    if not number:
        os.execvpe(command[0], command, environment())
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    for pattern, keys, pause_ms in steps:
        shown = ""
        while not re.search(pattern, shown):
            shown += _shown(terminal, f"{command}: {pattern!r} is not in {shown!r}")
        wait(pause_ms)
        os.write(terminal, keys.encode())
    try:
        while True:
            _shown(terminal, f"{command} does not end")
    except OSError:
        pass  # it has ended
    assert os.waitpid(number, 0)[1] == 0, f"{command} failed"


def _shown(terminal: int, otherwise: str) -> str:
    assert select.select([terminal], [], [], PATIENCE_SECONDS)[0], otherwise
    return os.read(terminal, 4096).decode("utf-8", "replace")


STEPS = {
    step.__name__: step
    for step in (*(write, chunks, replace, link, move, delete, touch, chmod, wait, swap, disguise, shell, typed),)
}


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
