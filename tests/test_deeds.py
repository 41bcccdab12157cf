"""What calls do to the store, over the death of the process that made them: a real file, and real processes killed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bot import deeds
from bot.api.kept import Store
from bot.deeds import FORGET_AT, Deed
from bot.dispatch.relay import Relay
from bot.errors import StoreError
from bot.storage import Backend


class Worker:
    """The store as one worker has it.

    Attributes:
        points: a store per bot.
        names: another one.
    """

    def __init__(self, folder: Path, boot: str = "boot") -> None:
        self.backend = Backend.open(folder)
        self.book = self.backend.book
        self.book.open(boot)
        self.points = Store("points", "bot", self.backend.rows("game", "points"))
        self.names = Store("names", "bot", self.backend.rows("game", "names"))

    @contextmanager
    def call(self, line: str, handler: str = "game.go", *, again: bool = False) -> Iterator[Deed]:
        """One call for a line; it is ended unless the body raises."""
        deed = self.book.begin(line, handler, again)
        assert deed is not None
        token = deeds.current.set(deed)
        try:
            yield deed
        finally:
            deeds.current.reset(token)
        deed.end()

    def rows(self, table: str) -> int:
        return int(self.backend.ask(f"SELECT count(*) FROM {table}")[0][0])


class Death(Exception):
    """The worker dies here, for a test that needs no process of its own."""


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Gives workers on the same store; the one before is dead."""
    made = list[Worker]()

    def next_worker(boot: str = "boot") -> Worker:
        if made:
            made[-1].backend.close()
        made.append(Worker(tmp_path, boot))
        return made[-1]

    yield next_worker
    made[-1].backend.close()


Body = Callable[[Worker, Callable[[], None]], Any]


def over_a_death(
    workers: Callable[..., Worker], body: Body, at: int, before: Callable[[Worker], None]
) -> tuple[Any, Worker]:
    """Make a call that dies where it calls `step` for the time `at`, and again; what it gave then, and the worker."""
    first = workers()
    before(first)
    count = 0

    def step() -> None:
        nonlocal count
        count += 1
        if count == at:
            raise Death

    with pytest.raises(Death), first.call("7"):
        body(first, step)
    second = workers()
    with second.call("7", again=True):
        return body(second, lambda: None), second


# -- each way to change a store, once


def test_add_counts_once_and_gives_what_it_gave(workers: Callable[..., Worker]) -> None:
    def body(worker: Worker, step: Callable[[], None]) -> Any:
        gave = worker.points.add("alice", 5)
        step()
        return gave

    gave, worker = over_a_death(workers, body, 1, lambda worker: worker.points.update(alice=10))
    assert gave == 15 == worker.points["alice"]


def test_edit_changes_once(workers: Callable[..., Worker]) -> None:
    def body(worker: Worker, step: Callable[[], None]) -> None:
        with worker.names.edit("all", list) as names:
            names.append("bob")
        step()

    _, worker = over_a_death(workers, body, 1, lambda worker: worker.names.update(all=["alice"]))
    assert list(worker.names["all"]) == ["alice", "bob"]


def test_pop_gives_the_same_again_and_takes_no_second_one(workers: Callable[..., Worker]) -> None:
    """A queue: the first of what there is is taken out."""

    def body(worker: Worker, step: Callable[[], None]) -> Any:
        first = next(iter(worker.names))
        taken = first, worker.names.pop(first)
        step()
        return taken

    gave, worker = over_a_death(workers, body, 1, lambda worker: worker.names.update(x=1, y=2, z=3))
    assert gave == ("x", 1) and dict(worker.names) == {"y": 2, "z": 3}


def test_clear_is_one_step_and_its_rows_are_seen_again_in_their_order(workers: Callable[..., Worker]) -> None:
    def body(worker: Worker, step: Callable[[], None]) -> Any:
        found = list(worker.names.items()), len(worker.names), worker.names.get("y")
        worker.names.clear()
        step()
        return *found, list(worker.names)

    gave, worker = over_a_death(workers, body, 1, lambda worker: worker.names.update(x=1, y=2, z=3))
    assert gave == ([("x", 1), ("y", 2), ("z", 3)], 3, 2, []) and dict(worker.names) == {}


def test_what_came_into_a_cleared_store_meanwhile_stays(workers: Callable[..., Worker]) -> None:
    first = workers()
    first.names.update(x=1)
    with pytest.raises(Death), first.call("7"):
        first.names.clear()
        raise Death
    with first.call("8"):
        first.names["new"] = 2
    second = workers()
    with second.call("7", again=True):
        second.names.clear()
        second.points.add("cleared")
    assert dict(second.names) == {"new": 2} and second.points["cleared"] == 1


def test_delete_raises_the_second_time_only_if_it_did_the_first_time(workers: Callable[..., Worker]) -> None:
    def body(worker: Worker, step: Callable[[], None]) -> str:
        del worker.names["x"]
        step()
        try:
            del worker.names["x"]
        except KeyError:
            return "gone"
        return "twice"

    gave, _ = over_a_death(workers, body, 1, lambda worker: worker.names.update(x=1))
    assert gave == "gone"


