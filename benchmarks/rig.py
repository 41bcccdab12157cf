"""The processes of a measurement, and the one who asks.

Every process that is started here is ended here, by its id, whatever happens. The asker is a blocking socket on the
relay and also the one who saves files, so both moments are read from one clock, and neither in the bot's process.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.vitals import family, pss

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 10.0

CONFIG = """\
nick: neverquit
admins: [{{hostmask: "*!*@bench.test"}}]
networks:
  bench:
    host: 127.0.0.1
    port: {port}
    tls: false
    flood: false
    channels: ["#bench"]
plugins: {{directories: [{plugins}]}}
reload: {{watch: {watch}, report_to: "#ops"}}
state_dir: {state}
"""


class Broken(Exception):
    """A measurement that can't be made: an answer did not come, a process ended."""


@contextlib.contextmanager
def process(
    arguments: Sequence[str],
    log: Path | None = None,
    piped: bool = False,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run `python ARGUMENTS` for the length of a block.

    Args:
        log: where its standard error goes; nowhere by default. piped: give its standard input and output.
        environment: what is set besides.
        folder: where it runs.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(environment or {})}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # a stale bytecode file is one of the ways to serve old code
    with (log or Path(os.devnull)).open("wb") as errors:
        child = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else errors,
            stderr=errors,
        )
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


@contextlib.contextmanager
def relay() -> Iterator[int]:
    """Run the relay for the length of a block; give its port."""
    with process(["-m", "benchmarks.relay"], piped=True) as child:
        assert child.stdout is not None
        yield int(child.stdout.readline())


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, the text and when it was asked for and came, on the machine's monotonic clock."""

    text: bytes
    asked: float
    came: float


class Asker:
    """Somebody in the channel: a blocking socket.

    Attributes:
        reports: the lines that told of reloads, as they came; the relay passes them on like everything else.
    """

    def __init__(self, port: int) -> None:
        self._sock = socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        self._lines: list[bytes] = []
        self.reports: list[str] = []
        self._patience = PATIENCE_SECONDS
        self._sock.sendall(b"NICK asker\r\nUSER asker 0 * :asker\r\nJOIN #bench\r\n")
        self.wait(b" 366 ")

    def close(self) -> None:
        self._sock.close()

    def say(self, *texts: str) -> None:
        """Say lines, all in one write."""
        self._sock.sendall(b"".join(b"PRIVMSG #bench :%b\r\n" % text.encode() for text in texts))

    def line(self) -> bytes:
        """Wait for the next line.

        Raises:
            Broken: none came within 10 s.
        """
        while not self._lines:
            try:
                data = self._sock.recv(1 << 18)
            except TimeoutError:
                data = b""
            if not data:
                raise Broken(f"no answer within {PATIENCE_SECONDS:g} s")
            *self._lines, self._rest = (self._rest + data).split(b"\r\n")
            self._lines.reverse()
        line = self._lines.pop()
        if b" PRIVMSG #ops :" in line:
            self.reports.append(line.partition(b" PRIVMSG #ops :")[2].decode())
        return line

    def wait(self, part: bytes) -> bytes:
        """Wait for a line that holds these bytes."""
        while part not in (line := self.line()):
            pass
        return line

    def ask(self, text: str) -> bytes:
        """Say a line and wait for the next one that is said in the channel; return its text."""
        self.say(text)
        return self.answer()

    def answer(self) -> bytes:
        """Wait for the next thing that is said in the channel."""
        return self.wait(b" PRIVMSG #bench ").partition(b" :")[2]

    @contextlib.contextmanager
    def patient(self, seconds: float) -> Iterator[None]:
        """Let `poll` wait this long, for the length of a block."""
        before, self._patience = self._patience, seconds
        try:
            yield
        finally:
            self._patience = before

    def poll(self, question: str, until: Callable[[Answer], bool], every_seconds: float) -> list[Answer]:
        """Ask the same thing at a steady pace, answered or not, until an answer is as wanted; return all answers.

        Raises:
            Broken: none was, within 10 s.
        """
        asked: list[float] = []
        found: list[Answer] = []
        due = began = time.perf_counter()
        wanted = False
        while not wanted or len(found) < len(asked):
            now = time.perf_counter()
            if now > began + self._patience:
                raise Broken(f"{question} was never answered as wanted; {found[-1:]}, {self.reports[-3:]}")
            if not wanted and now >= due:
                self.say(question)
                asked.append(now)
                due = max(due + every_seconds, now)
            wait = PATIENCE_SECONDS if wanted else max(0.0, due - time.perf_counter())
            if not self._lines and not select.select([self._sock], [], [], wait)[0]:
                continue
            line = self.line()
            if b" PRIVMSG #bench " in line:
                found.append(Answer(line.partition(b" :")[2], asked[len(found)], time.perf_counter()))
                wanted = wanted or until(found[-1])
        return found


@contextlib.contextmanager
def asker(port: int) -> Iterator[Asker]:
    """Be in the channel for the length of a block."""
    one = Asker(port)
    try:
        yield one
    finally:
        one.close()


class Running:
    """A bot that has joined.

    Attributes:
        seconds: from the start of its process to its JOIN.
    """

    def __init__(self, child: subprocess.Popen[bytes], seconds: float) -> None:
        self.pid, self.seconds = child.pid, seconds

    def megabytes(self) -> float:
        """The memory it has for itself, shared pages in part (PSS), with its children."""
        return sum(map(pss, family(self.pid))) / 1024


@contextlib.contextmanager
def running(
    arguments: Sequence[str],
    nick: str,
    asker: Asker,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Running]:
    """Run a bot for the length of a block, which begins when it has joined."""
    began = time.perf_counter()
    with process(arguments, log, environment=environment) as child:
        try:
            asker.wait(f":{nick}!{nick}@bench.test JOIN".encode())
        except Broken:
            words = log.read_text(errors="replace")[-2000:] if log else ""
            raise Broken(f"{' '.join(arguments)} did not join; {words}") from None
        yield Running(child, time.perf_counter() - began)


@contextlib.contextmanager
def neverquit(
    home: Path,
    port: int,
    asker: Asker,
    *,
    watch: bool = True,
    module: str = "bot",
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Iterator[Running]:
    """Run the program on the plugins in `home/plugins` for the length of a block.

    Args:
        module: what is run as `python -m MODULE run`.
        environment: what is set besides.
        arguments: more of the command line.
    """
    config = home / "config.yaml"
    config.write_text(
        CONFIG.format(port=port, plugins=home / "plugins", watch=str(watch).lower(), state=home / "state")
    )
    with running(
        ["-m", module, "run", "--config", str(config), *arguments], "neverquit", asker, home / "log", environment
    ) as bot:
        yield bot
