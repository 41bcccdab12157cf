"""scram.py: the examples of the RFCs, and servers that cheat."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scram_services import ScramServices

from bot.protocol.scram import MOST_ITERATIONS, Scram, ScramError, ScramRefused, prepared

NONCE = "rOprNGfwEbeRWgbNEkqO"
SERVER_FIRST = b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"


def scram() -> Scram:
    exchange = Scram("sha256", "user", "pencil", NONCE)
    exchange.first()
    return exchange


def test_the_example_of_rfc_7677_for_sha_256() -> None:
    exchange = Scram("sha256", "user", "pencil", NONCE)
    assert exchange.first() == b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO"
    final = exchange.final(exchange.salting(SERVER_FIRST)())
    assert final == (
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    )
    assert not exchange.verified
    exchange.verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
    assert exchange.verified


def test_the_example_of_rfc_5802_for_sha_1() -> None:
    exchange = Scram("sha1", "user", "pencil", "fyko+d2lbbFgONRv9qkxdawL")
    assert exchange.first() == b"n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL"
    work = exchange.salting(b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096")
    assert exchange.final(work()) == (
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts="
    )
    exchange.verify(b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=")
    assert exchange.verified


@pytest.mark.parametrize("digest", ["sha256", "sha512"])
def test_both_sides_prove_that_they_know_the_password(digest: str) -> None:
    services, exchange = ScramServices("pencil", digest), Scram(digest, "a,b=c", "pencil", NONCE)
    first = exchange.first()
    assert first == b"n,,n=a=2Cb=3Dc,r=" + NONCE.encode()
    exchange.verify(services.final(exchange.final(exchange.salting(services.first(first))())))
    assert services.proved
    assert exchange.verified


def test_a_server_that_knows_another_password_is_found_out() -> None:
    services, exchange = ScramServices("crayon"), Scram("sha256", "user", "pencil", NONCE)
    final = services.final(exchange.final(exchange.salting(services.first(exchange.first()))()))
    with pytest.raises(ScramError, match="impostor"):
        exchange.verify(final)
    assert not services.proved
    assert not exchange.verified


def test_a_signature_before_its_time_proves_nothing() -> None:
    exchange = scram()
    with pytest.raises(ScramError):
        exchange.verify(b"v=")
    assert not exchange.verified


@pytest.mark.parametrize("count", ["1", "4095", str(MOST_ITERATIONS + 1), "0", "-1", "", "04096", "1e6", "9" * 30])
def test_iterations_that_are_too_few_or_would_take_for_ever_are_refused(count: str) -> None:
    with pytest.raises(ScramError):
        scram().salting(f"r={NONCE}x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={count}".encode())


@pytest.mark.parametrize(
    "message",
    [
        b"r=another,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqO,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",  # adds nothing of its own
        b"r=rOprNGfwEbeRWgbNEkqO x,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"m=ext,r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,r=rOprNGfwEbeRWgbNEkqOx,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=not base64,i=4096",
        b"r=rOprNGfwEbeRWgbNEkqOx,s=W22ZaJ0SNY7soEsUEjb6gQ==",
        b"",
        b"\xff\xfe",
        b"r=rOprNGfwEbeRWgbNEkqO" + b"x" * 5000,
    ],
)
def test_a_first_message_that_is_not_as_it_must_be_is_refused(message: bytes) -> None:
    with pytest.raises(ScramError):
        scram().salting(message)


def test_later_fields_are_for_clients_of_the_future() -> None:
    assert scram().salting(SERVER_FIRST + b",x=new").iterations == 4096


def test_a_refusal_within_the_exchange_is_told_by_its_word() -> None:
    with pytest.raises(ScramRefused, match="unknown-user"):
        scram().salting(b"e=unknown-user")
    with pytest.raises(ScramRefused, match="invalid-proof"):
        scram().verify(b"e=invalid-proof")


def test_no_password_is_shown_by_what_is_to_be_computed() -> None:
    assert "pencil" not in repr(scram().salting(SERVER_FIRST))


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("I\u00adX", "IX"),
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("", ""),
    ],
)
def test_saslprep_does_what_its_examples_say(text: str, result: str) -> None:
    """RFC 4013 section 3."""
    assert prepared(text) == result


@pytest.mark.parametrize("text", ["\u0007", "\u0627\u0031", "\u0627a\u0627", "\u0221", "\ue000"])
def test_saslprep_refuses_what_its_examples_refuse(text: str) -> None:
    with pytest.raises(ValueError, match="in it"):
        prepared(text)


def test_a_password_of_right_to_left_letters_is_fine() -> None:
    assert prepared("\u05d0\u05d1") == "\u05d0\u05d1"


@given(st.binary(max_size=80), st.binary(max_size=80))
def test_no_message_breaks_it(first: bytes, final: bytes) -> None:
    exchange = scram()
    for step, message in ((exchange.salting, first), (exchange.verify, final)):
        try:
            step(message)
        except (ScramError, ScramRefused):
            pass
    assert not exchange.verified
