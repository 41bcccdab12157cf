"""What the two harness modules share: free ports, a certificate, and server processes without root's rights.

A server runs in a folder of its own under the system's temporary folder, since pytest's is closed to other users; under
root the folder and the process belong to `irc` or `nobody`. Each process is started through `ulimit -c 0` (Debian's
InspIRCd can crash at its end), is ended by its pid, and its exit status means nothing.
"""

from __future__ import annotations

import abc
import asyncio
import contextlib
import hashlib
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

START_SECONDS = 30.0  # until a server listens; 20 ms on a quiet machine
STOP_SECONDS = 5.0  # from SIGTERM to SIGKILL


class CannotStart(Exception):
    """The server ended or stayed silent before it listened; the text holds what it printed."""


def needed(*programs: str) -> None:
    """Skip the calling module where one of the programs is not installed; on our CI (root, CI=true) fail instead."""
    missing = [program for program in programs if find(program) is None]
    if not missing:
        return
    reason = f"not installed: {', '.join(missing)}"
    if os.environ.get("CI") == "true" and os.geteuid() == 0:
        raise RuntimeError(f"{reason}, and this is CI, where these tests are never skipped")
    pytest.skip(reason, allow_module_level=True)


def find(program: str) -> str | None:
    """The program's path; Debian puts servers where an ordinary user's PATH doesn't look."""
    return shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin:/usr/local/sbin")


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now; all held at once while choosing, so that they differ."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def make_certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for localhost and 127.0.0.1, and its key, made by the openssl program."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True, timeout=START_SECONDS)
    return certificate, key


def fingerprint(certificate: Path) -> str:
    """SHA-256 of a certificate, as services know it."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text())).hexdigest()


class Process:
    """One server program in the foreground; what it prints is kept in `output`."""

    def __init__(self, *command: str, user: pwd.struct_passwd | None, folder: Path) -> None:
        self.command, self.user, self.folder = command, user, folder
        self.output: list[str] = []
        self._printed = asyncio.Event()

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *("/bin/sh", "-c", 'ulimit -c 0; exec "$@"', "sh", *self.command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(self.folder)},
            user=self.user.pw_uid if self.user else None,
            group=self.user.pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
        )
        self._reading = asyncio.create_task(self._read())

    async def printed(self, text: str) -> None:
        """Returns when the program has printed a line with `text` in it; raises CannotStart when it ends before."""
        try:
            async with asyncio.timeout(START_SECONDS):
                while not any(text in line for line in self.output):
                    if self._reading.done():
                        break
                    self._printed.clear()
                    await self._printed.wait()
                else:
                    return
        except TimeoutError:
            pass
        raise CannotStart(f"{self.command[0]} never printed {text!r}:\n" + "\n".join(self.output))

    async def stop(self) -> None:
        for end in (self._process.terminate, self._process.kill):
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    end()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._process.wait(), STOP_SECONDS)
        await self._reading

    async def _read(self) -> None:
        assert self._process.stdout
        async for line in self._process.stdout:
            self.output.append(line.decode(errors="replace").rstrip())
            self._printed.set()
        self._printed.set()


class Ircd(abc.ABC):
    """A real IRC server as a context manager: `async with InspIRCd(tmp_path) as server`.

    Args:
        kept: where the certificate that clients verify is written (`ca_file`), and the servers' words at the end.
    """

    host = "127.0.0.1"
    plain_port = 0
    tls_port = 0

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.ca_file = kept / "ca.pem"
        self.processes: list[Process] = []
        self._left = contextlib.AsyncExitStack()

    @abc.abstractmethod
    async def launch(self) -> None:
        """Write the configuration into `self.room`, start the programs, return when clients can register."""

    def tls(self) -> ssl.SSLContext:
        """A client's context that trusts this server's certificate and checks its name."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def write(self, name: str, text: str) -> Path:
        path = self.room / name
        path.write_text(text)
        return self.own(path)

    def own(self, path: Path) -> Path:
        if self.user:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)
        return path

    async def run(self, *command: str) -> Process:
        """Start one program of this server; it is ended, by its pid, when the server is left."""
        process = Process(*command, user=self.user, folder=self.room)
        await process.start()
        self.processes.append(process)
        self._left.push_async_callback(process.stop)
        return process

    async def __aenter__(self) -> Self:
        for attempt in range(3):
            try:
                await self._enter()
                return self
            except CannotStart:  # somebody took a port between our choosing it and the server's binding it
                await self._left.aclose()
                if attempt == 2:
                    raise
        raise AssertionError("unreachable")

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._left.aclose()
        for process in self.processes:
            (self.kept / f"{Path(process.command[0]).name}.txt").write_text("\n".join(process.output))

    async def _enter(self) -> None:
        self._left = contextlib.AsyncExitStack()
        self.room = Path(self._left.enter_context(tempfile.TemporaryDirectory(prefix="neverquit-ircd-")))
        self.user = unprivileged()
        self.own(self.room)
        self.certificate, self.key = (self.own(path) for path in make_certificate(self.room))
        shutil.copyfile(self.certificate, self.ca_file)
        try:
            await self.launch()
        except BaseException as error:
            for log in (*self.room.glob("*.log"), *(self.kept.glob("*.txt"))):
                error.add_note(f"{log.name}:\n{log.read_text(errors='replace')[-3000:]}")
            await self._left.aclose()
            raise


def unprivileged() -> pwd.struct_passwd | None:
    """The account that servers run under when we are root; None when we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    for name in ("irc", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise CannotStart("root, and there is neither a user irc nor a user nobody to run the server as")
