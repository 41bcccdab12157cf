"""A bot of twenty lines on the `irc` package: what a command costs at the least. `python -m benchmarks.bare KIND PORT`.

`aio` runs on the package's asyncio reactor, which neverquit is built on, `select` on its own loop.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import irc.client
import irc.client_aio


def joined(connection: Any, event: Any) -> None:
    connection.join("#bench")


def answer(connection: Any, event: Any) -> None:
    command, _, rest = event.arguments[0].partition(" ")
    if command in ("!echo", "!plain"):
        connection.privmsg(event.target, rest)


def main(kind: str, port: int) -> None:
    """Run until the end of the process."""
    loop = asyncio.new_event_loop()
    reactor = irc.client_aio.AioReactor(loop=loop) if kind == "aio" else irc.client.Reactor()
    connection = reactor.server()
    connection.add_global_handler("welcome", joined)
    connection.add_global_handler("pubmsg", answer)
    connecting = connection.connect("127.0.0.1", port, kind)
    if kind == "aio":
        loop.run_until_complete(connecting)
    reactor.process_forever()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
