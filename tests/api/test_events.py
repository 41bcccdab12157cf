"""bot/api/events.py: one IRC line as the events it stands for, read with the real roster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from bot.api.events import FIELDS, READERS, Event, User, read
from bot.protocol.message import Message
from bot.protocol.roster import Roster


@dataclass
class Network:
    name: str = "libera"
    roster: Roster = field(default_factory=Roster)

    @property
    def nick(self) -> str:
        return self.roster.nick

    def fold(self, text: str) -> str:
        return self.roster.fold(text)

    def same(self, one: str, other: str) -> bool:
        return self.roster.same(one, other)

    def hear(self, line: str) -> list[Event]:
        message = Message.parse(line)
        return read(self, "7", message, self.roster.apply(message))


@pytest.fixture
def network() -> Network:
    """We are `bot` in `#a` with `bob`."""
    made = Network()
    for line in (
        ":irc 001 bot :Welcome",
        ":irc 005 bot STATUSMSG=@+ :are supported by this server",
        ":bot!b@h JOIN #a",
        ":irc 353 bot = #a :bot @bob",
        ":irc 366 bot #a :end",
    ):
        made.hear(line)
    return made


def facts(event: Event) -> tuple[str, str | None, str]:
    return event.name, event.channel, event.text


def own_fields(event: Event) -> dict[str, Any]:
    return {name: value for name, value in event.fields.items() if name not in ("nick", "user")}


# --- what each verb becomes

CASES = [
    ("PRIVMSG #a :hi there", ("message", "#a", "hi there"), {"target": "#a", "text": "hi there", "channel": "#a"}),
    ("privmsg bot :hi", ("message", None, "hi"), {"target": "bot", "text": "hi", "channel": None}),
    ("NOTICE #a :hi", ("notice", "#a", "hi"), {"target": "#a", "text": "hi", "channel": "#a"}),
    ("PRIVMSG #a :\x01ACTION waves\x01", ("action", "#a", "waves"), {"target": "#a", "text": "waves", "channel": "#a"}),
    ("PRIVMSG #a :\x01action waves", ("action", "#a", "waves"), {"target": "#a", "text": "waves", "channel": "#a"}),
    ("PRIVMSG @#a :hi", ("message", "#a", "hi"), {"target": "@#a", "text": "hi", "channel": "#a"}),
    ("NOTICE +#a :hi", ("notice", "#a", "hi"), {"target": "+#a", "text": "hi", "channel": "#a"}),
    ("NOTICE $* :hi", ("notice", None, "hi"), {"target": "$*", "text": "hi", "channel": None}),
    ("PRIVMSG #a", ("message", "#a", ""), {"target": "#a", "text": "", "channel": "#a"}),
    ("PART #a :bye", ("part", "#a", "bye"), {"channel": "#a", "reason": "bye"}),
    ("PART #a", ("part", "#a", ""), {"channel": "#a", "reason": ""}),
    ("QUIT :gone", ("quit", None, "gone"), {"reason": "gone", "channels": ("#a",)}),
    ("KICK #a carl :out", ("kick", "#a", "out"), {"channel": "#a", "kicked": "carl", "reason": "out"}),
    ("NICK rob", ("nick", None, "rob"), {"old": "bob", "new": "rob", "channels": ("#a",)}),
    ("TOPIC #a :news", ("topic", "#a", "news"), {"channel": "#a", "topic": "news"}),
    ("MODE #a +o carl", ("mode", "#a", "+o carl"), {"target": "#a", "channel": "#a", "modes": "+o carl"}),
    ("MODE bot +i", ("mode", None, "+i"), {"target": "bot", "channel": None, "modes": "+i"}),
    ("INVITE bot #b", ("invite", "#b", ""), {"invited": "bot", "channel": "#b"}),
    ("ACCOUNT robert", ("account", None, "robert"), {"account": "robert"}),
    ("ACCOUNT *", ("account", None, ""), {"account": None}),
    ("CHGHOST rob new.host", ("chghost", None, ""), {"ident": "rob", "host": "new.host"}),
    ("SETNAME :Bob B", ("setname", None, "Bob B"), {"realname": "Bob B"}),
    ("AWAY :lunch", ("away", None, "lunch"), {"reason": "lunch"}),
    ("AWAY", ("away", None, ""), {"reason": None}),
]


@pytest.mark.parametrize(("line", "what", "fields"), CASES, ids=[case[0] for case in CASES])
def test_a_line_is_an_event_with_its_own_fields(
    network: Network, line: str, what: tuple[str, str | None, str], fields: dict[str, Any]
) -> None:
    (event,) = network.hear(f":bob!b@host {line}")
    assert facts(event) == what
    assert own_fields(event) == fields


def test_a_join_is_an_event_with_its_channel(network: Network) -> None:
    (event,) = network.hear(":carl!c@h JOIN #a")
    assert (facts(event), own_fields(event)) == (
        ("join", "#a", ""),
        {"channel": "#a", "account": None, "realname": ""},
    )


def test_a_join_of_several_channels_is_several_events(network: Network) -> None:
    assert [event.channel for event in network.hear(":carl!c@h JOIN #a,#b")] == ["#a", "#b"]


def test_the_author_is_known_by_nick_ident_and_host(network: Network) -> None:
    (event,) = network.hear(":bob!b@host PRIVMSG #a :hi")
    assert event.user == User("bob", "b", "host", None)
    assert event.fields["user"] is event.user and event.fields["nick"] == "bob"


def test_the_author_of_a_nick_change_is_named_by_the_old_nick(network: Network) -> None:
    (event,) = network.hear(":bob!b@host NICK rob")
    assert str(event.user) == "bob"


def test_an_event_carries_its_number_and_its_line(network: Network) -> None:
    (event,) = network.hear(":bob!b@host PRIVMSG #a :hi")
    assert event.number == "7" and event.message is not None and event.message.command == "PRIVMSG"


def test_a_channel_is_what_the_server_says_is_one(network: Network) -> None:
    assert network.hear(":bob!b@h PRIVMSG &x :hi")[0].channel == "&x"
    network.hear(":irc 005 bot CHANTYPES=# :are supported")
    assert network.hear(":bob!b@h NOTICE &x :hi")[0].channel is None


@pytest.mark.parametrize("verb", READERS)
def test_what_a_line_gives_is_what_a_handler_may_ask_for(network: Network, verb: str) -> None:
    for event in network.hear(f":bob!b@h {verb} #a x y"):
        assert own_fields(event).keys() == FIELDS[event.name]


# --- numerics


def test_a_numeric_is_an_event_of_its_own_name_with_its_parameters(network: Network) -> None:
    (event,) = network.hear(":irc.example 372 bot :the motd")
    assert facts(event) == ("372", None, "the motd")
    assert event.fields == {"params": ("bot", "the motd"), "nick": "irc.example", "user": None}
    assert event.user is None


def test_a_numeric_without_source_and_parameters_is_survived(network: Network) -> None:
    (event,) = network.hear("999")
    assert (event.text, event.fields["nick"]) == ("", "")


@pytest.mark.parametrize("verb", ["FAIL", "WARN", "NOTE"])
def test_a_standard_reply_is_an_event_with_its_parts(network: Network, verb: str) -> None:
    (event,) = network.hear(f":irc.example {verb} ACC REG_INVALID alice :Already registered")
    assert facts(event) == (verb.lower(), None, "Already registered") and event.user is None
    assert [own_fields(event)[name] for name in ("command", "code", "context", "text")] == [
        *("ACC", "REG_INVALID", ("alice",), "Already registered")
    ]
    (event,) = network.hear(f"{verb} * SOON :Restart")
    assert own_fields(event) == {"command": "*", "code": "SOON", "context": (), "text": "Restart"}
    assert own_fields(network.hear(verb)[0]).keys() == FIELDS[verb.lower()]


def test_a_join_tells_the_account_and_the_real_name(network: Network) -> None:
    network.roster.caps |= {"account-notify", "extended-join"}
    told = own_fields(network.hear(":carl!c@h JOIN #a carla :Carl C")[0])
    assert told == {"channel": "#a", "account": "carla", "realname": "Carl C"}
    assert own_fields(network.hear(":dan!c@h JOIN #a * :Dan")[0])["account"] is None


def test_whoever_says_that_it_is_a_bot_is_one(network: Network) -> None:
    network.roster.caps.add("message-tags")
    assert [network.hear(f"{tags}:carl!c@h PRIVMSG #a :hi")[0].user for tags in ("", "@bot ")] == [
        User("carl", "c", "h"),
        User("carl", "c", "h", bot=True),
    ]


def test_who_is_lost_in_a_netsplit_and_comes_back_is_no_event(network: Network) -> None:
    network.hear(":carl!c@h JOIN #a")
    assert network.hear(":carl!c@h QUIT :a.example b.example") == []
    assert network.hear(":carl!c@h JOIN #a") == []


# --- what is never an event


@pytest.mark.parametrize(
    "line",
    [
        "PRIVMSG #a :!roll",
        "JOIN #b",
        "PART #a",
        "NICK other",
        "TOPIC #a :x",
        "MODE #a +o bob",
        "QUIT :x",
        "KICK #a bob",
    ],
)
def test_our_own_lines_are_no_events(network: Network, line: str) -> None:
    assert network.hear(f":bot!b@h {line}") == []


def test_our_own_lines_are_known_in_any_case_of_letters(network: Network) -> None:
    assert network.hear(":BOT!b@h PRIVMSG #a :!roll") == []


@pytest.mark.parametrize("text", ["\x01VERSION\x01", "\x01DCC SEND x\x01", "\x01\x01", "\x01", "\x01PING a"])
def test_ctcp_other_than_action_is_no_event(network: Network, text: str) -> None:
    assert network.hear(f":bob!b@h PRIVMSG bot :{text}") == []


def test_ctcp_within_a_notice_is_no_event(network: Network) -> None:
    assert network.hear(":bob!b@h NOTICE bot :\x01ACTION waves\x01") == []


@pytest.mark.parametrize("line", ["PRIVMSG #a :!quit", "PRIVMSG #a :\x01ACTION waves\x01", "NOTICE #a :hi"])
def test_nothing_is_said_to_us_before_we_are_welcome(line: str) -> None:
    assert Network().hear(f":bob!b@h {line}") == []


def test_lines_without_a_source_are_no_events(network: Network) -> None:
    assert network.hear("PRIVMSG #a :hi") == []


@pytest.mark.parametrize(
    "line",
    [
        *(":!b@h PRIVMSG bot :hi", ":!@ PRIVMSG #a :hi", ":b\0b!b@h PRIVMSG bot :hi", "::b!b@h PRIVMSG bot :hi"),
        *(":bob!b@h PRIVMSG #a\r :hi", ":bob!b@h PRIVMSG #a,#b :hi", ":a,b!b@h PRIVMSG bot :hi", ":bob!b@h JOIN #a\0"),
        *(f":bob!b@h PRIVMSG #{'a' * 500} :hi", ":bob!b@h JOIN", ":bob!b@h PART :,,"),
    ],
)
def test_what_nobody_could_answer_is_no_event(network: Network, line: str) -> None:
    """Only a server gone wrong sends such nicks and channels; a handler that answers would fail, or reach others."""
    assert network.hear(line) == []


def test_verbs_that_nobody_knows_are_no_events(network: Network) -> None:
    assert network.hear(":bob!b@h FROBNICATE #a") == network.hear(":irc PONG irc x") == []


def test_replayed_history_is_no_event(network: Network) -> None:
    network.roster.caps = {"batch"}
    network.hear(":irc BATCH +x chathistory #a")
    assert network.hear("@batch=x :bob!b@h PRIVMSG #a :!roll") == []
    network.hear(":irc BATCH -x")
    assert len(network.hear(":bob!b@h PRIVMSG #a :!roll")) == 1


# --- the account


def test_the_account_is_that_of_this_very_message(network: Network) -> None:
    network.roster.caps = {"account-tag"}
    assert network.hear("@account=robert :bob!b@h PRIVMSG #a :hi")[0].user == User("bob", "b", "h", "robert")
    assert network.hear(":bob!b@h PRIVMSG #a :hi")[0].user == User("bob", "b", "h", None)


@pytest.mark.parametrize("verb", sorted(READERS))
@pytest.mark.parametrize("rest", ["", " ", " #a", " #a :", " :", " ,", " x y z a b"])
def test_missing_parts_are_empty_and_never_raise(network: Network, verb: str, rest: str) -> None:
    for event in network.hear(f":bob!b@h {verb}{rest}"):
        assert isinstance(event.text, str)


# --- where an answer goes


@pytest.mark.parametrize(
    ("line", "place"),
    [
        ("PRIVMSG #a :x", "#a"),
        ("PRIVMSG @#a :x", "@#a"),
        ("PRIVMSG bot :x", "bob"),
        ("MODE bot +i", "bob"),
        ("JOIN #a", "#a"),
        ("QUIT :x", "bob"),
    ],
)
def test_an_answer_goes_to_those_who_heard_the_question(network: Network, line: str, place: str) -> None:
    (event,) = network.hear(f":bob!b@host {line}")
    assert event.place == place


def test_an_answer_to_nobody_has_no_place(network: Network) -> None:
    (event,) = network.hear(":irc 372 bot :motd")
    assert event.place == ""


@pytest.mark.parametrize("target", ["$*", "somebody", "%#a"])
def test_a_word_to_neither_a_channel_nor_us_is_no_event(network: Network, target: str) -> None:
    assert network.hear(f":bob!b@host PRIVMSG {target} :hello") == []
