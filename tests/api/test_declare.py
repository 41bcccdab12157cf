"""bot/api/declare.py: each decorator marks a function and does nothing else."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from bot.api.declare import (
    Command,
    Every,
    Hook,
    Job,
    On,
    Rule,
    command,
    declarations,
    every,
    job,
    ledger,
    on,
    rule,
    setup,
    start,
    teardown,
)


def weather(ctx: object) -> None: ...


def fresh() -> Callable[..., Any]:
    def weather(ctx: object) -> str:
        return "sunny"

    return weather


# --- marks


def test_a_decorator_gives_back_the_very_function() -> None:
    function = fresh()
    assert command("a")(function) is function
    assert rule("a")(function) is function
    assert on("join")(function) is function
    assert every("5m")(function) is function
    assert job(function) is function
    assert setup(function) is function


def test_a_marked_function_can_still_be_called() -> None:
    assert command("a")(fresh())(None) == "sunny"


def test_a_function_without_a_mark_declares_nothing() -> None:
    assert declarations(weather) == ()


def test_decorators_add_up() -> None:
    function = command("first")(rule("second")(on("join")(fresh())))
    assert [type(mark) for mark in declarations(function)] == [On, Rule, Command]


def test_a_wrapper_that_is_marked_leaves_the_wrapped_alone() -> None:
    inner = command("inner")(fresh())

    @command("outer")
    @functools.wraps(inner)
    def wrapper(ctx: object) -> str:
        return str(inner(ctx))

    assert [mark.name for mark in declarations(inner) if isinstance(mark, Command)] == ["inner"]


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="a decorator of bot stands on 'text', which is not a function"):
        command("a")("text")  # type: ignore[type-var]


def test_every_function_declared_while_a_module_runs_is_written_down_in_order() -> None:
    seen: list[Callable[..., Any]] = []
    token = ledger.set(seen)
    one = command("a")(fresh())
    two = on("join")(fresh())
    ledger.reset(token)
    command("late")(fresh())
    assert seen == [one, two]


# --- command


def marked(function: Callable[..., Any]) -> Any:
    return declarations(function)[0]


def test_the_first_name_is_the_commands_and_the_rest_are_aliases() -> None:
    assert marked(command("weather", "w", "wx")(fresh())) == Command("weather", ("w", "wx"), (), False, None)


def test_without_a_name_the_functions_own_is_taken() -> None:
    assert marked(command()(fresh())).name == "weather"


def test_without_parentheses_the_functions_own_name_is_taken() -> None:
    assert marked(command(fresh())).name == "weather"


def test_names_are_kept_in_lower_case() -> None:
    mark = marked(command("Weather", "WX")(fresh()))
    assert (mark.name, mark.aliases) == ("weather", ("wx",))


@pytest.mark.parametrize("name", ["wetter", "größe", "c++", "8ball", "?", "x" * 32, "天気", "a!b"])
def test_anything_that_can_be_typed_as_one_word_is_a_name(name: str) -> None:
    assert marked(command(name)(fresh())).name == name.lower()


@pytest.mark.parametrize(
    "name", ["", " ", "two words", "a\r\nb", "a\nb", "a\0b", "a\tb", "a.b", ".", "x" * 33, "\x7f", 5, None]
)
def test_what_nobody_could_type_is_no_name(name: Any) -> None:
    with pytest.raises(
        ValueError, match="can't be a command: use 1 to 32 visible characters without white space or a dot"
    ):
        command(name)
    with pytest.raises(ValueError, match="can't be a command"):
        command("good", name)


@pytest.mark.parametrize("limit", ["3", "three/10s", "/10s", "3/", "3 / 10 s", ""])
def test_a_limit_that_is_none_is_refused_at_the_decorator(limit: str) -> None:
    with pytest.raises(ValueError, match="is no limit; write a count and a time, such as '3/10s'"):
        command("a", limit=limit)


def test_examples_are_kept_as_pairs() -> None:
    mark = marked(command("a", examples=[("!a", "b"), ["!a c", "..."]])(fresh()))  # type: ignore[list-item]
    assert mark.examples == (("!a", "b"), ("!a c", "..."))


@pytest.mark.parametrize("example", ["!a", ("!a",), ("!a", "b", "c"), ("!a", 5), None])
def test_an_example_that_is_no_pair_of_texts_is_refused(example: Any) -> None:
    with pytest.raises(ValueError, match=r"an example is a pair of texts \(line, answer\)"):
        command("a", examples=[example])


# --- rule, on, every


@pytest.mark.parametrize("pattern", ["(", "[", "(?P<x>a)(?P<x>b)", "*", "(?P=name)", None, 5])
def test_a_pattern_that_is_none_is_refused_at_the_decorator(pattern: Any) -> None:
    with pytest.raises(ValueError, match="is not a regular expression"):
        rule(pattern)


@pytest.mark.parametrize(
    ("event", "kept"), [("join", "join"), ("JOIN", "join"), (353, "353"), ("353", "353"), (1, "001")]
)
def test_an_event_is_kept_by_its_name_or_three_digits(event: str | int, kept: str) -> None:
    assert marked(on(event)(fresh())) == On(kept)


@pytest.mark.parametrize("event", ["jion", "numeric", "35", "3533", 1000, -1, "", "PRIVMSG"])
def test_an_event_that_does_not_exist_is_refused_with_those_that_do(event: str | int) -> None:
    with pytest.raises(ValueError, match=r"there is no event .*account, action, away, .*connected.*and the numerics"):
        on(event)


@pytest.mark.parametrize(("interval", "seconds"), [("5m", 300.0), (90, 90.0), (0.05, 0.05), ("1h30m", 5400.0)])
def test_an_interval_is_kept_in_seconds(interval: Any, seconds: float) -> None:
    assert marked(every(interval)(fresh())) == Every(seconds, None)


def test_a_cron_line_is_kept_as_it_is() -> None:
    assert marked(every(cron="0 9 * * 1-5")(fresh())) == Every(None, "0 9 * * 1-5")


@pytest.mark.parametrize("arguments", [{}, {"interval": "5m", "cron": "* * * * *"}])
def test_every_takes_one_of_both(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="takes an interval or cron="):
        every(**arguments)


@pytest.mark.parametrize("interval", [0.049, 0, -1, "soon", float("nan")])
def test_an_interval_that_is_none_or_too_short_is_refused(interval: Any) -> None:
    with pytest.raises(ValueError):
        every(interval)


# --- job and the hooks


@pytest.mark.parametrize(
    ("decorator", "mark"),
    [(job, Job()), (setup, Hook("setup")), (start, Hook("start")), (teardown, Hook("teardown"))],
)
def test_these_work_with_and_without_parentheses(decorator: Any, mark: object) -> None:
    assert declarations(decorator(fresh())) == declarations(decorator()(fresh())) == (mark,)
