"""bot/check.py: plugin files looked at without a running bot."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest

from bot.check import TEMPLATE, check, unfit


def write(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))


def faults(*paths: Path, folder: Path) -> list[str]:
    return [fault.replace(f"{folder}/", "") for fault in check(paths)]


GOOD = "from bot import command\n@command('{0}')\ndef f(ctx): ..."


def test_good_plugins_have_no_faults(tmp_path: Path) -> None:
    write(tmp_path, a=GOOD.format("a"), b=GOOD.format("b"))
    assert check([tmp_path]) == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("x = 1\nif x\n", "a.py:2:5: SyntaxError: expected ':'"),
        ("\n1/0", "a.py:2:1: ZeroDivisionError: division by zero"),
        ("from bot import command\n@command('x')\ndef f(): ...", "a.py:2:1: TypeError: f() must take ctx"),
        ("raise SystemExit(0)", "a.py:1:1: SystemExit: 0"),
        ("import no_such_thing", "a.py:1:1: ModuleNotFoundError: No module named 'no_such_thing'; if it is a package"),
    ],
)
def test_a_fault_has_file_line_and_column(tmp_path: Path, text: str, fault: str) -> None:
    write(tmp_path, a=text)
    (found,) = faults(tmp_path, folder=tmp_path)
    assert found.startswith(fault)


def test_every_file_is_looked_at(tmp_path: Path) -> None:
    write(tmp_path, a="x =", b="y =", c=GOOD.format("c"))
    assert [fault.split(":")[0] for fault in faults(tmp_path, folder=tmp_path)] == ["a.py", "b.py"]


def test_one_file_is_looked_at_with_what_it_imports(tmp_path: Path) -> None:
    write(tmp_path, a="from plugins._common import x", b="y =", _common="x = 1")
    assert faults(tmp_path / "a.py", folder=tmp_path) == []
    write(tmp_path, _common="x = 1 / 0")
    assert faults(tmp_path / "a.py", folder=tmp_path) == ["_common.py:1:1: ZeroDivisionError: division by zero"]


def test_a_package_is_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "pkg", __init__="from . import part", part="x =")
    assert faults(tmp_path / "pkg", folder=tmp_path) == ["pkg/part.py:1:4: SyntaxError: invalid syntax"]


def test_a_command_of_two_plugins_is_told_at_the_second(tmp_path: Path) -> None:
    write(tmp_path, a=GOOD.format("roll"), b=GOOD.format("roll"))
    assert faults(tmp_path, folder=tmp_path) == ["b.py:2:1: !roll belongs to a; rename the command"]


def test_a_name_that_can_be_no_plugin_is_told(tmp_path: Path) -> None:
    (tmp_path / "my-plugin.py").write_text("")
    (fault,) = faults(tmp_path, folder=tmp_path)
    assert fault.startswith("my-plugin.py:1:1: ") and "rename the file" in fault


def test_looking_leaves_nothing_behind(tmp_path: Path) -> None:
    write(tmp_path, a="from bot import keep, store\nbox = keep('box', list)\ns = store('s')\ns['x'] = 1")
    before = set(sys.modules)
    assert check([tmp_path]) == []
    assert not {name for name in set(sys.modules) - before if name.startswith("plugins")}
    assert [path.name for path in tmp_path.iterdir()] == ["a.py"]


def test_the_template_is_a_good_plugin(tmp_path: Path) -> None:
    write(tmp_path, hello=TEMPLATE.replace("NAME", "hello"))
    assert check([tmp_path]) == []


def test_a_built_in_command_is_told(tmp_path: Path) -> None:
    write(tmp_path, a=GOOD.format("help"))
    assert faults(tmp_path / "a.py", folder=tmp_path) == [
        "a.py:2:1: !help belongs to the bot itself; rename the command"
    ]


def test_an_import_without_end_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.check.IMPORT_SECONDS", 0.05)
    write(tmp_path, a="while True: pass", b="x =")
    assert faults(tmp_path, folder=tmp_path) == [
        "a.py:1:1: the import took longer than 0.05 s",
        "b.py:1:4: SyntaxError: invalid syntax",
    ]


@pytest.mark.parametrize("name", ["hello", "a_1"])
def test_a_new_plugin_may_be_called_so(tmp_path: Path, name: str) -> None:
    assert unfit(name, tmp_path) == ""


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("_x", "can't be a plugin"),
        ("1a", "can't be a plugin"),
        ("a-b", "can't be a plugin"),
        ("class", "is a word of Python"),
        ("help", "help is the name of what is built in"),
        ("bot", "bot is the name of what is built in"),
        ("roll", "!roll belongs to dice"),
    ],
)
def test_a_new_plugin_can_not_be_called_so(tmp_path: Path, name: str, why: str) -> None:
    write(tmp_path, dice=GOOD.format("roll"))
    assert why in unfit(name, tmp_path)
