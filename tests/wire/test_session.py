"""Bytes to lines, and what a session does by itself; the owner here only writes down."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import FakeClock

from bot.wire.session import MAX_LINE_BYTES, MAX_UNREAD_BYTES, WRITE_SECONDS, Lines, Session


class Owner:
    """The keeper's side."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.lines = list[bytes]()
        self.pieces = list[int]()  # how many lines had come at the end of each piece
        self.told = list[str]()

    def wake(self, at: float) -> None:
        self.told.append(f"wake {at:g}")

    def connected(self, session: Session) -> None:
        self.told.append("connected")

    def arrived(self, session: Session, line: bytes) -> None:
        self.lines.append(line)
        if line == b"BAD":
            raise RuntimeError("one line that can't be taken")

    def arrived_all(self) -> None:
        self.pieces.append(len(self.lines))

    def writable(self, session: Session) -> None:
        self.told.append("writable")

    def disconnected(self, session: Session, reason: str) -> None:
        self.told.append(reason)


class Transport:
    """The socket's side, without one."""

    def __init__(self) -> None:
        self.written = b""
        self.unread = 0
        self.aborted = False

    def write(self, data: bytes) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.aborted

    def abort(self) -> None:
        self.aborted = True


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def transport() -> Transport:
    return Transport()


@pytest.fixture
def session(owner: Owner, transport: Transport) -> Session:
    made = Session(owner, "libera", {"idle_seconds": 60, "pong_seconds": 30, "tls": None}, None)
    made.connection_made(transport)  # type: ignore[arg-type]  # as much of a transport as a session uses
    return made


def fed(*segments: bytes) -> list[bytes]:
    lines = Lines()
    return [line for segment in segments for line in lines.feed(segment)]


def test_crlf_and_lf_alone_end_lines_and_empty_lines_are_none() -> None:
    assert fed(b"a\r\nb\n\r\n\nc\r\r\n") == [b"a", b"b", b"c"]


def test_a_line_may_come_in_any_pieces() -> None:
    text = b"PRIVMSG #a :x\r\nPING :y\r\n"
    assert fed(*[text[i : i + 1] for i in range(len(text))]) == [b"PRIVMSG #a :x", b"PING :y"]
    assert fed(b"a\r", b"\nb\r\n") == [b"a", b"b"]


@given(st.lists(st.binary(max_size=50)))
def test_the_pieces_make_no_difference(segments: list[bytes]) -> None:
    assert fed(*segments) == fed(b"".join(segments))


def test_the_longest_line_of_the_specification_fits() -> None:
    line = b"@" + b"t" * 8190 + b" " + b"x" * 510
    assert fed(line + b"\r\n") == [line]


@pytest.mark.parametrize("size", [1, 1000, 10**6])
def test_a_line_too_long_is_dropped_to_its_end_and_counted_once(size: int) -> None:
    lines = Lines()
    text = b"@" + b"x" * (MAX_LINE_BYTES + 5) + b" PING\r\nnext\r\n"
    assert [line for i in range(0, len(text), size) for line in lines.feed(text[i : i + size])] == [b"next"]
    assert lines.dropped == 1


def test_ten_megabytes_without_a_line_end_take_no_memory() -> None:
    lines, segment = Lines(), b"x" * 65536
    tracemalloc.start()
    for _ in range(160):
        assert list(lines.feed(segment)) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
    assert list(lines.feed(b"\nPING :x\n")) == [b"PING :x"]
    assert lines.dropped == 1


@pytest.mark.parametrize(
    ("ping", "pong"),
    [
        (b"PING :tok en 1", b"PONG :tok en 1\r\n"),
        (b"PING tok", b"PONG tok\r\n"),
        (b"ping :x", b"PONG :x\r\n"),
        (b"PING :", b"PONG :\r\n"),
        (b"PING a b", b"PONG a b\r\n"),
        (b":irc.test PING :x", b"PONG :x\r\n"),
        (b"@time=1 :irc.test PING :x", b"PONG :x\r\n"),
        (b"PING :\xff\xc3", b"PONG :\xff\xc3\r\n"),
        (b"PING", b""),
        (b"PING ", b""),
        (b"PING :a\rQUIT :b\0", b"PONG :aQUIT :b\r\n"),
    ],
)
def test_ping_is_answered_with_its_own_text_and_goes_no_further(
    ping: bytes, pong: bytes, session: Session, owner: Owner, transport: Transport
) -> None:
    session.data_received(ping + b"\r\n")
    assert transport.written == pong
    assert owner.lines == []


