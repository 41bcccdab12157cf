"""Verbs with which people tell each other something: PRIVMSG, NOTICE, TAGMSG, AWAY, SETNAME."""

from __future__ import annotations

from bot.server.lines import shorten
from bot.server.peer import Peer
from bot.server.verbs import Refused, verb


@verb("PRIVMSG", "NOTICE", "TAGMSG", split=(0,), missing="411")
def speak(me: Peer, target: str, text: str | None = "") -> None:
    command, server = me.heard.command, me.server
    if command == "TAGMSG":
        text = None
    elif not text:
        raise Refused("412")
    me.spoke = server.seconds()
    bare = target.lstrip("@+")
    if bare.startswith("#"):
        channel = me.channel(bare, member=False)
        have = channel.members.get(me)
        outside = have is None and "n" in channel.modes
        if not have and (outside or "m" in channel.modes or me.banned(channel)):
            raise Refused("404", channel.name)
        least = {"": "", "@": "o", "+": "ov"}[target.removesuffix(bare)[:1]]
        to = [peer for peer, letters in channel.members.items() if not least or letters.intersection(least)]
        to, shown = [peer for peer in to if peer is not me], target.removesuffix(bare)[:1] + channel.name
    else:
        peer = me.peer(target)
        to, shown = [peer], peer.nick
        if peer.away and command == "PRIVMSG":
            me.reply("301", peer.nick, text=peer.away)
    tags = server.new_id() | {tag: value for tag, value in me.heard.tags.items() if tag.startswith("+")}
    for reader in [*to, me] if "echo-message" in me.caps else to:
        if command != "TAGMSG" or "message-tags" in reader.caps:
            server.relay([reader], me, command, shown, text=text, tags=tags)


@verb("AWAY")
def set_away(me: Peer, text: str = "") -> None:
    me.away = shorten(text, "away")
    words = "You have been marked as being away" if me.away else "You are no longer marked as being away"
    me.reply("306" if me.away else "305", text=words)
    me.server.relay(me.observers("away-notify"), me, "AWAY", text=me.away or None)


@verb("SETNAME")
def set_name(me: Peer, text: str) -> None:
    me.realname = shorten(text, "name")
    me.server.relay(me.observers("setname", me=True), me, "SETNAME", text=me.realname)
