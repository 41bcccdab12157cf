"""bot/dispatch/rules.py: all rules in one pass, with the answers of `re.search`."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.dispatch import rules
from bot.dispatch.rules import RuleSet, compile_pattern

PATTERNS: list[str | re.Pattern[str]] = [
    r"(?P<name>\w+)\+\+",
    r"\bfoo\b",
    r"\b\w\b",
    r"(?i)\bkarma\b|бот",
    r"(?i)stra[sß]e",
    r"(?<!x)foo(?=bar)",
    r"(\w)\1",
    r"^s/(.+?)/(.*?)/g?$",
    r"^\s*$",
    r"[^\W\d]+\Z",
    r"a{,3}b",
    r"a{2000}",
    r"(a{30}){30}",
    r"(?x) a  b # c",
    r"(?a)\w+é",
    r"(?s)a.b",
    r"a.b",
    r"(?m)^b$",
    r"\Aa",
    r"[\x1c-\x1f]",
    r"\d+",
    r"\S\s\S",
    r"[^a-zA-Z]{3}",
    r"(a)?(?(1)b|c)",
    r"(?>a+)b",
    r"\u00e9|\N{SNOWMAN}",
    r"",
    r"\B-\B",
    re.compile("É", re.IGNORECASE),
    r"(?i)[^k]k",
]
TEXTS = [
    *("", "foo", "xfoobar foobar", "éfoo", "foo é", "Karma karma++", "KARMA", "БОТ", "STRASSE straße STRAẞE", "aa"),
    *("s/a/b/g", "s/a/b/", " \t\x1f ", "abc", "aaab", "a" * 2000, "ab", "bc c", "a\nb", "b\n", "a\n", "é", "É", "☃"),
    *("٣", "a b", "a\u00a0b", "привет 123", "--", "🎲 🎲🎲", "\ud800foo", "K K", "ſ S", "ı i İ", "aé", "\x00a\x7f"),
]
ALL = RuleSet(PATTERNS)

WRITTEN = r"""
    \b \w \d \s \W a k i s é ß я . ^ $ a? b* [a-f] [^a] (?:a|é) (?i:k) (?=a) (?!é) (\w)\1 (?i:[h-l]) - \B
    a{2,3} (?s:.) \Z |
"""
PIECES = st.sampled_from(WRITTEN.split())


def by_re(patterns: Sequence[str | re.Pattern[str]], text: str) -> list[int]:
    return [index for index, pattern in enumerate(patterns) if re.search(pattern, text)]


@pytest.fixture(params=["re2", "re"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "re":
        monkeypatch.setattr(rules, "re2", None)
    elif rules.re2 is None:
        pytest.skip("google-re2 is not installed")
    return str(request.param)


@pytest.mark.parametrize("text", TEXTS)
def test_the_answers_are_those_of_re(engine: str, text: str) -> None:
    made = RuleSet(PATTERNS)
    assert made.match(text) == by_re(PATTERNS, text)


@given(st.text(st.sampled_from("aAbkKiIsS éÉßſıİяЯ12_-+/.\t\u00a0\u212a☃🎲fooxbr"), max_size=30) | st.text(max_size=20))
def test_the_answers_are_those_of_re_for_any_text(text: str) -> None:
    assert ALL.match(text) == by_re(PATTERNS, text)


@given(
    st.lists(PIECES, max_size=6).map("".join), st.lists(st.text("aAkKiIsSbé ßяЯ-\u212aſıİ1\n", max_size=8), max_size=8)
)
def test_the_answers_are_those_of_re_for_any_pattern(pattern: str, texts: list[str]) -> None:
    made = RuleSet([pattern])
    for text in texts:
        assert made.match(text) == by_re([pattern], text), (pattern, text)


def test_groups_come_from_re(engine: str) -> None:
    made = RuleSet(["nothing", r"(?P<name>\w+)\+\+"])
    assert [(index, match["name"]) for index, match in made.found("é++ b++")] == [(1, "é")]
    found = made.search(1, "é++")
    assert found is not None
    assert found.groupdict() == {"name": "é"}
    assert made.search(0, "é++") is None


def test_no_rules_match_nothing(engine: str) -> None:
    assert RuleSet([]).match("text") == []


def test_warming_changes_no_answer(engine: str) -> None:
    made = RuleSet(PATTERNS)
    made.warm(TEXTS)
    assert made.match("foo") == by_re(PATTERNS, "foo")


def test_nearly_all_patterns_are_sieved() -> None:
    pytest.importorskip("re2")
    assert ALL._unsieved == []


def test_a_pattern_that_takes_re_for_ever_is_rejected_at_once() -> None:
    pytest.importorskip("re2")
    assert RuleSet([r"^(a+)+$"]).match("a" * 60 + "b") == []


def test_re2_running_out_of_memory_is_not_taken_for_no_match(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("re2")
    made = RuleSet([r"foo"])

    class Exhausted:
        def Match(self, text: bytes) -> None:
            return None

    monkeypatch.setattr(made, "_set", Exhausted())
    assert made.match("foo") == [0]


def test_too_many_for_the_memory_falls_back_to_re(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("re2")
    monkeypatch.setattr(rules, "MAX_MEMORY_BYTES", 1 << 10)
    assert RuleSet([r"(foo|bar){50}x\w{100}", "foo"]).match("foo") == [1]


def test_refusals_are_silent(capfd: pytest.CaptureFixture[str]) -> None:
    assert RuleSet([r"(?:a{90}){90}", r"(?:(?:a{90}){90}){90}", "\ud800"]).match("aa") == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a", r"^`\(a` is no regular expression: missing \), unterminated subpattern at position 0$"),
        ("*", "is no regular expression: nothing to repeat at position 0"),
        ("(?<=a*)b", "look-behind requires fixed-width pattern"),
        ("a{99999999999}", "is no regular expression: the repetition number is too large"),
        ("(" * 5000 + ")" * 5000, "is no regular expression: "),
        (b"a", "is a pattern for bytes, and lines are text"),
        (None, "is no regular expression"),
    ],
)
def test_a_bad_pattern_is_refused_in_words(pattern: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        compile_pattern(pattern)
    assert len(str(caught.value)) < 250
    with pytest.raises(ValueError):
        RuleSet(["fine", pattern])
