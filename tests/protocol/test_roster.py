"""roster.py: what each line means, and above all when an account is no longer believed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.protocol.message import Message, Source
from bot.protocol.roster import Applied, Member, Roster

ALICE = ":alice!~a@host.a"
MALLORY = ":mallory!~m@host.m"
BOT = ":bot!b@host.bot"
KEEPING = ("account-notify", "extended-join")


def feed(roster: Roster, *lines: str) -> Applied:
    """Apply the lines and return what the last one gave."""
    applied = Applied()
    for line in lines:
        applied = roster.apply(Message.parse(line))
    return applied


def joined(*caps: str, isupport: str = "WHOX") -> Roster:
    """A roster that is in #c and knows nobody else."""
    roster = Roster()
    roster.caps = set(caps)
    feed(roster, ":srv 001 bot :Welcome", f":srv 005 bot {isupport} :are supported", f"{BOT} JOIN #c")
    return roster


def with_alice(*caps: str) -> Roster:
    """A roster that is in #c with alice, who is logged in as `alice`."""
    roster = joined(*caps)
    feed(roster, f"{ALICE} JOIN #c alice :Alice A")
    return roster


def account(roster: Roster, source: str = ALICE, tags: str = "") -> str | None:
    """Apply a line said by somebody in #c and return the account that is believed."""
    message = Message.parse(f"{tags}{source} PRIVMSG #c :!reload")
    roster.apply(message)
    return roster.account_of(message)


def nicks(roster: Roster, channel: str = "#c") -> set[str]:
    found = roster.channel(channel)
    assert found is not None
    return set(found.members)


def check(roster: Roster) -> None:
    """Both sides of every membership agree, and nobody is kept who shares no channel with us."""
    for name, channel in roster.channels.items():
        assert name == roster.fold(channel.name)
        for nick in channel.members:
            assert name in roster.users[nick].channels
    for nick, user in roster.users.items():
        assert nick == roster.fold(user.nick)
        assert user.channels or roster.is_me(nick)
        assert all(nick in roster.channels[name].members for name in user.channels)
        assert user.account is None or "account-notify" in roster.caps


@pytest.mark.parametrize("name", ["a b", "a\0b", "a\rb", "a,b", ":a", ""])
def test_our_nick_and_channels_are_what_a_line_can_be_addressed_to(name: str) -> None:
    """Else a question about one of them would be no line, or two."""
    roster = joined()
    applied = feed(roster, f":srv 001 :{name}", f"{BOT} NICK :{name}", f"{BOT} JOIN :#{name.replace(',', ' ')} ")
    assert (roster.nick, list(roster.channels), applied.asks) == ("bot", ["#c"], ())


# Whom to believe: account-tag


def test_with_account_tag_only_the_tag_of_this_line_counts() -> None:
    roster = with_alice(*KEEPING, "account-tag")
    assert account(roster, tags="@account=other ") == "other"
    assert account(roster) is None


def test_a_tag_counts_also_for_somebody_in_no_channel_of_ours() -> None:
    roster = joined("account-tag")
    message = Message.parse("@account=zoe :zoe!z@host PRIVMSG bot :!reload")
    applied = roster.apply(message)
    assert roster.account_of(message) == "zoe"
    assert applied.member is not None
    assert applied.member.account == "zoe"
    assert roster.user("zoe") is None


@pytest.mark.parametrize("tag", ["@account=alice ", "@+account=alice ", "@vendor/account=alice "])
def test_a_tag_of_a_capability_that_is_not_enabled_says_nothing(tag: str) -> None:
    assert account(joined(), tags=tag) is None
    assert account(joined(*KEEPING), tags=tag) is None


@pytest.mark.parametrize("tag", ["@+account=alice ", "@vendor/account=alice ", "@account ", "@account=* "])
def test_a_tag_of_another_kind_or_without_a_name_says_nothing(tag: str) -> None:
    assert account(joined("account-tag", "message-tags"), tags=tag) is None


def test_when_account_tag_is_withdrawn_its_tags_count_no_more() -> None:
    roster = joined("account-tag")
    assert account(roster, tags="@account=alice ") == "alice"
    roster.caps.discard("account-tag")
    feed(roster, ":srv CAP bot DEL :account-tag")
    assert account(roster, tags="@account=alice ") is None


