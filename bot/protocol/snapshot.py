"""A roster and a registration as plain values, so that the next worker can go on with a connection that is up.

`of` gives JSON values, `restore` and `resumed` take them; a snapshot that makes no sense to this version is a
ValueError, and whoever asked begins the connection anew. What waits for an answer (WHO, CAP REQ) is left out: it is
asked again, or was the business of the worker that is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.protocol.people import Channel, Member
from bot.protocol.registration import Identity, Registration
from bot.protocol.roster import Roster


def of(roster: Roster, registration: Registration) -> dict[str, Any]:
    """Return what is known of a network, as JSON values."""
    return {
        "nick": roster.nick,
        "tokens": dict(roster.isupport.tokens),
        "batches": list(roster.batches),
        "users": [
            [user.nick, user.ident, user.host, user.account, user.realname, user.away] for user in roster.users.values()
        ],
        "channels": [
            [
                channel.name,
                {nick: "".join(sorted(ranks)) for nick, ranks in channel.members.items()},
                channel.topic,
                channel.topic_by,
                channel.modes,
                channel.key,
            ]
            for channel in roster.channels.values()
        ],
        "registration": [
            registration.nick,
            sorted(registration.caps),
            registration.offered,
            registration.account,
        ],
    }


def resumed(snapshot: Mapping[str, Any], identity: Identity, tls: bool) -> Registration:
    """Return the registration of a connection that was registered when the snapshot was taken.

    Raises:
        ValueError: the snapshot is not of this kind.
    """
    try:
        nick, caps, offered, account = snapshot["registration"]
        return Registration.resumed(identity, tls, str(nick), set(caps), dict(offered), account)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no snapshot of a registration: {error!r}") from error


def restore(roster: Roster, snapshot: Mapping[str, Any], caps: set[str]) -> None:
    """Fill an empty roster.

    Args:
        caps: the registration's set of what is enabled.

    Raises:
        ValueError: the snapshot is not of this kind; the roster is empty.
    """
    roster.clear()
    try:
        for name, value in snapshot["tokens"].items():
            roster.isupport.learn(name, value)
        roster.nick, roster.caps = str(snapshot["nick"]), caps
        for nick, ident, host, account, realname, away in snapshot["users"]:
            roster.users[roster.fold(nick)] = Member(nick, ident, host, account, realname, away)
        for name, members, topic, topic_by, modes, key in snapshot["channels"]:
            folded = roster.fold(name)
            ranks = {nick: set(letters) for nick, letters in members.items()}
            roster.channels[folded] = Channel(name, ranks, topic, topic_by, dict(modes), key, asked=True)
            for nick in ranks:
                roster.users[nick].channels.add(folded)
        roster.batches.update(dict.fromkeys(snapshot["batches"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        roster.clear()
        raise ValueError(f"no snapshot of a roster: {error!r}") from error
