"""bot/protocol/clienttags.py: what a network takes of our tags."""

from __future__ import annotations

import pytest

from bot.protocol.clienttags import MAX_ID_BYTES, denied, in_reply_to, permitted
from bot.protocol.message import Message

TAGS = {"+reply": "7", "+draft/reply": "7"}


def test_an_answer_names_the_message_by_both_names_of_the_tag() -> None:
    assert in_reply_to(Message.parse("@msgid=7;time=x :a!b@c PRIVMSG #a :hi")) == TAGS
    assert in_reply_to(Message.parse("@msgid=7 :a!b@c NOTICE #a :hi")) == TAGS


@pytest.mark.parametrize("line", [":a!b@c PRIVMSG #a :hi", "@msgid :a!b@c PRIVMSG #a :hi", "@msgid=7 :a!b@c JOIN #a"])
def test_without_an_id_of_something_said_nothing_is_named(line: str) -> None:
    assert not in_reply_to(Message.parse(line))


@pytest.mark.parametrize("identifier", ["x" * (MAX_ID_BYTES + 1), "7\0"])
def test_nothing_is_named_where_no_line_came_or_its_id_is_absurd(identifier: str) -> None:
    assert not in_reply_to(None)
    assert not in_reply_to(Message("PRIVMSG", ("#a", "x"), tags={"msgid": identifier}))


@pytest.mark.parametrize(
    ("deny", "refused"),
    [
        (None, False),
        ("", False),
        ("*", True),
        ("*,-typing", False),
        ("*,-foo,-example/bar", True),
        ("typing", True),
        ("foo,draft/reply", False),
        ("*,-typing,-foo", False),
    ],
)
def test_clienttagdeny_is_read_as_the_page_says(deny: str | None, refused: bool) -> None:
    tokens = {} if deny is None else {"CLIENTTAGDENY": deny}
    assert denied("+typing", tokens) is refused
    assert denied("typing", tokens) is refused


def test_only_tags_that_the_network_takes_go_out() -> None:
    assert permitted(TAGS, {"message-tags"}, {}) == TAGS
    assert permitted(TAGS, {"message-tags"}, {"CLIENTTAGDENY": "draft/reply"}) == {"+reply": "7"}
    assert permitted(TAGS, {"batch"}, {}) == {}
    assert permitted({"other": "1"}, {"message-tags"}, {"CLIENTTAGDENY": "*"}) == {"other": "1"}
