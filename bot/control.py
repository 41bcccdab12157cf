"""The bot's end of `neverquit ctl`, and the lock that keeps a second bot off its state.

A Unix socket in `state_dir`, for the bot's own user and root (its mode says so, and on Linux the kernel is asked who is
there). The talk is described in `bot/ctl.py`. Each client is served by a task of its own, with bounds on all that it
can send or leave undone; what it asked for goes on when it has gone. Reports go to the log and `report_to` like those
of `!reload`.

The lock is a file beside the socket. The system lets it go with the process, so neither it nor a socket that was left
behind can prevent the next start; and whoever holds it may remove that socket. Only `neverquit run` takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bot import __version__
from bot.care import age, check, check_known, pinned
from bot.chat import NO_KEEPER
from bot.ctl import BEAT_SECONDS, MOST_BYTES, REQUESTS, SOCKET, at_path, user_at
from bot.errors import NeverquitError, UserError
from bot.live.report import Report
from bot.logs import clean

if TYPE_CHECKING:
    from bot.app import App

LOCK = "lock"
MOST_CLIENTS = 16  # at once; scripts ask one after the other
VITALS_SECONDS = 2.0  # for the keeper to answer
REQUEST_SECONDS = 30.0  # for a client to say something, or to take its answer

log = logging.getLogger(__name__)


@contextlib.contextmanager
def alone(state_dir: Path, *, inherited: bool = False) -> Iterator[None]:
    """Keep every other bot off this folder, which is made where there is none.

    Args:
        inherited: hold it on after an `exec`, too.

    Raises:
        NeverquitError: another bot runs on it, or it can't be made.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    try:
        state_dir.mkdir(parents=True, exist_ok=True)
        file = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise NeverquitError(f"{state_dir}: the state folder can't be used: {error.strerror}") from None
    try:
        try:
            # By process, not by descriptor as `flock`: a child that a plugin left behind would hold it for ever.
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            holder = os.read(file, 20).decode("ascii", "replace").strip()
            raise NeverquitError(
                f"{state_dir}: another neverquit runs on this state_dir (process {holder or 'unknown'}); end it first, "
                "or give this one a state_dir of its own"
            ) from None
        except OSError as error:  # a network file system without locks
            log.warning("%s: can't be locked (%s); take care that no second bot uses it", state_dir, error.strerror)
        os.set_inheritable(file, inherited)
        os.ftruncate(file, 0)
        os.pwrite(file, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(file)


class Control:
    """Listens for `neverquit ctl`. Made and started by `neverquit run`, which holds the lock.

    Args:
        app: the bot.
        state_dir: where the socket is made.
    """

    def __init__(self, app: App, state_dir: Path) -> None:
        self._app, self._path = app, state_dir / SOCKET
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._clients = 0

    async def start(self) -> None:
        """Listen. A bot that can't is one without `ctl`; the log says why."""
        if not hasattr(asyncio, "start_unix_server"):  # Windows
            return
        try:
            listening = self._listening()
            self._server = await asyncio.start_unix_server(self._client, sock=listening, limit=MOST_BYTES)
        except OSError as error:
            log.warning("neverquit ctl can't reach this bot: %s: %s", self._path, error.strerror or error)

    def _listening(self) -> socket.socket:
        folder = self._path.parent.stat()
        if folder.st_mode & 0o002 or (folder.st_uid != os.geteuid() != 0):
            raise OSError(None, "the folder belongs to others, or all may write into it; chown or chmod o-w it")
        self._path.unlink(missing_ok=True)  # a bot that was killed left it behind
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            at_path(made.bind, self._path)
            self._path.chmod(0o600)  # before anyone can connect: that takes `listen`
            made.setblocking(False)
        except BaseException:
            made.close()
            raise
        return made

    async def stop(self) -> None:
        """Hang up on everybody, and take the socket away."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)

    # -- one client

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._clients += 1
        try:
            await self._serve(reader, writer)
        except (OSError, TimeoutError, asyncio.CancelledError):  # it went, it said nothing, or the bot ends
            pass
        except Exception:
            log.exception("a client of neverquit ctl could not be served")
        finally:
            self._clients -= 1
            self._tasks.discard(task)
            writer.close()
            try:
                await asyncio.wait_for(writer.wait_closed(), BEAT_SECONDS)
            except (OSError, TimeoutError):  # it does not read what it asked for
                writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        user = user_at(writer.get_extra_info("socket"))
        if user not in (None, 0, os.geteuid()):
            log.warning("neverquit ctl: uid %s tried to speak to this bot, and may not", user)
            return
        while True:
            try:
                line = await asyncio.wait_for(reader.readline(), REQUEST_SECONDS)
            except ValueError:  # longer than MOST_BYTES
                line = b"-"
            if not line.endswith(b"\n"):
                if line:
                    await _tell(writer, [], [f"that is no request: a line of JSON has at most {MOST_BYTES} bytes"])
                return
            if self._clients > MOST_CLIENTS:
                await _tell(writer, [], [f"{MOST_CLIENTS} others are speaking to this bot; try again later"])
                return
            work = asyncio.ensure_future(self._answer(line, user))
            self._tasks.add(work)
            work.add_done_callback(self._tasks.discard)
            while not (await asyncio.wait({work}, timeout=BEAT_SECONDS))[0]:
                await _put(writer, b"\n")
            await _tell(writer, *work.result())

    async def _answer(self, line: bytes, user: int | None) -> tuple[list[str], list[str]]:
        """Do what a request says. Never raises, or a mistake of ours would hang up on a script without a word."""
        try:
            request = json.loads(line)
            do, name, which = request["do"], request.get("name", ""), request.get("which", "")
            assert isinstance(do, str) and isinstance(name, str) and isinstance(which, str)
        except (ValueError, TypeError, KeyError, AttributeError, AssertionError, RecursionError):
            return [], ['that is no request: write {"do": "status"}, or {"do": "reload", "name": "weather"}']
        if do not in _DOES:
            return [], [f"this bot can't {clean(do)[:40]}; it knows {', '.join(REQUESTS)}"]
        log.info("neverquit ctl: %s", clean(f"{do} {name} {which}".strip()))
        try:
            return await _DOES[do](self, name, which, _name_of(user))
        except UserError as error:
            return [], [clean(str(error))]
        except asyncio.CancelledError:
            return [], ["the bot is about to end"]
        except Exception:
            log.exception("neverquit ctl: %s failed inside the bot", do)
            return [], [f"{do} failed inside the bot; its log has the trace"]

    # -- what can be asked for

    async def _reload(self, name: str, which: str, who: str) -> tuple[list[str], list[str]]:
        if name in ("", "all"):
            report = await self._app.reloader.settle(everything=True, cause=f"ctl by {who}")
            return self._told(report) if report else (["there is no plugin to reload"], [])
        await check(self._app, name)
        report = await self._app.reloader.settle({name}, cause=f"ctl by {who}")
        return self._told(report, f"{name}: nothing to reload; it is off (load it, or !enable {name})")

    async def _load(self, name: str, which: str, who: str) -> tuple[list[str], list[str]]:
        await check(self._app, name)
        if name in self._app.places.off_everywhere():
            raise UserError(f"{name} is disabled; !enable {name} loads it, unless plugins.disabled has it")
        report = await self._app.reloader.load(name, cause=f"ctl by {who}")
        return self._told(report, f"{name} can't be found in the plugin directories, nor among what is installed")

    async def _unload(self, name: str, which: str, who: str) -> tuple[list[str], list[str]]:
        await check(self._app, name)
        return self._told(await self._app.reloader.unload(name, cause=f"ctl by {who}"), f"{name} is not loaded")

    async def _rollback(self, name: str, which: str, who: str) -> tuple[list[str], list[str]]:
        await check_known(self._app, name)
        if name in self._off():
            raise UserError(f"{name} is off; load it, or !enable {name}, first")
        report = await self._app.past.rollback(name, which or "1", f"{who} (ctl)")
        return self._told(report, f"{name}: no plugin that is live imports it")

    async def _plugins(self, name: str, which: str, who: str) -> tuple[list[str], list[str]]:
        lines, now = [], time.monotonic()
        live, failed = self._app.reloader.plugins(), self._app.reloader.failed - self._off()
        for plugin, image in live.items():
            if image.owner is not None:
                since, calls = age(now - image.owner.since), len(image.owner.calls)
                number = f"g{image.owner.generation} {image.unit.digest[:7]}"
                stays = pinned(self._app, plugin) or (", the file can't be loaded" if plugin in failed else "")
                lines.append(f"{plugin} {number}, age {since}, {calls} in flight{stays}")
        lines += [f"{plugin} failed" for plugin in sorted(failed - live.keys())]
        return [*lines, *(f"{plugin} off" for plugin in sorted(self._off()))], []

    async def _status(self, name: str, which: str, who: str) -> tuple[list[str], list[str]]:
        app = self._app
        keeper = await self._keeper()
        lines = [f"neverquit {__version__}, {_processes(keeper, time.monotonic() - app.started)}"]
        for network in app.networks.values():
            connection = network.connection
            joined = sum(connection.roster.channel(channel) is not None for channel in connection.channels)
            up = keeper.get("networks", {}).get(network.name)
            lasts = f", connected for {age(up)}" if up is not None else ""
            lines.append(f"{network.name}: {connection.state}, {joined} of {len(connection.channels)} channels{lasts}")
        waiting = keeper.get("queued", 0) + sum(len(network.connection.outbox) for network in app.networks.values())
        live, off, failed = len(app.reloader.plugins()), len(self._off()), len(app.reloader.failed - self._off())
        if keeper:
            lines.append(f"lines to send: {waiting}, in work: {keeper['held']}, lost: {keeper['lost']}")
        safe = ", safe mode" if app.reloader.safety.on else ""
        lines.append(f"plugins: {live} live, {off} off, {failed} failed, {app.reloader.commits} commits{safe}")
        return [clean(line) for line in lines], []

    async def _keeper(self) -> dict[str, Any]:
        """Ask the keeper how it is; nothing if it has no time for that."""
        try:
            return await asyncio.wait_for(self._app.vitals(), VITALS_SECONDS)
        except TimeoutError:
            return {}

    async def _restart(self, name: str, which: str, who: str) -> tuple[list[str], list[str]]:
        """Answer when this worker is about to leave; the client then asks the next one for `restarted`."""
        if self._app.handover is None:
            raise UserError(NO_KEEPER)
        await asyncio.shield(self._app.handover.restart(f"{who} (ctl)", python=name))
        return [], []

    async def _restarted(self, name: str, which: str, who: str) -> tuple[list[str], list[str]]:
        handover = self._app.handover
        if handover is not None and handover.retired:
            await asyncio.Future()  # not this one; it hangs up in a moment
        if handover is None or handover.told is None:
            raise UserError("the worker that was to take over has ended, and another has begun; the log says more")
        return [await asyncio.shield(handover.told)], []

    def _off(self) -> set[str]:
        return {*self._app.places.off_everywhere(), *self._app.reloader.stopped}

    def _told(self, report: Report, nothing: str = "") -> tuple[list[str], list[str]]:
        """Tell a report to the log and the channel, as ever, and split it for the client, who gets all of it."""
        self._app.announcer.report(report)
        if not report:
            raise UserError(nothing)
        lines = {ok: [clean(entry.text) for entry in report.entries if entry.ok == ok] for ok in (True, False)}
        return lines[True], lines[False]


_Does = Callable[[Control, str, str, str], Awaitable[tuple[list[str], list[str]]]]
_DOES: dict[str, _Does] = {
    "reload": Control._reload,
    "load": Control._load,
    "unload": Control._unload,
    "rollback": Control._rollback,
    "plugins": Control._plugins,
    "status": Control._status,
    "restart": Control._restart,
    "restarted": Control._restarted,
}


def in_short(app: App) -> str:
    """Return how a bot is, in a few words: for systemd."""
    states = [f"{name} {network.connection.state}" for name, network in app.networks.items()]
    plugins = len(app.reloader.plugins())
    loaded = "safe mode" if app.reloader.safety.on else f"{plugins} plugin{'' if plugins == 1 else 's'}"
    return "; ".join([*states, loaded])


def _processes(keeper: Mapping[str, Any], up: float) -> str:
    if "pid" not in keeper:
        return f"process {os.getpid()}, up {age(up)}"
    restarts, reserve = keeper["restarts"], keeper.get("reserve")
    return (
        f"keeper {keeper['pid']}, up {age(keeper['up'])}; worker {os.getpid()}, up {age(up)}, "
        f"{restarts} restart{'' if restarts == 1 else 's'}{f'; in reserve {reserve}' if reserve else ''}"
    )


def _name_of(user: int | None) -> str:
    """Return how a cause may name who asked: `uid 1000 alice`."""
    if user is None:
        return "its own user"
    try:
        import pwd

        return f"uid {user} {pwd.getpwuid(user).pw_name}"
    except (ImportError, KeyError):
        return f"uid {user}"


async def _put(writer: asyncio.StreamWriter, raw: bytes) -> None:
    if not writer.is_closing():
        writer.write(raw)
        await asyncio.wait_for(writer.drain(), REQUEST_SECONDS)


async def _tell(writer: asyncio.StreamWriter, out: list[str], err: list[str]) -> None:
    await _put(writer, json.dumps({"out": out, "err": err}).encode() + b"\n")
