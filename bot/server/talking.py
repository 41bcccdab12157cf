"""Verbs with which people tell each other something: PRIVMSG, NOTICE, TAGMSG, AWAY, SETNAME.

Follows https://modern.ircdocs.horse/#sending-messages, https://ircv3.net/specs/extensions/message-tags and
https://ircv3.net/specs/extensions/echo-message.
"""

from __future__ import annotations

from collections.abc import Mapping

from bot.server.lines import shorten
from bot.server.peer import Channel, Peer, Said
from bot.server.verbs import Refused, verb


@verb("PRIVMSG", "NOTICE", "TAGMSG", split=(0,), missing="411")
def speak(me: Peer, target: str, text: str | None = "") -> None:
    command, server = me.heard.command, me.server
    if command == "TAGMSG":
        text = None
    elif not text:
        raise Refused("412")
    channel, to, shown = audience(me, target)
    tags = server.new_id() | client_tags(me, me.heard.tags)
    if command == "TAGMSG":
        to = [reader for reader in to if "message-tags" in reader.caps]
    answer, me.answer = me.answer, None  # what I tell myself is no answer to me, the echo of it is
    server.relay(to, me, command, shown, text=text, tags=tags)
    me.answer = answer
    if "echo-message" in me.caps and (command != "TAGMSG" or "message-tags" in me.caps):
        server.relay([me], me, command, shown, text=text, tags=tags)
    if channel and text is not None and shown == channel.name:
        server.remember(channel, Said(server.now(), me.mask, command, text, tags))


def audience(me: Peer, target: str) -> tuple[Channel | None, list[Peer], str]:
    """Who shall hear what I say to this target, and how it is called; `Refused` where I may not."""
    server = me.server
    me.spoke = server.seconds()
    bare = target.lstrip("".join(server.prefixes.values()))
    if not server.is_channel(bare):
        peer = me.peer(target)
        if peer.away and me.heard.command == "PRIVMSG":
            me.reply("301", peer.nick, text=peer.away)
        return None, [peer], peer.nick
    channel = server.channels.get(server.fold(bare))  # a secret one, too: who knows its name may speak to it
    if channel is None:
        raise Refused("403", bare)
    have = channel.members.get(me)
    outside = have is None and "n" in channel.modes
    if not have and (outside or "m" in channel.modes or me.banned(channel)):
        raise Refused("404", channel.name)
    least = target.removesuffix(bare)
    letters = [letter for letter, symbol in server.prefixes.items() if symbol in least]
    to = [peer for peer in channel.members if peer is not me and (not least or peer.has(channel, letters[-1]))]
    return channel, to, least + channel.name


def client_tags(me: Peer, tags: Mapping[str, str]) -> dict[str, str]:
    """Those of a client's tags that others get to see: client-only ones that CLIENTTAGDENY doesn't name."""
    denied = me.server.denied_tags.split(",")
    sent = {name: value for name, value in tags.items() if name.startswith("+")}
    return {
        name: value
        for name, value in sent.items()
        if not (name[1:] in denied or ("*" in denied and f"-{name[1:]}" not in denied))
    }


@verb("AWAY")
def set_away(me: Peer, text: str = "") -> None:
    me.away = shorten(text, "away")
    words = "You have been marked as being away" if me.away else "You are no longer marked as being away"
    me.reply("306" if me.away else "305", text=words)
    me.server.relay(me.observers("away-notify"), me, "AWAY", text=me.away or None)


@verb("SETNAME")
def set_name(me: Peer, text: str) -> None:
    if not text:
        return me.fail("SETNAME", "INVALID_REALNAME", text="A name has at least one letter")
    me.realname = shorten(text, "name")
    return me.server.relay(me.observers("setname", me=True), me, "SETNAME", text=me.realname)
