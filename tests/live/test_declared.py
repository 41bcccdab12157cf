"""bot/live/declared.py: what a freshly executed plugin declares, checked before anything goes live."""

from __future__ import annotations

from types import ModuleType

import pytest
from sources import unit

from bot.dispatch.owner import Owner
from bot.errors import PluginError
from bot.live.declared import Found, find

HEAD = "from bot import command, every, job, on, rule, setup, start, teardown\n"


def found(text: str, name: str = "weather", **parts: str) -> Found:
    made = unit(name, HEAD + text, **parts)
    modules = {}
    for module_name, source in made.sources.items():
        module = modules[module_name] = ModuleType(module_name)
        exec(compile(source.content, "x", "exec", dont_inherit=True), module.__dict__)
    return find(made, modules, Owner(name))


def fault(text: str) -> str:
    with pytest.raises(PluginError) as caught:
        found(text)
    return str(caught.value)


# --- what counts


def test_declared_functions_are_handlers_in_the_order_of_the_file() -> None:
    text = "@command('b')\ndef b(ctx): ...\n@rule('x')\ndef r(ctx): ...\n@command('a')\ndef a(ctx): ..."
    assert [handler.key for handler in found(text).handlers] == ["weather.b", "weather.r", "weather.a"]
    assert found(text).commands == ("b", "a")


def test_a_function_may_be_several_handlers() -> None:
    both = found("@command('a')\n@on('join')\ndef f(ctx): ...").handlers
    assert [type(handler.declaration).__name__ for handler in both] == ["On", "Command"]


def test_each_mark_of_a_function_has_a_key_of_its_own() -> None:
    made = found("@every('5m')\n@every(cron='0 9 * * *')\n@job\n@command('a')\ndef f(ctx): ...")
    keys = [handler.key for handler in (*made.handlers, *made.later.values(), *made.jobs)]
    assert keys == ["weather.f", "weather.f.2", "weather.f.3", "weather.f.4"]
    assert list(made.later) == ["weather.f"]  # stored jobs find the function by its name


def test_parts_of_a_package_declare_too() -> None:
    assert found("", part=HEAD + "@command('a')\ndef f(ctx): ...").handlers[0].key == "weather.part.f"


def test_what_is_imported_from_elsewhere_is_not_declared_again() -> None:
    assert found("@command('a')\ndef f(ctx): ...\nf.__module__ = 'plugins.other'").handlers == ()


def test_what_is_not_marked_is_no_handler() -> None:
    assert found("def f(ctx): ...\nclass Module: ...\nx = 5").handlers == ()


def test_jobs_and_hooks_are_kept_apart() -> None:
    text = (
        "@every('5m')\ndef e(ctx): ...\n@job\ndef j(ctx, n): ...\n@setup\ndef s(ctx): ...\n@teardown\ndef t(ctx): ..."
    )
    made = found(text)
    assert [handler.key for handler in made.jobs] == ["weather.e"]
    assert list(made.later) == ["weather.j"]
    assert {kind: [hook.key for hook in hooks] for kind, hooks in made.hooks.items()} == {
        "setup": ["weather.s"],
        "teardown": ["weather.t"],
    }


@pytest.mark.parametrize(
    ("text", "is_async"),
    [("def f(ctx): ...", False), ("async def f(ctx): ...", True), ("async def f(ctx):\n    yield 'x'", True)],
)
def test_it_is_known_which_run_on_the_loop(text: str, is_async: bool) -> None:
    assert found(f"@command('a')\n{text}").handlers[0].is_async is is_async


def test_help_and_line_are_those_of_the_function() -> None:
    (handler,) = found('@command("a")\ndef f(ctx):\n    """Words.\n\n    More."""').handlers
    assert (handler.help, handler.line) == ("Words.\n\nMore.", 2)


def test_the_function_under_a_wrapper_gives_help_and_line() -> None:
    text = (
        "import functools\ndef wrap(f):\n    @functools.wraps(f)\n    def g(ctx): return f(ctx)\n    return g\n"
        '@command("a")\n@wrap\ndef f(ctx):\n    "Words."'
    )
    (handler,) = found(text).handlers
    assert (handler.help, handler.line) == ("Words.", 7)


# --- classes


