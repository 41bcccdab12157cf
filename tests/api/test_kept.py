"""bot/api/kept.py: `keep` and `store` as plugins call them, on plain memory and on a shelf."""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.api import kept
from bot.api.kept import Memory, Per, Rows, Store, keep, shelf, store


@dataclass
class Network:
    name: str = "libera"

    def fold(self, text: str) -> str:
        return text.lower().replace("[", "{")


@dataclass
class User:
    nick: str = "Bob[x]"
    account: str | None = None


@dataclass
class Ctx:
    network: Network | None = field(default_factory=Network)
    channel: str | None = "#Chan[1]"
    user: User | None = field(default_factory=User)


class TestShelf:
    """A shelf that writes down what it is asked for."""

    __test__ = False

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.objects: dict[tuple[str, str], Any] = {}

    def keep(self, plugin: str, name: str, factory: Callable[[], Any]) -> Any:
        self.asked.append((plugin, name))
        return self.objects.setdefault((plugin, name), factory())

    def store(self, plugin: str, name: str, per: Per) -> Rows:
        self.asked.append((plugin, name))
        return Memory()


@pytest.fixture
def a_shelf() -> Iterator[TestShelf]:
    made = TestShelf()
    token = shelf.set(made)
    yield made
    shelf.reset(token)


