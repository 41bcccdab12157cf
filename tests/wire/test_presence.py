"""presence.py: what a connection does by itself about lines that the roster has taken in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from bench import Bench
from scripted import Peer

from bot.config import Channel

Make = Callable[..., Awaitable[Bench]]
NAMES = (":neverquit!n@h JOIN #a", ":irc.test 353 neverquit = #a :neverquit bob eve", ":irc.test 366 neverquit #a :End")
LOST = (":bob!b@h QUIT :a.b c.d", ":eve!e@h QUIT :a.b c.d")
BACK = (":bob!b@h JOIN #a", ":eve!e@h JOIN #a")


async def joined(bench: Bench, *after: str) -> Peer:
    peer = await bench.up(*NAMES, *after)
    await bench.said(peer)
    return peer


async def test_a_netsplit_is_told_when_no_more_of_it_comes(make: Make) -> None:
    bench = await make()
    peer = await joined(bench, *LOST)
    assert bench.told.events == ["up"]
    await bench.pass_time(2)
    peer.send(":dan!d@h QUIT :a.b c.d", ":bob!b@h PRIVMSG #a :we know nobody called dan")
    await bench.said(peer)
    await bench.pass_time(1)
    assert bench.told.events == ["up", "netsplit #a bob eve a.b c.d"]
    await bench.pass_time(60)
    peer.send(*BACK)
    await bench.said(peer)
    await bench.pass_time(3)
    assert bench.told.events[2:] == ["netjoin #a bob eve a.b c.d"]


async def test_one_in_a_batch_is_told_at_its_end(make: Make) -> None:
    bench = await make()
    lost = [f"@batch=1 {line}" for line in LOST]
    await joined(bench, ":irc.test BATCH +1 netsplit a.b c.d", *lost, ":irc.test BATCH -1")
    assert bench.told.events == ["up", "netsplit #a bob eve a.b c.d"]


async def test_what_was_lost_with_the_connection_is_not_told(make: Make) -> None:
    bench = await make()
    peer = await joined(bench, *LOST)
    await bench.lost(peer)
    await bench.pass_time(600)
    await bench.again(*NAMES, *BACK)
    await bench.pass_time(600)
    assert [event for event in bench.told.events if event.startswith("net")] == []


async def test_the_next_worker_knows_who_was_lost(make: Make) -> None:
    bench = await make(kept=True)
    peer = await joined(bench, *LOST)
    await bench.pass_time(3)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    await bench.succeed()
    peer.send(*BACK)
    await bench.said(peer)
    await bench.pass_time(3)
    assert bench.told.events == ["taken over", "netjoin #a bob eve a.b c.d"]
    assert [applied.split for applied in bench.told.applied[-2:]] == [True, True]


async def test_what_a_worker_has_taken_in_the_next_one_does_not_tell_again(make: Make) -> None:
    bench = await make(kept=True)
    peer = await joined(bench)
    bench.reactor.checkpoints.save(at_once=True)
    await bench.crossed()
    peer.send(LOST[0])
    await bench.said(peer)
    await bench.pass_time(3)
    assert bench.told.events[-1] == "netsplit #a bob a.b c.d"
    await bench.kill()
    peer.send(LOST[1])
    await peer.barrier()
    await bench.succeed()
    await bench.pass_time(3)
    assert bench.told.events == ["taken over", "netsplit #a eve a.b c.d"]


async def test_a_server_that_knows_bots_is_told_that_we_are_one(make: Make) -> None:
    bench = await make()
    peer = await bench.up(":irc.test 005 neverquit BOT=b :are supported", ":irc.test 005 neverquit BOT=b :again")
    assert await bench.said(peer) == ["MODE neverquit +b"]
    peer.send(":irc.test 005 neverquit BOT=bot BOT= BOT=1 :are supported")
    assert await bench.said(peer) == []


async def test_a_server_that_tells_the_time_is_asked_for_it(make: Make) -> None:
    bench = await make()
    bench.connection.start()
    peer = await bench.server.accept()
    await peer.until("CAP LS")
    peer.send("CAP * LS :server-time")
    await peer.until("CAP REQ")
    peer.send("CAP * ACK :server-time")
    await peer.until("CAP END")
    peer.send("@time=2020-01-01T00:00:00.000Z :irc.test 001 neverquit :Welcome")
    assert await bench.said(peer) == ["PING time"]
    old, now = "@time=2020-01-01T00:10:00.000Z", "@time=2020-01-01T01:00:00.000Z"
    peer.send(f"{old} :bob!b@h PRIVMSG neverquit :!echo replayed", f"{now} PONG irc.test :time")
    peer.send(f"{old} :bob!b@h PRIVMSG neverquit :!echo replayed", f"{now} :bob!b@h PRIVMSG neverquit :!echo live")
    await bench.said(peer)
    assert [applied.history for applied in bench.told.applied[-4:]] == [True, False, True, False]


async def test_w24_what_is_replayed_of_the_bot_itself_moves_nothing(make: Make) -> None:
    """It is in that channel: nobody throws it out again by what was done to it yesterday."""
    bench = await make(channels=(Channel("#a"),))
    peer = await bench.up(*NAMES)
    await bench.said(peer)
    replayed = ("op!o@h KICK #a neverquit :x", "irc.test 474 neverquit #a :banned", "neverquit!n@h PART #a")
    peer.send(":irc.test BATCH +h chathistory #a", *(f"@batch=h :{line}" for line in replayed), ":irc.test BATCH -h")
    said = await bench.said(peer)
    await bench.pass_time(60)
    assert [line for line in said + await bench.said(peer) if line.startswith("JOIN")] == []


async def test_a_channel_that_may_be_rejoined_by_new_settings_is(make: Make) -> None:
    bench = await make(channels=(Channel("#a", rejoin=False),))
    peer = await bench.up(*NAMES)
    peer.send(":op!o@h KICK #a neverquit :x")
    await bench.said(peer)
    bench.connection.configure(replace(bench.network, channels=(Channel("#a"),)))
    await bench.pass_time(60)
    assert "JOIN #a" in await bench.said(peer)
