"""Verbs that only ask: WHO and WHOX (as ircu has it), WHOIS, USERHOST, ISON, MOTD, LUSERS, TIME, VERSION and more."""

from __future__ import annotations

import time

from bot.protocol.casemap import mask_match
from bot.server.announced import isupport
from bot.server.lines import CANNED, ERRORS, chunks
from bot.server.peer import Peer
from bot.server.verbs import Refused, verb


@verb("WHO")
def who(me: Peer, mask: str = "*", fields: str = "") -> None:
    channel = me.server.channels.get(me.server.fold(mask))
    shared, mapping = me.observers(me=True), me.server.casemapping
    if me.server.is_channel(mask):
        found = list(channel.members) if channel and me.sees(channel) else []
    else:
        found = [
            peer
            for peer in me.server.clients.values()
            if any(mask_match(mask, part, mapping) for part in (peer.nick, peer.ident, peer.host))
            and ("i" not in peer.modes or peer in shared or me.server.find(mask) is peer)
        ]
    for peer in found:
        shown = channel or next((each for each in peer.channels.values() if me in each.members), None)
        where, here = shown.name if shown else "*", "G" if peer.away else "H"
        flags = here + ("B" if "B" in peer.modes else "") + peer.prefix(shown, me)
        if fields.startswith("%"):
            whox(me, peer, where, flags, *fields[1:].partition(",")[::2])
        else:
            user = (peer.ident, peer.host, me.server.name, peer.nick)
            me.reply("352", where, *user, flags, text=f"0 {peer.realname}")
    me.reply("315", mask, text="End of /WHO list")


def whox(me: Peer, peer: Peer, where: str, flags: str, letters: str, token: str) -> None:
    """354: the fields asked for, in the order that WHOX fixes."""
    idle = str(me.server.seconds() - peer.spoke)
    values = (token or "0", where, peer.ident, peer.host, peer.host, me.server.name, peer.nick, flags, "0", idle)
    rows = zip("tcuihsnfdlao", (*values, peer.account or "0", "n/a"), strict=True)
    shown = [value for letter, value in rows if letter in letters]
    me.reply("354", *shown, text=peer.realname if "r" in letters else None)


@verb("WHOIS", missing="431")
def whois(me: Peer, nick: str, after_server: str = "") -> None:
    peer = me.server.find(after_server or nick)
    rows = describe(me, peer) if peer else [("401", [], ERRORS["401"])]
    for numeric, words, text in [*rows, ("318", [], "End of /WHOIS list")]:
        if text:
            me.reply(numeric, peer.nick if peer else after_server or nick, *words, text=text)


def describe(me: Peer, peer: Peer) -> list[tuple[str, list[str], str]]:
    """The rows of a WHOIS; one without text has nothing to say."""
    name, idle = me.server.name, str(me.server.seconds() - peer.spoke)
    seen = (peer.prefix(each, me) + each.name for each in peer.channels.values() if me.sees(each))
    return [
        ("311", [peer.ident, peer.host, "*"], peer.realname or peer.nick),
        *(("319", list[str](), line) for line in chunks(seen)),
        ("312", [name], me.server.network),
        ("301", [], peer.away),
        ("335", [], "is a bot" if "B" in peer.modes else ""),
        ("330", [peer.account], "is logged in as" if peer.account else ""),
        ("671", [], "is using a secure connection" if peer.secure else ""),
        ("317", [idle, str(peer.since)], "seconds idle, signon time"),
    ]


@verb("USERHOST")
def userhost(me: Peer, nick: str, *more: str) -> None:
    found = filter(None, map(me.server.find, (nick, *more)))
    me.reply("302", text=" ".join(f"{p.nick}={'-' if p.away else '+'}{p.ident}@{p.host}" for p in found))


@verb("ISON")
def ison(me: Peer, nick: str, *more: str) -> None:
    found = filter(None, map(me.server.find, " ".join((nick, *more)).split()))
    me.reply("303", text=" ".join(peer.nick for peer in found))


@verb("MOTD")
def motd(me: Peer) -> None:
    if not me.server.motd:
        raise Refused("422")
    me.reply("375", text=f"- {me.server.name} Message of the day -")
    for line in me.server.motd:
        me.reply("372", text=f"- {line}")
    me.reply("376", text="End of /MOTD command")


@verb("LUSERS")
def lusers(me: Peer) -> None:
    users = str(len(me.server.clients))
    me.reply("251", text=f"There are {users} users and 0 invisible on 1 server")
    me.reply("254", str(len(me.server.channels)), text="channels formed")
    me.reply("255", text=f"I have {users} clients and 0 servers")


@verb("TIME")
def tell_time(me: Peer) -> None:
    now = time.strftime("%A %B %d %Y %H:%M:%S UTC", time.gmtime(me.server.seconds()))
    me.reply("391", me.server.name, text=now)


@verb("VERSION")
def version(me: Peer) -> None:
    me.reply("351", "neverquit", me.server.name, text="the embedded server of neverquit")
    tokens(me)


@verb(*CANNED)
def canned(me: Peer, argument: str = "*") -> None:
    for numeric, words, text in CANNED[me.heard.command]:
        me.reply(numeric, *(word.format(argument) for word in words), text=text)


def tokens(me: Peer) -> None:
    words = isupport(me)
    for first in range(0, len(words), 12):
        me.reply("005", *words[first : first + 12], text="are supported by this server")