@pytest.mark.parametrize("source", [":irc.example.org", ":alice", ":!reload", ":@host", ""])
def test_what_is_no_user_has_no_account_whatever_the_tags_say(source: str) -> None:
    for roster in (with_alice("account-tag"), with_alice(*KEEPING)):
        assert account(roster, source, "@account=alice ") is None


# Whom to believe: what is kept


def test_the_account_of_a_join_is_kept() -> None:
    assert account(with_alice(*KEEPING)) == "alice"


def test_without_account_notify_nothing_is_kept() -> None:
    roster = with_alice("extended-join")
    assert account(roster) is None
    feed(roster, f"{ALICE} ACCOUNT alice")
    assert account(roster) is None
    roster.caps.add("account-notify")
    assert account(roster) is None


def test_when_the_connection_says_that_account_notify_is_gone_nothing_kept_counts() -> None:
    roster = with_alice(*KEEPING)
    roster.caps.discard("account-notify")
    assert roster.account_of(Message.parse(f"{ALICE} PRIVMSG #c :x")) is None


def test_without_extended_join_the_second_parameter_of_a_join_is_no_account() -> None:
    assert account(with_alice("account-notify")) is None


def test_a_login_is_believed_and_a_logout_ends_it() -> None:
    roster = joined(*KEEPING)
    feed(roster, f"{ALICE} JOIN #c * :Alice")
    assert account(roster) is None
    feed(roster, f"{ALICE} ACCOUNT alice")
    assert account(roster) == "alice"
    feed(roster, f"{ALICE} ACCOUNT *")
    assert account(roster) is None


@pytest.mark.parametrize("line", ["ACCOUNT", "ACCOUNT :", "ACCOUNT 0"])
def test_an_account_line_without_a_name_is_a_logout(line: str) -> None:
    roster = with_alice(*KEEPING)
    feed(roster, f"{ALICE} {line}")
    assert account(roster) is None


@pytest.mark.parametrize(
    "lines",
    [
        [f"{ALICE} QUIT :bye"],
        [f"{ALICE} QUIT :hub.net leaf.net"],
        [f"{ALICE} QUIT"],
        [f"{ALICE} PART #c"],
        [f"{ALICE} PART #x,#c :bye"],
        [f"{MALLORY} KICK #c alice :out"],
        [":srv KICK #c ALICE"],
        [f"{BOT} PART #c", f"{BOT} JOIN #c"],
        [f"{MALLORY} KICK #c bot", f"{BOT} JOIN #c"],
        [f"{BOT} JOIN #c"],
        [f"{ALICE} NICK elsewhere"],
        [f"{MALLORY} NICK alice"],
        [":unheard!u@of NICK alice"],
        [":unheard NICK alice"],
        [":alice!~a@host.other PRIVMSG #c :x"],
        [":alice!other@host.a PRIVMSG #c :x"],
        [":alice!~a@host.other JOIN #c alice :A", ":alice!~a@host.other QUIT"],
        [":srv CAP bot DEL :batch account-notify"],
        [":srv CAP bot ACK :-account-notify"],
        [":srv CAP bot ACK :account-notify"],
        [":srv 353 bot = #c :@alice!~a@host.other"],
    ],
)
def test_whatever_may_have_changed_the_owner_of_a_nick_ends_its_account(lines: list[str]) -> None:
    """Afterwards somebody speaks under the nick, from the very place that we knew."""
    roster = with_alice(*KEEPING)
    feed(roster, f"{MALLORY} JOIN #c * :M")
    assert account(roster) == "alice"
    feed(roster, *lines)
    assert account(roster) is None
    check(roster)


def test_a_reconnect_ends_every_account() -> None:
    roster = with_alice(*KEEPING)
    roster.clear()
    roster.caps = set(KEEPING)
    feed(roster, ":srv 001 bot :hi", f"{BOT} JOIN #c", ":srv 353 bot = #c :bot alice", ":srv 366 bot #c :end")
    assert account(roster) is None


def test_an_account_goes_with_its_owner_to_another_nick_and_not_with_the_nick() -> None:
    roster = with_alice(*KEEPING)
    feed(roster, f"{ALICE} NICK al", f"{MALLORY} JOIN #c * :M", f"{MALLORY} NICK alice")
    assert account(roster, ":al!~a@host.a") == "alice"
    assert account(roster, ":alice!~m@host.m") is None


