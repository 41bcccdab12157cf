"""The least that a save can cost in Python: a bot of one blocking thread.

    python -m benchmarks.reload.floor PORT FOLDER [trial]

It waits for inotify and the socket, and does only what nobody can leave out: read the file that was closed or moved in,
compile, execute, answer. No quiet window, no check, no state, no way back; a half-written file would end it.

With `trial` a child that was forked ahead compiles and executes first, and hands the marshalled code back: what trying
new code in another process costs at the least. The next child is forked after the answer.
"""

from __future__ import annotations

import ctypes
import gc
import marshal
import os
import select
import socket
import struct
import sys
from pathlib import Path
from types import CodeType
from typing import Any

IN_CLOSE_WRITE, IN_MOVED_TO = 0x8, 0x80


class Spare:
    """A child forked ahead that compiles and executes one file, says the code, and ends."""

    def __init__(self) -> None:
        self._child = 0
        self._orders = self._answers = -1

    def fork(self) -> None:
        """Fork the next one, where there is none."""
        if self._child:
            return
        theirs, self._orders = os.pipe()
        self._answers, ours = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._orders)
            os.close(self._answers)
            compiled(Path(__file__))  # pages that compiling writes to are copied now, not during the save
            path = Path(os.fsdecode(os.read(theirs, 4096)))
            if path.name:  # empty: the floor has ended
                code = compiled(path)
                execute(code, path)
                with os.fdopen(ours, "wb") as pipe:
                    pipe.write(marshal.dumps(code))
            os._exit(0)
        os.close(theirs)
        os.close(ours)

    def compiled(self, path: Path) -> CodeType:
        """Have it try a file; return the code."""
        self.fork()
        os.write(self._orders, os.fsencode(path))
        with os.fdopen(self._answers, "rb") as pipe:
            code: CodeType = marshal.loads(pipe.read())
        os.close(self._orders)
        os.waitpid(self._child, 0)
        self._child = 0
        return code


def main(port: int, folder: Path, trial: bool) -> None:
    """Run until the end of the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    events = libc.inotify_init()
    libc.inotify_add_watch(events, os.fsencode(folder), IN_CLOSE_WRITE | IN_MOVED_TO)
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(b"NICK floor\r\nUSER floor 0 * :floor\r\nJOIN #bench\r\n")
    modules = {path.stem: execute(compiled(path), path) for path in folder.glob("*.py")}
    gc.collect()
    gc.freeze()
    spare = Spare()
    rest = b""
    while True:
        # What is asked goes first: a child is forked when there is nothing else to do.
        ready = select.select([events, sock], [], [], 0)[0]
        if not ready:
            if trial:
                spare.fork()
            ready = select.select([events, sock], [], [])[0]
        if events in ready:
            for path in changed(os.read(events, 65536), folder):
                modules[path.stem] = execute(spare.compiled(path) if trial else compiled(path), path)
        if sock in ready:
            data = sock.recv(65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\r\n")
            for line in lines:
                _, mark, name = line.decode().partition(" PRIVMSG #bench :!")
                if mark and (module := modules.get(name)) is not None:
                    sock.sendall(b"PRIVMSG #bench :%b\r\n" % module["VERSION"].encode())


def compiled(path: Path) -> CodeType:
    return compile(path.read_bytes(), str(path), "exec")


def execute(code: CodeType, path: Path) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": path.stem}
    exec(code, namespace)
    return namespace


def changed(raw: bytes, folder: Path) -> set[Path]:
    """Return the plugin files that a buffer of inotify events names."""
    found, at = set(), 0
    while at < len(raw):
        length = struct.unpack_from("iIII", raw, at)[3]
        name = os.fsdecode(raw[at + 16 : at + 16 + length].rstrip(b"\0"))
        if name.endswith(".py"):
            found.add(folder / name)
        at += 16 + length
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:] == ["trial"])
