"""bot/live/loader.py: source bytes to fresh modules and handlers, beside the running ones."""

from __future__ import annotations

import ast
import builtins
import dataclasses
import gc
import inspect
import linecache
import sys
import traceback
import typing
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from sources import unit

from bot.dispatch.owner import current
from bot.errors import PluginError
from bot.live.compiled import Compiled, compile_unit
from bot.live.discover import Unit
from bot.live.handoff import Shelf, Staging
from bot.live.loader import Build, Image
from bot.live.names import install, publish, uninstall
from bot.storage import Backend


@pytest.fixture(autouse=True)
def names() -> Iterator[None]:
    install([])
    yield
    uninstall()


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend.memory()
    yield made
    made.close()


class Bench:
    """Builds units over those that it has built before."""

    def __init__(self, backend: Backend) -> None:
        self.shelf = Shelf(backend)
        self.live: dict[str, Image] = {}
        self.settings: dict[str, dict[str, Any]] = {}

    def build(self, *units: Unit) -> dict[str, Image]:
        compiled = {one.name: compile_unit(one) for one in units}
        assert [one.error for one in compiled.values() if one.error] == []
        staging = Staging(self.shelf, {name: one.state_name for name, one in compiled.items()})
        images = Build(compiled, self.live, staging, lambda name: self.settings.get(name, {}), 5.0).run()
        staging.commit()
        self.live = {**self.live, **images}
        return images

    def module(self, text: str, name: str = "weather", **parts: str) -> Any:
        return self.build(unit(name, text, **parts))[name].modules[f"plugins.{name}"]

    def fault(self, *units: Unit) -> PluginError:
        before = dict(sys.modules)
        with pytest.raises(PluginError) as caught:
            self.build(*units)
        assert {name for name in sys.modules if name.startswith("plugins")} == {
            name for name in before if name.startswith("plugins")
        }
        return caught.value


@pytest.fixture
def bench(backend: Backend) -> Bench:
    return Bench(backend)


# --- compiling


def fault_of(text: str) -> tuple[str, int, int, str]:
    error = compile_unit(unit("weather", text)).error
    assert error is not None
    return error.path, error.line, error.column, error.text


def test_a_syntax_error_is_told_with_its_place() -> None:
    assert fault_of("x = 1\nif x\n    pass") == ("weather.py", 2, 5, "SyntaxError: expected ':'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\tif 1:\n        x\n\ty", "Error: "),
        ("x = '\0'", "source code string cannot contain null bytes"),
        ("# coding: nonsense\n", "unknown encoding: nonsense"),
        ("(" * 500 + ")" * 500, "too many nested parentheses"),
        ("return 5", "'return' outside function"),
        ("await x", "'await' outside function"),
    ],
)
def test_whatever_the_compiler_refuses_is_a_fault_of_the_file(text: str, words: str) -> None:
    assert words in fault_of(text)[3]


def test_a_part_of_a_package_is_named_by_its_own_path() -> None:
    error = compile_unit(unit("pkg", "", part="x =")).error
    assert error is not None and (error.plugin, error.path) == ("pkg", "pkg/part.py")


def test_what_is_imported_is_known_even_when_another_part_is_broken() -> None:
    compiled = compile_unit(unit("pkg", "from plugins import _common", part="x ="))
    assert compiled.error and compiled.imports == {"_common"}


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("STATE_NAME = 'old'", "old"),
        ("", "weather"),
        ("STATE_NAME = 5", "weather"),
        ("STATE_NAME = 'a' + 'b'", "weather"),
        ("if 1:\n    STATE_NAME = 'no'", "weather"),
    ],
)
def test_the_name_of_the_state_is_read_from_the_source(text: str, name: str) -> None:
    assert compile_unit(unit("weather", text)).state_name == name


def test_a_unit_that_could_not_be_read_is_a_fault() -> None:
    made = unit("weather", "")
    error = compile_unit(dataclasses.replace(made, fault="weather.py: Permission denied")).error
    assert str(error) == "weather.py: Permission denied"