def test_who_takes_a_nick_is_not_where_its_owner_was() -> None:
    roster = with_alice(*KEEPING)
    feed(roster, f"{BOT} JOIN #d", f"{ALICE} JOIN #d alice :A", f"{MALLORY} JOIN #c m :M", f"{MALLORY} NICK alice")
    assert (nicks(roster), nicks(roster, "#d")) == ({"bot", "alice"}, {"bot"})
    check(roster)


def test_a_nick_that_only_changes_its_case_keeps_its_account() -> None:
    roster = with_alice(*KEEPING)
    feed(roster, f"{ALICE} NICK Alice")
    assert account(roster, ":ALICE!~a@host.a") == "alice"


def test_who_leaves_one_of_two_channels_is_still_heard_of() -> None:
    roster = with_alice(*KEEPING)
    feed(roster, f"{BOT} JOIN #d", f"{ALICE} JOIN #d alice :A", f"{ALICE} PART #c")
    assert account(roster) == "alice"
    feed(roster, f"{ALICE} PART #d")
    assert account(roster) is None


def test_a_nick_that_joins_from_elsewhere_is_only_in_the_channel_that_it_joined() -> None:
    """Or its account would outlive the last channel in which we would hear of its logout."""
    roster = with_alice(*KEEPING)
    other = ":alice!x@host.x"
    feed(roster, f"{BOT} JOIN #d", f"{other} JOIN #d x :X")
    assert nicks(roster) == {"bot"}
    assert account(roster, other) == "x"
    feed(roster, f"{other} PART #d")
    assert account(roster, other) is None


def test_chghost_keeps_the_account() -> None:
    roster = with_alice(*KEEPING)
    applied = feed(roster, f"{ALICE} CHGHOST ~new cloak/alice")
    assert applied.channels == ("#c",)
    assert account(roster, ":alice!~new@cloak/alice") == "alice"


def test_only_the_place_that_is_known_speaks_for_an_account() -> None:
    roster = with_alice(*KEEPING)
    assert roster.account_of(Message.parse(":alice!~a@host.other PRIVMSG #c :x")) is None
    assert roster.account_of(Message.parse(":alice!x@host.a PRIVMSG #c :x")) is None


def test_look_alikes_of_a_nick_are_somebody_else() -> None:
    roster = with_alice(*KEEPING)
    assert account(roster, ":\uff41lice!~a@host.a") is None
    assert account(roster, ":al\u0131ce!~a@host.a") is None


# Whom to believe: WHOX


def whox(token: str = "1", who: str = "~a host.a alice", name: str = "alice", channel: str = "#c") -> str:
    ident, host, nick = who.split(" ")
    return f":srv 354 bot {token} {channel} {ident} {host} {nick} H {name} :Alice A"


def asked(*caps: str) -> Roster:
    """A roster that met alice in NAMES and has asked WHO, with token 1."""
    roster = joined(*(caps or KEEPING))
    applied = feed(roster, ":srv 353 bot = #c :bot @alice", ":srv 366 bot #c :End")
    assert [message.encode() for message in applied.asks] == ["WHO #c %tcuhnfar,1"]
    return roster


def test_an_answer_to_our_question_tells_the_account() -> None:
    roster = asked()
    feed(roster, whox())
    assert account(roster) == "alice"
    user = roster.user("alice")
    assert user is not None
    assert (user.ident, user.host, user.realname, user.away) == ("~a", "host.a", "Alice A", False)


@pytest.mark.parametrize(
    "line",
    [
        whox(token="2"),
        whox(name="0"),
        whox(name="*"),
        ":srv 354 bot 1 #c ~a host.a alice H alice",
        ":srv 354 bot 1 #c ~a host.a alice H alice :Alice A :more more",
        ":srv 354 bot",
        ":srv 354",
    ],
)
def test_other_answers_tell_nothing(line: str) -> None:
    roster = asked()
    feed(roster, line if "more more" not in line else line.replace(":Alice", "Alice"))
    assert account(roster) is None


def test_without_account_notify_the_answer_is_not_kept() -> None:
    roster = asked("extended-join")
    feed(roster, whox())
    assert account(roster) is None


