"""bot/terminal.py: log lines as a person sees them at a terminal."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

import pytest

from bot import logs
from bot.errors import PluginError
from bot.live.discover import Source, Unit
from bot.live.outcome import Failed
from bot.live.report import Entry, Report, failed
from bot.live.trial import InTrial
from bot.terminal import MOST_ENTRIES, Terminal

ROOT = Path(__file__).parents[1]
COLOURFUL = {"TERM": "xterm"}
PLAIN = {"TERM": "xterm", "NO_COLOR": "1"}
GOOD = Entry("weather g4 -> g5 (1a2b3c4 -> 5d6e7f8): ~weather, 9 ms", ("weather",), True)


@pytest.fixture
def screen() -> Iterator[TextIO]:
    """A terminal of 60 columns."""
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 60, 0, 0))
    with ExitStack() as stack:
        stack.callback(os.close, master)
        yield stack.enter_context(os.fdopen(slave, "w", encoding="utf-8"))


@pytest.fixture
def plain(screen: TextIO) -> Terminal:
    return Terminal(screen, PLAIN)


def record(message: object, level: int = logging.INFO, **more: object) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "bot.app", "levelno": level, "msg": message, "created": 0.0, **more})


def refused(terminal: Terminal, error: PluginError, content: str | bytes) -> Entry:
    """A plugin weather that stays g4, as the reloader tells of it."""
    raw = content.encode() if isinstance(content, str) else content
    source = Source("plugins.weather", "/p/weather.py", "weather.py", raw, False)
    units = {"weather": Unit("weather", {"plugins.weather": source}, "0" * 40)}
    terminal.failed(Failed(("weather",), units, error, "saved"))
    return failed([("weather", 4)], str(error))


def below(terminal: Terminal, error: PluginError, content: str | bytes) -> list[str]:
    """What is shown of the source."""
    lines = terminal.line(record(Report((refused(terminal, error, content),)))).split("\n")
    return [line for line in lines if " | " in line]


def test_what_went_live_is_green_and_has_the_time_and_a_mark(screen: TextIO) -> None:
    line = Terminal(screen, COLOURFUL).line(record(Report((GOOD,))))
    assert re.fullmatch(r"\x1b\[2m\d\d:\d\d:\d\d\x1b\[0m \x1b\[32m✓ weather g4 -> g5 .*: ~weather,\x1b\[0m\n.*", line)


def test_what_was_refused_is_red_and_shows_the_line_at_fault(screen: TextIO) -> None:
    terminal = Terminal(screen, COLOURFUL)
    error = PluginError("weather", "weather.py", 2, "SyntaxError: expected ':'", 17)
    line = terminal.line(record(Report((refused(terminal, error, "x = 1\ndef weather(ctx)\n"),))))
    assert "\x1b[31m✗ weather stays g4: weather.py:2: SyntaxError:\x1b[0m\n" in line
    assert line.endswith(
        "\n           \x1b[2m   2 | \x1b[0mdef weather(ctx)\n           \x1b[2m     | \x1b[0m"
        + " " * 16
        + "\x1b[31m^\x1b[0m"
    )


def test_a_fault_without_a_column_has_no_caret(plain: Terminal) -> None:
    error = PluginError("weather", "weather.py", 1, "ZeroDivisionError: division by zero")
    assert below(plain, error, "1 / 0\n") == [" " * 11 + "   1 | 1 / 0"]


def test_the_caret_stands_below_the_fault_behind_tabs_and_wide_letters(plain: Terminal) -> None:
    error = PluginError("weather", "weather.py", 1, "SyntaxError: invalid syntax", 11)
    assert below(plain, error, '\tx = "日本" 1\n') == [
        " " * 11 + '   1 |         x = "日本" 1',
        " " * 11 + "     | " + " " * 19 + "^",
    ]


def test_of_a_long_line_the_part_with_the_fault_is_shown(plain: Terminal) -> None:
    error = PluginError("weather", "weather.py", 1, "SyntaxError: invalid syntax", 200)
    text, caret = below(plain, error, "a" * 199 + "!" + "b" * 300)
    assert len(text) <= 60 and text[len(caret) - 1] == "!"


def test_a_line_that_can_not_be_shown_is_left_out(plain: Terminal) -> None:
    error = PluginError("weather", "weather.py", 1, "SyntaxError: (unicode error)")
    assert below(plain, error, b"\xff\xfe\x00") == []
    assert below(plain, PluginError("weather", "weather.py", 9, "gone"), "x = 1") == []
    assert below(plain, PluginError("weather", "other.py", 1, "elsewhere"), "x = 1") == []


def test_the_source_is_of_the_version_that_failed_and_is_forgotten_with_its_report(plain: Terminal) -> None:
    error = PluginError("weather", "weather.py", 1, "NameError: x")
    report = record(Report((refused(plain, error, "x"),)))
    assert "   1 | x" in plain.line(report)
    assert "   1 | x" not in plain.line(report)


def test_each_entry_has_a_line_failures_first_and_many_are_counted(plain: Terminal) -> None:
    entries = tuple(Entry(f"p{number} unloaded", (f"p{number}",), True) for number in range(MOST_ENTRIES))
    bad = Entry("weather not loaded: weather.py:1: NameError: x", ("weather",), False)
    lines = plain.line(record(Report((*entries, bad)))).split("\n")
    assert [line[9:] for line in lines] == [
        f"✗ {bad.text}",
        *(f"✓ p{number} unloaded" for number in range(MOST_ENTRIES - 1)),
        "· +1 more",
    ]


def test_long_lines_are_broken_at_the_width_and_go_on_below_the_text(plain: Terminal) -> None:
    lines = plain.line(record("one word after another " * 6)).split("\n")
    assert len(lines) > 2 and max(map(len, lines)) <= 60
    assert all(line.startswith(" " * 11) and line[11] != " " for line in lines[1:])


@pytest.mark.parametrize("environment", [PLAIN, {"TERM": "dumb"}, {}], ids=["no-color", "dumb", "none"])
def test_there_is_no_colour_where_none_is_wanted(screen: TextIO, environment: dict[str, str]) -> None:
    line = Terminal(screen, environment).line(record(Report((GOOD,)), logging.WARNING))
    assert "\x1b" not in line and "✓ weather" in line


def test_an_encoding_without_the_marks_gets_others(tmp_path: Path) -> None:
    with (tmp_path / "screen").open("w", encoding="latin-1") as stream:
        assert " + weather " in Terminal(stream, PLAIN).line(record(Report((GOOD,))))


@pytest.mark.parametrize(
    ("level", "mark"), [(logging.DEBUG, "·"), (logging.INFO, "·"), (logging.WARNING, "!"), (logging.ERROR, "✗")]
)
def test_every_other_record_has_a_mark_and_says_where_it_is_from(plain: Terminal, level: int, mark: str) -> None:
    assert plain.line(record("so it is", level))[9:] == f"{mark} bot.app: so it is"


def test_a_trace_stands_below_its_record(plain: Terminal) -> None:
    try:
        1 / 0  # noqa: B018  # for its traceback
    except ZeroDivisionError:
        lines = plain.line(record("oops", logging.ERROR, exc_info=sys.exc_info())).split("\n")
    assert lines[1] == " " * 11 + "Traceback (most recent call last):"
    assert lines[-1] == " " * 11 + "ZeroDivisionError: division by zero"


def test_a_trace_of_another_process_stands_there_as_it_is(plain: Terminal) -> None:
    record = logging.LogRecord("bot", logging.WARNING, "", 0, "no", None, (InTrial, InTrial("Traceback:\n  1/0"), None))
    assert [line.strip() for line in plain.line(record).splitlines()[1:]] == ["Traceback:", "1/0"]


def test_nothing_that_it_shows_is_obeyed_or_a_secret(screen: TextIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_secrets", set())
    monkeypatch.setattr(logs, "_pattern", None)
    logs.redact("hunter22")
    terminal = Terminal(screen, PLAIN)
    error = PluginError("weather", "weather.py", 1, "NameError: \x1b[2J hunter22", 3)
    entry = refused(terminal, error, "x = '\x1b[2J hunter22'")
    shown = terminal.line(record(Report((entry,)))) + terminal.line(record("\x1b]0;hunter22\x07"))
    assert "\x1b" not in shown and "\x07" not in shown and "hunter22" not in shown
    assert shown.count("***") == 3 and "x = '\\x1b[2J ***'" in shown


# --- the program


async def seen(folder: Path, format: str, pattern: str, tty: bool = True) -> str:
    """What `neverquit run` has written to its standard error when the pattern is in it."""
    (folder / "plugins").mkdir()
    (folder / "plugins" / "bad.py").write_text("x = (\n")
    network = "{host: 127.0.0.1, port: 1, tls: false}"
    (folder / "config.yaml").write_text(f"networks:\n  here: {network}\nlog: {{format: {format}}}\n")
    master, slave = os.openpty() if tty else os.pipe()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "run"),
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=slave,
    )
    os.close(slave)
    text = ""
    try:
        async with asyncio.timeout(20):
            while not re.search(pattern, text):
                text += (await asyncio.to_thread(os.read, master, 65536)).decode()
    finally:
        process.terminate()
        await process.wait()
        os.close(master)
    return text


async def test_run_at_a_terminal_shows_colours_and_source(tmp_path: Path) -> None:
    text = await seen(tmp_path, "text", r"\| .*\^")
    assert "\x1b[31m✗ bad not loaded: bad.py:1: SyntaxError: '(' was never closed\x1b[0m" in text
    assert "\x1b[0mx = (\r\n" in text


async def test_run_in_a_pipe_writes_plain_lines(tmp_path: Path) -> None:
    text = await seen(tmp_path, "text", "bad not loaded.*\n", tty=False)
    assert re.search(r"(?m)^\d{4}-\d\d-\d\d \S+ warning bot\.announce: bad not loaded: .*$", text)
    assert "\x1b" not in text and "✗" not in text


async def test_json_is_json_at_a_terminal_too(tmp_path: Path) -> None:
    assert re.search(r'(?m)^\{"time": .*bad not loaded: .*\}\r$', await seen(tmp_path, "json", "bad not loaded.*\n"))
