"""A handler's signature is its grammar: read it once at load, then turn each chat line into its arguments.

    async def weather(ctx, place: str = "", *, days: int = 1, verbose: bool = False)

    usage                        [place] [--days N] [--verbose]
    Paris  (France)              place="Paris  (France)": the last `str` takes the rest of the line as it stands
    --days 3 Paris               flags stand before the rest ...
    Paris --days=3 --verbose     ... or behind it; in the middle of it they are text
    -- --days 3                  `--` ends the flags, what follows is text

Words are separated by white space. Double quotes, straight or typographic, make one word of several when they are
balanced (`"two words"`); apostrophes never quote, people write don't. Where a function declares no flags, `--` and
`--anything` are plain words. A function that takes nothing but `ctx` gets every line and may read `ctx.rest`.

What a line means is decided here; who may say it, how often, and how a mistake is answered is `dispatch/`. Types:
`str int float bool Literal[...] list[T]`, any of them `| None`, and `*words: T`.
"""

from __future__ import annotations

import inspect
import math
import re
import types
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Union, get_args, get_origin

from bot.errors import UsageError

MAX_DIGITS: Final = 4_000  # of a whole number; Python itself refuses 4,300, and printing one takes quadratic time
SHOWN: Final = 40  # characters of the chatter's own text in a complaint: the answer has to fit one line

_QUOTES: Final = '"“”„‟'
_WORD: Final = re.compile(rf"(?P<flag>--[^\s=]+=)?[{_QUOTES}](?P<quoted>[^{_QUOTES}]*)[{_QUOTES}](?!\S)|\S+")
_WHOLE: Final = re.compile(r"[+-]?[0-9]+")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_TRUTH: Final = dict.fromkeys(("yes", "y", "true", "on", "1"), True) | dict.fromkeys(
    ("no", "n", "false", "off", "0"), False
)


@dataclass(frozen=True, slots=True)
class Kind:
    """How one type reads a word: `convert` raises ValueError, and then `must` completes «`days` must be ...»."""

    must: str
    shown: str  # in the usage line, behind a flag
    convert: Callable[[str], Any]


def _whole(text: str) -> int:
    if not _WHOLE.fullmatch(text) or len(text.lstrip("+-")) > MAX_DIGITS:
        raise ValueError(text)
    return int(text)


def _number(text: str) -> float:
    if not _NUMBER.fullmatch(text) or not math.isfinite(value := float(text)):
        raise ValueError(text)
    return value


def _truth(text: str) -> bool:
    try:
        return _TRUTH[text.lower()]
    except KeyError:
        raise ValueError(text) from None


_KINDS: Final[Mapping[Any, Kind]] = {
    str: Kind("text", "TEXT", str),
    int: Kind("a whole number", "N", _whole),
    float: Kind("a number", "N", _number),
    bool: Kind("yes or no", "YES|NO", _truth),
}


