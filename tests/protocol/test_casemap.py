"""casemap.py: names are equal exactly when the server says so, and no mask takes long."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.protocol.casemap import fold, hostname_valid, mask_match

SETTINGS = settings(deadline=None, max_examples=150)


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        ("ascii", "ab[]\\~{}|^"),
        ("rfc1459", "ab{}|^{}|^"),
        ("rfc1459-strict", "ab{}|~{}|^"),
        ("unheard-of", "ab{}|^{}|^"),
    ],
)
def test_each_mapping_folds_its_own_signs(mapping: str, expected: str) -> None:
    assert fold("AB[]\\~{}|^", mapping) == expected


@pytest.mark.parametrize("mapping", ["ascii", "rfc1459", "rfc1459-strict"])
def test_nothing_outside_ascii_is_folded(mapping: str) -> None:
    text = "É\u212a\u0130ß\u017f\u00c5ＡΣ"  # among them the Kelvin sign, a dotted I and a long s
    assert fold(text, mapping) == text


@given(st.text(max_size=200), st.sampled_from(["ascii", "rfc1459", "rfc1459-strict"]))
@SETTINGS
def test_folding_twice_changes_nothing_more_and_keeps_the_length(text: str, mapping: str) -> None:
    folded = fold(text, mapping)
    assert fold(folded, mapping) == folded
    assert len(folded) == len(text)


def test_long_text_is_folded_like_short() -> None:
    assert fold("A[" * 100) == "a{" * 100


@pytest.mark.vectors("mask-match")
def test_matches_as_the_public_vectors_say(vector: dict[str, Any]) -> None:
    assert [text for text in vector["matches"] if not mask_match(vector["mask"], text)] == []
    assert [text for text in vector["fails"] if mask_match(vector["mask"], text)] == []


@pytest.mark.parametrize(
    ("mask", "text", "expected"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("?", "", False),
        ("***", "abc", True),
        ("a*", "ba", False),
        (r"\*", "*", True),
        (r"\*", "a", False),
        (r"\?", "?", True),
        (r"\?", "b", False),
        (r"a\\b", r"a\b", True),
        (r"foo\bar", r"foo\bar", True),
        ("a\\", "a\\", True),
        ("a\\*", "a*", True),
        ("a\\", "a", False),
        ("*.example.org", "evil.example.org.net", False),
        ("*!*@staff.example.org", "mallory!*@staff.example.org.evil", False),
        ("a?c", "a\nc", True),
    ],
)
def test_wildcards_and_escapes(mask: str, text: str, expected: bool) -> None:
    assert mask_match(mask, text) is expected


def test_masks_fold_by_the_servers_mapping() -> None:
    assert mask_match("[X]!*@*", "{x}!a@b", "rfc1459")
    assert not mask_match("[X]!*@*", "{x}!a@b", "ascii")
    assert not mask_match("k*", "\u212aelvin", "ascii")


def test_a_backslash_in_a_nick_is_the_same_as_a_pipe_where_the_server_says_so() -> None:
    assert mask_match("A\\b!*@*", "a|B!x@y", "rfc1459")
    assert not mask_match("A\\b!*@*", "a|B!x@y", "ascii")


def test_a_mask_full_of_stars_is_no_slower() -> None:
    """Backtracking would need longer than the world is old."""
    assert not mask_match("*a" * 200 + "b", "a" * 4000)


@given(st.text("ab*?", max_size=8), st.text("abc", max_size=10))
@SETTINGS
def test_agrees_with_the_same_mask_as_a_regular_expression(mask: str, text: str) -> None:
    pattern = "".join({"*": ".*", "?": "."}.get(sign, sign) for sign in mask)
    assert mask_match(mask, text) == bool(re.fullmatch(pattern, text))


@given(st.text(), st.text())
@SETTINGS
def test_any_mask_and_any_text_can_be_compared(mask: str, text: str) -> None:
    mask_match(mask, text)


@pytest.mark.vectors("validate-hostname")
def test_hostnames_as_the_public_vectors_say(vector: dict[str, Any]) -> None:
    assert hostname_valid(vector["host"]) is vector["valid"]


@pytest.mark.parametrize("host", [".", "..", "a..b", ".a.b", "a.b..", "\u00fc.ch", "a." + "b" * 64, "a.b\n", "a-.b"])
def test_other_hosts_that_are_no_names(host: str) -> None:
    assert not hostname_valid(host)


def test_a_name_of_253_characters_is_the_longest() -> None:
    name = ".".join(["a" * 49] * 5)
    assert hostname_valid(name + ".aaa")
    assert not hostname_valid(name + ".aaaa")
