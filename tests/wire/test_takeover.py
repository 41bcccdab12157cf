"""What the next worker makes of a connection whose worker was killed: nobody on the network notices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from bench import Bench
from scripted import Peer, ScriptedServer, server_tls

from bot.config import Channel, Network, SaslSettings, Secret, Tls
from bot.protocol.message import Message
from bot.wire.opening import Limits

Make = Callable[..., Any]

TOKENS = ":irc.test 005 neverquit WHOX CASEMAPPING=rfc1459 PREFIX=(ov)@+ CHANMODES=b,k,l,imnst :are supported"
ME = ":neverquit!~nq@host.test"


async def joined(bench: Bench, *after: str) -> Peer:
    """Up, in #a, with all questions answered."""
    peer = await bench.up(TOKENS)
    peer.send(
        f"{ME} JOIN #a",
        ":irc.test 353 neverquit = #a :@bob!b@home +eve neverquit",
        ":irc.test 366 neverquit #a :End",
        ":irc.test 332 neverquit #a :the topic",
        ":irc.test 324 neverquit #a +ntk secret",
        ":irc.test 315 neverquit #a :End",
        *after,
    )
    await bench.said(peer)
    return peer


def roster(bench: Bench) -> Any:
    """All that the roster knows, as one value."""
    known = bench.connection.roster
    users = {
        nick: (user.nick, user.ident, user.host, user.account, user.realname, user.away, user.channels)
        for nick, user in known.users.items()
    }
    return known.nick, users, known.channels, known.isupport.tokens, known.batches, set(known.caps)


# -- the state


async def test_the_next_worker_knows_what_the_last_one_knew_and_says_nothing(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench)
    before = roster(bench)
    bench.reactor.checkpoints.save(at_once=True)
    assert await bench.said(peer) == []
    await bench.succeed()
    assert bench.told.events == ["taken over"] and bench.connection.registered
    assert roster(bench) == before
    assert await bench.said(peer) == [] and bench.server.connections == 1


async def test_without_a_checkpoint_since_the_lines_that_changed_the_state_rebuild_it(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench)
    before = roster(bench)
    await bench.succeed()
    assert roster(bench) == before
    assert await bench.said(peer) == []


async def test_lines_that_came_without_a_worker_are_applied(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.kill()
    peer.send(":eve!e@x QUIT :bye", ":bob!b@home NICK :rob", ":rob!b@home TOPIC #a :new", f"{ME} NICK :never")
    await peer.barrier()
    await bench.succeed()
    known = bench.connection.roster
    assert sorted(known.channels["#a"].members) == ["never", "rob"]
    assert (known.nick, known.channels["#a"].topic) == ("never", "new")


async def test_what_the_checkpoint_covers_is_passed_on_but_not_applied(make: Make) -> None:
    """Applied twice, the KICK would be of somebody who has come back since."""
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench)
    bench.told.finish = False
    peer.send(":bob!b@home KICK #a eve :out")
    await bench.said(peer)
    bench.told.finish = True
    peer.send(":eve!e@x JOIN #a")
    await bench.said(peer)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.succeed()
    assert [message.command for message in bench.told.lines] == ["KICK"] and bench.told.flags == [1]
    assert "eve" in bench.connection.roster.channels["#a"].members
    assert bench.told.applied[0].channels == ("#a",)


async def test_a_line_in_hand_keeps_the_author_and_the_account_that_it_had(make: Make) -> None:
    """The nick may have changed hands since."""
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench, ":irc.test CAP neverquit NEW :account-notify")
    peer.send(":irc.test CAP neverquit ACK :account-notify", ":bob!b@home ACCOUNT alice")
    await bench.said(peer)
    bench.told.finish = False
    peer.send(":bob!b@home PRIVMSG #a :!reload")
    await bench.said(peer)
    bench.told.finish = True
    peer.send(":bob!b@home ACCOUNT *")
    await bench.said(peer)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.succeed()
    (applied,) = bench.told.applied
    assert applied.past and applied.account == "alice"
    assert applied.member is not None and applied.member.host == "home"
    assert bench.connection.roster.users["bob"].account is None


async def test_a_line_of_a_connection_that_is_gone_changes_nothing_in_the_next(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench)
    bench.told.finish = False
    peer.send(":zoe!z@x JOIN #a")
    await bench.said(peer)
    await bench.lost(peer)
    bench.told.finish = True
    await bench.pass_time(10)
    peer = await bench.again(TOKENS)
    peer.send(f"{ME} JOIN #a", ":irc.test 366 neverquit #a :End")
    await bench.said(peer)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.succeed()
    assert [message.command for message in bench.told.lines] == ["JOIN"]
    assert sorted(bench.connection.roster.channels["#a"].members) == ["neverquit"]


