"""bot/live/state.py: how kept values pass to a new version, with real builds."""

from __future__ import annotations

import sys
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from sources import unit

from bot.api.kept import keep
from bot.dispatch.relay import Relay
from bot.errors import PluginError
from bot.live.compiled import compile_unit
from bot.live.handoff import Shelf, Staging
from bot.live.loader import Image
from bot.live.names import install, uninstall
from bot.live.state import Takeover, bring_over, copied, migrated
from bot.storage import Backend

KEEP = "from bot import keep\ntasks = keep('tasks', dict)\n"
TASK = "from dataclasses import dataclass\n@dataclass\nclass Task:\n text: str\n"
MIGRATE = "def migrate(old, state):\n state['tasks']['from'] = old\n return state\n"


class Kept:
    """A shelf and the versions that are committed over it."""

    def __init__(self) -> None:
        self.backend = Backend.memory()
        self.shelf = Shelf(self.backend)
        self.live: dict[str, Image] = {}
        self.staging = Staging(self.shelf, {})

    def build(self, *texts: str, **units: str) -> dict[str, Image]:
        """Build versions of `todo`, or of units by name; nothing is committed."""
        made = {"todo": "\n".join(texts)} if texts else units
        compiled = {name: compile_unit(unit(name, text)) for name, text in made.items()}
        for one in compiled.values():
            if one.error is not None:
                raise one.error
        self.staging = Staging(self.shelf, {name: one.state_name for name, one in compiled.items()}, compiled)
        self.takeover = Takeover(compiled, self.live, self.staging, lambda plugin: {}, 5.0)
        return self.takeover.run()

    def commit(self, *texts: str, **units: str) -> Any:
        """Build and commit; return the module of the plugin."""
        images = self.build(*texts, **units)
        self.live |= images
        self.staging.commit()
        return next(iter(images[list(images)[-1]].modules.values()))

    @property
    def word(self) -> str:
        return self.staging.state_of("todo")

    @property
    def values(self) -> dict[str, Any]:
        return self.shelf.values["todo"]


@pytest.fixture
def held() -> Iterator[Kept]:
    install([])
    made = Kept()
    yield made
    made.backend.close()
    uninstall()


# --- migrated


def test_migrate_gets_a_copy_and_the_old_version() -> None:
    values = {"tasks": {"a": [1]}}

    def migrate(old: int, state: dict[str, Any]) -> dict[str, Any]:
        state["tasks"]["a"].append(old)
        return {"todo": state.pop("tasks")}

    assert migrated(migrate, 3, values) == {"todo": {"a": [1, 3]}}
    assert values == {"tasks": {"a": [1]}}


def test_migrate_may_change_what_it_is_given_and_return_nothing() -> None:
    assert migrated(lambda old, state: state.update(b=[2]), 1, {"a": [1]}) == {"a": [1], "b": [2]}


