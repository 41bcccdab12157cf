"""What of a new configuration can't be taken while the bot runs, in words for who changed it. Pure.

All else is taken at once, by `App.apply`. A test holds that each field of a network stands in one of the two tables,
so that a new one can't be passed over in silence.
"""

from __future__ import annotations

from bot.config import Config

#: What a connection is made with.
AT_NEXT_CONNECTION = (
    "host",
    "port",
    "tls",
    "bind",
    "password",
    "sasl",
    "nickserv",
    "nick",
    "alternative_nicks",
    "realname",
    "flood",
)
#: What is looked up when it is needed, or carried over by `App.apply`.
AT_ONCE = ("channels", "reconnect", "prefix", "admins", "disabled", "typing")


def waits(old: Config, new: Config) -> list[str]:
    """Return a sentence for each network, and for the bot, with something that waits for a reconnection or restart."""
    notes = []
    if old.plugins.directories != new.plugins.directories or old.state_dir != new.state_dir:
        notes.append("plugins.directories and state_dir change with a restart")
    for name, after in new.networks.items():
        before = old.networks.get(name, after)
        changed = [field for field in AT_NEXT_CONNECTION if getattr(before, field) != getattr(after, field)]
        if changed:
            verb = "are" if len(changed) > 1 else "is"
            notes.append(f"networks.{name}: {', '.join(changed)} {verb} used at the next connection")
    return notes