async def test_history_that_was_open_stays_history(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench, ":irc.test BATCH +h chathistory #a")
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.kill()
    peer.send(
        "@batch=h :bob!b@home PRIVMSG #a :!echo of old", ":irc.test BATCH -h", ":bob!b@home PRIVMSG #a :!echo now"
    )
    await peer.barrier()
    await bench.succeed()
    assert [applied.history for applied in bench.told.applied[:3]] == [True, False, False]
    assert bench.connection.roster.batches == {}


# -- questions


async def test_questions_without_an_answer_are_asked_again_and_no_others(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"), Channel("#b")))
    peer = await joined(bench)
    peer.send(f"{ME} JOIN #b", ":irc.test 366 neverquit #b :End")
    assert await bench.said(peer) == ["MODE #b"]
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.succeed()
    assert await bench.said(peer) == ["MODE #b"]
    peer.send(":irc.test 324 neverquit #b +n")
    (who,) = await bench.said(peer)
    assert who.startswith("WHO #b %tcuhnfar,")
    token = who.rpartition(",")[2]
    peer.send(f":irc.test 354 neverquit {token} #b b2 home2 rob H acc :Rob", ":irc.test 315 neverquit #b :End")
    assert await bench.said(peer) == []


async def test_a_question_that_was_answered_meanwhile_is_not_asked_again(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"), Channel("#b")))
    peer = await joined(bench)
    peer.send(f"{ME} JOIN #b", ":irc.test 353 neverquit = #b :bob eve", ":irc.test 366 neverquit #b :End")
    await bench.said(peer)
    peer.send(":irc.test 324 neverquit #b +n")
    (who,) = await bench.said(peer)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.kill()
    token = who.rpartition(",")[2]
    peer.send(f":irc.test 354 neverquit {token} #b b home bob G * :Bob", ":irc.test 315 neverquit #b :End")
    await peer.barrier()
    await bench.succeed()
    assert await bench.said(peer) == []
    assert bench.connection.roster.users["bob"].away and bench.connection.roster.users["bob"].realname == "Bob"


async def test_questions_of_lines_since_the_checkpoint_are_put_when_all_has_come(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"), Channel("#b")))
    peer = await joined(bench)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.kill()
    peer.send(f"{ME} JOIN #b", ":irc.test 353 neverquit = #b :bob", ":irc.test 366 neverquit #b :End")
    await peer.barrier()
    await bench.succeed()
    assert await bench.said(peer) == ["MODE #b"]
    peer.send(":irc.test 324 neverquit #b +n")
    assert (await bench.said(peer))[0].startswith("WHO #b")


# -- channels


async def test_it_joins_what_is_wanted_and_missing_only(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"), Channel("#b", Secret("key"))))
    peer = await joined(bench)
    await bench.succeed()
    assert await bench.said(peer) == ["JOIN #b key"]


async def test_a_channel_that_threw_us_out_while_there_was_no_worker_is_joined_again_later(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.kill()
    peer.send(":bob!b@home KICK #a neverquit :out")
    await peer.barrier()
    await bench.succeed()
    assert bench.connection.roster.channels == {}


# -- registration


async def test_a_worker_that_dies_while_it_registers_leaves_a_connection_that_is_begun_anew(make: Make) -> None:
    bench = await make(kept=True)
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    await bench.succeed()
    assert (await peer.until("QUIT"))[-1].startswith("QUIT :the worker before was not done")
    await bench.lost(peer)
    await bench.pass_time(10)
    again = await bench.again()
    assert await bench.said(again) == [] and bench.server.connections == 2


async def test_a_connection_on_which_nothing_was_said_yet_is_registered_by_the_next_worker(make: Make) -> None:
    bench = await make(kept=True)
    bench.connection.start()
    await bench.crossed()
    await bench.kill()
    peer = await bench.server.accept()
    peer.send(":irc.test NOTICE * :*** Looking up your hostname")
    await bench.work(kept=True)
    bench.connection.start()
    lines = await peer.register()
    assert lines[:1] == ["CAP LS 302"] and lines.count("CAP LS 302") == 1
    await bench.until(lambda: bench.connection.registered)
    assert bench.told.events == ["up"] and bench.server.connections == 1


async def test_capabilities_and_the_account_are_known_to_the_next_worker(make: Make) -> None:
    sasl = SaslSettings(username="nq", password=Secret("pw"), plain_without_tls=True)
    bench = await make(kept=True, sasl=sasl)
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send("CAP * LS :sasl=PLAIN account-tag message-tags")
    request = (await peer.until("CAP REQ"))[-1]
    peer.send(f"CAP * ACK :{request.partition(':')[2]}")
    await peer.until("AUTHENTICATE PLAIN")
    peer.send("AUTHENTICATE +")
    await peer.until("AUTHENTICATE ")
    peer.send(":irc.test 900 * * nq :in", ":irc.test 903 * :ok")
    await peer.until("CAP END")
    peer.send(":irc.test 001 neverquit :Welcome")
    await bench.said(peer)
    await bench.succeed()
    registration = bench.connection.registration
    assert registration is not None and registration.account == "nq"
    assert bench.connection.roster.caps == {"sasl", "account-tag", "message-tags"} == registration.caps
    peer.send(":irc.test CAP neverquit NEW :away-notify")
    assert await bench.said(peer) == ["CAP REQ away-notify"]


async def test_an_answer_that_the_server_has_had_is_not_given_again(make: Make) -> None:
    bench = await make(kept=True)
    peer = await bench.up()
    bench.told.finish = False
    peer.send(":irc.test CAP neverquit NEW :away-notify")
    assert await bench.said(peer) == ["CAP REQ away-notify"]
    await bench.succeed()  # the line comes again, and it was in no checkpoint
    assert [message.command for message in bench.told.lines][-1] == "CAP"
    assert await bench.said(peer) == [] and bench.keeper.duplicates == 1


async def test_the_listeners_word_that_all_is_ready_is_kept(make: Make) -> None:
    bench = await make(kept=True)
    await bench.up()
    bench.connection.ready = True
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.succeed()
    assert bench.connection.ready


# -- down


async def test_a_connection_that_ended_without_a_worker_is_dialled_by_the_next(make: Make) -> None:
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench)
    await bench.kill()
    await peer.close()
    await bench.until(lambda: not bench.keeper._nets["n"].up)
    await bench.work(kept=True)
    bench.connection.start()
    peer = await bench.again()
    assert "JOIN #a" in await bench.said(peer) and bench.told.events == ["up"]


async def test_a_dial_of_the_worker_before_is_the_next_ones(make: Make) -> None:
    bench = await make(server_tls("server"), kept=True, host="localhost", tls=Tls("tests/certificates/authority.pem"))
    bench.connection.start()
    await bench.crossed()
    await bench.succeed()
    peer = await bench.server.accept()
    await peer.register()
    await bench.until(lambda: bench.connection.registered)
    assert bench.told.events == ["up"] and bench.server.connections == 1


async def test_a_dial_of_the_worker_before_to_another_server_gets_none_of_the_new_secrets(make: Make) -> None:
    bench = await make(server_tls("server"), kept=True, host="localhost", tls=Tls("tests/certificates/authority.pem"))
    bench.connection.start()
    await bench.crossed()
    await bench.kill()
    async with ScriptedServer() as new:
        bench.network = replace(bench.network, host="127.0.0.1", port=new.port, tls=None, password=Secret("new"))
        await bench.work(kept=True)
        bench.connection.start()
        old = await bench.server.accept()
        assert await old.until("QUIT") == ["QUIT :it leads where the settings of before wanted to be"]
        await old.close()
        await bench.until(lambda: bench.connection.alarms.next_at("dial") is not None)
        await bench.pass_time(bench.waits())
        peer = await new.accept()
        assert "PASS new" in await peer.register()
        await bench.until(lambda: bench.connection.registered)
        await peer.close()


async def test_over_tls_it_is_the_same_connection(make: Make) -> None:
    bench = await make(server_tls("server"), kept=True, host="localhost", tls=Tls("tests/certificates/authority.pem"))
    peer = await bench.up()
    await bench.crossed()
    await bench.succeed()
    peer.send(":bob!b@home PRIVMSG neverquit :!echo still here")
    assert await bench.said(peer) == ["PRIVMSG neverquit :still here"] and bench.server.connections == 1


async def test_up_that_comes_while_it_waits_to_dial_is_taken(make: Make) -> None:
    """A dial of the worker before may fail in the moment in which the next one asks for it."""
    async with ScriptedServer() as gone:
        port = gone.port
    bench = await make(kept=True, port=port)
    bench.connection.start()
    await bench.until(lambda: bench.connection.alarms.next_at("dial") is not None)
    bench.connection._connected("0", "1", b"")
    assert bench.connection.connected and bench.connection.alarms.next_at("dial") is None


# -- several networks


async def test_each_network_is_taken_over_by_itself(make: Make) -> None:
    bench = await make(kept=True)
    first = await bench.up()
    async with ScriptedServer() as server:
        other = Network("o", "127.0.0.1", port=server.port, tls=None, flood=None)
        bench.connect("o", other).start()
        second = await server.accept()
        await second.until("CAP LS")  # and no further
        await bench.kill()
        await bench.work(kept=True)
        later = bench.connect("o", other)
        bench.connection.start()
        later.start()
        await bench.until(lambda: bench.reactor.live)
        await bench.crossed()
        assert bench.told.events == ["taken over"] and await bench.said(first) == []
        assert (await second.until("QUIT"))[-1].startswith("QUIT :the worker before")
        later.disconnect()


@pytest.mark.parametrize(("host", "asked"), [("127.0.0.1", ["CAP REQ sasl"]), ("new.example.org", [])])
async def test_the_next_worker_logs_in_with_its_own_configuration_only_where_that_is_of_the_same_host(
    host: str, asked: list[str], make: Make
) -> None:
    bench = await make(kept=True)
    peer = await bench.up()
    await bench.said(peer)
    bench.network = replace(bench.network, host=host, sasl=SaslSettings((), "bot", Secret("new"), None, False, True))
    await bench.succeed()
    assert bench.told.events == ["taken over"]
    peer.send(":irc.test CAP neverquit NEW :sasl")
    assert await bench.said(peer) == asked


async def test_a_network_that_is_configured_no_more_is_closed_and_its_lines_are_crossed_off(make: Make) -> None:
    bench = await make(kept=True)
    async with ScriptedServer() as server:
        bench.connect("o", Network("o", "127.0.0.1", port=server.port, tls=None, flood=None)).start()
        second = await server.accept()
        await second.register()
        bench.told.finish = False
        second.send(":bob!b@home PRIVMSG neverquit :hello")
        await second.barrier()
        await bench.crossed()
        await bench.succeed()
        assert (await second.until("QUIT"))[-1] == "QUIT :neverquit: no longer configured here"
        await second.close()
        await bench.keeper.settled("o")


# -- the checkpoint


@pytest.mark.parametrize(
    "blob",
    [
        b"{",
        b"[1]",
        b'[["n", "users", []]]',
        b'[["n", "head", {"since": 0}]]',
        b'[["n", "head", {"since": 0, "place": []}]]',
    ],
)
async def test_a_checkpoint_that_makes_no_sense_means_to_begin_anew(make: Make, blob: bytes) -> None:
    bench = await make(kept=True)
    peer = await bench.up()
    bench.keeper._saved = ("9", blob)
    await bench.succeed()
    assert (await peer.until("QUIT"))[-1].startswith("QUIT :the worker before was not done")
    await bench.lost(peer)


async def test_too_many_lines_without_a_worker_are_dropped_and_the_connection_is_begun_anew(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who took it over would be wrong about who is in the channel."""
    bench = await make(kept=True, channels=(Channel("#a"),))
    peer = await joined(bench)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.kill()
    monkeypatch.setattr("bot.wire.entries.MAX_HELD_BYTES", 1000)
    peer.send(*(f":u{number}!u@x JOIN #a" for number in range(20)))
    await peer.barrier()
    await bench.succeed()
    assert bench.keeper.entries.lost > 0
    assert (await peer.until("QUIT"))[-1].startswith("QUIT :the worker before was not done")
    await bench.lost(peer)


async def test_what_is_said_to_two_networks_is_accepted_on_both_whichever_has_room(make: Make) -> None:
    """The first waits for room, so the second reaches the keeper before it."""
    bench = await make(kept=True, limits=Limits(stop_seconds=0))
    peer = await bench.up()
    async with ScriptedServer() as server:
        other = bench.connect("o", Network("o", "127.0.0.1", port=server.port, tls=None, flood=None))
        other.start()
        second = await server.accept()
        await second.register()
        await bench.until(lambda: other.registered)
        bench.told.finish = False
        await second.barrier()
        peer.send(":bob!b@home PRIVMSG neverquit :both")
        await bench.said(peer)
        (number,) = bench.told.unfinished[-1:]
        bench.connection.outbox.room("-", -64)
        bench.connection.say(Message("PRIVMSG", ("#a", "one")), cause=number, handler="h", k=0)
        other.say(Message("PRIVMSG", ("#a", "two")), cause=number, handler="h", k=1)
        bench.connection.done(number)
        await second.until("PRIVMSG #a")
        assert number in bench.keeper.entries, "done must not overtake what waits for room"
        bench.connection.outbox.room("-", 64)
        await peer.until("PRIVMSG #a")
        await bench.keeper.settled("n")
        other.disconnect()
