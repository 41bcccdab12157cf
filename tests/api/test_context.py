"""bot/api/context.py: where a handler is, and where what it says goes."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from bot.api.context import Context
from bot.api.events import Event, User
from bot.api.http import http
from bot.api.sent import Sent
from bot.errors import UserError
from bot.protocol.message import Message


class Outlet:
    def __init__(self) -> None:
        self.said: list[tuple[str, str, str, str]] = []
        self.answers: list[Message | None] = []

    def send(self, network: str, target: str, kind: str, text: str, answers: Message | None = None) -> Sent:
        self.said.append((network, target, kind, text))
        self.answers.append(answers)
        return Sent()


class Services:
    def __init__(self) -> None:
        self.scheduled: list[tuple[Any, ...]] = []

    def network(self, name: str) -> Any:
        raise NotImplementedError

    def settings(self, plugin: str) -> dict[str, str]:
        return {"of": plugin}

    def schedule(self, *arguments: Any) -> Any:
        self.scheduled.append(arguments)
        return SimpleNamespace(cancel=lambda: None)

    def resolve(self, address: str) -> tuple[str, str]:
        network, slash, target = address.partition("/")
        if not slash:
            raise UserError("which network?")
        return network, target


class Owner:
    plugin = "weather"

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []

    def spawn(self, coroutine: Any, name: str | None) -> None:
        coroutine.close()
        self.asked.append(("spawn", name))

    def enter(self, opened: Any) -> Any:
        self.asked.append(("enter", opened))
        return opened

    def thread(self, function: Any, args: tuple[Any, ...]) -> Any:
        self.asked.append(("thread", function, args))


LIBERA: Any = SimpleNamespace(name="libera", nick="bot", fold=str.lower, same=lambda a, b: a.lower() == b.lower())


def context(channel: str | None = "#a", *, nowhere: bool = False, home: tuple[str, str] | None = None) -> Context:
    event = Event("message", LIBERA, "7", None, User("bob", "b", "h"), channel, "the text")
    return Context(Owner(), Outlet(), Services(), None if nowhere else event, home=home)


def said(ctx: Context) -> list[tuple[str, str, str, str]]:
    outlet: Any = ctx._outlet
    found: list[tuple[str, str, str, str]] = outlet.said
    return found


# --- where it speaks


def test_say_speaks_in_the_channel_of_the_question() -> None:
    ctx = context()
    ctx.say("hi")
    assert said(ctx) == [("libera", "#a", "say", "hi")]


def test_say_speaks_to_the_asker_in_private() -> None:
    ctx = context(None)
    ctx.say("hi")
    assert said(ctx) == [("libera", "bob", "say", "hi")]


def test_reply_names_the_asker_in_a_channel_only() -> None:
    public, private = context(), context(None)
    public.reply("hi")
    private.reply("hi")
    assert said(public) == [("libera", "#a", "say", "bob: hi")]
    assert said(private) == [("libera", "bob", "say", "hi")]


@pytest.mark.parametrize("kind", ["notice", "action"])
def test_the_other_kinds_speak_in_the_same_place(kind: str) -> None:
    ctx = context()
    getattr(ctx, kind)("hi")
    assert said(ctx) == [("libera", "#a", kind, "hi")]


def test_private_speaks_to_the_user_alone() -> None:
    ctx = context()
    ctx.private("psst")
    assert said(ctx) == [("libera", "bob", "say", "psst")]


def test_private_without_a_user_says_what_to_write_instead() -> None:
    with pytest.raises(LookupError, match="no user to speak to here"):
        context(nowhere=True).private("psst")


@pytest.mark.parametrize("method", ["say", "reply", "notice", "action"])
def test_speaking_without_a_place_says_what_to_write_instead(method: str) -> None:
    with pytest.raises(LookupError, match=r"say where: ctx.to\('network/#channel'\).say"):
        getattr(context(nowhere=True), method)("hi")


def test_a_scheduled_function_speaks_where_it_was_scheduled() -> None:
    ctx = context(nowhere=True, home=("libera", "#home"))
    ctx.say("hi")
    assert said(ctx) == [("libera", "#home", "say", "hi")]


@pytest.mark.parametrize("value", [5, None, ["a"], 1.5])
def test_whatever_is_said_becomes_text(value: object) -> None:
    ctx = context()
    ctx.say(value)
    ctx.to("#b").say(value)
    assert [text for *_, text in said(ctx)] == [str(value)] * 2


# --- other places


def test_to_a_plain_name_stays_on_the_network_of_the_question() -> None:
    ctx = context()
    ctx.to("#b").notice("hi")
    assert said(ctx) == [("libera", "#b", "notice", "hi")]


def test_to_an_address_may_name_another_network() -> None:
    ctx = context()
    ctx.to("oftc/#b").action("hi")
    assert said(ctx) == [("oftc", "#b", "action", "hi")]


def test_to_without_a_network_of_its_own_asks_the_bot() -> None:
    with pytest.raises(UserError, match="which network"):
        context(nowhere=True).to("#b")


def test_an_address_leads_back_to_where_the_question_came_from() -> None:
    for channel, address in (("#a", "libera/#a"), (None, "libera/bob")):
        ctx = context(channel)
        assert ctx.address == address
        ctx.to(ctx.address).say("hi")
        ctx.say("hi")
        assert said(ctx)[0] == said(ctx)[1]


# --- what it knows


def test_without_an_event_there_is_no_network_channel_user_or_message() -> None:
    ctx = context(nowhere=True)
    assert (ctx.network, ctx.channel, ctx.user, ctx.message, ctx.text) == (None, None, None, None, "")


def test_nobody_is_an_admin_unless_it_is_said() -> None:
    assert context().is_admin is False


def test_the_log_is_the_plugins_own() -> None:
    assert context().log.name == "plugins.weather"


def test_settings_are_those_of_the_plugin() -> None:
    assert context().settings == {"of": "weather"}


def test_http_is_the_shared_client() -> None:
    assert context().http is http


def test_a_misspelt_attribute_is_refused_rather_than_kept() -> None:
    with pytest.raises(AttributeError):
        context().chanel = "#a"  # type: ignore[attr-defined]


# --- what belongs to the plugin


def test_what_it_starts_belongs_to_the_plugins_generation() -> None:
    ctx = context()
    ctx.spawn(asyncio.sleep(0), name="job")
    ctx.enter("file")
    ctx.thread(print, 1, 2)
    owner: Any = ctx._owner
    assert owner.asked == [("spawn", "job"), ("enter", "file"), ("thread", print, (1, 2))]


def test_schedule_takes_the_place_along() -> None:
    ctx = context()
    ctx.schedule("10m", print, "tea")
    services: Any = ctx._services
    assert services.scheduled == [(ctx._owner, "10m", print, ("tea",), "libera/#a")]


def test_schedule_without_a_place_has_no_address() -> None:
    ctx = context(nowhere=True)
    ctx.schedule(5, print)
    services: Any = ctx._services
    assert services.scheduled[0][-1] is None


# --- what an answer belongs to


@pytest.mark.parametrize(
    ("way", "answers"),
    [("reply", True), ("answer", True), ("say", False), ("notice", False), ("action", False), ("private", False)],
)
def test_a_reply_and_what_is_returned_answer_the_message_and_nothing_else_does(way: str, answers: bool) -> None:
    asked = Message("PRIVMSG", ("#a", "the text"), tags={"msgid": "7"})
    event = Event("message", LIBERA, "7", asked, User("bob", "b", "h"), "#a", "the text")
    ctx = Context(Owner(), Outlet(), Services(), event)
    getattr(ctx, way)("hi")
    outlet: Any = ctx._outlet
    assert outlet.answers == [asked if answers else None]
