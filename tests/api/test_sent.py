"""bot/api/sent.py: waiting for room, and learning how a text fared."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from typing import Any

import pytest

from bot.api.sent import Sent

Tell = Callable[[bool | None, str], object]


class Line(Awaitable[bool]):
    """A line on a network that tells how lines fare; `fare` is what it says."""

    def __init__(self, *fared: bool | None) -> None:
        self.fared, self.tells = list(fared), list[Tell]()

    def then(self, tell: Tell) -> None:
        for each in self.fared:
            tell(each, "")
        self.tells.append(tell)

    def __await__(self) -> Generator[Any, None, bool]:
        yield from ()
        return True


def sent(*lines: Any) -> Sent:
    made = Sent(asyncio.get_running_loop(), threading.get_ident())
    made.lines += lines
    return made


async def test_awaiting_waits_for_room_for_the_last_line() -> None:
    room: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    async def wait() -> None:
        await sent(Line(), room, None)

    waiting = asyncio.create_task(wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    room.set_result(True)
    await waiting
    await Sent()


@pytest.mark.parametrize(
    ("lines", "fared"),
    [
        ([Line(True)], True),
        ([Line(True), Line(True)], True),
        ([Line(True), Line(False)], False),
        ([Line(None), Line(False)], False),
        ([Line(True), Line(None)], None),
    ],
)
async def test_a_text_was_delivered_if_all_of_its_lines_were(lines: list[Line], fared: bool | None) -> None:
    assert await sent(*lines).delivered() is fared


async def test_what_nobody_tells_of_is_none_at_once() -> None:
    assert await sent().delivered() is None
    assert await sent(None).delivered() is None
    assert await sent(Line(True), None).delivered() is None
    assert await sent(asyncio.get_running_loop().create_future()).delivered() is None
    assert await Sent().delivered() is None


async def test_what_was_dropped_is_known_everywhere() -> None:
    class Dropped(Awaitable[bool]):
        def __await__(self) -> Generator[Any, None, bool]:
            yield from ()
            return False

    assert await sent(None, Dropped()).delivered() is False


async def test_an_answer_that_does_not_come_in_time_is_none_and_may_come_later() -> None:
    line = Line()
    assert await sent(line).delivered(0) is None
    for tell in line.tells:
        tell(True, "")


async def test_it_is_told_when_the_answer_comes() -> None:
    line = Line()
    asking = asyncio.ensure_future(asyncio.wait_for(sent(line).delivered(), 5))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not asking.done()
    line.tells[0](True, "")
    assert await asking is True


async def test_a_thread_may_wait_for_it() -> None:
    whole = sent(Line(True))
    assert await asyncio.to_thread(whole.delivered().wait) is True
    assert await asyncio.to_thread(Sent().delivered().wait) is None


async def test_a_loop_of_another_thread_may_await_it() -> None:
    whole = sent(Line(False))

    async def ask() -> bool | None:
        return await whole.delivered()

    assert await asyncio.to_thread(lambda: asyncio.run(ask())) is False


async def test_waiting_in_the_thread_of_the_loop_is_refused_with_words() -> None:
    with pytest.raises(RuntimeError, match="await ctx"):
        sent(Line(True)).delivered().wait()
