"""bot/live/carry.py: objects of an old version's classes become objects of the new one's."""

from __future__ import annotations

import textwrap
from collections import Counter, OrderedDict, defaultdict, deque
from types import ModuleType
from typing import Any

import pytest

from bot.live.carry import CannotCarry, Carry, finder

HEAD = "import enum\nfrom dataclasses import dataclass, field\nfrom typing import NamedTuple\n"


def module(text: str) -> Any:
    """A version of `plugins.todo`."""
    made = ModuleType("plugins.todo")
    exec(compile(HEAD + textwrap.dedent(text), "todo.py", "exec", dont_inherit=True), made.__dict__)
    return made


def carry(new: ModuleType | None, *, lenient: bool = False, **values: object) -> Carry:
    return Carry(values, finder(lambda name: new if name == "plugins.todo" else None), lenient=lenient)


PLAIN = "class Task:\n def __init__(self, text): self.text = text\n def shout(self): return self.text + '{}'"
DATACLASS = "@dataclass\nclass Task:\n text: str\n"
FROZEN = "@dataclass(frozen=True)\nclass Task:\n text: str\n"
SLOTS = "@dataclass(slots=True)\nclass Task:\n text: str\n"
COLOUR = "class Colour(enum.Enum):\n RED = {}\n BLUE = {}\n"
POINT = "class Point(NamedTuple):\n x: int\n"


# --- what stays the same object


def test_an_object_of_a_plain_class_is_the_same_one_and_has_the_new_methods() -> None:
    old, new = module(PLAIN.format("!")), module(PLAIN.format("?"))
    task = old.Task("milk")
    tasks = [task]
    carry(new, tasks=tasks).apply()
    assert tasks[0] is task and isinstance(task, new.Task) and task.shout() == "milk?"


def test_nothing_is_touched_before_it_is_applied() -> None:
    old, new = module(DATACLASS), module(DATACLASS + " due: str = 'now'")
    tasks = [old.Task("milk")]
    found = carry(new, tasks=tasks)
    assert type(tasks[0]) is old.Task and vars(tasks[0]) == {"text": "milk"} and found


def test_fields_that_a_new_dataclass_has_besides_get_their_defaults() -> None:
    old, new = module(DATACLASS), module(DATACLASS + " due: str = 'now'\n tags: list = field(default_factory=list)")
    first, second = old.Task("milk"), old.Task("tea")
    carry(new, tasks=[first, second]).apply()
    assert first == new.Task("milk", "now", []) and first.tags is not second.tags


def test_a_field_that_is_gone_comes_back_with_an_undo() -> None:
    old, new = module(DATACLASS + " due: str = 'now'"), module(DATACLASS)
    task = old.Task("milk", "soon")
    carry(new, tasks=[task]).apply()
    assert isinstance(task, new.Task)
    carry(old, tasks=[task]).apply()
    assert task == old.Task("milk", "soon")


def test_a_value_that_is_itself_an_object_of_a_plugin_is_brought_over() -> None:
    old, new = module(DATACLASS), module(DATACLASS)
    task = old.Task("milk")
    found = carry(new, task=task)
    found.apply()
    assert found.values["task"] is task and isinstance(task, new.Task)


def test_a_dict_of_a_plugins_own_class_keeps_its_items() -> None:
    text = "class Scores(dict): pass\n" + DATACLASS
    old, new = module(text), module(text)
    scores = old.Scores(a=old.Task("milk"))
    carry(new, scores=scores).apply()
    assert isinstance(scores, new.Scores) and isinstance(scores["a"], new.Task)


def test_values_without_objects_of_plugins_need_nothing() -> None:
    new = module("")
    values: Any = {"a": [1, {"b": (2, "c")}, {3}, deque([4]), Counter("xx")], "lock": object()}
    assert not carry(new, **values)


def test_objects_of_the_live_version_are_left_but_looked_into() -> None:
    old, new = (
        module(PLAIN.format("!") + "\n" + COLOUR.format(1, 2)),
        module(PLAIN.format("!") + "\n" + COLOUR.format(1, 2)),
    )
    task = new.Task(old.Colour.RED)
    carry(new, task=task).apply()
    assert task.text is new.Colour.RED


# --- what is made anew


def test_an_object_with_slots_is_made_anew_in_the_same_containers() -> None:
    old, new = module(SLOTS), module(SLOTS + " due: str = 'now'")
    task = old.Task("milk")
    tasks, by_name = [task], {"m": task}
    carry(new, tasks=tasks, by_name=by_name).apply()
    assert tasks == [new.Task("milk", "now")] and by_name["m"] is tasks[0]
    assert task.text == "milk" and type(task) is old.Task  # a call in flight may still hold it


def test_what_an_object_made_anew_holds_is_read_when_it_is_applied() -> None:
    old, new = module(SLOTS), module(SLOTS + " due: str = 'now'")
    tasks = [old.Task("milk")]
    found = carry(new, tasks=tasks)
    tasks[0].text = "tea"
    found.apply()
    assert tasks == [new.Task("tea", "now")]


def test_an_object_that_holds_itself_is_no_trouble() -> None:
    old, new = module(SLOTS), module(SLOTS + " due: object = None")
    task = old.Task("milk")
    tasks = [task]
    task.text = tasks
    carry(new, tasks=tasks).apply()
    assert tasks[0].text is tasks


def test_an_enum_is_the_member_of_the_same_name() -> None:
    old, new = module(COLOUR.format(1, 2)), module(COLOUR.format(2, 1))
    values: Any = [old.Colour.RED, {"x": old.Colour.BLUE}, {old.Colour.RED: 1}]
    carry(new, values=values).apply()
    assert values == [new.Colour.RED, {"x": new.Colour.BLUE}, {new.Colour.RED: 1}]


