"""benchmarks/fuzz: the bot at a socket that is none, with lines that hypothesis chooses; the judge can say no."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import grammar
from benchmarks.fuzz.rules import Rules, Said
from benchmarks.fuzz.stage import ME, SASL, WANTED, Stage, opened

ASKED = b":alice!u@h PRIVMSG #a :!echo hi"
QUICKLY = settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))


class Player:
    """The stage, for tests that are no coroutines."""

    def __init__(self, runner: asyncio.Runner, stage: Stage) -> None:
        self.run, self.stage = runner.run, stage

    def feed(self, *pieces: bytes) -> list[bytes]:
        """Feed these and return what the bot sent."""
        mark = len(self.stage.sent)
        self.run(self.stage.feed(pieces))
        return self.stage.sent[mark:]

    def begin(self, *, sasl: bool = False, register: bool = True) -> None:
        self.run(self._begin(sasl, register))

    async def _begin(self, sasl: bool, register: bool) -> None:
        await self.stage.fresh(SASL if sasl else None)
        if register:
            await self.stage.register()


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        stage = runner.run(stack.enter_async_context(opened(tmp_path_factory.mktemp("fuzz") / "bot")))
        yield Player(runner, stage)
        closing: Coroutine[Any, Any, None] = stack.aclose()
        runner.run(closing)


@pytest.fixture(autouse=True)
def forgiven(player: Player) -> Iterator[None]:
    """Each test begins registered and with no fault of another's."""
    player.stage.faults = type(player.stage.faults)()
    player.begin()
    yield


def test_the_stage_is_a_bot_that_answers(player: Player) -> None:
    assert player.stage.up
    assert [line.partition(b" PRIVMSG ")[2] or line for line in player.feed(ASKED + b"\r\n")] == [b"#a :hi"]
    assert player.stage.faults.faults() == []


@given(st.randoms(use_true_random=False), st.booleans(), st.booleans())
@QUICKLY
def test_no_line_breaks_the_bot_or_makes_it_say_what_nobody_asked_for(
    player: Player, random: Random, early: bool, sasl: bool
) -> None:
    player.begin(sasl=sasl, register=not early)
    for _ in range(3):
        if player.stage.open:
            player.feed(*grammar.segments(random, grammar.stream(random, 8)))
    player.run(player.stage.lose())
    assert player.stage.faults.faults() == []
    assert player.stage.left() == []


@given(st.lists(st.binary(max_size=80), max_size=5))
@QUICKLY
def test_no_bytes_break_it(player: Player, pieces: list[bytes]) -> None:
    if not player.stage.open or not player.stage.up:
        player.begin()
    player.feed(*pieces, b"\r\n")
    assert player.stage.faults.faults() == []


# --- the judge


@pytest.mark.parametrize(
    ("handler", "line", "because", "word"),
    [
        ("fuzz.echo", b"PRIVMSG #a :hi", ASKED, ""),
        ("fuzz.echo", b"PRIVMSG #a :hi", b":alice!u@h NOTICE #a :!echo hi", "no message"),
        ("fuzz.echo", b"PRIVMSG #a :hi", b":neverquit!u@h PRIVMSG #a :!echo hi", "itself"),
        ("fuzz.echo", b"PRIVMSG #a :hi", b"@batch=h1 " + ASKED, "long ago"),
        ("fuzz.echo", b"PRIVMSG #a :hi\rQUIT", ASKED, "one line"),
        ("fuzz.echo", b"PRIVMSG #a :" + b"x" * 600, ASKED, "longer"),
        ("fuzz.echo", b"QUIT :hi", ASKED, "no handler"),
        ("fuzz.secret", b"PRIVMSG #a :told", b":alice!u@h PRIVMSG #a :!secret", "admins"),
        ("fuzz.secret", b"PRIVMSG #a :secret: admins only", b":alice!u@h PRIVMSG #a :!secret", ""),
        ("-", b"JOIN #a", None, ""),
        ("-", b"JOIN #evil", None, "joins"),
        ("-", b"MODE #a +o mallory", None, "modes"),
        ("-", b"OPER root", None, "nobody asked"),
        ("registration", b"CAP REQ batch", b"CAP * LS :batch", ""),
        ("registration", b"AUTHENTICATE x", ASKED, "nothing to answer"),
    ],
)
def test_the_judge_knows_what_may_be_said(handler: str, line: bytes, because: bytes | None, word: str) -> None:
    rules = Rules(WANTED)
    rules.hear(b":s 001 neverquit :Welcome")
    rules.hear(b"BATCH +h1 chathistory #a")
    found = rules.mistake(Said("1", handler, line), rules.hear(because) if because is not None else None)
    assert word in found
    assert bool(found) == bool(word)


def test_what_the_bot_sends_by_itself_is_seen(player: Player) -> None:
    async def spoken() -> None:
        player.stage.connection.send_raw("MODE #a +o mallory")
        await player.stage.settle()

    player.run(spoken())
    assert "changes modes" in player.stage.faults.faults()[0]


def test_an_exception_in_the_guard_of_a_line_is_seen(player: Player, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("planted")

    monkeypatch.setattr(player.stage.connection.roster, "apply", fails)
    player.feed(ASKED + b"\r\n")
    assert "RuntimeError" in player.stage.faults.faults()[0]


def test_a_line_that_is_lost_is_seen(player: Player) -> None:
    assert player.stage.wire is not None
    session = player.stage.wire.session
    session.lines.feed = lambda data: []  # type: ignore[method-assign]
    player.feed(ASKED + b"\r\n")
    assert "missing" in player.stage.faults.faults()[0]


def test_every_ping_is_answered_once(player: Player) -> None:
    assert player.feed(b"PING :a\r\nPI", b"NG b\r\nPING\r\n") == [b"PONG :a", b"PONG b"]
    assert player.stage.faults.faults() == []


def test_a_seed_says_it_all() -> None:
    one, other = (grammar.stream(Random(7), 50) for _ in range(2))
    assert one == other
    assert b"".join(grammar.segments(Random(1), one)) == one
    assert ME.encode() in one