@pytest.mark.parametrize(
    "line", [b"PINGER :x", b":a PRIVMSG #c :PING :x", b"PONG :x", b"@PING x", b":PING", b" PING :x"]
)
def test_what_only_looks_like_ping_is_a_line(line: bytes, session: Session, owner: Owner, transport: Transport) -> None:
    session.data_received(line + b"\r\n")
    assert (owner.lines, transport.written) == ([line], b"")


def test_a_line_that_fails_costs_neither_the_connection_nor_the_next_line(
    session: Session, owner: Owner, transport: Transport
) -> None:
    session.data_received(b"BAD\r\ngood\r\nPING :x\r\n")
    assert owner.lines == [b"BAD", b"good"]
    assert transport.written == b"PONG :x\r\n"


def test_the_lines_of_one_segment_are_handed_over_together(session: Session, owner: Owner) -> None:
    session.data_received(b"one\r\ntwo\r\nthr")
    session.data_received(b"ee\r\n")
    assert owner.pieces == [2, 3]


def test_silence_is_asked_about_and_then_ended(session: Session, owner: Owner, transport: Transport) -> None:
    start = owner.clock.now
    assert session.check(start + 59) == start + 60
    assert transport.written == b""
    assert session.check(start + 60) == start + 90
    assert transport.written == b"PING :keeper\r\n"
    session.check(start + 89)
    assert not transport.aborted
    session.check(start + 90)
    assert transport.aborted
    session.connection_lost(None)
    assert owner.told[-1] == "no answer to our PING within 30 s"


def test_any_byte_is_a_sign_of_life(session: Session, owner: Owner, transport: Transport) -> None:
    owner.clock.advance(60)
    session.check(owner.clock.now)
    owner.clock.advance(29)
    session.data_received(b"x")
    assert session.check(owner.clock.now + 30) == owner.clock.now + 60
    assert not transport.aborted


def test_a_server_that_does_not_read_is_cut_off_by_size(session: Session, owner: Owner, transport: Transport) -> None:
    transport.unread = MAX_UNREAD_BYTES + 1
    session.write(b"x")
    assert transport.aborted
    session.connection_lost(None)
    assert owner.told[-1] == "the server does not read what is sent to it"


def test_a_server_that_does_not_read_is_cut_off_by_time(session: Session, owner: Owner, transport: Transport) -> None:
    session.pause_writing()
    assert owner.told[-1] == f"wake {owner.clock.now + WRITE_SECONDS:g}"
    for _ in range(10):
        owner.clock.advance(WRITE_SECONDS / 10)
        session.data_received(b"still talking\r\n")
        session.check(owner.clock.now)
    assert transport.aborted


def test_a_server_that_reads_again_is_kept(session: Session, owner: Owner, transport: Transport) -> None:
    session.pause_writing()
    session.resume_writing()
    assert owner.told[-1] == "writable"
    owner.clock.advance(WRITE_SECONDS - 1)
    session.check(owner.clock.now)
    assert not transport.aborted


def test_nothing_is_written_after_the_end(session: Session, transport: Transport) -> None:
    session.end("enough")
    session.write(b"x")
    assert transport.written == b""


def test_after_quit_the_server_has_its_time_and_no_more(session: Session, owner: Owner, transport: Transport) -> None:
    session.quit_by = owner.clock.now + 2
    assert session.check(owner.clock.now + 1) == owner.clock.now + 2
    assert not transport.aborted
    session.check(owner.clock.now + 2)
    assert transport.aborted


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (None, "the server closed the connection"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
    ],
)
def test_the_end_is_told_in_words(error: Any, words: str, session: Session, owner: Owner) -> None:
    session.data_received(b":irc.test NOTICE * :Welcome\r\n")
    session.connection_lost(error)
    assert owner.told[-1] == words


HINT = "; if it is a port for TLS (the usual one is 6697), write tls: true"


def test_a_server_that_ends_plain_text_without_a_word_may_want_tls(session: Session, owner: Owner) -> None:
    session.connection_lost(None)
    assert owner.told[-1] == "the server closed the connection without a word" + HINT


def test_with_tls_there_is_no_such_hint(session: Session, owner: Owner) -> None:
    session.settings = session.settings | {"tls": {}}
    session.connection_lost(None)
    assert owner.told[-1] == "the server closed the connection"


def test_the_alert_of_a_server_that_wanted_tls_is_understood(
    session: Session, owner: Owner, transport: Transport
) -> None:
    session.data_received(bytes.fromhex("15 03 01 00 02 02 46"))
    assert transport.aborted
    session.connection_lost(None)
    assert owner.told[-1] == "the server speaks TLS" + HINT
    assert owner.lines == []