def in_module(name: str, source: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": name, "keep": keep, "store": store}
    exec(source, names)
    return names


def made(per: Per = "bot") -> Store:
    return Store("points", per, Memory())


# --- keep


def test_keep_gives_the_same_object_to_every_generation() -> None:
    first = in_module("plugins.weather", "asked = keep('asked', dict)")["asked"]
    assert in_module("plugins.weather", "asked = keep('asked', dict)")["asked"] is first
    assert in_module("plugins.other", "asked = keep('asked', dict)")["asked"] is not first


@pytest.mark.parametrize(
    ("module", "plugin"),
    [
        ("plugins.weather", "weather"),
        ("plugins.pkg.sub.deep", "pkg"),
        ("plugins._common", "_common"),
        ("__main__", "__main__"),
        ("pluginsx.y", "pluginsx.y"),
    ],
)
def test_the_plugin_is_the_calling_module(a_shelf: TestShelf, module: str, plugin: str) -> None:
    in_module(module, "keep('a', dict); store('b')")
    assert a_shelf.asked == [(plugin, "a"), (plugin, "b")]


@pytest.mark.parametrize(
    "value",
    ["", 0, 0.0, True, None, (), frozenset(), b"", enum.Enum("Colour", "RED").RED],  # type: ignore[attr-defined]
)
def test_keep_refuses_what_cannot_change(a_shelf: TestShelf, value: object) -> None:
    with pytest.raises(TypeError, match=r"keep a dict or list and change it in place"):
        keep("asked", lambda: value)
    assert a_shelf.objects == {}


def test_keep_wants_the_factory_not_its_result() -> None:
    with pytest.raises(TypeError, match=r'takes what makes the value: keep\("asked", dict\)'):
        keep("asked", {})  # type: ignore[arg-type]


# --- store: parts


def test_a_store_per_bot_is_a_mapping_and_its_part_is_itself() -> None:
    points = made()
    points["x"] = 1
    assert dict(points) == {"x": 1}
    assert points[Ctx()]["x"] == 1
    assert points[Ctx(network=None, channel=None, user=None)]["x"] == 1


@pytest.mark.parametrize(
    ("per", "ctx", "part"),
    [
        ("network", Ctx(), "libera"),
        ("channel", Ctx(), "libera/#chan{1]"),
        ("channel", Ctx(channel=None), "libera/nick:bob{x]"),
        ("user", Ctx(), "libera/nick:bob{x]"),
        ("user", Ctx(user=User(account="Alice")), "libera/account:alice"),
        ("channel", Ctx(channel=None, user=User(account="Alice")), "libera/account:alice"),
    ],
)
def test_ctx_picks_the_part_with_folded_names(per: Per, ctx: Ctx, part: str) -> None:
    assert kept.part_of(ctx, per) == part


def test_parts_do_not_see_each_other() -> None:
    points = made("user")
    points[Ctx()]["x"] = 1
    assert points[Ctx(user=User("bob{x]"))]["x"] == 1
    assert len(points[Ctx(user=User("carol"))]) == 0
    assert len(points[Ctx(user=User(account="bob[x]"))]) == 0, "a nick proves no account"
    assert len(points[Ctx(network=Network("oftc"))]) == 0


@pytest.mark.parametrize("per", ["network", "channel", "user"])
def test_where_there_is_no_such_part_it_says_so(per: Per) -> None:
    with pytest.raises(LookupError, match=f"per {per} was asked for where there is no {per}"):
        made(per)[Ctx(network=None, channel=None, user=None)]


def test_a_store_of_parts_is_no_mapping_itself() -> None:
    for use in (lambda s: s["x"], lambda s: s.add("x"), len, list, lambda s: s.update(x=1)):
        with pytest.raises(TypeError, match=r"`points` is kept per user: write `points\[ctx\]` first"):
            use(made("user"))


def test_a_part_has_no_parts() -> None:
    with pytest.raises(TypeError, match="one part of `points` already"):
        made("user")[Ctx()][Ctx()]


def test_per_is_one_of_four() -> None:
    with pytest.raises(ValueError, match="per must be one of bot, network, channel, user"):
        store("points", per="users")  # type: ignore[arg-type]


# --- store: a mapping of JSON values


def test_keys_are_text() -> None:
    with pytest.raises(TypeError, match=r"keys of `points` are text, not int: write str\(key\)"):
        made()[5]  # type: ignore[index]
    with pytest.raises(TypeError, match="half a character"):
        made()["\ud800"] = 1


def test_a_value_that_is_not_json_is_refused_and_the_old_stays() -> None:
    points = made()
    points["x"] = 1
    with pytest.raises(TypeError, match="the value is set"):
        points["x"] = {1}
    assert points["x"] == 1


def test_what_is_read_is_read_only() -> None:
    points = made()
    points["x"] = {"names": []}
    with pytest.raises(TypeError, match="read-only"):
        points["x"]["names"].append("y")
    for value in [*points.values(), *(value for _, value in points.items())]:
        with pytest.raises(TypeError, match="read-only"):
            value["y"] = 1


def test_it_behaves_as_a_dict_in_order_of_insertion() -> None:
    points, plain = made(), dict[str, Any]()
    for mapping in (points, plain):
        mapping.update(b=1, a=[2])
        mapping["b"] = 3
        assert mapping.setdefault("c", {}) == {}
        assert mapping.setdefault("b", 9) == 3
        assert mapping.pop("a") == [2]
        assert mapping.pop("a", None) is None
        with pytest.raises(KeyError):
            del mapping["a"]
        with pytest.raises(KeyError):
            mapping.pop("a")
        assert "a" not in mapping
    assert points == plain
    assert list(points) == list(plain) == ["b", "c"]
    assert len(points) == 2
    points.clear()
    assert not points


def test_add_counts_and_gives_the_new_number() -> None:
    points = made()
    assert [points.add("x"), points.add("x", 2), points.add("x", -0.5)] == [1, 3, 2.5]
    points["t"] = True
    with pytest.raises(TypeError, match="`t` in `points` is bool, and add is for numbers"):
        points.add("t")


def test_edit_writes_at_the_end_of_its_body() -> None:
    points = made()
    with points.edit("x", list) as names:
        names.append("y")
        assert "x" not in points
    with points.edit("x") as names:
        names.append("z")
    assert points["x"] == ["y", "z"]


def test_edit_that_raises_writes_nothing() -> None:
    points = made()
    with pytest.raises(ZeroDivisionError), points.edit("x", list) as names:
        names.append(1 / 0)
    with pytest.raises(TypeError, match="the value is set"), points.edit("x", dict) as value:
        value.clear()
        value["a"] = 1
        points["other"] = {1}
    assert dict(points) == {}


def test_edit_of_a_number_is_refused() -> None:
    with pytest.raises(TypeError, match="edit changes a dict or list in place, and `x` is int"), made().edit("x", int):
        pass


def test_an_edit_within_an_edit_of_the_same_key_is_refused_not_lost() -> None:
    points = made()
    with points.edit("x", list) as names, pytest.raises(RuntimeError, match="`x` is being edited already"):
        names.append(1)
        points["x"] = []
    assert points["x"] == [1]
    with points.edit("x"), points.edit("y"):
        pass


def test_another_thread_waits_for_the_edit_to_end() -> None:
    points, inside, order = made(), threading.Event(), []

    def other() -> None:
        inside.wait()
        order.append(points.add("n", 0) and "other key")
        with points.edit("x", list) as names:
            names.append("second")

    points["n"] = 1
    thread = threading.Thread(target=other)
    thread.start()
    with points.edit("x", list) as names:
        inside.set()
        names.append("first")
    thread.join()
    assert points["x"] == ["first", "second"]
    assert order == ["other key"]


def test_an_edit_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "HOLD_SECONDS", 0.01)
    points, inside, leave = made(), threading.Event(), threading.Event()

    def other() -> None:
        with points.edit("x", list):
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    with pytest.raises(RuntimeError, match="`x` has been in edit by another call for over"):
        points["x"] = 1
    leave.set()
    thread.join()
    points["x"] = 1


def test_additions_from_many_threads_are_all_counted() -> None:
    points = made()

    def count() -> None:
        for _ in range(200):
            points.add("x")

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert points["x"] == 800
