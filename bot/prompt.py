"""The demo's two screens: a prompt at a terminal, or plain lines through standard input and output.

At a terminal it is a tiny IRC client: others' lines appear above what is being typed, long ones are wrapped, and a
line that begins with `/` is a command of its own, never said aloud. Elsewhere every line is said as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import textwrap
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Protocol


class Screen(Protocol):
    """Where the demo's person reads and writes."""

    interactive: bool

    def put(self, nick: str, text: str) -> None:
        """Show what somebody said."""

    def note(self, text: str) -> None:
        """Show what happened besides."""

    def lines(self) -> AsyncIterator[str]:
        """Yield what the person writes, to the end."""

    def opened(self) -> contextlib.AbstractContextManager[None]:
        """Leave the terminal as it was found at the end of the block."""


class Pipe:
    """Standard input and output that are no terminal: only `<nick> text` goes out."""

    interactive = False

    def put(self, nick: str, text: str) -> None:
        """Write one line to standard output."""
        print(f"<{nick}> {text}", flush=True)

    def note(self, text: str) -> None:
        """Say nothing: a script reads what is said, and no more."""

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of standard input."""
        async for line in _read_lines(sys.stdin.readline):
            yield line

    def opened(self) -> contextlib.AbstractContextManager[None]:
        """Nothing has to be put back."""
        return contextlib.nullcontext()


class Terminal:
    """A prompt that stays below what others say, also while something is being typed."""

    interactive = True

    def __init__(self, nick: str) -> None:
        self._prompt = f"<{nick}> "
        self._begun = False
        self._asking = False  # whether the prompt stands on the last line
        try:
            import readline

            self._typed: Callable[[], str] = readline.get_line_buffer
        except ImportError:
            self._typed = str
        self._bold, self._plain = ("", "") if os.environ.get("NO_COLOR") else ("\x1b[1;36m", "\x1b[0m")

    def put(self, nick: str, text: str) -> None:
        """Write one line above the prompt, wrapped at blanks."""
        first, *rest = self._wrapped(text, len(nick) + 3)
        self.write("\n".join([f"{self._bold}<{nick}>{self._plain} {first}", *rest]) + "\n")

    def note(self, text: str) -> None:
        """Write a line that nobody said."""
        if not self._begun:
            return  # that the bot has come is what the greeting is about
        first, *rest = self._wrapped(text, 2)
        self.write("\n".join([f"* {first}", *rest]) + "\n")

    def _wrapped(self, text: str, indent: int) -> list[str]:
        width = max(20, shutil.get_terminal_size().columns - 1)
        lines = textwrap.wrap(text, width, initial_indent=" " * indent, subsequent_indent=" " * indent)
        return [lines[0][indent:], *lines[1:]] if lines else [""]

    def write(self, text: str) -> None:
        """Write lines above the prompt; with `flush` this makes it a stream for log records."""
        sys.stdout.write(f"\r\x1b[K{text}{self._prompt + self._typed() if self._asking else ''}")
        self.flush()

    def flush(self) -> None:
        """Show what was written."""
        sys.stdout.flush()

    async def lines(self) -> AsyncIterator[str]:
        """Yield what is typed until Ctrl-D."""
        self._begun = True
        async for line in _read_lines(self._ask):
            yield line

    def _ask(self) -> str:
        self._asking = True
        try:
            return input(self._prompt) + "\n"
        finally:
            self._asking = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Leave the terminal as it was found, although a reader may still be waiting in it."""
        import termios

        before = termios.tcgetattr(sys.stdin.fileno())
        try:
            yield
        finally:
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
            sys.stdout.write("\r\x1b[K")
            self.flush()


async def _read_lines(read: Callable[[], str]) -> AsyncIterator[str]:
    # A thread of our own, and a daemon: a read of the terminal can't be cancelled and must not hold up the end. It
    # reads only when it is asked to, so that no prompt is shown after the last line.
    loop, lines, wanted = asyncio.get_running_loop(), asyncio.Queue[str | None](), threading.Semaphore(0)

    def work() -> None:
        while wanted.acquire():
            try:
                line = read()
            except (EOFError, OSError, ValueError, UnicodeDecodeError):
                line = ""
            try:
                loop.call_soon_threadsafe(lines.put_nowait, line.rstrip("\r\n") if line else None)
            except RuntimeError:
                return  # the loop is closed
            if not line:
                return

    threading.Thread(target=work, name="stdin", daemon=True).start()
    wanted.release()
    while (line := await lines.get()) is not None:
        yield line
        wanted.release()
