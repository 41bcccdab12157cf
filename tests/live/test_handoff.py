"""bot/live/handoff.py: what one version hands to the next, and the hooks of its life."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from sources import unit

from bot.api import kept
from bot.api.declare import Hook
from bot.api.kept import keep
from bot.dispatch.owner import Owner, current
from bot.dispatch.relay import Relay
from bot.dispatch.table import Handler
from bot.errors import PluginError
from bot.live.compiled import compile_unit
from bot.live.declared import Found
from bot.live.handoff import Shelf, Staging, run_hooks
from bot.live.loader import Image
from bot.storage import Backend


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    backend = Backend.memory()
    yield Shelf(backend)
    backend.close()


def staging(shelf: Shelf, **states: str) -> Staging:
    return Staging(shelf, states)


# --- keep


def test_a_new_value_is_kept_by_the_commit_only(shelf: Shelf) -> None:
    failed = staging(shelf)
    failed.keep("weather", "asked", dict)
    assert shelf.values == {}
    taken = staging(shelf)
    value = taken.keep("weather", "asked", dict)
    taken.commit()
    assert shelf.values["weather"]["asked"] is value


def test_the_next_version_finds_the_same_object(shelf: Shelf) -> None:
    first, second = staging(shelf), staging(shelf)
    value = first.keep("weather", "asked", dict)
    first.commit()
    assert second.keep("weather", "asked", dict) is value
    assert (first.state_of("weather"), second.state_of("weather")) == ("", "kept")


def test_within_one_build_a_name_is_one_object(shelf: Shelf) -> None:
    one = staging(shelf)
    assert one.keep("weather", "asked", dict) is one.keep("weather", "asked", dict)


def test_state_follows_its_name_over_a_renamed_file(shelf: Shelf) -> None:
    first, second = staging(shelf, old="state"), staging(shelf, new="state")
    value = first.keep("old", "asked", dict)
    first.commit()
    assert second.keep("new", "asked", dict) is value


def test_a_handler_that_asks_while_it_runs_gets_the_kept_value(shelf: Shelf) -> None:
    first = staging(shelf)
    value = first.keep("weather", "asked", dict)
    first.commit()
    assert shelf.keep("weather", "asked", dict) is value


def test_a_handler_finds_the_state_under_its_name(shelf: Shelf) -> None:
    """`STATE_NAME` holds for a handler that asks while it runs, too."""
    first = staging(shelf, weather="state")
    value = first.keep("weather", "asked", dict)
    first.store("weather", "points", "bot").write("", "x", "1")
    first.commit()
    assert shelf.keep("weather", "asked", dict) is value
    assert shelf.store("weather", "points", "bot").read("", "x") == "1"


def test_after_the_commit_a_task_of_setup_keeps_on_the_shelf(shelf: Shelf) -> None:
    first = staging(shelf, weather="state")
    first.commit()
    assert first.keep("weather", "asked", dict) is shelf.values["state"]["asked"]


def test_values_of_a_plugin_that_went_stay_for_two_commits(shelf: Shelf) -> None:
    shelf.keep("weather", "asked", dict)
    shelf.committed({"weather"})
    shelf.committed(set())
    shelf.committed(set())
    assert "weather" in shelf.values
    shelf.committed(set())
    assert "weather" not in shelf.values


def test_a_plugin_that_comes_back_in_time_loses_nothing(shelf: Shelf) -> None:
    value = shelf.keep("weather", "asked", dict)
    for live in (set[str](), {"weather"}, set[str](), set[str]()):
        shelf.committed(live)
    assert shelf.values["weather"]["asked"] is value


# --- names that are no longer asked for


def version(shelf: Shelf, text: str, *names: str) -> Staging:
    """Commit a version that asks for these names."""
    made = Staging(shelf, {"weather": "weather"}, {"weather": compile_unit(unit("weather", text))})
    for name in names:
        made.keep("weather", name, list)
    made.commit()
    return made


def test_a_name_that_is_no_longer_asked_for_is_kept_until_the_commit_after_next(shelf: Shelf) -> None:
    version(shelf, "", "asked", "other")
    value = shelf.values["weather"]["asked"]
    version(shelf, "", "other")
    version(shelf, "", "other")
    assert shelf.values["weather"]["asked"] is value
    version(shelf, "", "other")
    assert list(shelf.values["weather"]) == ["other"]


def test_a_name_that_comes_back_in_time_is_as_it_was(shelf: Shelf) -> None:
    version(shelf, "", "asked")
    value = shelf.values["weather"]["asked"]
    for names in ((), (), ("asked",), (), ()):
        version(shelf, "", *names)
    assert shelf.values["weather"]["asked"] is value


def test_a_name_that_only_a_handler_asks_for_is_kept(shelf: Shelf) -> None:
    """By having asked for it, or by standing in the source."""
    for name in ("asked", "later", "gone"):
        shelf.keep("weather", name, list)
    for _ in range(3):
        version(shelf, "def f(ctx): return keep('later', list)")
        shelf.keep("weather", "asked", list)
    assert sorted(shelf.values["weather"]) == ["asked", "later"]


def test_dropping_takes_one_value_or_all_with_their_version(shelf: Shelf) -> None:
    version(shelf, "STATE_VERSION = 3", "a", "b")
    assert shelf.drop("weather", "nothing") == []
    assert shelf.drop("weather", "a") == ["a"] and shelf.versions["weather"] == 3
    assert shelf.drop("weather") == ["b"] and "weather" not in shelf.versions


# --- store


def test_a_store_is_found_under_the_name_of_the_state(shelf: Shelf) -> None:
    staging(shelf, old="state").store("old", "points", "bot").write("", "x", "1")
    assert staging(shelf, new="state").store("new", "points", "bot").read("", "x") == "1"
    assert staging(shelf).store("new", "points", "bot").read("", "x") is None


# --- hooks


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    yield made
    made.stop()


def image(*functions: Callable[..., Any], kind: str = "setup") -> Image:
    owner = Owner("weather")
    hooks = tuple(
        Handler("weather", f"weather.{f.__name__}", f, Hook("setup"), owner, asyncio.iscoroutinefunction(f), line=7)
        for f in functions
    )
    return Image(unit("weather"), {}, frozenset(), "weather", owner, Found(hooks={kind: hooks}))


async def run(made: Image, relay: Relay, deadline: float = 5.0, kind: str = "setup") -> None:
    context: Any = lambda owner, key: SimpleNamespace(owner=owner, key=key)  # noqa: E731  # shorter than the rest
    await run_hooks(kind, made, context, relay, deadline)


async def test_hooks_run_in_their_order_with_a_context(relay: Relay) -> None:
    ran: list[str] = []

    def first(ctx: Any) -> None:
        ran.append(ctx.key)

    async def second(ctx: Any) -> None:
        ran.append(ctx.key)

    await run(image(first, second), relay)
    assert ran == ["weather.first", "weather.second"]


async def test_hooks_of_another_kind_do_not_run(relay: Relay) -> None:
    ran: list[str] = []

    def last(ctx: Any) -> None:
        ran.append("teardown")

    await run(image(last, kind="teardown"), relay)
    assert ran == []


async def test_a_hook_runs_as_its_plugin(relay: Relay) -> None:
    seen: list[Owner | None] = []

    def plain(ctx: Any) -> None:
        seen.append(current.get())

    async def slow(ctx: Any) -> None:
        seen.append(current.get())

    made = image(plain, slow)
    await run(made, relay)
    assert seen == [made.owner, made.owner] and current.get() is None


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_what_setup_keeps_is_kept_by_the_commit_only(relay: Relay, shelf: Shelf, kind: str) -> None:
    def plain(ctx: Any) -> None:
        keep("asked", dict)

    async def slow(ctx: Any) -> None:
        keep("asked", dict)

    one = staging(shelf)
    context: Any = lambda owner, key: SimpleNamespace(owner=owner, key=key)  # noqa: E731  # shorter than the rest
    await run_hooks("setup", image(plain if kind == "def" else slow), context, relay, 5.0, one)
    assert shelf.values == {} and kept.shelf.get() is not one
    one.commit()
    assert shelf.values == {__name__: {"asked": {}}}


async def test_a_plain_hook_runs_off_the_loop(relay: Relay) -> None:
    seen: list[int] = []

    def plain(ctx: Any) -> None:
        seen.append(threading.get_ident())

    await run(image(plain), relay)
    assert seen != [threading.get_ident()]


@pytest.mark.parametrize(
    "error",
    [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError(), BaseException()],
)
@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_whatever_a_hook_raises_is_a_fault_of_the_plugin(relay: Relay, error: BaseException, kind: str) -> None:
    def plain(ctx: Any) -> None:
        raise error

    async def slow(ctx: Any) -> None:
        raise error

    with pytest.raises(PluginError) as caught:
        await run(image(plain if kind == "def" else slow), relay)
    assert str(caught.value).startswith(f"weather.py:7: setup: {type(error).__name__}")


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_hook_that_takes_too_long_is_ended(relay: Relay, kind: str) -> None:
    def plain(ctx: Any) -> None:
        while True:
            threading.Event().wait(0.001)

    async def slow(ctx: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(PluginError) as caught:
        await run(image(plain if kind == "def" else slow), relay, 0.02)
    assert str(caught.value) == "weather.py:7: setup took longer than 0.02 s"


async def test_after_one_that_fails_the_others_do_not_run(relay: Relay) -> None:
    ran: list[str] = []

    def first(ctx: Any) -> None:
        raise ValueError("x")

    def second(ctx: Any) -> None:
        ran.append("second")

    with pytest.raises(PluginError):
        await run(image(first, second), relay)
    assert ran == []


async def test_being_cancelled_from_outside_is_no_fault_of_the_plugin(relay: Relay) -> None:
    begun = asyncio.Event()

    async def slow(ctx: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(run(image(slow), relay))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