def test_no_flag_of_this_file_reaches_a_plugin(bench: Bench) -> None:
    assert bench.module("def f(x: int): ...").f.__annotations__ == {"x": int}


# --- modules


def test_every_build_makes_new_modules(bench: Bench) -> None:
    first = bench.module("x = 1\ngone = 1")
    second = bench.module("x = 2")
    assert first is not second and not hasattr(second, "gone")


def test_a_module_looks_as_an_imported_one_does(bench: Bench) -> None:
    module = bench.module('"""Words."""\nimport sys\nme = sys.modules[__name__]')
    assert (module.__name__, module.__package__, module.__file__) == (
        "plugins.weather",
        "plugins",
        "/plugins/weather.py",
    )
    assert module.me is module and module.__doc__ == "Words."
    assert module.__spec__.name == "plugins.weather"


def test_a_package_looks_as_an_imported_one_does(bench: Bench) -> None:
    module = bench.module("from . import part", "pkg", part="x = 1")
    assert module.__package__ == "plugins.pkg" and module.__path__ == ["/plugins/pkg"]
    assert module.part.__package__ == "plugins.pkg"


@pytest.mark.parametrize(
    "text",
    [
        "import dataclasses\n@dataclasses.dataclass\nclass A:\n    x: 'int' = 1",
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n@dataclass(slots=True)\nclass A:\n    x: int",
        "import typing\nclass A(typing.NamedTuple):\n    x: int",
        "import enum\nclass A(enum.Enum):\n    x = 1",
        "import typing\nclass B: ...\ndef f(x: 'B'): ...\nA = typing.get_type_hints(f)['x']",
    ],
)
def test_what_looks_its_module_up_by_name_finds_it(bench: Bench, text: str) -> None:
    assert bench.module(text).A.__module__ == "plugins.weather"


def test_after_the_build_nothing_of_it_is_in_sys_modules(bench: Bench) -> None:
    bench.module("import plugins.weather")
    assert "plugins.weather" not in sys.modules


def test_after_a_build_the_live_module_is_there_again(bench: Bench) -> None:
    images = bench.build(unit("weather", "x = 1"))
    publish(images, (), images)
    bench.fault(unit("weather", "raise ValueError"))
    assert sys.modules["plugins.weather"] is images["weather"].modules["plugins.weather"]


def test_what_a_plugin_takes_out_of_sys_modules_is_there_again(bench: Bench) -> None:
    before = dict(sys.modules)
    try:
        bench.module("import sys\nsys.modules.clear()")
        assert sys.modules == before
    finally:
        sys.modules.update(before)


def test_another_import_function_lasts_no_longer_than_the_build(bench: Bench) -> None:
    before = builtins.__import__
    try:
        bench.module("import builtins\nbuiltins.__import__ = None")
        assert builtins.__import__ is before
    finally:
        builtins.__import__ = before


# --- imports between plugins


def test_plugins_share_a_module_that_they_import(bench: Bench) -> None:
    images = bench.build(
        unit("_common", "box = []"),
        unit("a", "from plugins import _common"),
        unit("b", "from ._common import box"),
    )
    common = images["_common"].modules["plugins._common"]
    assert images["a"].modules["plugins.a"]._common is common
    assert images["b"].modules["plugins.b"].box is common.box


def test_what_is_not_built_anew_is_imported_as_it_is_live(bench: Bench) -> None:
    common = bench.build(unit("_common", "x = 1"))["_common"].modules["plugins._common"]
    assert bench.module("import plugins._common as c\nc = c").c is common


@pytest.mark.parametrize(
    "text",
    [
        "import plugins.pkg.part\np = plugins.pkg.part",
        "from plugins.pkg import part as p",
        "from .pkg import part as p",
    ],
)
def test_parts_are_imported_in_every_way(bench: Bench, text: str) -> None:
    assert bench.build(unit("pkg", "", part="x = 1"), unit("a", text))["a"].modules["plugins.a"].p.x == 1


