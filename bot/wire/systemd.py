"""Telling systemd how things are: sd_notify(3), for a unit of `Type=notify`. Without systemd nothing happens.

A part of the keeper (standard library only). The keeper is the main process of the unit and the only one that speaks;
the variables that say how are taken out of the environment, so that no plugin speaks for the bot.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping


class Systemd:
    """The service manager that this process was started by, if it was.

    Args:
        environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID` are taken out of it.

    Attributes:
        watchdog_seconds: how often to say `alive`, half of what is asked for; None: not at all.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        self._address = environment.pop("NOTIFY_SOCKET", "")
        microseconds, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", "")
        watched = microseconds.isdecimal() and int(microseconds) > 0 and pid in ("", str(os.getpid()))
        self.watchdog_seconds = int(microseconds) / 2e6 if watched and self._address else None
        self._status = ""

    def ready(self) -> None:
        """Started, or done with a reload."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> None:
        """The end begins."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """For the watchdog."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """What `systemctl status` shows; told when it changes."""
        if text != self._status:
            self._status = text
            self._tell(f"STATUS={' '.join(text.split())}")

    def _tell(self, state: str) -> None:
        if self._address[:1] not in ("/", "@"):
            return
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.setblocking(False)
            try:
                to.sendto(state.encode(errors="replace"), address)
            except OSError:
                pass  # it is gone, or does not read: nobody to tell