@pytest.mark.parametrize(
    ("result", "words"),
    [
        ([], "migrate returns the dict of all kept values by name, not list"),
        ({1: []}, "migrate returns the dict of all kept values by name, not dict"),
        ({"n": 7}, 'migrate returned int for "n": keep a dict or list'),
        ({"n": None}, 'migrate returned NoneType for "n"'),
    ],
)
def test_what_keep_could_not_hold_is_refused(result: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        migrated(lambda old, state: result, 1, {"a": []})


def test_a_migrate_that_would_have_to_be_awaited_is_refused() -> None:
    async def migrate(old: int, state: dict[str, Any]) -> dict[str, Any]:
        return state

    with pytest.raises(TypeError, match="write `def`"):
        migrated(migrate, 1, {"a": []})


def test_what_belongs_to_a_library_is_not_copied() -> None:
    lock = threading.Lock()
    values: dict[str, Any] = {"a": {"lock": lock, "n": [1]}}
    copy = copied(values)
    assert copy["a"]["lock"] is lock and copy["a"]["n"] == [1] and copy["a"]["n"] is not values["a"]["n"]


# --- a version step


def test_values_without_a_version_step_are_the_same_objects(held: Kept) -> None:
    before = held.commit(KEEP).tasks
    assert held.commit(KEEP, "x = 1").tasks is before and held.word == "kept"


def test_a_version_step_hands_out_what_migrate_returned(held: Kept) -> None:
    old = held.commit(KEEP).tasks
    old["n"] = 7
    new = held.commit("STATE_VERSION = 2", KEEP, "begun = dict(tasks)", MIGRATE)
    assert new.tasks == {"n": 7, "from": 1} == new.begun and new.tasks is held.values["tasks"]
    assert (held.word, held.shelf.versions["todo"], old) == ("migrated", 2, {"n": 7})


def test_migrate_is_called_once_a_commit(held: Kept) -> None:
    held.commit(KEEP).tasks["called"] = 0
    text = KEEP + "def migrate(old, state):\n state['tasks']['called'] += 1\n"
    assert held.commit("STATE_VERSION = 2", text).tasks["called"] == 1
    assert held.commit("STATE_VERSION = 2", text).tasks["called"] == 1 and held.word == "kept"


def test_the_old_version_keeps_its_values_if_migrate_raises(held: Kept) -> None:
    old = held.commit(KEEP).tasks
    old["n"] = 7
    broken = "def migrate(old, state):\n state['tasks'].clear()\n 1/0\n"
    with pytest.raises(PluginError) as refusal:
        held.build("STATE_VERSION = 2", KEEP, broken)
    assert str(refusal.value) == "todo.py:7: migrate: ZeroDivisionError: division by zero"
    assert held.values["tasks"] is old and old == {"n": 7} and held.shelf.versions["todo"] == 1


def test_migrate_that_returns_nonsense_is_told_with_its_line(held: Kept) -> None:
    held.commit(KEEP).tasks["n"] = 7
    with pytest.raises(PluginError, match=r"^todo\.py:5: migrate: TypeError: migrate returns the dict"):
        held.build("STATE_VERSION = 2", KEEP, "def migrate(old, state):\n return 7")


def test_the_old_version_keeps_its_values_if_the_build_fails_after_migrate(held: Kept) -> None:
    old = held.commit(KEEP).tasks
    old["n"] = 7
    with pytest.raises(PluginError, match="ZeroDivisionError"):
        held.build("STATE_VERSION = 2", KEEP, MIGRATE, "1 / (2 - len(tasks))")
    assert held.values["tasks"] is old and old == {"n": 7}


def test_migrate_may_use_what_stands_below_it_and_in_shared_modules(held: Kept) -> None:
    held.commit(KEEP).tasks["n"] = 7
    text = "from ._common import V\ndef migrate(old, state):\n state['tasks']['v'] = V + below()\ndef below(): return 1"
    new = held.commit(_common="V = 4", todo=f"STATE_VERSION = 2\n{KEEP}{text}")
    assert new.tasks == {"n": 7, "v": 5}


def test_a_neighbour_without_a_step_is_executed_once_and_keeps_its_objects(
    held: Kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "runs", [], raising=False)
    other = f"import sys\nfrom ._common import V\n{KEEP}sys.runs.append(V)"
    before = held.commit(_common="V = 1", other=other)
    held.commit(todo=KEEP).tasks["n"] = 7
    todo = f"from ._common import V\nSTATE_VERSION = 2\n{KEEP}{MIGRATE}"
    after = held.commit(_common="V = 2", todo=todo, other=other)
    assert after.tasks is before.tasks and vars(sys)["runs"] == [1, 2]


def test_images_that_were_only_rehearsed_are_named(held: Kept) -> None:
    held.commit(KEEP).tasks["n"] = 7
    held.build("STATE_VERSION = 2", KEEP, MIGRATE)
    assert list(held.takeover.rehearsed) == ["todo"]


def test_without_migrate_another_version_begins_anew_and_says_so(held: Kept) -> None:
    old = held.commit(KEEP).tasks
    old["n"] = 7
    assert held.commit("STATE_VERSION = 2", KEEP).tasks == {} and held.word == "reset"
    assert old == {"n": 7}


def test_without_values_there_is_nothing_to_migrate(held: Kept) -> None:
    held.commit("x = 1")
    assert held.commit("STATE_VERSION = 2", KEEP, MIGRATE).tasks == {}
    assert (held.word, held.shelf.versions["todo"]) == ("", 2)


def test_a_new_name_is_made_by_its_factory(held: Kept) -> None:
    """Case 56."""
    held.commit(KEEP)
    assert held.commit(KEEP, "more = keep('more', list)").more == [] and held.word == "kept"


# --- back to an earlier version


def test_an_undo_gets_the_snapshot_of_its_version(held: Kept) -> None:
    held.commit(KEEP).tasks["n"] = 7
    held.commit("STATE_VERSION = 2", KEEP, MIGRATE).tasks["n"] = 8
    assert held.commit(KEEP).tasks == {"n": 7}
    assert (held.word, held.shelf.versions["todo"]) == ("restored", 1)


def test_after_an_undo_the_step_is_migrated_again(held: Kept) -> None:
    held.commit(KEEP).tasks["n"] = 7
    held.commit("STATE_VERSION = 2", KEEP, MIGRATE)
    held.commit(KEEP).tasks["n"] = 9
    assert held.commit("STATE_VERSION = 2", KEEP, MIGRATE).tasks == {"n": 9, "from": 1}


def test_a_step_over_several_versions_goes_back_to_each_of_them(held: Kept) -> None:
    for version in (1, 3, 4):
        held.commit(f"STATE_VERSION = {version}", KEEP, MIGRATE).tasks["n"] = version
    assert sorted(held.shelf.snapshots["todo"]) == [1, 3]
    assert held.commit("STATE_VERSION = 3", KEEP, MIGRATE).tasks["n"] == 3
    assert held.commit(KEEP).tasks == {"n": 1}


def test_a_reset_can_be_undone_as_well(held: Kept) -> None:
    held.commit(KEEP).tasks["n"] = 7
    held.commit("STATE_VERSION = 2", KEEP).tasks["n"] = 8
    assert held.commit(KEEP).tasks == {"n": 7}


def test_a_lower_version_without_a_snapshot_is_refused_with_what_to_do(held: Kept) -> None:
    held.commit("STATE_VERSION = 3", KEEP).tasks["n"] = 7
    with pytest.raises(PluginError) as refusal:
        held.build(KEEP, "STATE_VERSION = 2", MIGRATE)
    assert str(refusal.value) == (
        "todo.py:4: STATE_VERSION 2 is lower than 3, that of the kept values, and no snapshot of them is left; go on "
        "to 4 with a migrate, or !state drop todo and lose them"
    )


def test_what_was_dropped_can_be_of_any_version(held: Kept) -> None:
    held.commit("STATE_VERSION = 3", KEEP).tasks["n"] = 7
    assert held.shelf.drop("todo") == ["tasks"]
    assert held.commit(KEEP).tasks == {}


def test_snapshots_are_few(held: Kept) -> None:
    for version in range(1, 10):
        held.commit(f"STATE_VERSION = {version}", KEEP).tasks["n"] = version
    assert sorted(held.shelf.snapshots["todo"]) == [4, 5, 6, 7, 8]


# --- classes


def test_new_code_sees_objects_of_its_own_class(held: Kept) -> None:
    old = held.commit(KEEP, TASK)
    old.tasks["a"] = task = old.Task("milk")
    new = held.commit(KEEP, TASK, " due: str = 'now'")
    assert new.tasks["a"] is task and task == new.Task("milk", "now")


def test_a_build_that_was_given_up_for_another_leaves_nothing(held: Kept) -> None:
    old = held.commit(KEEP, TASK)
    old.tasks["a"] = old.Task("milk")
    text = f"{KEEP}{TASK} due: str = 'now'\nmade = keep('made', lambda: Task('new'))"
    held.build(text)
    compiled = {"todo": compile_unit(unit("todo", text))}
    images = Takeover(compiled, held.live, held.staging, lambda plugin: {}, 5.0).run()
    held.staging.commit()
    new: Any = images["todo"].modules["plugins.todo"]
    assert type(new.tasks["a"]) is type(new.made) is new.Task and held.values["made"] is new.made


def test_until_the_commit_the_old_version_has_its_own_class(held: Kept) -> None:
    old = held.commit(KEEP, TASK)
    old.tasks["a"] = old.Task("milk")
    held.build(KEEP, TASK, " due: str = 'now'")
    assert type(held.values["tasks"]["a"]) is old.Task and vars(held.values["tasks"]["a"]) == {"text": "milk"}


def test_a_class_that_has_changed_too_much_is_refused_with_its_line(held: Kept) -> None:
    old = held.commit(KEEP, TASK)
    old.tasks["a"] = old.Task("milk")
    with pytest.raises(PluginError) as refusal:
        held.build(KEEP, TASK, " due: str")
    assert str(refusal.value) == (
        'todo.py:6: keep("tasks") holds a Task of the old version, and its new field due has no default; mend it, '
        "raise STATE_VERSION with a migrate, or !state drop todo tasks and lose it"
    )


def test_migrate_can_make_objects_of_a_class_that_has_changed_too_much(held: Kept) -> None:
    old = held.commit(KEEP, TASK)
    old.tasks["a"] = old.Task("milk")
    migrate = " due: str\ndef migrate(old, state):\n state['tasks']['a'] = Task(state['tasks']['a'].text, 'x')"
    new = held.commit("STATE_VERSION = 2", KEEP, TASK, migrate)
    assert new.tasks == {"a": new.Task("milk", "x")} and type(new.tasks["a"]) is new.Task
    assert held.shelf.snapshots["todo"][1]["tasks"]["a"].text == "milk"  # type: ignore[index]


def test_migrate_is_given_objects_of_its_own_class_where_that_can_be(held: Kept) -> None:
    old = held.commit(KEEP, TASK)
    old.tasks["a"] = old.Task("milk")
    migrate = " due: str = ''\ndef migrate(old, state):\n assert isinstance(state['tasks']['a'], Task)"
    assert held.commit("STATE_VERSION = 2", KEEP, TASK, migrate).tasks["a"].due == ""


def test_a_value_that_its_module_has_bound_is_not_made_anew(held: Kept) -> None:
    slots = TASK.replace("dataclass\n", "dataclass(slots=True)\n").replace(
        "import dataclass(slots=True)", "import dataclass"
    )
    slots = f"from bot import keep\n{slots.rstrip()} = ''\n{{}}\ntask = keep('task', Task)"
    held.commit(slots.format(""))
    with pytest.raises(PluginError, match=r'keep\("task"\) is an object that would have to be made anew; mend it'):
        held.build(slots.format(" due: str = ''"))


def test_classes_of_a_shared_module_are_carried_with_it(held: Kept) -> None:
    user = f"from ._tasks import Task\n{KEEP}"
    old = held.commit(_tasks=TASK, todo=user)
    old.tasks["a"] = old.Task("milk")
    new = held.commit(_tasks=TASK + " due: str = 'now'", todo=user)
    assert new.tasks == {"a": new.Task("milk", "now")} and type(new.tasks["a"]) is new.Task


def test_classes_of_a_shared_module_that_stays_stay(held: Kept) -> None:
    user = f"from ._tasks import Task\n{KEEP}"
    old = held.commit(_tasks=TASK, todo=user)
    old.tasks["a"] = old.Task("milk")
    new = held.commit(todo=user + "x = 1")
    assert type(new.tasks["a"]) is old.Task is new.Task


def test_classes_follow_a_renamed_file(held: Kept) -> None:
    old = held.commit(KEEP, TASK)
    old.tasks["a"] = old.Task("milk")
    del held.live["todo"]
    new = held.commit(later=f"STATE_NAME = 'todo'\n{KEEP}{TASK}")
    assert type(new.tasks["a"]) is new.Task


def test_snapshots_follow_the_classes_too(held: Kept) -> None:
    """Otherwise they would keep the old code alive; and back in their version they are its objects again."""
    old = held.commit(KEEP, TASK)
    old.tasks["a"] = task = old.Task("milk")
    new = held.commit("STATE_VERSION = 2", KEEP, TASK, " due: str = 'now'", MIGRATE)
    assert type(task) is new.Task
    back = held.commit(KEEP, TASK)
    assert type(back.tasks["a"]) is back.Task and back.tasks["a"].text == "milk"


def test_code_of_a_plugin_that_fails_in_the_walk_is_told_with_its_line(held: Kept) -> None:
    old = held.commit(KEEP, TASK)
    old.tasks["a"] = old.Task("milk")
    more = " due: list = __import__('dataclasses').field(default_factory=lambda: 1/0)"
    with pytest.raises(PluginError, match=r"^todo\.py:\d+: ZeroDivisionError: division by zero"):
        held.build(KEEP, TASK, more)


@pytest.fixture
async def relay() -> AsyncIterator[Relay]:
    made = Relay()
    yield made
    made.stop()


async def test_what_the_last_calls_of_an_ended_version_kept_is_brought_over(held: Kept, relay: Relay) -> None:
    old = held.commit(KEEP, TASK)
    ended = held.live["todo"]
    new = held.commit(KEEP, TASK, "x = 1")
    old.tasks["late"] = task = old.Task("milk")
    await bring_over(held.shelf, ended, held.live, relay)
    assert type(task) is new.Task and new.tasks["late"] is task


def test_outside_a_build_keep_is_plain_memory() -> None:
    assert keep("of this test", list) is keep("of this test", list)
