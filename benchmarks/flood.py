"""A channel at full speed: 200,000 lines of chat with commands and PINGs among them, then one more PING.

The server is a socket in this process, which writes as fast as the bot reads. Told are how late each PONG was, whether
every command was answered, once and in order, and the memory: at its most, and after a first flood and a second, which
must not add to it (what the first leaves are holes in the interpreter's own pools, and those are used again).
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.figures import Table
from benchmarks.rig import CONFIG, PATIENCE_SECONDS, Broken, process
from benchmarks.vitals import family, pss

COMMAND_EVERY, PING_EVERY = 1000, 10_000  # lines
BATCH = 200  # lines in one write
WARM_UP = 5_000  # lines, before the memory is first looked at
LIMITS_SECONDS = {"two processes": 1.0, "one process": 5.0}  # for the last PONG
GROWTH_MB = 10.0
CALM_SECONDS = 4.0  # after a flood; the keeper keeps lines for the next worker's state until a checkpoint, 2 s later
PLUGIN = """\
from bot import command, rule

@command("echo")
async def echo(ctx, text: str):
    return text

@rule(r"(?P<name>\\w+)\\+\\+")
def karma(ctx, name):
    return f"{name} has more karma"
"""


@dataclass(slots=True)
class Flood:
    """What one flood has shown; seconds and megabytes.

    Attributes:
        seconds: until the last line was written; `answered_seconds`: until the last command was answered.
        pongs: how late each PONG was; the last is that of the PING after the flood.
        before, peak, after, again: memory (PSS) of all its processes, the last after a second flood.
    """

    lines: int
    seconds: float = 0.0
    answered_seconds: float = 0.0
    pongs: list[float] = field(default_factory=list)
    before: float = 0.0
    peak: float = 0.0
    after: float = 0.0
    again: float = 0.0


class Server:
    """One client's server: a blocking socket to write to, and a thread that reads.

    Args:
        nick: the client's.

    Attributes:
        lines: what the client sent, with the moment, as it came.
    """

    def __init__(self, nick: str = "neverquit") -> None:
        self._nick = nick.encode()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sock: socket.socket | None = None
        self.port = int(self._listener.getsockname()[1])
        self.lines: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()

    def accept(self) -> None:
        """Let the bot in, and into its channel."""
        self._listener.settimeout(PATIENCE_SECONDS)
        try:
            self._sock, _ = self._listener.accept()
        except TimeoutError:
            raise Broken("the bot did not connect") from None
        self._sock.settimeout(60.0)
        threading.Thread(target=self._read, args=(self._sock,), daemon=True).start()
        self.wait(b"CAP LS")
        self.send(b":flood CAP * LS :")
        self.wait(b"CAP END")
        self.send(b":flood 001 %b :Welcome" % self._nick, b":flood 422 %b :No MOTD" % self._nick)
        self.wait(b"JOIN #bench")
        self.send(b":%b!n@bench.test JOIN #bench" % self._nick, b":flood 366 %b #bench :End" % self._nick)

    def _read(self, sock: socket.socket) -> None:
        rest = b""
        with contextlib.suppress(OSError):
            while data := sock.recv(1 << 18):
                now = time.perf_counter()
                *lines, rest = (rest + data).split(b"\r\n")
                for line in lines:
                    self.lines.put((now, line))

    def send(self, *lines: bytes) -> None:
        assert self._sock is not None, "not accepted"
        self._sock.sendall(b"".join(line + b"\r\n" for line in lines))

    def wait(self, beginning: bytes, seconds: float = PATIENCE_SECONDS) -> float:
        """Wait for a line; return when it came."""
        while True:
            came, line = self.next(seconds)
            if line.startswith(beginning):
                return came

    def next(self, seconds: float = PATIENCE_SECONDS) -> tuple[float, bytes]:
        """The next line.

        Raises:
            Broken: none came.
        """
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            raise Broken(f"nothing came within {seconds:g} s") from None

    def close(self) -> None:
        if self._sock is not None:
            self._sock.close()
        self._listener.close()


def flooded(scratch: Path, lines: int, faults: list[str]) -> Iterator[Table]:
    """Flood the bot in two processes and in one; what must not be is added to `faults`."""
    columns = (
        "lines/s",
        "commands",
        "answered s",
        "PONG p50 ms",
        "max ms",
        "last ms",
        "MB before",
        "peak",
        "after",
        "again",
    )
    table = Table(f"{lines:,} lines at full speed", columns)
    for name, more in (("two processes", ()), ("one process", ("--single",))):
        found = _flood(scratch / name.replace(" ", "-"), lines, more, faults, name)
        pongs = sorted(found.pongs)
        table.rows.append(
            (
                name,
                f"{found.lines / found.seconds:,.0f}",
                f"{lines // COMMAND_EVERY:,}",
                f"{found.answered_seconds:.1f}",
                f"{pongs[len(pongs) // 2] * 1e3:.0f}",
                f"{pongs[-1] * 1e3:.0f}",
                f"{found.pongs[-1] * 1e3:.0f}",
                f"{found.before:.0f}",
                f"{found.peak:.0f}",
                f"{found.after:.0f}",
                f"{found.again:.0f}",
            )
        )
        if found.pongs[-1] > LIMITS_SECONDS[name]:
            faults.append(f"{name}: the last PONG came {found.pongs[-1]:.2f} s late")
        if found.again > found.after + GROWTH_MB:
            faults.append(f"{name}: {found.again - found.after:.0f} MB more after a second flood than after the first")
    yield table


def _flood(home: Path, lines: int, arguments: Sequence[str], faults: list[str], name: str) -> Flood:
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "flood.py").write_text(PLUGIN, encoding="utf-8")
    config, server = home / "config.yaml", Server()
    config.write_text(
        CONFIG.format(port=server.port, plugins=home / "plugins", watch="false", state=home / "state"), "utf-8"
    )
    with config.open("a", encoding="utf-8") as more:
        more.write("reserve: false\n")  # or it would be seen to start in the middle
    with process(["-m", "bot", "run", "--config", str(config), *arguments], home / "log") as child:
        server.accept()
        try:
            _pour(server, WARM_UP, child.pid)
            found = Flood(lines, before=_calm(child.pid))
            answers = _pour(server, lines, child.pid, found)
            found.after = _calm(child.pid)
            _pour(server, lines, child.pid)
            found.again = _calm(child.pid)
        finally:
            server.close()
    wanted = [str(number) for number in range(lines // COMMAND_EVERY)]
    if answers != wanted:
        missing = len(set(wanted) - set(answers))
        faults.append(f"{name}: {missing} commands of {len(wanted)} not answered, {len(answers)} answers in all")
    return found


def _pour(server: Server, lines: int, pid: int, found: Flood | None = None) -> list[str]:
    """Say so many lines, and read what is answered; return the answers."""
    found = found or Flood(lines)
    asked: dict[str, float] = {}
    began = time.perf_counter()
    for start in range(0, lines, BATCH):
        if start % PING_EVERY == 0:
            server.send(b"PING :p%d" % start)
            asked[f"p{start}"] = time.perf_counter()
            found.peak = max(found.peak, _megabytes(pid))
        server.send(*(_line(number) for number in range(start, min(lines, start + BATCH))))
    found.seconds = time.perf_counter() - began
    server.send(b"PING :last")
    asked["last"] = time.perf_counter()
    answers: list[str] = []
    seconds = 30.0
    while asked or len(answers) < lines // COMMAND_EVERY:
        try:
            came, line = server.next(seconds)
        except Broken:
            break
        if line.startswith(b"PONG :"):
            found.pongs.append(came - asked.pop(line[6:].decode()))
            found.peak = max(found.peak, _megabytes(pid))
        elif line.startswith(b"PRIVMSG #bench :"):
            answers.append(line[16:].decode())
            found.answered_seconds = came - began
    return answers


def _line(number: int) -> bytes:
    if number % COMMAND_EVERY == COMMAND_EVERY - 1:
        return b":nick%d!user@host.example PRIVMSG #bench :!echo %d" % (number % 50, number // COMMAND_EVERY)
    return b":nick%d!user@host.example PRIVMSG #bench :line %d of what people say all day long, and on" % (
        number % 50,
        number,
    )


def _calm(pid: int) -> float:
    """Its memory when all is quiet."""
    time.sleep(CALM_SECONDS)
    return _megabytes(pid)


def _megabytes(pid: int) -> float:
    return sum(map(pss, family(pid))) / 1024