def test_an_import_inside_a_function_sees_its_own_generation_for_ever(bench: Bench) -> None:
    reader = "def read():\n    from plugins import _common\n    return _common.x"
    old = bench.build(unit("_common", "x = 1"), unit("a", reader))["a"].modules["plugins.a"]
    new = bench.build(unit("_common", "x = 2"), unit("a", reader))["a"].modules["plugins.a"]
    publish(bench.live, (), bench.live)
    assert (old.read(), new.read()) == (1, 2)


def test_a_star_takes_what_all_names(bench: Bench) -> None:
    images = bench.build(
        unit("pkg", "__all__ = ['part', 'x']\nx = 1", part="y = 2"), unit("a", "from plugins.pkg import *")
    )
    module = images["a"].modules["plugins.a"]
    assert (module.x, module.part.y) == (1, 2)


def test_a_circle_of_imports_works_as_in_python(bench: Bench) -> None:
    images = bench.build(
        unit("a", "import plugins.b\nx = 1\ndef f():\n    return plugins.b.y"), unit("b", "import plugins.a\ny = 2")
    )
    assert images["a"].modules["plugins.a"].f() == 2


def test_a_name_that_is_not_there_is_said_in_pythons_words(bench: Bench) -> None:
    error = bench.fault(unit("a", "\nimport plugins.nothing"))
    assert str(error) == "a.py:2: ModuleNotFoundError: No module named 'plugins.nothing'"


def test_a_package_that_is_not_installed_is_told_with_the_command_that_mends_it(bench: Bench) -> None:
    error = bench.fault(unit("a", "import no_such_package.part"))
    assert error.text.endswith("No module named 'no_such_package'; if it is a package: pip install no_such_package")


def test_a_name_that_a_module_lacks_is_an_import_error(bench: Bench) -> None:
    error = bench.fault(unit("_common", ""), unit("a", "from plugins._common import x"))
    assert (error.path, error.line) == ("a.py", 1) and "cannot import name 'x'" in error.text


# --- faults


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("x", "NameError: name 'x' is not defined"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise BaseException('odd')", "BaseException: odd"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("class E(Exception):\n    def __str__(self): 1/0\nraise E", "E: (its text can't be shown)"),
        ("from bot import command\n@command('a b')\ndef f(ctx): ...", "ValueError: 'a b' can't be a command"),
        ("from bot import rule\n@rule('(')\ndef f(ctx): ...", "ValueError: '(' is not a regular expression"),
        ("from bot import plugin", "ImportError: cannot import name 'plugin' from 'bot'"),
        ("def f(): f()\nf()", "RecursionError: maximum recursion depth exceeded"),
    ],
)
def test_whatever_leaves_a_module_is_a_fault_of_the_plugin(bench: Bench, text: str, words: str) -> None:
    error = bench.fault(unit("weather", text))
    assert error.plugin == "weather" and error.text.startswith(words)


def test_a_long_text_of_an_error_is_cut(bench: Bench) -> None:
    assert bench.fault(unit("weather", "raise ValueError('x' * 1000)")).text == f"ValueError: {'x' * 300}..."


def test_a_fault_is_placed_at_the_innermost_line_of_a_plugin(bench: Bench) -> None:
    error = bench.fault(unit("_common", "def f():\n\n    int('x')"), unit("a", "from ._common import f\n\n\nf()"))
    assert (error.plugin, error.path, error.line) == ("a", "_common.py", 3)


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (
            "from .b import V",
            "ImportError: cannot import name 'V' from 'plugins.b'; they import each other: b -> a -> b",
        ),
        (
            "from . import b; b.V",
            "AttributeError: module 'plugins.b' has no attribute 'V'; they import each other: b -> a -> b",
        ),
    ],
)
def test_a_name_that_a_circle_of_imports_has_not_got_yet_is_told_with_the_circle(
    bench: Bench, first: str, words: str
) -> None:
    error = bench.fault(unit("b", "from . import a\nV = 1"), unit("a", first))
    assert (error.path, error.line, error.text) == ("a.py", 1, words)