def test_flags_are_joined_of_their_members() -> None:
    text = "class May(enum.Flag):\n READ = {}\n WRITE = {}\n"
    old, new = module(text.format(1, 2)), module(text.format(4, 8))
    values = [old.May.READ | old.May.WRITE, old.May(0)]
    carry(new, values=values).apply()
    assert values == [new.May.READ | new.May.WRITE, new.May(0)]


def test_a_named_tuple_gets_its_new_fields_by_their_defaults() -> None:
    old, new = module(POINT), module(POINT + " y: int = 7")
    places = {old.Point(1): "a"}
    carry(new, places=places).apply()
    ((point, _),) = places.items()
    assert point == new.Point(1, 7) and isinstance(point, new.Point)


def test_tuples_and_frozensets_that_held_the_old_hold_the_new() -> None:
    old, new = module(COLOUR.format(1, 2)), module(COLOUR.format(1, 2))
    values: Any = [(1, (old.Colour.RED,)), frozenset({old.Colour.BLUE})]
    carry(new, values=values).apply()
    assert values == [(1, (new.Colour.RED,)), frozenset({new.Colour.BLUE})]


@pytest.mark.parametrize("made", [lambda one: {one}, lambda one: {one: 1}, lambda one: {(one, 2): 1}])
def test_what_has_another_hash_now_is_found_again(made: Any) -> None:
    old, new = module(FROZEN), module(FROZEN + " due: str = 'now'")
    task = old.Task("milk")
    holder = made(task)
    carry(new, holder=holder).apply()
    again = made(new.Task("milk", "now"))
    assert holder == again and next(iter(again)) in holder


def test_a_set_a_deque_and_an_ordered_dict_stay_the_objects_that_they_are() -> None:
    old, new = module(COLOUR.format(1, 2)), module(COLOUR.format(1, 2))
    holders: Any = {
        "set": {old.Colour.RED},
        "deque": deque([old.Colour.RED, 2], 2),
        "ordered": OrderedDict([(old.Colour.RED, 1), (2, old.Colour.BLUE)]),
    }
    carry(new, **holders).apply()
    assert holders["set"] == {new.Colour.RED}
    assert holders["deque"] == deque([new.Colour.RED, 2]) and holders["deque"].maxlen == 2
    assert list(holders["ordered"].items()) == [(new.Colour.RED, 1), (2, new.Colour.BLUE)]


def test_a_default_dict_makes_objects_of_the_new_class() -> None:
    text = "class Bag:\n pass\n"
    old, new = module(text), module(text)
    bags: Any = defaultdict(old.Bag)
    carry(new, bags=bags).apply()
    assert isinstance(bags["x"], new.Bag)


# --- what can't be


REFUSED = {
    "gone": (DATACLASS, "Task('a')", "", "and the new version has no Task any more"),
    "bare": (DATACLASS, "Task('a')", DATACLASS + " due: str", "and its new field due has no default"),
    "slots": (SLOTS, "Task('a')", "@dataclass(slots=True)\nclass Task:\n due: str = ''", "is built differently"),
    "kind": (COLOUR.format(1, 2), "Colour.RED", "class Colour: pass", "Colour is something else in the new one"),
    "member": (COLOUR.format(1, 2), "Colour.RED", COLOUR.format(1, 2).replace("RED", "PINK"), "it has no member RED"),
    "tuple": (POINT, "Point(1)", POINT + " y: int", "its new field y has no default"),
    "field": (POINT, "Point(1)", POINT.replace("x", "z"), "its field x is gone"),
    "local": ("def f():\n class Task: pass\n return Task()", "f()", "def f(): ...", "no f.<locals>.Task any more"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_brought_over_is_told_with_its_value_and_class(case: str) -> None:
    before, made, after, words = REFUSED[case]
    value = eval(made, module(before).__dict__)
    with pytest.raises(CannotCarry, match=r'^keep\("tasks"\) holds a .* of the old version, and ') as refusal:
        carry(module(after), ok=[1], tasks=[{"x": value}])
    assert words in str(refusal.value)


@pytest.mark.parametrize("case", REFUSED)
def test_a_lenient_one_leaves_what_it_cannot_bring_over(case: str) -> None:
    before, made, after, _ = REFUSED[case]
    value = eval(made, module(before).__dict__)
    tasks = [value]
    carry(module(after), lenient=True, tasks=tasks).apply()
    assert tasks[0] is value


def test_if_a_plugins_own_code_fails_half_way_all_is_as_it_was() -> None:
    text = "class Task:\n n = 0\n"
    new_text = text + " def __hash__(self):\n  raise RuntimeError('no')\n"
    old, new = module(text), module(new_text)
    one, task = old.Task(), old.Task()
    first, keyed = [one], {task: 1}
    found = carry(new, first=first, keyed=keyed)
    with pytest.raises(RuntimeError, match="no"):
        found.apply()
    assert type(first[0]) is type(task) is old.Task and keyed == {task: 1}


def test_a_walk_looks_into_so_many_objects_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.live.carry.MAX_OBJECTS", 10)
    assert not carry(module(""), many=[[] for _ in range(20)]).complete
    assert carry(module(""), few=[[] for _ in range(5)]).complete


def test_what_belongs_to_a_library_is_named_and_not_looked_into() -> None:
    import asyncio

    old, new = module(DATACLASS), module("")
    queue: Any = asyncio.Queue()
    queue.put_nowait(old.Task("milk"))
    found = carry(new, queue=[queue])
    assert found.libraries == [queue] and not found
