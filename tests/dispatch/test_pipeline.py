"""bot/dispatch/pipeline.py: the steps around one call, with the real relay, outlet and owner."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from bot.api.arguments import Signature
from bot.api.context import Context
from bot.api.declare import Command, Declaration, Every, On
from bot.api.events import Event, User
from bot.dispatch.guard import task_factory
from bot.dispatch.limits import Limit
from bot.dispatch.outlet import CallOutlet
from bot.dispatch.owner import Owner, current
from bot.dispatch.pipeline import Call, Pipeline, compose
from bot.dispatch.relay import Relay
from bot.dispatch.table import Handler
from bot.errors import StoreError, UsageError, UserError
from bot.protocol.message import Message

NETWORK: Any = SimpleNamespace(name="libera", nick="bot", fold=str.lower, same=lambda a, b: a.lower() == b.lower())
BOB = User("Bob", "b", "h")


class Sender:
    def __init__(self) -> None:
        self.loop, self.thread = asyncio.get_running_loop(), threading.get_ident()
        self.said: list[str] = []

    def room(self, network: str, command: str, target: str) -> int:
        return 400

    def together(self, network: str) -> bool:
        return False

    def deliver(
        self, network: str, messages: Sequence[Message], cause: str, handler: str, k: int
    ) -> list[Awaitable[object] | None]:
        self.said += [message.params[1] for message in messages]
        return [None]


class Bench:
    """A pipeline with a clock that stands, and calls made for it."""

    def __init__(self, relay: Relay) -> None:
        self.now = 100.0
        self.pipeline = Pipeline(relay, 30.0, lambda: self.now)
        self.owner = Owner("weather")
        self.owner.go_live(4)

    def call(
        self,
        function: Callable[..., Any],
        rest: str = "",
        *,
        declaration: Declaration | None = None,
        user: User = BOB,
        is_admin: bool = False,
        fields: dict[str, Any] | None = None,
        **of_handler: Any,
    ) -> tuple[Call, Sender]:
        mark = declaration or Command("forecast", (), (), False, None)
        is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
        signature = Signature.of(function, bound=False) if isinstance(mark, Command) else None
        handler = Handler("weather", "weather.forecast", function, mark, self.owner, is_async, signature)
        event = Event("message", NETWORK, "7", None, user, "#a", rest, fields or {})
        sender = Sender()
        outlet = CallOutlet(sender, "7", handler.key, ("libera", "#a"))
        command = "forecast" if signature else ""
        ctx = Context(self.owner, outlet, Services, event, command=command, rest=rest, is_admin=is_admin)
        return Call(replace(handler, **of_handler), ctx, outlet, event, rest), sender

    async def said(self, function: Callable[..., Any], rest: str = "", **options: Any) -> list[str]:
        """What one call says, from its beginning to its end."""
        call, sender = self.call(function, rest, **options)
        await self.pipeline.run(call)
        return sender.said


Services: Any = SimpleNamespace()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    asyncio.get_running_loop().set_task_factory(task_factory)
    relay = Relay()
    yield Bench(relay)
    relay.stop()


# --- what a function gives


def both(body: Callable[..., Any]) -> list[Callable[..., Any]]:
    """A plain function and a coroutine function of one body."""

    async def is_async(ctx: Context) -> Any:
        return body(ctx)

    return [body, is_async]


GIVEN = [
    ("hi", ["hi"]),
    (None, []),
    ("", []),
    ("   ", []),
    ("a\nb", ["a", "b"]),
    (5, ["5"]),
    (0, ["0"]),
    (1.5, ["1.5"]),
    (True, ["True"]),
    (b"bytes \xe9", ["bytes \ufffd"]),
    (["a", None, "", "b"], ["a", "b"]),
    (("a", 1), ["a", "1"]),
    ([], []),
    ((text for text in "ab"), ["a", "b"]),
    ("lone \ud800 surrogate", ["lone \ufffd surrogate"]),
    ("a\r\nQUIT :x", ["a", "QUIT :x"]),
    ("nul\0inside", ["nul inside"]),
]


@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
@pytest.mark.parametrize(("value", "said"), GIVEN, ids=[ascii(value)[:30] for value, _ in GIVEN])
async def test_what_is_returned_is_said_as_text(bench: Bench, value: object, said: list[str], kind: int) -> None:
    if inspect.isgenerator(value):
        value = [*said]  # a generator object can be run only once

    def function(ctx: Context) -> object:
        return iter(value) if isinstance(value, list) else value

    assert await bench.said(both(function)[kind]) == said


class Unprintable:
    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


@pytest.mark.parametrize("kind", [0, 1], ids=["def", "async def"])
@pytest.mark.parametrize("value", [{"a": 1}, object(), Unprintable(), [{}], [["a"]], lambda: None, 1j])
async def test_what_is_no_text_is_an_error_of_the_author(bench: Bench, value: object, kind: int, caplog: Any) -> None:
    (line,) = await bench.said(both(lambda ctx: value)[kind])
    assert line.startswith("forecast failed (error ")
    assert "a handler gives text, not" in caplog.text


async def test_a_generator_says_each_text(bench: Bench) -> None:
    def function(ctx: Context) -> Iterator[str | None]:
        yield "a"
        yield None
        yield "b\nc"

    assert await bench.said(function) == ["a", "b", "c"]


async def test_an_async_generator_says_each_text_as_it_comes(bench: Bench) -> None:
    go, said = asyncio.Event(), list[str]()

    async def function(ctx: Context) -> AsyncIterator[str]:
        yield "a"
        said.extend(sender.said)
        go.set()
        yield "b"

    call, sender = bench.call(function)
    await bench.pipeline.run(call)
    assert said == ["a"] and sender.said == ["a", "b"]


async def test_what_a_generator_said_before_it_failed_is_said(bench: Bench) -> None:
    def function(ctx: Context) -> Iterator[str]:
        yield "a"
        raise ValueError("x")

    first, second = await bench.said(function)
    assert first == "a" and second.startswith("forecast failed")


async def test_a_plain_function_may_return_a_coroutine(bench: Bench) -> None:
    async def later() -> str:
        return "hi"

    assert await bench.said(lambda ctx: later()) == ["hi"]


async def test_a_plain_function_runs_off_the_loop_and_a_coroutine_function_on_it(bench: Bench) -> None:
    threads: list[int] = []

    def plain(ctx: Context) -> None:
        threads.append(threading.get_ident())

    async def slow(ctx: Context) -> None:
        threads.append(threading.get_ident())

    await bench.said(plain)
    await bench.said(slow)
    assert threads[0] != threading.get_ident() == threads[1]


async def test_a_function_runs_as_its_plugin(bench: Bench) -> None:
    seen: list[Owner | None] = []
    await bench.said(lambda ctx: seen.append(current.get()))
    assert seen == [bench.owner] and current.get() is None


# --- errors


def raising(error: BaseException) -> Callable[[Context], None]:
    def function(ctx: Context) -> None:
        raise error

    return function


async def test_a_user_error_is_the_answer(bench: Bench, caplog: Any) -> None:
    assert await bench.said(raising(UserError("no such town"))) == ["no such town"]
    assert caplog.records == []


@pytest.mark.parametrize(
    ("text", "said"), [("which?", "which?; usage: !forecast <place>"), ("", "usage: !forecast <place>")]
)
async def test_a_usage_error_is_answered_with_the_usage(bench: Bench, text: str, said: str) -> None:
    def function(ctx: Context, place: str) -> None:
        raise UsageError(text)

    assert await bench.said(function, "Paris") == [said]


async def test_the_usage_begins_with_the_prefix_of_the_network(bench: Bench) -> None:
    call, sender = bench.call(raising(UsageError("")))
    call.prefix = "."
    await bench.pipeline.run(call)
    assert sender.said == ["usage: .forecast"]


@pytest.mark.parametrize(
    ("admin", "said"),
    [(True, r"forecast failed \(error \w{4}\): s/x: the disk is full"), (False, r".* \(error \w{4}\)")],
)
async def test_what_is_wrong_with_the_disk_is_told_to_admins(bench: Bench, admin: bool, said: str) -> None:
    call, sender = bench.call(raising(StoreError("s/x: the disk is full")))
    call.ctx.is_admin = admin
    await bench.pipeline.run(call)
    assert re.fullmatch(said, sender.said[0])


ERRORS = [
    ValueError("secret detail"),
    RecursionError(),
    MemoryError(),
    StopIteration("x"),
    StopAsyncIteration(),
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    TimeoutError(),
    BaseException("x"),
    BaseExceptionGroup("x", [SystemExit()]),
    OSError(2, "no file"),
    UnicodeDecodeError("utf-8", b"x", 0, 1, "x"),
]


@pytest.mark.parametrize("kind", ["def", "async def", "generator", "async generator"])
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_whatever_is_raised_is_one_neutral_line_and_one_record(
    bench: Bench, caplog: Any, error: BaseException, kind: str
) -> None:
    async def is_async(ctx: Context) -> None:
        raise error

    def generator(ctx: Context) -> Iterator[str]:
        yield from ()
        raise error

    async def async_generator(ctx: Context) -> AsyncIterator[str]:
        if ctx is None:
            yield ""
        raise error

    functions: dict[str, Callable[..., Any]] = {
        "def": raising(error),
        "async def": is_async,
        "generator": generator,
        "async generator": async_generator,
    }
    (line,) = await bench.said(functions[kind])
    number = line.removeprefix("forecast failed (error ").removesuffix(")")
    assert len(number) == 4 and "secret" not in line
    (record,) = caplog.records
    assert record.name == "plugins.weather" and f"(error {number})" in record.message
    assert record.exc_info is not None and record.message.startswith("weather.forecast g4 for Bob in #a failed")


async def test_an_error_whose_text_fails_is_survived(bench: Bench) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise ValueError("no text either")

    logging.getLogger("plugins.weather").addHandler(handler := logging.NullHandler())
    (line,) = await bench.said(raising(Odd()))
    logging.getLogger("plugins.weather").removeHandler(handler)
    assert line.startswith("forecast failed")


async def test_the_trace_begins_in_the_authors_code(bench: Bench, caplog: Any) -> None:
    await bench.said(raising(ValueError("x")))
    trace = caplog.records[0].exc_info[2]
    assert trace.tb_frame.f_code.co_filename == __file__


async def test_an_error_in_an_event_is_told_to_nobody_in_the_channel(bench: Bench, caplog: Any) -> None:
    assert await bench.said(raising(ValueError("x")), declaration=On("message")) == []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("error", [UserError("x"), UsageError("x")])
async def test_a_users_error_in_an_event_is_nobodys(bench: Bench, caplog: Any, error: Exception) -> None:
    assert await bench.said(raising(error), declaration=On("message")) == []
    assert caplog.records == []


async def test_being_cancelled_from_outside_is_no_error(bench: Bench, caplog: Any) -> None:
    begun = asyncio.Event()

    async def function(ctx: Context) -> None:
        begun.set()
        await asyncio.Event().wait()

    call, sender = bench.call(function)
    task = asyncio.create_task(bench.pipeline.run(call))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and sender.said == [] and caplog.records == []
    assert bench.owner.calls == {}


# --- permission

ADMIN = Command("forecast", (), (), True, None)


async def test_an_admin_may_use_what_is_for_admins(bench: Bench) -> None:
    assert await bench.said(lambda ctx: "done", declaration=ADMIN, is_admin=True) == ["done"]


@pytest.mark.parametrize(("account", "seen"), [(None, "no account"), ("robert", "account robert")])
async def test_the_log_tells_as_whom_the_refused_are_seen(
    bench: Bench, caplog: pytest.LogCaptureFixture, account: str | None, seen: str
) -> None:
    caplog.set_level("INFO")
    await bench.said(lambda ctx: "x", declaration=ADMIN, user=User("bob", "b", "h", account))
    assert caplog.messages[-1].endswith(f" refused to bob!b@h ({seen}): admins only")


async def test_others_are_told_so_at_most_once_a_minute(bench: Bench) -> None:
    ran: list[str] = []
    function = lambda ctx: ran.append("ran")  # noqa: E731  # shorter than the rest
    assert await bench.said(function, declaration=ADMIN) == ["forecast: admins only"]
    bench.now += 59
    assert await bench.said(function, declaration=ADMIN) == []
    bench.now += 1
    assert await bench.said(function, declaration=ADMIN) == ["forecast: admins only"]
    assert ran == []


async def test_each_user_is_told_for_themselves(bench: Bench) -> None:
    for nick in ("Bob", "carl"):
        said = await bench.said(lambda ctx: "x", declaration=ADMIN, user=User(nick, nick, "h"))
        assert said == ["forecast: admins only"]


async def test_nobody_learns_the_arguments_of_what_they_may_not_use(bench: Bench) -> None:
    def function(ctx: Context, name: str) -> None: ...

    assert await bench.said(function, "", declaration=ADMIN) == ["forecast: admins only"]


# --- limit

TWICE = Limit(2, 10.0)


async def test_a_limit_holds_a_user_and_is_told_once(bench: Bench) -> None:
    said = [await bench.said(lambda ctx: "ok", limit=TWICE) for _ in range(4)]
    assert said == [["ok"], ["ok"], ["forecast: not so fast, try again in 10 s"], []]


async def test_after_its_time_the_user_may_again(bench: Bench) -> None:
    for _ in range(3):
        await bench.said(lambda ctx: "ok", limit=TWICE)
    bench.now += 10
    assert await bench.said(lambda ctx: "ok", limit=TWICE) == ["ok"]


async def test_a_limit_is_of_each_user(bench: Bench) -> None:
    for _ in range(3):
        await bench.said(lambda ctx: "ok", limit=TWICE)
    assert await bench.said(lambda ctx: "ok", limit=TWICE, user=User("carl", "c", "h")) == ["ok"]


async def test_a_limit_follows_the_account_through_another_nick(bench: Bench) -> None:
    for nick in ("Bob", "Bobby"):
        await bench.said(lambda ctx: "ok", limit=TWICE, user=User(nick, "b", "h", "robert"))
    assert await bench.said(lambda ctx: "ok", limit=TWICE, user=User("Rob", "b", "h", "robert")) != ["ok"]


async def test_a_limit_follows_a_stranger_through_other_nicks(bench: Bench) -> None:
    said = [
        await bench.said(lambda ctx: "ok", limit=TWICE, user=User(f"Bob{n}", "b", host))
        for n, host in enumerate(["h", "H", "h", "h", "h"])
    ]
    assert said == [["ok"], ["ok"], ["forecast: not so fast, try again in 10 s"], [], []]


async def test_another_nick_is_not_told_again_that_a_command_is_for_admins(bench: Bench) -> None:
    said = [await bench.said(lambda ctx: "x", declaration=ADMIN, user=User(nick, "b", "h")) for nick in ("a", "b")]
    assert said == [["forecast: admins only"], []]


async def test_who_is_called_as_another_ones_account_is_somebody_else(bench: Bench) -> None:
    for _ in range(2):
        await bench.said(lambda ctx: "ok", limit=TWICE, user=User("x", "x", "y", "b@h"))
    assert await bench.said(lambda ctx: "ok", limit=TWICE, user=User("b", "b", "h")) == ["ok"]


async def test_a_limit_does_not_hold_admins(bench: Bench) -> None:
    assert [await bench.said(lambda ctx: "ok", limit=TWICE, is_admin=True) for _ in range(4)] == [["ok"]] * 4


# --- arguments


async def test_a_command_is_called_with_what_its_signature_reads(bench: Bench) -> None:
    def function(ctx: Context, place: str, *, days: int = 1) -> str:
        return f"{place!r} {days!r}"

    assert await bench.said(function, "--days 3 New York") == ["'New York' 3"]


async def test_a_mistake_in_the_arguments_is_answered_with_the_usage(bench: Bench) -> None:
    def function(ctx: Context, days: int) -> None: ...

    assert await bench.said(function, "many") == ["`days` must be a whole number, not `many`; usage: !forecast <days>"]


async def test_an_event_is_called_with_the_fields_that_it_names(bench: Bench) -> None:
    def function(ctx: Context, nick: str, channel: str) -> str:
        return f"{nick} in {channel}"

    fields = {"nick": "bob", "channel": "#a", "user": BOB}
    said = await bench.said(function, declaration=On("join"), wants=("nick", "channel"), fields=fields)
    assert said == ["bob in #a"]


async def test_a_job_is_called_with_its_own_arguments(bench: Bench) -> None:
    call, sender = bench.call(lambda ctx, one: one, declaration=Every(5.0, None))
    call.args = ("tea",)
    await bench.pipeline.run(call)
    assert sender.said == ["tea"]


# --- time-out


@pytest.mark.parametrize("kind", ["def", "async def"])
async def test_a_call_that_takes_too_long_is_ended_and_told(bench: Bench, caplog: Any, kind: str) -> None:
    bench.pipeline.handler_seconds = 0.02

    async def is_async(ctx: Context) -> None:
        await asyncio.Event().wait()

    def plain(ctx: Context) -> None:
        while True:
            threading.Event().wait(0.001)

    said = await bench.said(is_async if kind == "async def" else plain)
    assert said == ["forecast took longer than 0.02 s and was stopped"]
    assert [record.message for record in caplog.records if record.name == "plugins.weather"] == [
        "weather.forecast g4 for Bob in #a took longer than 0.02 s"
    ]


async def test_a_time_out_of_the_authors_own_is_an_error_like_others(bench: Bench) -> None:
    async def function(ctx: Context) -> None:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()

    (line,) = await bench.said(function)
    assert line.startswith("forecast failed")


# --- the end of a call


async def test_a_call_in_flight_is_known_to_its_generation(bench: Bench) -> None:
    seen: list[int] = []

    async def function(ctx: Context) -> None:
        seen.append(len(bench.owner.calls))

    await bench.said(function)
    assert seen == [1] and bench.owner.calls == {}


async def test_the_asker_of_a_command_is_told_when_it_is_cut_short(bench: Bench) -> None:
    begun = asyncio.Event()

    async def function(ctx: Context) -> None:
        begun.set()
        await asyncio.Event().wait()

    call, sender = bench.call(function)
    task = asyncio.create_task(bench.pipeline.run(call))
    await begun.wait()
    await bench.owner.finish_calls(0)
    assert task.cancelled()
    assert sender.said == ["forecast was cut short by a new version of weather"]


async def test_nobody_is_told_when_an_event_is_cut_short(bench: Bench) -> None:
    begun = asyncio.Event()

    async def function(ctx: Context) -> None:
        begun.set()
        await asyncio.Event().wait()

    call, sender = bench.call(function, declaration=On("message"))
    task = asyncio.create_task(bench.pipeline.run(call))
    await begun.wait()
    await bench.owner.finish_calls(0)
    await asyncio.wait([task])
    assert sender.said == []


# --- compose


async def test_the_first_step_is_the_outermost(bench: Bench) -> None:
    order: list[str] = []

    def step(name: str) -> Any:
        async def run(call: Call, go: Any) -> None:
            order.append(f"{name} in")
            await go(call)
            order.append(f"{name} out")

        return run

    async def last(call: Call) -> None:
        order.append("last")

    call, _ = bench.call(lambda ctx: None)
    await compose((step("a"), step("b")), last)(call)
    assert order == ["a in", "b in", "last", "b out", "a out"]


async def test_a_call_whose_last_line_fails_is_over_all_the_same(
    bench: Bench, caplog: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(outlet: CallOutlet) -> None:
        raise ValueError("no line")

    monkeypatch.setattr(CallOutlet, "finish", fail)
    assert await bench.said(lambda ctx: "x") == ["x"]
    assert bench.owner.calls == {} and current.get() is None
    assert "the last line of weather.forecast could not be said" in caplog.text
