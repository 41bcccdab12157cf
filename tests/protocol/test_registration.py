"""registration.py: whatever the server does, we register or know why not, and the password goes only where it may."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.protocol.identity import Identity
from bot.protocol.message import Message
from bot.protocol.registration import WANTED, Registration
from bot.protocol.sasl import Sasl

SASL = Sasl("me", "hunter2", ("PLAIN",))
LS = "CAP * LS :"
ALL = " ".join(WANTED)


def machine(sasl: Sasl | None = None, tls: bool = True, alternatives: tuple[str, ...] = ()) -> Registration:
    registration = Registration(Identity("bot", alternatives, "ident", "A bot", sasl=sasl), tls)
    registration.start()
    return registration


def talk(registration: Registration, *lines: str) -> list[str]:
    """Feed the lines; return all that is sent, encoded."""
    return [answer.encode() for line in lines for answer in registration.feed(Message.parse(":srv " + line))]


def test_cap_ls_goes_out_before_all_else() -> None:
    registration = Registration(Identity("bot", (), "ident", "A bot", "pass word"), tls=True)
    sent = [message.encode() for message in registration.start()]
    assert sent == ["CAP LS 302", "PASS :pass word", "NICK bot", "USER ident 0 * :A bot"]


def test_what_was_never_asked_for_is_not_enabled() -> None:
    registration = machine()
    talk(registration, LS + "batch", *(f"CAP * ACK :other{number} batch" for number in range(300)))
    assert registration.caps == {"batch"}


def test_an_empty_ident_and_realname_are_filled() -> None:
    sent = [message.encode() for message in Registration(Identity("bot"), tls=True).start()]
    assert sent == ["CAP LS 302", "NICK bot", "USER neverquit 0 * bot"]


def test_no_secret_is_in_the_repr() -> None:
    assert "hunter2" not in repr(Identity("bot", password="hunter2", sasl=SASL))


# Capabilities


def test_a_flood_of_names_crowds_out_nothing_that_we_know() -> None:
    registration = machine(SASL)
    talk(registration, *(f"CAP * LS * :junk{number}" for number in range(1000)))
    assert talk(registration, LS + "sasl=PLAIN") == ["CAP REQ sasl"]
    assert len(registration.offered) < 300


def test_a_listing_over_several_lines_is_collected_before_one_request() -> None:
    registration = machine()
    assert talk(registration, "CAP * LS * :message-tags foo=1", "CAP * LS * :sts=port=6697,duration=1") == []
    assert talk(registration, "CAP * LS :account-tag batch") == ["CAP REQ :message-tags account-tag batch"]
    assert registration.offered["foo"] == "1"
    assert registration.offered["sts"] == "port=6697,duration=1"


def test_the_request_for_everything_and_its_ack_fit_one_line() -> None:
    (request,) = talk(machine(SASL), LS + ALL + " sasl=PLAIN")
    assert len(":" + "s" * 63 + " CAP " + "n" * 31 + request[3:]) < 400


def test_a_server_that_has_nothing_for_us_is_told_that_we_are_done() -> None:
    assert talk(machine(), LS + "tls foo") == ["CAP END"]
    assert talk(machine(), "CAP * LS") == ["CAP END"]


def test_what_is_acknowledged_is_enabled() -> None:
    registration = machine()
    talk(registration, LS + "message-tags batch")
    assert registration.caps == set()
    assert talk(registration, "CAP bot ACK :message-tags batch ") == ["CAP END"]
    assert registration.caps == {"message-tags", "batch"}


def test_after_a_refusal_each_is_asked_for_alone() -> None:
    registration = machine()
    talk(registration, LS + "message-tags batch chghost")
    assert talk(registration, "CAP * NAK :message-tags chghost batch") == [
        "CAP REQ message-tags",
        "CAP REQ chghost",
        "CAP REQ batch",
    ]
    assert talk(registration, "CAP * ACK :message-tags", "CAP * NAK :chghost") == []
    assert talk(registration, "CAP * ACK :batch") == ["CAP END"]
    assert registration.caps == {"message-tags", "batch"}


def test_a_refusal_that_names_the_culprit_costs_one_request() -> None:
    registration = machine()
    talk(registration, LS + "message-tags batch chghost")
    assert talk(registration, "CAP * NAK :chghost") == ["CAP REQ :message-tags batch"]
    assert talk(registration, "CAP * ACK :message-tags batch") == ["CAP END"]


def test_an_ack_for_a_part_ends_the_negotiation_with_that_part() -> None:
    registration = machine()
    talk(registration, LS + "message-tags batch chghost")
    assert talk(registration, "CAP * ACK :batch") == ["CAP END"]
    assert registration.caps == {"batch"}


def test_an_ack_in_two_lines_enables_both() -> None:
    registration = machine()
    talk(registration, LS + "message-tags batch")
    assert talk(registration, "CAP * ACK :batch", "CAP * ACK :message-tags") == ["CAP END"]
    assert registration.caps == {"message-tags", "batch"}


def test_an_ack_with_a_minus_disables() -> None:
    registration = machine()
    talk(registration, LS + "batch chghost", "CAP * ACK :batch chghost", "001 bot :hi", "CAP bot ACK :-batch")
    assert registration.caps == {"chghost"}


def test_the_signs_of_an_older_specification_are_no_part_of_a_name() -> None:
    registration = machine()
    talk(registration, LS + "=batch ~chghost", "CAP * ACK :~chghost =batch")
    assert registration.caps == {"batch", "chghost"}


def test_what_is_withdrawn_is_disabled_and_what_comes_back_is_asked_for() -> None:
    registration = machine()
    talk(registration, LS + "account-tag batch", "CAP * ACK :account-tag batch", "001 bot :hi")
    assert talk(registration, "CAP bot DEL :account-tag") == []
    assert registration.caps == {"batch"}
    assert talk(registration, "CAP bot NEW :account-tag foo") == ["CAP REQ account-tag"]
    assert registration.caps == {"batch"}
    assert talk(registration, "CAP bot ACK :account-tag") == []
    assert registration.caps == {"account-tag", "batch"}


@pytest.mark.parametrize("line", ["421 bot CAP :Unknown command", "421 * CAP :Unknown command"])
def test_a_server_without_cap_registers_us(line: str) -> None:
    registration = machine()
    assert talk(registration, line, "001 bot :hi") == []
    assert registration.done
    assert registration.failure is None


def test_a_server_that_ignores_cap_registers_us() -> None:
    registration = machine()
    talk(registration, "NOTICE * :looking up your host", "020 * :please wait", "001 bot :hi")
    assert registration.done


def test_a_server_that_knows_cap_but_not_our_ls_is_told_that_we_are_done() -> None:
    assert talk(machine(), "410 * LS :Invalid CAP command") == ["CAP END"]


def test_a_welcome_without_a_nick_leaves_us_the_one_that_we_asked_for() -> None:
    registration = machine()
    talk(registration, "001 :Welcome to the network")
    assert (registration.nick, registration.done) == ("bot", True)


def test_cap_end_is_sent_once_and_never_after_001() -> None:
    registration = machine()
    assert talk(registration, LS + "batch", "001 bot :hi", "CAP * ACK :batch", LS + "foo") == ["CAP REQ batch"]


def test_the_offer_is_bounded() -> None:
    registration = machine()
    for number in range(100):
        talk(registration, "CAP * NEW :" + " ".join(f"c{number}x{n}" for n in range(20)))
    assert len(registration.offered) == 256


# SASL


def plain(username: str, password: str) -> str:
    return base64.b64encode(f"\0{username}\0{password}".encode()).decode()


def test_sasl_plain_logs_in_before_the_end_of_the_negotiation() -> None:
    registration = machine(SASL)
    assert talk(registration, LS + "sasl=EXTERNAL,PLAIN batch") == ["CAP REQ :batch sasl"]
    assert talk(registration, "CAP * ACK :batch sasl") == ["AUTHENTICATE PLAIN"]
    assert talk(registration, "AUTHENTICATE +") == [f"AUTHENTICATE {plain('me', 'hunter2')}"]
    assert talk(registration, "900 bot bot!i@h MyAccount :You are now logged in") == []
    assert talk(registration, "903 bot :SASL successful") == ["CAP END"]
    assert talk(registration, "001 bot :hi") == []
    assert (registration.done, registration.account, registration.failure) == (True, "MyAccount", None)


@pytest.mark.parametrize("length", [10, 293, 296, 297, 600])
def test_a_long_response_is_sent_in_chunks_and_ended(length: int) -> None:
    registration = machine(Sasl("user", "p" * length, ("PLAIN",)))
    talk(registration, LS + "sasl", "CAP * ACK :sasl")
    chunks = [line.removeprefix("AUTHENTICATE ") for line in talk(registration, "AUTHENTICATE +")]
    assert all(len(chunk) == 400 for chunk in chunks[:-1])
    assert len(chunks[-1]) < 400
    assert "".join(chunk for chunk in chunks if chunk != "+") == plain("user", "p" * length)


def test_a_response_of_exactly_one_chunk_is_followed_by_an_empty_one() -> None:
    registration = machine(Sasl("user", "p" * 294, ("PLAIN",)))
    talk(registration, LS + "sasl", "CAP * ACK :sasl")
    assert [len(line) for line in talk(registration, "AUTHENTICATE +")] == [len("AUTHENTICATE ") + 400, 14]


def test_the_password_is_sent_once_and_only_when_asked_for() -> None:
    registration = machine(SASL)
    assert talk(registration, "AUTHENTICATE +") == []
    talk(registration, LS + "sasl=PLAIN", "CAP * ACK :sasl")
    assert len(talk(registration, "AUTHENTICATE +")) == 1
    assert talk(registration, "AUTHENTICATE +") == ["AUTHENTICATE *"]


@pytest.mark.parametrize("offer", ["sasl=EXTERNAL", "sasl=EXTERNAL,WHATEVER-9", "sasl=PLAINER", "foo"])
def test_a_mechanism_that_we_do_not_speak_never_sees_the_password(offer: str) -> None:
    registration = machine(SASL)
    assert talk(registration, LS + offer, "CAP * ACK :sasl", "AUTHENTICATE +") == []
    assert registration.failure is not None
    assert registration.failure.startswith("the server offers")


def test_plain_is_refused_without_tls() -> None:
    registration = machine(SASL, tls=False)
    sent = talk(registration, LS + "sasl=PLAIN", "CAP * ACK :sasl", "AUTHENTICATE +")
    assert sent == ["NICK bot", "USER ident 0 * :A bot"]
    assert registration.failure == "SASL PLAIN would send the password in the clear; use TLS, or set plain_without_tls"


def test_plain_without_tls_is_allowed_by_name() -> None:
    registration = machine(Sasl("me", "x", ("PLAIN",), plain_without_tls=True), tls=False)
    assert talk(registration, LS + "sasl=PLAIN")[2:] == ["CAP REQ sasl"]


CHECK = "; check sasl.username and sasl.password in the configuration"


@pytest.mark.parametrize("numeric", ["902", "904", "905", "906"])
def test_refused_and_required_is_a_failure_and_nothing_is_sent_any_more(numeric: str) -> None:
    registration = machine(SASL)
    talk(registration, LS + "sasl=PLAIN", "CAP * ACK :sasl", "AUTHENTICATE +")
    assert talk(registration, f"{numeric} bot :wrong\x02 password", "CAP * NEW :batch", "001 bot :hi") == []
    assert registration.failure == "SASL as me was refused: wrong  password" + (CHECK if numeric != "906" else "")
    assert registration.least_seconds == (60 if numeric != "906" else 0)
    assert not registration.done


@pytest.mark.parametrize("numeric", ["902", "904", "905", "906"])
def test_refused_but_not_required_goes_on_with_a_remark(numeric: str) -> None:
    registration = machine(Sasl("me", "x", ("PLAIN",), required=False))
    talk(registration, LS + "sasl=PLAIN", "CAP * ACK :sasl", "AUTHENTICATE +")
    assert talk(registration, f"{numeric} bot :no") == ["CAP END"]
    words = "SASL as me was refused: no" + (CHECK if numeric != "906" else "")
    assert (registration.failure, registration.remark) == (None, words)


def test_907_is_a_success() -> None:
    registration = machine(SASL)
    talk(registration, LS + "sasl", "CAP * ACK :sasl", "AUTHENTICATE +")
    assert talk(registration, "907 bot :already") == ["CAP END"]
    assert registration.account == "me"


def test_908_with_nothing_for_us_does_not_wait_for_a_904() -> None:
    registration = machine(Sasl("me", "x", ("PLAIN",), required=False))
    talk(registration, LS + "sasl", "CAP * ACK :sasl")
    assert talk(registration, "908 bot EXTERNAL :are available", "904 bot :no") == ["CAP END"]
    assert (registration.remark or "").startswith("the server offers SASL only by EXTERNAL; ")


def test_sasl_that_cannot_be_enabled_is_a_failure() -> None:
    registration = machine(SASL)
    assert talk(registration, LS + "sasl", "CAP * NAK :sasl") == ["CAP REQ sasl"]
    assert registration.failure == "the server refused to enable SASL"


def test_sasl_withdrawn_in_the_middle_is_a_failure() -> None:
    registration = machine(SASL)
    talk(registration, LS + "sasl", "CAP * ACK :sasl", "CAP * DEL :sasl")
    assert registration.failure == "the server withdrew SASL"


@pytest.mark.parametrize("line", ["421 bot CAP :Unknown", "001 bot :hi"])
def test_a_server_that_never_heard_of_sasl_is_left_where_it_is_required(line: str) -> None:
    registration = machine(SASL)
    talk(registration, line)
    assert registration.failure is not None
    assert not registration.done


def test_services_that_come_back_after_001_log_us_in() -> None:
    registration = machine(Sasl("me", "x", ("PLAIN",), required=False))
    talk(registration, LS + "batch", "CAP * ACK :batch", "001 bot :hi")
    assert talk(registration, "CAP bot NEW :sasl=PLAIN") == ["CAP REQ sasl"]
    assert talk(registration, "CAP bot ACK :sasl") == ["AUTHENTICATE PLAIN"]
    assert talk(registration, "AUTHENTICATE +", "900 bot b!i@h me :ok", "903 bot :ok")[1:] == []
    assert registration.account == "me"


def test_a_refusal_after_001_ends_nothing() -> None:
    registration = machine(SASL)
    talk(registration, LS + "sasl", "CAP * ACK :sasl", "AUTHENTICATE +", "903 bot :ok", "001 bot :hi")
    talk(registration, "901 bot b!i@h :logged out", "CAP bot DEL :sasl")
    assert talk(registration, "CAP bot NEW :sasl", "CAP bot ACK :sasl") == ["CAP REQ sasl", "AUTHENTICATE PLAIN"]
    assert talk(registration, "904 bot :no") == []
    assert (registration.failure, registration.remark) == (None, "SASL as me was refused: no" + CHECK)


def test_a_logout_is_noticed() -> None:
    registration = machine(SASL)
    talk(registration, "900 bot b!i@h me :ok", "901 bot b!i@h :out")
    assert registration.account is None


def test_services_that_return_are_logged_in_to_again_though_the_server_still_knows_us() -> None:
    registration = machine(SASL)
    talk(registration, LS + "sasl", "CAP * ACK :sasl", "AUTHENTICATE +", "903 bot :ok", "001 bot :hi")
    assert talk(registration, "CAP bot NEW :sasl") == []
    assert talk(registration, "CAP bot DEL :sasl") == []
    assert (registration.failure, registration.account) == (None, "me")
    assert talk(registration, "CAP bot NEW :sasl", "CAP bot ACK :sasl") == ["CAP REQ sasl", "AUTHENTICATE PLAIN"]
    assert talk(registration, "907 bot :already") == []
    assert not registration.login.wanted


def test_who_is_still_logged_in_is_told_nothing_of_an_attempt_in_vain() -> None:
    registration = machine(SASL)
    talk(registration, LS + "sasl", "CAP * ACK :sasl", "AUTHENTICATE +", "903 bot :ok", "001 bot :hi")
    talk(registration, "CAP bot DEL :sasl", "CAP bot NEW :sasl", "CAP bot ACK :sasl")
    assert [message.encode() for message in registration.sasl_timed_out()] == ["AUTHENTICATE *"]
    assert (registration.remark, registration.account) == (None, "me")


def test_a_login_that_another_worker_began_after_001_is_broken_off_and_begun_anew() -> None:
    first = machine(SASL)
    talk(first, LS + "sasl=PLAIN", "CAP * ACK :sasl", "AUTHENTICATE +", "903 bot :ok", "001 bot :hi")
    talk(first, "CAP bot DEL :sasl", "CAP bot NEW :sasl=PLAIN", "CAP bot ACK :sasl")
    second = Registration.resumed(Identity("bot", sasl=SASL), True, first.saved())
    assert second.login.busy
    assert talk(second, "AUTHENTICATE +") == ["AUTHENTICATE *"]
    assert talk(second, "906 bot :aborted") == ["AUTHENTICATE PLAIN"]


def test_what_it_was_made_with_is_known_to_the_next_worker() -> None:
    first = machine(SASL)
    talk(first, LS + "sts=duration=60", "001 bot :hi")
    second = Registration.resumed(Identity("bot"), False, first.saved())
    assert (second.tls, second.policy_seconds) == (True, 60)


@pytest.mark.parametrize("required", [True, False])
def test_services_that_never_answer_are_given_up(required: bool) -> None:
    registration = machine(Sasl("me", "x", ("PLAIN",), required))
    assert registration.sasl_timed_out() == []
    talk(registration, LS + "sasl", "CAP * ACK :sasl")
    sent = [message.encode() for message in registration.sasl_timed_out()]
    assert sent == ([] if required else ["AUTHENTICATE *", "CAP END"])
    assert (registration.failure or registration.remark or "").endswith("did not answer in time")


def test_an_account_that_is_named_before_the_servers_proof_is_none() -> None:
    registration = machine(Sasl("me", "hunter2", ("SCRAM-SHA-256",)))
    talk(registration, LS + "sasl=SCRAM-SHA-256", "CAP * ACK :sasl", "AUTHENTICATE +")
    assert talk(registration, "900 bot b!i@h me :in", "001 bot :Welcome") == []
    assert registration.account is None
    assert registration.failure == "the server registered us without SASL"


def test_a_success_before_the_servers_proof_is_none() -> None:
    registration = machine(Sasl("me", "x", ("SCRAM-SHA-256", "PLAIN"), required=False))
    talk(registration, LS + "sasl", "CAP * ACK :sasl", "AUTHENTICATE +")
    assert talk(registration, "900 bot b!i@h me :in", "903 bot :ok") == ["CAP END"]
    assert registration.account is None
    assert "without the proof" in (registration.remark or "")


# Plain text, and the way out of it


def plain_text() -> Registration:
    registration = Registration(Identity("bot", password="hunter2"), tls=False)
    assert [message.encode() for message in registration.start()] == ["CAP LS 302"]
    return registration


HELLO = ["PASS hunter2", "NICK bot", "USER neverquit 0 * bot"]


@pytest.mark.parametrize(
    ("line", "then"),
    [
        (LS + "batch", ["CAP REQ batch"]),
        (LS, ["CAP END"]),
        ("421 * CAP :Unknown command", []),
        ("410 * LS :Invalid CAP command", ["CAP END"]),
        ("451 * :You have not registered", []),
    ],
)
def test_in_plain_text_who_we_are_waits_for_the_answer_to_cap_ls(line: str, then: list[str]) -> None:
    assert talk(plain_text(), "NOTICE * :looking", "CAP * LS * :a b", line) == [*HELLO, *then]


def test_a_server_that_is_silent_is_told_after_a_while_and_once() -> None:
    registration = plain_text()
    assert [message.encode() for message in registration.introduce()] == HELLO
    assert registration.introduce() == []
    assert talk(registration, LS) == ["CAP END"]


def test_a_server_that_asks_for_tls_hears_nothing_more() -> None:
    registration = plain_text()
    assert talk(registration, "CAP * LS * :batch sts=port=6697", "CAP * LS :sasl", "001 bot :hi") == []
    assert registration.introduce() == []
    assert (registration.upgrade, registration.done) == (6697, False)


def test_tls_that_is_asked_for_later_counts_as_well() -> None:
    registration = plain_text()
    talk(registration, LS, "001 bot :hi", "CAP bot NEW :sts=port=7000")
    assert registration.upgrade == 7000


def test_over_tls_the_port_is_nothing_and_the_duration_is_kept() -> None:
    registration = machine()
    assert talk(registration, LS + "sts=port=1,duration=60") == ["CAP END"]
    assert (registration.upgrade, registration.policy_seconds) == (None, 60)
    talk(registration, "001 bot :hi", "CAP bot DEL :sts", "CAP bot NEW :sts=duration=0")
    assert (registration.policy_seconds, "sts" in registration.offered) == (0, True)


def test_many_capabilities_are_asked_for_in_lines_that_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(f"vendor.example/capability-{number}" for number in range(60))
    monkeypatch.setattr("bot.protocol.registration.WANTED", many)
    registration = machine()
    talk(registration, "CAP * LS * :" + " ".join(many[:30]))
    requests = talk(registration, LS + " ".join(many[30:]))
    assert len(requests) > 1
    assert all(len(request.encode()) < 510 for request in requests)
    acks = [f"CAP * ACK :{request.removeprefix('CAP REQ :')}" for request in requests]
    assert talk(registration, *acks) == ["CAP END"]
    assert registration.caps == set(many)


# Nicks and refusals


@pytest.mark.parametrize("numeric", ["431", "432", "433", "436", "437"])
def test_a_refused_nick_is_followed_by_the_alternatives_and_then_by_a_few_made_up(numeric: str) -> None:
    registration = machine(alternatives=("bot2", "bot"))
    sent = [answer for _ in range(20) for answer in talk(registration, f"{numeric} * x :no")]
    assert sent == ["NICK " + nick for nick in ("bot2", "bot_", "bot__", "bot_1", "bot_2", "bot_3", "bot_4")]
    assert registration.failure == "the server accepted none of our nicks, at last bot_4: no"
    assert registration.pause_seconds == 60


def test_made_up_nicks_differ_even_where_the_server_cuts_them_to_nine() -> None:
    registration = Registration(Identity("neverquit"), tls=True)
    registration.start()
    sent = [answer.removeprefix("NICK ") for _ in range(9) for answer in talk(registration, "433 * x :no")]
    assert len({nick[:9] for nick in sent}) == len(sent)


def test_a_refused_nick_after_001_is_for_others_to_deal_with() -> None:
    registration = machine()
    assert talk(registration, "001 bot :hi", "433 bot other :in use") == []


def test_the_nick_in_001_is_ours_whatever_we_asked_for() -> None:
    registration = machine()
    talk(registration, "001 bo :hi")
    assert registration.nick == "bo"
    talk(registration, "001")
    assert registration.nick == "bo"


@pytest.mark.parametrize(
    "line", ["ERROR :Closing Link (K-lined)", "465 bot :K-lined", "464 bot :K-lined", "463 bot :K-lined"]
)
def test_a_server_that_refuses_us_is_quoted(line: str) -> None:
    registration = machine()
    assert talk(registration, line) == []
    assert registration.failure is not None
    assert "K-lined" in registration.failure


def test_an_error_after_001_is_no_failure_of_the_registration() -> None:
    registration = machine()
    talk(registration, "001 bot :hi", "ERROR :bye")
    assert registration.failure is None


_NAMES = st.sampled_from(["sasl", "sasl=PLAIN", "batch", "account-tag", "-batch", "=x", "~y", "*", "", "message-tags"])
_CAP = st.builds(
    lambda sub, more, names: f"CAP * {sub} {more}:" + " ".join(names),
    st.sampled_from(["LS", "ACK", "NAK", "NEW", "DEL", "LIST", "ls", "?"]),
    st.sampled_from(["", "* "]),
    st.lists(_NAMES, max_size=5),
)
_OTHER = st.sampled_from(
    [
        *("001", "001 bot", "421 * CAP", "410", "433", "904", "903", "908", "908 x PLAIN", "900", "901"),
        *("CAP", "CAP *", "AUTHENTICATE", "AUTHENTICATE +", "907 x", "ERROR"),
    ]
)


@given(st.lists(_CAP | _OTHER, max_size=25), st.booleans(), st.booleans(), st.booleans())
@settings(deadline=None, max_examples=200)
def test_no_order_of_lines_breaks_it(lines: list[str], sasl: bool, required: bool, tls: bool) -> None:
    registration = machine(Sasl("me", "hunter2", (), required) if sasl else None, tls)
    sent = talk(registration, *lines)
    assert sent.count("CAP END") <= 1
    assert len(sent) < 200
    if not sasl:
        assert not any(line.startswith("AUTHENTICATE") for line in sent)
    if not tls:
        assert f"AUTHENTICATE {plain('me', 'hunter2')}" not in sent


@given(st.text(max_size=60))
@settings(deadline=None, max_examples=100)
def test_no_line_breaks_it(text: str) -> None:
    registration = machine(SASL)
    for command in ("CAP", "AUTHENTICATE", "001", "433", "908", "421", "ERROR", "900"):
        registration.feed(Message(command, tuple(text.split(" "))))
