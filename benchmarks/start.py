"""How long the bot takes from its start to its JOIN, and the memory that it has then."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks import sources
from benchmarks.figures import Table, median, ratio
from benchmarks.rig import Running, asker, neverquit, relay, running

PLUGINS = (1, 100)


def started(scratch: Path, starts: int) -> Iterator[Table]:
    """Start it so many times, in turn with the bare bot."""
    table = Table("start to joined", ("plugins", "starts", "ms", "x aio", "MB (PSS)"))
    seconds: dict[str, list[float]] = {}
    memory: dict[str, list[float]] = {}

    def note(name: str, bot: Running) -> None:
        time.sleep(0.1)  # the answers to its JOIN are still coming
        seconds.setdefault(name, []).append(bot.seconds)
        memory.setdefault(name, []).append(bot.megabytes())

    homes = {str(plugins): scratch / f"start-{plugins}" for plugins in PLUGINS}
    for plugins, home in homes.items():
        sources.write_all(home / "plugins", int(plugins))
    with relay() as port, asker(port) as who:
        for _ in range(starts):
            with running(["-m", "benchmarks.bare", "aio", str(port)], "aio", who) as bot:
                note("-", bot)
            for plugins, home in homes.items():
                with neverquit(home, port, who) as bot:
                    note(plugins, bot)
    for plugins, each in seconds.items():
        name = "bare irc, aio" if plugins == "-" else "neverquit"
        slower = ratio(median(each), median(seconds["-"]))
        cells = (str(starts), f"{median(each) * 1e3:.0f}", slower, f"{median(memory[plugins]):.1f}")
        table.rows.append((name, plugins, *cells))
    yield table
