"""bot/ctl.py: the client, against a socket that answers as it is told; `neverquit ctl` as a process is at the end."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bot import ctl
from bot.ctl import SOCKET, ask, at_path, main
from bot.errors import NeverquitError

ROOT = Path(__file__).parents[1]
Serve = Callable[[socket.socket], object]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[[Serve], Path]]:
    """Answer one client on a socket in a folder, which is returned."""
    threads: list[threading.Thread] = []

    def begin(answer: Serve) -> Path:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind(str(tmp_path / SOCKET))
        listening.listen()

        def run() -> None:
            with listening, listening.accept()[0] as end:
                answer(end)

        threads.append(threading.Thread(target=run))
        threads[-1].start()
        return tmp_path

    yield begin
    for thread in threads:
        thread.join()


def answering(text: str) -> Serve:
    def answer(end: socket.socket) -> None:
        end.recv(4096)
        end.sendall(text.encode())

    return answer


def test_what_went_well_goes_to_standard_output_and_the_code_is_0(
    serve: Callable[[Serve], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = serve(answering('{"out": ["a loaded", "b loaded"], "err": []}\n'))
    assert main(folder, "reload", "a") == 0
    assert capsys.readouterr() == ("a loaded\nb loaded\n", "")


def test_what_failed_goes_to_standard_error_and_the_code_is_1(
    serve: Callable[[Serve], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = serve(answering('{"out": ["a loaded"], "err": ["b stays g1: b.py:1: SyntaxError"]}\n'))
    assert main(folder, "reload") == 1
    assert capsys.readouterr() == ("a loaded\n", "b stays g1: b.py:1: SyntaxError\n")


def test_the_request_is_one_line_of_json(serve: Callable[[Serve], Path]) -> None:
    heard: list[bytes] = []

    def answer(end: socket.socket) -> None:
        heard.append(end.recv(4096))
        end.sendall(b'{"out": [], "err": []}\n')

    ask(serve(answer), "reload", "wetter\n")
    assert heard[0].count(b"\n") == 1 and json.loads(heard[0]) == {"do": "reload", "name": "wetter\n", "which": ""}


def test_signs_of_life_are_passed_over_and_an_answer_may_come_in_pieces(serve: Callable[[Serve], Path]) -> None:
    def answer(end: socket.socket) -> None:
        end.recv(4096)
        for piece in (b"\n", b"\n\n", b'{"out": ["do', b'ne"], "er', b'r": []}', b"\n"):
            end.sendall(piece)

    assert ask(serve(answer), "status") == (["done"], [])


def test_a_bot_that_is_silent_is_given_up(serve: Callable[[Serve], Path]) -> None:
    done = threading.Event()
    folder = serve(lambda end: done.wait(20))
    try:
        with pytest.raises(NeverquitError, match=r"no sign of life for 0\.05 s"):
            ask(folder, "status", silence_seconds=0.05)
    finally:
        done.set()


@pytest.mark.parametrize("text", ["", "\n\n", '{"out": [', "no json\n"])
def test_a_bot_that_goes_away_or_says_nonsense_is_told(serve: Callable[[Serve], Path], text: str) -> None:
    with pytest.raises(NeverquitError, match="before it answered"):
        ask(serve(answering(text)), "status")


def test_without_a_bot_it_says_so_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(tmp_path / "nowhere", "status") == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("neverquit: no bot is running on ") and err.count("\n") == 1


def test_a_socket_that_a_killed_bot_left_behind_is_no_bot(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / SOCKET))
    with pytest.raises(NeverquitError, match="no bot is running"):
        ask(tmp_path, "status")


def test_a_socket_of_another_user_is_not_believed(
    serve: Callable[[Serve], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = serve(lambda end: end.recv(1))
    monkeypatch.setattr(ctl, "user_at", lambda end: 4711)
    with pytest.raises(NeverquitError, match="neither your user nor the owner of the folder"):
        ask(folder, "status")


def test_a_path_that_no_socket_address_can_hold_is_reached_from_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 120) / ("b" * 120)
    folder.mkdir(parents=True)
    here = Path.cwd()
    with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as end:
        at_path(listening.bind, folder / SOCKET)
        listening.listen()
        at_path(end.connect, folder / SOCKET)
    assert (folder / SOCKET).is_socket() and Path.cwd() == here


# --- the program


def neverquit(folder: Path, *arguments: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "bot", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **environment},
        capture_output=True,
        text=True,
        timeout=20,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["fly"], "ctl can't fly; it knows reload, load, unload, rollback, plugins, status"),
        (["load"], "say which plugin: neverquit ctl load NAME"),
        ([], "Missing argument"),
    ],
)
def test_what_it_can_not_be_asked_is_a_mistake_of_use(tmp_path: Path, arguments: list[str], why: str) -> None:
    code, out, err = neverquit(tmp_path, "ctl", *arguments)
    assert (code, out) == (2, "") and why in err


def test_without_a_configuration_it_is_a_bad_configuration(tmp_path: Path) -> None:
    code, out, err = neverquit(tmp_path, "ctl", "status")
    assert (code, out) == (78, "") and err.startswith("config.yaml: ")


def test_of_the_configuration_it_needs_only_where_the_state_is(tmp_path: Path) -> None:
    """A deploy script does not have the variables that the bot's passwords come from."""
    (tmp_path / "config.yaml").write_text('networks: {here: {host: x, password: "${NOT_SET}"}}\nstate_dir: there\n')
    code, out, err = neverquit(tmp_path, "ctl", "status")
    assert (code, out) == (1, "") and err.startswith(f"neverquit: no bot is running on {tmp_path}/there ")


def test_the_state_may_be_named_by_the_environment(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("networks: {}\n")
    assert f"{tmp_path}/state " in neverquit(tmp_path, "ctl", "status")[2]
    assert "/var/lib/x " in neverquit(tmp_path, "ctl", "status", STATE_DIRECTORY="/var/lib/x:/other")[2]


@pytest.mark.parametrize("text", ["5", "[a]", '"${NOT_SET}"'])
def test_a_state_dir_that_is_no_path_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.yaml").write_text(f"networks: {{}}\nstate_dir: {text}\n")
    code, _, err = neverquit(tmp_path, "ctl", "status")
    assert code == 78 and err.startswith("config.yaml:2:12: state_dir: ")


def test_it_imports_none_of_what_only_the_bot_needs(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("networks: {}\n")
    shown = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "bot", "ctl", "status"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
    ).stderr
    names = {line.rpartition("|")[2].strip() for line in shown.splitlines() if "|" in line}
    assert not {name.split(".")[0] for name in names} & {"rich", "irc", "aiohttp", "watchdog", "re2"}
    assert not names & {"bot.app", "bot.control"} and "bot.ctl" in names
