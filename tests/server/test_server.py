"""The embedded server, spoken to over loopback, and by a made-up transport where bytes are the point."""

from __future__ import annotations

import asyncio
import base64
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from speaking import Join, ask, numerics, piped, raw

from bot.errors import UnsafeText
from bot.server import MAX_BODY, VERBS, Client, Server, cut
from bot.server.services import NickServ
from bot.server.verbs import RARE

# -- registration -------------------------------------------------------------------------------------------------


async def test_nick_and_user_are_answered_by_001_to_005_and_the_motd(server: Server) -> None:
    heard = numerics(await raw(server, "NICK alice", "USER alice 0 * :Alice"))
    assert " ".join(heard) == "001 002 003 004 005 005 251 254 255 375 372 376"


async def test_005_says_what_the_server_keeps_to(server: Server) -> None:
    heard = " ".join(await raw(server, "NICK alice", "USER alice 0 * :Alice"))
    for token in ("CASEMAPPING=rfc1459", "CHANMODES=b,k,l,imnst", "PREFIX=(ov)@+", "NICKLEN=30", "WHOX", "LINELEN=512"):
        assert f" {token} " in heard


async def test_cap_ls_holds_the_registration_until_cap_end(server: Server) -> None:
    lines = ["CAP LS 302", "NICK alice", "USER alice 0 * :Alice"]
    assert not [line for line in await raw(server, *lines) if " 001 " in line]
    assert [line for line in await raw(server, *lines, "CAP END") if " 001 " in line]


async def test_cap_ls_302_shows_values_and_an_older_one_does_not(server: Server) -> None:
    assert "sasl=PLAIN" in (await raw(server, "CAP LS 302"))[0]
    old = (await raw(server, "CAP LS"))[0]
    assert old.endswith(" sasl") and "sasl=" not in old


async def test_cap_ls_302_takes_several_lines_where_one_is_too_short(server: Server) -> None:
    server.cap_bytes = 60
    heard = await raw(server, "CAP LS 302")
    assert len(heard) > 3
    assert all(line.startswith(":irc.demo CAP * LS * :") for line in heard[:-1])
    assert heard[-1].startswith(":irc.demo CAP * LS :")
    assert set(" ".join(line.split(" :")[1] for line in heard).split()) == {
        f"{name}={value}" if value else name for name, value in server.caps.items()
    }


async def test_cap_req_with_one_unknown_capability_changes_nothing(server: Server) -> None:
    heard = await raw(server, "CAP REQ :server-time nonsense", "CAP LIST")
    assert heard == [":irc.demo CAP * NAK :server-time nonsense", ":irc.demo CAP * LIST :"]


async def test_cap_req_with_a_minus_takes_a_capability_back(server: Server) -> None:
    heard = await raw(server, "CAP REQ :setname chghost", "CAP REQ -setname", "CAP LIST")
    assert heard[-1] == ":irc.demo CAP * LIST :chghost"


async def test_cap_list_says_410_to_a_subcommand_that_it_does_not_know(server: Server) -> None:
    assert numerics(await raw(server, "CAP FOO")) == ["410"]


async def test_sasl_is_not_offered_without_accounts(server: Server) -> None:
    server.accounts.clear()
    assert "sasl" not in (await raw(server, "CAP LS 302"))[0]


async def test_sasl_plain_logs_in(join: Join, server: Server) -> None:
    client = await join("al", account="alice")
    assert server.client("al").account == "alice"
    assert any(" 900 * *!*@* alice :You are now logged in as alice" in line for line in client.lines)


def plain(name: str, password: str) -> str:
    return base64.b64encode(f"\0{name}\0{password}".encode()).decode()


async def test_sasl_takes_a_response_in_chunks_of_400(server: Server) -> None:
    text = plain("long", "x" * 400)
    chunks = [text[at : at + 400] for at in range(0, len(text), 400)]
    heard = await raw(server, "CAP REQ sasl", "AUTHENTICATE PLAIN", *(f"AUTHENTICATE {chunk}" for chunk in chunks))
    assert numerics(heard)[-2:] == ["900", "903"]


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["AUTHENTICATE PLAIN", f"AUTHENTICATE {plain('alice', 'wrong')}"], ["904"]),
        (["AUTHENTICATE PLAIN", f"AUTHENTICATE {plain('nobody', 'x')}"], ["904"]),
        (["AUTHENTICATE PLAIN", "AUTHENTICATE !!!"], ["904"]),
        (["AUTHENTICATE PLAIN", "AUTHENTICATE /w=="], ["904"]),
        (["AUTHENTICATE PLAIN", "AUTHENTICATE +"], ["904"]),
        (["AUTHENTICATE PLAIN", "AUTHENTICATE " + "x" * 401], ["905"]),
        (["AUTHENTICATE PLAIN", "AUTHENTICATE *"], ["906"]),
        (["AUTHENTICATE EXTERNAL"], ["908", "904"]),
        (["AUTHENTICATE PLAIN", f"AUTHENTICATE {plain('alice', 'sesame')}", "AUTHENTICATE PLAIN"], ["907"]),
        (["AUTHENTICATE PLAIN", *["AUTHENTICATE " + "x" * 400] * 12], ["905", *["908", "904"] * 0]),
    ],
)
async def test_sasl_that_fails_is_told_why(server: Server, lines: list[str], answer: list[str]) -> None:
    heard = [number for number in numerics(await raw(server, "CAP REQ sasl", *lines)) if number.startswith("9")]
    assert heard[-len(answer) :] == answer


