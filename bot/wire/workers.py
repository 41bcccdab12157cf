"""A worker's process as the keeper sees it: how it is started, and all that is known of it.

A part of the keeper (standard library only). What is done with it, and what its end means, is `supervisor.py`'s.
"""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Sequence
from typing import IO

from bot import atwork
from bot.wire.link import Frame
from bot.wire.socketlink import SocketEnd


class Worker:
    """One worker process and our end of its link."""

    def __init__(self, pid: int, link: SocketEnd, stacks: IO[bytes], now: float) -> None:
        self.pid, self.link, self.stacks, self.started = pid, link, stacks, now
        self.ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()  # the status of `waitpid`
        self.ready = False
        self.spoken = False
        self.stopped = False  # by SIGSTOP or a debugger
        self.silent = False  # it is being killed for its silence
        self.witness: atwork.Witness | None = None  # of what it did then
        self.retired = False  # it has handed over to a successor
        self.told: list[Frame] = []  # about those before it


async def start(command: Sequence[str], now: float) -> Worker:
    """Start one, in a session of its own; the descriptors that it inherits are its last arguments.

    Raises:
        OSError: it can't be started.
    """
    ours, its = socket.socketpair()
    stacks = atwork.paper()  # it lives as long as the worker
    try:
        link = await SocketEnd.over(ours)  # first: between its start and its place in a list nothing may be awaited
        try:
            given = [its.fileno(), stacks.fileno()]
            child = subprocess.Popen(  # noqa: ASYNC220  # 2 ms, which no PING notices
                [*command, "--stacks", str(stacks.fileno()), str(its.fileno())],
                pass_fds=given,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            link.abort()
            raise
    except BaseException:
        ours.close()
        stacks.close()
        raise
    finally:
        its.close()
    child.returncode = 0  # its end is heard of by who reaps all children
    return Worker(child.pid, link, stacks, now)
