"""bot/live/imprint.py: what a generation changed in the process around it, and how that is undone."""

from __future__ import annotations

import builtins
import colorsys
import logging
import mimetypes
import string
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from bot.live.imprint import Imprint, _world, entry, imported

ORIGINAL = colorsys.rgb_to_hls


class Version:
    """One generation of a plugin whose code is executed bit by bit, as the loader and hooks do it."""

    def __init__(self, unit: str = "weather") -> None:
        self.module = ModuleType(f"plugins.{unit}")
        self.space = vars(self.module)
        self.imprint = Imprint(unit)
        self.space["__builtins__"] = {**vars(builtins), "__import__": self.import_}

    def import_(self, name: str, globals: Any = None, locals: Any = None, names: Any = (), level: int = 0) -> Any:
        found = __import__(name, globals, locals, names or (), level)
        imported(globals, name, found, names or ())
        return found

    def runs(self, text: str) -> Version:
        code = compile(text, "weather.py", "exec")
        self.imprint.runs(code, self.space)
        with entry(self.imprint):
            exec(code, self.space)
        return self

    def does(self, text: str) -> None:
        """Run code past every look, as a handler would."""
        exec(text, self.space)

    def undo(self) -> list[str]:
        return self.imprint.undo()


@pytest.fixture
def version() -> Iterator[Callable[..., Version]]:
    made: list[Version] = []

    def make(text: str, unit: str = "weather") -> Version:
        made.append(Version(unit))
        return made[-1].runs(text)

    yield make
    for one in made:
        one.undo()


Make = Callable[..., Version]
PATCH = "import colorsys\ndef mine(*a): ...\ncolorsys.rgb_to_hls = mine"


def test_a_patched_function_is_itself_again(version: Make) -> None:
    one = version(PATCH)
    assert colorsys.rgb_to_hls is one.space["mine"]
    assert one.undo() == ["colorsys.rgb_to_hls"]
    assert colorsys.rgb_to_hls is ORIGINAL


@pytest.mark.parametrize(
    ("text", "undone", "is_changed"),
    [
        ("import string\nstring.Formatter.format = lambda *a: 1", "string.Formatter.format", None),
        ("import builtins\nbuiltins.shout = print", "builtins.shout", lambda: hasattr(builtins, "shout")),
        ("import sys\nsys.displayhook = print", "sys.displayhook", lambda: sys.displayhook is print),
        ("import sys\nsys.path.insert(0, '/x')", "sys.path /x", lambda: "/x" in sys.path),
        ("import sys\nsys.setrecursionlimit(2345)", "setrecursionlimit(2345)", lambda: sys.getrecursionlimit() == 2345),
        (
            "import colorsys, functools\ncolorsys.rgb_to_hls = functools.partial(print)",
            "colorsys.rgb_to_hls",
            lambda: colorsys.rgb_to_hls is not ORIGINAL,
        ),
    ],
)
def test_other_changes(version: Make, text: str, undone: str, is_changed: Callable[[], bool] | None) -> None:
    formatting = string.Formatter.format
    one = version(text)
    assert is_changed() if is_changed else string.Formatter.format is not formatting
    assert one.undo() == [undone]
    assert not is_changed() if is_changed else string.Formatter.format is formatting


def test_a_logging_handler_is_taken_off_and_closed(version: Make) -> None:
    one = version("import logging\nhandler = logging.StreamHandler()\nlogging.getLogger('w').addHandler(handler)")
    assert one.space["handler"] in logging.getLogger("w").handlers
    (undone,) = one.undo()
    assert undone.startswith("the logging handler <StreamHandler") and logging.getLogger("w").handlers == []


def test_a_handler_that_was_taken_off_is_back(version: Make) -> None:
    mine = logging.NullHandler()
    logging.getLogger("w").addHandler(mine)
    one = version("import logging\nlogging.getLogger('w').handlers.clear()")
    assert logging.getLogger("w").handlers == []
    one.undo()
    assert logging.getLogger("w").handlers == [mine]
    logging.getLogger("w").removeHandler(mine)


