"""sasl.py: which mechanisms are tried, what each says, and who is believed."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scram_services import ScramServices

from bot.protocol.message import Message
from bot.protocol.sasl import CHUNK, MECHANISMS, MOST_CHALLENGE, Attempt, Sasl, choice, chunks

NONCE = "fresh"


def said(messages: list[Message]) -> bytes:
    """The response in these lines."""
    texts = [message.param(0) for message in messages]
    return base64.b64decode("".join(text for text in texts if text != "+"))


def challenge(text: bytes) -> str:
    return base64.b64encode(text).decode() or "+"


def sign(text: bytes) -> bytes:
    return b"signed " + text


EVERYTHING = Sasl("me", "hunter2", certificate=True, sign=sign)

# Which


def test_without_a_wish_the_strongest_that_the_secrets_allow_comes_first() -> None:
    assert choice(EVERYTHING, tls=True) == list(MECHANISMS)
    assert choice(Sasl("me", "hunter2"), tls=True) == ["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"]
    assert choice(Sasl("me", "", sign=sign), tls=True) == ["ECDSA-NIST256P-CHALLENGE"]
    assert choice(Sasl("me", "", certificate=True), tls=True) == ["EXTERNAL"]


def test_a_wish_is_followed_in_its_order_each_once() -> None:
    sasl = Sasl("me", "x", ("plain", "SCRAM-SHA-256", "PLAIN", "X-NEW", "EXTERNAL"))
    assert choice(sasl, tls=True) == ["PLAIN", "SCRAM-SHA-256"]


def test_in_plain_text_there_is_neither_plain_nor_external() -> None:
    assert choice(EVERYTHING, tls=False) == ["ECDSA-NIST256P-CHALLENGE", "SCRAM-SHA-512", "SCRAM-SHA-256"]
    assert "PLAIN" in choice(Sasl("me", "x", plain_without_tls=True), tls=False)


# What they say


def test_plain_gives_account_and_password() -> None:
    assert said(Attempt("PLAIN", EVERYTHING, NONCE).challenged("+")) == b"\0me\0hunter2"


def test_external_gives_nothing_but_the_sign_that_it_is_nothing() -> None:
    assert Attempt("EXTERNAL", EVERYTHING, NONCE).challenged("+") == [Message("AUTHENTICATE", ("+",))]


def test_ecdsa_gives_the_account_and_then_the_challenge_signed() -> None:
    attempt = Attempt("ECDSA-NIST256P-CHALLENGE", EVERYTHING, NONCE)
    assert said(attempt.challenged("+")) == b"me"
    assert attempt.challenged(challenge(b"c" * 32)) == []
    assert attempt.work is not None
    assert said(attempt.worked(attempt.work())) == b"signed " + b"c" * 32
    assert attempt.convinced


def test_a_key_that_can_not_be_used_any_more_ends_the_attempt() -> None:
    attempt = Attempt("ECDSA-NIST256P-CHALLENGE", EVERYTHING, NONCE)
    attempt.challenged("+")
    attempt.challenged(challenge(b"c" * 32))
    assert attempt.worked(ValueError("can't be read: No such file")) == []
    assert attempt.unfit == "can't be read: No such file"


@pytest.mark.parametrize(("name", "digest"), [("SCRAM-SHA-256", "sha256"), ("SCRAM-SHA-512", "sha512")])
def test_scram_is_convinced_by_the_last_step_alone(name: str, digest: str) -> None:
    services, attempt = ScramServices("hunter2", digest), Attempt(name, EVERYTHING, NONCE)
    first = said(attempt.challenged("+"))
    assert attempt.challenged(challenge(services.first(first))) == []
    assert attempt.challenged("+") == []  # nothing is said while the work goes on
    assert attempt.work is not None
    final = said(attempt.worked(attempt.work()))
    assert not attempt.convinced
    assert attempt.challenged(challenge(services.final(final))) == [Message("AUTHENTICATE", ("+",))]
    assert attempt.convinced
    assert services.proved


def test_a_server_that_can_not_prove_it_is_at_fault() -> None:
    services, attempt = ScramServices("crayon"), Attempt("SCRAM-SHA-256", EVERYTHING, NONCE)
    attempt.challenged(challenge(services.first(said(attempt.challenged("+")))))
    assert attempt.work is not None
    attempt.challenged(challenge(services.final(said(attempt.worked(attempt.work())))))
    assert "impostor" in attempt.fault
    assert not attempt.convinced


def test_a_refusal_in_the_exchange_leaves_other_mechanisms_open() -> None:
    attempt = Attempt("SCRAM-SHA-256", EVERYTHING, NONCE)
    attempt.challenged("+")
    assert attempt.challenged(challenge(b"e=unknown-user")) == []
    assert (attempt.unfit, attempt.fault) == ("unknown-user", "")


def test_a_password_that_scram_can_not_spell_makes_it_unfit() -> None:
    attempt = Attempt("SCRAM-SHA-256", Sasl("me", "bell\x07"), NONCE)
    assert attempt.unfit.startswith("SCRAM-SHA-256 can't be used")
    assert attempt.challenged("+") == []


@pytest.mark.parametrize("name", ["PLAIN", "EXTERNAL", "SCRAM-SHA-256", "ECDSA-NIST256P-CHALLENGE"])
def test_a_server_that_begins_where_it_is_our_turn_hears_no_secret(name: str) -> None:
    attempt = Attempt(name, EVERYTHING, NONCE)
    assert attempt.challenged(challenge(b"give it to me")) == []
    assert attempt.unfit


# Chunks


@pytest.mark.parametrize("length", [0, 10, 299, 300, 301, 600, 1000])
def test_a_challenge_over_several_lines_is_read_whole(length: int) -> None:
    heard: list[bytes] = []
    attempt = Attempt("ECDSA-NIST256P-CHALLENGE", Sasl("me", "", sign=lambda text: heard.append(text) or b""), NONCE)
    attempt.challenged("+")
    for line in chunks(b"c" * length):
        assert attempt.work is None
        attempt.challenged(line.param(0))
    assert attempt.work is not None
    attempt.work()
    assert heard == [b"c" * length]


def test_a_challenge_without_end_is_a_fault() -> None:
    attempt = Attempt("SCRAM-SHA-256", EVERYTHING, NONCE)
    for _ in range(MOST_CHALLENGE // CHUNK + 1):
        attempt.challenged("A" * CHUNK)
    assert attempt.fault == "the server's challenge is too long"


@pytest.mark.parametrize("length", [1, 299, 300, 301, 600])
def test_a_response_ends_with_a_line_that_is_not_full(length: int) -> None:
    lines = [message.param(0) for message in chunks(b"r" * length)]
    assert all(len(line) == CHUNK for line in lines[:-1])
    assert len(lines[-1]) < CHUNK
    assert said(chunks(b"r" * length)) == b"r" * length


def test_what_is_no_base64_is_no_challenge() -> None:
    attempt = Attempt("PLAIN", EVERYTHING, NONCE)
    assert attempt.challenged("*") == []
    assert attempt.unfit == "the server's challenge is not base64"


@given(st.sampled_from(sorted(MECHANISMS)), st.lists(st.text(max_size=30) | st.just("+"), max_size=6))
def test_no_challenge_breaks_it(name: str, texts: list[str]) -> None:
    attempt = Attempt(name, EVERYTHING, NONCE)
    for text in texts:
        attempt.challenged(text)


def test_no_secret_is_in_the_repr() -> None:
    assert "hunter2" not in repr(EVERYTHING)
