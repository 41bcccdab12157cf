"""bot/wire/labels.py by itself, and over a connection to a server that labels its answers."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from scripted import Peer

from bot.errors import UnsafeText
from bot.protocol.message import Message
from bot.protocol.roster import Roster
from bot.wire.labels import MAX_BATCHES, MAX_OPEN, SECONDS, Awaited, Labels, Said

LABELLED = ("message-tags", "batch", "labeled-response", "echo-message")


class Book:
    """Labels of a network, and what they told."""

    def __init__(self, *caps: str, deny: str = "") -> None:
        self.roster = Roster()
        self.roster.nick, self.roster.caps = "bot", set(caps)
        self.roster.isupport.learn("CLIENTTAGDENY", deny)
        self.labels = Labels("n", self.roster, "z")
        self.told = list[tuple[str, bool | None, str]]()

    def say(self, line: str, who: str = "weather.ask", now: float = 0.0) -> str:
        """Say a line and return it as it leaves."""
        message, awaited = self.labels.dress(Message.parse(line), who, now)
        if awaited is not None:
            name = message.param(-1)
            awaited.then(lambda fared, why: self.told.append((name, fared, why)))
        return message.encode()

    def hear(self, *lines: str, now: float = 0.0) -> list[bool]:
        return [self.labels.heard(Message.parse(line), now) for line in lines]


# --- labelled


def test_each_line_gets_another_label() -> None:
    book = Book(*LABELLED)
    assert book.say("PRIVMSG #a :x") == "@label=z1 PRIVMSG #a :x"
    assert book.say("PRIVMSG #a :x") == "@label=z2 PRIVMSG #a :x"


@pytest.mark.parametrize("caps", [(), ("labeled-response",), ("batch", "message-tags")])
def test_no_line_gets_a_label_where_the_network_would_not_answer_it(caps: tuple[str, ...]) -> None:
    book = Book(*caps)
    assert book.say("PRIVMSG #a :x") == "PRIVMSG #a :x"
    assert len(book.labels) == 0


@pytest.mark.parametrize("line", ["PONG x", "QUIT :x", "CAP END", "@+typing=active TAGMSG #a", "PASS x"])
def test_what_is_not_answered_gets_none(line: str) -> None:
    assert Book(*LABELLED).say(line) == line


@pytest.mark.parametrize("line", ["JOIN #a", "NICK x", "PART #a"])
def test_what_the_bot_does_by_itself_and_hears_of_anyhow_gets_none(line: str) -> None:
    assert Book(*LABELLED).say(line, who="-") == line
    assert Book(*LABELLED).say(line, who="chat.join") == f"@label=z1 {line}"


def test_two_workers_give_different_labels() -> None:
    lines = {Labels("n", Book(*LABELLED).roster).dress(Message.parse("WHO #a"), "-", 0)[0].encode() for _ in range(20)}
    assert len(lines) == 20


@pytest.mark.parametrize("answer", [":bot!b@h PRIVMSG #a :x", ":irc.test ACK", ":irc.test 301 bot bob :away"])
def test_an_echo_an_ack_or_any_other_answer_means_that_it_was_taken(answer: str) -> None:
    book = Book(*LABELLED)
    book.say("PRIVMSG #a :x")
    assert book.hear(f"@label=z1 {answer}") == [True]
    assert book.told == [("x", True, "")]
    assert len(book.labels) == 0


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (":irc.test 404 bot #a :Cannot send to channel", "Cannot send to channel (404)"),
        (":irc.test 401 bot #a :No such nick", "No such nick (401)"),
        (":irc.test FAIL PRIVMSG SPAM #a :Not so fast", "Not so fast (SPAM)"),
    ],
)
def test_an_error_means_that_it_was_refused_and_says_why(answer: str, why: str) -> None:
    book = Book(*LABELLED)
    book.say("PRIVMSG #a :x")
    book.hear(f"@label=z1 {answer}")
    assert book.told == [("x", False, why)]


def test_a_batch_is_one_answer_and_ends_when_it_ends() -> None:
    book = Book(*LABELLED)
    book.say("PRIVMSG bob :x")
    book.hear(
        "@label=z1 BATCH +q labeled-response", "@batch=q :bot!b@h PRIVMSG bob :x", "@batch=q :s 301 bot bob :away"
    )
    assert book.told == []
    book.hear("BATCH -q")
    assert book.told == [("x", True, "")]


def test_an_error_inside_a_batch_counts() -> None:
    book = Book(*LABELLED)
    book.say("PRIVMSG #a :x")
    book.hear("@label=z1 BATCH +q labeled-response", "@batch=q :s 404 bot #a :No", "BATCH -q")
    assert book.told == [("x", False, "No (404)")]


def test_a_batch_inside_the_answer_does_not_end_it() -> None:
    book = Book(*LABELLED)
    book.say("JOIN #a")
    book.hear("@label=z1 BATCH +q labeled-response", "@batch=q BATCH +r netjoin a b", "@batch=r :x JOIN #a", "BATCH -r")
    assert book.told == []
    assert book.hear("@batch=q :s 366 bot #a :End", "BATCH -q") == [True, True]
    assert book.told == [("#a", True, "")]


def test_a_label_that_nobody_here_gave_means_nothing() -> None:
    book = Book(*LABELLED)
    book.say("PRIVMSG #a :x")
    assert (
        book.hear("@label=other :s 404 bot #a :No", "@label=other BATCH +q labeled-response", "BATCH -q", "BATCH")
        == [False] * 4
    )
    assert book.told == []


@pytest.mark.parametrize("line", ["@label=z1 BATCH", "@label=z1 BATCH +", "@label=z1 BATCH x", "@label=z1 BATCH -"])
def test_a_batch_that_is_none_holds_no_lines(line: str) -> None:
    book = Book(*LABELLED)
    book.say("PRIVMSG #a :x")
    assert book.hear(line, ":s 404 bot #a :of something else", "@batch= :s 404 bot #a :No") == [False] * 3
    assert book.told == []


def test_an_answer_counts_once() -> None:
    book = Book(*LABELLED)
    book.say("PRIVMSG #a :x")
    book.hear("@label=z1 :s ACK", "@label=z1 :s 404 bot #a :No")
    assert book.told == [("x", True, "")]


# --- bounds


def test_what_is_never_answered_is_forgotten_in_time() -> None:
    book = Book(*LABELLED)
    book.say("PRIVMSG #a :x")
    book.hear(":s NOTICE bot :x", now=SECONDS - 1)
    assert book.told == []
    book.hear(":s NOTICE bot :x", now=SECONDS)
    assert book.told == [("x", None, "")]


def test_a_network_that_never_answers_costs_bounded_memory() -> None:
    book = Book(*LABELLED)
    for number in range(MAX_OPEN + 10):
        book.say(f"PRIVMSG #a :{number}")
    assert len(book.labels) == MAX_OPEN
    assert book.told[:2] == [("0", None, ""), ("1", None, "")]


def test_batches_that_never_end_cost_bounded_memory() -> None:
    book = Book(*LABELLED)
    for number in range(1, MAX_BATCHES + 50):
        book.say("WHO #a")
        book.hear(f"@label=z{number:x} BATCH +{number} labeled-response")
    assert len(book.labels._batches) == MAX_BATCHES


def test_the_end_of_the_connection_answers_all_that_is_open() -> None:
    book = Book(*LABELLED)
    book.say("PRIVMSG #a :x")
    book.say("PRIVMSG #a :y")
    book.labels.clear()
    assert book.told == [("x", None, ""), ("y", None, "")]


def test_who_asks_late_is_told_at_once() -> None:
    awaited = Awaited(Message("WHO", ("#a",)), "-", 0)
    awaited.end(False, "No (403)")
    told = list[tuple[bool | None, str]]()
    awaited.then(lambda fared, why: told.append((fared, why)))
    assert told == [(False, "No (403)")]


# --- echoed, without labels


def test_an_echo_of_the_same_text_means_that_it_was_taken() -> None:
    book = Book("echo-message")
    assert book.say("PRIVMSG #A :x") == "PRIVMSG #A :x"
    assert book.hear(":bob!b@h PRIVMSG #a :x", ":bot!b@h PRIVMSG #a :y") == [False, False]
    assert book.hear(":Bot!b@h PRIVMSG #a :x") == [True]
    assert book.told == [("x", True, "")]


def test_of_two_equal_texts_both_have_arrived_with_the_echo() -> None:
    book = Book("echo-message")
    book.say("PRIVMSG #a :x")
    book.say("PRIVMSG #a :x")
    book.hear(":bot!b@h PRIVMSG #a :x")
    assert book.told == [("x", True, ""), ("x", True, "")]


# --- the log


def test_a_refusal_is_logged_once_with_plugin_place_and_reason(caplog: pytest.LogCaptureFixture) -> None:
    book = Book(*LABELLED)
    for number in range(1, 4):
        book.say("PRIVMSG #a :x")
        book.hear(f"@label=z{number} :s 404 bot #a :Cannot send to channel")
    assert [record.getMessage() for record in caplog.records] == [
        "n: weather.ask could not speak in #a: Cannot send to channel (404)"
    ]


def test_it_is_logged_again_after_it_went_well_or_for_another_reason(caplog: pytest.LogCaptureFixture) -> None:
    book = Book(*LABELLED)
    answers = (":s 404 bot #a :No", ":s ACK", ":s 404 bot #a :No", ":s FAIL PRIVMSG SPAM :No")
    for number, answer in enumerate(answers, 1):
        book.say("PRIVMSG #a :x")
        book.hear(f"@label=z{number} {answer}")
    assert [record.getMessage().rpartition(": ")[2] for record in caplog.records] == [
        "No (404)",
        "No (404)",
        "No (SPAM)",
    ]


def test_the_bots_own_questions_are_not_complained_of(caplog: pytest.LogCaptureFixture) -> None:
    book = Book(*LABELLED)
    book.say("WHO #a", who="-")
    book.hear("@label=z1 :s 403 bot #a :No such channel")
    assert not caplog.records


# --- tags


def test_tags_that_the_network_refuses_are_left_off() -> None:
    assert Book(*LABELLED).say("@+reply=7 PRIVMSG #a :x") == "@label=z1;+reply=7 PRIVMSG #a :x"
    assert Book(*LABELLED, deny="*").say("@+reply=7 PRIVMSG #a :x") == "@label=z1 PRIVMSG #a :x"
    assert Book().say("@+reply=7 PRIVMSG #a :x") == "PRIVMSG #a :x"


# --- over a connection


async def up(bench: Any, *caps: str, after: tuple[str, ...] = ()) -> Peer:
    """Register with these capabilities."""
    bench.connection.start()
    peer: Peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send(f"CAP * LS :{' '.join(caps)}")
    await peer.until("CAP REQ")
    peer.send(f"CAP * ACK :{' '.join(cap.partition('=')[0] for cap in caps)}")
    await peer.until("CAP END")
    peer.send(":irc.test 001 neverquit :Welcome", *after)
    await bench.until(lambda: bench.connection.registered)
    return peer


def label(line: str) -> str:
    return Message.parse(line).tags["label"]


async def test_what_a_plugin_says_is_labelled_and_told_of(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    bench = await make()
    peer = await up(bench, *LABELLED)
    said = bench.connection.say(Message("PRIVMSG", ("#a", "x")), cause="-", handler="weather.ask")
    assert isinstance(said, Said)
    assert await said is True
    told = list[tuple[bool | None, str]]()
    said.then(lambda fared, why: told.append((fared, why)))
    (line,) = await bench.said(peer)
    assert Message.parse(line).params == ("#a", "x")
    peer.send(f"@label={label(line)} :irc.test 404 neverquit #a :Cannot send to channel")
    await bench.said(peer)
    assert told == [(False, "Cannot send to channel (404)")]
    assert "n: weather.ask could not speak in #a: Cannot send to channel (404)" in caplog.messages


async def test_a_line_that_can_not_be_said_is_not_waited_for(make: Any) -> None:
    bench = await make()
    await up(bench, *LABELLED)
    before = len(bench.connection.labels)
    with pytest.raises(UnsafeText):
        bench.connection.say(Message("PRIVMSG", ("#a b", "x")))
    assert len(bench.connection.labels) == before


async def test_a_line_that_is_dropped_for_want_of_room_was_refused(make: Any) -> None:
    bench = await make()
    peer = await up(bench, *LABELLED)
    bench.connection.outbox.credit = 0
    said = bench.connection.say(Message("PRIVMSG", ("#a", "x")))
    told = list[bool | None]()
    said.then(lambda fared, why: told.append(fared))
    bench.connection.outbox.clear()
    await bench.said(peer)
    assert told == [False]


async def test_questions_go_on_when_their_own_answer_ends(make: Any) -> None:
    bench = await make()
    peer = await up(bench, *LABELLED)
    peer.send(":neverquit!n@h JOIN #a", ":neverquit!n@h JOIN #b")
    (first,) = await bench.said(peer)
    assert Message.parse(first).params == ("#a",)
    peer.send(":irc.test 324 neverquit #a +n")  # of another question
    assert await bench.said(peer) == []
    peer.send(f"@label={label(first)} :irc.test 324 neverquit #a +nt")
    (second,) = await bench.said(peer)
    assert Message.parse(second).command == "MODE"
    assert Message.parse(second).params == ("#b",)
    assert bench.connection.roster.channel("#a").modes == {"n": None, "t": None}


async def test_the_next_worker_ignores_labels_that_it_did_not_give(make: Any) -> None:
    bench = await make(kept=True)
    peer = await up(bench, *LABELLED)
    bench.connection.say(Message("PRIVMSG", ("#a", "x")), handler="weather.ask")
    (line,) = await bench.said(peer)
    await bench.succeed()
    peer.send(f"@label={label(line)} :irc.test 404 neverquit #a :No", ":bob!b@h PRIVMSG #a :!echo here")
    (answer,) = await bench.said(peer)
    assert Message.parse(answer).params == ("#a", "here")
    assert label(answer) != label(line)


async def test_a_line_said_again_under_another_label_leaves_once(make: Any) -> None:
    bench = await make(kept=True)
    peer = await up(bench, *LABELLED)
    bench.told.finish = False
    peer.send(":bob!b@h PRIVMSG #a :!echo once")
    lines = await bench.said(peer)
    await bench.succeed()
    assert bench.told.flags == [1]
    lines += await bench.said(peer)
    assert [Message.parse(line).params for line in lines] == [("#a", "once")]


async def test_echoes_change_no_state_wake_nobody_and_teach_the_own_prefix(make: Any) -> None:
    bench = await make()
    peer = await up(bench, *LABELLED)
    bench.connection.say(Message("PRIVMSG", ("#a", "x")))
    unknown = bench.connection.room_for("PRIVMSG", "#a")
    (line,) = await bench.said(peer)
    peer.send(f"@label={label(line)} :neverquit!~n@long.cloak.example PRIVMSG #a :x")
    await bench.said(peer)
    exact = 512 - len(b":neverquit!~n@long.cloak.example PRIVMSG #a :\r\n")
    assert bench.connection.room_for("PRIVMSG", "#a") == exact != unknown
