"""bot/api/arguments.py: a function's signature read as a grammar for chat lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.api.arguments import Signature, words
from bot.errors import UsageError

if TYPE_CHECKING:
    from nowhere import Context  # type: ignore[import-not-found]


async def weather(ctx: Context, place: str = "", *, days: int = 1, verbose: bool = False) -> Context: ...


async def roll(ctx, count: int, *, times: list[int] | None = None): ...


async def units(ctx, system: Literal["metric", "imperial"], factor: float = 1.0): ...


async def nothing(ctx): ...


def of(function: Any) -> Signature:
    return Signature.of(function, bound=False)


def told(function: Any, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        of(function).parse(text)
    return str(caught.value)


# --- what a line becomes


@pytest.mark.parametrize(
    ("line", "place", "days", "verbose"),
    [
        ("", "", 1, False),
        ("Paris", "Paris", 1, False),
        ("  Paris   (North,  the) ", "Paris   (North,  the)", 1, False),
        ("--days 3 Paris", "Paris", 3, False),
        ("--days=3 Paris", "Paris", 3, False),
        ("Paris --days 3", "Paris", 3, False),
        ("--verbose Paris  France --days=3", "Paris  France", 3, True),
        ("Paris --days 3 --verbose", "Paris", 3, True),
        ("Paris --verbose --no-verbose", "Paris", 1, False),
        ("--verbose=no Paris", "Paris", 1, False),
        ("Paris --days 3 and more", "Paris --days 3 and more", 1, False),
        ("Paris --unknown", "Paris --unknown", 1, False),
        ("-- --days 3", "--days 3", 1, False),
        ("Paris -- --days 3", "Paris -- --days 3", 1, False),
        ("—days 3 Paris", "Paris", 3, False),
        ("—and so on", "—and so on", 1, False),
        ("--days 3", "", 3, False),
        ("don't 'quote' \"me", "don't 'quote' \"me", 1, False),
        ('say "two  words" as they are', 'say "two  words" as they are', 1, False),
        ('"--days" 3', '"--days" 3', 1, False),
    ],
)
def test_a_line_with_a_rest_and_flags(line: str, place: str, days: int, verbose: bool) -> None:
    assert of(weather).parse(line) == ((place,), {"days": days, "verbose": verbose})


def test_double_quotes_straight_or_typographic_make_one_word() -> None:
    async def f(ctx, first, second, third: int): ...

    assert of(f).parse('"two words" “und mehr” 3') == (("two words", "und mehr", 3), {})
    assert of(f).parse('"" „so“ 3') == (("", "so", 3), {})


def test_a_flag_may_have_a_quoted_value() -> None:
    async def f(ctx, n: int, *, title: str = "-"): ...

    assert of(f).parse('--title="two words" 1') == ((1,), {"title": "two words"})
    assert of(f).parse('1 --title "two words"') == ((1,), {"title": "two words"})


def test_apostrophes_do_not_quote() -> None:
    async def f(ctx, *parts: str): ...

    assert of(f).parse("don't say 'it is'") == (("don't", "say", "'it", "is'"), {})


def test_flags_stand_anywhere_among_words() -> None:
    assert of(roll).parse("--times 1 6 --times=2") == ((6,), {"times": [1, 2]})


def test_a_list_flag_keeps_its_order_on_both_sides_of_the_rest() -> None:
    async def f(ctx, text: str, *, tag: list[str] | None = None): ...

    assert of(f).parse("--tag a text --tag b --tag c") == (("text",), {"tag": ["a", "b", "c"]})


def test_of_two_equal_flags_the_last_counts() -> None:
    assert of(weather).parse("--days 1 Paris --days 2 --days 3")[1]["days"] == 3


def test_without_declared_flags_dashes_are_text() -> None:
    async def f(ctx, first: str, text: str = ""): ...

    assert of(f).parse("-- --help me") == (("--", "--help me"), {})


def test_literals_match_without_regard_to_case_and_keep_their_type() -> None:
    async def f(ctx, level: Literal[1, 2, "Off"]): ...

    assert of(f).parse("2") == ((2,), {})
    assert of(f).parse("OFF") == (("Off",), {})


def test_lists_and_spreads_take_all_words() -> None:
    async def numbers(ctx, values: list[int]): ...
    async def spread(ctx, first: str, *values: float): ...

    assert of(numbers).parse("1 -2 +3") == (([1, -2, 3],), {})
    assert of(spread).parse("a 1 .5 2e3") == (("a", 1.0, 0.5, 2000.0), {})
    assert of(spread).parse("a") == (("a",), {})


def test_optional_parameters_are_none_when_missing() -> None:
    async def f(ctx, a: Optional[int], b: int | None, text: str | None): ...  # noqa: UP045 - both spellings

    assert of(f).parse("") == ((None, None, None), {})
    assert of(f).parse("1 2 a  b") == ((1, 2, "a  b"), {})


def test_a_word_for_yes_or_no() -> None:
    async def f(ctx, on: bool): ...

    assert of(f).parse("ON") == ((True,), {})
    assert of(f).parse("no") == ((False,), {})


def test_a_function_that_takes_only_ctx_gets_every_line() -> None:
    assert of(nothing).parse("what --ever") == ((), {})


def test_no_annotation_is_text() -> None:
    async def f(ctx, a, b): ...

    assert of(f).parse("1 2  3") == (("1", "2  3"), {})


def test_self_stands_before_ctx_in_a_class() -> None:
    class SomeModule:
        def myfunction(self, ctx, n: int): ...

    assert Signature.of(SomeModule.myfunction, bound=True).parse("4") == ((4,), {})
    assert Signature.of(SomeModule().myfunction, bound=True).parse("4") == ((4,), {})


# --- mistakes of the chatter


@pytest.mark.parametrize(
    ("function", "line", "sentence"),
    [
        (weather, "--days x Paris", "`days` must be a whole number, not `x`"),
        (weather, "Paris --days x", "`days` must be a whole number, not `x`"),
        (weather, "--days", "`--days` needs a value"),
        (weather, "--dayz 3", "`--dayz` is not a flag here; there is --days, --verbose (and `--` before plain text)"),
        (weather, "--verbose=maybe x", "`verbose` must be yes or no, not `maybe`"),
        (roll, "", "`count` is missing"),
        (roll, "1 2", "`2` is one word too many"),
        (roll, "1_000", "`count` must be a whole number, not `1_000`"),
        (roll, "٣", "`count` must be a whole number, not `٣`"),
        (roll, "9" * 4001, "`count` must have at most 4000 digits, not 4001"),
        (units, "cubits", "`system` must be `metric` or `imperial`, not `cubits`"),
        (units, "metric nan", "`factor` must be a number, not `nan`"),
        (units, "metric inf", "`factor` must be a number, not `inf`"),
        (units, "metric 1e999", "`factor` must be a number, not `1e999`"),
    ],
)
def test_a_mistake_is_told_in_one_sentence(function: Any, line: str, sentence: str) -> None:
    assert told(function, line) == sentence


def test_a_long_word_is_not_echoed_in_full() -> None:
    assert len(told(roll, "x" * 500)) < 100


def test_a_required_flag_is_missed() -> None:
    async def f(ctx, *, days: int): ...

    assert told(f, "") == "`--days` is missing"
    assert of(f).usage == "--days N"


def test_the_longest_whole_number_is_taken() -> None:
    assert of(roll).parse("9" * 4000)[0][0] > 10**3999


# --- usage


def test_usage_names_places_and_flags() -> None:
    async def f(ctx, place: str, *, days: int = 1, max_items: float = 1, loud: bool = True, tag: list[str] = []): ...  # noqa: B006

    assert of(f).usage == "<place> [--days N] [--max-items N] [--no-loud] [--tag TEXT]..."
    assert of(weather).usage == "[place] [--days N] [--verbose]"
    assert of(units).usage == "<metric|imperial> [factor]"
    assert of(nothing).usage == ""


def test_usage_shows_what_takes_many_words() -> None:
    async def f(ctx, n: list[int]): ...
    async def g(ctx, *place): ...

    assert (of(f).usage, of(g).usage) == ("<n...>", "[place...]")


# --- mistakes of the author


def test_an_unsupported_type_is_refused_at_load_with_its_place() -> None:
    def f(ctx, x: dict): ...

    with pytest.raises(TypeError, match=r"^parameter `x` of `f` has type dict, use one of str, int"):
        of(f)


@pytest.mark.parametrize("annotation", [int | str, list[list[int]], Any, 3, list[int | None]])
def test_other_types_are_refused(annotation: Any) -> None:
    def f(ctx, x): ...

    f.__annotations__["x"] = annotation
    with pytest.raises(TypeError, match="parameter `x` of `f` has type"):
        of(f)


def test_a_type_that_does_not_exist_is_told() -> None:
    def f(ctx, x: Missing): ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(TypeError, match="parameter `x` of `f`: Missing: name 'Missing' is not defined"):
        of(f)


def test_a_function_without_ctx_is_refused() -> None:
    def f(): ...
    def g(self): ...

    with pytest.raises(TypeError, match="`f` must take `ctx` as its first parameter"):
        of(f)
    with pytest.raises(TypeError, match="`g` must take `ctx` as its first parameter"):
        Signature.of(g, bound=True)


def test_double_star_is_refused() -> None:
    def f(ctx, **flags): ...

    with pytest.raises(TypeError, match=r"takes `\*\*flags`; name each flag"):
        of(f)


def test_a_list_must_be_the_last() -> None:
    def f(ctx, many: list[int], text: str): ...

    with pytest.raises(TypeError, match="parameter `many` of `f` takes all words, so it must be the last"):
        of(f)


# --- laws


@given(st.text())
def test_every_line_is_read_or_refused_in_words(line: str) -> None:
    for function in (weather, roll, units, nothing):
        try:
            of(function).parse(line)
        except UsageError as error:
            assert str(error)


@given(st.text(st.characters(codec="utf-8", exclude_characters="-—")))
def test_a_rest_without_dashes_is_the_line_itself(line: str) -> None:
    assert of(weather).parse(line)[0] == (line.strip(),)


@given(st.text())
def test_words_lie_in_order_and_hold_no_space_between(line: str) -> None:
    end = 0
    for word in words(line):
        assert not line[end : word.start].strip()
        end = word.end
    assert not line[end:].strip()


def test_a_signature_that_was_read_before_is_known_again() -> None:
    def f(ctx: object, place: str = "", *, days: int = 1) -> None: ...
    def g(ctx: object, place: str = "", *, days: int = 1) -> None: ...

    read = Signature.of(f, bound=False)
    assert Signature.known(g) is read


@pytest.mark.parametrize(
    "text",
    [
        "def g(ctx, spot: str = '', *, days: int = True): ...",  # equal, and another type
        "def g(ctx, spot: str = '', *, days: float = 1): ...",
        "def g(ctx, town: str = '', *, days: int = 1): ...",
        "def g(ctx, spot: str, *, days: int = 1): ...",
        "def g(ctx, spot: str = '', days: int = 1): ...",
        "int = str\ndef g(ctx, spot: str = '', *, days: int = 1): ...",  # another `int`
        "import functools\n@functools.wraps(len)\ndef g(ctx, spot: str = '', *, days: int = 1): ...",
    ],
)
def test_a_signature_that_differs_in_anything_is_not_known(text: str) -> None:
    scope: dict[str, Any] = {}
    exec("from __future__ import annotations\ndef f(ctx, spot: str = '', *, days: int = 1): ...", scope)
    Signature.of(scope["f"], bound=False)
    other: dict[str, Any] = {}
    exec(f"from __future__ import annotations\n{text}", other)
    assert Signature.known(other["g"]) is None
