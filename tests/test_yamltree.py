"""bot/yamltree.py: from YAML text to a tree with places."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot import yamltree
from bot.errors import ConfigError


def told(text: str, **environment: str) -> str:
    """Every mistake, one a line, of a text that has some."""
    try:
        mistakes = yamltree.read(text, "f", environment).mistakes
    except ConfigError as error:
        mistakes = list(error.mistakes)
    assert mistakes
    return "\n".join(map(str, mistakes))


def value(text: str, **environment: str) -> object:
    tree = yamltree.read(text, "f", environment)
    assert tree.mistakes == []
    return tree.root


def test_plain_values_are_what_they_look_like() -> None:
    text = "a: [1, -2, 2.5, .5, true, False, x, 'no', \"0123\", 2024-01-01, =]"
    assert value(text) == {"a": [1, -2, 2.5, 0.5, True, False, "x", "no", "0123", "2024-01-01", "="]}


def test_a_byte_order_mark_is_passed_over() -> None:
    assert value("\ufeffa: 1") == {"a": 1}


def test_places_are_known_of_keys_and_values() -> None:
    tree = yamltree.read("a:\n  - b: 7\n", "f")
    assert tree.names["a", 0, "b"] == (2, 5)
    assert tree.values["a", 0, "b"] == (2, 8)
    assert tree.place(("a", 0, "nothing", "deeper")) == (("a", 0), (2, 5))


@pytest.mark.parametrize("word", ["no", "off", "NO", "Off"])
def test_words_that_yaml_takes_for_false_are_refused(word: str) -> None:
    assert (
        told(f"nick: {word}")
        == f'f:1:7: nick: YAML reads `{word.lower()}` as false: write "{word.lower()}" for the text, or false'
    )


@pytest.mark.parametrize(
    "number", ["0123", "1:30", "22:22", "0x1F", "1_000", "0b1", ".inf", ".nan", "1" * 30, "1.0e+999"]
)
def test_odd_numbers_are_refused(number: str) -> None:
    assert told(f"a: {number}").startswith("f:1:4: a: YAML reads an odd number here")


def test_a_channel_that_became_a_comment_is_refused_with_the_way_to_write_it() -> None:
    assert told("channels:\n  - #bot\n").startswith(
        "f:2:4: channels.0: YAML takes what follows an unquoted # for a comment"
    )
    assert '"#bot"' in told("channels:\n  - #bot\n")
    assert '"#ops"' in told("report_to: #ops\n")


def test_a_value_that_a_comment_cuts_is_refused_without_showing_it() -> None:
    words = told("password: planted #planted\n")
    assert words.startswith("f:1:11: password: YAML takes what follows an unquoted #")
    assert "planted" not in words


@pytest.mark.parametrize(
    "text", ["a: b # c", "a: b  # c", "a: 5 #c", "a: true #c", "a: 'b' #c", "a: b#c", "a: [b] #c", "#c\na: b"]
)
def test_comments_that_cut_nothing_are_welcome(text: str) -> None:
    value(text)


def test_a_key_that_stands_twice_is_told_with_both_lines() -> None:
    words = told("a: 1\nb:\n  c: 1\n  c: 2\na: 3\n")
    assert words == (
        "f:4:3: b.c: stands twice, in line 3 and in line 4: keep one\n"
        "f:5:1: a: stands twice, in line 1 and in line 5: keep one"
    )


@pytest.mark.parametrize("text", ["no: 1", "1: 2", "? [a]\n: 1", "~: 1", '"a\\nb": 1', '"\\ud800": 1'])
def test_keys_that_are_no_text_are_refused(text: str) -> None:
    assert "a key must be text" in told(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a:\n\tb: 1", "f:2:1: a tab"),
        ("prefix: @", "f:1:9: a value that begins with @"),
        ("mask: *!*@x", "a value that begins with *"),
        (
            "a: [#a, #b]\nc: 1\n",
            'f:1:5: a [ or { without its end; inside of them a text with # or ${ must be in quotes: ["#a"',
        ),
        ("a:\n - [#a]\n", "f:2:5: a [ or {"),
        ("a: {b: c", "f:1:4: a [ or {"),
        ("a: {b: ${C}}", "f:1:4: a [ or {"),
        ("a: 'b", "f:1:4: a quote that is opened here"),
        ('a: "\\q"', "f:1:6: in double quotes"),
        ('a: "\\U00110000"', "an escape in double quotes"),
        ('a: "b"c', "f:1:7: text after the closing quote"),
        ("a: >x", "a value that begins with | or >"),
        ("a: b: c", "f:1:5: a colon where none can stand"),
        ("a: 1\nbc\nd: 2", "f:2:1: a line without a colon"),
        ("a: - b", "a list begins on a line of its own"),
        ("a: b\n- c", "f:2:1: wrong indentation"),
        ("a: }", "f:1:4: a value that begins with ]"),
        ("a: 1\n---\nb: 1", "f:2:1: only one document"),
        ("a: \x07", "f:1:4: a control character"),
        ('a: "\\0"', "f:1:4: a: holds a NUL"),
        ('a: "\\ud800"', "f:1:4: a: holds a NUL or half a character"),
        ("[" * 100_000, "f:1:21: nested too deep"),
        ("#" * (yamltree.MAX_BYTES + 1), "f: is larger than 1 MiB"),
    ],
)
def test_what_is_no_yaml_is_one_clear_mistake(text: str, words: str) -> None:
    result = told(text)
    assert "\n" not in result
    assert words in result


@pytest.mark.parametrize(
    "sign", ["!x", "!", "!!python/object/apply:os.system [ls]", "&x", "&x y", "*x", "!!binary aGk=", "!!set {a}"]
)
def test_tags_anchors_and_aliases_are_refused(sign: str) -> None:
    assert told(f"b: 1\na: {sign}\n").startswith(f"f:2:4: a: an unquoted {sign[0]} is a sign of YAML's own")


def test_merge_keys_are_refused() -> None:
    assert "merge keys are not used" in told("<<: {a: 1}")


def test_an_alias_bomb_ends_at_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 30)]
    began = time.monotonic()
    told("\n".join(lines))
    assert time.monotonic() - began < 2


def test_too_many_values_end_soon() -> None:
    began = time.monotonic()
    assert "too many values" in told("- 1\n" * 250_000)
    assert time.monotonic() - began < 8  # about 1 s on a machine with nothing else to do


def test_variables_are_replaced_once_and_in_values_only() -> None:
    text = "${A}: 1\nb: <${A}> ${B:-d} ${E:-e} ${C:-} $$ $${A} $x $"
    assert value(text, A="${B}: [", E="") == {"${A}": 1, "b": "<${B}: [> d e  $ ${A} $x $"}


def test_a_file_is_read_without_its_last_newline(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one\n")
    tree = yamltree.read("a: ${file:secret}", str(tmp_path / "config.yaml"))
    assert tree.root == {"a": "one"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("${X}", "environment variable X is not set"),
        ("${EMPTY}", "environment variable EMPTY is empty"),
        ("${LINES}", "environment variable LINES: holds a line break"),
        ("${file:/nowhere/x}", "/nowhere/x: No such file"),
        ("${file:~nobody-of-that-name/x}", "~nobody-of-that-name/x: "),
        ("${a b}", "after $ comes"),
        ("${", "after $ comes"),
    ],
)
def test_a_variable_that_can_t_be_used_is_named_and_not_its_value(text: str, words: str) -> None:
    result = told(f"a: 'planted {text}'", EMPTY="", LINES="planted\nQUIT")
    assert result.startswith(f"f:1:4: a: {words}")
    assert "planted" not in result


@pytest.mark.parametrize("content", [b"one\ntwo\n", b"one\n\n", b"\xff", b"a\0b"])
def test_a_file_that_can_t_be_used_is_named_and_not_its_text(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secret").write_bytes(content)
    words = told(f"a: ${{file:{tmp_path}/secret}}")
    assert f"{tmp_path}/secret: " in words
    assert "one" not in words.replace("None", "")


def test_all_mistakes_about_values_are_told_at_once() -> None:
    assert told("a: no\nb: 0123\nc: &x 1\nd: ${X}\ne: f #g\n").count("\n") == 4


@given(st.text(alphabet="ab:-#&*!|>{}[],'\"%@` \n\t0$\\?~\u2028\x85\x00", max_size=60))
def test_any_text_is_a_tree_or_a_configuration_error(text: str) -> None:
    try:
        yamltree.read(text, "f", {})
    except ConfigError as error:
        assert len(error.mistakes) == 1


@given(st.binary(max_size=40))
def test_any_bytes_are_text_or_a_configuration_error(raw: bytes) -> None:
    try:
        yamltree.decode(raw, "f")
    except ConfigError as error:
        assert error.mistakes[0].line >= 1
