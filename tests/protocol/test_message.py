"""message.py: every line is read or refused, and nothing that is sent can be read as two."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.errors import MalformedLine, UnsafeText
from bot.protocol.message import Message, Source, decode, safe

SETTINGS = settings(deadline=None, max_examples=150)


@pytest.mark.vectors("msg-split")
def test_reads_as_the_public_vectors_say(vector: dict[str, Any]) -> None:
    atoms = vector["atoms"]
    message = Message.parse(vector["input"])
    assert message.command == atoms["verb"].upper()
    assert list(message.params) == atoms.get("params", [])
    assert dict(message.tags) == atoms.get("tags", {})
    assert message.source == (Source.parse(atoms["source"]) if "source" in atoms else None)
    assert str(message.source or "") == atoms.get("source", "")


@pytest.mark.vectors("msg-join")
def test_writes_as_the_public_vectors_say(vector: dict[str, Any]) -> None:
    atoms = vector["atoms"]
    source = Source.parse(atoms["source"]) if "source" in atoms else None
    message = Message(atoms["verb"], tuple(atoms.get("params", ())), source, atoms.get("tags", {}))
    assert message.encode() in vector["matches"]


@pytest.mark.vectors("userhost-split")
def test_splits_a_source_as_the_public_vectors_say(vector: dict[str, Any]) -> None:
    atoms = vector["atoms"]
    expected = Source(atoms["nick"], atoms.get("user", ""), atoms.get("host", ""))
    assert Source.parse(vector["source"]) == expected


@pytest.mark.parametrize(
    "line",
    [
        *("", " ", "    ", "\r\n", " PRIVMSG #c :leading space", ":only.prefix", ":only.prefix ", "@tag", "@tag "),
        *(":", "@", ": :", ":a :b", "@a :b", "@a :b :c", "\u00a0PING"),
        *("PRIVMSG\t#c\t:tabs don't separate", "pr\u0131vmsg #c :dotless"),
    ],
)
def test_a_line_without_a_command_is_malformed(line: str) -> None:
    with pytest.raises(MalformedLine):
        Message.parse(line)


def test_the_error_shows_one_short_line_of_what_came() -> None:
    with pytest.raises(MalformedLine) as caught:
        Message.parse(":\n\x1b" + "x" * 10_000)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 120


@given(st.text())
@SETTINGS
def test_parse_raises_nothing_but_malformed_line(line: str) -> None:
    try:
        Message.parse(line)
    except MalformedLine:
        pass


@given(st.text(alphabet=" :@!;=\\aA1#\t\r\n\0\u00a0\u2028", max_size=40))
@SETTINGS
def test_parse_survives_every_order_of_the_signs_that_mean_something(line: str) -> None:
    try:
        message = Message.parse(line)
    except MalformedLine:
        return
    assert message.command == message.command.upper() != ""
    assert all(" " not in word and word for word in message.params[:-1])


@given(st.binary())
@SETTINGS
def test_decode_takes_any_bytes(raw: bytes) -> None:
    assert decode(raw).encode().decode() == decode(raw)


def test_decode_prefers_utf8() -> None:
    assert decode("naïve 🤖".encode()) == "naïve 🤖"


def test_a_line_that_is_not_utf8_is_western_as_a_whole() -> None:
    assert decode(b"caf\xe9 \x80 \x81 \x85") == "café € \x81 …"
    assert decode(b"\xc0\xaf over long") == "À¯ over long"


def test_a_code_point_torn_by_the_servers_limit_spoils_only_itself() -> None:
    assert decode("é🤖".encode()[:-1]) == "é\ufffd"


def test_each_byte_alone_has_a_meaning_and_ascii_keeps_its_own() -> None:
    for byte in range(256):
        text = decode(bytes([byte]))
        assert len(text) == 1
        assert (ord(text) == byte) if byte < 128 else ord(text) >= 128


def test_only_space_separates() -> None:
    line = "JOIN #a\u00a0b\u3000c\x1fd\te key"
    assert Message.parse(line).params == ("#a\u00a0b\u3000c\x1fd\te", "key")


def test_the_command_is_upper_case_and_digits_stay() -> None:
    assert Message.parse("privmsg #c :x").command == "PRIVMSG"
    assert [Message.parse(f"{number} x").command for number in ("000", "999", "1234")] == ["000", "999", "1234"]


def test_more_than_fifteen_parameters_are_all_kept() -> None:
    assert Message.parse("CMD " + " ".join(map(str, range(30)))).params == tuple(map(str, range(30)))


def test_missing_parameters_read_as_the_default() -> None:
    message = Message.parse("PRIVMSG #c")
    assert (message.param(0), message.param(1), message.param(9, "?"), message.param(-1)) == ("#c", "", "?", "#c")
    assert Message.parse("PRIVMSG").param(-1) == ""


def test_five_thousand_tags_are_read() -> None:
    message = Message.parse("@" + ";".join(f"k{n}={n}" for n in range(5000)) + " PING x")
    assert len(message.tags) == 5000


def test_a_tag_without_a_key_is_nothing() -> None:
    assert dict(Message.parse("@=x;;a=1 PING").tags) == {"a": "1"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a!b!c@d@e", Source("a", "b!c@d", "e")),
        ("!@", Source("")),
        ("nick@host", Source("nick", "", "host")),
        ("n" * 400, Source("n" * 400)),
        ("a!x@staff.example.org@real.host", Source("a", "x@staff.example.org", "real.host")),
        ("", Source("")),
    ],
)
def test_odd_sources_are_split_so_that_the_host_is_the_last_part(text: str, expected: Source) -> None:
    assert Source.parse(text) == expected


def test_a_server_is_no_user() -> None:
    assert not Source.parse("irc.example.org").is_user
    assert not Source.parse("!reload").is_user
    assert not Source.parse("@host").is_user
    assert Source.parse("alice!a@host").is_user


def test_a_message_without_a_source_has_none() -> None:
    assert Message.parse("PING x").source is None
    assert Message.parse(": PING x").source is None


@pytest.mark.parametrize("bad", ["a\r\nQUIT :x", "a\nb", "a\rb", "a\0b"])
def test_no_part_of_a_message_can_begin_a_second_line(bad: str) -> None:
    for message in (
        Message("PRIVMSG", ("#c", bad)),
        Message("PRIVMSG", (bad, "text")),
        Message("JOIN", ("#c", bad)),
        Message("NICK", (bad,)),
        Message("KICK", ("#c", "nick", bad)),
        Message(bad),
        Message("PING", ("x",), Source(bad)),
        Message("PING", ("x",), Source("a", bad, "h")),
        Message("PING", ("x",), tags={bad: "v"}),
    ):
        with pytest.raises(UnsafeText):
            message.encode()


def test_a_tag_value_escapes_line_ends_and_refuses_nul() -> None:
    assert Message("PING", tags={"a": "x\r\ny"}).encode() == r"@a=x\r\ny PING"
    with pytest.raises(UnsafeText):
        Message("PING", tags={"a": "x\0y"}).encode()


@pytest.mark.parametrize("word", ["#c other", "", ":#c", " "])
def test_a_middle_parameter_that_would_shift_the_others_is_refused(word: str) -> None:
    with pytest.raises(UnsafeText):
        Message("PRIVMSG", (word, "text")).encode()


@pytest.mark.parametrize("command", ["", "PRIVMSG #c :x", "A B", ":A", "@A", "PRIVMSG\u00a0x"])
def test_a_command_must_be_one_word(command: str) -> None:
    with pytest.raises(UnsafeText):
        Message(command, ("x",)).encode()


@pytest.mark.parametrize("key", ["", "a b", "a;b", "a=b", "a\\b"])
def test_a_tag_key_must_be_one(key: str) -> None:
    with pytest.raises(UnsafeText):
        Message("PING", tags={key: "v"}).encode()


@pytest.mark.parametrize("source", [Source(""), Source("a b"), Source("a", "b c", "d")])
def test_a_source_must_be_one_word(source: Source) -> None:
    with pytest.raises(UnsafeText):
        Message("PING", source=source).encode()


def test_prose_always_has_its_colon() -> None:
    assert Message("PRIVMSG", ("#c", "hi")).encode() == "PRIVMSG #c :hi"
    assert Message("JOIN", ("#c", "key")).encode() == "JOIN #c key"


def test_safe_gives_back_harmless_text_itself() -> None:
    text = "\x01ACTION waves\x01 \u2028 \x85 é"
    assert safe(text) is text


_word = st.text(st.characters(blacklist_characters=" \r\n\0", blacklist_categories=("Cs",)), min_size=1)
_middle = _word.filter(lambda word: word[0] != ":")
_last = st.text(st.characters(blacklist_characters="\r\n\0", blacklist_categories=("Cs",)))
_part = st.text(st.characters(blacklist_characters=" !@\r\n\0", blacklist_categories=("Cs",)), min_size=1)
_source = st.builds(Source, _part, _part, _part) | st.builds(Source, _part)
_key = st.from_regex(r"\A\+?[a-z][a-z0-9./-]{0,10}\Z")
_value = st.text(st.characters(blacklist_characters="\0", blacklist_categories=("Cs",)))
_message = st.builds(
    lambda command, middle, last, source, tags: Message(command, (*middle, *last), source, tags),
    st.from_regex(r"\A([A-Z]+|[0-9]{3})\Z"),
    st.lists(_middle, max_size=4),
    st.lists(_last, max_size=1),
    st.none() | _source,
    st.dictionaries(_key, _value, max_size=3),
)


@given(_message)
@SETTINGS
def test_what_is_written_is_read_back(message: Message) -> None:
    line = message.encode()
    assert Message.parse(line + "\r\n") == message
    assert line.count("\r") == line.count("\n") == line.count("\0") == 0


@given(st.text(), st.lists(st.text(), max_size=4), st.dictionaries(st.text(), st.text(), max_size=2))
@SETTINGS
def test_encode_raises_nothing_but_unsafe_text(command: str, params: list[str], tags: dict[str, str]) -> None:
    try:
        line = Message(command, tuple(params), None, tags).encode()
    except UnsafeText:
        return
    assert Message.parse(line).params == tuple(params)
