"""The keeper between a real socket and a worker that only writes down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from scripted import FakeClock, Peer, ScriptedServer, Worker, server_tls, turns

from bot.wire import entries as holding
from bot.wire import keeper as keeping
from bot.wire import session as sessions
from bot.wire.arrivals import LINE_BYTES
from bot.wire.keeper import Keeper
from bot.wire.link import WINDOW, Frame, MemoryLink
from bot.wire.net import ROOM_STEP
from bot.wire.session import Session

WORDLESS = f" without a word; {sessions.MAYBE_TLS}".encode()
CLOSED = b"the server closed the connection" + WORDLESS


class Bench:
    """A keeper, its worker, a server, and one network `n` between them."""

    def __init__(self, server: ScriptedServer) -> None:
        self.server, self.clock = server, FakeClock()
        link = MemoryLink()
        self.keeper = Keeper(link.keeper, clock=self.clock)
        self.worker = Worker(link.worker)

    async def up(self, **settings: object) -> Peer:
        self.worker.open("n", self.server.port, **settings)
        peer = await self.server.accept()
        await self.worker.next("up")
        return peer

    async def line(self, peer: Peer, text: str | bytes) -> str:
        """Let the server say a line; the number that it gets."""
        peer.send(text)
        return (await self.worker.next("line")).fields[1]

    def another_worker(self) -> Worker:
        """As after the death of the first."""
        link = MemoryLink()
        self.keeper.attach(link.keeper)
        self.worker = Worker(link.worker)
        return self.worker

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.keeper.tick()
        await turns()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    async with ScriptedServer() as server:
        bench = Bench(server)
        yield bench
        bench.another_worker().send("close", "n", payload=b"end of the test")
        await turns()
        await bench.pass_time(keeping.QUIT_SECONDS)
        await bench.keeper.closed()


# -- greeting and dialling --


async def test_the_first_frame_is_hello_and_the_backlog_ends_with_live(bench: Bench) -> None:
    await bench.worker.next("live")
    hello, saved, live = bench.worker.frames
    assert (hello.verb, hello.fields[0], hello.fields[2]) == ("hello", "1", str(WINDOW))
    assert saved == Frame("saved", ("0",), b"")
    assert live.verb == "live"


async def test_nothing_is_sent_to_the_server_before_the_worker_says_so(bench: Bench) -> None:
    peer = await bench.up()
    assert await peer.barrier() == []


async def test_open_twice_is_one_connection(bench: Bench) -> None:
    bench.worker.open("n", bench.server.port)
    peer = await bench.up()
    bench.worker.open("n", bench.server.port)
    await peer.barrier()
    assert bench.server.connections == 1


async def test_a_failed_dial_is_down_with_its_cause(bench: Bench) -> None:
    async with ScriptedServer() as gone:
        port = gone.port
    bench.worker.open("n", port)
    assert (await bench.worker.next("down")).payload == f"127.0.0.1:{port} refused the connection".encode()


async def test_a_wrong_certificate_is_down_with_its_cause() -> None:
    async with ScriptedServer(server_tls("selfsigned")) as server:
        bench = Bench(server)
        bench.worker.open("n", server.port, tls={})
        assert b"self-signed certificate" in (await bench.worker.next("down")).payload
        await bench.keeper.closed()


async def test_a_wrong_fingerprint_is_refused_before_a_byte_of_irc() -> None:
    async with ScriptedServer(server_tls("selfsigned")) as server:
        bench = Bench(server)
        bench.worker.open("n", server.port, tls={"fingerprints": ["ab" * 32]})
        assert b"which is not the one expected" in (await bench.worker.next("down")).payload
        for peer in server.peers:
            assert await peer.rest() == b""
        assert not any(frame.verb == "up" for frame in bench.worker.frames)
        await bench.keeper.closed()


async def test_a_dial_that_takes_too_long_is_given_up(bench: Bench) -> None:
    """The server takes the connection and stays silent where TLS should begin."""
    bench.worker.open("n", bench.server.port, tls={}, connect_seconds=20)
    peer = await bench.server.accept()
    await bench.pass_time(19.9)
    assert not any(frame.verb == "down" for frame in bench.worker.frames)
    await bench.pass_time(0.1)
    place = f"127.0.0.1:{bench.server.port}"
    assert (await bench.worker.next("down")).payload.decode() == (
        f"no connection within 20 s: {place} has taken the connection, but does not answer in TLS; "
        "if it is a port for plain text, write tls: false"
    )
    await peer.rest()
    await bench.keeper.closed()


async def test_the_deadline_of_a_dial_survives_other_timers(bench: Bench) -> None:
    bench.worker.open("n", bench.server.port, tls={}, connect_seconds=20)
    peer = await bench.server.accept()
    await bench.pass_time(5)
    assert bench.keeper._timer_at == bench.clock.now + 15
    await bench.pass_time(15)
    await peer.rest()


async def test_a_connection_that_comes_when_it_was_given_up_is_cut_and_not_told(bench: Bench) -> None:
    """The last step of TLS may be done in the very turn of the loop in which the deadline is."""
    peer = await bench.up()
    session = bench.keeper._nets["n"].session
    assert session is not None
    async with ScriptedServer() as other:
        loop = asyncio.get_running_loop()
        late = Session(bench.keeper, "n", session.settings, asyncio.current_task())
        await loop.create_connection(lambda: late, "127.0.0.1", other.port)
        await (await other.accept()).rest()
        await turns()
    assert bench.keeper._nets["n"].session is session
    assert [frame.verb for frame in bench.worker.frames].count("up") == 1
    assert not any(frame.verb == "down" for frame in bench.worker.frames[4:])
    assert await peer.barrier() == []


async def test_a_checkpoint_that_makes_no_sense_is_given_to_nobody(bench: Bench) -> None:
    bench.worker.send("save", "zz", payload=b"nonsense")
    await turns()
    worker = bench.another_worker()
    await turns()
    assert worker.frames[1] == Frame("saved", ("0",), b"")


async def test_open_that_makes_no_sense_stops_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.worker.send("open", "n", payload=b"not json")
    await turns()
    assert "failed" in caplog.text
    await bench.up()


async def test_after_down_the_worker_may_open_again(bench: Bench) -> None:
    await (await bench.up()).close()
    assert (await bench.worker.next("down")).payload == CLOSED
    await bench.up()


# -- lines in --


async def test_lines_are_numbered_in_order_and_handed_over_raw(bench: Bench) -> None:
    peer = await bench.up()
    peer.send(b":a PRIVMSG #c :caf\xe9", b"   ", b"\x00\x01")
    frames = [await bench.worker.next("line") for _ in range(3)]
    assert [frame.fields for frame in frames] == [("n", "1", "0"), ("n", "2", "0"), ("n", "3", "0")]
    assert [frame.payload for frame in frames] == [b":a PRIVMSG #c :caf\xe9", b"   ", b"\x00\x01"]


async def test_five_hundred_lines_in_one_segment_all_arrive(bench: Bench) -> None:
    peer = await bench.up()
    peer.send_bytes(b"".join(b"LINE %d\r\n" % number for number in range(500)))
    await peer.barrier()
    await turns()
    assert bench.worker.payloads("line") == [b"LINE %d" % number for number in range(500)]


async def test_ping_is_answered_with_nothing_queued_said_or_credited(bench: Bench) -> None:
    peer = await bench.up(burst=1, per_second=0.001)
    for k in range(WINDOW):
        bench.worker.say("n", "-/-", k, "chatter")
    bench.worker.send("go", "n")
    assert await peer.line() == "chatter"
    assert await peer.barrier() == []


async def test_ping_is_answered_when_there_is_no_worker(bench: Bench) -> None:
    peer = await bench.up()
    bench.another_worker()._end.close()
    await turns()
    assert await peer.barrier() == []


# -- entries --


async def test_a_network_is_idle_when_all_is_done_and_sent(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.send("go", "n")
    first, second = await bench.line(peer, "A"), await bench.line(peer, "B")
    settled = asyncio.ensure_future(bench.keeper.settled("n"))
    for number in (second, first):  # in any order
        assert not bench.keeper.idle("n")
        bench.worker.send("done", number)
        await turns()
    await settled
    assert bench.keeper.idle("n")
    assert bench.keeper.idle("a network nobody opened")


async def test_what_waits_to_be_sent_keeps_a_network_busy(bench: Bench) -> None:
    await bench.up()
    bench.worker.say("n", "-/-", 0, "held until go")
    await turns()
    assert not bench.keeper.idle("n")
    assert bench.keeper.queued == 1
    bench.worker.send("go", "n")
    await bench.keeper.settled("n")
    assert bench.keeper.queued == 0


async def test_a_new_worker_gets_what_is_unfinished_in_order_flagged_before_anything_new(bench: Bench) -> None:
    peer = await bench.up()
    numbers = [await bench.line(peer, text) for text in ("A", "B", "C", "D")]
    bench.worker.send("done", numbers[2])
    bench.worker.send("seen", numbers[1])
    await turns()
    worker = bench.another_worker()
    peer.send("E")
    await worker.next("line", lambda frame: frame.payload == b"E")
    assert [frame.verb for frame in worker.frames] == ["hello", "saved", "up", "line", "line", "line", "live", "line"]
    lines = [frame for frame in worker.frames if frame.verb == "line"]
    assert [(frame.payload, frame.fields[2]) for frame in lines] == [(b"A", "1"), (b"B", "2"), (b"D", "1"), (b"E", "0")]


async def test_lines_that_came_without_a_worker_are_new_to_the_next(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker._end.close()
    await turns()
    peer.send("A")
    await peer.barrier()
    line = await bench.another_worker().next("line")
    assert (line.payload, line.fields[2]) == (b"A", "0")


async def test_frames_of_a_worker_that_was_replaced_are_never_read(bench: Bench) -> None:
    peer = await bench.up()
    number, old = await bench.line(peer, "A"), bench.worker
    old._end.close()
    bench.another_worker()
    old.send("done", number)
    await turns()
    assert not bench.keeper.idle("n")
    bench.worker.send("done", number)


async def test_the_end_of_a_worker_that_was_replaced_changes_nothing(bench: Bench) -> None:
    peer, old = await bench.up(), bench.worker
    worker = bench.another_worker()
    old._end.close()
    await turns()
    peer.send("A")
    assert (await worker.next("line")).payload == b"A"


async def test_a_checkpoint_forgets_what_was_seen_up_to_it(bench: Bench) -> None:
    peer = await bench.up()
    numbers = [await bench.line(peer, text) for text in ("A", "B", "C")]
    for number in numbers:
        bench.worker.send("seen", number)
    bench.worker.send("save", numbers[1], payload=b"blob of state")
    await turns()
    worker = bench.another_worker()
    await worker.next("live")
    assert worker.frames[1] == Frame("saved", (numbers[1],), b"blob of state")
    assert worker.payloads("line") == [b"C"]


async def test_what_came_on_the_connection_before_is_numbered_before_the_new_one_begins(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By `since` a worker tells the lines of the two apart."""
    monkeypatch.setattr("bot.wire.handing.MAX_IN_HAND", 1)
    peer = await bench.up()
    peer.send("handed over", "waits", "waits, too")
    await peer.barrier()
    await peer.close()
    await bench.worker.next("down")
    await bench.up()
    assert [frame.fields for frame in bench.worker.frames if frame.verb == "up"] == [("n", "0", "1"), ("n", "3", "1")]
    assert bench.worker.payloads("line") == [b"handed over"]


