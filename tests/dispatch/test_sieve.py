"""bot/dispatch/sieve.py: a weakened pattern lets through all that the pattern itself matches."""

from __future__ import annotations

import importlib
import re

import pytest

from bot.dispatch import sieve
from bot.dispatch.sieve import BORROWED, CannotWeaken, weakened

re2 = pytest.importorskip("re2")


@pytest.mark.parametrize(
    ("pattern", "shown"),
    [
        (r"\bfoo\b", r"\bfoo\b"),
        (r"(?<!x)foo(?=bar)", "foo"),
        (r"foo(?!bar)(?<=o)", "foo"),
        (r"(a)\1", "(?:a)(?s:.*)"),
        (r"(a)?(?(1)b|c)", "(?:(?:a)){0,1}(?:b|c)"),
        (r"(?>a)b++", "(?:a)(?:b){1,}"),
        (r"^a$", r"\Aa\z"),
        (r"(?m)^a\Z", r"\Aa\z"),
        (r"(?s).", "(?s:.)"),
        (r".", r"[^\n]"),
        (r"a{5,5000}", "(?:a){5,}"),
        (r"a{500}", "(?:a){100,}"),
        (r"(?=a)*b", "(?:)b"),
        (r"\b\w", r"[\x{30}-\x{39}\x{41}-\x{5a}\x{5f}-\x{5f}\x{61}-\x{7a}\x{80}-\x{10ffff}]"),
        (r"\b(?:ab|c+)", r"\b(?:ab|(?:c){1,})"),
        (r"(?x) a  b # c", "ab"),
    ],
)
def test_what_re2_lacks_is_made_wider(pattern: str, shown: str) -> None:
    assert weakened(re.compile(pattern)) == shown
    re2.compile(shown)


def test_a_border_stays_only_beside_what_is_surely_an_ascii_word() -> None:
    for pattern in (r"\bé", r"\b\w", r"\b.", r"\ba?", r"\b[aé]", r"\b(?i:k)", r"\b", r"\b(?:a|é)", r"é\b", r"\b-"):
        assert r"\b" not in weakened(re.compile(pattern)), pattern
    for pattern in (r"\ba", r"a\b", r"a+\b", r"\b[a-z]", r"\b(?i:a)", r"(?:a|b)\b", r"é\ba"):
        assert r"\b" in weakened(re.compile(pattern)), pattern


def test_each_letter_lets_through_all_that_python_takes_for_it_without_regard_to_case() -> None:
    cased = "".join(
        letter
        for code in range(0x20000)
        if not 0xD800 <= code < 0xE000
        if (letter := chr(code)).lower() != letter or letter.upper() != letter
    )
    for letter in cased:
        taken = "".join(re.findall(re.escape(letter), cased, re.IGNORECASE))
        through = re2.compile(f"(?:{weakened(re.compile(re.escape(letter), re.IGNORECASE))})*")
        assert through.fullmatch(taken), f"{letter} {ord(letter):x}: {taken}"


def test_each_class_lets_through_all_that_python_takes_for_it() -> None:
    every = "".join(chr(code) for code in range(0x3100) if code != 10) + "🎲𝒳"
    for inner in (
        r"\w",
        r"\W",
        r"\d",
        r"\D",
        r"\s",
        r"\S",
        r"^\s",
        r"^\S",
        r"^\sa",
        "a-z",
        "^a-z",
        r"^\w",
        r"^\W",
        "é-ü",
        "^é",
        "i",
        "^i",
        "k0-9",
    ):
        for flags in (0, re.IGNORECASE, re.ASCII):
            taken = "".join(re.findall(f"[{inner}]", every, flags))
            through = re2.compile(f"(?:{weakened(re.compile(f'[{inner}]', flags))})*")
            assert through.fullmatch(taken), (inner, flags)


def test_what_is_new_in_the_language_is_not_guessed_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(sieve._Sieve, "any")
    with pytest.raises(CannotWeaken, match="`ANY` is new"):
        weakened.__wrapped__(re.compile("a.b"))


def test_without_pythons_parser_nothing_is_weakened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sieve, "_parser", None)
    with pytest.raises(CannotWeaken, match="does not show"):
        weakened.__wrapped__(re.compile("a"))


def test_the_borrowed_names_exist() -> None:
    for name in BORROWED:
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), name
