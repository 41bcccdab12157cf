"""Tags on lines of our own: which may go out on this connection, and that one message answers another. Pure.

A client-only tag (`+name`) is for the other clients; it adds to a message, which must make sense without it. So what
the network does not take is left off, silently. The label of a line is `wire/labels.py`'s.

Follows https://ircv3.net/specs/extensions/message-tags (CLIENTTAGDENY of 005, size limit),
https://ircv3.net/specs/client-tags/reply (ratified in February 2026 as `+reply`; clients of before know `+draft/reply`)
and https://ircv3.net/specs/extensions/message-ids.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bot.protocol.message import Message

REPLY_TAGS = ("+reply", "+draft/reply")

# A client may send 4,094 bytes of tags; what we add ourselves is far below, and a server's ids are some 30 bytes.
MAX_ID_BYTES = 512

_NONE: Mapping[str, str] = {}


def in_reply_to(message: Message | None) -> Mapping[str, str]:
    """Return the tags of an answer to this message; none if it has no id, or is not what somebody said."""
    if message is None or message.command not in ("PRIVMSG", "NOTICE"):
        return _NONE
    identifier = message.tags.get("msgid", "")
    if not 0 < len(identifier.encode()) <= MAX_ID_BYTES or "\0" in identifier:  # NUL has no escape in a tag
        return _NONE
    return dict.fromkeys(REPLY_TAGS, identifier)


def denied(tag: str, tokens: Mapping[str, str]) -> bool:
    """Tell whether a server throws this client-only tag away.

    Args:
        tag: with or without its `+`.
        tokens: of 005; CLIENTTAGDENY is `foo,bar`, or `*,-foo` for all but foo.
    """
    tag = tag.removeprefix("+")
    listed = tokens.get("CLIENTTAGDENY", "").split(",")
    return tag in listed or ("*" in listed and f"-{tag}" not in listed)


def permitted(tags: Mapping[str, str], caps: Collection[str], tokens: Mapping[str, str]) -> Mapping[str, str]:
    """Return those of our tags that this connection takes."""
    if not tags or "message-tags" not in caps:
        return _NONE
    return {name: value for name, value in tags.items() if name[:1] != "+" or not denied(name, tokens)}
