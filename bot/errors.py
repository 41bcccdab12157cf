"""All exceptions of the program, as one tree, and whose fault each one is.

    NeverquitError
      ConfigError        the operator's: every mistake in config.yaml at once, each with its place
      PluginError        the plugin author's: one file, one line, one sentence
      UserError          the chatter's: its text is the answer in the channel
        UsageError       the same, and the command's usage line follows
      MalformedLine      the server's: one line that is not IRC; counted and survived
      UnsafeText         ours or a plugin's: text with CR, LF or NUL on its way out
      StoreError         the disk's: what is stored can't be read or written now; admins read its text
      CannotConnect      the network's: the first connection failed (`run --once`, exit 69)

Nothing here is caught by name in more than one layer: the pipeline answers `UserError`, the reloader reports
`PluginError`, the connection counts `MalformedLine`, the program prints `ConfigError`.
"""

from __future__ import annotations

from dataclasses import dataclass


class NeverquitError(Exception):
    """The root; `str()` of any of these is a sentence that a person can act on."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake in a configuration file: where, at which key, and how to write it instead."""

    file: str
    line: int  # from 1; 0 when the mistake has no line (an empty file, say)
    column: int  # from 1
    key: str  # dotted path, `networks.libera.port`; empty for the file as a whole
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.key}: {self.text}" if self.key else f"{place}: {self.text}"


class ConfigError(NeverquitError):
    """config.yaml can't be used. Holds every mistake, not only the first."""

    def __init__(self, mistakes: tuple[Mistake, ...] | list[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class PluginError(NeverquitError):
    """A plugin file can't be taken as it is on disk.

    Args:
        plugin: the plugin's name, `weather`.
        path: the file at fault, relative to the plugin directory, `weather.py` or `pkg/part.py`.
        line: line in that file from 1, or 0 when no line can be named.
        text: what is wrong, in one line, `SyntaxError: expected ':'`.
        column: from 1, where it is known, else 0; `neverquit check` shows it.
    """

    def __init__(self, plugin: str, path: str, line: int, text: str, column: int = 0) -> None:
        self.plugin, self.path, self.line, self.column = plugin, path, line, column
        self.text = " ".join(text.split())
        super().__init__(f"{path}:{line}: {self.text}" if line else f"{path}: {self.text}")


class UserError(NeverquitError):
    """Raise this in a handler to answer with a plain sentence instead of a result."""


class UsageError(UserError):
    """The chatter wrote the command wrongly; the answer is this text and the usage line."""


class MalformedLine(NeverquitError, ValueError):
    """A line from the wire that is not an IRC message."""


class UnsafeText(NeverquitError, ValueError):
    """Text that would become a second IRC command: it holds CR, LF or NUL."""


class StoreError(NeverquitError):
    """The file of the store can't be used now; `str()` names it and says what to do."""


class CannotConnect(NeverquitError):
    """The first connection of a `run --once` failed."""
