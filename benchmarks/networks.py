"""One bot on fifty networks, beside the same bot on one: its start, its memory, and a command's round trip.

Each network is a socket in this process, with a nick and a prefix of its own. The servers are let in one after another,
so the last join is that of all fifty.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Table, median, milliseconds, percentile
from benchmarks.flood import PLUGIN, Server
from benchmarks.rig import Broken, process
from benchmarks.vitals import family, pss

ONE, MANY = 1, 50
CALM_SECONDS = 3.0  # the memory is looked at when the start is over
IN_A_ROW = 20  # questions on one network before the next one has its turn
CONFIG = """\
plugins: {{directories: [{plugins}]}}
reload: {{watch: false}}
state_dir: {state}
networks:
"""
NETWORK = """\
  net{number}:
    host: 127.0.0.1
    port: {port}
    tls: false
    flood: false
    nick: bot{number}
    prefix: "!{number}."
    channels: ["#bench"]
"""


def beside(scratch: Path, starts: int, questions: int) -> Iterator[Table]:
    """Measure both, in turns."""
    columns = ("starts", "ms to first join", "ms to last", "MB (PSS)", "round trip p50 ms", "p99")
    table = Table("networks in one bot", columns)
    for count in (ONE, MANY):
        first, last, memory, seconds = list[float](), list[float](), list[float](), list[float]()
        for start in range(starts):
            home = scratch / f"networks-{count}-{start}"
            _measured(home, count, questions, first, last, memory, seconds)
        table.rows.append(
            (
                str(count),
                str(starts),
                f"{median(first) * 1e3:.0f}",
                f"{median(last) * 1e3:.0f}",
                f"{median(memory):.1f}",
                milliseconds(median(seconds)),
                milliseconds(percentile(seconds, 99)),
            )
        )
    yield table


def _measured(
    home: Path,
    count: int,
    questions: int,
    first: list[float],
    last: list[float],
    memory: list[float],
    seconds: list[float],
) -> None:
    (home / "plugins").mkdir(parents=True)
    (home / "plugins" / "asked.py").write_text(PLUGIN, encoding="utf-8")
    servers = [Server(f"bot{number}") for number in range(count)]
    config = home / "config.yaml"
    networks = "".join(NETWORK.format(number=number, port=server.port) for number, server in enumerate(servers))
    config.write_text(CONFIG.format(plugins=home / "plugins", state=home / "state") + networks, encoding="utf-8")
    began = time.perf_counter()
    with process(["-m", "bot", "run", "--config", str(config)], home / "log") as child:
        try:
            for number, server in enumerate(servers):
                server.accept()
                if number == 0:
                    first.append(time.perf_counter() - began)
            last.append(time.perf_counter() - began)
            for number, server in enumerate(servers):
                _ask(server, number, "warm")
            time.sleep(CALM_SECONDS)
            memory.append(sum(map(pss, family(child.pid))) / 1024)
            for question in range(questions):
                number = question // IN_A_ROW % count
                asked = time.perf_counter()
                seconds.append(_ask(servers[number], number, str(question)) - asked)
        finally:
            for server in servers:
                server.close()


def _ask(server: Server, number: int, text: str) -> float:
    """Ask on one network; return when the answer came."""
    server.send(f":you!u@host.example PRIVMSG #bench :!{number}.echo {text}".encode())
    while True:
        came, line = server.next()
        if line == f"PRIVMSG #bench :{text}".encode():
            return came
        if line.startswith(b"PRIVMSG"):
            raise Broken(f"network {number} answered {line!r} to {text}")
