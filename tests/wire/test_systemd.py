"""bot/wire/systemd.py: what a service manager hears, on a real datagram socket."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.wire.systemd import Systemd


class Ear:
    """The end that systemd would have."""

    def __init__(self, address: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address[0] == "@" else address)
        self._socket.settimeout(5)
        self.environment = {"NOTIFY_SOCKET": address}

    def heard(self) -> str:
        return self._socket.recv(4096).decode()

    def close(self) -> None:
        self._socket.close()


@pytest.fixture(params=["a path", "an abstract name"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ear]:
    made = Ear(str(tmp_path / "notify") if request.param == "a path" else f"@neverquit-test-{os.getpid()}")
    yield made
    made.close()


def test_each_state_is_told_as_sd_notify_has_it(ear: Ear) -> None:
    systemd = Systemd(ear.environment)
    systemd.ready()
    systemd.reloading()
    systemd.status("two\nlines")
    systemd.stopping()
    systemd.alive()
    assert ear.heard() == "READY=1"
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d{6,}", ear.heard())
    assert [ear.heard() for _ in range(3)] == ["STATUS=two lines", "STOPPING=1", "WATCHDOG=1"]


def test_a_status_is_told_when_it_changes(ear: Ear) -> None:
    systemd = Systemd(ear.environment)
    for text in ("a", "a", "b"):
        systemd.status(text)
    assert [ear.heard(), ear.heard()] == ["STATUS=a", "STATUS=b"]


def test_nobody_else_can_speak_for_us(ear: Ear) -> None:
    environment = {**ear.environment, "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid()), "HOME": "/"}
    assert Systemd(environment).watchdog_seconds == 1.5
    assert environment == {"HOME": "/"}


@pytest.mark.parametrize(
    "more", [{}, {"WATCHDOG_USEC": "0"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "9", "WATCHDOG_PID": "1"}]
)
def test_without_a_watchdog_of_ours_there_is_none(more: dict[str, str]) -> None:
    assert Systemd({"NOTIFY_SOCKET": "/nowhere", **more}).watchdog_seconds is None


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "relative"])
def test_without_anybody_to_tell_nothing_happens(address: str) -> None:
    Systemd({"NOTIFY_SOCKET": address}).ready()
