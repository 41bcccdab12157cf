"""The file on disk, `state_dir/store.sqlite3`: plugins' values, the bot's own few tables, stored jobs, and the sources
of versions that were live.

One connection, one lock around it, JSON text in a table keyed by plugin, store, part and key. A read takes some
4 microseconds and a write 20, so nothing is cached and both may be called on the loop. Write-ahead log with
`synchronous=NORMAL`: a killed process loses nothing, a power cut at most the last moments
(https://www.sqlite.org/wal.html). What values mean is `bot/api/kept.py`; who asks for which store is `live/`.

Whatever goes wrong with the file is a `StoreError`, one sentence that says what to do.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bot.api.kept import Holds, Rows, Store
from bot.api.values import encode
from bot.deeds import Book, Cell, Deed, Row, current
from bot.errors import StoreError

FILE: Final = "store.sqlite3"
BUSY_SECONDS: Final = 2.0  # how long to wait for another process's write: under the 5 s of silence that end a worker

# Step n takes a file of version n to n + 1. Published steps are never edited, only followed by new ones.
_STEPS: Final = (
    """
    CREATE TABLE plugin_values (
        plugin TEXT NOT NULL, name TEXT NOT NULL, part TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL,
        PRIMARY KEY (plugin, name, part, key));
    CREATE TABLE jobs (
        id INTEGER PRIMARY KEY AUTOINCREMENT, plugin TEXT NOT NULL, function TEXT NOT NULL, due REAL NOT NULL,
        args TEXT NOT NULL, address TEXT);
    CREATE INDEX jobs_by_due ON jobs (due);
    """,
    """
    CREATE TABLE versions (
        id INTEGER PRIMARY KEY AUTOINCREMENT, unit TEXT NOT NULL, generation INTEGER NOT NULL, digest TEXT NOT NULL,
        at REAL NOT NULL, cause TEXT NOT NULL, result TEXT NOT NULL, imports TEXT NOT NULL);
    CREATE INDEX versions_by_unit ON versions (unit, id);
    CREATE TABLE sources (
        unit TEXT NOT NULL, digest TEXT NOT NULL, content BLOB NOT NULL, PRIMARY KEY (unit, digest));
    """,
    """
    CREATE TABLE deeds (
        boot TEXT NOT NULL, line TEXT NOT NULL, handler TEXT NOT NULL, step INTEGER NOT NULL,
        plugin TEXT NOT NULL, name TEXT NOT NULL, part TEXT NOT NULL, key TEXT, before TEXT NOT NULL, result TEXT,
        PRIMARY KEY (line, handler, step)) WITHOUT ROWID;
    CREATE TABLE answers (
        boot TEXT NOT NULL, line TEXT NOT NULL, handler TEXT NOT NULL, texts TEXT NOT NULL,
        PRIMARY KEY (line, handler)) WITHOUT ROWID;
    """,
)
SCHEMA: Final = len(_STEPS)

# What SQLite calls a trouble (https://www.sqlite.org/rescode.html, primary codes), and what a person can do.
_TROUBLES: Final = {
    sqlite3.SQLITE_BUSY: "another process is writing to it; is a second bot running on the same state_dir?",
    sqlite3.SQLITE_LOCKED: "another process is writing to it; is a second bot running on the same state_dir?",
    sqlite3.SQLITE_FULL: "the disk is full; nothing was written",
    sqlite3.SQLITE_READONLY: "it can't be written; check who owns the file and its folder",
    sqlite3.SQLITE_CANTOPEN: "it can't be opened; check that its folder exists and may be written",
    sqlite3.SQLITE_PERM: "it can't be opened; check who owns the file and its folder",
    sqlite3.SQLITE_NOTADB: "it is not a database; move it away and a new one is made",
    sqlite3.SQLITE_CORRUPT: "it is damaged; move it away, or mend it with `sqlite3 FILE .recover`",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write",
}


@dataclass(frozen=True, slots=True)
class Job:
    """A one-shot call that survives restarts."""

    id: int
    plugin: str
    function: str  # a function of that plugin marked `@job`
    due: float  # seconds since the epoch
    args: tuple[Any, ...]  # JSON values
    address: str | None  # where its `ctx` speaks, `libera/#a`; None for nowhere


class Backend:
    """The open file. `open` and `memory` make one; `close` ends it. Usable from every thread of this process."""

    def __init__(self, connection: sqlite3.Connection, name: str) -> None:
        self._connection, self._name = connection, name
        self._lock, self._holds = threading.RLock(), Holds()
        self._process = os.getpid()
        self.jobs, self.versions, self.book = Jobs(self), Versions(self), Book(self)

    @classmethod
    def open(cls, state_dir: Path | str) -> Backend:
        """Open the file in `state_dir`; folder and file are made where there is none.

        Raises:
            StoreError: it can't be used; the file is left as it was.
        """
        path = Path(state_dir) / FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"{path.parent}: the state folder can't be made: {error.strerror}") from error
        with _in_words(str(path)):
            return cls._prepared(sqlite3.connect(path, timeout=BUSY_SECONDS, check_same_thread=False), str(path))

    @classmethod
    def memory(cls) -> Backend:
        """One that forgets all at `close`, for tests and the demo."""
        return cls._prepared(sqlite3.connect(":memory:", check_same_thread=False), "memory")

    @classmethod
    def _prepared(cls, connection: sqlite3.Connection, name: str) -> Backend:
        try:
            connection.isolation_level = None  # transactions begin where we say so
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            backend = cls(connection, name)
            backend._migrate()
        except BaseException:
            connection.close()
            raise
        return backend

    def _migrate(self) -> None:
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > SCHEMA:
                raise StoreError(
                    f"{self._name}: it was written by a newer neverquit (schema {version}, this one knows up to "
                    f"{SCHEMA}); start that one, or move the file away"
                )
            for step in _STEPS[version:]:
                for statement in step.split(";"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA}")

    def rows(self, plugin: str, name: str) -> Rows:
        """The rows of one plugin's store, for `Store` to stand on."""
        return _Rows(self, plugin, name)

    def stores(self, plugin: str) -> dict[str, int]:
        """Return the names of a plugin's stores that hold anything, and how many rows each has over all its parts."""
        return dict(self.ask("SELECT name, count(*) FROM plugin_values WHERE plugin=? GROUP BY name", plugin))

    def drop(self, plugin: str, name: str) -> int:
        """Delete all rows of one store; returns how many there were."""
        changed, _ = self.tell("DELETE FROM plugin_values WHERE plugin=? AND name=?", plugin, name)
        return changed

    def own(self, table: str) -> MutableMapping[str, Any]:
        """A table of the bot itself (claimed names, what is disabled, joined channels): JSON values by name."""
        # No plugin has an empty name.
        return Store(table, "bot", self.rows("", table))

    def close(self) -> None:
        """Idempotent; what is called afterwards raises StoreError."""
        with self._lock:
            self._connection.close()

    # --- the ways to the connection

    def ask(self, sql: str, *values: object) -> list[Any]:
        """Run one statement and give its rows."""
        connection = self._mine()
        with self._lock, _in_words(self._name):
            return connection.execute(sql, values).fetchall()

    def tell(self, sql: str, *values: object) -> tuple[int, int]:
        """Run one statement that writes; gives (rows changed, id of the row inserted last)."""
        connection = self._mine()
        with self._lock, _in_words(self._name):
            cursor = connection.execute(sql, values)
            return cursor.rowcount, cursor.lastrowid or 0

    def hold(self, key: tuple[str, ...]) -> AbstractContextManager[None]:
        return self._holds.hold(key, key[-1])

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Make several changes one, or none of them."""
        connection = self._mine()
        with self._lock, _in_words(self._name):
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _mine(self) -> sqlite3.Connection:
        # A forked child that used its parent's connection would damage the file
        # (https://www.sqlite.org/howtocorrupt.html, 2.6). Asked before the lock: the child may find that held.
        if os.getpid() != self._process:
            raise StoreError(f"{self._name}: it is open in another process; a trial writes nothing")
        return self._connection


class _Rows:
    """One store's rows in `plugin_values`; see `kept.Rows`."""

    def __init__(self, backend: Backend, plugin: str, name: str) -> None:
        self._backend, self._plugin, self._name = backend, plugin, name

    def _deed(self) -> Deed | None:
        """The call that is under way, if it may be made again; the bot's own tables are not its business."""
        return current.get() if self._plugin else None

    def _row(self, part: str, key: str | None) -> Row:
        return Row(self._plugin, self._name, part, key)

    def read(self, part: str, key: str) -> str | None:
        deed = self._deed()
        return self._read(part, key) if deed is None else deed.seen(self._row(part, key), lambda: self._read(part, key))

    def _read(self, part: str, key: str) -> str | None:
        found = self._cell(part, key)
        return found[1] if found is not None else None

    def _cell(self, part: str, key: str) -> Cell | None:
        found = self._backend.ask(
            "SELECT rowid, json FROM plugin_values WHERE plugin=? AND name=? AND part=? AND key=?",
            *(self._plugin, self._name, part, key),
        )
        return found[0] if found else None

    def write(self, part: str, key: str, text: str) -> None:
        def change() -> None:
            # An upsert keeps the row and with it the order of insertion, as a dict does.
            self._backend.tell(
                "INSERT INTO plugin_values VALUES (?, ?, ?, ?, ?) "
                "ON CONFLICT (plugin, name, part, key) DO UPDATE SET json = excluded.json",
                *(self._plugin, self._name, part, key, text),
            )

        self._step(part, key, change)

    def delete(self, part: str, key: str) -> bool:
        def change() -> str:
            changed, _ = self._backend.tell(
                "DELETE FROM plugin_values WHERE plugin=? AND name=? AND part=? AND key=?",
                *(self._plugin, self._name, part, key),
            )
            return str(changed)

        return self._step(part, key, change) == "1"

    def clear(self, part: str) -> None:
        def change() -> None:
            self._backend.tell(
                "DELETE FROM plugin_values WHERE plugin=? AND name=? AND part=?", self._plugin, self._name, part
            )

        self._step(part, None, change)

    def _step(self, part: str, key: str | None, change: Callable[[], str | None]) -> str | None:
        """Make a change, as a step of the call that is under way."""
        deed = self._deed()
        if deed is None:
            return change()

        def before() -> dict[str, Cell | None]:
            return {**self._cells(part)} if key is None else {key: self._cell(part, key)}

        return deed.step(self._row(part, key), before, change)

    def items(self, part: str) -> list[tuple[str, str]]:
        cells: dict[str, Cell | None] = {**self._cells(part)}
        deed = self._deed()
        if deed is not None and (touched := deed.touched(self._plugin, self._name, part)):
            # Made again, the call finds the rows as the first time, in their order.
            cells |= touched
            cells = dict(sorted(cells.items(), key=lambda item: item[1][0] if item[1] is not None else 0))
        return [(key, cell[1]) for key, cell in cells.items() if cell is not None]

    def _cells(self, part: str) -> dict[str, Cell]:
        found = self._backend.ask(
            "SELECT key, rowid, json FROM plugin_values WHERE plugin=? AND name=? AND part=? ORDER BY rowid",
            *(self._plugin, self._name, part),
        )
        return {key: (place, text) for key, place, text in found}

    def count(self, part: str) -> int:
        deed = self._deed()
        if deed is not None and deed.touched(self._plugin, self._name, part):
            return len(self.items(part))
        found = self._backend.ask(
            "SELECT count(*) FROM plugin_values WHERE plugin=? AND name=? AND part=?",
            *(self._plugin, self._name, part),
        )
        return int(found[0][0])

    def hold(self, part: str, key: str) -> AbstractContextManager[None]:
        return self._backend.hold((self._plugin, self._name, part, key))