async def test_seen_finishes_a_line(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.send("seen", await bench.line(peer, "A"))
    await bench.keeper.settled("n")


async def test_what_was_seen_is_void_when_the_connection_ends(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.send("seen", await bench.line(peer, "JOIN"))
    await bench.line(peer, "unfinished")
    await peer.close()
    await bench.worker.next("down")
    worker = bench.another_worker()
    await worker.next("live")
    assert worker.payloads("line") == [b"unfinished"]


async def test_work_that_a_worker_began_is_an_entry_under_its_own_name(bench: Bench) -> None:
    await bench.up()
    name = "t:remind.tell/1700000000"
    bench.worker.send("begin", "n", name, payload=b"tell them")
    await turns()
    assert not bench.keeper.idle("n")
    worker = bench.another_worker()
    line = await worker.next("line")
    assert (line.fields, line.payload) == (("n", name, "1"), b"tell them")
    worker.send("begin", "n", name)
    worker.send("done", name)
    await bench.keeper.settled("n")


async def test_the_oldest_lines_are_dropped_when_too_many_are_held(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(holding, "MAX_HELD_BYTES", 10 * (LINE_BYTES + 1000))
    peer = await bench.up()
    bench.worker._end.close()
    await turns()
    peer.send(*(f"{number:<1000}" for number in range(25)))
    with caplog.at_level(logging.ERROR):
        await peer.barrier()
    assert bench.keeper.entries.lost == 15
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 4  # 1, 2, 4, 8
    worker = bench.another_worker()
    await worker.next("live")
    assert [int(line) for line in worker.payloads("line")] == list(range(15, 25))


# -- what is said --


async def test_paced_lines_wait_for_go_and_urgent_ones_do_not(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.say("n", "-/-", 0, "chatter")
    bench.worker.say("n", "-/-", 1, "NICK x", lane=0)
    assert await peer.line() == "NICK x"
    assert await peer.barrier() == []
    bench.worker.send("go", "n")
    assert await peer.line() == "chatter"


async def test_lines_leave_at_the_pace_of_the_network_and_in_order(bench: Bench) -> None:
    peer = await bench.up(burst=2, per_second=0.5)
    bench.worker.send("go", "n")
    for k in range(5):
        bench.worker.say("n", "-/-", k, f"line {k}")
    assert [await peer.line() for _ in range(2)] == ["line 0", "line 1"]
    await bench.pass_time(1.9)
    assert await peer.barrier() == []
    await bench.pass_time(0.1)
    assert await peer.barrier() == ["line 2"]
    await bench.pass_time(2)
    await bench.pass_time(2)
    assert await peer.barrier() == ["line 3", "line 4"]


async def test_the_clock_of_the_loop_paces_without_help(bench: Bench) -> None:
    async with ScriptedServer() as server:
        link = MemoryLink()
        keeper, worker = Keeper(link.keeper), Worker(link.worker)
        worker.open("n", server.port, burst=1, per_second=200)
        worker.send("go", "n")
        peer = await server.accept()
        await worker.next("up")
        worker.send("go", "n")
        for k in range(4):
            worker.say("n", "-/-", k, f"line {k}")
        assert [await peer.line() for _ in range(4)] == [f"line {k}" for k in range(4)]
        worker.send("close", "n", payload=b"")
        await peer.until("QUIT")
        await peer.close()
        await keeper.closed()


async def test_the_same_effect_is_accepted_once(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.send("go", "n")
    number = await bench.line(peer, "!two")
    bench.worker.say("n", f"{number}/karma", 0, "karma 0")
    bench.worker.say("n", f"{number}/seen", 0, "seen 0")
    bench.worker.say("n", f"{number}/karma", 1, "karma 1")
    await turns()
    worker = bench.another_worker()
    for k, text in enumerate(["karma 0 in other words", "karma 1", "karma 2"]):
        worker.say("n", f"{number}/karma", k, text)
    worker.say("n", f"{number}/seen", 0, "seen 0")
    await turns()
    assert await peer.barrier() == ["karma 0", "seen 0", "karma 1", "karma 2"]
    assert bench.keeper.duplicates == 3


@pytest.mark.parametrize("finished", ["done", "seen"])
async def test_late_words_of_a_finished_line_and_words_without_cause_are_all_accepted(
    finished: str, bench: Bench
) -> None:
    peer = await bench.up()
    bench.worker.send("go", "n")
    number = await bench.line(peer, "!late")
    bench.worker.send(finished, number)
    for key in (f"{number}/late", f"{number}/late", "-/-", "-/-"):
        bench.worker.say("n", key, 0, "words")
    assert [await peer.line() for _ in range(4)] == ["words"] * 4


async def test_a_cause_may_hold_slashes(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.send("go", "n")
    bench.worker.send("begin", "n", "t:a.b/17")
    for _ in range(2):
        bench.worker.say("n", "t:a.b/17/a.b", 0, "tick")
    assert await peer.line() == "tick"
    assert await peer.barrier() == []
    bench.worker.send("done", "t:a.b/17")


async def test_the_keeper_itself_refuses_what_could_be_a_second_command(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    peer = await bench.up()
    bench.worker.send("go", "n")
    for k, text in enumerate(["PRIVMSG #a :x\rQUIT", "PRIVMSG #a :\0"]):
        bench.worker.say("n", "-/-", k, text)
        bench.worker.say("n", "-/-", k, text, lane=0)
    await turns()
    assert await peer.barrier() == []
    assert bench.keeper.refused == 4
    assert "QUIT" not in caplog.text


async def test_credits_come_back_as_lines_leave(bench: Bench) -> None:
    await bench.up()
    bench.worker.send("go", "n")
    for k in range(2 * WINDOW):
        bench.worker.say("n", "-/-", k, "x")
    await turns()
    rooms = [int(frame.fields[2]) for frame in bench.worker.frames if frame.verb == "room"]
    assert sum(rooms) == 2 * WINDOW
    assert bench.keeper.refused == 0


async def test_a_worker_that_waits_for_room_always_gets_some(bench: Bench) -> None:
    """However the queue stands: it is never so that the worker has no credit and the queue nothing to send."""
    peer = await bench.up()
    bench.worker.send("go", "n")
    credit, sent = WINDOW, 0
    while sent < 10 * WINDOW + 7:
        while credit and sent < 10 * WINDOW + 7:
            bench.worker.say("n", "-/-", sent, "x")
            credit, sent = credit - 1, sent + 1
        if sent < 10 * WINDOW + 7:
            credit += int((await bench.worker.next("room")).fields[2])
    assert await peer.barrier() == ["x"] * sent


async def test_a_duplicate_gives_its_credit_back(bench: Bench) -> None:
    peer = await bench.up()
    number = await bench.line(peer, "!x")
    for _ in range(1 + ROOM_STEP):
        bench.worker.say("n", f"{number}/x", 0, "once")
    assert (await bench.worker.next("room")).fields == ("n", "#a", f"+{ROOM_STEP}")
    bench.worker.send("done", number)


async def test_a_new_worker_is_told_what_the_queue_still_holds(bench: Bench) -> None:
    await bench.up()
    for k in range(10):
        bench.worker.say("n", "-/-", k, "x")
    await turns()
    assert (await bench.another_worker().next("room")).fields == ("n", "#a", "-10")


async def test_a_new_worker_gets_no_credits_of_the_one_before(bench: Bench) -> None:
    await bench.up()
    bench.worker.send("go", "n")
    for k in range(10):  # these leave, and are owed
        bench.worker.say("n", "-/-", k, "x")
    await turns()
    worker = bench.another_worker()
    for k in range(ROOM_STEP - 1):
        worker.say("n", "-/-", k, "x")
    await turns()
    assert [frame for frame in worker.frames if frame.verb == "room"] == []


async def test_a_line_without_credit_is_refused(bench: Bench) -> None:
    await bench.up()
    for k in range(WINDOW + 1):
        bench.worker.say("n", "-/-", k, "x")
    await turns()
    assert (bench.keeper.queued, bench.keeper.refused) == (WINDOW, 1)


async def test_the_queue_is_held_while_the_network_is_down_and_leaves_after_go(bench: Bench) -> None:
    peer = await bench.up(burst=1, per_second=0.001)
    bench.worker.send("go", "n")
    for text in ("A", "B"):
        bench.worker.say("n", "-/-", 0, text)
    assert await peer.line() == "A"
    await peer.close()
    await bench.worker.next("down")
    bench.worker.say("n", "-/-", 0, "C")
    bench.worker.say("n", "-/-", 0, "JOIN #lost", lane=0)
    peer = await bench.up()
    assert await peer.barrier() == []
    bench.worker.say("n", "-/-", 0, "JOIN #a", lane=0)
    bench.worker.send("go", "n")
    assert [await peer.line() for _ in range(3)] == ["JOIN #a", "B", "C"]


async def test_chatter_waits_in_the_bounded_queue_while_the_server_does_not_read(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await bench.up()
    bench.worker.send("go", "n")
    await turns()
    session = bench.keeper._nets["n"].session
    assert session is not None
    session.pause_writing()
    for k in range(5):
        bench.worker.say("n", "-/-", k, "x")
    await turns()
    assert bench.keeper.queued == 5
    session.resume_writing()
    assert bench.keeper.queued == 0


# -- the end --


async def test_a_network_that_is_given_up_is_known_no_more_when_it_is_down_unless_it_comes_again(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.send("close", "n", payload=b"bye")
    bench.worker.send("drop", "n")
    await peer.until("QUIT")
    assert bench.keeper.uptimes().keys() == {"n"}
    await peer.close()
    await bench.worker.next("down")
    assert bench.keeper.uptimes() == {}
    await bench.up()
    bench.worker.send("drop", "n")
    bench.worker.open("n", bench.server.port)
    await turns()
    await bench.server.peers[-1].close()
    await bench.worker.next("down")
    assert bench.keeper.uptimes() == {"n": None}


async def test_a_dead_connection_is_noticed_by_the_keepers_own_ping(bench: Bench) -> None:
    peer = await bench.up(idle_seconds=60, pong_seconds=30)
    await bench.pass_time(60)
    assert await peer.line() == "PING :keeper"
    await bench.pass_time(30)
    assert (await bench.worker.next("down")).payload == b"no answer to our PING within 30 s"


async def test_close_says_quit_ahead_of_all_chatter_and_waits_for_the_server(bench: Bench) -> None:
    peer = await bench.up(burst=1, per_second=0.001)
    bench.worker.send("go", "n")
    for k in range(50):
        bench.worker.say("n", "-/-", k, "chatter")
    bench.worker.send("close", "n", payload=b"so long\0, and thanks")
    assert [await peer.line() for _ in range(2)] == ["chatter", "QUIT :so long, and thanks"]
    assert await peer.barrier() == []
    await peer.close()
    assert (await bench.worker.next("down")).payload == b"so long , and thanks"
    await bench.keeper.closed()


async def test_a_server_that_ignores_quit_is_left(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.send("close", "n", payload=b"bye")
    await peer.until("QUIT")
    await bench.pass_time(keeping.QUIT_SECONDS)
    await bench.worker.next("down")
    await bench.keeper.closed()
    assert await peer.rest() == b"QUIT :bye\r\n"


async def test_nothing_follows_quit(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.send("close", "n", payload=b"bye")
    bench.worker.say("n", "-/-", 0, "NICK x", lane=0)
    bench.worker.send("go", "n")
    bench.worker.say("n", "-/-", 0, "late")
    await turns()
    await bench.pass_time(keeping.QUIT_SECONDS)
    assert await peer.rest() == b"QUIT :bye\r\n"


async def test_close_gives_up_a_dial(bench: Bench) -> None:
    bench.worker.open("n", bench.server.port, tls={})
    peer = await bench.server.accept()
    bench.worker.send("close", "n", payload=b"changed my mind")
    assert (await bench.worker.next("down")).payload == b"changed my mind"
    await bench.keeper.closed()
    await peer.rest()


async def test_a_reset_is_told_in_words(bench: Bench) -> None:
    (await bench.up()).abort()
    assert (await bench.worker.next("down")).payload in (
        b"Connection reset by peer" + WORDLESS,
        CLOSED,
    )


async def test_networks_do_not_touch_each_other(bench: Bench) -> None:
    async with ScriptedServer() as second_server:
        first = await bench.up()
        bench.worker.open("m", second_server.port)
        second = await second_server.accept()
        await bench.worker.next("up")
        bench.worker.say("m", "-/-", 0, "USER", lane=0)
        assert await second.line() == "USER"
        assert await first.barrier() == []
        await first.close()
        assert (await bench.worker.next("down")).fields == ("n",)
        second.send("still here")
        assert (await bench.worker.next("line")).fields[0] == "m"
        await second.close()
        assert (await bench.worker.next("down")).fields == ("m",)


async def test_a_server_that_never_reads_costs_bounded_memory(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "MAX_UNREAD_BYTES", 100)
    peer = await bench.up()
    session = bench.keeper._nets["n"].session
    assert session is not None
    monkeypatch.setattr(type(session.transport), "get_write_buffer_size", lambda _: 101)
    peer.send("PING :flood")
    assert (await bench.worker.next("down")).payload == b"the server does not read what is sent to it"


# -- several lines, and lines that matter little --

TOGETHER = "@label=1 BATCH +n draft/multiline #a\r@batch=n PRIVMSG #a :x\r@batch=n PRIVMSG #a :y\rBATCH -n"


def batch(bench: Bench, key: str, k: int, lines: str = TOGETHER, lane: int = 1) -> None:
    bench.worker.send("batch", "n", key, k, lane, "#a", payload=lines.encode())


async def test_a_message_of_several_lines_leaves_in_one_piece(bench: Bench) -> None:
    peer = await bench.up(burst=1, per_second=1)
    bench.worker.send("go", "n")
    batch(bench, "-/h", 0)
    peer.send("PING :between")
    lines = await peer.barrier()
    assert [line for line in lines if "PONG" not in line] == TOGETHER.split("\r")
    where = lines.index("PONG :between") if "PONG :between" in lines else 0
    assert where in (0, len(lines) - 1)


async def test_it_is_one_effect_whatever_worker_says_it(bench: Bench) -> None:
    peer = await bench.up()
    bench.worker.send("go", "n")
    number = await bench.line(peer, "hi")
    batch(bench, f"{number}/h", 1)
    assert len(await peer.barrier()) == 4
    bench.another_worker()
    await bench.worker.next("line")
    batch(bench, f"{number}/h", 1, TOGETHER.replace("label=1", "label=2"))
    bench.worker.say("n", f"{number}/h", 2, "PRIVMSG #a :z")
    assert await peer.until("PRIVMSG #a :z") == ["PRIVMSG #a :z"]
    assert bench.keeper.duplicates == 1


async def test_on_another_connection_its_lines_leave_by_themselves_without_tags(bench: Bench) -> None:
    peer = await bench.up(burst=1, per_second=1)
    batch(bench, "-/h", 0)
    bench.worker.say("n", "-/h", 1, "@label=2;+reply=7 PRIVMSG #a :z")
    await turns()
    await peer.close()
    await bench.worker.next("down")
    peer = await bench.up(burst=1, per_second=1)
    bench.worker.send("go", "n")
    assert await peer.until("PRIVMSG #a :x") == ["PRIVMSG #a :x"]
    await bench.pass_time(1)
    assert await peer.barrier() == ["PRIVMSG #a :y"]
    await bench.pass_time(1)
    assert await peer.barrier() == ["PRIVMSG #a :z"]
    assert bench.keeper.queued == 0


async def test_lines_without_a_frame_leave_in_turn(bench: Bench) -> None:
    peer = await bench.up(burst=1, per_second=1)
    bench.worker.send("go", "n")
    batch(bench, "-/h", 0, "PRIVMSG #a :x\rPRIVMSG #a :y")
    assert await peer.until("PRIVMSG #a :x") == ["PRIVMSG #a :x"]
    await bench.pass_time(1)
    assert await peer.barrier() == ["PRIVMSG #a :y"]


async def test_a_line_that_matters_little_leaves_at_once_or_never(bench: Bench) -> None:
    peer = await bench.up(burst=2, per_second=1)
    bench.worker.say("n", "-/-", 0, "TAGMSG #early", lane=3)
    bench.worker.send("go", "n")
    bench.worker.say("n", "-/-", 0, "TAGMSG #a", lane=3)
    assert await peer.until("TAGMSG") == ["TAGMSG #a"]
    bench.worker.say("n", "-/-", 0, "TAGMSG #late", lane=3)
    bench.worker.say("n", "-/h", 0, "PRIVMSG #a :x")
    assert await peer.until("PRIVMSG") == ["PRIVMSG #a :x"]
    await bench.pass_time(100)
    assert await peer.barrier() == []
