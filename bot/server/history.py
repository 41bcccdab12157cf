"""CHATHISTORY: what was said in a channel before. Follows https://ircv3.net/specs/extensions/chathistory.

There is history while `Server.history` is above 0; `Server.remember` keeps it. Only members may read it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from bot.server.peer import Peer, Said
from bot.server.verbs import verb


class Unreadable(ValueError):
    """A reference to a message that is none: standard reply INVALID_PARAMS."""


@verb("CHATHISTORY")
def chathistory(me: Peer, action: str, target: str, *bounds: str) -> None:
    action = action.upper()
    channel = me.server.channels.get(me.server.fold(target))
    if action not in ("LATEST", "BEFORE", "AFTER", "AROUND", "BETWEEN") or len(bounds) != 2 + (action == "BETWEEN"):
        return me.fail("CHATHISTORY", "INVALID_PARAMS", action, text="No such subcommand, or not its parameters")
    if channel is None or me not in channel.members:
        return me.fail("CHATHISTORY", "INVALID_TARGET", action, target, text="No history of that for you")
    try:
        limit = min(int(bounds[-1]), me.server.history)
        lines = select(list(channel.history), action, bounds[:-1], limit)
    except ValueError:
        return me.fail("CHATHISTORY", "INVALID_PARAMS", action, *bounds, text="Not a message, time or number")
    return me.server.play_back(me, channel, lines)


def select(lines: list[Said], action: str, bounds: tuple[str, ...], limit: int) -> list[Said]:
    """The lines asked for, oldest first; ValueError for a reference that is none."""
    if limit <= 0:
        raise Unreadable(limit)
    if action == "LATEST":
        return lines[0 if bounds[0] == "*" else _after(lines, bounds[0]) :][-limit:]
    if action == "BEFORE":
        return lines[: _before(lines, bounds[0])][-limit:]
    if action == "AFTER":
        return lines[_after(lines, bounds[0]) :][:limit]
    if action == "AROUND":
        middle = _before(lines, bounds[0])
        return lines[max(0, middle - limit // 2) :][:limit]
    low, high = _after(lines, bounds[0]), _before(lines, bounds[1])
    if low <= high:
        return lines[low:high][:limit]
    return lines[_after(lines, bounds[1]) : _before(lines, bounds[0])][-limit:]  # backwards: the newest of them


def _before(lines: list[Said], bound: str) -> int:
    """How many lines came before the one referred to."""
    kind, _, value = bound.partition("=")
    if kind == "msgid":
        found = [place for place, line in enumerate(lines) if line.tags.get("msgid") == value]
        if not found:
            raise Unreadable(bound)
        return found[0]
    if kind == "timestamp":
        at = datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()
        return sum(line.at < at for line in lines)
    raise Unreadable(bound)


def _after(lines: list[Said], bound: str) -> int:
    """How many lines came before those after the one referred to."""
    place = _before(lines, bound)
    kind, _, value = bound.partition("=")
    if kind == "msgid":
        return place + 1
    at = datetime.fromisoformat(value).replace(tzinfo=UTC).timestamp()
    return sum(line.at <= at for line in lines)
