"""The house as docs/architecture.md draws it, held by reading the imports and running the door."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import bot
import bot.live

ROOT = Path(bot.__file__).parents[1]
FILES = sorted(path.relative_to(ROOT / "bot") for path in (ROOT / "bot").rglob("*.py") if "bundled" not in path.parts)

FLOORS = {
    **dict.fromkeys(("errors", "config", "configfile", "configschema", "yamltree", "logs", "metrics", "atwork"), 0),
    **dict.fromkeys(("configjudge", "keys"), 0),
    "protocol": 1,
    "api": 2,
    "dispatch": 3,
    "live": 4,
    "deeds": 2,
    **dict.fromkeys(("app", "calls", "jobs"), 5),
    **dict.fromkeys(("networks", "speaker", "places", "announce", "waits", "manners"), 5),
    **dict.fromkeys(("chat", "care", "keepsakes"), 5),
    **dict.fromkeys(("control", "ctl"), 5),
    **dict.fromkeys(("handover", "packed"), 5),
    **dict.fromkeys(("ledger", "quarantine"), 5),
    **dict.fromkeys(("running", "worker", "reread", "standby"), 6),
    **dict.fromkeys(("check", "cli", "demo", "prompt", "server", "testing", "__main__", "terminal"), 6),
}
WINGS = {"wire": 2, "storage": 2, "web": 2}  # beside the floors: each may import floors up to this one

# Files that may import from a third-party package which has its place elsewhere, and why.
SECOND_PLACES = {
    ("pydantic", "api/settings.py"): "a plugin may write its settings as a model; imported when it does",
}
# Files that import besides what their floor allows, and why.
PERMITTED = {
    ("care.py", "app"): "as chat.py",
    ("chat.py", "app"): "the app is what the commands act on: under TYPE_CHECKING and inside functions only",
}
LONGEST = 450
TO_BE_SPLIT: dict[str, int] = {}  # longer than they should be; these numbers only go down

HEAVY = ("irc", "aiohttp", "rich", "typer", "yaml", "pydantic")


def tree(file: Path) -> ast.Module:
    return ast.parse((ROOT / "bot" / file).read_text(encoding="utf-8"))


def imports(node: ast.AST) -> Iterator[str]:
    """Every module imported anywhere below a node, with its full name."""
    for each in ast.walk(node):
        if isinstance(each, ast.Import):
            yield from (alias.name for alias in each.names)
        elif isinstance(each, ast.ImportFrom):
            assert not each.level, "imports inside the bot are absolute"
            module = each.module or ""
            yield from (f"bot.{alias.name}" for alias in each.names) if module == "bot" else (module,)


def at_once(file: Path) -> Iterator[str]:
    """What is imported when the file is: not in functions, not for the type checker alone."""

    def walk(nodes: list[ast.stmt]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                yield from walk(node.orelse)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                yield from imports(node)
            elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for part in ("body", "orelse", "finalbody"):
                    yield from walk(getattr(node, part, []))
                for handler in getattr(node, "handlers", []):
                    yield from walk(handler.body)

    yield from walk(tree(file).body)


def place(file: Path) -> str:
    """The floor's name: the folder, or the file directly in `bot/`."""
    return file.parts[0].removesuffix(".py")


def own(names: Iterator[str]) -> set[str]:
    """The names of the floors among what is imported."""
    found = {name.split(".")[1] for name in names if name.startswith("bot.")}
    return {name for name in found if name not in bot.__all__ or name in FLOORS or name in WINGS} - {"__version__"}


def may_import(importer: str, imported: str) -> bool:
    if importer == imported:
        return True
    if importer in WINGS:
        return FLOORS.get(imported, 99) <= WINGS[importer]
    if imported in WINGS:
        return FLOORS[importer] >= 5
    if FLOORS[importer] in (0, 5, 6):  # files of these floors stand beside each other
        return FLOORS[imported] <= FLOORS[importer]
    return FLOORS[imported] < FLOORS[importer]


# --- the floors


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_floor_imports_only_floors_below_it(file: Path) -> None:
    if place(file) == "__init__":
        return  # the door points at names, it builds on nothing
    above = {name for name in own(imports(tree(file))) if not may_import(place(file), name)}
    assert above - {name for where, name in PERMITTED if where == str(file)} == set()


def test_every_folder_and_file_of_bot_is_on_a_floor_or_a_wing() -> None:
    assert {place(file) for file in FILES} - FLOORS.keys() - WINGS.keys() == {"__init__"}


