"""bot/live/tidy.py: old generations are collected in a quiet moment."""

from __future__ import annotations

import asyncio
import weakref

import pytest

from bot.live import tidy
from bot.live.tidy import Tidy


class Cycle:
    def __init__(self) -> None:
        self.me = self


async def test_what_ended_is_collected_after_a_quiet_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tidy, "QUIET_SECONDS", 0.0)
    cycle = Cycle()
    gone = asyncio.Event()
    seen = weakref.ref(cycle, lambda _: gone.set())
    del cycle
    Tidy().soon()
    await asyncio.wait_for(gone.wait(), 10)
    assert seen() is None


async def test_many_ends_are_one_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    collections: list[int] = []
    done = asyncio.Event()

    def collect() -> None:
        collections.append(1)
        done.set()

    monkeypatch.setattr(tidy, "QUIET_SECONDS", 0.0)
    monkeypatch.setattr("gc.collect", collect)
    one = Tidy()
    one.soon()
    one.soon()
    await asyncio.wait_for(done.wait(), 10)
    assert collections == [1]
