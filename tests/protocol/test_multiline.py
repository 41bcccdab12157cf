"""bot/protocol/multiline.py: lines that are one message."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot.protocol.batches import Batches
from bot.protocol.formatting import BOLD, bold, strip
from bot.protocol.message import Message, Source
from bot.protocol.multiline import (
    CAPABILITY,
    CONCAT,
    CUT,
    MAX_OPEN,
    MAX_TEXT_BYTES,
    Gathering,
    Room,
    alone,
    groups,
    inside,
    opening,
    pieces,
    room,
)

CAPS = {CAPABILITY, "batch"}


def said(*texts: str, command: str = "PRIVMSG") -> list[Message]:
    return [Message(command, ("#a", text)) for text in texts]


# --- what the server takes


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        ("max-bytes=4096,max-lines=24", Room(4096, 24)),
        ("max-lines=24,new=1,max-bytes=40,other", Room(40, 24)),
        ("max-bytes=4096", Room(4096, 4096)),
        ("max-lines=24", None),
        ("max-bytes=,max-lines=24", None),
        ("max-bytes=9999999999", None),
        ("max-bytes=40,max-lines=x", None),
        ("", None),
    ],
)
def test_the_value_of_the_capability_says_how_much(value: str, fits: Room | None) -> None:
    assert room(CAPS, {CAPABILITY: value}) == fits


@pytest.mark.parametrize("caps", [set(), {CAPABILITY}, {"batch"}])
def test_without_both_capabilities_each_line_is_its_own(caps: set[str]) -> None:
    assert room(caps, {CAPABILITY: "max-bytes=4096"}) is None


# --- which lines are one message


def sizes(messages: list[Message], limits: Room | None) -> list[int]:
    return [len(group) for group in groups(messages, limits)]


def test_lines_that_fit_are_one_message() -> None:
    assert sizes(said("a", "b", "c"), Room(100, 10)) == [3]


def test_more_lines_than_are_taken_are_several() -> None:
    assert sizes(said(*"abcde"), Room(100, 2)) == [2, 2, 1]


def test_more_bytes_than_are_taken_are_several_line_feeds_counted() -> None:
    assert sizes(said("12345", "12345"), Room(12, 10)) == [2]
    assert sizes(said("12345", "12345"), Room(11, 10)) == [1, 1]
    assert sizes(said("ééé", "x"), Room(8, 10)) == [1, 1]


def test_without_room_each_is_alone() -> None:
    assert sizes(said("a", "b"), None) == [1, 1]


def test_notices_and_ctcp_are_never_joined() -> None:
    assert sizes(said("a", "b", command="NOTICE"), Room(100, 10)) == [1, 1]
    assert sizes(said("a", "\x01ACTION b\x01", "c", "d"), Room(100, 10)) == [1, 1, 2]


# --- the batch


def test_a_batch_has_the_tags_of_the_whole_at_its_head_and_none_of_them_inside() -> None:
    first = Message("PRIVMSG", ("#a", "hello"), tags={"+reply": "7"})
    more = [*said("how is "), Message("PRIVMSG", ("#a", "everyone?"), tags={CONCAT: ""})]
    lines = [opening([first, *more]), *inside([first, *more])]
    assert [line.encode() for line in lines] == [
        "@+reply=7 BATCH +neverquit draft/multiline #a",
        "@batch=neverquit PRIVMSG #a :hello",
        "@batch=neverquit PRIVMSG #a :how is ",
        "@batch=neverquit;draft/multiline-concat PRIVMSG #a :everyone?",
        "BATCH -neverquit",
    ]


def test_a_line_by_itself_is_joined_to_nothing() -> None:
    line = Message("PRIVMSG", ("#a", "x"), tags={CONCAT: "", "+reply": "7"})
    assert alone(line).tags == {"+reply": "7"}
    # The first of a batch has none before it.
    assert inside([line])[0].tags == {"batch": "neverquit"}


# --- long lines


@pytest.mark.parametrize("text", ["the quick brown fox jumps", "x" * 50, "é" * 30, "word " + "y" * 40, "short"])
def test_the_pieces_of_a_line_put_together_are_the_line(text: str) -> None:
    cut = pieces(text, 12)
    assert "".join(cut) == text
    assert all(0 < len(piece.encode()) <= 12 for piece in cut)


def test_pieces_of_a_dressed_line_put_together_look_like_the_line() -> None:
    text = bold("the quick brown fox") + " jumps over it"
    cut = pieces(text, 12)
    assert strip("".join(cut)) == strip(text)
    assert all(len(piece.encode()) <= 12 for piece in cut)
    # Bold is on again in each piece that has to be, and never switched off by being switched on twice.
    assert cut[1].startswith(BOLD)
    assert cut[0].endswith("\x0f")


# --- coming in


class Server:
    """Lines of a server, and what they stand for."""

    def __init__(self) -> None:
        self.batches, self.gathering, self.number = Batches(), Gathering(), 0

    def hear(self, *lines: str) -> list[Message | None]:
        found = []
        for line in lines:
            message = Message.parse(line)
            if message.command == "BATCH":
                self.batches.turn(message)
            self.number += 1
            found.append(self.gathering.take(str(self.number), message, self.batches))
        return found


OPEN = "@msgid=7;account=bob;time=x :bob!b@h BATCH +q draft/multiline #a"


def test_the_lines_of_a_batch_are_one_message_of_who_began_it() -> None:
    *parts, whole = Server().hear(
        OPEN,
        "@batch=q :bob!b@h PRIVMSG #a :hello",
        "@batch=q :bob!b@h PRIVMSG #a :",
        "@batch=q :bob!b@h PRIVMSG #a :how is ",
        "@batch=q;draft/multiline-concat :bob!b@h PRIVMSG #a :everyone?",
        "BATCH -q",
    )
    assert parts == [Message.parse(OPEN), None, None, None, None]
    tags = {"msgid": "7", "account": "bob", "time": "x"}
    assert whole == Message("PRIVMSG", ("#a", "hello\n\nhow is everyone?"), Source("bob", "b", "h"), tags)


def test_other_lines_between_them_are_themselves() -> None:
    heard = Server().hear(OPEN, "@batch=q :bob!b@h PRIVMSG #a :x", ":al!a@h PRIVMSG #a :y", "BATCH -q")
    assert [message and message.param(-1) for message in heard] == ["#a", None, "y", "x"]


def test_nobody_speaks_in_the_batch_of_somebody_else() -> None:
    _, forged, own, whole = Server().hear(
        OPEN,
        "@batch=q :eve!e@h PRIVMSG #a :!reload",
        "@batch=q :bob!b@h PRIVMSG #a :hello",
        "BATCH -q",
    )
    assert forged is not None and str(forged.source) == "eve!e@h" and "account" not in forged.tags
    assert own is None
    assert whole is not None and whole.param(1) == "hello"


def test_a_batch_that_a_server_has_begun_is_of_who_speaks_in_it() -> None:
    opening = "@account=bob :irc.test BATCH +q draft/multiline #a"
    lines = [f"@batch=q :{who} PRIVMSG #a :{who[:3]}" for who in ("bob!b@h", "eve!e@h", "bob!b@h")]
    *_, whole = Server().hear(opening, *lines, "BATCH -q")
    assert whole is not None
    assert (str(whole.source), whole.param(1), whole.tags) == ("bob!b@h", "bob\nbob", {"account": "bob"})


def test_a_batch_of_nothing_or_of_another_kind_is_nothing_new() -> None:
    for lines in (
        [OPEN, "BATCH -q"],
        ["BATCH +q netsplit a b", "@batch=q :bob!b@h QUIT :a b", "BATCH -q"],
        ["BATCH -q"],
        ["BATCH +h chathistory #a", f"@batch=h {OPEN.partition(' ')[2]}", "@batch=q :b!b@h PRIVMSG #a :x", "BATCH -q"],
    ):
        assert Server().hear(*lines) == [Message.parse(line) for line in lines]


def test_what_never_ends_costs_bounded_memory() -> None:
    server = Server()
    for number in range(MAX_OPEN + 5):
        server.hear(f":b!b@h BATCH +{number} draft/multiline #a")
    assert len(server.gathering._open) == MAX_OPEN
    for _ in range(MAX_TEXT_BYTES // 1000 + 50):
        server.hear(f"@batch={MAX_OPEN} :b!b@h PRIVMSG #a :{'x' * 1000}")
    (whole,) = server.hear(f"BATCH -{MAX_OPEN}")
    assert whole is not None
    assert len(whole.param(1)) == MAX_TEXT_BYTES + len(CUT)
    assert whole.param(1).endswith(CUT)


def test_many_short_lines_cost_no_more_each_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    server, looked_at = Server(), list[Message]()
    server.hear(OPEN)
    param = Message.param
    monkeypatch.setattr(Message, "param", lambda self, *at: (looked_at.append(self), param(self, *at))[1])
    for _ in range(1000):
        server.hear("@batch=q :bob!b@h PRIVMSG #a :x")
    assert len(looked_at) < 5000  # a thousand times all that came before it would be half a million


def test_a_reference_that_is_given_again_is_another_batch() -> None:
    server = Server()
    server.hear(OPEN, "@batch=q :bob!b@h PRIVMSG #a :one", ":srv BATCH +q chathistory #a")
    assert [one and one.param(1) for one in server.hear("@batch=q :bob!b@h PRIVMSG #a :of yesterday")] == [
        "of yesterday"
    ]
    (end,) = server.hear("BATCH -q")
    assert end is not None and end.command == "BATCH"


def test_of_the_lines_after_the_first_nothing_is_kept_that_the_message_has_no_use_for() -> None:
    server = Server()
    server.hear(OPEN, "@batch=q;account=bob :bob!b@h PRIVMSG #a :one")
    server.hear(f"@batch=q;pad={'x' * 8000};draft/multiline-concat :bob!b@h PRIVMSG #a :two {'more ' * 20}")
    server.hear(f"@batch=q PRIVMSG #a x {'more ' * 1000}")
    unfinished, _ = server.gathering.saved()
    _, _, second, third = unfinished["q"]
    assert second == ["PRIVMSG", ["#a", f"two {'more ' * 20}"], None, {CONCAT: ""}]
    assert third == ["PRIVMSG", ["#a", "x"], None, {}]


def test_it_goes_on_under_the_next_worker() -> None:
    server = Server()
    server.hear(OPEN, "@batch=q :bob!b@h PRIVMSG #a :one")
    saved = json.loads(json.dumps(server.gathering.saved()))
    server.gathering = Gathering()
    server.gathering.resume(saved)
    *_, whole = server.hear("@batch=q :bob!b@h PRIVMSG #a :two", "BATCH -q")
    assert whole is not None
    assert whole.param(1) == "one\ntwo"
    again = Gathering()
    again.resume(json.loads(json.dumps(server.gathering.saved())))
    assert again.known("4") == whole
    again.done("4")
    assert again.known("4") is None


@pytest.mark.parametrize("saved", [None, [], [1, 2], [{"q": [[]]}, {}], [{}, {"1": ["PRIVMSG"]}], [{}, [1]]])
def test_what_was_not_saved_by_it_is_refused(saved: Any) -> None:
    with pytest.raises((ValueError, TypeError, AttributeError)):
        Gathering().resume(saved)


def test_the_end_of_the_connection_forgets_what_is_open() -> None:
    server = Server()
    server.hear(OPEN, "@batch=q :bob!b@h PRIVMSG #a :one")
    server.gathering.clear()
    assert server.hear("BATCH -q") == [Message.parse("BATCH -q")]