@pytest.mark.parametrize(
    "lines",
    [
        [f"{ALICE} ACCOUNT *"],
        [f"{ALICE} QUIT", f"{ALICE} JOIN #c * :A"],
        [f"{ALICE} NICK al", f"{MALLORY} JOIN #c * :M", f"{MALLORY} NICK alice"],
        [f"{ALICE} PART #c", f"{ALICE} JOIN #c * :A"],
        [f"{ALICE} QUIT", f"{BOT} JOIN #d", ":srv 353 bot = #d :bot alice"],
        [f"{BOT} PART #c", f"{BOT} JOIN #c", ":srv 353 bot = #c :bot alice"],
        [":srv CAP bot DEL :account-notify", ":srv CAP bot ACK :account-notify"],
        [":srv 315 bot #c :End of WHO"],
    ],
)
def test_an_answer_that_comes_after_a_change_is_not_believed(lines: list[str]) -> None:
    """The answer describes alice as she was when we asked; since then the nick has had another owner or account."""
    roster = asked()
    feed(roster, *lines, whox(), whox(who="~m host.m alice"))
    assert account(roster) is None
    assert account(roster, ":alice!~m@host.m") is None


def test_an_answer_about_another_place_is_not_believed() -> None:
    roster = asked()
    feed(roster, f"{ALICE} PRIVMSG #c :hi", whox(who="~other host.a alice"))
    user = roster.user("alice")
    assert user is not None
    assert (user.ident, user.host, user.account) == ("~a", "host.a", None)


def test_a_join_of_somebody_who_is_there_already_ends_the_account() -> None:
    """A line must have been missed, and without extended-join the new one says nothing about accounts."""
    roster = asked("account-notify")
    feed(roster, whox())
    assert account(roster) == "alice"
    feed(roster, f"{ALICE} JOIN #c")
    assert account(roster) is None


def test_tokens_have_three_digits_for_ever() -> None:
    roster = joined(*KEEPING)
    tokens = []
    for _ in range(1100):
        ask = feed(roster, f"{BOT} JOIN #c", ":srv 366 bot #c :End").asks[0]
        tokens.append(int(ask.param(1).partition(",")[2]))
    assert (min(tokens), max(tokens)) == (1, 999)


def test_when_account_notify_comes_late_we_ask_again() -> None:
    roster = asked("extended-join")
    roster.caps.add("account-notify")
    applied = feed(roster, ":srv CAP bot ACK :account-notify")
    assert [message.encode() for message in applied.asks] == ["WHO #c %tcuhnfar,2"]
    feed(roster, whox())
    assert account(roster) is None
    feed(roster, whox(token="2"))
    assert account(roster) == "alice"


def test_a_server_without_whox_is_asked_for_less() -> None:
    roster = joined(isupport="X")
    applied = feed(roster, ":srv 353 bot = #c :bot alice", ":srv 366 bot #c :End")
    assert [message.encode() for message in applied.asks] == ["WHO #c"]
    feed(roster, ":srv 352 bot #c ~a host.a srv alice G@ :0 Alice A")
    user = roster.user("alice")
    assert user is not None
    assert (user.ident, user.host, user.realname, user.away) == ("~a", "host.a", "Alice A", True)


def test_who_is_asked_once_for_each_time_that_we_join() -> None:
    roster = joined()
    assert len(feed(roster, ":srv 366 bot #c :End").asks) == 1
    assert feed(roster, ":srv 366 bot #c :End", ":srv 366 bot #other :End").asks == ()


# History


def test_replayed_lines_are_marked_have_no_account_and_change_nothing() -> None:
    roster = with_alice(*KEEPING, "account-tag", "batch")
    feed(roster, ":srv BATCH +ref chathistory #c")
    applied = feed(roster, f"@batch=ref {ALICE} QUIT :long ago")
    assert applied.history
    assert applied.member is not None
    assert applied.member.account is None
    assert nicks(roster) == {"bot", "alice"}
    assert account(roster, tags="@batch=ref;account=alice ") is None
    feed(roster, ":srv BATCH -ref")
    assert account(roster, tags="@batch=ref;account=alice ") == "alice"