def _choice(values: tuple[Any, ...]) -> Kind:
    """`Literal["metric", "imperial"]`: exact spelling first, then without regard to case."""
    exact = {str(value): value for value in reversed(values)}
    loose = {text.casefold(): value for text, value in exact.items()}

    def convert(text: str) -> Any:
        try:
            return exact[text] if text in exact else loose[text.casefold()]
        except KeyError:
            raise ValueError(text) from None

    names = [f"`{value}`" for value in values]
    must = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) > 1 else names[0]
    return Kind(must, "|".join(map(str, values)), convert)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a line: its value without quotes, and where it begins and ends in the line."""

    value: str
    start: int
    end: int
    quoted: bool
    flag: str = ""  # `--days=` in front of a quoted value


def words(text: str) -> list[Word]:
    """Cut a line into words; linear in its length."""
    found = []
    for match in _WORD.finditer(text):
        quoted = match["quoted"]
        value = match[0] if quoted is None else quoted
        found.append(Word(value, match.start(), match.end(), quoted is not None, match["flag"] or ""))
    return found


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a handler, as the chatter sees it."""

    name: str
    kind: Kind
    required: bool
    default: Any
    many: bool = False  # list[T] or *args
    spread: bool = False  # *args: the values become arguments one by one
    rest: bool = False  # the last `str`: the rest of the line

    def read(self, text: str) -> Any:
        """The value of one word.

        Raises:
            UsageError: «`days` must be a whole number, not `x`».
        """
        try:
            return self.kind.convert(text)
        except ValueError:
            pass
        shown = text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
        if self.kind.convert is _whole and _WHOLE.fullmatch(text):
            raise UsageError(f"`{self.name}` must have at most {MAX_DIGITS} digits, not {len(text)}")
        raise UsageError(f"`{self.name}` must be {self.kind.must}, not `{shown}`")

    @property
    def switch(self) -> bool:
        """A flag that takes no value: `--verbose`, `--no-verbose`."""
        return self.kind is _KINDS[bool] and not self.many

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    def usage(self, *, as_flag: bool) -> str:
        if not as_flag:
            # The choices of a Literal say more than its name.
            inner = self.kind.shown if "|" in self.kind.shown and not self.switch else self.name
            inner += "..." if self.many else ""
            return f"<{inner}>" if self.required else f"[{inner}]"
        if self.switch:
            inner = self.flag if self.default is not True else "--no-" + self.flag[2:]
        else:
            inner = f"{self.flag} {self.kind.shown}"
        return (inner if self.required else f"[{inner}]") + ("..." if self.many else "")


