"""bot/demo.py: the scripted demo as a process, and the parts that need none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bot import demo
from bot.config import Config, Plugins
from bot.demo import BOT, CHANNEL, YOU, demo_config, show

ROOT = Path(__file__).parents[1]

PLUGIN = """
import asyncio
from bot import command, on, rule

@command("echo")
def echo(ctx, text: str): return text

@command("slow")
async def slow(ctx):
    for _ in range(50): await asyncio.sleep(0)
    return "slow is done"

@command("thread")
def thread(ctx): return (f"{n}" for n in range(3))

@command("me")
def me(ctx): ctx.action("waves")

@command("loud")
def loud(ctx):
    print("to standard output")
    ctx.log.error("to the log")
    return "said"

@command("bad")
def bad(ctx): 1 / 0

@rule("tea")
def tea(ctx): return "and milk"
"""


def run(folder: Path, script: str, *arguments: str) -> tuple[int, list[str], str]:
    """Run the demo with a script on its standard input: exit code, lines of standard output, standard error."""
    done = subprocess.run(
        [sys.executable, "-m", "bot", "demo", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        input=script.encode(),
        capture_output=True,
        timeout=30,
    )
    return done.returncode, done.stdout.decode().splitlines(), done.stderr.decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("demo")
    (made / "plugins").mkdir()
    (made / "plugins" / "mine.py").write_text(PLUGIN)
    return made


def test_each_line_is_answered_in_full_before_the_next_is_said(folder: Path) -> None:
    script = "!slow\n!echo one\n!thread\n\ntea please\n!echo two\n"
    assert run(folder, script)[:2] == (
        0,
        [
            "<neverquit> slow is done",
            "<neverquit> one",
            "<neverquit> 0",
            "<neverquit> 1",
            "<neverquit> 2",
            "<neverquit> and milk",
            "<neverquit> two",
        ],
    )


def test_standard_output_holds_what_others_say_and_nothing_else(folder: Path) -> None:
    code, out, err = run(folder, "hello\n!bad\n!me\n!nothing\n")
    assert code == 0
    assert out[0].startswith("<neverquit> bad failed (error ") and out[1:] == ["<neverquit> waves"]
    assert "ZeroDivisionError" in err and "Try three things" in err


def test_you_are_an_admin(folder: Path) -> None:
    _, out, _ = run(folder, "!reload mine\n!version mine\n")
    assert out[0].startswith("<neverquit> mine g1 -> g2 (") and out[1].startswith("<neverquit> mine g2 ")


def test_without_input_it_ends_at_once(folder: Path) -> None:
    assert run(folder, "")[:2] == (0, [])


def test_a_script_says_its_lines_as_they_are(folder: Path) -> None:
    """Only at a terminal is a line with a slash a command."""
    assert run(folder, "/quit\n/me has tea\n!echo two\n")[:2] == (0, ["<neverquit> and milk", "<neverquit> two"])


def test_odd_input_is_survived(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot", "demo"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONUTF8": "1"},
        input=b"\xe9\xff\n" + b"a\0b\rQUIT\n\x01ACTION x\x01\n" + b"x" * 3000 + b"\n!echo alive",
        capture_output=True,
        timeout=30,
    )
    assert done.returncode == 0 and done.stdout.decode().splitlines()[-1] == "<neverquit> alive", done.stderr


def test_the_bundled_plugins_serve_where_there_are_none(tmp_path: Path) -> None:
    assert run(tmp_path, "!roll 1d1\n")[:2] == (0, ["<neverquit> 1d1: 1"])
    assert list(tmp_path.iterdir()) == []


# --- the parts


class Screen:
    def __init__(self) -> None:
        self.put_lines: list[tuple[str, str]] = []
        self.notes: list[str] = []

    def put(self, nick: str, text: str) -> None:
        self.put_lines.append((nick, text))

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (f":bob!b@h PRIVMSG {CHANNEL} :hi", [("bob", "hi")]),
        (f":bob!b@h PRIVMSG {YOU} :hi", [("bob", "hi")]),
        (f":bob!b@h NOTICE {CHANNEL} :hi", [("bob", "hi")]),
        (f":bob!b@h PRIVMSG {CHANNEL} :\x01ACTION waves\x01", [("bob", "waves")]),
        (f":bob!b@h PRIVMSG {CHANNEL} :\x02bold\x02 \x0304red", [("bob", "bold red")]),
        (f":{YOU}!y@h PRIVMSG {CHANNEL} :mine", []),
        (":irc.demo NOTICE * :looking up", []),
        (f":bob!b@h PRIVMSG {CHANNEL} :\x01VERSION\x01", []),
        (f":bob!b@h JOIN {CHANNEL}", []),
        (":irc.demo 001 you :Welcome", []),
        ("", []),
        (":", []),
    ],
)
def test_what_is_shown_is_what_others_say(line: str, shown: list[tuple[str, str]]) -> None:
    screen: Any = Screen()
    show(line, screen)
    assert screen.put_lines == shown


def test_the_demo_takes_settings_but_its_own_network() -> None:
    base = Config(plugins=Plugins(settings={"weather": {"units": "us"}}), prefix=(".",))
    config = demo_config(1234, Path("/p"), base)
    assert config.plugins.settings == {"weather": {"units": "us"}} and config.plugins.directories == ("/p",)
    (network,) = config.networks.values()
    assert (network.host, network.port, network.prefix, network.nick) == ("127.0.0.1", 1234, (".",), BOT)


def test_reports_go_to_the_channel_of_the_demo() -> None:
    assert demo_config(1, Path("/p")).reload.report_to == "demo/#demo"


def test_the_plugins_of_the_folder_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert demo.demo_plugins().name == "plugins" and demo.demo_plugins().is_absolute()
    (tmp_path / "plugins").mkdir()
    assert demo.demo_plugins() == Path("plugins")