def test_a_batch_inside_history_is_history() -> None:
    roster = with_alice()
    feed(roster, ":srv BATCH +a znc.in/playback #c", "@batch=a :srv BATCH +b draft/multiline #c", ":srv BATCH -a")
    assert feed(roster, f"@batch=b {ALICE} PRIVMSG #c :x").history


def test_lines_outside_the_batch_and_other_batches_are_live() -> None:
    roster = with_alice()
    feed(roster, ":srv BATCH +a chathistory #c", ":srv BATCH +n netsplit a b")
    assert not feed(roster, f"{ALICE} PRIVMSG #c :x").history
    assert feed(roster, f"@batch=n {ALICE} QUIT :a b").channels == ("#c",)


def test_open_batches_are_bounded() -> None:
    roster = joined()
    for number in range(1000):
        feed(roster, f":srv BATCH +{number} chathistory #c")
    assert feed(roster, f"@batch=999 {ALICE} PRIVMSG #c :x").history
    assert len(roster.batches) < 100


# Who is where


def test_our_own_join_makes_a_channel_and_asks_for_its_modes() -> None:
    roster = joined()
    applied = feed(roster, f"{BOT} JOIN #d")
    assert (applied.channels, [ask.encode() for ask in applied.asks]) == (("#d",), ["MODE #d"])
    assert nicks(roster, "#D") == {"bot"}


def test_names_are_read_with_all_their_ranks_and_hosts() -> None:
    roster = joined(isupport="PREFIX=(ov)@+")
    feed(roster, ":srv 353 bot @ #c :@+alice!~a@host.a +bob carol ", ":srv 353 bot @ #other :dave")
    channel = roster.channel("#c")
    assert channel is not None
    assert channel.members == {"bot": set(), "alice": {"o", "v"}, "bob": {"v"}, "carol": set()}
    user = roster.user("ALICE")
    assert user is not None
    assert user.host == "host.a"
    assert roster.user("dave") is None


def test_ranks_follow_mode_lines() -> None:
    roster = with_alice()
    feed(roster, f"{MALLORY} MODE #c +ov-o+b alice ALICE bot *!*@x")
    channel = roster.channel("#c")
    assert channel is not None
    assert channel.members["alice"] == {"o", "v"}
    feed(roster, ":srv MODE #c -o+o-v alice")
    assert channel.members["alice"] == {"v"}


def test_channel_modes_and_the_key() -> None:
    roster = joined(isupport="CHANMODES=b,k,l,imnt")
    feed(roster, ":srv 324 bot #c +ntkl * 5", ":srv MODE #c +k-n secret")
    channel = roster.channel("#c")
    assert channel is not None
    assert channel.modes == {"t": None, "k": "secret", "l": "5"}
    assert channel.key == "secret"
    feed(roster, ":srv 324 bot #c +k *")
    assert (channel.modes, channel.key) == ({"k": "*"}, "secret")
    feed(roster, ":srv MODE #c -k *")
    assert (channel.modes, channel.key) == ({}, None)


def test_the_topic_and_who_set_it() -> None:
    roster = with_alice()
    channel = roster.channel("#c")
    assert channel is not None
    feed(roster, ":srv 332 bot #c :old topic", ":srv 333 bot #c bob!b@host 1700000000")
    assert (channel.topic, channel.topic_by) == ("old topic", "bob")
    assert feed(roster, f"{ALICE} TOPIC #c :new").channels == ("#c",)
    assert (channel.topic, channel.topic_by) == ("new", "alice")
    feed(roster, ":srv 331 bot #c :No topic is set")
    assert channel.topic == ""


def test_a_quit_names_the_channels_as_they_were() -> None:
    roster = with_alice()
    feed(roster, f"{BOT} JOIN #d", f"{BOT} JOIN #e", f"{ALICE} JOIN #e")
    applied = feed(roster, f"{ALICE} QUIT :bye")
    assert applied.channels == ("#c", "#e")
    assert applied.member is not None
    assert applied.member.nick == "alice"
    assert nicks(roster) == nicks(roster, "#e") == {"bot"}


def test_a_nick_change_names_the_channels_and_keeps_the_ranks() -> None:
    roster = with_alice()
    feed(roster, ":srv MODE #c +o alice")
    applied = feed(roster, f"{ALICE} NICK al")
    assert applied.channels == ("#c",)
    assert applied.member is roster.user("al")
    channel = roster.channel("#c")
    assert channel is not None
    assert channel.members == {"bot": set(), "al": {"o"}}