def test_setdefault_and_assignment(workers: Callable[..., Worker]) -> None:
    def body(worker: Worker, step: Callable[[], None]) -> Any:
        was = worker.names.setdefault("x", 1)
        worker.names["x"] = 2
        step()
        return was, worker.names["x"]

    gave, worker = over_a_death(workers, body, 1, lambda worker: None)
    assert gave == (1, 2) and worker.names["x"] == 2


def test_a_stored_job_is_stored_once_under_its_number(workers: Callable[..., Worker]) -> None:
    def body(worker: Worker, step: Callable[[], None]) -> int:
        number = worker.backend.jobs.add("game", "game.later", 1e9, (1,))
        step()
        return number

    gave, worker = over_a_death(workers, body, 1, lambda worker: None)
    assert [job.id for job in worker.backend.jobs.all()] == [gave]


@pytest.mark.parametrize("at", [1, 2, 3])
def test_three_writes_to_two_stores_are_made_once_each_wherever_it_died(
    workers: Callable[..., Worker], at: int
) -> None:
    def body(worker: Worker, step: Callable[[], None]) -> Any:
        points = worker.points.add("alice")
        step()
        worker.names["last"] = f"alice {points}"
        step()
        total = worker.points.add("total", points)
        step()
        return points, total

    gave, worker = over_a_death(workers, body, at, lambda worker: worker.points.update(alice=1, total=5))
    assert gave == (2, 7)
    assert dict(worker.points) == {"alice": 2, "total": 7} and worker.names["last"] == "alice 2"


# -- calls side by side


def test_two_calls_on_one_key_count_twice_whichever_of_them_is_made_again(workers: Callable[..., Worker]) -> None:
    first = workers()
    with pytest.raises(Death), first.call("7"):
        assert first.points.add("n") == 1
        with pytest.raises(Death), first.call("8"):
            assert first.points.add("n") == 2
            raise Death
        raise Death
    second = workers()
    for line, gave in (("7", 1), ("8", 2)):
        with second.call(line, again=True):
            assert second.points.add("n") == gave
    assert second.points["n"] == 2


def test_what_others_wrote_meanwhile_is_not_overwritten(workers: Callable[..., Worker]) -> None:
    first = workers()
    with pytest.raises(Death), first.call("7"):
        first.points["n"] = 1
        raise Death
    with first.call("8"):
        first.points["n"] = 50
    second = workers()
    with second.call("7", again=True):
        assert second.points.get("n") is None, "as the first time"
        second.points["n"] = 1
        assert second.points["n"] == 50, "and from here on what there is"
    assert second.points["n"] == 50


def test_steps_that_come_in_another_order_are_each_made_once(workers: Callable[..., Worker]) -> None:
    """As in `asyncio.gather`."""
    first = workers()
    with pytest.raises(Death), first.call("7"):
        first.points.add("a")
        raise Death
    second = workers()
    with second.call("7", again=True):
        second.points.add("b")
        second.points.add("a")
    assert dict(second.points) == {"a": 1, "b": 1}


def test_two_handlers_of_one_line_have_deeds_of_their_own(workers: Callable[..., Worker]) -> None:
    first = workers()
    with pytest.raises(Death), first.call("7", "game.one"):
        first.points.add("n")
        raise Death
    second = workers()
    for handler in ("game.one", "game.two"):
        with second.call("7", handler, again=True):
            second.points.add("n")
    assert second.points["n"] == 2


def test_it_may_die_again_further_on(workers: Callable[..., Worker]) -> None:
    for steps in (1, 2, 3):
        worker = workers()
        with pytest.raises(Death), worker.call("7", again=True):
            for key in "abc"[:steps]:
                worker.points.add(key)
            raise Death
    worker = workers()
    with worker.call("7", again=True):
        for key in "abc":
            worker.points.add(key)
    assert dict(worker.points) == {"a": 1, "b": 1, "c": 1}


# -- answers


def test_a_call_that_ended_is_answered_from_what_it_said(workers: Callable[..., Worker]) -> None:
    first = workers()
    with first.call("7") as deed:
        first.points.add("n")
        deed.said.append(("test", "PRIVMSG #a :1"))
    deed = workers().book.begin("7", "game.go", again=True)
    assert deed is not None and deed.answered == [("test", "PRIVMSG #a :1")]


def test_a_call_that_changed_nothing_leaves_nothing(workers: Callable[..., Worker]) -> None:
    worker = workers()
    with worker.call("7") as deed:
        worker.points.get("n")
        deed.said.append(("test", "PRIVMSG #a :none"))
    assert worker.rows("deeds") == worker.rows("answers") == 0


def test_what_a_task_writes_that_the_call_has_left_behind_is_no_step(workers: Callable[..., Worker]) -> None:
    worker = workers()
    with worker.call("7") as deed:
        worker.points.add("n")
    token = deeds.current.set(deed)
    worker.points.add("n")
    deeds.current.reset(token)
    assert worker.points["n"] == 2 and worker.rows("deeds") == 1


