"""bot/live/tidy.py: old generations are collected in a quiet moment."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Optional

import pytest

from bot.live.tidy import Tidy, collect


class Cycle:
    def __init__(self) -> None:
        self.me = self


def at_once() -> float:
    return 0.0


async def test_what_ended_is_collected_after_a_quiet_moment() -> None:
    cycle = Cycle()
    gone = asyncio.Event()
    seen = weakref.ref(cycle, lambda _: gone.set())
    del cycle
    Tidy(at_once).soon()
    await asyncio.wait_for(gone.wait(), 10)
    assert seen() is None


async def test_many_ends_are_one_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    collections: list[int] = []
    done = asyncio.Event()

    def collect() -> None:
        collections.append(1)
        done.set()

    monkeypatch.setattr("gc.collect", collect)
    one = Tidy(at_once)
    one.soon()
    one.soon()
    await asyncio.wait_for(done.wait(), 10)
    assert collections == [1]


async def test_it_collects_again_as_long_as_something_is_looked_for() -> None:
    waits: list[float | None] = [0.0, 0.0, None]
    done = asyncio.Event()

    def look() -> float | None:
        wait = waits.pop(0)
        if not waits:
            done.set()
        return wait

    Tidy(at_once, look).soon()
    await asyncio.wait_for(done.wait(), 10)
    assert waits == []


def test_typing_keeps_no_old_class() -> None:
    """The borrowed name `typing._cleanups` is there and does what it is for."""
    old = type("Old", (), {})
    seen = weakref.ref(old)
    Optional[old]  # noqa: UP045  # it is what is remembered
    del old
    gc.collect()
    assert seen() is not None  # or there is nothing left to do for us
    collect()
    assert seen() is None