def test_leaving_a_channel_forgets_those_whom_we_met_nowhere_else() -> None:
    roster = with_alice()
    feed(roster, f"{BOT} JOIN #d", f"{ALICE} JOIN #d", f"{MALLORY} JOIN #d")
    assert feed(roster, f"{BOT} PART #d :bye").channels == ("#d",)
    assert set(roster.users) == {"bot", "alice"}
    assert feed(roster, f"{ALICE} KICK #c bot :out").channels == ("#c",)
    assert (set(roster.users), roster.channels) == ({"bot"}, {})


def test_lines_about_channels_that_we_are_not_in_change_nothing() -> None:
    roster = joined()
    feed(
        roster, f"{ALICE} JOIN #x", f"{ALICE} PART #x", ":srv MODE #x +o bot", f"{ALICE} KICK #x bot", ":srv 332 b #x t"
    )
    assert (set(roster.users), set(roster.channels)) == ({"bot"}, {"#c"})


def test_one_line_may_name_several_channels() -> None:
    roster = joined()
    assert feed(roster, f"{BOT} JOIN #d,#e").channels == ("#d", "#e")
    assert feed(roster, f"{ALICE} JOIN #c,#d,#x").channels == ("#c", "#d")
    assert feed(roster, f"{ALICE} PART #c,#d,#x").channels == ("#c", "#d")


def test_away_and_realname_follow() -> None:
    roster = with_alice()
    user = roster.user("alice")
    assert user is not None
    assert feed(roster, f"{ALICE} AWAY :lunch").channels == ("#c",)
    assert user.away
    feed(roster, f"{ALICE} AWAY", f"{ALICE} SETNAME :New Name")
    assert (user.away, user.realname) == (False, "New Name")


def test_a_stranger_is_known_by_the_line_alone() -> None:
    roster = joined()
    applied = feed(roster, ":zoe!z@host PRIVMSG bot :hi")
    assert applied.member is not None
    assert (applied.member.nick, applied.member.host, applied.channels) == ("zoe", "host", ())
    assert roster.user("zoe") is None


def test_a_server_is_nobody() -> None:
    assert feed(joined(), ":irc.example.org NOTICE #c :hi").member is None
    assert feed(joined(), "NOTICE #c :hi").member is None


# Ourselves


def test_a_stranger_who_is_said_to_have_our_nick_does_not_make_us_forget_ourselves() -> None:
    roster = joined()
    feed(roster, f"{MALLORY} NICK bot")
    assert nicks(roster) == {"bot"}
    feed(roster, f"{BOT} NICK other")
    assert roster.nick == "other" and nicks(roster) == {"other"}
    check(roster)


def test_our_nick_follows_001_and_nick() -> None:
    roster = joined()
    feed(roster, f"{BOT} NICK Bot2")
    assert roster.nick == "Bot2"
    assert roster.is_me("BOT2")
    assert nicks(roster) == {"bot2"}
    feed(roster, ":srv 001 bot3 :hi again")
    assert roster.is_me("bot3")
    assert nicks(roster) == {"bot3"}


def test_our_prefix_is_as_long_as_it_can_be_until_we_know_it() -> None:
    roster = Roster()
    feed(roster, ":srv 001 bot :hi")
    assert len(str(roster.me_source())) == len("bot!~@") + 10 + 63
    feed(roster, ":srv 005 bot USERLEN=18 HOSTLEN=64 X=1 :are supported")
    assert len(str(roster.me_source())) == len("bot!~@") + 18 + 64
    feed(roster, f"{BOT} JOIN #c")
    assert roster.me_source() == Source("bot", "b", "host.bot")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"{BOT} CHGHOST new cloak", "bot!new@cloak"),
        (":srv 396 bot cloak :is now your displayed host", "bot!b@cloak"),
        (":srv 396 bot id@cloak :is now your displayed host", "bot!id@cloak"),
        (f"{BOT} NICK b2", "b2!b@host.bot"),
        (f"{BOT} PART #c", "bot!b@host.bot"),
    ],
)
def test_our_prefix_follows_its_changes(line: str, expected: str) -> None:
    roster = joined()
    feed(roster, line)
    assert str(roster.me_source()) == expected


