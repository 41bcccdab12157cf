"""People at their own IRC programs: irssi and WeeChat in a terminal (tmux) that a test types into and looks at.

    async with irssi(folder, server, "irene") as irene:
        irene.type("!hello")
        await irene.shows(r"< neverquit> hello to you")

Each has a tmux server of its own, ended with all that is in it. What is on the screen is looked at again and again
until it is what a test waits for; a failed wait shows the screen.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

from .ircd import Ircd

DEADLINE_SECONDS = 20.0
LOOK_SECONDS = 0.05  # between two looks at a screen
COLUMNS, ROWS = 160, 45

T = TypeVar("T")


# Neither program holds back what is typed fast, as both do for the sake of servers that count.
IRSSI = 'settings = { "irc/core" = { cmd_queue_speed = "10"; cmds_max_at_once = "100"; }; };'
WEECHAT = ("anti_flood 0", "anti_flood_prio_high 0", "anti_flood_prio_low 0")


async def _until(true: Callable[[], T]) -> T:
    """Look until something is so, and return it."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (found := true()):  # noqa: ASYNC110 - neither a screen nor a stranger's process tells us
            await asyncio.sleep(LOOK_SECONDS)
        return found


class Screen:
    """A terminal with a program in it."""

    nick = ""  # whose it is
    to_server = to_channel = ""  # what one types to see another window

    def __init__(self, folder: Path, *command: str) -> None:
        self._socket = folder / "tmux"
        environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": str(folder), "TERM": "xterm-256color"}
        self._environment = environment
        self._tmux("new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), *command)

    def type(self, *lines: str) -> None:
        """Type lines, each with Enter."""
        for line in lines:
            self._tmux("send-keys", "-l", line)
            self._tmux("send-keys", "Enter")

    def look(self, *, raw: bool = False) -> str:
        """What is on the screen; `raw` with the escapes of colours."""
        return self._tmux("capture-pane", "-p", *(["-e"] if raw else []))

    async def shows(self, pattern: str, *, raw: bool = False) -> re.Match[str]:
        """Wait until something on the screen fits.

        Raises:
            AssertionError: it does not come; with the screen.
        """
        try:
            return await _until(lambda: re.search(pattern, self.look(raw=raw), re.MULTILINE))
        except TimeoutError:
            raise AssertionError(f"never on the screen: {pattern!r}\n{self.look(raw=raw)}") from None

    async def server_shows(self, pattern: str) -> str:
        """The same, of the window where the program shows what belongs to no channel; return all that it shows."""
        self.type(self.to_server)
        await self.shows(pattern)
        seen = self.look()
        self.type(self.to_channel)
        return seen

    async def end(self) -> None:
        """End the program, and wait until it has written its last files."""
        program = Path("/proc", self._tmux("display-message", "-p", "#{pane_pid}").strip())
        self._tmux("kill-server")
        with contextlib.suppress(TimeoutError):
            await _until(lambda: not program.exists())

    def _tmux(self, *words: str) -> str:
        command = ["tmux", "-u", "-S", str(self._socket), "-f", "/dev/null", *words]
        done = subprocess.run(command, env=self._environment, check=True, capture_output=True, timeout=DEADLINE_SECONDS)
        return done.stdout.decode()


@contextlib.asynccontextmanager
async def _opened(nick: str, *command: str) -> AsyncIterator[Screen]:
    with tempfile.TemporaryDirectory(prefix="neverquit-screen-") as room:  # a short path: it holds a socket
        (Path(room) / "irssi").mkdir()
        (Path(room) / "irssi" / "config").write_text(IRSSI)
        screen = Screen(Path(room), *(word.replace("{room}", room) for word in command))
        screen.nick = nick
        try:
            yield screen
        finally:
            await screen.end()


@contextlib.asynccontextmanager
async def irssi(server: Ircd, nick: str, channel: str) -> AsyncIterator[Screen]:
    """A person with irssi, who sits in a channel."""
    command = ["irssi", "--home={room}/irssi", "-c", server.host, "-p", str(server.plain_port), "-n", nick]
    async with _opened(nick, *command) as screen:
        await screen.shows(r"message of the day|Message of the day|MOTD")
        screen.type(f"/join {channel}")
        screen.to_server, screen.to_channel = "/window 1", "/window 2"
        await screen.shows(rf"{channel}: Total of \d+ nicks")
        yield screen


@contextlib.asynccontextmanager
async def weechat(server: Ircd, nick: str, channel: str) -> AsyncIterator[Screen]:
    """A person with WeeChat and all that it can of IRCv3."""
    first = (
        f"/server add real {server.host}/{server.plain_port}",
        f"/set irc.server.real.nicks {nick}",
        "/set irc.server.real.capabilities *",
        f"/set irc.server.real.autojoin {channel}",
        "/set typing.look.enabled_self on",
        *(f"/set irc.server.real.{option}" for option in WEECHAT),
        "/connect real",
    )
    command = ["weechat", "-d", "{room}/weechat"]
    for line in first:
        command += ["-r", line]
    async with _opened(nick, *command) as screen:
        screen.to_server, screen.to_channel = "/buffer irc.server.real", f"/buffer irc.real.{channel}"
        await screen.shows(rf"Channel {channel}: \d+ nicks?")
        yield screen
