"""bot/storage.py: values, own tables and jobs in one SQLite file."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.api.kept import Store
from bot.errors import NeverquitError, StoreError
from bot.storage import FILE, SCHEMA, Backend, Job


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[Backend]:
    made = Backend.open(tmp_path)
    yield made
    made.close()


def points(backend: Backend, plugin: str = "game", name: str = "points") -> Store:
    return Store(name, "bot", backend.rows(plugin, name))


def damage(path: Path) -> None:
    """Overwrite the pages behind the header."""
    content = path.read_bytes()
    path.write_bytes(content[:100] + b"\xa5" * (len(content) - 100))


# --- values


def test_values_survive_closing(tmp_path: Path) -> None:
    first = Backend.open(tmp_path / "new" / "folder")
    points(first)["x"] = {"a": [1, None, "é"]}
    first.close()
    second = Backend.open(tmp_path / "new" / "folder")
    assert points(second)["x"] == {"a": [1, None, "é"]}
    second.close()


def write_and_die(state_dir: str) -> None:
    points(Backend.open(state_dir))["x"] = 1
    os.kill(os.getpid(), 9)


def test_values_survive_a_kill(tmp_path: Path) -> None:
    child = multiprocessing.get_context("spawn").Process(target=write_and_die, args=(str(tmp_path),))
    child.start()
    child.join()
    assert child.exitcode == -9
    backend = Backend.open(tmp_path)
    assert dict(points(backend)) == {"x": 1}
    backend.close()


def test_plugins_and_names_and_parts_do_not_see_each_other(backend: Backend) -> None:
    points(backend)["x"] = 1
    points(backend, plugin="other")["x"] = 2
    points(backend, name="other")["x"] = 3
    backend.rows("game", "points").write("libera", "x", "4")
    assert dict(points(backend)) == {"x": 1}
    points(backend).clear()
    assert dict(points(backend, plugin="other")) == {"x": 2}
    assert backend.rows("game", "points").items("libera") == [("x", "4")]


def test_rows_behave_as_a_dict_in_order_of_insertion(backend: Backend) -> None:
    store = points(backend)
    store.update(b=1, a=2, c=3)
    store["b"] = 9
    del store["a"]
    assert list(store.items()) == [("b", 9), ("c", 3)]
    assert len(store) == 2
    with pytest.raises(KeyError):
        del store["a"]


def test_two_stores_on_the_same_rows_share_their_edits(backend: Backend) -> None:
    with points(backend).edit("x", list), pytest.raises(RuntimeError, match="`x` is being edited already"):
        points(backend)["x"] = []


def test_additions_from_many_threads_are_all_counted(backend: Backend) -> None:
    threads = [threading.Thread(target=lambda: [points(backend).add("x") for _ in range(100)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert points(backend)["x"] == 400


def test_odd_keys_come_back(backend: Backend) -> None:
    odd = ["", "é", "🎲", "a\0b", "'; DROP TABLE jobs; --", "%", "x" * 5000]
    points(backend).update(dict.fromkeys(odd, 1))
    assert list(points(backend)) == odd


def test_own_tables_are_apart_from_those_of_plugins(backend: Backend) -> None:
    backend.own("claims")["weather"] = {"plugin": "weather"}
    assert dict(backend.own("claims")) == {"weather": {"plugin": "weather"}}
    assert not backend.own("disabled")
    assert not points(backend, name="claims")


# --- jobs


def test_jobs_come_back_the_earliest_first(backend: Backend) -> None:
    late = backend.jobs.add("remind", "tell", 20.5, ["tea", {"a": 1}], "libera/#a")
    soon = backend.jobs.add("other", "run", 10.0)
    assert backend.jobs.all() == [
        Job(soon, "other", "run", 10.0, (), None),
        Job(late, "remind", "tell", 20.5, ("tea", {"a": 1}), "libera/#a"),
    ]
    assert [job.id for job in backend.jobs.all("remind")] == [late]


def test_a_job_is_crossed_off_once_and_its_id_not_used_again(backend: Backend) -> None:
    first = backend.jobs.add("remind", "tell", 1.0)
    assert [backend.jobs.remove(first), backend.jobs.remove(first)] == [True, False]
    assert backend.jobs.add("remind", "tell", 1.0) > first


def test_job_arguments_are_json(backend: Backend) -> None:
    with pytest.raises(TypeError, match=r"the value\[0\] is object"):
        backend.jobs.add("remind", "tell", 1.0, [object()])


# --- a file in trouble


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / FILE) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA + 6}")
    connection.close()
    with pytest.raises(StoreError, match=f"written by a newer neverquit .schema {SCHEMA + 6}, this one knows up to"):
        Backend.open(tmp_path)
    connection = sqlite3.connect(tmp_path / FILE)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA + 6,)
    connection.close()


def test_a_file_that_is_no_database_is_told_with_its_path(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("nick: neverquit\n" * 100)
    with pytest.raises(StoreError, match=rf"{FILE}: it is not a database; move it away") as caught:
        Backend.open(tmp_path)
    assert isinstance(caught.value, NeverquitError)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    backend = Backend.open(tmp_path)
    points(backend).update({str(number): "x" * 100 for number in range(500)})
    backend.close()
    damage(tmp_path / FILE)
    with pytest.raises(StoreError, match="it is damaged"):
        Backend.open(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="the state folder can't be made"):
        Backend.open(tmp_path / "file" / "state")


def test_a_folder_in_place_of_the_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StoreError, match="it can't be opened"):
        Backend.open(tmp_path)


def test_a_second_writer_is_told_and_mends(backend: Backend, tmp_path: Path) -> None:
    backend.ask("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="another process is writing to it"):
        points(backend)["x"] = 1
    other.execute("ROLLBACK")
    other.close()
    points(backend)["x"] = 1


def test_a_full_disk_is_told_and_the_old_value_stays(backend: Backend) -> None:
    points(backend)["x"] = 1
    ((pages,),) = backend.ask("PRAGMA page_count")
    backend.ask(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StoreError, match="the disk is full; nothing was written"):
        points(backend)["x"] = "x" * 100_000
    assert points(backend)["x"] == 1


def test_a_file_that_cannot_be_written_is_told(backend: Backend) -> None:
    backend.ask("PRAGMA query_only = 1")
    with pytest.raises(StoreError, match="it can't be written; check who owns"):
        points(backend)["x"] = 1


def test_a_closed_one_is_told(tmp_path: Path) -> None:
    backend = Backend.memory()
    backend.close()
    backend.close()
    with pytest.raises(StoreError, match="memory: Cannot operate on a closed database"):
        points(backend).get("x")


def test_a_failed_step_leaves_nothing_half_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.storage._STEPS", ("CREATE TABLE one (x); CREATE TABLE one (x)",))
    with pytest.raises(StoreError, match="table one already exists"):
        Backend.open(tmp_path)
    monkeypatch.undo()
    backend = Backend.open(tmp_path)
    assert backend.ask("SELECT name FROM sqlite_master WHERE name = 'one'") == []
    backend.close()


def test_a_forked_child_cannot_touch_its_parents_file(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(StoreError, match="open in another process"):
        points(backend)["x"] = 1


# --- versions


def test_sources_beyond_so_many_bytes_are_dropped_but_the_newest_of_each(backend: Backend) -> None:
    versions = backend.versions
    for digest in "abc":
        for unit in ("one", "two"):
            versions.keep(unit, digest, digest.encode() * 100)
    versions.prune("one", 9, 9, 250)
    kept = [(unit, digest) for unit in ("one", "two") for digest in "abc" if versions.content(unit, digest)]
    assert kept == [("one", "c"), ("two", "c")]
    versions.prune("one", 9, 9, 0)
    assert versions.content("one", "c") == b"c" * 100 and versions.content("two", "c") == b"c" * 100


def test_a_units_oldest_rows_and_sources_go_and_others_stay(backend: Backend) -> None:
    versions = backend.versions
    for n in range(5):
        for unit in ("one", "two"):
            versions.add(unit, n, f"d{n}", float(n), "saved", "", "{}")
            versions.add(unit, 0, f"f{n}", float(n), "saved", "failed", "{}")
            versions.keep(unit, f"d{n}", b"x")
    versions.prune("one", 2, 3, 1000)
    assert [row[1] for row in versions.of("one")] == ["f4", "d4", "f3", "d3"]
    assert [n for n in range(5) if versions.content("one", f"d{n}")] == [2, 3, 4]
    assert len(versions.of("two")) == 10 and versions.content("two", "d0") == b"x"


def test_only_the_newest_good_row_of_the_same_content_is_renewed(backend: Backend) -> None:
    versions = backend.versions
    versions.add("one", 1, "a", 1.0, "saved", "", "{}")
    versions.add("one", 2, "b", 2.0, "saved", "", "{}")
    assert not versions.renew("one", "a", "{}", 3, None, None)
    assert not versions.renew("one", "b", '{"_c": "x"}', 3, None, None)
    assert versions.renew("one", "b", "{}", 3, None, "start")
    versions.judge("one", "b", "rolled back")
    assert versions.of("one")[0] == (3, "b", 2.0, "start", "rolled back", "{}")
    assert versions.renew("one", "a", "{}", 4, 9.0, None)
    assert versions.of("one")[1] == (4, "a", 9.0, "saved", "", "{}")
    assert versions.units() == ["one"]


def test_a_file_of_the_first_version_is_taken_along(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bot import storage

    monkeypatch.setattr(storage, "_STEPS", storage._STEPS[:1])
    monkeypatch.setattr(storage, "SCHEMA", 1)
    old = Backend.open(tmp_path)
    points(old)["x"] = 1
    old.close()
    monkeypatch.undo()
    new = Backend.open(tmp_path)
    assert points(new)["x"] == 1 and new.versions.units() == []
    new.close()


def test_the_stores_of_a_plugin_are_counted_and_dropped_each_by_itself() -> None:
    backend = Backend.memory()
    for part in ("a", "b"):
        backend.rows("todo", "notes").write(part, "k", "1")
    backend.rows("todo", "other").write("", "k", "1")
    backend.rows("weather", "notes").write("", "k", "1")
    assert backend.stores("todo") == {"notes": 2, "other": 1}
    assert backend.drop("todo", "notes") == 2
    assert (backend.stores("todo"), backend.stores("weather")) == ({"other": 1}, {"notes": 1})
    backend.close()
