"""`neverquit ctl`: says one thing to the running bot, over the Unix socket in its `state_dir`, and tells the answer.

    -> {"do": "reload", "name": "weather", "which": ""}
    <- {"out": ["weather g4 -> g5 (...): ..."], "err": []}

One line of JSON each way; what `err` holds has failed. While the bot is at work it sends an empty line every second, so
that a silent one is told from a busy one. A restart is answered when the worker that was asked is about to leave, with
nothing; what came of it tells the next one, asked for `restarted`. Only the owner of the bot and root may speak to it,
and the client speaks only to a bot of theirs. The other end is `bot/control.py`. The standard library only: a deploy
script waits for this.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bot.errors import NeverquitError

SOCKET = "control.sock"
REQUESTS = ("reload", "load", "unload", "rollback", "plugins", "status", "restart")
MOST_BYTES = 4096  # of a request: a word and a name
BEAT_SECONDS = 1.0
SILENCE_SECONDS = 15.0  # without an answer or a sign of life the bot is given up
_LONGEST_PATH = 100  # bytes; a socket's address holds 108 on Linux, 104 elsewhere (unix(7))
_LONGEST_ANSWER = 1 << 20


def main(state_dir: Path, do: str, name: str = "", which: str = "") -> int:
    """Ask, print what is answered, and return the exit code: 0, or 1 if it failed."""
    try:
        out, err = ask(state_dir, do, name, which)
        if do == "restart" and not err:
            out, err = ask_the_next(state_dir)
    except NeverquitError as error:
        out, err = [], [f"neverquit: {error}"]
    for stream, lines in ((sys.stdout, out), (sys.stderr, err)):
        for line in lines:
            print(line, file=stream)
    return 1 if err else 0


def ask(
    state_dir: Path, do: str, name: str = "", which: str = "", silence_seconds: float = SILENCE_SECONDS
) -> tuple[list[str], list[str]]:
    """Ask the bot that runs on `state_dir`; return what went well and what did not, by lines.

    Args:
        name: the plugin.
        which: of a rollback: how many versions back, or the hash of one.

    Raises:
        NeverquitError: no bot runs there, or it does not answer.
    """
    path = Path(state_dir) / SOCKET
    if not hasattr(socket, "AF_UNIX"):
        raise NeverquitError("ctl needs Unix sockets, which this system does not have; use the admin commands in chat")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        end.settimeout(silence_seconds)
        try:
            at_path(end.connect, path)
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            raise NeverquitError(
                f"no bot is running on {state_dir} (state_dir; nobody listens at {SOCKET} there)"
            ) from None
        except PermissionError:
            raise NeverquitError(f"{path}: you may not speak to this bot; only its own user and root may") from None
        except OSError as error:
            raise NeverquitError(f"{path}: {error.strerror or error}") from None
        _check_owner(end, path)
        try:
            end.sendall(json.dumps({"do": do, "name": name, "which": which}).encode() + b"\n")
            answer = json.loads(_line(end))
        except TimeoutError:
            raise NeverquitError(
                f"the bot has given no sign of life for {silence_seconds:g} s; its log may say why"
            ) from None
        except (OSError, ValueError):
            raise NeverquitError("the bot ended, or went away, before it answered; its log may say why") from None
    return [str(line) for line in answer["out"]], [str(line) for line in answer["err"]]


def ask_the_next(state_dir: Path, seconds: float = SILENCE_SECONDS) -> tuple[list[str], list[str]]:
    """Ask the worker that takes the place of the one which has just said that it leaves, once it listens.

    Raises:
        NeverquitError: none did in so many seconds.
    """
    until = time.monotonic() + seconds
    while True:
        try:
            return ask(state_dir, "restarted")
        except NeverquitError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def at_path(act: Callable[[str], object], path: Path) -> None:
    """Bind or connect a socket, also at a path that is longer than an address: then from the folder it lies in."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        act(str(path))
        return
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(path.parent)
        act(path.name)
    finally:
        os.fchdir(here)
        os.close(here)


def user_at(end: socket.socket) -> int | None:
    """Return the uid of the process at the other end, None where the system does not tell (all but Linux)."""
    if not hasattr(socket, "SO_PEERCRED"):
        return None
    credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
    return int(struct.unpack("iII", credentials)[1])


def _check_owner(end: socket.socket, path: Path) -> None:
    """A folder that others may write into could hold a socket of theirs: its lies must not look like the bot's."""
    user = user_at(end)
    if user is not None and user not in (0, os.geteuid(), path.parent.stat().st_uid):
        raise NeverquitError(f"{path}: who listens there is neither your user nor the owner of the folder")


def _line(end: socket.socket) -> bytes:
    """Read up to the end of the first line that is not empty."""
    read = b""
    while b"\n" not in (read := read.lstrip(b"\n")) and len(read) < _LONGEST_ANSWER:
        more = end.recv(65536)
        if not more:
            raise ConnectionError
        read += more
    return read.partition(b"\n")[0]
