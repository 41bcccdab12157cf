"""A connection through a real keeper to a scripted server; the listener only writes down."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import irc.client_aio
import pytest
from bench import Told
from scripted import CERTIFICATES, FakeClock, ScriptedServer, Worker, server_tls, turns

from bot.config import Channel, Flood, Network, NickServ, Reconnect, SaslSettings, Secret, Tls
from bot.errors import CannotConnect, UnsafeText
from bot.protocol.message import Message
from bot.wire.connection import Connection
from bot.wire.library import BORROWED
from bot.wire.link import WINDOW, Frame, MemoryLink
from bot.wire.opening import Limits
from bot.wire.reactor import Reactor

# -- registration --


async def test_it_registers_joins_releases_and_tells(make: Any) -> None:
    bench = await make(channels=(Channel("#a"), Channel("#b", Secret("key"))))
    bench.connection.start()
    peer = await bench.server.accept()
    assert await peer.register() == ["CAP LS 302", "NICK neverquit", "USER neverquit 0 * neverquit", "CAP END"]
    assert await bench.said(peer) == ["JOIN #b,#a key"]
    assert bench.told.events == ["up"]
    assert bench.connection.registered
    await bench.connection.wait_up()


async def test_a_password_of_a_new_configuration_is_not_told_to_the_host_of_the_old_one(make: Any) -> None:
    bench = await make()
    bench.connection.start()
    nickserv = NickServ(password=Secret("new"))
    bench.connection.configure(
        replace(bench.network, host="new.example.org", password=Secret("new"), nickserv=nickserv, channels=())
    )
    peer = await bench.server.accept()
    lines = await peer.register()
    assert [line for line in lines + await bench.said(peer) if "new" in line] == []


async def test_it_joins_after_001_once_whatever_follows(make: Any) -> None:
    bench = await make(channels=(Channel("#a"),))
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.register()
    lines = await bench.said(peer)
    peer.send(
        ":irc.test 422 neverquit :No MOTD",
        ":irc.test 900 neverquit n!i@h account :You are now logged in",
        ":irc.test 376 neverquit :End",
        ":irc.test 001 neverquit :Welcome again",
        ":irc.test 005 neverquit NICKLEN=20 :are supported",
    )
    assert lines + await bench.said(peer) == ["JOIN #a"]
    assert bench.told.events == ["up"]


async def test_ping_before_001_is_answered_and_a_slow_server_is_waited_for(make: Any) -> None:
    bench = await make()
    bench.connection.start()
    peer = await bench.server.accept()
    peer.send(":irc.test NOTICE * :*** Looking up your hostname", "PING :cookie", ":irc.test 020 * :Please wait")
    await peer.until("PONG :cookie")
    await bench.pass_time(45)
    peer.send(":irc.test 421 * CAP :Unknown command", ":irc.test 001 neverquit :Welcome")
    await bench.said(peer)
    assert bench.connection.registered


async def test_r17_a_server_that_takes_the_connection_and_says_nothing_is_left_at_the_deadline(make: Any) -> None:
    bench = await make(limits=Limits(registration_seconds=90))
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    await bench.pass_time(59)
    await bench.pass_time(30)
    assert bench.connection.connected
    await bench.pass_time(1)
    assert (await peer.until("QUIT"))[-1] == (
        f"QUIT :not registered within 90 s: 127.0.0.1:{bench.server.port} has taken the connection and says nothing; "
        "if it is a port for TLS (the usual one is 6697), write tls: true"
    )
    await bench.lost(peer)
    await bench.pass_time(10)
    await bench.again()


async def test_a_server_that_speaks_and_does_not_let_us_in_gets_no_hint_about_tls(make: Any) -> None:
    bench = await make()
    bench.connection.start()
    peer = await bench.server.accept()
    peer.send(":irc.test NOTICE * :*** Looking up your hostname")
    await bench.said(peer)
    await bench.pass_time(90)
    assert (await peer.until("QUIT"))[-1] == "QUIT :not registered within 90 s"


async def test_where_it_connects_to_is_in_the_log_once_until_it_came_up(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench = await make()
    going = f"n: connecting to 127.0.0.1:{bench.server.port} without TLS"
    bench.connection.start()
    for _ in range(2):
        await bench.lost(await bench.server.accept())
        await bench.pass_time(300)
    assert caplog.messages.count(going) == 1
    await bench.lost(await bench.again())
    await bench.pass_time(300)
    await bench.again()
    assert caplog.messages.count(going) == 2


async def test_sasl_that_is_required_and_refused_leaves_and_comes_back_later(make: Any) -> None:
    sasl = SaslSettings(("PLAIN",), "bot", Secret("wrong"))
    bench = await make(server_tls(), host="localhost", tls=Tls(str(CERTIFICATES / "authority.pem")), sasl=sasl)
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send("CAP * LS :sasl=PLAIN")
    await peer.until("CAP REQ")
    peer.send("CAP * ACK :sasl")
    assert (await peer.until("AUTHENTICATE"))[-1] == "AUTHENTICATE PLAIN"
    peer.send("AUTHENTICATE +")
    await peer.until("AUTHENTICATE")
    peer.send(":irc.test 904 * :SASL authentication failed")
    await peer.until("QUIT")
    await bench.lost(peer)
    assert bench.told.events == []
    assert b"JOIN" not in peer.received
    assert 60 <= bench.waits() <= 120
    right = replace(sasl, password=Secret("right"))
    bench.connection.configure(replace(bench.network, sasl=right))  # it is corrected: no need to wait
    await bench.pass_time(0)
    await (await bench.server.accept()).until("CAP LS")


async def test_no_wait_for_a_right_password_is_longer_than_the_configured_maximum(make: Any) -> None:
    sasl = SaslSettings(("PLAIN",), "bot", Secret("wrong"), None, True, True)
    bench = await make(sasl=sasl, reconnect=Reconnect(2, 10))
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send("CAP * LS :sasl=PLAIN")
    await peer.until("CAP REQ")
    peer.send("CAP * ACK :sasl")
    await peer.until("AUTHENTICATE")
    peer.send(":irc.test 904 * :SASL authentication failed")
    await bench.lost(peer)
    assert 5 <= bench.waits() <= 10


async def test_sasl_that_is_not_required_and_refused_is_told_and_gone_on_without(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await make(sasl=SaslSettings(("PLAIN",), "bot", Secret("wrong"), None, False, True))
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send("CAP * LS :account-tag sasl")
    await peer.until("CAP REQ")
    peer.send("CAP * ACK :account-tag sasl", "AUTHENTICATE +", ":irc.test 904 * :SASL authentication failed")
    await peer.until("CAP END")
    peer.send(":irc.test 001 neverquit :Welcome")
    await bench.connection.wait_up()
    assert [record.levelname for record in caplog.records if record.levelno > logging.INFO] == ["WARNING"]
    assert "wrong" not in caplog.text
    assert bench.connection.roster.caps >= {"account-tag"}
    peer.send(":irc.test CAP neverquit DEL :account-tag")
    await bench.said(peer)
    assert "account-tag" not in bench.connection.roster.caps


async def test_up_told_twice_is_one_registration() -> None:
    link = MemoryLink()
    keeper = Worker(link.keeper)
    connection = Connection("n", Network("n", "h"), Reactor(link.worker), Told(), clock=FakeClock())
    connection.reactor.listen()
    connection.start()
    await keeper.next("open")
    keeper.send("up", "n", "0", "1")
    keeper.send("up", "n", "0", "1")
    await turns()
    assert [payload for payload in keeper.payloads("say") if payload.startswith(b"CAP")] == [b"CAP LS 302"]
    connection.disconnect()
    keeper.send("down", "n")
    await connection.ended()


async def test_c06_a_wrong_certificate_means_not_a_byte_of_irc(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench = await make(server_tls("expired"), host="localhost", tls=Tls(str(CERTIFICATES / "authority.pem")), once=True)
    bench.connection.start()
    with pytest.raises(CannotConnect, match="certificate has expired"):
        await bench.connection.wait_up()
    for peer in bench.server.peers:
        assert await peer.rest() == b""


# -- coming back --


async def test_c12_it_comes_back_after_a_loss_and_joins_what_it_was_in(make: Any) -> None:
    bench = await make(channels=(Channel("#a"), Channel("#gone")))
    peer = await bench.up()
    bench.connection.join("#b", "secret")
    bench.connection.part("#gone", "so long")
    assert await bench.said(peer) == ["JOIN #a,#gone", "JOIN #b secret", "PART #gone :so long"]
    await bench.lost(peer)
    assert bench.told.events == ["up", "down: the server closed the connection"]
    assert bench.connection.roster.nick == ""
    await bench.pass_time(4)
    peer = await bench.server.accept()
    await peer.register()
    assert await bench.said(peer) == ["JOIN #b,#a secret"]
    assert bench.told.events[-1] == "up"


async def test_c01_refused_a_thousand_times_it_waits_with_jitter_below_the_cap_and_connects_at_last() -> None:
    """Against a keeper that only says `down`, so that a thousand attempts take no sockets."""
    link = MemoryLink()
    keeper, clock = Worker(link.keeper), FakeClock()
    connection = Connection(
        "n", Network("n", "h", reconnect=Reconnect(2, 300)), Reactor(link.worker), Told(), clock=clock, random=Random(1)
    )
    connection.reactor.listen()
    connection.start()
    waits = list[float]()
    for _ in range(1000):
        await keeper.next("open")
        keeper.send("down", "n", payload=b"refused")
        await turns()
        at = connection.alarms.next_at("dial")
        assert at is not None
        waits.append(at - clock.now)
        clock.now = at
        connection.alarms.tick()
    assert 2 <= waits[0] <= 4
    assert all(150 <= wait <= 300 for wait in waits[10:])
    assert len({round(wait, 3) for wait in waits}) > 900
    await keeper.next("open")
    keeper.send("up", "n", "0", "1")
    keeper.send("line", "n", 1, 0, payload=b":h 001 neverquit :Welcome")
    await keeper.next("go")
    assert connection.registered
    connection.disconnect()


async def test_the_reason_is_logged_once_per_change(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench = await make()
    bench.connection.start()
    with caplog.at_level(logging.WARNING, "bot.wire.connection"):
        for text in ["K-lined", "K-lined", "K-lined", "Throttled", "Throttled"]:
            peer = await bench.server.accept()
            peer.send(f"ERROR :Closing Link: {text}")
            await bench.lost(peer)
            await bench.pass_time(300)
        await (await bench.server.accept()).close()
    told = [record.getMessage() for record in caplog.records]
    assert [text.partition(";")[0] for text in told[:2]] == [
        "n: the server refused us: Closing Link: K-lined",
        "n: the server refused us: Closing Link: Throttled",
    ]


@pytest.mark.parametrize("numeric", ["463", "464", "465"])
async def test_a_refusal_before_001_is_the_reason_told(numeric: str, make: Any) -> None:
    bench = await make(once=True)
    bench.connection.start()
    peer = await bench.server.accept()
    peer.send(f":irc.test {numeric} * :You are not welcome")
    await peer.close()
    with pytest.raises(CannotConnect, match="n: the server refused us: You are not welcome"):
        await bench.connection.wait_up()


async def test_c18_sessions_that_end_soon_after_001_do_not_reset_the_waits(make: Any) -> None:
    bench = await make()
    bench.connection.start()
    waits = list[float]()
    for _ in range(50):
        peer = await bench.again()
        await bench.pass_time(59)
        await bench.lost(peer)
        waits.append(bench.waits())
        await bench.pass_time(waits[-1])
    assert all(later > earlier for earlier, later in pairwise(waits[:6]))
    assert all(150 <= wait <= 300 for wait in waits[8:])
    peer = await bench.again()
    await bench.pass_time(60)
    await bench.lost(peer)
    assert bench.waits() <= 4


async def test_c04_a_dead_server_is_noticed_and_dialled_again(make: Any) -> None:
    bench = await make(limits=Limits(idle_seconds=60, pong_seconds=30))
    await bench.up()
    await bench.pass_time(60)
    await bench.pass_time(30)
    assert await bench.told.event("down") == "down: no answer to our PING within 30 s"
    await bench.pass_time(4)
    await bench.again()


async def test_the_servers_last_words_are_the_reason(make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    peer.send("ERROR :Closing Link: server is going down")
    await bench.lost(peer)
    assert bench.told.events[-1] == "down: the server said: Closing Link: server is going down"


async def test_once_never_dials_a_second_time(make: Any) -> None:
    bench = await make(once=True)
    peer = await bench.up()
    await bench.connection.wait_up()
    await peer.close()
    await bench.connection.ended()
    await bench.pass_time(1000)
    assert bench.server.connections == 1
    assert bench.told.events == ["up", "down: the server closed the connection"]


async def test_what_was_said_while_the_network_was_away_is_sent_after_the_joins(make: Any) -> None:
    bench = await make(channels=(Channel("#a"),))
    await bench.lost(await bench.up())
    bench.connection.say(Message("PRIVMSG", ("#a", "late but not lost")))
    assert await bench.connection.say(Message("NICK", ("x",)), urgent=True) is False
    await bench.pass_time(4)
    peer = await bench.server.accept()
    await peer.register()
    assert await bench.said(peer) == ["JOIN #a"]
    peer.send(":neverquit!i@h JOIN #a")
    assert await bench.said(peer) == ["MODE #a", "PRIVMSG #a :late but not lost"]


# -- stopping --


async def test_stop_says_quit_and_returns_when_the_server_has_closed(make: Any) -> None:
    bench = await make(flood=Flood(1, 0.01))
    peer = await bench.up()
    for _ in range(100):
        bench.connection.say(Message("PRIVMSG", ("#a", "chatter")))
    stopping = asyncio.ensure_future(bench.connection.stop("so long"))
    assert (await peer.until("QUIT"))[-1] == "QUIT :so long"
    await peer.close()
    await stopping
    await bench.connection.ended()
    assert bench.told.events == ["up", "down: so long"]
    await bench.pass_time(1000)
    assert bench.server.connections == 1


@pytest.mark.parametrize("state", ["idle", "dialling", "registering", "waiting", "ended"])
async def test_stop_ends_in_any_state(state: str, make: Any) -> None:
    bench = await make()
    if state != "idle":
        bench.connection.start()
    if state in ("registering", "waiting", "ended"):
        peer = await bench.server.accept()
        await peer.until("CAP LS")
        if state != "registering":
            await bench.lost(peer)
    if state == "ended":
        await bench.connection.stop("first")
    stopping = asyncio.ensure_future(bench.connection.stop("now"))
    await bench.crossed()
    await bench.pass_time(2)
    await stopping
    await bench.connection.ended()
    with pytest.raises(CannotConnect):
        await bench.connection.wait_up()
    await bench.pass_time(1000)
    assert bench.connection.alarms.next_at("dial") is None


# -- lines in --

W_LINES = [
    b"   ", b" PRIVMSG #a :leading space", b":only.prefix", b"@tag", b":", b"@", b"@ ", b": ", b"PRIVMSG #c",
    b"PRIVMSG", b"QUIT", b"PING", b"001", b"KICK #c", b"KICK", b"MODE", b"MODE #a", b"NICK", b"JOIN", b"PART",
    b":a!b@c QUIT", b":a NICK", b":a JOIN", b":irc.test 353 n =", b":irc.test 353", b":irc.test 005",
    b":irc.test 005 n PREFIX=ov", b":irc.test 352 n", b":irc.test 332", b"ACCOUNT", b"CAP", b"CAP * LS",
    b"AUTHENTICATE", b"BATCH", b"ERROR", b"000", b"999", b"1234", b"NONSENSE x y", b"\tPRIVMSG\t#a\t:x",
    b"DISCONNECT", b"PUBMSG #a :x", b":nick@host PRIVMSG #a :x", b":!@ PRIVMSG #a :x", b":a!b!c@d@e PRIVMSG #a :x",
    b":" + b"n" * 400 + b"!i@h PRIVMSG #a :x", b":irc.test PRIVMSG #a :!reload",
    b"PRIVMSG #a :\xe9 \x80\xbf \xc0\xaf", b":\xff\xfe!\xe9@\xe9 PRIVMSG \xe9 :\xe9",
    b"PRIVMSG #a :\x00\x01\x02\x1f\x7f\xe2\x80\xa8", b"PRIVMSG #a :\x01\x01", b"PRIVMSG #a :\x01DCC\x01",
    b"PRIVMSG #a :\x01PING a\x10rQUIT\x01",
]  # fmt: skip


@pytest.mark.parametrize("line", W_LINES)
async def test_no_line_ends_the_connection_or_makes_it_say_anything(line: bytes, make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    bench.reactor.add_global_handler("all_events", lambda connection, event: None)
    peer.send(line, ":u!i@h PRIVMSG #a :!echo alive")
    assert await bench.said(peer) == ["PRIVMSG #a :alive"]
    await bench.keeper.settled("n")
    assert bench.server.connections == 1


async def test_all_those_lines_in_one_segment(make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    peer.send_bytes(b"\n".join([*W_LINES, b":u!i@h privmsg #a :!echo alive", b""]))
    assert await peer.line() == "PRIVMSG #a :alive"
    await bench.keeper.settled("n")


async def test_bad_lines_are_counted_and_quiet(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench = await make()
    with caplog.at_level(logging.INFO):
        peer = await bench.up()
        caplog.clear()
        peer.send("   ", ":only.prefix", "@tag")
        await bench.said(peer)
        await bench.crossed()
    assert bench.connection.malformed == 3
    assert caplog.records == []
    assert bench.keeper.idle("n")


async def test_the_listener_gets_lines_in_order_with_the_roster_already_changed(make: Any) -> None:
    bench = await make()
    seen = list[tuple[str, bool]]()

    def look(connection: Connection, number: str, message: Message) -> None:
        if message.command in ("JOIN", "PART"):
            seen.append((message.command, connection.roster.channel("#a") is not None))

    bench.told.react = look
    peer = await bench.up()
    peer.send(":neverquit!i@h JOIN #a", ":neverquit!i@h PART #a")
    await bench.said(peer)
    await bench.crossed()
    assert seen == [("JOIN", True), ("PART", False)]


async def test_a_listener_that_fails_loses_its_line_only(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench = await make()
    peer = await bench.up()
    bench.told.react = lambda *_: 1 // 0
    peer.send(":u!i@h PRIVMSG #a :x")
    await bench.said(peer)
    await bench.keeper.settled("n")
    assert "could not be handled" in caplog.text
    bench.told.react = bench.told.echo
    peer.send(":u!i@h PRIVMSG #a :!echo alive")
    assert await peer.line() == "PRIVMSG #a :alive"


async def test_a_line_stays_open_until_it_is_done(make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    await bench.keeper.settled("n")
    bench.told.finish = False
    peer.send(":u!i@h PRIVMSG #a :x")
    await bench.said(peer)
    await bench.crossed()
    assert not bench.keeper.idle("n")
    bench.connection.done(bench.told.unfinished[0])
    await bench.keeper.settled("n")


async def test_work_without_a_line_is_begun_and_done(make: Any) -> None:
    bench = await make()
    await bench.up()
    bench.reactor.send(Frame("begin", ("n", "t:a.b/17"), b"tick"))
    await bench.crossed()
    assert not bench.keeper.idle("n")
    bench.connection.done("t:a.b/17")
    await bench.keeper.settled("n")


# -- channels --


async def test_c09_after_a_kick_it_rejoins_with_its_key_later_and_later(make: Any) -> None:
    bench = await make(channels=(Channel("#a", Secret("key")),))
    peer = await bench.up(":neverquit!i@h JOIN #a")
    await bench.said(peer)
    waits = list[float]()
    for _ in range(4):
        peer.send(":op!i@h KICK #a neverquit :out")
        await bench.until(lambda: bench.connection.alarms.next_at("rejoin") is not None)
        assert "JOIN #a key" not in await bench.said(peer)
        at = bench.connection.alarms.next_at("rejoin")
        waits.append(at - bench.clock.now)
        await bench.pass_time(waits[-1])
        assert "JOIN #a key" in await bench.said(peer)
        peer.send(":neverquit!i@h JOIN #a")
        await bench.said(peer)
    assert waits == sorted(waits)
    assert waits[0] >= 5


async def test_a_channel_that_refuses_us_is_tried_again_and_others_do_not_notice(make: Any) -> None:
    bench = await make(channels=(Channel("#a"), Channel("#b")))
    peer = await bench.up(":neverquit!i@h JOIN #b", ":irc.test 471 neverquit #a :full")
    await bench.said(peer)
    await bench.until(lambda: bench.connection.alarms.next_at("rejoin") is not None)
    await bench.pass_time(10)
    assert "JOIN #a" in await bench.said(peer)
    assert bench.connection.roster.channel("#b") is not None


async def test_the_rosters_questions_are_asked_one_at_a_time(make: Any) -> None:
    bench = await make()
    peer = await bench.up(":irc.test 005 neverquit WHOX :are supported", *[f":neverquit!i@h JOIN #{n}" for n in "abc"])
    asked = await bench.said(peer)
    while len(asked) < 3:
        peer.send(f":irc.test 324 neverquit {asked[-1].split()[1]} +nt")
        await bench.crossed()
        asked += await bench.said(peer)
    assert asked == ["MODE #a", "MODE #b", "MODE #c"]


# -- lines out --


@pytest.mark.parametrize("text", ["a\r\nQUIT :x", "a\nb", "a\rb", "a\0b"])
async def test_o02_nothing_can_become_a_second_command(text: str, make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    connection = bench.connection
    attempts: list[Callable[[], Any]] = [
        lambda: connection.say(Message("PRIVMSG", ("#a", text))),
        lambda: connection.say(Message("PRIVMSG", (text, "x"))),
        lambda: connection.say(Message("PRIVMSG", ("#a", "x"), tags={"+t": "a\0" + text})),
        lambda: connection.say(Message(text, ()), urgent=True),
        lambda: connection.privmsg("#a", text),
        lambda: connection.privmsg(text, "x"),
        lambda: connection.notice("#a", text),
        lambda: connection.join("#a", text),
        lambda: connection.join(text),
        lambda: connection.part("#a", text),
        lambda: connection.nick(text),
        lambda: connection.topic("#a", text),
        lambda: connection.kick("#a", "x", text),
        lambda: connection.ctcp_reply("x", text),
        lambda: connection.ctcp("PING", "x", text),
        lambda: connection.action("#a", text),
        lambda: connection.user("x", text),
        lambda: connection.send_raw(f"PRIVMSG #a :{text}"),
    ]
    for attempt in attempts:
        with pytest.raises(UnsafeText):
            attempt()
    assert await bench.said(peer) == []
    assert bench.connection.channels == {}


async def test_o02_a_quit_reason_stays_one_line(make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    stopping = asyncio.ensure_future(bench.connection.stop("a\r\nPRIVMSG #a :x\0"))
    assert (await peer.until("QUIT"))[-1] == "QUIT :a PRIVMSG #a :x"
    await peer.close()
    await stopping


async def test_a_lone_surrogate_becomes_a_question_mark(make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    bench.connection.say(Message("PRIVMSG", ("#a", "x\udc80y")))
    assert await peer.line() == "PRIVMSG #a :x?y"


async def test_o09_urgent_lines_overtake_chatter_and_ping_overtakes_both(make: Any) -> None:
    bench = await make(flood=Flood(1, 0.01))
    peer = await bench.up()
    for number in range(200):
        bench.connection.say(Message("PRIVMSG", ("#a", str(number))))
    bench.connection.kick("#a", "pest")
    assert "KICK #a pest" in await bench.said(peer)


async def test_more_than_the_window_waits_and_all_leaves_in_order(make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    said = [bench.connection.say(Message("PRIVMSG", ("#a", str(number)))) for number in range(5 * WINDOW)]
    assert len(bench.connection.outbox) == 5 * WINDOW - WINDOW // 2
    await bench.connection.drained()
    assert [await each for each in said] == [True] * len(said)
    assert await peer.until(f"PRIVMSG #a :{5 * WINDOW - 1}") == [f"PRIVMSG #a :{n}" for n in range(5 * WINDOW)]


async def test_done_follows_the_answers_that_wait_for_room(make: Any) -> None:
    bench = await make(flood=Flood(1, 0.01))
    peer = await bench.up()
    await bench.keeper.settled("n")
    for number in range(WINDOW + 5):
        bench.connection.say(Message("PRIVMSG", ("#a", str(number))))
    peer.send(":u!i@h PRIVMSG #a :!echo late")
    await bench.said(peer)
    await bench.crossed()
    assert not bench.keeper.idle("n")
    assert bench.keeper.duplicates == bench.keeper.refused == 0


async def test_a_network_that_is_made_anew_takes_over_the_credits(make: Any) -> None:
    """Or it would say more than the keeper's queue, which it knows nothing of, has room for."""
    bench = await make(flood=Flood(1, 0.01))
    await bench.up()
    for number in range(WINDOW):
        bench.connection.say(Message("PRIVMSG", ("#a", str(number))))
    again = Connection("n", bench.network, bench.reactor, bench.told, clock=bench.clock)
    assert (again.outbox.credit, again.outbox.under_way) == (WINDOW // 2, {"#a": WINDOW // 2})
    bench.reactor.by_name["n"] = bench.connection  # whose end is waited for


async def test_room_for_counts_the_prefix_that_the_server_adds(make: Any) -> None:
    bench = await make()
    peer = await bench.up(":neverquit!~ident@some.host JOIN #a")
    await bench.said(peer)
    await bench.crossed()
    relayed = ":neverquit!~ident@some.host PRIVMSG #a :"
    assert bench.connection.room_for("PRIVMSG", "#a") == 512 - 2 - len(relayed)


async def test_room_for_assumes_the_worst_while_our_host_is_unknown(make: Any) -> None:
    bench = await make()
    await bench.up()
    relayed = f":neverquit!{'~' + 'x' * 10}@{'x' * 63} NOTICE #a :"
    assert bench.connection.room_for("NOTICE", "#a") <= 512 - 2 - len(relayed)


async def test_a_nick_as_long_as_a_line_leaves_room_for_more_than_letters(make: Any) -> None:
    bench = await make()
    await bench.up(f":neverquit!u@h NICK {'n' * 600}")
    await bench.said(bench.server.peers[0])
    assert bench.connection.room_for("PRIVMSG", "#a") == 100


async def test_room_for_uses_a_longer_line_where_the_server_takes_one(make: Any) -> None:
    bench = await make()
    before = 0
    peer = await bench.up()
    before = bench.connection.room_for("PRIVMSG", "#a")
    peer.send(":irc.test 005 neverquit LINELEN=2048 :are supported")
    await bench.said(peer)
    await bench.crossed()
    assert bench.connection.room_for("PRIVMSG", "#a") == before + 2048 - 512


async def test_two_networks_share_one_link_and_nothing_else(make: Any) -> None:
    bench = await make()
    first = await bench.up()
    async with ScriptedServer() as server:
        told = Told()
        network = Network("m", "127.0.0.1", server.port, None, flood=None, nick="other")
        second = Connection("m", network, bench.reactor, told, clock=bench.clock)
        second.start()
        peer = await server.accept()
        await peer.register("other")
        peer.send(":u!i@h PRIVMSG #a :!echo from the second")
        assert (await peer.until("PRIVMSG"))[-1] == "PRIVMSG #a :from the second"
        assert await bench.said(first) == []
        await bench.lost(first)
        assert second.registered
        stopping = asyncio.ensure_future(second.stop("bye"))
        await peer.until("QUIT")
        await peer.close()
        await stopping


async def test_a_frame_that_can_not_be_taken_does_not_end_supervision(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    bench = await make()
    bench.reactor._frame(Frame("room", ("n", "-", "not a number")))
    assert "failed" in caplog.text
    await bench.up()


# -- the irc package --


@pytest.mark.parametrize("name", sorted(BORROWED))
def test_each_borrowed_name_is_still_there(name: str) -> None:
    class_name, attribute = name.split(".")
    assert callable(getattr(getattr(irc.client_aio, class_name), attribute))


async def test_the_librarys_command_methods_work(make: Any) -> None:
    bench = await make()
    peer = await bench.up()
    connection = bench.connection
    connection.privmsg("#a", "hello there")
    connection.notice("u", "x")
    connection.action("#a", "waves")
    connection.ctcp("version", "u")
    connection.topic("#a", "new topic")
    connection.kick("#a", "u", "a reason")
    connection.mode("#a", "+o u")
    connection.part("#a", "two words")
    connection.join("#b", "key")
    connection.nick("other")
    connection.whois(["u", "v"])
    sent = await bench.said(peer)
    assert sorted(sent) == sorted(
        [
            "PRIVMSG #a :hello there", "NOTICE u :x", "PRIVMSG #a :\x01ACTION waves\x01", "PRIVMSG u :\x01VERSION\x01",
            "TOPIC #a :new topic", "KICK #a u :a reason", "MODE #a +o u", "PART #a :two words", "JOIN #b key",
            "NICK other", "WHOIS u,v",
        ]
    )  # fmt: skip


async def test_the_librarys_handlers_get_events(make: Any) -> None:
    bench = await make()
    events = list[tuple[Any, ...]]()
    for name in ("pubmsg", "privmsg", "action", "join", "quit", "welcome", "disconnect", "ping"):
        bench.reactor.add_global_handler(
            name, lambda _, event: events.append((event.type, event.source, event.target, event.arguments))
        )
    peer = await bench.up()
    peer.send(
        "@a=b :u!i@h PRIVMSG #a :hello",
        ":u!i@h PRIVMSG neverquit :psst",
        ":u!i@h PRIVMSG #a :\x01ACTION waves\x01",
        ":u!i@h JOIN #a",
        ":u!i@h QUIT :bye",
        ":irc.test DISCONNECT :fake",
        ":irc.test WELCOME x :fake",
    )
    await bench.said(peer)
    await bench.crossed()
    assert events == [
        ("welcome", "irc.test", "neverquit", ["Welcome"]),
        ("pubmsg", "u!i@h", "#a", ["hello"]),
        ("privmsg", "u!i@h", "neverquit", ["psst"]),
        ("action", "u!i@h", "#a", ["waves"]),
        ("join", "u!i@h", "#a", []),
        ("quit", "u!i@h", None, ["bye"]),
    ]
    assert events[1][1].nick == "u"


async def test_a_library_handler_that_fails_costs_nothing(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    bench = await make()
    peer = await bench.up()
    bench.reactor.add_global_handler("pubmsg", lambda *_: 1 // 0)
    peer.send(":u!i@h PRIVMSG #a :!echo alive")
    assert await peer.line() == "PRIVMSG #a :alive"
    assert "could not be handled" in caplog.text


async def test_methods_that_would_harm_refuse_in_words(make: Any) -> None:
    connection = (await make()).connection
    for attempt in (
        lambda: connection.connect("h", 1, "n"),
        lambda: connection.reconnect(),
        lambda: connection.set_rate_limit(1),
        lambda: connection.set_keepalive(60),
    ):
        with pytest.raises(NotImplementedError, match=r"config\.yaml|keeper"):
            attempt()


async def test_the_librarys_own_state_is_ours(make: Any) -> None:
    bench = await make()
    assert not bench.connection.is_connected()
    peer = await bench.up(":neverquit!i@h NICK :renamed")
    await bench.said(peer)
    await bench.crossed()
    assert bench.connection.is_connected()
    assert bench.connection.get_nickname() == "renamed"


async def test_what_was_said_on_a_network_that_was_given_up_is_not_sent_when_it_is_back(make: Any) -> None:
    bench = await make()
    await bench.lost(await bench.up())
    told = [bench.connection.say(Message("PRIVMSG", ("#a", str(number)))) for number in range(100)]
    await bench.crossed()
    assert bench.keeper.queued == WINDOW // 2
    await bench.connection.stop("gone")
    await bench.crossed()
    assert bench.keeper.queued == 0 and not await told[-1] and bench.reactor.by_name == {}
    assert not await bench.connection.say(Message("PRIVMSG", ("#a", "late")))
    again = Connection("n", bench.network, bench.reactor, bench.told, clock=bench.clock, random=Random(1))
    assert again.outbox.credit == 64
    bench.connection = again
    peer = await bench.up()
    again.say(Message("PRIVMSG", ("#a", "new")))
    assert [line for line in await bench.said(peer) if "PRIVMSG" in line] == ["PRIVMSG #a :new"]
