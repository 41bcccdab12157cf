"""Verbs of registration and of the connection itself: CAP, PASS, NICK, USER, PING, PONG, QUIT.

Follows https://modern.ircdocs.horse/#connection-registration and
https://ircv3.net/specs/extensions/capability-negotiation.
"""

from __future__ import annotations

import hmac
import os
import re
import time

from bot.server.announced import capabilities
from bot.server.asking import lusers, motd, tokens
from bot.server.lines import FLAGS, NICKLEN, chunks, shorten
from bot.server.peer import Peer
from bot.server.verbs import Refused, verb

_NICK = re.compile(r"[A-Za-z\[\]\\`_^{|}][A-Za-z0-9\[\]\\`_^{|}-]*")


@verb("CAP", early=True)
def cap(me: Peer, sub: str, argument: str = "") -> None:
    sub, offered, faults = sub.upper(), capabilities(me), me.server.faults
    if faults.cap == "ignored":
        return
    if faults.cap == "unknown":
        raise Refused("421", "CAP")
    me.negotiating |= sub in ("LS", "REQ") and not me.registered
    if sub in ("LS", "LIST"):
        modern = sub == "LS" and argument.isdecimal() and int(argument[:9]) >= 302
        me.caps |= {"cap-notify"} if modern else set()
        shown = {name: value for name, value in offered.items() if sub == "LS" or name in me.caps}
        words = (f"{name}={value}" if value and modern else name for name, value in shown.items())
        *lines, last = list(chunks(words, me.server.cap_bytes if modern else me.server.max_body)) or [""]
        for line in lines:
            me.cap_reply(sub, "*", text=line)
        me.cap_reply(sub, text=last)
    elif sub == "REQ":
        names = argument.split()
        wanted = {name.removeprefix("-") for name in names}
        good = wanted <= offered.keys() - faults.refused_caps - {"sts"} and faults.cap != "refused"
        for name in names if good else ():
            (me.caps.discard if name.startswith("-") else me.caps.add)(name.removeprefix("-"))
        me.cap_reply("ACK" if good else "NAK", text=argument)
    elif sub == "END":
        me.negotiating = False
        welcome(me)
    else:
        raise Refused("410", sub)


@verb("PASS", early=True)
def set_password(me: Peer, password: str) -> None:
    if me.registered:
        raise Refused("462")
    me.password = password


@verb("USER", early=True)
def user(me: Peer, ident: str, _mode: str, _unused: str, realname: str) -> None:
    if me.ident:
        raise Refused("462")
    me.ident = re.sub(r"[^A-Za-z0-9._~-]", "", ident)[:10] or "user"
    me.realname = shorten(realname, "name")
    welcome(me)


@verb("NICK", early=True, missing="431")
def change_nick(me: Peer, nick: str) -> None:
    nicks, folded = me.server.nicks, me.server.fold(nick)
    if not _NICK.fullmatch(nick) or len(nick) > NICKLEN:
        raise Refused("432" if nick else "431", *([nick] if nick else []))
    if nicks.get(folded) not in (None, me):
        raise Refused("433", nick)
    if folded in me.server.held:
        raise Refused(me.server.held[folded], nick)
    me.server.rename(me, nick)
    welcome(me)


def welcome(me: Peer) -> None:
    """End the registration, once NICK and USER are there and CAP, if it was begun, has ended."""
    server, faults = me.server, me.server.faults
    if me.registered or me.negotiating or not me.nick or not me.ident:
        return None
    if server.password is not None and not hmac.compare_digest(server.password.encode(), me.password.encode()):
        me.reply("464")
        return me.leave("Bad password")
    if me.exchange is not None:
        me.exchange = None
        me.reply("906")
    if faults.cookie and me.cookie != "":
        if me.cookie is None:
            me.cookie = os.urandom(4).hex()
            me.send(f"PING :{me.cookie}")
        return None
    if faults.hold_welcome:
        return None
    if faults.welcome_nick:
        server.rename(me, faults.welcome_nick)
        faults.welcome_nick = ""
    if faults.reverse_welcome:
        me.answer = []
    me.registered, me.since = True, server.seconds()
    greet(me)
    if faults.reverse_welcome and me.answer:
        lines, me.answer = me.answer[::-1], None
        for body, tags in lines:
            me.send(body, tags)
    server.spotted(me, True)
    return None


def greet(me: Peer) -> None:
    """001 and what follows it."""
    server = me.server
    me.reply("001", text=f"Welcome to the {server.network} IRC network, {me.mask}")
    me.suffer("registered")
    me.reply("002", text=f"Your host is {server.name}, the embedded server of neverquit")
    me.reply("003", text=f"This server was started {time.strftime('%c', time.gmtime(server.started))} UTC")
    letters = "bkl" + "".join(server.prefixes)
    me.reply("004", server.name, "neverquit", "Birw", letters + FLAGS, letters)
    tokens(me)
    lusers(me)
    if server.faults.cloak:
        me.reply("396", me.host, text="is now your displayed host")
    try:
        motd(me)
    except Refused as refused:
        me.reply(*refused.args)


@verb("PING", early=True, missing="409")
def ping(me: Peer, token: str) -> None:
    me.server.relay([me], me.server.name, "PONG", me.server.name, text=token)


@verb("PONG", early=True)
def pong(me: Peer, *tokens: str) -> None:
    if tokens and me.cookie and tokens[-1] == me.cookie:
        me.cookie = ""
        welcome(me)
    waiting = me.pongs.pop(tokens[-1] if tokens else "", None)
    if waiting and not waiting.done():
        waiting.set_result(None)


@verb("QUIT", early=True)
def quit(me: Peer, reason: str = "") -> None:
    me.leave(f"Quit: {reason}" if reason else "Client quit")


@verb("ERROR", early=True)
def error(me: Peer, *_: str) -> None:
    """For servers among themselves."""
