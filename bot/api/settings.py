"""`settings(Model)`: a plugin's part of config.yaml as the plugin's own type, checked when the plugin loads.

    @dataclass
    class Options:
        units: str = "metric"

    options = settings(Options)            # plugins: {settings: {weather: {units: imperial}}}

Works with a dataclass or a pydantic model; without one it returns the plain read-only mapping. A mistake is a load
error that names the key, so the old version of the plugin goes on answering.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, TypeVar, overload

from bot.api.kept import plugin_of

T = TypeVar("T")

# Name of a plugin -> its settings; set by the bot for all that runs in it, and by the loader in its own thread. Outside
# a bot there is none, and all settings have their defaults.
source: ContextVar[Callable[[str], Mapping[str, Any]] | None] = ContextVar("settings", default=None)


@overload
def settings() -> Mapping[str, Any]: ...
@overload
def settings(model: type[T]) -> T: ...
def settings(model: type[T] | None = None) -> T | Mapping[str, Any]:
    """Return the settings of the plugin that calls, as `model` where one is given.

    Raises:
        ValueError: what config.yaml says does not fit the model; the text names each key.
    """
    plugin = plugin_of(sys._getframe(1).f_globals.get("__name__", ""))
    read = source.get()
    values = dict(read(plugin)) if read else {}
    if model is None:
        return MappingProxyType(values)
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(model).validate_python(values)
    except ValidationError as error:
        mistakes = "; ".join(
            f"plugins.settings.{plugin}.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        raise ValueError(mistakes) from None
