"""login.py: which attempt comes next, and what is left of one in another worker."""

from __future__ import annotations

import pytest

from bot.protocol.login import ABORT, Login
from bot.protocol.message import Message
from bot.protocol.sasl import Sasl

SASL = Sasl("me", "hunter2")


def login(sasl: Sasl | None = SASL, tls: bool = True) -> Login:
    return Login(sasl, tls, lambda: "fresh")


def names(messages: list[Message]) -> list[str]:
    return [message.param(0) for message in messages]


def test_each_mechanism_is_tried_once_the_strongest_first() -> None:
    way, tried = login(), list[str]()
    while begun := way.begin("PLAIN,SCRAM-SHA-256,EXTERNAL"):
        tried += names(begun)
        way.refused()
    assert tried == ["SCRAM-SHA-256", "PLAIN"]
    assert not way.busy


def test_a_server_that_does_not_say_what_it_has_is_asked_for_all() -> None:
    assert login().next("") == "SCRAM-SHA-512"
    assert login().next(None) == ""


def test_who_has_cheated_gets_no_other_attempt() -> None:
    way = login()
    way.begin("SCRAM-SHA-256")
    assert not way.succeeded()
    assert way.next("PLAIN") == ""
    assert way.account is None
    successor = login()
    successor.resume(way.saved())
    successor.services_gone()
    assert successor.next("PLAIN") == ""


def test_an_attempt_is_broken_off_once_however_much_the_server_goes_on() -> None:
    way = login(Sasl("me", "hunter2", ("PLAIN",)))
    way.begin("PLAIN")
    assert [answer for _ in range(4) for answer in way.challenged("+")][1:] == [ABORT]


def test_what_could_not_be_used_is_passed_over_and_told() -> None:
    way = login(Sasl("me", "bell\x07", ("SCRAM-SHA-256",)))
    assert way.begin("SCRAM-SHA-256") == []
    assert way.why_not("SCRAM-SHA-256").startswith("SASL is not possible: SCRAM-SHA-256 can't be used")


def test_an_attempt_of_another_worker_is_broken_off_and_begun_anew() -> None:
    first, second = login(), login()
    first.begin("SCRAM-SHA-256")
    second.resume(first.saved())
    assert second.busy
    assert second.challenged("cj1mcmVzaA==") == [ABORT]
    second.refused()
    assert names(second.begin("SCRAM-SHA-256")) == ["SCRAM-SHA-256"]


def test_a_success_that_another_worker_waited_for_counts_where_nothing_has_to_be_proved() -> None:
    for name, believed in (("PLAIN", True), ("SCRAM-SHA-256", False)):
        way = login()
        way.resume([name, False, []])
        assert way.succeeded() is believed
        assert way.account == ("me" if believed else None)


def test_what_was_refused_stays_refused_in_the_next_worker() -> None:
    first, second = login(), login()
    first.begin("PLAIN")
    first.refused()
    second.resume(first.saved())
    assert second.next("PLAIN") == ""


@pytest.mark.parametrize("saved", [None, [], ["PLAIN"], ["PLAIN", True, 5], 7])
def test_what_makes_no_sense_is_refused(saved: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        login().resume(saved)  # type: ignore[arg-type]


def test_services_that_were_away_are_logged_in_to_again() -> None:
    way = login()
    way.begin("PLAIN")
    assert way.succeeded()
    assert not way.wanted
    way.services_gone()
    assert (way.wanted, way.account, way.next("PLAIN")) == (True, "me", "PLAIN")


def test_why_there_is_no_way_is_told() -> None:
    assert login().why_not(None) == "the server offers no SASL (its services may be down)"
    assert login().why_not("EXTERNAL,NTLM") == (
        "the server offers SASL only by EXTERNAL,NTLM; what is configured allows SCRAM-SHA-512, SCRAM-SHA-256, PLAIN; "
        "EXTERNAL needs tls.certificate"
    )
    assert login().why_not("NTLM").endswith("; the bot speaks none of the others")
    only_plain = Login(Sasl("me", "x", ("PLAIN",)), True, lambda: "nonce")
    assert only_plain.why_not("SCRAM-SHA-256").endswith(
        "what is configured allows PLAIN; SCRAM-SHA-256 is missing in sasl.mechanisms"
    )


def test_what_to_look_at_after_a_refusal_depends_on_what_was_shown() -> None:
    way = Login(Sasl("me", "x", certificate=True), True, lambda: "nonce")
    way.begin("EXTERNAL,PLAIN")
    assert way.to_mend() == "check tls.certificate, whose fingerprint the account must know, in the configuration"
    way.refused()
    way.begin("EXTERNAL,PLAIN")
    assert "know, and sasl.username and sasl.password in" in way.to_mend()
    assert "in the clear" in login(tls=False).why_not("PLAIN")
    assert login(Sasl("me", "", ("EXTERNAL",))).why_not("EXTERNAL") == "EXTERNAL needs tls.certificate"