# -- forgetting


def test_deeds_are_forgotten_when_the_keeper_has_heard_that_the_lines_are_done(workers: Callable[..., Worker]) -> None:
    worker, asked = workers(), list[Callable[[], object]]()
    worker.book.when_heard = asked.append
    for line in map(str, range(FORGET_AT)):
        with worker.call(line):
            worker.points.add("n")
        worker.book.finished(line)
    assert worker.rows("deeds") == worker.rows("answers") == FORGET_AT, "it may not have heard that yet"
    (forget,) = asked
    forget()
    assert worker.rows("deeds") == worker.rows("answers") == 0


def test_what_a_worker_finished_and_had_no_time_to_forget_the_next_one_forgets(workers: Callable[..., Worker]) -> None:
    """Lines that were not handed over again were finished; those that were, and the new ones, are not touched."""
    first = workers()
    for line in map(str, range(FORGET_AT + 3)):
        with first.call(line):
            first.points.add("n")
    first.book.finished("3")
    second = workers()
    with second.call("99"):
        second.points.add("n")
    second.book.finished("1")
    second.book.unfinished({"1", "2"})
    assert second.backend.ask("SELECT line FROM deeds ORDER BY line") == [("1",), ("2",), ("99",)]
    assert second.rows("answers") == 3
    with second.call("2", again=True) as deed:
        assert deed.answered is not None


def test_another_keeper_numbers_other_lines(workers: Callable[..., Worker]) -> None:
    first = workers()
    with first.call("7"):
        first.points.add("n")
    second = workers("another boot")
    with second.call("7", again=True) as deed:
        assert deed.answered is None
        second.points.add("n")
    assert second.points["n"] == 2


def test_notes_of_another_keeper_that_can_not_be_deleted_yet_are_nobodys(
    workers: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk, say; they go with the first note that can be made again, which may have the number of one."""
    first = workers()
    with first.call("7"):
        first.points.add("n")

    def full(self: object, sql: str, *values: object) -> Any:
        raise StoreError("the disk is full")

    monkeypatch.setattr(Backend, "tell", full)
    second = workers("another boot")
    monkeypatch.undo()
    with second.call("7", again=True) as deed:
        assert deed.answered is None
        second.points.add("n")
    assert second.points["n"] == 2
    assert second.backend.ask("SELECT boot FROM deeds") == [("another boot",)]


def test_where_no_keeper_outlives_the_process_nothing_is_noted(tmp_path: Path) -> None:
    backend = Backend.open(tmp_path)
    assert backend.book.begin("7", "game.go", again=False) is None
    backend.close()


# -- threads


async def test_a_plain_function_writes_as_its_call_in_the_relays_thread(workers: Callable[..., Worker]) -> None:
    worker, relay = workers(), Relay()
    with worker.call("7"):
        await relay.submit(worker.points.add, "n")
        await asyncio.to_thread(worker.points.add, "n")
    relay.stop()
    assert worker.rows("deeds") == 2


# -- real deaths

CALL = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{tests!r}]
from test_deeds import Worker
die_at, again = sys.argv[1], sys.argv[2] == "again"
worker = Worker(Path({folder!r}))

def at(place):
    if place == die_at:
        os.kill(os.getpid(), signal.SIGKILL)

def call():
    points = worker.points.add("alice")
    at("after the first write")
    worker.names["last"] = f"alice {{points}}"
    at("between two stores")
    total = worker.points.add("total", points)
    with worker.names.edit("all", list) as names:
        names.append(points)
        at("inside edit")
    at("before the reply")
    return f"alice has {{points}}, all have {{total}}"

deed = worker.book.begin("7", "game.go", again)
if deed.answered is not None:
    print(deed.answered[0][1])
    sys.exit()
with worker.call("7", again=again) as deed:
    deed.said.append(("test", call()))
    print(deed.said[0][1], flush=True)
    at("after the reply")
at("before done")
"""


@pytest.mark.parametrize(
    "place",
    [
        "after the first write",
        "between two stores",
        "inside edit",
        "before the reply",
        "after the reply",
        "before done",
    ],
)
def test_a_process_that_is_killed_leaves_each_write_made_once_by_the_next(tmp_path: Path, place: str) -> None:
    program = CALL.format(tests=str(Path(__file__).parent), folder=str(tmp_path))

    def run(die_at: str, again: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(Path(deeds.__file__).parents[1])}
        return subprocess.run(
            [sys.executable, "-c", program, die_at, again], env=environment, capture_output=True, text=True, timeout=60
        )

    assert run(place, "first").returncode == -signal.SIGKILL
    last = run("never", "again")
    assert (last.returncode, last.stdout) == (0, "alice has 1, all have 1\n"), last.stderr
    worker = Worker(tmp_path)
    assert dict(worker.points) == {"alice": 1, "total": 1}
    assert worker.names["last"] == "alice 1" and list(worker.names["all"]) == [1]
    worker.backend.close()