class Jobs:
    """The stored one-shot calls; the scheduler holds their timers, this holds their rows."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def add(self, plugin: str, function: str, due: float, args: Sequence[Any] = (), address: str | None = None) -> int:
        """Write one down; gives its id, which no later job gets again.

        Raises:
            TypeError: an argument is not JSON.
        """
        values = (plugin, function, due, encode(list(args)), address)

        def write() -> str:
            sql = "INSERT INTO jobs (plugin, function, due, args, address) VALUES (?, ?, ?, ?, ?)"
            return str(self._backend.tell(sql, *values)[1])

        deed = current.get()
        # No plugin's store has an empty name.
        return int((deed.step(Row(plugin, "", "job", function), dict, write) if deed is not None else write()) or 0)

    def there(self, job: int) -> bool:
        """Tell whether one has not been crossed off."""
        return bool(self._backend.ask("SELECT 1 FROM jobs WHERE id = ?", job))

    def remove(self, job: int) -> bool:
        """Cross one off; False when it was gone already, so of two runners only one gets True."""
        changed, _ = self._backend.tell("DELETE FROM jobs WHERE id = ?", job)
        return changed > 0

    def all(self, plugin: str | None = None) -> list[Job]:
        """Those of one plugin, or all, the earliest due first."""
        found = self._backend.ask(
            "SELECT id, plugin, function, due, args, address FROM jobs "
            "WHERE plugin = coalesce(?, plugin) ORDER BY due, id",
            plugin,
        )
        return [
            Job(made, owner, function, due, tuple(json.loads(args)), address)
            for made, owner, function, due, args, address in found
        ]


class Versions:
    """What each unit has been, newest last, and the sources of what was live; what it means is `live/history.py`.

    A result is "" for a version that was live and good, else why it is not.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def add(self, unit: str, *row: object) -> None:
        """Write a row down: generation, digest, at, cause, result, imports."""
        self._backend.tell(
            "INSERT INTO versions (unit, generation, digest, at, cause, result, imports) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(unit, *row),
        )

    def renew(self, unit: str, digest: str, imports: str, generation: int, at: float | None, cause: str | None) -> bool:
        """Change the newest good row if it is of this digest and these imports; None leaves a value as it is."""
        changed, _ = self._backend.tell(
            "UPDATE versions SET generation = ?, at = coalesce(?, at), cause = coalesce(?, cause) WHERE digest = ? "
            "AND imports = ? AND id = (SELECT max(id) FROM versions WHERE unit = ? AND result = '')",
            *(generation, at, cause, digest, imports, unit),
        )
        return changed > 0

    def judge(self, unit: str, digest: str, result: str) -> None:
        """Say of a version that was good why it is none any more."""
        self._backend.tell(
            "UPDATE versions SET result = ? WHERE unit = ? AND digest = ? AND result = ''", result, unit, digest
        )

    def of(self, unit: str) -> list[tuple[int, str, float, str, str, str]]:
        """Return the rows of a unit, the newest first."""
        return self._backend.ask(
            "SELECT generation, digest, at, cause, result, imports FROM versions WHERE unit = ? ORDER BY id DESC", unit
        )

    def units(self) -> list[str]:
        """Return the names of all units that have rows."""
        return [name for (name,) in self._backend.ask("SELECT DISTINCT unit FROM versions ORDER BY unit")]

    def keep(self, unit: str, digest: str, content: bytes) -> None:
        """Keep sources; those kept last are dropped last."""
        self._backend.tell("INSERT OR REPLACE INTO sources VALUES (?, ?, ?)", unit, digest, content)

    def content(self, unit: str, digest: str) -> bytes | None:
        """Return the sources that were kept."""
        found = self._backend.ask("SELECT content FROM sources WHERE unit = ? AND digest = ?", unit, digest)
        return bytes(found[0][0]) if found else None

    def prune(self, unit: str, rows: int, contents: int, most_bytes: int) -> None:
        """Drop the oldest: rows of a unit, good and others counted apart, its sources, and sources of all units
        beyond so many bytes; never the newest sources of a unit."""
        for good in ("=", "<>"):
            self._backend.tell(
                f"DELETE FROM versions WHERE unit = ? AND result {good} '' AND id NOT IN (SELECT id FROM versions "
                f"WHERE unit = ? AND result {good} '' ORDER BY id DESC LIMIT ?)",
                *(unit, unit, rows),
            )
        self._backend.tell(
            "DELETE FROM sources WHERE unit = ? AND rowid NOT IN "
            "(SELECT rowid FROM sources WHERE unit = ? ORDER BY rowid DESC LIMIT ?)",
            *(unit, unit, contents),
        )
        self._backend.tell(
            "DELETE FROM sources WHERE rowid IN (SELECT rowid FROM (SELECT rowid, sum(length(content)) "
            "OVER (ORDER BY rowid DESC) AS total FROM sources) WHERE total > ?) "
            "AND rowid NOT IN (SELECT max(rowid) FROM sources GROUP BY unit)",
            most_bytes,
        )


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Turn what SQLite says into a sentence about the file `name`."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        words = _TROUBLES.get(code & 0xFF) if code is not None else None  # the low byte is the primary code
        raise StoreError(f"{name}: {words or error}") from error
