"""Verbs about channels and who is in them: JOIN, PART, TOPIC, NAMES, KICK, INVITE, LIST."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from bot.protocol.casemap import mask_match
from bot.server.lines import CHANNELLEN, MAX_CHANNELS, MAX_LOG, NO_TAGS, chunks, shorten
from bot.server.peer import Channel, Peer
from bot.server.verbs import Refused, verb

_CHANNEL = re.compile(r"[^\x00-\x20,:\x7f]{2,}")


@verb("JOIN", split=(0, 1))
def join(me: Peer, name: str, key: str = "") -> None:
    folded = me.server.fold(name)
    channel = me.server.channels.get(folded)
    if name == "0":
        for each in list(me.channels.values()):
            part(me, each.name)
        return
    long = len(name.encode("utf-8", "replace")) > CHANNELLEN
    if long or not me.server.is_channel(name) or not _CHANNEL.fullmatch(name):
        raise Refused("403", name)
    if len(me.channels) >= MAX_CHANNELS:
        raise Refused("405", name)
    if channel is None:
        channel = me.server.channels[folded] = Channel(name, me.server.seconds())
    elif me in channel.members:
        return
    elif (numeric := obstacle(me, channel, key)) is not None:
        raise Refused(numeric, channel.name)
    channel.members[me] = set() if channel.members else {me.server.operator}
    me.channels[folded] = channel
    me.invited.discard(channel)
    tell_join(me, channel, channel.members)
    if channel.topic:
        topic(me, channel.name)
    names(me, channel.name)
    if me.server.playback:
        me.server.play_back(me, channel)


def tell_join(me: Peer, channel: Channel, readers: Iterable[Peer], tags: Mapping[str, str] = NO_TAGS) -> None:
    """Tell these that I am in a channel now, each in the form that they know."""
    readers, relay = list(readers), me.server.relay
    extended = [peer for peer in readers if "extended-join" in peer.caps]
    relay(extended, me, "JOIN", channel.name, me.account or "*", text=me.realname, tags=tags)
    relay([peer for peer in readers if "extended-join" not in peer.caps], me, "JOIN", channel.name, tags=tags)
    if me.away:
        others = [peer for peer in readers if "away-notify" in peer.caps and peer is not me]
        relay(others, me, "AWAY", text=me.away, tags=tags)


def obstacle(me: Peer, channel: Channel, key: str) -> str | None:
    """The numeric that says why I may not join; an invitation lifts all but the key."""
    if channel.modes.get("k", key) != key:
        return "475"
    if me in channel.members or channel in me.invited:
        return None
    if len(channel.members) >= int(channel.modes.get("l", MAX_LOG)):
        return "471"
    return "473" if "i" in channel.modes else "474" if me.banned(channel) else None


@verb("PART", split=(0,))
def part(me: Peer, name: str, reason: str = "") -> None:
    channel = me.channel(name)
    me.server.relay(channel.members, me, "PART", channel.name, text=reason or None)
    me.server.remove(me, channel)


@verb("TOPIC")
def topic(me: Peer, name: str, text: str | None = None) -> None:
    channel = me.channel(name, member=text is not None)
    if text is not None:
        me.channel(name, op="t" in channel.modes)
        channel.topic, channel.topic_by = shorten(text, "topic"), (me.mask, str(me.server.seconds()))
        me.server.relay(channel.members, me, "TOPIC", channel.name, text=channel.topic)
    elif channel.topic:
        me.reply("332", channel.name, text=channel.topic)
        me.reply("333", channel.name, *channel.topic_by)
    else:
        me.reply("331", channel.name, text="No topic is set")


@verb("NAMES", split=(0,))
def names(me: Peer, name: str = "*") -> None:
    channel = me.server.channels.get(me.server.fold(name))
    if channel and me.sees(channel):
        name, full = channel.name, "userhost-in-names" in me.caps
        room = me.server.max_body - len(f":{me.server.name} 353 {me.nick} = {name} :".encode("utf-8", "replace"))
        shown = (peer.prefix(channel, me) + (peer.mask if full else peer.nick) for peer in channel.members)
        for line in chunks(shown, room):
            me.reply("353", "@" if "s" in channel.modes else "=", name, text=line)
    me.reply("366", name, text="End of /NAMES list")


@verb("KICK", split=(1,))
def kick(me: Peer, name: str, nick: str, reason: str = "") -> None:
    channel, peer = me.channel(name, op=True), me.peer(nick)
    if peer not in channel.members:
        raise Refused("441", peer.nick, channel.name)
    text = shorten(reason or me.nick, "kick")
    me.server.relay(channel.members, me, "KICK", channel.name, peer.nick, text=text)
    me.server.remove(peer, channel)


@verb("INVITE")
def invite(me: Peer, nick: str, name: str) -> None:
    peer, channel = me.peer(nick), me.channel(name)
    me.channel(name, op="i" in channel.modes)
    if peer in channel.members:
        raise Refused("443", peer.nick, channel.name)
    peer.invited.add(channel)
    me.reply("341", peer.nick, channel.name)
    told = [each for each in channel.members if "invite-notify" in each.caps and each is not me]
    me.server.relay([peer, *told], me, "INVITE", peer.nick, text=channel.name)


@verb("LIST")
def list_channels(me: Peer, masks: str = "*") -> None:
    me.reply("321", "Channel", text="Users  Name")
    for channel in filter(me.sees, me.server.channels.values()):
        if any(mask_match(mask, channel.name, me.server.casemapping) for mask in masks.split(",")):
            me.reply("322", channel.name, str(len(channel.members)), text=channel.topic)
    me.reply("323", text="End of /LIST")