@dataclass(frozen=True, slots=True)
class Signature:
    """What a handler takes after `ctx`. Make it with `Signature.of` when the plugin loads."""

    places: tuple[Parameter, ...]
    flags: Mapping[str, Parameter]  # by flag, `--days`

    @classmethod
    def known(cls, function: Callable[..., Any]) -> Signature | None:
        """Return the signature of a function if one that is written just so was read before.

        A reload reads the signatures of all commands of a plugin, nearly all of which are as they were.
        """
        shape = _shape(function)
        return _known.get(shape) if shape is not None else None

    @classmethod
    def of(cls, function: Callable[..., Any], *, bound: bool, written: inspect.Signature | None = None) -> Signature:
        """Read a function's signature.

        Args:
            function: takes `ctx` first.
            bound: it was defined in a class and still has its `self` in front.
            written: its signature, where the caller has it already.

        Raises:
            TypeError: it can't take commands; says which parameter, and what to write instead.
        """
        name = getattr(function, "__name__", repr(function))
        parameters = list((written or inspect.signature(function)).parameters.values())
        for missing in ("self", "ctx") if bound and not inspect.ismethod(function) else ("ctx",):
            if not parameters or parameters[0].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
                raise TypeError(f"`{name}` must take `{missing}` as its first parameter")
            if parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
                del parameters[0]
        places: list[Parameter] = []
        flags: dict[str, Parameter] = {}
        for parameter in parameters:
            made = _parameter(function, name, parameter)
            if parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                flags[made.flag] = made
            elif places and places[-1].many and not made.spread:
                raise TypeError(f"parameter `{places[-1].name}` of `{name}` takes all words, so it must be the last")
            else:
                places.append(made)
        if places and places[-1].kind is _KINDS[str] and not places[-1].many:
            last = places[-1]
            places[-1] = Parameter(last.name, last.kind, last.required, last.default, rest=True)
        signature = cls(tuple(places), types.MappingProxyType(flags))
        if not bound and (shape := _shape(function)) is not None:
            if len(_known) >= MAX_KNOWN:
                _known.clear()
            _known[shape] = signature
        return signature

    @property
    def usage(self) -> str:
        """`<place> [--days N]`: without the prefix and the command's name; empty when it takes nothing."""
        shown = [place.usage(as_flag=False) for place in self.places]
        return " ".join(shown + [flag.usage(as_flag=True) for flag in self.flags.values()])

    def parse(self, text: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Turn the line behind the command's name into what follows `ctx` in the call.

        Raises:
            UsageError: a sentence for the chatter.
        """
        if not self.places and not self.flags:
            return (), {}
        return _Reading(self, text).result()


_known: Final[dict[Hashable, Signature]] = {}
MAX_KNOWN: Final = 1000
_PLAIN_NAMES: Final = frozenset({"str", "int", "float", "bool"})


def _shape(function: Callable[..., Any]) -> Hashable | None:
    """Return all of a function that its signature depends on, or None where that is more than meets the eye."""
    if type(function) is not types.FunctionType or not function.__dict__.keys().isdisjoint(_DISGUISES):
        return None
    code, notes, mine = function.__code__, function.__annotations__, function.__globals__
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & inspect.CO_VARARGS)]
    written = tuple(notes.get(name, "str") for name in names[1:])
    if code.co_argcount < 1 or code.co_flags & inspect.CO_VARKEYWORDS:
        return None
    if any(type(note) is not str or note not in _PLAIN_NAMES or note in mine for note in written):
        return None
    defaults = tuple((type(value), value) for value in function.__defaults__ or ())
    flags = tuple((name, type(value), value) for name, value in (function.__kwdefaults__ or {}).items())
    if any(kind not in _IMMUTABLE for kind, _ in defaults) or any(kind not in _IMMUTABLE for _, kind, _ in flags):
        return None
    return (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, names, written, defaults, flags)


_DISGUISES: Final = frozenset({"__wrapped__", "__signature__", "__text_signature__"})
_IMMUTABLE: Final = frozenset({str, int, float, bool, type(None)})


class _Reading:
    """One line being read: a walk over its words from the left, and for the rest also from the right."""

    def __init__(self, signature: Signature, text: str) -> None:
        self.signature, self.text = signature, text
        self.words = words(text)
        self.at = 0
        self.flagging = bool(signature.flags)
        self.given: dict[str, Any] = {}

    def result(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        arguments: list[Any] = []
        for place in self.signature.places:
            values = self.rest() if place.rest else self.take(place)
            if place.spread:
                arguments += values
            elif values:
                arguments.append(values if place.many else values[0])
            elif place.required:
                raise UsageError(f"`{place.name}` is missing")
            else:
                arguments.append(place.default)
        if (word := self.next()) is not None:
            raise UsageError(f"`{word.value[:SHOWN]}` is one word too many")
        return tuple(arguments), self.keywords()

    def take(self, place: Parameter) -> list[Any]:
        values: list[Any] = []
        while (place.many or not values) and (word := self.next()) is not None:
            values.append(place.read(word.value))
        return values

    def next(self) -> Word | None:
        """The next word that is not a flag; the flags on the way to it are taken."""
        while self.at < len(self.words):
            word = self.words[self.at]
            self.at += 1
            if not self.flagging or not self.is_flag(word):
                return Word(word.flag + word.value, word.start, word.end, word.quoted) if word.flag else word
            if _ends_flags(word):
                self.flagging = False
            else:
                self.read_flag(word)
        return None

    def read_flag(self, word: Word) -> None:
        written, equals, value = (word.flag + word.value).partition("=")
        parameter, negated = self.find(written)
        if parameter is None:
            known = ", ".join(self.signature.flags)
            raise UsageError(f"`{written[:SHOWN]}` is not a flag here; there is {known} (and `--` before plain text)")
        if not equals and not parameter.switch:
            if self.at == len(self.words):
                raise UsageError(f"`{parameter.flag}` needs a value")
            value = self.words[self.at].value
            self.at += 1
        self.put(parameter, negated, value if equals or not parameter.switch else None)

    def put(self, parameter: Parameter, negated: bool, value: str | None) -> None:
        read = True if value is None else parameter.read(value)
        if parameter.many:
            self.given.setdefault(parameter.name, []).append(read)
        else:
            self.given[parameter.name] = (not read) if negated else read

    def find(self, written: str) -> tuple[Parameter | None, bool]:
        flags = self.signature.flags
        # Telephones turn `--` into a dash.
        name = ("--" + written[1:] if written[:1] == "—" else written).replace("_", "-")
        if name in flags:
            return flags[name], False
        positive = flags.get("--" + name[5:]) if name.startswith("--no-") else None
        return (positive, True) if positive is not None and positive.switch else (None, False)

    def rest(self) -> list[str]:
        """The rest of the line as it stands, without the flags at its two ends; empty when there is none."""
        if self.next() is None:
            return []
        first = self.at - 1
        self.at = end = len(self.words)
        if any(map(_ends_flags, self.words[first:])):
            self.flagging = False
        behind: list[tuple[Parameter, bool, str | None]] = []
        # One word stays in any case: `next` has just said that it is no flag.
        while self.flagging and end - 1 > first and (flag := self.last_flag(first + 1, end)) is not None:
            end = flag[0]
            behind.append(flag[1:])
        for parameter, negated, value in reversed(behind):
            self.put(parameter, negated, value)
        return [self.text[self.words[first].start : self.words[end - 1].end]]

    def last_flag(self, start: int, end: int) -> tuple[int, Parameter, bool, str | None] | None:
        """The declared flag that ends just before word `end`: its first word, itself, negated, its value."""
        word = self.words[end - 1]
        if self.is_flag(word):
            written, equals, value = (word.flag + word.value).partition("=")
            parameter, negated = self.find(written)
            if parameter is not None and (equals or parameter.switch):
                return end - 1, parameter, negated, value if equals else None
        if end - 2 >= start and self.is_flag(before := self.words[end - 2]):
            parameter, negated = self.find(before.value)
            if parameter is not None and not parameter.switch:
                return end - 2, parameter, negated, word.value
        return None

    def is_flag(self, word: Word) -> bool:
        if word.quoted:
            return bool(word.flag)
        if word.value.startswith("—"):
            return self.find(word.value.partition("=")[0])[0] is not None
        return word.value.startswith("--")

    def keywords(self) -> dict[str, Any]:
        for flag, parameter in self.signature.flags.items():
            if parameter.required and parameter.name not in self.given:
                raise UsageError(f"`{flag}` is missing")
        return {flag.name: self.given.get(flag.name, flag.default) for flag in self.signature.flags.values()}


def _ends_flags(word: Word) -> bool:
    return word.value == "--" and not word.quoted


def _parameter(function: Callable[..., Any], owner: str, parameter: inspect.Parameter) -> Parameter:
    """Read one parameter; TypeError says what to write instead."""
    if parameter.kind is inspect.Parameter.VAR_KEYWORD:
        raise TypeError(f"`{owner}` takes `**{parameter.name}`; name each flag instead: `*, days: int = 1`")
    annotation = str if parameter.annotation is inspect.Parameter.empty else parameter.annotation
    if isinstance(annotation, str):
        # Only this parameter's: what stands at `ctx` and behind `->` may be known to the type checker alone.
        try:
            annotation = eval(annotation, getattr(inspect.unwrap(function), "__globals__", {}), {})
        except Exception as error:
            raise TypeError(f"parameter `{parameter.name}` of `{owner}`: {annotation}: {error}") from None
    spread = parameter.kind is inspect.Parameter.VAR_POSITIONAL
    wanted, optional = _without_none(annotation)
    many = spread
    if get_origin(wanted) is list and not spread:
        wanted, many = get_args(wanted)[0], True
    elif wanted is list and not spread:
        wanted, many = str, True
    kind = _choice(get_args(wanted)) if get_origin(wanted) is Literal else _kind(wanted)
    if kind is None:
        told = annotation.__name__ if isinstance(annotation, type) else annotation
        raise TypeError(
            f"parameter `{parameter.name}` of `{owner}` has type {told}, use one of str, int, float, bool, "
            "Literal[...], list[...] or one of these | None"
        )
    has_default = parameter.default is not inspect.Parameter.empty
    required = not (has_default or optional or spread)
    default = parameter.default if has_default else None
    return Parameter(parameter.name, kind, required, default, many=many, spread=spread)


def _kind(wanted: Any) -> Kind | None:
    return _KINDS.get(wanted) if isinstance(wanted, type) else None


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """`int | None` -> (int, True); a union of more than that is left as it is and refused later."""
    if get_origin(annotation) in (Union, types.UnionType):
        rest = [part for part in get_args(annotation) if part is not type(None)]
        if len(rest) == 1:
            return rest[0], True
    return annotation, False
