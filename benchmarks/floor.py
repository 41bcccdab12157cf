"""The least that a save can cost in Python: a bot of one blocking thread. `python -m benchmarks.floor PORT FOLDER`.

It waits for inotify and the socket, and does only what nobody can leave out: read the file that was closed or moved in,
compile, execute, answer. No quiet window, no check, no state, no way back; a half-written file would end it.
"""

from __future__ import annotations

import ctypes
import os
import select
import socket
import struct
import sys
from pathlib import Path
from typing import Any

IN_CLOSE_WRITE, IN_MOVED_TO = 0x8, 0x80


def main(port: int, folder: Path) -> None:
    """Run until the end of the process."""
    libc = ctypes.CDLL(None, use_errno=True)
    events = libc.inotify_init()
    libc.inotify_add_watch(events, os.fsencode(folder), IN_CLOSE_WRITE | IN_MOVED_TO)
    sock = socket.create_connection(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(b"NICK floor\r\nUSER floor 0 * :floor\r\nJOIN #bench\r\n")
    modules: dict[str, dict[str, Any]] = {path.stem: load(path) for path in folder.glob("*.py")}
    rest = b""
    while True:
        for ready in select.select([events, sock], [], [])[0]:
            if ready == events:
                for path in changed(os.read(events, 65536), folder):
                    modules[path.stem] = load(path)
                continue
            data = sock.recv(65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\r\n")
            for line in lines:
                _, mark, name = line.decode().partition(" PRIVMSG #bench :!")
                if mark and (module := modules.get(name)) is not None:
                    sock.sendall(b"PRIVMSG #bench :%b\r\n" % module["VERSION"].encode())


def load(path: Path) -> dict[str, Any]:
    namespace: dict[str, Any] = {"__name__": path.stem}
    exec(compile(path.read_bytes(), str(path), "exec"), namespace)
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
    main(int(sys.argv[1]), Path(sys.argv[2]))
