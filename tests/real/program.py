"""The bot as the program that people run: `python -m bot run --config FILE`, in a folder with plugins of its own.

The configuration is written as JSON, which is YAML too and needs no quoting rules. Bytecode writing is left switched on
in its environment even where the tests' own is not, since a stale bytecode file is one of the ways to serve old code.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[2]
STOP_SECONDS = 10.0  # SIGTERM must be obeyed within 5 s in any state; twice that on a busy machine


class Program:
    """One run of the bot. `log` holds what it wrote to standard error, line by line, as it came."""

    def __init__(self, folder: Path, config: dict[str, Any], *options: str) -> None:
        self.folder, self.options = folder, options
        self.plugins = folder / "plugins"
        self.plugins.mkdir()
        self.config = folder / "config.yaml"
        self.config.write_text(json.dumps(config, indent=2) + "\n")
        self.config.chmod(0o600)  # it holds a password, and the bot says so when others may read it
        self.log: list[str] = []
        self.code = CHECKOUT  # where the package is that it runs

    async def start(self) -> None:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPATH"] = str(self.code)
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "run", "--config", str(self.config), *self.options),
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reading = asyncio.create_task(self._read(), name="the bot's log")

    async def ended(self) -> int:
        """Its exit code, when it has ended by itself."""
        code = await self._process.wait()
        await asyncio.wait({self._reading}, timeout=STOP_SECONDS)  # the last lines of the log
        return code

    async def stop(self) -> int:
        """SIGTERM, and its exit code; after STOP_SECONDS SIGKILL, and that code (-9)."""
        if self._process.returncode is None:
            self._process.terminate()
        try:
            return await asyncio.wait_for(self.ended(), STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            return await self.ended()

    async def during(self, step: Coroutine[Any, Any, None]) -> None:
        """Await `step`, but fail at once, with the log, if the program ends before it."""
        waiting, ended = asyncio.ensure_future(step), asyncio.ensure_future(self.ended())
        done, _ = await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, ended):
            task.cancel()
        if waiting not in done:
            raise AssertionError(f"the bot ended with {ended.result()}:\n{self.told()}")
        await waiting

    def told(self) -> str:
        return "\n".join(self.log[-80:])

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            self.log.append(line.decode(errors="replace").rstrip())


def connections_to(port: int) -> set[int]:
    """Local ports of the established loopback connections to 127.0.0.1:`port`, from Linux's table of sockets.

    A connection that was cut and made again has another local port, so an equal set means the same sockets.
    """
    established = "01"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    remote = f"0100007F:{port:04X}"
    return {int(row[1].partition(":")[2], 16) for row in rows if row[2] == remote and row[3] == established}