def test_the_door_draws_the_floors_as_they_are() -> None:
    drawn = re.findall(r"^    ([\w/ ]+?) {2,}(floor (\d)|wings)  ", bot.__doc__ or "", re.MULTILINE)
    floors = {name.strip("/"): int(number or -1) for names, _, number in drawn for name in names.split()}
    # Of config, and of the door itself.
    parts = {"configfile", "configjudge", "configschema", "yamltree", "__init__", "__main__"}
    assert floors == {name: FLOORS.get(name, -1) for name in map(place, FILES) if name not in parts}


def test_the_map_of_live_names_each_of_its_files_once() -> None:
    lines = (bot.live.__doc__ or "").splitlines()[2:]
    named = [name for line in lines for name in re.split(r" {3,}", line)[0].split(", ")]
    assert sorted(named) == sorted(file.stem for file in FILES if file.parts[0] == "live" and file.stem != "__init__")


def test_importing_a_file_never_goes_round_in_a_circle() -> None:
    edges = {
        ".".join(("bot", *file.with_suffix("").parts)).removesuffix(".__init__"): set(at_once(file)) for file in FILES
    }
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join((*path[path.index(module) :], module))
        if module not in done:
            for imported in edges.get(module, ()):
                visit(imported, (*path, module))
            done.add(module)

    for module in edges:
        visit(module, ())


def test_the_built_in_commands_know_the_app_only_by_its_type_or_while_they_run() -> None:
    assert "bot.app" not in {*at_once(Path("chat.py")), *at_once(Path("care.py"))}


@pytest.mark.parametrize("file", [file for file in FILES if file.parts[0] == "protocol"], ids=str)
def test_the_protocol_opens_nothing_awaits_nothing_and_asks_no_clock(file: Path) -> None:
    assert not {"asyncio", "socket", "ssl", "time", "datetime", "threading"} & set(imports(tree(file)))


def test_the_server_of_the_demo_knows_only_errors_and_the_protocol() -> None:
    known = {name for file in FILES if file.parts[0] == "server" for name in own(imports(tree(file)))}
    assert known == {"server", "errors", "protocol"}


def test_the_keeper_needs_the_standard_library_the_send_queue_and_its_own_wing() -> None:
    seen, todo = set[str](), ["bot.wire.keeper"]
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            found = set(imports(tree(Path(*module.split(".")[1:]).with_suffix(".py"))))
            todo += [name for name in found if name.startswith("bot.")]
            seen |= {name for name in found if name.split(".")[0] not in {"bot", *sys.stdlib_module_names}}
    assert {name for name in seen if not name.startswith("bot.wire.")} == {"bot.protocol.sendqueue"}


# --- third-party packages


def third_party() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for file in FILES:
        for name in imports(tree(file)):
            package = name.split(".")[0]
            if package not in sys.stdlib_module_names and package != "bot":
                found.setdefault(package, set()).add(str(file))
    return found


def test_each_third_party_package_is_imported_by_one_file() -> None:
    homes = {
        package: {file for file in files if (package, file) not in SECOND_PLACES}
        for package, files in third_party().items()
    }
    assert {package: files for package, files in homes.items() if len(files) > 1} == {}


def test_every_exception_is_still_in_use() -> None:
    packages = third_party()
    assert [pair for pair in SECOND_PLACES if pair[1] not in packages.get(pair[0], ())] == []
    assert [pair for pair in PERMITTED if pair[1] not in own(imports(tree(Path(pair[0]))))] == []


def test_every_third_party_package_is_a_declared_dependency() -> None:
    declared = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("[project.scripts]")[0]
    names = {"yaml": "pyyaml", "re2": "google-re2", "pytest_asyncio": "pytest-asyncio"}
    assert [name for name in third_party() if f'"{names.get(name, name)}' not in declared] == []


@pytest.mark.parametrize(("package", "file"), SECOND_PLACES, ids=str)
def test_a_package_with_a_second_place_is_imported_there_only_when_needed(package: str, file: str) -> None:
    assert package not in {name.split(".")[0] for name in at_once(Path(file))}


# --- files


def test_folders_are_never_deeper_than_two() -> None:
    assert [file for file in FILES if len(file.parts) > 2] == []


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_file_is_too_long_to_be_read(file: Path) -> None:
    lines = len((ROOT / "bot" / file).read_text(encoding="utf-8").splitlines())
    assert lines <= TO_BE_SPLIT.get(str(file), LONGEST)


