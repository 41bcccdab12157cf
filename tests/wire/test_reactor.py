"""bot/wire/reactor.py: what the keeper says to the bot as a whole. With connections: test_connection.py and others."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

from bot.app import App
from bot.errors import StoreError
from bot.wire.link import Frame, MemoryLink
from bot.wire.reactor import Reactor

HELLO = Frame("hello", ("1", "boot", "64"))


class Book:
    """Whatever it is asked goes wrong, but the second thing is still asked for."""

    def __init__(self) -> None:
        self.asked = list[str]()

    def open(self, boot: str) -> None:
        self.asked.append(boot)
        raise StoreError("the disk is full")


async def test_credits_come_even_if_the_notes_of_workers_before_can_not_be_opened() -> None:
    """Else the bot would hear all and say nothing."""
    link = MemoryLink()
    reactor = Reactor(link.worker, kept=True)
    reactor.listen()
    rooms, read = list[int](), asyncio.Event()
    reactor.by_name["n"] = cast(Any, SimpleNamespace(outbox=SimpleNamespace(room=lambda _, lines: rooms.append(lines))))
    book, jobs = Book(), Book()
    app = SimpleNamespace(backend=SimpleNamespace(book=book), jobs=jobs)

    def booted(boot: str) -> None:
        App._booted(cast(App, app), boot)
        raise StoreError("whatever else")

    reactor.on_boot = booted
    reactor.when_heard(read.set)
    link.keeper.send(HELLO)
    link.keeper.send(Frame("marked", ("1",)))
    await asyncio.wait_for(read.wait(), 10)
    assert (reactor.window, rooms, book.asked, jobs.asked) == (64, [64], ["boot"], ["boot"])


async def test_what_is_handed_over_before_live_is_what_workers_before_have_left() -> None:
    link = MemoryLink()
    reactor = Reactor(link.worker, kept=True)
    reactor.listen()
    left, read = list[set[str]](), asyncio.Event()
    reactor.on_live = lambda: left.append(set(reactor.backlog))
    reactor.when_heard(read.set)
    for frame in (
        *(HELLO, Frame("line", ("gone", "7", "1"), b":x PING"), Frame("line", ("-", "t:a.b/1.000", "1"), b"")),
        *(Frame("live"), Frame("line", ("gone", "8", "0"), b":x PING"), Frame("marked", ("1",))),
    ):
        link.keeper.send(frame)
    await asyncio.wait_for(read.wait(), 10)
    assert (left, reactor.backlog) == ([{"7", "t:a.b/1.000"}], set())