async def test_a_registration_that_ends_in_the_middle_of_sasl_aborts_it(server: Server) -> None:
    lines = ["CAP REQ sasl", "NICK al", "USER al 0 * :al", "AUTHENTICATE PLAIN", "CAP END"]
    assert numerics(await raw(server, *lines))[2:4] == ["906", "001"]


async def test_a_server_password_is_asked_for(server: Server) -> None:
    server.password = "open"
    heard = await raw(server, "NICK al", "USER al 0 * :al")
    assert numerics(heard)[0] == "464" and heard[-1].startswith("ERROR :Closing link")
    assert numerics(await raw(server, "PASS open", "NICK al", "USER al 0 * :al"))[0] == "001"


@pytest.mark.parametrize(
    ("line", "numeric"),
    [
        ("NICK", "431"),
        ("NICK :", "431"),
        ("NICK 1a", "432"),
        ("NICK a!b", "432"),
        ("NICK bób", "432"),
        ("NICK " + "a" * 31, "432"),
        ("NICK BOB", "433"),
        ("USER a", "461"),
        ("JOIN #a", "451"),
        ("PING", "409"),
    ],
)
async def test_a_mistake_before_001_is_answered_by_its_numeric(
    server: Server, join: Join, line: str, numeric: str
) -> None:
    await join("bob")
    heard = await raw(server, line)
    assert numerics(heard) == [numeric] and heard[0].startswith(f":irc.demo {numeric} *")


@pytest.mark.parametrize(("casemapping", "heard"), [("rfc1459", b" 433 "), ("ascii", b" 001 ")])
def test_a_nick_is_taken_whatever_its_case_in_the_servers_mapping(casemapping: str, heard: bytes) -> None:
    server = Server(casemapping=casemapping)
    piped(server, "bob[")
    assert heard in piped(server, "BOB{")[1].written


async def test_a_nick_of_somebody_who_left_while_registering_is_free(server: Server) -> None:
    assert await raw(server, "NICK carol") == []
    assert await raw(server, "QUIT", "NICK x") == ["ERROR :Closing link: 127.0.0.1 (Client quit)"]
    await server.stop()
    assert server.nicks == {}


# -- channels -----------------------------------------------------------------------------------------------------