def test_a_file_that_has_been_split_is_struck_off_the_list() -> None:
    long = {
        str(file) for file in FILES if len((ROOT / "bot" / file).read_text(encoding="utf-8").splitlines()) > LONGEST
    }
    assert long == TO_BE_SPLIT.keys()


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports them by their names alone, where their folders are no packages."""
    plain = [path.name for path in (ROOT / "tests").rglob("test_*.py") if not (path.parent / "__init__.py").exists()]
    assert sorted(plain) == sorted(set(plain))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_file_says_at_its_head_what_it_is(file: Path) -> None:
    assert ast.get_docstring(tree(file))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_no_file_has_a_name_that_says_nothing(file: Path) -> None:
    assert not {"manager", "helper", "helpers", "utils", "util", "core", "data"} & {
        part.removesuffix(".py") for part in file.parts
    }


# --- the door


def modules_after(*arguments: str) -> set[str]:
    """The top-level packages that a fresh interpreter has imported in the end."""
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return {line.rpartition("|")[2].strip().split(".")[0] for line in shown.stderr.splitlines() if "|" in line}


def test_the_door_alone_imports_none_of_the_heavy_packages() -> None:
    assert not modules_after("-c", "import bot; bot.__version__").intersection((*HEAVY, "asyncio"))


def test_asking_the_version_imports_none_of_the_heavy_packages() -> None:
    assert not modules_after("-m", "bot", "--version").intersection((*HEAVY, "asyncio"))


def test_the_configuration_as_values_imports_none_of_the_heavy_packages() -> None:
    assert not modules_after("-c", "import bot.config").intersection(HEAVY)


def test_a_worker_imports_neither_yaml_nor_pydantic_nor_http() -> None:
    assert not modules_after("-c", "import bot.app").intersection(("aiohttp", "rich", "typer", "yaml", "pydantic"))


def test_the_keepers_process_imports_nothing_but_the_standard_library_and_the_bot() -> None:
    known = modules_after("-c", "pass") | sys.stdlib_module_names | {"bot"}
    assert modules_after("-c", "import bot.wire.supervisor") - known == set()


@pytest.mark.parametrize("name", bot.__all__)
def test_every_name_of_the_door_leads_somewhere(name: str) -> None:
    assert getattr(bot, name) is not None


def test_a_name_that_is_not_there_is_answered_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match="no attribute 'plugin'; it offers Context, command, rule"):
        bot.plugin  # noqa: B018  # the access is the test


def test_the_type_checker_is_told_the_same_names_as_the_program() -> None:
    block = next(node for node in tree(Path("__init__.py")).body if isinstance(node, ast.If))
    typed = {
        alias.asname: f"{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == bot._WHERE


@pytest.mark.parametrize("name", sorted({*bot.__all__} - {"__version__"}))
def test_every_name_of_the_door_has_words_for_people(name: str) -> None:
    pages = [ROOT / "README.md", ROOT / "docs" / "plugins.md"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages if path.exists())
    if not re.search(rf"\b{name}\b", text) and not all(path.exists() for path in pages):
        pytest.skip("README.md or docs/plugins.md is not here")
    assert re.search(rf"\b{name}\b", text)


@pytest.mark.parametrize(
    "name",
    [
        mark.name
        for commands in import_module("bot.chat").CLASSES
        for each in vars(commands).values()
        for mark in import_module("bot.api.declare").declarations(each)
    ],
)
def test_every_built_in_command_has_words_for_people(name: str) -> None:
    pages = [path for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")) if path.exists()]
    text = "\n".join(path.read_text(encoding="utf-8") for path in pages)
    if f"!{name}" not in text and not (ROOT / "docs" / "plugins.md").exists():
        pytest.skip("docs/plugins.md is not here")
    assert re.search(rf"!{name}\b", text)


def test_the_table_of_floors_names_every_file_beside_the_folders() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1:3] for line in text.splitlines() if re.match(r"\| (\d|wings) \|", line)]
    named = {name: floor.strip() for floor, names in rows for name in re.findall(r"`(\w+)`", names)}
    files = {place(file) for file in FILES if len(file.parts) == 1} - {"__init__", "__main__"}
    assert files <= named.keys(), files - named.keys()
    assert {(name, FLOORS[name]) for name in files & FLOORS.keys() if named[name].isdigit()} <= {
        (name, int(floor)) for name, floor in named.items() if floor.isdigit()
    }