def test_the_methods_of_a_module_class_are_handlers_of_one_object() -> None:
    text = """
class TestModule:
    made = 0
    def __init__(self):
        TestModule.made += 1
    @command("one")
    def one(self, ctx): return self
    @command("two")
    def two(self, ctx): return self
"""
    one, two = found(text).handlers
    assert one.function(None) is two.function(None) and one.function(None).made == 1
    assert one.key == "weather.TestModule.one"


def test_a_class_of_another_name_is_not_made() -> None:
    assert found("class Test:\n    @command('a')\n    def f(self, ctx): ...").handlers == ()


def test_a_class_that_declares_nothing_is_not_made() -> None:
    assert found("class BaseModule:\n    def __init__(self, needed): ...").handlers == ()


def test_methods_of_a_base_class_count() -> None:
    text = "class Base:\n    @command('a')\n    def f(self, ctx): ...\nclass MyModule(Base): ..."
    assert found(text).handlers[0].key == "weather.MyModule.f"


# --- mistakes


def test_a_command_that_stands_twice() -> None:
    text = "@command('a')\ndef f(ctx): ...\n@command('a')\ndef g(ctx): ..."
    assert fault(text) == "weather.py:4: !a stands here twice: weather.f, weather.g"


@pytest.mark.parametrize("text", ["def f(): ...", "def f(*, ctx): ...", "def f(**kw): ..."])
def test_a_handler_takes_ctx_first(text: str) -> None:
    assert fault(f"@command('a')\n{text}") == "weather.py:2: TypeError: f() must take ctx as its first argument"


def test_an_argument_of_a_type_that_nobody_can_type() -> None:
    assert fault("@command('a')\ndef f(ctx, x: dict): ...").startswith("weather.py:2: TypeError: ")


def test_an_annotation_that_leads_nowhere() -> None:
    assert fault("@command('a')\ndef f(ctx, x: 'Nothing'): ...").startswith("weather.py:2: ")


def test_a_limit_that_is_none() -> None:
    assert fault("@command('a', limit='3/soon')\ndef f(ctx): ...").startswith("weather.py:2: ValueError: `")
    assert fault("@command('a', limit='0/10s')\ndef f(ctx): ...").startswith("weather.py:2: ValueError: `0/10s`")


def test_a_field_that_an_event_lacks() -> None:
    assert fault("@on('join')\ndef f(ctx, text): ...") == (
        "weather.py:2: TypeError: the event join has no field 'text'; it has account, channel, nick, realname, user"
    )


@pytest.mark.parametrize(
    ("arguments", "wants"),
    [
        ("ctx", ()),
        ("ctx, nick", ("nick",)),
        ("ctx, channel, nick", ("channel", "nick")),
        ("ctx, other=5", ()),
        ("ctx, **fields", ("account", "channel", "nick", "realname", "user")),
    ],
)
def test_an_event_is_asked_for_the_fields_it_names(arguments: str, wants: tuple[str, ...]) -> None:
    assert found(f"@on('join')\ndef f({arguments}): ...").handlers[0].wants == wants


def test_a_numeric_has_its_parameters() -> None:
    assert found("@on(353)\ndef f(ctx, params): ...").handlers[0].wants == ("params",)


@pytest.mark.parametrize(
    ("pattern", "arguments", "fits"),
    [
        ("(a)(b)", "ctx, x, y", True),
        ("(a)(b)", "ctx, x, y=1", True),
        ("(a)(b)", "ctx, *all", True),
        ("(a)(b)", "ctx, x", False),
        ("(a)", "ctx, x, y", False),
        ("a", "ctx, x", False),
        ("a", "ctx", True),
        ("(?P<x>a)", "ctx, x", True),
        ("(?P<x>a)", "ctx, **all", True),
        ("(?P<x>a)", "ctx, y", False),
        ("(?P<x>a)", "ctx", False),
    ],
)
def test_the_groups_of_a_rule_fit_its_function(pattern: str, arguments: str, fits: bool) -> None:
    text = f"@rule({pattern!r})\ndef f({arguments}): ..."
    if fits:
        assert len(found(text).handlers) == 1
    else:
        assert fault(text).startswith("weather.py:2: TypeError: the ")


@pytest.mark.parametrize("cron", ["nonsense", "61 * * * *", "* * * *", ""])
def test_a_cron_line_that_is_none(cron: str) -> None:
    assert fault(f"@every(cron={cron!r})\ndef f(ctx): ...").startswith("weather.py:2: ")
