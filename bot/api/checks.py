"""Who is an admin: the one place that decides it.

An admin is known by a services account that the server itself vouches for (`Roster.account_of`), or by a hostmask;
never by nick alone. An entry for an account counts on the network that it names, since anyone can register the same
account elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from bot.api.events import User
from bot.protocol.casemap import fold, mask_match


class AdminEntry(Protocol):
    """One entry of `admins:` in config.yaml; `account` or `hostmask` is set, `network` narrows it."""

    @property
    def account(self) -> str | None: ...
    @property
    def network(self) -> str | None: ...
    @property
    def hostmask(self) -> str | None: ...


def is_admin(entries: Sequence[AdminEntry], network: str, user: User | None, casemapping: str) -> bool:
    """Tell whether `user`, as the server described the author of this very message, is an admin on `network`."""
    if user is None or not user.ident:  # a server, or a source without user and host, is nobody
        return False
    prefix = f"{user.nick}!{user.ident}@{user.host}"
    for entry in entries:
        if entry.network is not None and entry.network != network:
            continue
        if entry.account is not None:
            # Account names are ASCII-folded by every services package, whatever the network folds nicks by.
            if user.account and fold(user.account, "ascii") == fold(entry.account, "ascii"):
                return True
        elif entry.hostmask is not None and mask_match(entry.hostmask, prefix, casemapping):
            return True
    return False