# What the server says about itself


def test_a_mapping_that_comes_late_puts_everything_in_its_place() -> None:
    roster = joined()
    feed(roster, f"{BOT} JOIN #[d]", ":[x]!x@host JOIN #[d]", ":srv MODE #{D} +o {X}", ":srv 005 bot CASEMAPPING=ascii")
    assert roster.channel("#{d}") is None
    channel = roster.channel("#[D]")
    assert channel is not None
    assert channel.members == {"bot": set(), "[x]": {"o"}}
    assert roster.user("{x}") is None
    check(roster)


def test_of_two_nicks_that_a_late_mapping_makes_one_neither_is_believed() -> None:
    roster = joined(*KEEPING, isupport="CASEMAPPING=ascii")
    feed(roster, ":[x]!x@host JOIN #c x :X", ":{x}!x@host JOIN #c y :Y", ":srv 005 bot CASEMAPPING=rfc1459 :are")
    assert account(roster, ":[x]!x@host") is None
    assert account(roster, ":{x}!x@host") is None
    check(roster)


def test_a_005_without_prose_at_its_end_is_read_to_its_end() -> None:
    roster = Roster()
    feed(roster, ":srv 005 bot NICKLEN=20 CHANTYPES=#")
    assert (roster.isupport.nicklen, roster.is_channel("&x")) == (20, False)


# Bots, netsplits


def test_the_flag_of_who_and_the_tag_of_a_line_tell_a_bot() -> None:
    roster = joined("message-tags", isupport="BOT=b")
    feed(roster, f"{ALICE} JOIN #c", f"{MALLORY} JOIN #c", ":srv 352 bot #c ~a host.a srv alice Hb@ :0 A")
    assert [roster.users[nick].bot for nick in ("alice", "mallory")] == [True, False]
    feed(roster, f"@bot {MALLORY} PRIVMSG #c :x", ":srv 352 bot #c ~a host.a srv alice H@ :0 A")
    assert [roster.users[nick].bot for nick in ("alice", "mallory")] == [False, True]
    for tag in ("bot", "draft/bot", "inspircd.org/bot"):
        assert feed(roster, f"@{tag} :eve!e@h PRIVMSG bot :x").member == Member("eve", "e", "h", bot=True)
    assert feed(roster, "@+bot;robot :eve!e@h PRIVMSG bot :x").member == Member("eve", "e", "h"), "anybody can say that"
    feed(roster, ":mallory!other@host PRIVMSG #c :x")
    assert not roster.users["mallory"].bot, "somebody else"


def test_a_tag_of_a_bot_says_nothing_without_message_tags() -> None:
    assert feed(joined(), "@bot :eve!e@h PRIVMSG bot :x").member == Member("eve", "e", "h")


def test_when_account_tag_is_withdrawn_nothing_that_was_kept_counts() -> None:
    for line in (
        ":srv CAP bot DEL :account-tag",
        ":srv CAP bot DEL sasl account-tag",
        ":srv CAP bot ACK :-account-tag",
    ):
        roster = with_alice(*KEEPING)
        assert account(roster) == "alice"
        assert feed(roster, line).asks == (), "and we do not ask those who withdrew it"
        assert account(roster) is None
        feed(roster, f"{ALICE} ACCOUNT alice")
        assert account(roster) == "alice"


def test_who_is_lost_with_a_server_is_no_longer_known_to_be_logged_in() -> None:
    roster = with_alice(*KEEPING)
    applied = feed(roster, f"{ALICE} QUIT :a.b c.d")
    assert applied.split and applied.channels == ("#c",) and nicks(roster) == {"bot"}
    assert feed(roster, f"{ALICE} JOIN #c * :A").split and account(roster) is None
    assert not feed(roster, f"{ALICE} JOIN #d * :A").split


def test_who_comes_back_may_have_joined_long_ago() -> None:
    roster = joined("server-time", "batch")
    feed(roster, "@time=2026-01-01T12:00:00Z :srv PONG srv :x", ":srv BATCH +n netjoin a.b c.d")
    assert feed(roster, f"@time=2026-01-01T02:00:00Z {ALICE} JOIN #c").history
    assert not feed(roster, f"@batch=n;time=2026-01-01T02:00:00Z {ALICE} JOIN #c").history and "alice" in nicks(roster)