def test_a_filter_of_warnings_goes(version: Make) -> None:
    before = list(warnings.filters)
    one = version("import warnings\nwarnings.filterwarnings('ignore', 'mine')")
    assert warnings.filters != before
    one.undo()
    assert warnings.filters == before


def test_what_is_registered_to_be_called_at_exit_is_so_no_more(version: Make) -> None:
    one = version(
        "import atexit\nclass C:\n def end(self): ...\nc = C()\natexit.register(c.end)\natexit.register(lambda: 0)"
    )
    assert one.undo() == ["what it had registered with atexit"]


def test_what_a_handler_patches_while_it_runs_is_found_at_the_end(version: Make) -> None:
    one = version("import colorsys\ndef mine(*a): ...")
    one.does("colorsys.rgb_to_hls = mine")
    assert one.undo() == ["colorsys.rgb_to_hls"]
    assert colorsys.rgb_to_hls is ORIGINAL


def test_what_a_library_does_to_itself_is_nobodys(version: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mimetypes, "_db", None)  # or an earlier use has left it nothing to do
    monkeypatch.setattr(mimetypes, "inited", False)
    one = version("import mimetypes\nmimetypes.guess_type('a.txt')")
    assert mimetypes.inited and one.undo() == []
    assert mimetypes.inited


def test_what_it_has_undone_by_itself_is_not_done_again(version: Make) -> None:
    one = version("import colorsys\noriginal = colorsys.rgb_to_hls\n" + PATCH)
    one.runs("colorsys.rgb_to_hls = original")
    assert one.undo() == []


def test_nothing_is_remembered_of_what_it_has_undone_by_itself(version: Make) -> None:
    one = version("import colorsys\noriginal = colorsys.rgb_to_hls\n" + PATCH)
    one.runs("colorsys.rgb_to_hls = original")
    assert all(_world.stacks.values())


def test_a_value_that_is_not_ours_any_more_stays(version: Make) -> None:
    one = version(PATCH)
    colorsys.rgb_to_hls = other = lambda *a: None  # type: ignore[assignment, misc]
    assert one.undo() == []
    assert colorsys.rgb_to_hls is other
    colorsys.rgb_to_hls = ORIGINAL


# --- several versions, several plugins


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["the older first", "the newer first"])
@pytest.mark.parametrize("other", ["weather", "news"])
def test_two_that_patch_the_same_leave_the_original(version: Make, order: tuple[int, int], other: str) -> None:
    both = [version(PATCH), version(PATCH, other)]
    both[order[0]].undo()
    remaining = both[order[1]]
    assert colorsys.rgb_to_hls is remaining.space["mine"]
    remaining.undo()
    assert colorsys.rgb_to_hls is ORIGINAL


@pytest.mark.parametrize("text", ["sys.path.insert(0, '/x')", "'/x' in sys.path or sys.path.insert(0, '/x')"])
def test_a_folder_that_every_version_adds_stays_once_until_the_last(version: Make, text: str) -> None:
    one = version("import sys\n" + text)
    for _ in range(3):
        new = version("import sys\n" + text)
        assert one.undo() == [] and sys.path.count("/x") == 1
        one = new
    assert one.undo() == ["sys.path /x"] and "/x" not in sys.path


def test_a_limit_that_the_new_version_sets_too_stays(version: Make) -> None:
    old, new = version("import sys\nsys.setrecursionlimit(2345)"), version("import sys\nsys.setrecursionlimit(2345)")
    assert old.undo() == [] and sys.getrecursionlimit() == 2345
    new.undo()
    assert sys.getrecursionlimit() != 2345


def test_a_change_that_the_new_version_does_not_make_any_more_goes(version: Make) -> None:
    old, _ = version("import sys\nsys.path.insert(0, '/x')"), version("import sys")
    assert old.undo() == ["sys.path /x"]


def test_undoing_twice_is_undoing_once(version: Make) -> None:
    one = version(PATCH)
    assert one.undo() and one.undo() == []