async def test_the_first_in_a_channel_is_its_operator(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob")
    heard = await ask(bob, "JOIN #A")
    assert heard[0] == ":bob!bob@127.0.0.1 JOIN #a"
    assert heard[1] == ":irc.demo 353 bob = #a :@alice bob"
    assert numerics(heard)[2] == "366"
    assert await ask(alice) == [":bob!bob@127.0.0.1 JOIN #a"]


async def test_extended_join_carries_the_account_for_those_who_asked(join: Join) -> None:
    alice, bob = await join("alice", "#a", caps="extended-join"), await join("bob", "#a")
    await join("al", "#a", account="alice")
    assert await ask(alice) == [":bob!bob@127.0.0.1 JOIN #a * :bob", ":al!al@127.0.0.1 JOIN #a alice :al"]
    assert await ask(bob) == [":al!al@127.0.0.1 JOIN #a"]


async def test_names_has_all_prefixes_and_hosts_for_those_who_asked(join: Join) -> None:
    await ask(await join("alice", "#a"), "MODE #a +v alice")
    bob = await join("bob", caps="multi-prefix userhost-in-names")
    assert "@+alice!alice@127.0.0.1 bob!bob@127.0.0.1" in (await ask(bob, "JOIN #a"))[1]


async def test_long_names_take_several_lines_of_at_most_512_bytes(join: Join) -> None:
    nicks = [f"{'n' * 28}{number:02}" for number in range(20)]
    for nick in nicks:
        client = await join(nick, "#a")
    heard = [line for line in await ask(client, "NAMES #a") if " 353 " in line]
    assert len(heard) == 2 and all(len(line) <= 510 for line in heard)
    assert " ".join(line.split(" :")[1] for line in heard) == "@" + " ".join(nicks)


@pytest.mark.parametrize(
    ("setting", "line", "numeric"),
    [
        ("MODE #a +k sesame", "JOIN #a", "475"),
        ("MODE #a +l 1", "JOIN #a", "471"),
        ("MODE #a +i", "JOIN #a", "473"),
        ("MODE #a +b *!*@127.*", "JOIN #a", "474"),
        ("MODE #a +b BOB", "JOIN #a", "474"),
        ("", "JOIN a", "403"),
        ("", "JOIN :#a b", "403"),
        ("", "JOIN #" + "a" * 64, "403"),
        ("", "PART #a", "442"),
        ("", "PART #b", "403"),
        ("", "TOPIC #a :x", "442"),
        ("", "KICK #a alice", "442"),
        ("", "KICK #a", "461"),
        ("", "INVITE nobody #a", "401"),
        ("", "INVITE alice #a", "442"),
        ("", "MODE #a +m", "442"),
        ("", "MODE alice", "502"),
        ("", "MODE bob +x", "501"),
        ("", "PRIVMSG #a :hi", "404"),
        ("", "PRIVMSG nobody :hi", "401"),
        ("", "PRIVMSG alice", "412"),
        ("", "PRIVMSG", "411"),
        ("", "USER a b c d", "462"),
        ("", "PASS x", "462"),
        ("", "FOO", "421"),
        ("", "OPER a b", "491"),
        ("", "KILL alice x", "481"),
        ("", "AUTHENTICATE PLAIN", "904"),
    ],
)
async def test_what_is_not_allowed_is_answered_by_its_numeric(
    join: Join, setting: str, line: str, numeric: str
) -> None:
    alice, bob = await join("alice", "#a"), await join("bob")
    if setting:
        await ask(alice, setting)
    assert numerics(await ask(bob, line)) == [numeric]
    assert await ask(alice) == []


@pytest.mark.parametrize(
    ("line", "numeric"),
    [
        ("MODE #a +m", "482"),
        ("TOPIC #a :x", "482"),
        ("KICK #a alice", "482"),
        ("INVITE alice #a", "443"),
        ("MODE #a b", "368"),
    ],
)
async def test_a_member_without_op_gets_the_right_answer(join: Join, line: str, numeric: str) -> None:
    await join("alice", "#a")
    assert numerics(await ask(await join("bob", "#a"), line)) == [numeric]


@pytest.mark.parametrize(
    ("line", "numerics_heard"),
    [
        ("KICK #a nobody", ["401"]),
        ("KICK #a carol", ["441"]),
        ("MODE #a +o carol", ["441"]),
        ("MODE #a +o nobody", ["401"]),
        ("MODE #a +x", ["472"]),
        ("MODE #a +l nine", ["461"]),
        ("MODE #a +k", ["461"]),
        ("MODE #a -m", []),
        ("MODE #a +n", []),
        ("JOIN #a", []),
    ],
)
async def test_an_operators_mistake_changes_nothing(join: Join, line: str, numerics_heard: list[str]) -> None:
    await join("carol")
    assert numerics(await ask(await join("alice", "#a"), line)) == numerics_heard


async def test_the_answer_to_a_mistake_names_who_or_what_it_is_about(join: Join) -> None:
    await join("carol")
    assert await ask(await join("alice", "#a"), "MODE #a +o carol", "MODE #a +o nobody", "KICK #a x", "JOIN :a b") == [
        ":irc.demo 441 alice carol #a :They aren't on that channel",
        ":irc.demo 401 alice nobody :No such nick/channel",
        ":irc.demo 401 alice x :No such nick/channel",
        ":irc.demo 403 alice a :No such channel",
    ]


async def test_keys_belong_to_channels_in_order(join: Join) -> None:
    alice, bob = await join("alice", "#a", "#b", "#c"), await join("bob")
    await ask(alice, "MODE #a +k one", "MODE #b +k two")
    heard = await ask(bob, "JOIN #a,#b,#c one,two")
    assert [line.split(" ")[2] for line in heard if " JOIN " in line] == ["#a", "#b", "#c"]


async def test_join_0_leaves_every_channel(join: Join, server: Server) -> None:
    alice = await join("alice", "#a", "#b")
    assert await ask(alice, "JOIN 0") == [":alice!alice@127.0.0.1 PART #a", ":alice!alice@127.0.0.1 PART #b"]
    assert server.channels == {}


async def test_an_invitation_opens_a_channel_once(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob")
    watcher = await join("carol", "#a", caps="invite-notify")
    assert numerics(await ask(alice, "MODE #a +i", "INVITE bob #a"))[-1] == "341"
    assert await ask(bob) == [":alice!alice@127.0.0.1 INVITE bob :#a"]
    assert (await ask(watcher))[-1] == ":alice!alice@127.0.0.1 INVITE bob :#a"
    assert numerics(await ask(bob, "JOIN #a", "PART #a", "JOIN #a")) == ["JOIN", "353", "366", "PART", "473"]


async def test_several_modes_in_one_line_are_relayed_as_one(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    await ask(alice, "MODE #a +vk-t+lm bob sesame 5")
    assert await ask(bob) == [":alice!alice@127.0.0.1 MODE #a +vk-t+lm bob sesame 5"]
    assert (await ask(bob, "MODE #a"))[0] == ":irc.demo 324 bob #a +klmn sesame 5"
    await ask(alice, "MODE #a -lk x")
    assert await ask(bob) == [":alice!alice@127.0.0.1 MODE #a -lk sesame"]


async def test_the_key_is_not_shown_to_strangers(join: Join) -> None:
    await ask(await join("alice", "#a"), "MODE #a +k sesame")
    assert (await ask(await join("bob"), "MODE #a"))[0] == ":irc.demo 324 bob #a +knt *"


async def test_who_takes_op_from_themselves_may_still_end_their_line(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    assert await ask(alice, "MODE #a -o+v alice bob") == [
        ":bob!bob@127.0.0.1 JOIN #a",
        ":alice!alice@127.0.0.1 MODE #a -o+v alice bob",
    ]
    assert numerics(await ask(bob, "MODE #a +m")) == ["MODE", "482"]


async def test_bans_are_listed_completed_and_lifted(join: Join) -> None:
    alice = await join("alice", "#a")
    assert numerics(await ask(alice, "MODE #a +bbb bob x@y z!q", "MODE #a b")) == ["MODE", "367", "367", "367", "368"]
    assert (await ask(alice, "MODE #a -b bob"))[0].endswith(" MODE #a -b bob!*@*")
    assert (await ask(alice, "MODE #a b"))[0] == ":irc.demo 367 alice #a *!x@y alice 1000000000"


async def test_a_moderated_channel_hears_only_voices(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    await ask(alice, "MODE #a +m")
    assert numerics(await ask(bob, "PRIVMSG #a :hi"))[-1] == "404"
    await ask(alice, "MODE #a +v bob")
    assert numerics(await ask(bob, "PRIVMSG #a :hi")) == ["MODE"]


async def test_a_secret_channel_is_shown_to_its_members_alone(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob")
    await ask(alice, "MODE #a +s")
    heard = await ask(bob, "LIST", "WHOIS alice", "NAMES #a", "WHO #a", "TOPIC #a", "MODE #a")
    assert numerics(heard) == ["321", "323", "311", "312", "317", "318", "366", "315", "403", "403"]
    assert numerics(await ask(alice, "LIST")) == ["321", "322", "323"]


async def test_a_secret_channel_may_be_spoken_to_by_who_knows_its_name(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob")
    await ask(alice, "MODE #a +s")
    assert numerics(await ask(bob, "PRIVMSG #a :hello?", "PRIVMSG #b :hello?")) == ["404", "403"]
    await ask(alice, "MODE #a -n")
    assert await ask(bob, "PRIVMSG #a :hello?") == []
    assert (await ask(alice))[-1] == ":bob!bob@127.0.0.1 PRIVMSG #a :hello?"


async def test_the_topic_is_kept_and_told(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob")
    assert await ask(alice, "TOPIC #a :fish & chips") == [":alice!alice@127.0.0.1 TOPIC #a :fish & chips"]
    heard = await ask(bob, "JOIN #a")
    assert heard[1:3] == [
        ":irc.demo 332 bob #a :fish & chips",
        ":irc.demo 333 bob #a alice!alice@127.0.0.1 1000000000",
    ]
    assert numerics(await ask(alice, "TOPIC #a :", "TOPIC #a")) == ["JOIN", "TOPIC", "331"]


async def test_a_kick_is_seen_by_all_and_ends_the_membership(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    await ask(alice, "KICK #a BOB,bob :out with you")
    assert await ask(bob) == [":alice!alice@127.0.0.1 KICK #a bob :out with you"]
    assert [peer.nick for peer in server.channels["#a"].members] == ["alice"]


async def test_a_quit_is_told_once_to_each_who_shares_a_channel(join: Join) -> None:
    alice, bob, carol = await join("alice", "#a", "#b"), await join("bob", "#a", "#b"), await join("carol")
    alice.send("QUIT :so long")
    assert await bob.expect("QUIT") == ":alice!alice@127.0.0.1 QUIT :Quit: so long"
    assert await ask(bob) == [] and await ask(carol) == []
    await alice.expect("ERROR :Closing link: 127.0.0.1 (Quit: so long)")


async def test_a_socket_that_closes_without_quit_is_a_quit_too(join: Join, server: Server) -> None:
    bob = await join("bob", "#a")
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"NICK al\r\nUSER al 0 * :al\r\nJOIN #a\r\n")
    await bob.expect("JOIN")
    writer.close()
    assert await bob.expect("QUIT") == ":al!al@127.0.0.1 QUIT :Connection closed"


async def test_a_new_nick_is_told_once_and_may_differ_in_case_alone(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a", "#b"), await join("bob", "#a", "#b")
    assert await ask(alice, "NICK ALICE", "NICK al") == [
        *[f":bob!bob@127.0.0.1 JOIN #{name}" for name in "ab"],
        ":alice!alice@127.0.0.1 NICK :ALICE",
        ":ALICE!alice@127.0.0.1 NICK :al",
    ]
    assert numerics(await ask(bob)) == ["NICK", "NICK"]
    assert sorted(server.clients) == ["al", "bob"]


# -- talking ------------------------------------------------------------------------------------------------------


async def test_a_message_reaches_the_others_of_a_channel_and_a_nick(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    await ask(alice, "PRIVMSG #a,bob :hi  there ", "NOTICE bob :psst")
    assert await ask(bob) == [
        ":alice!alice@127.0.0.1 PRIVMSG #a :hi  there ",
        ":alice!alice@127.0.0.1 PRIVMSG bob :hi  there ",
        ":alice!alice@127.0.0.1 NOTICE bob :psst",
    ]
    assert numerics(await ask(alice)) == []


async def test_a_notice_that_fails_is_not_answered(join: Join) -> None:
    assert await ask(await join("alice"), "NOTICE nobody :hi", "NOTICE", "NOTICE #none :hi", "NOTICE x") == []


async def test_a_status_prefix_reaches_only_those_with_that_status(join: Join) -> None:
    alice, bob, carol = await join("alice", "#a"), await join("bob", "#a"), await join("carol", "#a")
    await ask(alice, "MODE #a +v bob")
    await ask(carol)
    await ask(bob)
    await ask(carol, "PRIVMSG @#a :ops", "PRIVMSG +#a :voices")
    assert [line.split(" ", 2)[2] for line in await ask(bob)] == ["+#a :voices"]
    assert [line.split(" ", 2)[2] for line in await ask(alice)][-2:] == ["@#a :ops", "+#a :voices"]


async def test_an_echo_comes_back_to_those_who_asked(join: Join) -> None:
    alice = await join("alice", "#a", caps="echo-message")
    assert await ask(alice, "PRIVMSG #a :hi") == [":alice!alice@127.0.0.1 PRIVMSG #a :hi"]


async def test_tags_go_to_those_who_asked_for_them(join: Join) -> None:
    caps = {"plain": "", "timed": "server-time", "tagged": "message-tags", "all": "account-tag server-time"}
    readers = {nick: await join(nick, "#a", caps=wanted) for nick, wanted in caps.items()}
    alice = await join("al", "#a", account="alice")
    for reader in readers.values():
        await ask(reader)
    await ask(alice, r"@+typing=ac\stive;unsafe=1 PRIVMSG #a :hi")
    heads = {nick: (await ask(reader))[0].split(":al!")[0].strip() for nick, reader in readers.items()}
    assert heads["plain"] == ""
    assert heads["timed"] == "@time=2001-09-09T01:46:40.250Z"
    tags = dict(tag.partition("=")[::2] for tag in heads["tagged"].removeprefix("@").split(";"))
    assert tags.pop("msgid") and tags == {"+typing": r"ac\stive"}
    assert "account=alice" in heads["all"].removeprefix("@").split(";")


async def test_tagmsg_goes_to_those_who_know_tags(join: Join) -> None:
    alice, bob = await join("alice", "#a", caps="message-tags"), await join("bob", "#a")
    carol = await join("carol", "#a", caps="message-tags")
    await ask(alice, "@+typing=done TAGMSG #a")
    assert " TAGMSG #a" in (await ask(carol))[0]
    assert numerics(await ask(bob)) == ["JOIN"]


async def test_who_is_away_is_told_to_the_writer_and_to_watchers(join: Join) -> None:
    alice, bob = await join("alice", "#a", caps="away-notify"), await join("bob", "#a")
    assert await ask(bob, "AWAY :fishing") == [":irc.demo 306 bob :You have been marked as being away"]
    assert (await ask(alice, "PRIVMSG bob :hi")) == [
        ":bob!bob@127.0.0.1 JOIN #a",
        ":bob!bob@127.0.0.1 AWAY :fishing",
        ":irc.demo 301 alice bob :fishing",
    ]
    assert numerics(await ask(bob, "AWAY")) == ["PRIVMSG", "305"]
    assert await ask(alice) == [":bob!bob@127.0.0.1 AWAY"]


async def test_who_joins_while_away_is_told_to_watchers(join: Join) -> None:
    alice, bob = await join("alice", "#a", caps="away-notify"), await join("bob")
    await ask(bob, "AWAY :fishing", "JOIN #a")
    assert await ask(alice) == [":bob!bob@127.0.0.1 JOIN #a", ":bob!bob@127.0.0.1 AWAY :fishing"]


async def test_setname_is_told_to_those_who_asked(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a", caps="setname"), await join("bob", "#a", caps="setname")
    await ask(alice, "SETNAME :Alice Liddell")
    assert await ask(bob) == [":alice!alice@127.0.0.1 SETNAME :Alice Liddell"]
    assert server.client("alice").realname == "Alice Liddell"


async def test_a_relayed_line_has_512_bytes_at_most_and_never_half_a_character(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    await ask(alice, "PRIVMSG #a :" + "ü" * 249)  # 12 bytes and 498: what may be sent
    line = (await ask(bob))[0]
    assert 509 <= len(line.encode()) <= 510 and line.endswith("ü")


async def test_tags_are_not_counted_into_the_512_bytes(join: Join) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a", caps="server-time message-tags")
    await ask(alice, "PRIVMSG #a :" + "x" * 498)
    assert len((await ask(bob))[0].partition(" ")[2]) == 510


# -- asking -------------------------------------------------------------------------------------------------------


async def test_who_lists_a_channel(join: Join) -> None:
    await ask(await join("alice", "#a"), "AWAY :x", "MODE alice +B")
    bob = await join("bob", "#a")
    assert await ask(bob, "WHO #a") == [
        ":irc.demo 352 bob #a alice 127.0.0.1 irc.demo alice GB@ :0 alice",
        ":irc.demo 352 bob #a bob 127.0.0.1 irc.demo bob H :0 bob",
        ":irc.demo 315 bob #a :End of /WHO list",
    ]


async def test_whox_sends_the_fields_asked_for_in_its_own_order(join: Join) -> None:
    bob = await join("bob", "#a")
    await join("al", "#a", account="alice")
    assert (await ask(bob, "WHO #a %natcuhfr,152"))[1:3] == [
        ":irc.demo 354 bob 152 #a bob 127.0.0.1 bob H@ 0 :bob",
        ":irc.demo 354 bob 152 #a al 127.0.0.1 al H alice :al",
    ]
    assert await ask(bob, "WHO al %na") == [
        ":irc.demo 354 bob al alice",
        ":irc.demo 315 bob al :End of /WHO list",
    ]


async def test_who_with_a_mask_leaves_out_the_invisible(join: Join) -> None:
    bob = await join("bob")
    await ask(await join("alice"), "MODE alice +i")
    await join("alina")
    assert [line.split(" ")[7] for line in (await ask(bob, "WHO al*"))[:-1]] == ["alina"]
    assert numerics(await ask(bob, "WHO alice")) == ["352", "315"]


async def test_whois_tells_all_there_is(join: Join) -> None:
    await ask(await join("al", "#a", account="alice"), "MODE al +B", "AWAY :fishing")
    heard = await ask(await join("bob"), "WHOIS AL")
    assert heard == [
        ":irc.demo 311 bob al al 127.0.0.1 * :al",
        ":irc.demo 319 bob al :@#a",
        ":irc.demo 312 bob al irc.demo :demo",
        ":irc.demo 301 bob al :fishing",
        ":irc.demo 335 bob al :is a bot",
        ":irc.demo 330 bob al alice :is logged in as",
        ":irc.demo 317 bob al 0 1000000000 :seconds idle, signon time",
        ":irc.demo 318 bob al :End of /WHOIS list",
    ]


@pytest.mark.parametrize(
    ("line", "heard"),
    [
        ("WHOIS nobody", ["401", "318"]),
        ("WHOIS irc.demo bob", ["311", "312", "317", "318"]),
        ("WHOWAS nobody", ["406", "369"]),
        ("USERHOST bob nobody", ["302"]),
        ("ISON bob nobody", ["303"]),
        ("LIST #none", ["321", "323"]),
        ("MOTD", ["375", "372", "376"]),
        ("LUSERS", ["251", "254", "255"]),
        ("VERSION", ["351", "005", "005"]),
        ("TIME", ["391"]),
        ("ADMIN", ["256", "259"]),
        ("INFO", ["371", "374"]),
        ("STATS u", ["219"]),
        ("LINKS", ["365"]),
        ("MAP", ["017"]),
        ("MODE bob", ["221"]),
        ("ERROR :x", []),
        ("PONG x", []),
    ],
)
async def test_a_question_is_answered_by_its_numerics(join: Join, line: str, heard: list[str]) -> None:
    assert numerics(await ask(await join("bob"), line)) == heard


async def test_userhost_and_ison_name_those_who_are_here(join: Join) -> None:
    await ask(await join("alice"), "AWAY :x")
    assert await ask(await join("bob"), "USERHOST bob ALICE nobody", "ISON :bob ALICE nobody") == [
        ":irc.demo 302 bob :bob=+bob@127.0.0.1 alice=-alice@127.0.0.1",
        ":irc.demo 303 bob :bob alice",
    ]


async def test_own_modes_are_told_when_they_change(join: Join) -> None:
    heard = await ask(await join("bob"), "MODE bob +iB", "MODE bob +i", "MODE bob -i", "MODE bob")
    assert [line.split(" ", 1)[1] for line in heard] == ["MODE bob :+i+B", "MODE bob :-i", "221 bob +B"]


# -- what a test holds --------------------------------------------------------------------------------------------


async def test_barrier_returns_after_all_that_the_client_sent_before(join: Join, server: Server) -> None:
    alice = await join("alice")
    for number in range(100):
        alice.send(f"JOIN #{number}")
    await server.barrier("alice")
    assert len(server.channels) == 100


async def test_barrier_ends_when_cancelled_even_as_the_answer_comes(join: Join, server: Server) -> None:
    await join("alice")
    waiting = asyncio.create_task(server.barrier("alice"))
    await asyncio.sleep(0)
    (pong,) = server.client("alice").pongs.values()
    pong.set_result(None)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_barrier_fails_at_once_when_the_client_leaves(join: Join, server: Server) -> None:
    (await join("alice")).send("QUIT")
    with pytest.raises(ConnectionError, match="alice left: Client quit"):
        await server.barrier("alice")


async def test_wait_for_sees_a_line_that_comes_and_one_since_a_mark(join: Join, server: Server) -> None:
    alice = await join("alice")
    mark = server.mark()
    alice.send("JOIN #a")
    seen = await server.wait_for(lambda nick, direction, line: direction == "in" and line == "JOIN #a")
    assert seen == ("alice", "in", "JOIN #a")
    assert await server.wait_for(lambda nick, direction, line: " 366 " in line, since=mark) in server.log


async def test_wait_for_that_waits_in_vain_shows_the_last_lines(join: Join, server: Server) -> None:
    await ask(await join("alice"), "LUSERS")
    with pytest.raises(TimeoutError, match="alice in LUSERS"):
        await server.wait_for(lambda nick, direction, line: False, timeout=0)


async def test_a_predicate_that_fails_fails_whoever_waits(join: Join, server: Server) -> None:
    (await join("alice")).send("LUSERS")
    with pytest.raises(IndexError):
        await server.wait_for(lambda nick, direction, line: line.split()[99] == "")


async def test_wait_for_since_a_mark_older_than_the_log_sees_what_is_left(server: Server) -> None:
    for number in range(10_050):
        server.note("alice", "in", str(number))
    assert (await server.wait_for(lambda *_: True, since=1)).line == "50"


async def test_login_and_logout_are_told_to_those_who_asked(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a", caps="account-notify")
    carol = await join("carol", "#a")
    server.login("alice", "queen")
    server.logout("alice")
    assert [line for line in await ask(alice) if " 90" in line] == [
        ":irc.demo 900 alice alice!alice@127.0.0.1 queen :You are now logged in as queen",
        ":irc.demo 901 alice alice!alice@127.0.0.1 :You are now logged out",
    ]
    assert (await ask(bob))[-2:] == [":alice!alice@127.0.0.1 ACCOUNT queen", ":alice!alice@127.0.0.1 ACCOUNT *"]
    assert await ask(carol) == []


async def test_say_speaks_as_a_client_or_as_a_stranger(join: Join, server: Server) -> None:
    await join("alice", "#a")
    bob = await join("bob", "#a")
    server.say("alice", "#A", "hi")
    server.say("x!y@z", "bob", "psst", "NOTICE")
    assert await ask(bob) == [":alice!alice@127.0.0.1 PRIVMSG #a :hi", ":x!y@z NOTICE bob :psst"]
    with pytest.raises(UnsafeText):
        server.say("alice", "#a", "hi\r\nQUIT")
    with pytest.raises(KeyError, match="nobody is called carol here; there are alice, bob"):
        server.say("alice", "carol", "hi")


async def test_send_raw_sends_whatever_it_is_given(join: Join, server: Server) -> None:
    bob = await join("bob")
    server.send_raw("bob", b"\xff\xfe :::")
    server.send_raw("bob", "@broken;;= " + "x" * 10_000)
    assert [len(line) for line in await ask(bob)] == [6, 10_011]


async def test_replay_is_a_batch_for_those_who_know_batches(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a", caps="batch")
    for nick in ("alice", "bob"):
        server.replay(nick, "#a", [("x!y@z", "old")])
    assert (await ask(alice))[-1] == ":x!y@z PRIVMSG #a :old"
    start, line, end = await ask(bob)
    name = start.split(" ")[2].removeprefix("+")
    assert start == f":irc.demo BATCH +{name} chathistory #a" and end == f":irc.demo BATCH -{name}"
    assert line == f"@batch={name} :x!y@z PRIVMSG #a :old"


async def test_a_new_host_is_told_to_those_who_asked(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a", caps="chghost")
    server.change_host("alice", "~al", "wonder.land")
    await ask(alice, "PRIVMSG #a :hi")
    assert await ask(bob) == [":alice!alice@127.0.0.1 CHGHOST ~al wonder.land", ":alice!~al@wonder.land PRIVMSG #a :hi"]


async def test_a_capability_that_comes_or_goes_is_told_to_those_who_asked(join: Join, server: Server) -> None:
    alice, bob = await join("alice", caps="cap-notify"), await join("bob", caps="setname")
    server.withdraw("setname")
    server.offer("vendor/x", "1")
    assert await ask(alice) == [":irc.demo CAP alice DEL :setname", ":irc.demo CAP alice NEW :vendor/x=1"]
    assert await ask(bob, "CAP LIST") == [":irc.demo CAP bob LIST :"]


async def test_kill_closes_the_socket_without_a_word(join: Join, server: Server) -> None:
    alice, bob = await join("alice", "#a"), await join("bob", "#a")
    server.kill("alice")
    with pytest.raises(ConnectionError):
        await alice.expect("ERROR")
    assert await ask(bob) == [":alice!alice@127.0.0.1 QUIT :Connection reset by peer"]


async def test_stop_tells_everybody_and_start_takes_the_same_port_again(join: Join, server: Server) -> None:
    alice, port = await join("alice", "#a"), server.port
    await server.stop()
    await alice.expect("ERROR :Closing link: 127.0.0.1 (Server shutting down)")
    assert (server.links, server.nicks, server.channels) == (set(), {}, {})
    await server.start(port=port)
    assert server.port == port and "alice" not in server.clients
    await join("alice")


async def test_abort_closes_every_socket_at_once(join: Join, server: Server) -> None:
    alice = await join("alice")
    server.abort()
    with pytest.raises(ConnectionError):
        await alice.expect("ERROR")


def test_kill_loses_what_is_unsent_and_quit_does_not() -> None:
    server = Server()
    (_, alice), (bob, pipe) = piped(server, "alice"), piped(server, "bob")
    server.kill("alice")
    bob.data_received(b"QUIT\r\n")
    assert (alice.ended, pipe.ended) == ("abort", "close")


async def test_port_without_start_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"await server.start\(\) first"):
        _ = Server().port


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A folder with a self-signed `cert` for 127.0.0.1 and its `key`."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out cert -subj /CN=x"
    name = ["-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command.split(), *name], cwd=tmp_path, check=True, stderr=subprocess.DEVNULL)
    return tmp_path


async def test_tls_where_it_was_asked_for(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate / "cert", certificate / "key")
    server = Server(tls=context)
    await server.start()
    trusted = ssl.create_default_context(cafile=str(certificate / "cert"))
    alice = await Client.connect("127.0.0.1", server.port, "alice", tls=trusted)
    assert "671" in numerics(await ask(alice, "WHOIS alice"))
    await alice.close()
    await server.stop()


# -- garbage and bounds -------------------------------------------------------------------------------------------


ODD_WORDS = """#a #b # alice bob a,b,,#a +ov-b b +k +l 0 * %tcuihsnfdlaor,1 LS REQ LIST 302 \u00b2 \u0663 -sasl PLAIN
    + = @#a +@ @ : \ufeff *!*@* ! #a,#b -o+v +bkl \\ irc.demo
    +1 -1 draft/multiline nickserv IDENTIFY REGAIN LATEST BEFORE BETWEEN timestamp=2001 msgid=1 C L S SCRAM-SHA-256"""
WORDS = st.sampled_from([*ODD_WORDS.split(), "", "\u00e9" * 300, "x" * 600]) | st.text(max_size=12)
LINES = st.tuples(
    st.sampled_from(["", "@a=b ", "@+x=\\", ":src ", "@", ":", "@;=;+y= :x!y@z ", "@label=1 ", "@batch=1 "]),
    st.sampled_from([*VERBS, *RARE, "privmsg", "001", "FOO", ""]),
    st.lists(WORDS, max_size=5),
    st.sampled_from([" ", "  ", " :"]),
).map(lambda parts: (parts[0] + " ".join([parts[1], *parts[2][:-1]]) + parts[3] + "".join(parts[2][-1:])).encode())


@given(st.lists(LINES | st.binary(max_size=40), max_size=12))
def test_no_line_is_too_odd_for_the_server(lines: list[bytes]) -> None:
    """Whatever is said: no exception, and everybody hears well-formed lines of at most 512 bytes."""
    server = Server(accounts={"alice": "sesame"})
    server.motd, server.history, server.nickserv = (), 5, NickServ(server)
    server.caps |= {"labeled-response": "", "draft/multiline": "max-bytes=40,max-lines=2", "sasl": ""}
    caps = "batch labeled-response draft/multiline echo-message standard-replies"
    pipes = [piped(server, nick, caps) for nick in ("alice", "bob")]
    pipes[0][0].data_received(b"\r\n".join(lines) + b"\r\n")
    assert server.crashes == []
    for _, pipe in pipes:
        *written, rest = pipe.written.split(b"\r\n")
        assert rest == b""
        for line in written:
            body = line.partition(b" ")[2] if line.startswith(b"@") else line
            assert len(body) <= MAX_BODY and not {0, 10, 13}.intersection(line)
            assert body.decode()


@given(st.binary(max_size=200), st.integers(0, 220))
def test_cut_ends_between_characters(raw: bytes, limit: int) -> None:
    text = raw.decode("utf-8", "ignore")
    short = cut(text.encode(), limit)
    assert text.startswith(short.decode())
    assert min(limit, len(text.encode())) - 3 <= len(short) <= limit


def test_lines_may_come_in_any_pieces_and_with_any_line_end() -> None:
    server = Server()
    peer, pipe = piped(server, "alice")
    pipe.written = b""
    for byte in b"PING a\r\nPING b\n\r\n\rPING c\r":
        peer.data_received(bytes([byte]))
    assert [line[-1:] for line in pipe.written.split()[3::4]] == [b"a", b"b", b"c"]


def test_bytes_that_are_no_utf8_are_relayed_as_utf8() -> None:
    server = Server()
    (alice, _), (_, pipe) = piped(server, "alice"), piped(server, "bob")
    alice.data_received(b"PRIVMSG bob :caf\xe9\r\n")
    assert pipe.written.endswith(" PRIVMSG bob :café\r\n".encode())


def test_an_endless_line_is_dropped_and_told_and_the_next_one_counts() -> None:
    server = Server()
    peer, pipe = piped(server, "alice")
    pipe.written = b""
    for _ in range(100):
        peer.data_received(b"x" * 10_000)
    peer.data_received(b"\r\nPING a\r\n")
    assert pipe.written.split()[2::2] and b" 417 alice " in pipe.written and pipe.written.endswith(b":a\r\n")


def test_too_many_bytes_of_tags_are_refused() -> None:
    server = Server()
    (alice, pipe), (_, other) = piped(server, "alice"), piped(server, "bob")
    pipe.written = other.written = b""
    alice.data_received(b"@+x=" + b"y" * 4100 + b" PRIVMSG bob :hi\r\n")
    assert b" 417 " in pipe.written and other.written == b""


async def test_a_client_that_does_not_read_is_dropped() -> None:
    server = Server(max_sendq=1000)
    (alice, _), (bob, pipe) = piped(server, "alice"), piped(server, "bob")
    pipe.waiting = 1001
    alice.data_received(b"PRIVMSG #a :one\r\n")
    await asyncio.get_running_loop().create_task(asyncio.sleep(0))
    assert pipe.ended and bob.gone and list(server.clients) == ["alice"]
    assert server.log[-1].line.endswith(":bob!u@localhost QUIT :Max SendQ exceeded")


async def test_one_client_too_many_is_turned_away(server: Server, join: Join) -> None:
    server.max_clients = 1
    await join("alice")
    assert await raw(server) == ["ERROR :Closing link: 127.0.0.1 (Too many connections)"]


def test_a_client_is_in_100_channels_at_most() -> None:
    server = Server()
    peer, pipe = piped(server, "alice")
    for number in range(110):
        peer.data_received(f"JOIN #{number}\r\n".encode())
    assert len(peer.channels) == 100 and pipe.written.count(b" 405 ") == 11


def test_a_fault_of_the_server_is_kept_and_the_client_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    peer, pipe = piped(server, "alice")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setitem(VERBS, "PING", VERBS["PING"]._replace(run=fail))
    peer.data_received(b"PING a\r\n")
    monkeypatch.undo()
    peer.data_received(b"PING b\r\n")
    assert len(server.crashes) == 1 and "ZeroDivisionError" in server.crashes[0] and pipe.written.endswith(b":b\r\n")


# -- the client ---------------------------------------------------------------------------------------------------


async def test_expect_goes_on_behind_the_line_it_found(join: Join) -> None:
    alice = await join("alice")
    alice.send("PING one")
    alice.send("PING two")
    assert (await alice.expect("PONG")).endswith(":one")
    assert (await alice.expect("PONG")).endswith(":two")


async def test_a_client_keeps_a_bounded_number_of_lines(join: Join, monkeypatch: pytest.MonkeyPatch) -> None:
    alice = await join("alice")
    monkeypatch.setattr("bot.server.client.MAX_LOG", 20)
    await ask(alice, *["MOTD"] * 20)
    assert len(alice.lines) <= 20
    assert numerics(await ask(alice, "TIME")) == ["391"]


async def test_expect_in_vain_shows_what_came_instead(join: Join) -> None:
    alice = await join("alice")
    with pytest.raises(TimeoutError, match="End of /MOTD"):
        await alice.expect("godot", timeout=0)


async def test_a_client_refuses_to_send_two_lines_as_one(join: Join) -> None:
    with pytest.raises(UnsafeText):
        (await join("alice")).privmsg("#a", "hi\r\nQUIT")


async def test_a_refused_registration_is_an_error(server: Server, join: Join) -> None:
    await join("alice")
    with pytest.raises(ConnectionError, match="433"):
        await Client.connect("127.0.0.1", server.port, "alice")
