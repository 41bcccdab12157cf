"""The bot as people run it, `python -m bot run --config FILE`, and the process that writes its plugin files.

Bytecode writing stays switched on in the bot's environment, whatever the tests' own is: a stale bytecode file is one of
the ways to serve old code, and a `__pycache__` among the plugins is a fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

import nursery

T = TypeVar("T")
Process = asyncio.subprocess.Process | nursery.Born

CHECKOUT = Path(__file__).resolve().parents[2]
# The ways to run it, by the arguments each has. A case runs in the first, unless it is marked `both_modes`.
MODES: dict[str, tuple[str, ...]] = {"single": ("--single",), "two": ()}
PATIENCE_SECONDS = 15.0  # how long any wait may last; none gets near it unless something is broken

_HEAD = r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "


class Program:
    """One run of the bot. `log` holds what it wrote to standard error, by record, as it came."""

    def __init__(
        self, folder: Path, config: dict[str, Any], arguments: Sequence[str] = (), through: Sequence[str] = ()
    ) -> None:
        self._folder, self._arguments, self._through = folder, tuple(arguments), tuple(through)
        (folder / "config.yaml").write_text(json.dumps(config, indent=2) + "\n")  # JSON is YAML, without its surprises
        self.log: list[str] = []
        self._more = asyncio.Event()

    async def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPATH"] = (
            f"{CHECKOUT}{os.pathsep}{self._folder / 'site'}"  # installed plugins lie in the second
        )
        arguments = ["run", "--config", "config.yaml", *self._arguments]
        self._process = await self._started(arguments, environment)
        self._reading = asyncio.create_task(self._read())

    async def _started(self, arguments: Sequence[str], environment: dict[str, str]) -> Process:
        if not self._through:
            return await nursery.start(arguments, self._folder, environment)
        return await asyncio.create_subprocess_exec(
            *(*self._through, sys.executable, "-m", "bot", *arguments),
            cwd=self._folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    @property
    def worker(self) -> int:
        """The process that the bot is in: the one that was started, or the worker of that."""
        for task in Path(f"/proc/{self._process.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                if Path(f"/proc/{child}/comm").read_text() == "nq:worker\n":
                    return int(child)
        return self._process.pid

    def cpu_seconds(self) -> float:
        """Return what it has used of the processor so far, proc(5)."""
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def tried_in(self) -> set[int]:
        """Return the processes that its children have begun: those that trials run in. See proc(5)."""
        parents, worker = {}, self.worker
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        return {pid for pid, parent in parents.items() if parents.get(parent) == worker}

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            if self.log and not re.match(_HEAD, line):
                self.log[-1] += f"\n{line}"
            else:
                self.log.append(line)
            self._more.set()

    async def during(self, step: Coroutine[Any, Any, T]) -> T:
        """Await a step, but fail at once, with the log, if the program ends before it."""
        waiting, ended = asyncio.create_task(step), asyncio.create_task(self._process.wait())
        try:
            await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                return waiting.result()
        finally:
            waiting.cancel()
            ended.cancel()
        await self._reading
        raise AssertionError("the bot has ended:\n" + "\n".join(self.log[-20:]))

    async def logged(self, pattern: str, count: int = 1) -> list[int]:
        """Wait until so many records hold the pattern, and return their places in `log` (a record may still grow)."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while len(found := self._holding(pattern)) < count:
                    self._more.clear()
                    await self._more.wait()
        except TimeoutError:
            raise AssertionError(f"{len(found)} records of the log, not {count}, hold {pattern!r}") from None
        return found

    def _holding(self, pattern: str) -> list[int]:
        return [place for place, record in enumerate(self.log) if re.search(pattern, record)]

    def errors(self) -> list[int]:
        """Return the places of records that are errors, or that have a traceback."""
        return self._holding(rf"{_HEAD}error|Traceback \(most recent")

    async def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        self._process.kill()
        await self._process.wait()
        await self._reading

    async def stop(self) -> int:
        """SIGTERM, and the exit code; SIGKILL, and -9, if it does not obey."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            code = await asyncio.wait_for(self._process.wait(), PATIENCE_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            code = await self._process.wait()
        await asyncio.wait({self._reading}, timeout=PATIENCE_SECONDS)
        return code


class Writer:
    """The other process, `writer.py`: the only one that may ever make a file among the plugins (invariant I7), from
    what lies there as this is made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._paths = sorted(str(path.relative_to(folder)) for path in (folder / "plugins").rglob("*"))

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(__file__).with_name("writer.py"))),
            cwd=self._folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    async def do(self, *steps: tuple[Any, ...]) -> None:
        """Have steps done, and wait until they are."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(steps).encode() + b"\n")
        answer = json.loads(await self._process.stdout.readline())
        assert "error" not in answer, f"{steps}: {answer['error']}"
        assert self._paths == answer["before"], f"I7: {answer['before']} is not {self._paths}"
        self._paths = answer["after"]

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()
