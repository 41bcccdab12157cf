"""Two who never stop while a case runs: one pings the bot, one asks all base plugins in turn, and counts the
answers."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Awaitable, Callable

from program import PATIENCE_SECONDS

from bot.protocol.message import Message
from bot.server import Client, Server

ASK_SECONDS, PING_SECONDS, PONG_SECONDS = 0.1, 0.2, 1.0

# What is asked, and what any version of the base plugins may answer.
ASKED = {
    "!hello": r"hello \S+",
    "!count": r"count \d+",
    "!slow 0": r"slow \S+ done",
    **{f"!p{number}": rf"p{number} \S+" for number in range(1, 6)},
}


async def _every(seconds: float, act: Callable[[], Awaitable[object]]) -> None:
    """Act again and again at a steady pace; a late act is not made up for."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        await act()
        due = max(due + seconds, loop.time())
        await asyncio.sleep(due - loop.time())  # the pace itself is the stimulus; nobody waits for it


async def end(task: asyncio.Task[None]) -> None:
    """End a task whatever became of it: its case has failed already, or has looked at it."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()  # or it would be told long after, while another test runs


class Pinger:
    """PINGs the bot from the server's side (invariant I1)."""

    def __init__(self, server: Server, nick: str) -> None:
        self._server, self._nick = server, nick
        self.task = asyncio.create_task(_every(PING_SECONDS, self._ping))

    async def _ping(self) -> None:
        await self._server.barrier(self._nick, PONG_SECONDS)

    async def stop(self) -> None:
        """End; raises what went wrong, a PING that was not answered in time above all."""
        while not self.task.done():
            self.task.cancel()  # again, if the first came as an answer did: then Python 3.11's `wait_for` swallows it
            await asyncio.wait({self.task}, timeout=PING_SECONDS)
        try:
            await self.task
        except asyncio.CancelledError:
            pass
        except TimeoutError:
            raise AssertionError(f"a PING was not answered within {PONG_SECONDS} s") from None


class Crowd:
    """Asks in private, so that its answers are nobody else's; each question must get exactly one (invariant I2)."""

    def __init__(self, client: Client, bot: str) -> None:
        self._client, self._bot = client, bot
        self._asked: dict[str, int] = dict.fromkeys(ASKED, 0)
        self._spared: set[str] = set()
        self._turn = itertools.cycle(ASKED)
        self.heard: list[str] = []
        self._more = asyncio.Event()
        client.on_line = self._hear
        self.task = asyncio.create_task(_every(ASK_SECONDS, self._ask))

    async def _ask(self) -> None:
        if self._spared >= set(ASKED):
            return
        question = next(each for each in self._turn if each not in self._spared)
        self._asked[question] += 1
        self._client.privmsg(self._bot, question)

    def _hear(self, line: str) -> None:
        message = Message.parse(line)
        if message.command in ("PRIVMSG", "NOTICE") and message.source and message.source.nick == self._bot:
            self.heard.append(message.param(1))
            self._more.set()

    async def spare(self, *questions: str) -> None:
        """Ask these no more: the case is about to take them away. Returns once they have all been answered."""
        self._spared |= set(questions)
        await self._answered()

    async def _answered(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(self.heard) < sum(self._asked.values()):
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"asked {self._asked}, heard {self.heard}") from None

    async def stop(self) -> None:
        """End; raises if a question got no answer, two, or one that is none of its plugin's."""
        self.task.cancel()
        await asyncio.wait({self.task})
        await self._answered()
        for question, answer in ASKED.items():
            count = sum(re.fullmatch(answer, each) is not None for each in self.heard)
            assert count == self._asked[question], f"{question} was asked {self._asked[question]} times: {self.heard}"
        assert len(self.heard) == sum(self._asked.values()), self.heard