def test_a_name_that_a_whole_module_has_not_got_is_told_without_its_place_on_disk(bench: Bench) -> None:
    error = bench.fault(unit("a", "from .b import V"), unit("b", ""))
    assert error.text == "ImportError: cannot import name 'V' from 'plugins.b'"


def test_a_fault_in_what_is_imported_is_of_the_importers_group(bench: Bench) -> None:
    error = bench.fault(unit("_common", "\n1/0"), unit("a", "from . import _common"))
    assert (error.path, error.line) == ("_common.py", 2)


def test_two_declared_functions_of_one_name_are_a_fault(bench: Bench) -> None:
    text = "from bot import command\n@command('a')\ndef f(ctx): ...\n@command('b')\ndef f(ctx): ..."
    assert str(bench.fault(unit("weather", text))) == "weather.py:4: f is declared twice; the first is in line 2"


# --- what plugins find while they run


def test_keep_and_settings_are_those_of_the_plugin(bench: Bench) -> None:
    bench.settings = {"weather": {"units": "us"}}
    text = "from bot import keep, settings\nasked = keep('asked', dict)\noptions = settings()"
    first, second = bench.module(text), bench.module(text)
    assert first.asked is second.asked and first.options["units"] == "us"


def test_the_owner_is_known_while_a_module_runs_and_not_after(bench: Bench) -> None:
    module = bench.module("from bot.dispatch.owner import current\nowner = current.get()")
    assert module.owner is bench.live["weather"].owner
    assert current.get() is None


def test_a_shared_module_has_no_owner(bench: Bench) -> None:
    assert bench.build(unit("_common", "x = 1"))["_common"].owner is None


def test_the_doc_of_the_file_is_the_help_of_the_plugin(bench: Bench) -> None:
    assert bench.build(unit("weather", '"""\nWeather.\n"""'))["weather"].doc == "Weather."


# --- tracebacks


def test_a_trace_out_of_an_old_version_shows_the_lines_that_ran(bench: Bench) -> None:
    old = bench.module("def f():\n    raise ValueError  # old")
    bench.module("def f():\n    raise ValueError  # new")
    try:
        old.f()
    except ValueError as error:
        shown = "".join(traceback.format_exception(error))
    linecache.checkcache()
    assert "raise ValueError  # old" in shown and "/plugins/weather.py@" in shown


def test_the_source_of_a_function_can_be_read(bench: Bench) -> None:
    assert inspect.getsource(bench.module("def f():\n    return 5\n").f) == "def f():\n    return 5\n"


def test_a_version_that_nobody_holds_is_forgotten_with_its_lines(bench: Bench) -> None:
    module = bench.module("def f(): ...")
    name, gone = module.f.__code__.co_filename, weakref.ref(module)
    assert name in linecache.cache
    bench.live.clear()
    del module
    gc.collect()
    assert gone() is None and name not in linecache.cache


def test_an_old_version_does_not_keep_the_one_before_it(bench: Bench) -> None:
    first = weakref.ref(bench.module("import plugins.weather\ndef f(): ..."))
    for number in range(3):
        bench.module(f"import plugins.weather\ndef f(): return {number}")
    gc.collect()
    assert first() is None


def test_hints_of_a_live_function_are_found(bench: Bench) -> None:
    module = bench.module("from __future__ import annotations\nclass A: ...\ndef f(x: A): ...")
    assert typing.get_type_hints(module.f) == {"x": module.A}


def test_a_compiled_unit_is_a_plain_value() -> None:
    assert dataclasses.is_dataclass(Compiled) and compile_unit(unit("a", "x = 1")).codes.keys() == {"plugins.a"}


# --- shared packages that are live


