"""bot/live/history.py: what is written down of versions, and what a disk that fails costs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bot.dispatch.owner import Owner
from bot.errors import PluginError
from bot.live.discover import Source, Unit
from bot.live.history import (
    MAX_UNIT_BYTES,
    START,
    UNWRITTEN,
    VERSIONS_KEPT,
    History,
    Version,
    earlier,
    packed,
    unpacked,
)
from bot.live.loader import Image
from bot.live.outcome import START_FAILED, Commit, Failed
from bot.live.plan import Pin
from bot.storage import Backend


def unit(name: str, digest: str, content: bytes = b"x = 1\n", **more: Any) -> Unit:
    source = Source(f"plugins.{name}", f"/p/{name}.py", f"{name}.py", content, False)
    return Unit(name, {source.module: source}, digest, **more)


class Shelf:
    """A history of units that are committed by hand."""

    def __init__(self) -> None:
        self.backend, self.live, self.now = Backend.memory(), dict[str, Image](), 1000.0
        self.pins = self.backend.own("pins")
        self.generations: dict[str, int] = {}
        self.history = self.opened()

    def opened(self) -> History:
        return History(self.backend.versions, self.pins, lambda: self.live, lambda: self.now)

    def commit(self, *units: Unit, cause: str = "saved", imports: dict[str, set[str]] | None = None) -> None:
        new = {}
        for each in units:
            owner = None if each.name.startswith("_") else Owner(each.name, each.digest)
            if owner is not None:
                owner.generation = self.generations[each.name] = self.generations.get(each.name, 0) + 1
            new[each.name] = Image(each, {}, frozenset((imports or {}).get(each.name, ())), each.name, owner)
        before = {name: self.live[name] for name in new if name in self.live}
        self.live = {**self.live, **new}
        self.history.committed(Commit(new, before, frozenset(), cause))
        self.now += 1

    async def told(self, name: str) -> list[tuple[int, str, float, str, str]]:
        return [
            (each.generation, each.digest, each.at, each.cause, each.result)
            for each in await self.history.versions(name)
        ]

    def kept(self, name: str) -> list[str]:
        return [
            digest for (digest,) in self.backend.ask("SELECT digest FROM sources WHERE unit = ? ORDER BY rowid", name)
        ]


@pytest.fixture
async def shelf() -> AsyncIterator[Shelf]:
    shelf = Shelf()
    yield shelf
    await shelf.history.close()
    shelf.backend.close()


async def test_the_newest_comes_first(shelf: Shelf) -> None:
    shelf.commit(unit("weather", "a"))
    shelf.commit(unit("weather", "b"), cause="reload by alice")
    assert await shelf.told("weather") == [(2, "b", 1001.0, "reload by alice", ""), (1, "a", 1000.0, "saved", "")]
    assert await shelf.history.names() == ["weather"]


async def test_what_failed_is_told_with_why(shelf: Shelf) -> None:
    error = PluginError("weather", "weather.py", 3, "SyntaxError: x")
    shelf.history.failed(Failed(("weather", "other"), {"weather": unit("weather", "c")}, error, "saved"))
    assert await shelf.told("weather") == [(0, "c", 1000.0, "saved", "failed: weather.py:3: SyntaxError: x")]
    assert await shelf.told("other") == [(0, "", 1000.0, "saved", "failed: weather.py:3: SyntaxError: x")]


async def test_a_start_with_what_was_live_only_renews_its_row(shelf: Shelf) -> None:
    shelf.commit(unit("weather", "a"))
    shelf.commit(unit("weather", "a"), cause=START)
    assert await shelf.told("weather") == [(2, "a", 1000.0, "saved", "")]
    shelf.commit(unit("weather", "a"), cause="reload by alice")
    assert await shelf.told("weather") == [(3, "a", 1002.0, "reload by alice", "")]


async def test_another_shared_module_makes_another_version(shelf: Shelf) -> None:
    for digest in "ab":
        shelf.commit(unit("_common", digest), unit("p1", "p"), imports={"p1": {"_common"}})
    assert [each.imports for each in await shelf.history.versions("p1")] == [{"_common": "b"}, {"_common": "a"}]
    assert [each.generation for each in await shelf.history.versions("_common")] == [0, 0]


async def test_a_version_whose_start_failed_was_not_good(shelf: Shelf) -> None:
    shelf.commit(unit("weather", "a"))
    shelf.commit(unit("weather", "b"))
    shelf.generations["weather"] = 0
    shelf.commit(unit("weather", "a"), cause=START_FAILED)
    assert await shelf.told("weather") == [
        (2, "b", 1001.0, "saved", "its start failed"),
        (1, "a", 1000.0, "saved", ""),
    ]


async def test_what_is_judged_is_good_no_more(shelf: Shelf) -> None:
    shelf.commit(unit("weather", "a"))
    shelf.history.judge("weather", "a", "rolled back by alice")
    assert await shelf.told("weather") == [(1, "a", 1000.0, "saved", "rolled back by alice")]
    assert earlier(await shelf.history.versions("weather"), ()) == []


async def test_sources_come_back_byte_for_byte(shelf: Shelf) -> None:
    content = b"# coding: latin-1\r\nx = '\xe9'\x00\n"
    shelf.commit(unit("weather", "a", content))
    await shelf.history.written()
    assert await shelf.opened().unit("weather", "a") == unit("weather", "a", content)
    assert await shelf.history.unit("weather", "b") is None


def test_what_is_more_than_sources_is_not_kept() -> None:
    assert packed(unit("p", "a", native={"plugins.p.x": "/x.so"})) is None
    installed = unit("p", "a", roots=frozenset({"nq"}))
    content = packed(installed)
    assert content is not None and unpacked("p", "a", content) == installed


async def test_so_many_versions_are_kept_and_failures_push_out_none(shelf: Shelf) -> None:
    for n in range(VERSIONS_KEPT + 5):
        shelf.commit(unit("weather", f"d{n}"))
    for n in range(3 * VERSIONS_KEPT):
        failed = unit("weather", f"f{n}")
        shelf.history.failed(Failed(("weather",), {"weather": failed}, PluginError("weather", "w", 0, "x"), "saved"))
    versions = await shelf.history.versions("weather")
    assert len(earlier(versions, ())) == VERSIONS_KEPT + 5 and len(versions) == VERSIONS_KEPT + 5 + 2 * VERSIONS_KEPT
    assert shelf.kept("weather") == [f"d{n}" for n in range(5, VERSIONS_KEPT + 5)]


async def test_what_is_too_large_is_not_kept(shelf: Shelf) -> None:
    noise = bytes(hash((n, n * n)) % 251 for n in range(2 * MAX_UNIT_BYTES))
    shelf.commit(unit("weather", "a", noise))
    assert len(await shelf.told("weather")) == 1 and shelf.kept("weather") == []


async def test_what_the_disk_does_not_take_is_kept_in_memory_and_written_later(shelf: Shelf) -> None:
    shelf.commit(unit("weather", "a"))
    await shelf.history.written()
    shelf.backend.ask("PRAGMA query_only = 1")
    shelf.commit(unit("weather", "b", b"y = 1"))
    shelf.history.judge("weather", "a", "rolled back")
    assert [each[1:] for each in await shelf.told("weather")] == [("b", 1001.0, "saved", "")]
    assert await shelf.history.unit("weather", "b") == unit("weather", "b", b"y = 1")
    assert await shelf.history.names() == ["weather"]
    shelf.backend.ask("PRAGMA query_only = 0")
    shelf.commit(unit("weather", "c"))
    assert [each[1] for each in await shelf.told("weather")] == ["c", "b", "a"]
    assert shelf.kept("weather") == ["a", "b", "c"]


async def test_what_waits_for_the_disk_is_bounded(shelf: Shelf) -> None:
    shelf.backend.ask("PRAGMA query_only = 1")
    for n in range(UNWRITTEN + 10):
        shelf.commit(unit("weather", f"d{n}"))
    await shelf.history.written()
    assert len(await shelf.history.versions("weather")) == UNWRITTEN


async def test_a_store_that_is_closed_costs_an_empty_history(shelf: Shelf) -> None:
    shelf.backend.close()
    shelf.commit(unit("weather", "a"))
    assert len(await shelf.history.versions("weather")) == 1
    assert await shelf.history.pins() == {}


async def test_no_image_is_held(shelf: Shelf) -> None:
    shelf.commit(unit("weather", "a"))
    await shelf.history.written()
    assert not shelf.history._news and not shelf.history._notes


async def test_no_image_is_held_while_the_disk_hangs(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs, goes_on = threading.Event(), threading.Event()
    add = shelf.backend.versions.add

    def slowly(*row: Any) -> None:
        hangs.set()
        goes_on.wait(10)
        add(*row)

    monkeypatch.setattr(shelf.backend.versions, "add", slowly)
    shelf.commit(unit("weather", "a"))
    assert await asyncio.to_thread(hangs.wait, 10)
    shelf.commit(unit("weather", "b"))
    await asyncio.sleep(0)
    assert not shelf.history._news
    goes_on.set()
    assert [each[1] for each in await shelf.told("weather")] == ["b", "a"]


async def test_pins_are_kept_unless_they_stand_in_for_what_is_broken(shelf: Shelf) -> None:
    shelf.commit(unit("weather", "a"), unit("other", "a"))
    kept, passing = Pin(unit("weather", "a"), "b"), Pin(unit("other", "a"), "b", kept=False)
    shelf.history.pinned({"weather": kept, "other": passing})
    await shelf.history.written()
    assert await shelf.opened().pins() == {"weather": kept}
    shelf.history.pinned({})
    await shelf.history.written()
    assert await shelf.opened().pins() == {}


async def test_pins_that_the_disk_did_not_take_are_written_with_the_next_change(shelf: Shelf) -> None:
    shelf.commit(unit("weather", "a"))
    await shelf.history.written()
    shelf.backend.ask("PRAGMA query_only = 1")
    pin = Pin(unit("weather", "a"), "b")
    shelf.history.pinned({"weather": pin})
    await shelf.history.written()
    shelf.backend.ask("PRAGMA query_only = 0")
    shelf.commit(unit("weather", "a"))
    await shelf.history.written()
    assert await shelf.opened().pins() == {"weather": pin}


async def test_the_end_writes_what_is_left(shelf: Shelf) -> None:
    shelf.commit(unit("weather", "a"))
    await shelf.history.close()
    assert shelf.kept("weather") == ["a"]
    await asyncio.sleep(0)


def version(digest: str, result: str = "") -> Version:
    return Version("weather", 1, digest, 0.0, "saved", result, {})


def test_earlier_ones_are_good_and_each_content_once() -> None:
    rows = [version("c"), version("b", "failed"), version("a"), version("c"), version("d")]
    assert [each.digest for each in earlier(rows, {"a"})] == ["c", "d"]
