"""neverquit: an IRC bot that you program while it runs. This is the one door for plugin authors.

    from bot import Context, command, rule, on, every, job, setup, start, teardown, keep, store, http, settings

Names are resolved when they are first asked for, so `neverquit --version` imports next to nothing. The tree below,
where folders are floors and a floor imports only the floors below it:

    errors config logs        floor 0   whose fault it is; config.yaml as frozen values; log records
    keys                      floor 0   the bot's own keys and certificates: usable, and signatures with them
    atwork                    floor 0   whose code runs now, where the keeper can read it
    protocol/                 floor 1   IRC as pure functions and values: no sockets, no clock
    api/ deeds                floor 2   what a plugin author writes or receives; what a call has done to the store
    dispatch/                 floor 3   from an event to a finished handler
    live/                     floor 4   the life of plugin files: found, built, committed, retired
    wire/ storage             wings     the connection (keeper, link); the state on disk
    app calls jobs            floor 5   puts it together; from a line to its handlers; what runs later
    networks places           floor 5   where we are, and which plugin answers there
    speaker                   floor 5   what is said, on its way to the networks
    announce waits            floor 5   what admins are told
    manners                   floor 5   how we behave towards other programs: CTCP, loops of bots
    chat care keepsakes       floor 5   the commands that are built in
    control ctl               floor 5   `neverquit ctl`, both ends
    handover packed           floor 5   what one worker leaves to the next
    ledger quarantine         floor 5   what outlives a worker: runs of jobs, and who is to blame for its end
    cli check terminal        floor 6   the program
    running worker reread     floor 6   one bot while it runs, in a process of its own or with the keeper in one
    standby                   floor 6   a worker that is to take the place of another
    demo prompt server/       floor 6   the demo, with an IRC server of its own
    testing                   floor 6   the test kit
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "Context": "bot.api.context",
    "command": "bot.api.declare",
    "rule": "bot.api.declare",
    "on": "bot.api.declare",
    "every": "bot.api.declare",
    "job": "bot.api.declare",
    "setup": "bot.api.declare",
    "start": "bot.api.declare",
    "teardown": "bot.api.declare",
    "keep": "bot.api.kept",
    "store": "bot.api.kept",
    "http": "bot.api.http",
    "settings": "bot.api.settings",
    "UserError": "bot.errors",
    "UsageError": "bot.errors",
    "parse_duration": "bot.api.durations",
    "format_duration": "bot.api.durations",
}

__all__ = [*_WHERE, "__version__"]  # the keys are names

if TYPE_CHECKING:
    from bot.api.context import Context as Context
    from bot.api.declare import command as command
    from bot.api.declare import every as every
    from bot.api.declare import job as job
    from bot.api.declare import on as on
    from bot.api.declare import rule as rule
    from bot.api.declare import setup as setup
    from bot.api.declare import start as start
    from bot.api.declare import teardown as teardown
    from bot.api.durations import format_duration as format_duration
    from bot.api.durations import parse_duration as parse_duration
    from bot.api.http import http as http
    from bot.api.kept import keep as keep
    from bot.api.kept import store as store
    from bot.api.settings import settings as settings
    from bot.errors import UsageError as UsageError
    from bot.errors import UserError as UserError


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'bot' has no attribute {name!r}; it offers {', '.join(_WHERE)}")
    value = getattr(import_module(_WHERE[name]), name)
    globals()[name] = value
    return value