def test_our_own_lines_are_never_too_old() -> None:
    roster = joined("server-time")
    feed(roster, "@time=2026-01-01T12:00:00Z :srv PONG srv :x")
    assert not feed(roster, f"@time=2026-01-01T02:00:00Z {BOT} JOIN #d").history and nicks(roster, "#d") == {"bot"}


def test_of_whom_we_did_not_see_there_is_no_split() -> None:
    roster = joined()
    assert not feed(roster, f"{ALICE} QUIT :a.b c.d").split
    assert not feed(roster, f"{ALICE} JOIN #c").split


def test_another_mapping_makes_the_lost_unknown() -> None:
    roster = with_alice()
    feed(roster, f"{ALICE} QUIT :a.b c.d", ":srv 005 bot CASEMAPPING=ascii :x")
    assert not feed(roster, f"{ALICE} JOIN #c").split


# Anything at all

_WHO = st.sampled_from(
    ["", ":srv ", BOT + " ", ALICE + " ", MALLORY + " ", ":alice!x@y ", ":[a] ", ":{A}!q@r ", ":! ", ":@x ", ":a!b@ "]
)
_WORD = st.sampled_from(
    [
        *(
            "#c",
            "#d",
            "#[d]",
            "#{D}",
            "#c,#d",
            "bot",
            "alice",
            "ALICE",
            "mallory",
            "[a]",
            "{a}",
            "*",
            "0",
            "1",
            "",
            "a b",
        ),
        *("+o", "-o+b", "+k", "H", "=", "@alice", "x@y", "~a", "host.a", "@alice!~a@host.a [a] +bot"),
        *(
            "+ref",
            "-ref",
            "chathistory",
            "netsplit",
            "netjoin",
            "a.b c.d",
            "BOT=B",
            "account-tag",
            "ACK",
            "DEL",
            "account-notify",
        ),
        *("CASEMAPPING=ascii", "CASEMAPPING=rfc1459", "PREFIX=", "PREFIX=(qo)~@", "WHOX"),
    ]
)
_VERB = st.sampled_from(
    [
        *("001", "005", "315", "324", "331", "332", "333", "352", "353", "354", "366", "396"),
        *(
            "PONG",
            "FAIL",
            "ACCOUNT",
            "AWAY",
            "BATCH",
            "CAP",
            "CHGHOST",
            "JOIN",
            "KICK",
            "MODE",
            "NICK",
            "PART",
            "PRIVMSG",
        ),
        *("QUIT", "SETNAME", "TOPIC", "JOIN", "JOIN", "NICK"),
    ]
)
_TAGS = st.sampled_from(
    ["", "", "@batch=ref ", "@account=alice ", "@bot ", "@time=2026-01-01T00:00:00Z ", "@time=2026-01-01T09:00:00Z "]
)
_CAPS = ["account-notify", "extended-join", "account-tag", "server-time", "message-tags"]
_LINE = st.builds(
    lambda tags, who, verb, words: Message(
        verb, tuple(words), Source.parse(who.strip(" :")) if who else None, Message.parse(f"{tags}X").tags
    ),
    _TAGS,
    _WHO,
    _VERB,
    st.lists(_WORD, max_size=9),
)


@given(st.lists(_LINE, max_size=40), st.sets(st.sampled_from(_CAPS)))
@settings(deadline=None, max_examples=300)
def test_no_order_of_lines_raises_or_breaks_a_membership(messages: list[Message], caps: set[str]) -> None:
    roster = joined(*caps)
    for message in messages:
        applied = roster.apply(message)
        check(roster)
        for ask in applied.asks:
            assert ask.command in ("WHO", "MODE")
        roster.account_of(message)
        roster.me_source()


@given(st.text(max_size=20), st.lists(st.text(max_size=20), max_size=10), st.text(max_size=20))
@settings(deadline=None, max_examples=100)
def test_no_text_raises(command: str, params: list[str], source: str) -> None:
    roster = with_alice(*KEEPING)
    for verb in (command, "353", "JOIN", "NICK", "MODE", "005", "354", "BATCH", "CAP"):
        roster.apply(Message(verb, tuple(params), Source.parse(source)))
        check(roster)
