"""A roster and a registration as plain values, so that the next worker can go on with a connection that is up.

`parts` gives JSON values, a few hundred users in each: a network of 20,000 is written down in small steps, between
which the roster must not change. `resumed` and `restore` take them all; a snapshot that makes no sense to this version
is a ValueError, and whoever asked begins the connection anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from bot.protocol.batches import Batch
from bot.protocol.identity import Identity
from bot.protocol.message import Message
from bot.protocol.people import Channel, Member
from bot.protocol.registration import Registration
from bot.protocol.roster import Applied, Roster

Part = tuple[str, Any]  # what it is of, and JSON values
T = TypeVar("T")

CHUNK = 200  # users in one part: 0.3 ms


def parts(roster: Roster, registration: Registration, **more: Any) -> Iterator[Part]:
    """Give what is known of a network; the first part, `head`, holds `more` as well."""
    yield (
        "head",
        {
            **more,
            "nick": roster.nick,
            "tokens": dict(roster.isupport.tokens),
            "batches": {name: list(batch) for name, batch in roster.batches.items()},
            "time": roster.time.saved(),
            "questions": roster.questions(),
            "registration": registration.saved(),
        },
    )
    for users in _chunks(list(roster.users.values())):
        yield "users", [_user(user) for user in users]
    for lost in _chunks(roster.splits.saved()):
        yield "lost", lost
    for channel in list(roster.channels.values()):
        yield "channel", [channel.name, channel.topic, channel.topic_by, channel.modes, channel.key, channel.asked]
        for members in _chunks(list(channel.members.items())):
            yield "members", [channel.name, {nick: "".join(sorted(ranks)) for nick, ranks in members}]


def _user(user: Member) -> list[Any]:
    return [user.nick, user.ident, user.host, user.account, user.realname, user.away, user.bot, user.changed]


def _chunks(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for at in range(0, len(items), CHUNK):
        yield items[at : at + CHUNK]


def head(snapshot: Iterable[Part]) -> Mapping[str, Any]:
    """Return the first part.

    Raises:
        ValueError: there is none.
    """
    for section, value in snapshot:
        if section == "head" and isinstance(value, dict):
            return value
    raise ValueError("nothing was left of it")


def resumed(snapshot: Sequence[Part], identity: Identity, tls: bool) -> Registration:
    """Return the registration of a connection that was registered when the snapshot was taken.

    Raises:
        ValueError: the snapshot is not of this kind.
    """
    try:
        return Registration.resumed(identity, tls, head(snapshot)["registration"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"no snapshot of a registration: {error}") from error


def restore(roster: Roster, snapshot: Sequence[Part], caps: set[str]) -> None:
    """Fill an empty roster.

    Args:
        caps: the registration's set of what is enabled.

    Raises:
        ValueError: the snapshot is not of this kind; the roster is empty.
    """
    roster.clear()
    try:
        first = head(snapshot)
        for name, value in first["tokens"].items():
            roster.isupport.learn(name, value)
        roster.nick, roster.caps = str(first["nick"]), caps
        for name, (kind, params, history) in first["batches"].items():
            roster.batches[name] = Batch(kind, tuple(params), history)
        roster.time.resume(first["time"])
        roster.resume(first["questions"])
        for section, value in snapshot:
            if section != "head":
                _FILL[section](roster, value)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        roster.clear()
        raise ValueError(f"no snapshot of a roster: {error!r}") from error


def _users(roster: Roster, value: Any) -> None:
    for nick, ident, host, account, realname, away, bot, changed in value:
        roster.users[roster.fold(nick)] = Member(nick, ident, host, account, realname, away, bot, changed=changed)


def _lost(roster: Roster, value: Any) -> None:
    roster.splits.resume(value)


def _channel(roster: Roster, value: Any) -> None:
    name, topic, topic_by, modes, key, asked = value
    roster.channels[roster.fold(name)] = Channel(name, {}, topic, topic_by, dict(modes), key, asked)


def _members(roster: Roster, value: Any) -> None:
    name, members = value
    folded = roster.fold(name)
    ranks = {nick: set(letters) for nick, letters in members.items()}
    roster.channels[folded].members.update(ranks)
    for nick in ranks:
        roster.users[nick].channels.add(folded)


_FILL = {"users": _users, "lost": _lost, "channel": _channel, "members": _members}


# --- a line that was taken in before the snapshot and whose handlers have not ended


def of_line(applied: Applied, account: str | None) -> Any:
    """Return what a line was when it came, as JSON values."""
    member = applied.member
    author = member and _user(member)[:-1]
    return [list(applied.channels), author, account, applied.split, applied.history]


def line(value: Any) -> Applied:
    """Return what a line was when it came; of what makes no sense nothing is known."""
    try:
        channels, author, account, split, history = value
        member = Member(*author) if author else None
        return Applied(tuple(channels), member, history=history, split=split, past=True, account=account)
    except (TypeError, ValueError):
        return Applied(past=True)


def stranger(message: Message) -> Applied:
    """Return all that can be said of a line of which nothing is known but itself.

    One in a batch may have been said before: better that it runs nothing than that it runs again.
    """
    source = message.source
    member = Member(source.nick, source.ident, source.host) if source is not None else None
    return Applied(member=member, history="batch" in message.tags, past=True)