def test_a_part_of_a_live_package_that_nobody_had_imported_is_executed_in_that_package(backend: Backend) -> None:
    bench = Bench(backend)
    lib = unit("_lib", "box = []", red="", blue="from . import box\nbox.append('blue')")
    bench.build(lib, unit("a", "import plugins._lib.red"))
    publish(bench.live, (), bench.live)
    made = bench.build(unit("b", "from plugins._lib import blue, box"))["b"].modules["plugins.b"]
    assert made.box is bench.live["_lib"].modules["plugins._lib"].box and made.box == ["blue"]
    assert sys.modules["plugins._lib.blue"] is made.blue


def test_a_part_that_fails_later_leaves_no_name(backend: Backend) -> None:
    bench = Bench(backend)
    bench.build(unit("_lib", "", red="", blue="1/0"), unit("a", "import plugins._lib.red"))
    publish(bench.live, (), bench.live)
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        bench.build(unit("b", "import plugins._lib.blue"))
    assert "plugins._lib.blue" not in sys.modules


def test_a_dotted_import_of_a_live_package_names_the_whole_way(backend: Backend) -> None:
    bench = Bench(backend)
    bench.build(unit("_lib", "", red="word = 'red'"), unit("a", "import plugins._lib.red"))
    made = bench.build(unit("a", "import plugins._lib.red\nword = plugins._lib.red.word"))["a"]
    assert made.modules["plugins.a"].word == "red"


def test_what_has_ended_is_forgotten_though_a_shared_module_of_its_build_lives_on(backend: Backend) -> None:
    bench = Bench(backend)
    first = bench.build(unit("_lib", "word = 1"), unit("a", "from plugins._lib import word\ndef f(): ..."))["a"]
    function = weakref.ref(first.modules["plugins.a"].f)
    bench.build(unit("a", "from plugins._lib import word"))
    assert first.build is not None
    first.build.forget("a")
    del first
    gc.collect()
    assert function() is None and "_lib" in bench.live


# --- decorators of others


def test_a_command_in_a_wrapper_of_a_shared_module_is_the_plugins(backend: Backend) -> None:
    bench = Bench(backend)
    deco = unit("_deco", "def logged(f):\n    def inner(ctx): return f(ctx)\n    return inner")
    text = "from bot import command\nfrom plugins._deco import logged\n@command('x')\n@logged\ndef x(ctx): return 'x'"
    (handler,) = bench.build(deco, unit("a", text))["a"].handlers
    assert (handler.key, handler.function(None)) == ("a.x", "x")


def test_a_command_that_is_imported_stays_its_plugins_alone(backend: Backend) -> None:
    bench = Bench(backend)
    first = unit("a", "from bot import command\n@command('x')\ndef x(ctx): ...")
    images = bench.build(first, unit("b", "from plugins.a import x"))
    assert [len(images[name].handlers) for name in "ab"] == [1, 0]


def test_a_plugin_that_replaces_import_does_not_break_what_is_loaded_after_it(bench: Bench, monkeypatch: Any) -> None:
    import builtins

    monkeypatch.setattr(builtins, "__import__", builtins.__import__)  # put back afterwards
    bench.module("import builtins\ndef no(*a): raise OSError\nbuiltins.__import__ = no", "bad")
    try:
        assert bench.module("import colorsys\nfrom xml import sax\nvalue = colorsys", "good").value
    finally:
        monkeypatch.undo()


def test_what_is_imported_from_outside_is_written_down(bench: Bench) -> None:
    module = bench.module("import json.decoder\nfrom xml import sax\nfrom . import _common", _common="import csv")
    assert module.__dict__["__builtins__"]["__import__"].__self__.outside == {"json.decoder", "xml", "csv"}


def test_a_tree_that_python_has_lost_count_of_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.11 does when another tree is made meanwhile; the author of a good file would be told of it."""
    parse, lost = ast.parse, [SystemError("AST constructor recursion depth mismatch")]

    def once(*arguments: Any) -> ast.Module:
        if lost:
            raise lost.pop()
        return parse(*arguments)

    monkeypatch.setattr("bot.live.compiled.ast.parse", once)
    assert compile_unit(unit("todo", "STATE_VERSION = 3")).state_version == 3 and not lost
