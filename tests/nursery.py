"""Starts bots at a third of their price: forked from a process that has imported all of the program, once.

What runs then is the program, from its first argument on: its own process, environment, folder and output. Only what
happens before its `main`, the start of the interpreter and the imports (0.3 s of processor time), is not done again for
each of some hundred tests; tests/test_cli.py starts it as people do.

The nursery is a child of the test process and ends with it. It is asked over a socket, and sends back the number of the
new process; how that ended comes through a pipe of its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 1 << 20  # bytes of a request: an environment is the most of it


class Born:
    """A process of the bot; as much of `asyncio.subprocess.Process` as tests need.

    Attributes:
        stdout: what it writes, to either stream.
    """

    def __init__(self, pid: int, stdout: asyncio.StreamReader, ending: asyncio.StreamReader) -> None:
        self.pid, self.stdout, self.returncode = pid, stdout, None
        self._ended = asyncio.create_task(self._end(ending))

    returncode: int | None

    async def _end(self, ending: asyncio.StreamReader) -> int:
        self.returncode = int(await ending.read())
        return self.returncode

    async def wait(self) -> int:
        """Wait for its end; return its exit code, or the negative number of a signal."""
        return await asyncio.shield(self._ended)

    def send_signal(self, number: int) -> None:
        if self.returncode is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


_nursery: socket.socket | None = None


async def start(arguments: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Born:
    """Start the program with these arguments, its standard input empty."""
    global _nursery
    if _nursery is None:
        _nursery = _open()
    said, says = os.pipe()
    ended, ends = os.pipe()
    order = {"arguments": list(arguments), "folder": str(folder), "environment": dict(environment)}
    socket.send_fds(_nursery, [json.dumps(order).encode()], [says, ends])
    os.close(says), os.close(ends)
    pid = int(_nursery.recv(64))
    return Born(pid, await _reader(said), await _reader(ended))


async def _reader(descriptor: int) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0))
    return reader


def _open() -> socket.socket:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    subprocess.Popen(
        [sys.executable, __file__, str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        env={**environment, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        start_new_session=True,  # who interrupts the tests does not mean it
    ).returncode = 0  # it ends when we do
    theirs.close()
    return ours


# -- in the nursery


def main() -> None:
    """Fork a bot for each request, until nobody is there to ask."""
    import bot.cli
    import bot.configfile
    import bot.configschema
    import bot.control
    import bot.live.trialzygote
    import bot.running  # noqa: F401

    gc.collect()
    gc.freeze()
    asked = socket.socket(fileno=int(sys.argv[1]))
    pipes: dict[int, int] = {}
    signal.signal(signal.SIGCHLD, lambda *_: _bury(pipes))
    while True:
        data, descriptors, _, _ = socket.recv_fds(asked, LONGEST, 2)
        if not data:
            return
        order, (says, ends) = json.loads(data), descriptors
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # until its pipe is known
        pid = os.fork()
        if pid == 0:
            asked.close()
            _be_born(order, says, [ends, *pipes.values()])
        os.close(says)
        pipes[pid] = ends
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        asked.send(str(pid).encode())


def _bury(pipes: dict[int, int]) -> None:
    while pipes:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        os.write(pipes[pid], str(os.waitstatus_to_exitcode(status)).encode())
        os.close(pipes.pop(pid))


def _be_born(order: dict[str, object], says: int, others: list[int]) -> None:
    """Become what a fresh interpreter would be at the beginning of `main`, and run that."""
    arguments, folder, environment = order["arguments"], order["folder"], order["environment"]
    assert isinstance(arguments, list) and isinstance(folder, str) and isinstance(environment, dict)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
    for target in (1, 2):
        os.dup2(says, target)
    for descriptor in [says, *others]:
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.dont_write_bytecode = bool(environment.get("PYTHONDONTWRITEBYTECODE"))
    paths = [path for path in str(environment.get("PYTHONPATH", "")).split(os.pathsep) if path]
    sys.path[:] = [*paths, *(path for path in sys.path[1:] if path not in paths)]
    sys.argv = ["neverquit", *arguments]
    from bot.__main__ import main as program

    sys.exit(program())


if __name__ == "__main__":
    main()
