"""bot/live/report.py: the lines that admins read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bot import logs
from bot.api.declare import Command, On
from bot.dispatch.owner import Owner
from bot.dispatch.table import Handler
from bot.live import report
from bot.live.report import Entry, Report, changed, difference, failed, loaded, unloaded

OLD, NEW = "1a2b3c4" + "0" * 33, "5d6e7f8" + "0" * 33


def test_a_new_plugin() -> None:
    assert loaded("weather", 1, OLD).text == "weather loaded g1 (1a2b3c4)"


def test_a_plugin_that_went() -> None:
    assert unloaded("weather").text == "weather unloaded"


@pytest.mark.parametrize(
    ("commands", "state", "text"),
    [
        (
            "+forecast ~weather -temp",
            "kept",
            "weather g4 -> g5 (1a2b3c4 -> 5d6e7f8): +forecast ~weather -temp, state kept, 9 ms",
        ),
        ("", "", "weather g4 -> g5 (1a2b3c4 -> 5d6e7f8): 9 ms"),
        ("", "reset", "weather g4 -> g5 (1a2b3c4 -> 5d6e7f8): state reset, 9 ms"),
    ],
)
def test_a_new_version(commands: str, state: str, text: str) -> None:
    assert changed("weather", (4, OLD), (5, NEW), commands, state, 8.7).text == text


def test_a_version_that_failed_while_another_is_live() -> None:
    entry = failed([("weather", 4)], "weather.py:12: SyntaxError: expected ':'")
    assert entry.text == "weather stays g4: weather.py:12: SyntaxError: expected ':'; the old version goes on answering"
    assert not entry.ok


def test_a_version_that_failed_where_nothing_is_live() -> None:
    assert failed([("weather", 0)], "weather.py:12: x").text == "weather not loaded: weather.py:12: x"


@pytest.mark.parametrize(
    ("count", "also"), [(1, ""), (2, " (also p2)"), (3, " (also p2, p3)"), (5, " (also p2, p3, +2)")]
)
def test_a_group_that_failed_is_one_entry(count: int, also: str) -> None:
    plugins = [(f"p{number}", 1) for number in range(1, count + 1)]
    entry = failed(plugins, "_common.py:1: x")
    assert entry.text == f"p1 stays g1{also}: _common.py:1: x; the old version goes on answering"
    assert entry.plugins == tuple(name for name, _ in plugins)


# --- one line


def entries(*texts: str, ok: bool = True) -> tuple[Entry, ...]:
    return tuple(Entry(text, (text,), ok) for text in texts)


def test_several_entries_are_one_line() -> None:
    assert str(Report(entries("a", "b"))) == "a; b"


def test_at_most_three_are_told() -> None:
    assert str(Report(entries("a", "b", "c"))) == "a; b; c"
    assert str(Report(entries("a", "b", "c", "d", "e"))) == "a; b; c; +2 more"


def test_failures_are_told_first() -> None:
    report = Report((*entries("a", "b", "c"), *entries("bad", ok=False)))
    assert str(report) == "bad; a; b; +1 more"


def test_a_report_is_good_if_all_of_it_is() -> None:
    assert Report().ok and Report(entries("a")).ok
    assert not Report((*entries("a"), *entries("b", ok=False))).ok


def test_an_empty_report_is_nothing() -> None:
    assert not Report() and str(Report()) == ""


def test_a_secret_that_an_error_quotes_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", set())
    monkeypatch.setattr(logs, "_pattern", None)
    logs.redact("hunter2secret")
    report = Report((failed([("s", 0)], "s.py:2: ValueError: bad key hunter2secret"),))
    assert str(report) == "s not loaded: s.py:2: ValueError: bad key ***"


# --- the difference


def handler(function: Callable[..., Any], name: str, help: str = "", aliases: tuple[str, ...] = ()) -> Handler:
    return Handler("p", f"p.{name}", function, Command(name, aliases, (), False, None), Owner("p"), False, help=help)


def functions(source: str) -> list[Handler]:
    names: dict[str, Any] = {}
    exec(source, names)
    return [handler(value, name) for name, value in names.items() if callable(value)]


def test_commands_that_came_changed_and_went() -> None:
    before = functions("def weather(): return 1\ndef temp(): pass\ndef same(): return 'x'")
    after = functions("def forecast(): pass\ndef weather(): return 2\ndef same(): return 'x'")
    assert difference(before, after) == "+forecast ~weather -temp"


def test_without_a_change_there_is_nothing_to_tell() -> None:
    source = "def weather(): return [x for x in 'abc']"
    assert difference(functions(source), functions(source)) == ""


def test_a_function_that_only_moved_down_has_not_changed() -> None:
    source = "def weather():\n    def inner(): return 1\n    return inner"
    assert difference(functions(source), functions("\n\n\n" + source)) == ""


@pytest.mark.parametrize(
    "source",
    [
        "def weather(): return 2",
        "def weather(): return 1.0",
        "def weather(): return True",
        "def weather(a): return 1",
        "def weather(): return other",
        "def weather():\n    def inner(): return 3\n    return 1",
    ],
)
def test_another_body_is_a_change(source: str) -> None:
    assert difference(functions("def weather(): return 1"), functions(source)) == "~weather"


def test_another_help_or_alias_is_a_change() -> None:
    def weather() -> None: ...

    before = [handler(weather, "weather", "old")]
    assert difference(before, [handler(weather, "weather", "new")]) == "~weather"
    assert difference(before, [handler(weather, "weather", "old", ("w",))]) == "~weather"


def test_only_commands_are_told_of() -> None:
    joined = Handler("p", "p.joined", lambda: None, On("join"), Owner("p"), False)
    assert difference([], [joined]) == ""


def test_a_rollback_and_its_end_are_told() -> None:
    assert str(Report((report.rolled_back("weather", "1a2b3c4d", "weather.py"),))) == (
        "weather rolled back to 1a2b3c4, pinned until weather.py changes"
    )
    assert str(Report((report.unpinned("weather", "1a2b3c4d"),))) == "weather is no longer pinned to 1a2b3c4"


def test_what_the_probation_does_is_a_warning() -> None:
    taken, kept = report.rolled_back("weather", "1a2b3c4d", "weather.py", "g5 failed"), report.not_back("weather", "g5")
    assert not taken.ok and str(taken.text).endswith("changes: g5 failed")
    assert not kept.ok and kept.text == "weather g5, but the version before can't come back"


def test_last_good_versions_are_one_entry() -> None:
    three = [("p1", "1a2b3c4d", "2026-11-20"), ("p2", "x", "y"), ("p3", "x", "y")]
    entry = report.fell_back(three, "_common.py:1: no", frozenset())
    assert entry.text == "p1 runs its last good version 1a2b3c4 of 2026-11-20 (also p2, p3): _common.py:1: no"
    assert entry.plugins == ("p1", "p2", "p3") and not entry.ok
